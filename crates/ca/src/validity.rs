//! When a certificate begins and ends, counted as RFC 5280 §4.1.2.5 does: both ends included.
//!
//! A certificate of 24 hours ends 23:59:59 after it begins. The backdating is part of its lifetime.

use bowline_x509::{Certificate, Time, Validity};
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::error::ProfileError;
use crate::profile::CertificateProfile;

/// What the caller wants to say about the validity; what is left out the profile decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The first second.
    pub not_before: Option<Time>,
    /// The last second.
    pub not_after: Option<Time>,
    /// Whether it may lie in the past, before the issuer's too: for tests of what becomes of old certificates. Who may
    /// have one is the caller's to decide.
    pub of_any_age: bool,
}

/// A period that keeps every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The period.
    pub validity: Validity,
    /// Where it would have ended, had the issuer not ended first.
    pub shortened_from: Option<Time>,
}

/// How many seconds a period has, both ends included.
pub(crate) fn lifetime(validity: Validity) -> TimeDelta {
    validity.not_after - validity.not_before + ONE_SECOND
}

/// Decides the period of a certificate.
///
/// A period of default length is cut where the issuer ends, and says so; a time asked for by name is granted or refused.
pub(crate) fn grant(
    profile: &CertificateProfile,
    length: TimeDelta,
    asked: Asked,
    issuer: Option<&Certificate>,
    now: Time,
) -> Result<Granted, ProfileError> {
    let of_any_age = asked.of_any_age;
    // 1. The issuer must be valid now; what an expired authority signs is worth nothing.
    let now = whole_second(now)?;
    let issuer = issuer.map(Certificate::validity);
    if let Some(Validity {
        not_before,
        not_after,
    }) = issuer
    {
        if not_after < now {
            return Err(ProfileError::IssuerExpired { not_after, now });
        }
        if now < not_before {
            return Err(ProfileError::IssuerNotYetValid { not_before, now });
        }
    }
    // 2. The begin: as asked, or backdated as far as the issuer reaches.
    let earliest = whole_second(now - profile.backdate())?;
    let not_before = match asked.not_before.map(whole_second).transpose()? {
        Some(asked) if asked < earliest && !of_any_age => {
            return Err(ProfileError::BeginsTooEarly {
                profile: profile.name().to_owned(),
                asked,
                earliest,
            });
        }
        Some(asked) => match issuer {
            Some(Validity {
                not_before: issuer, ..
            }) if asked < issuer && !of_any_age => {
                return Err(ProfileError::BeginsBeforeIssuer { asked, issuer });
            }
            _ => asked,
        },
        None => issuer.map_or(earliest, |issuer| issuer.not_before.max(earliest)),
    };
    // 3. The end: as asked, or by length as far as the issuer reaches.
    let last = issuer.map(|issuer| issuer.not_after);
    let (not_after, shortened_from) = match asked.not_after.map(whole_second).transpose()? {
        Some(asked) => match last {
            Some(issuer) if issuer < asked => {
                return Err(ProfileError::EndsAfterIssuer { asked, issuer });
            }
            _ => (asked, None),
        },
        None => {
            let wanted = later(not_before, length - ONE_SECOND)?;
            match last {
                Some(last) if last < wanted => (last, Some(wanted)),
                _ => (wanted, None),
            }
        }
    };
    // 4. The period as a whole.
    if not_after <= now && !of_any_age {
        return Err(ProfileError::ValidityPast { not_after, now });
    }
    if not_after < not_before {
        return Err(ProfileError::ValidityEmpty {
            not_before,
            not_after,
        });
    }
    let validity = Validity {
        not_before,
        not_after,
    };
    if lifetime(validity) > profile.max_validity() {
        return Err(ProfileError::ValidityTooLong {
            profile: profile.name().to_owned(),
            asked: lifetime(validity).num_seconds(),
            allowed: profile.max_validity().num_seconds(),
        });
    }
    Ok(Granted {
        validity,
        shortened_from,
    })
}

/// The time without parts of a second, if certificates can hold its year.
fn whole_second(time: Time) -> Result<Time, ProfileError> {
    let whole = DateTime::<Utc>::from_timestamp(time.timestamp(), 0);
    let whole = whole.filter(|time| (FIRST_YEAR..=LAST_YEAR).contains(&time.year()));
    whole.ok_or_else(|| ProfileError::TimeNotEncodable {
        time: time.to_string(),
    })
}

/// The sum, if certificates can hold it.
fn later(time: Time, by: TimeDelta) -> Result<Time, ProfileError> {
    let sum = time.checked_add_signed(by);
    let sum = sum.ok_or_else(|| ProfileError::TimeNotEncodable {
        time: format!("{time} + {} s", by.num_seconds()),
    })?;
    whole_second(sum)
}

/// A period of one second begins and ends at the same time.
const ONE_SECOND: TimeDelta = TimeDelta::seconds(1);

/// The first year that the encoders of certificates take; UTCTime itself reaches back to 1950.
const FIRST_YEAR: i32 = 1970;

/// The last year that GeneralizedTime can hold.
const LAST_YEAR: i32 = 9999;

#[cfg(test)]
mod tests;
