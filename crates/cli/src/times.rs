//! Times and durations as people write them: `2026-06-01T12:00:00+02:00`, `24h`, `1h30m`.

use std::time::Duration;

use bowline_service::{Moment, Time, parse_time};

/// Reads a point in time: RFC 3339 with an offset, or a duration from now. A leading `-` looks back.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(time) = parse_time(text) {
        return Ok(Moment::At(time));
    }
    let (back, length) = match text.strip_prefix('-') {
        Some(length) => (true, length),
        None => (false, text),
    };
    let seconds = humantime::parse_duration(length)
        .ok()
        .and_then(|length| i64::try_from(length.as_secs()).ok());
    match seconds {
        Some(seconds) => Ok(Moment::In(if back { -seconds } else { seconds })),
        None => Err(format!(
            "{text:?} is neither a time with its offset (2026-06-01T12:00:00Z) nor a duration from now (24h, 30m, 7d)"
        )),
    }
}

/// Reads a point in time: RFC 3339 with an offset.
pub(crate) fn time(text: &str) -> Result<Time, String> {
    parse_time(text).ok_or_else(|| {
        format!("{text:?} is not a time with its offset, as in 2026-06-01T12:00:00Z")
    })
}

/// Reads a duration in whole seconds: `1h`, `90m`, or a plain number of seconds.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    humantime::parse_duration(text)
        .ok()
        .filter(|length| length.subsec_nanos() == 0)
        .and_then(|length| u32::try_from(length.as_secs()).ok())
        .ok_or_else(|| {
            format!("{text:?} is not a duration in whole seconds, as in 1h, 90m or 3600")
        })
}

/// A length of time in two units at most: `23 h 55 min`.
pub(crate) fn in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else {
        return "0 s".into();
    };
    let mut words = Vec::new();
    let mut rest = seconds;
    for (size, name) in units.iter().skip(first).take(2) {
        if rest >= *size {
            words.push(format!("{} {name}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_duration() {
        let noon = parse_time("2026-06-01T12:00:00Z").unwrap();
        assert_eq!(moment("2026-06-01T14:00:00+02:00"), Ok(Moment::At(noon)));
        assert_eq!(moment("24h"), Ok(Moment::In(86_400)));
        assert_eq!(moment("1h 30m"), Ok(Moment::In(5_400)));
        assert_eq!(moment("-5m"), Ok(Moment::In(-300)));
    }

    #[test]
    fn a_time_without_its_offset_could_mean_anything() {
        for text in ["2026-06-01T12:00:00", "2026-06-01", "tomorrow", "", "24"] {
            let refused = moment(text).unwrap_err();
            assert!(
                refused.contains("offset") && refused.contains(text),
                "{refused}"
            );
        }
    }

    #[test]
    fn seconds_are_whole() {
        assert_eq!(seconds("1h"), Ok(3_600));
        assert_eq!(seconds("900"), Ok(900));
        assert!(seconds("1500ms").is_err());
        assert!(seconds("200years").is_err());
    }

    #[test]
    fn lengths_are_told_in_two_units() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(0), "0 s");
        assert_eq!(words(86_399), "23 h 59 min");
        assert_eq!(words(86_400), "1 d");
        assert_eq!(words(3_601), "1 h");
        assert_eq!(words(61), "1 min 1 s");
    }
}
