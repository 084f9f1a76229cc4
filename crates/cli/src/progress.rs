//! How far long work has come: one line on standard error that is written over and taken away at the end.
//!
//! Shown on a terminal only, and only to people: in a file it would be noise, and programs read what comes after.

use std::io::Write;
use std::time::{Duration, Instant};

use bowline_service::Progress;

use crate::times;

/// The line. Dropping it takes it away.
pub(crate) struct ProgressLine<'m> {
    messages: &'m mut dyn Write,
    /// None where nothing is shown.
    shown: Option<Shown>,
}

/// What was shown last.
struct Shown {
    step: &'static str,
    began: Instant,
    drawn: Option<Instant>,
}

impl<'m> ProgressLine<'m> {
    /// A line on `messages`; without `visible`, none.
    pub(crate) fn new(messages: &'m mut dyn Write, visible: bool) -> ProgressLine<'m> {
        ProgressLine {
            messages,
            shown: visible.then(|| Shown {
                step: "",
                began: Instant::now(),
                drawn: None,
            }),
        }
    }

    /// Shows how far it is, unless that was shown a moment ago. Work that takes no time shows nothing.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let Some(shown) = &mut self.shown else { return };
        let now = Instant::now();
        if shown.step != progress.step {
            (shown.step, shown.began) = (progress.step, now);
        }
        let took = now - shown.began;
        let due = match shown.drawn {
            Some(drawn) => now - drawn >= PAUSE,
            None => took >= PAUSE,
        };
        if due {
            shown.drawn = Some(now);
            // What cannot be told is not worth failing for.
            let _ = write!(self.messages, "{START_OVER}{}", line(progress, took))
                .and_then(|()| self.messages.flush());
        }
    }

    /// Takes the line away, so that something else can be said.
    pub(crate) fn clear(&mut self) {
        if let Some(shown) = &mut self.shown
            && shown.drawn.take().is_some()
        {
            let _ = write!(self.messages, "{START_OVER}").and_then(|()| self.messages.flush());
        }
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What is done, how much of it, how fast, and how long it will take.
fn line(progress: &Progress, took: Duration) -> String {
    let Progress { step, done, total } = progress;
    // Some work only knows its end when it is there.
    if done >= total || *done == 0 {
        return format!("{step}  {}", times::in_words(took));
    }
    let (done, total) = (*done as f64, *total as f64);
    let rate = done / took.as_secs_f64().max(f64::MIN_POSITIVE);
    let left = Duration::from_secs_f64(((total - done) / rate).clamp(0.0, LEFT_SECONDS_MAX));
    format!(
        "{step}  {:.0} %  {} of {}  {}/s  {} left",
        done / total * 100.0,
        bytes(done),
        bytes(total),
        bytes(rate),
        times::in_words(left),
    )
}

/// A number of bytes in the unit that suits it.
pub(crate) fn bytes(count: f64) -> String {
    let units = ["KiB", "MiB", "GiB"];
    if count < 1024.0 {
        return format!("{count:.0} B");
    }
    let mut count = count;
    let mut unit = "";
    for name in units {
        if count < 1024.0 && !unit.is_empty() {
            break;
        }
        (count, unit) = (count / 1024.0, name);
    }
    format!("{count:.1} {unit}")
}

/// Back to the begin of the line, and empty to its end (ECMA-48 §8.3.41).
const START_OVER: &str = "\r\x1b[K";
/// A line that changes more often cannot be read, and work over by then needs none.
const PAUSE: Duration = Duration::from_millis(200);
/// Beyond a month the estimate is worth nothing.
const LEFT_SECONDS_MAX: f64 = 30.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: u64) -> Progress {
        Progress {
            step: "rebuilding the index",
            done,
            total,
        }
    }

    #[test]
    fn a_line_tells_share_rate_and_rest() {
        let mebibyte = 1024 * 1024;
        assert_eq!(
            line(&progress(mebibyte, 4 * mebibyte), Duration::from_secs(2)),
            "rebuilding the index  25 %  1.0 MiB of 4.0 MiB  512.0 KiB/s  6 s left"
        );
        assert_eq!(
            line(&progress(7, 7), Duration::from_secs(2)),
            "rebuilding the index  2 s"
        );
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_suits_them() {
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(3.0 * 1024.0 * 1024.0 * 1024.0), "3.0 GiB");
    }

    #[test]
    fn nothing_is_shown_where_nobody_looks_and_nothing_stays() {
        let mut silent = Vec::new();
        let mut line = ProgressLine::new(&mut silent, false);
        line.show(&progress(1, 9));
        drop(line);
        assert!(silent.is_empty());

        let mut seen = Vec::new();
        let mut line = ProgressLine::new(&mut seen, true);
        line.show(&progress(1, 9));
        std::thread::sleep(PAUSE);
        line.show(&progress(2, 9));
        drop(line);
        let seen = String::from_utf8(seen).unwrap();
        assert!(
            seen.contains("22 %") && seen.ends_with(START_OVER),
            "{seen:?}"
        );
    }
}
