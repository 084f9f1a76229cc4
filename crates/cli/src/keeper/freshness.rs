//! When credentials are due, and when a trade that failed is tried again. Both are spread, so that many hosts that
//! started together do not ask together for ever.

use bowline_service::{Entropy, Time};
use chrono::TimeDelta;

/// A number drawn for one spreading: from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(f64);

impl From<&dyn Entropy> for Draw {
    fn from(entropy: &dyn Entropy) -> Draw {
        let mut bytes = [0; 2];
        entropy.fill(&mut bytes);
        Draw(f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX))
    }
}

/// Until when credentials are handed out without trading for new ones: until less than 5 minutes or a tenth of their
/// life remains, whichever is more, or up to a quarter of that earlier. Short ones are good for half their life.
pub(crate) fn good_until(obtained_at: Time, expiration: Time, draw: Draw) -> Time {
    let life = expiration - obtained_at;
    let margin = (life / 10).max(MARGIN_MIN);
    let spread = milliseconds(margin, draw.0 * SPREAD);
    expiration - (margin + spread).min(life / 2)
}

/// How long to wait after so many trades in a row that failed: a second, then twice as long each time up to a minute,
/// or up to half of that less.
pub(crate) fn retry_after(failures: u32, draw: Draw) -> TimeDelta {
    let doubled = 1_i64 << failures.saturating_sub(1).min(6);
    let longest = TimeDelta::seconds(doubled).min(PAUSE_MAX);
    (longest - milliseconds(longest, draw.0 / 2.0)).max(PAUSE_MIN)
}

fn milliseconds(of: TimeDelta, share: f64) -> TimeDelta {
    // Cannot overflow: a share below 1 of a few hours.
    TimeDelta::milliseconds((of.num_milliseconds() as f64 * share) as i64)
}

/// A client that gets credentials with less than this left may find them expired half-way through its work.
const MARGIN_MIN: TimeDelta = TimeDelta::minutes(5);
/// The share of the margin that due times are spread over.
const SPREAD: f64 = 0.25;
/// The shortest pause: clocks here count whole seconds.
const PAUSE_MIN: TimeDelta = TimeDelta::seconds(1);
/// The longest pause: what is mended shall not wait long to be noticed.
const PAUSE_MAX: TimeDelta = TimeDelta::seconds(60);

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_service::parse_time;

    #[track_caller]
    fn check(life: TimeDelta, draw: f64, good_for: TimeDelta) {
        let now = parse_time("2026-06-01T12:00:00Z").unwrap();
        assert_eq!(good_until(now, now + life, Draw(draw)) - now, good_for);
    }

    #[test]
    fn an_hour_is_good_until_a_tenth_is_left() {
        check(TimeDelta::hours(1), 0.0, TimeDelta::minutes(54));
        check(TimeDelta::hours(1), 1.0, TimeDelta::seconds(3600 - 450));
    }

    #[test]
    fn a_quarter_of_an_hour_is_good_until_five_minutes_are_left() {
        check(TimeDelta::minutes(15), 0.0, TimeDelta::minutes(10));
        check(TimeDelta::minutes(15), 1.0, TimeDelta::seconds(900 - 375));
    }

    #[test]
    fn what_lasts_minutes_is_good_for_half_of_them() {
        check(TimeDelta::minutes(6), 0.0, TimeDelta::minutes(3));
        check(TimeDelta::seconds(10), 1.0, TimeDelta::seconds(5));
        check(TimeDelta::zero(), 1.0, TimeDelta::zero());
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses = [0, 1, 2, 3, 7, 40].map(|failures| retry_after(failures, Draw(0.0)));
        assert_eq!(
            pauses.map(|pause| pause.num_seconds()),
            [1, 1, 2, 4, 60, 60]
        );
        assert_eq!(retry_after(7, Draw(1.0)).num_seconds(), 30);
        assert_eq!(retry_after(1, Draw(1.0)), PAUSE_MIN);
    }
}
