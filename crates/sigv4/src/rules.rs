//! What a verifier accepts: regions, services, how far clocks may differ, and whether bodies must be signed.

use crate::error::SignatureError;
use bowline_x509::Time;
use chrono::TimeDelta;

/// How far the date of a signed request may be from ours, either way. A wider window only helps a thief.
pub const SKEW_SECONDS: i64 = 5 * 60;

/// The same for S3-style requests, where AWS allows this much and clients rely on it.
pub const S3_SKEW_SECONDS: i64 = 15 * 60;

/// The longest life of a presigned URL: a week, as AWS has it.
pub const PRESIGNED_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// Services that sign as S3 does: the path is encoded once and never normalised.
const S3_STYLE: [&str; 4] = ["s3", "s3express", "s3-object-lambda", "s3-outposts"];

/// A list of accepted names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Every name is accepted.
    #[default]
    Any,
    /// Only these names are accepted; an empty list accepts none.
    Only(Vec<String>),
}

impl Allowed {
    /// Accepts the named ones only.
    pub fn only<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Allowed {
        Allowed::Only(names.into_iter().map(Into::into).collect())
    }

    fn holds(&self, name: &str) -> bool {
        match self {
            Allowed::Any => true,
            Allowed::Only(names) => names.iter().any(|n| n == name),
        }
    }

    fn text(&self) -> String {
        match self {
            Allowed::Any => "any".to_owned(),
            Allowed::Only(names) if names.is_empty() => "none".to_owned(),
            Allowed::Only(names) => names.join(", "),
        }
    }
}

/// What a verifier accepts, beyond a right signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Accepted regions of the credential scope. A FIPS region (`us-east-1-fips`, `fips-us-east-1`)
    /// counts as its plain one.
    pub regions: Allowed,
    /// Accepted services of the credential scope. AWS4-X509 takes [`Allowed::Any`] for `rolesanywhere` alone.
    pub services: Allowed,
    /// How far clocks may differ for all but S3-style services.
    pub skew: TimeDelta,
    /// How far clocks may differ for S3-style services.
    pub s3_skew: TimeDelta,
    /// Whether requests whose signature leaves the body out are accepted (`UNSIGNED-PAYLOAD`, `STREAMING-…`,
    /// presigned S3 URLs). Who accepts them must not act on the body.
    pub unsigned_payload: bool,
}

impl Default for Rules {
    /// For requests that we ourselves answer: every body is signed.
    fn default() -> Rules {
        Rules {
            regions: Allowed::Any,
            services: Allowed::Any,
            skew: TimeDelta::seconds(SKEW_SECONDS),
            s3_skew: TimeDelta::seconds(S3_SKEW_SECONDS),
            unsigned_payload: false,
        }
    }
}

impl Rules {
    /// For requests that others answer and only ask us about: all payload modes are accepted.
    pub fn for_relying_services() -> Rules {
        Rules {
            unsigned_payload: true,
            ..Rules::default()
        }
    }

    pub(crate) fn skew_of(&self, service: &str) -> TimeDelta {
        if is_s3_style(service) {
            self.s3_skew
        } else {
            self.skew
        }
    }

    pub(crate) fn check_region(&self, region: &str) -> Result<(), SignatureError> {
        if self.regions.holds(region) || self.regions.holds(without_fips(region)) {
            return Ok(());
        }
        Err(SignatureError::RegionNotAllowed {
            region: region.to_owned(),
            allowed: self.regions.text(),
        })
    }

    pub(crate) fn check_service(&self, service: &str) -> Result<(), SignatureError> {
        if self.services.holds(service) {
            return Ok(());
        }
        Err(SignatureError::ServiceNotAllowed {
            service: service.to_owned(),
            allowed: self.services.text(),
        })
    }
}

/// When a signature counts, seen from its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub skew: TimeDelta,
    /// How long a presigned URL lives; a header-signed request lives as long as clocks may differ.
    pub expires: Option<TimeDelta>,
}

impl Window {
    /// Both ends count as inside.
    pub fn check(&self, signed_at: Time, now: Time) -> Result<(), SignatureError> {
        let age = now.signed_duration_since(signed_at);
        if age < -self.skew {
            return Err(SignatureError::RequestNotYetValid {
                signed_at,
                now,
                allowed_seconds: self.skew.num_seconds(),
            });
        }
        match self.expires {
            Some(expires) if age > expires => Err(SignatureError::PresignedUrlExpired {
                signed_at,
                now,
                expires_seconds: expires.num_seconds(),
            }),
            None if age > self.skew => Err(SignatureError::RequestExpired {
                signed_at,
                now,
                allowed_seconds: self.skew.num_seconds(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether the service signs as S3 does.
pub(crate) fn is_s3_style(service: &str) -> bool {
    S3_STYLE.contains(&service)
}

fn without_fips(region: &str) -> &str {
    let region = region.strip_prefix("fips-").unwrap_or(region);
    region.strip_suffix("-fips").unwrap_or(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_accepts_nothing() {
        let rules = Rules {
            regions: Allowed::only::<&str>([]),
            ..Rules::default()
        };
        let error = rules.check_region("us-east-1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "region us-east-1 is not accepted, only none"
        );
    }

    #[test]
    fn a_fips_region_counts_as_its_plain_one() {
        let rules = Rules {
            regions: Allowed::only(["us-east-1"]),
            ..Rules::default()
        };
        for region in ["us-east-1", "us-east-1-fips", "fips-us-east-1"] {
            assert_eq!(rules.check_region(region), Ok(()), "{region}");
        }
        for region in ["us-east-2", "us-east-1-fip", "", "US-EAST-1"] {
            assert!(rules.check_region(region).is_err(), "{region}");
        }
    }

    #[test]
    fn both_ends_of_a_window_are_inside() {
        let signed_at = Time::from_timestamp(1_780_000_000, 0).unwrap();
        let check = |window: Window, age: i64| {
            window
                .check(signed_at, signed_at + TimeDelta::seconds(age))
                .map_err(|e| e.code())
        };
        let header = Window {
            skew: TimeDelta::seconds(300),
            expires: None,
        };
        assert_eq!(check(header, -300), Ok(()));
        assert_eq!(check(header, 300), Ok(()));
        assert_eq!(check(header, -301), Err("request_not_yet_valid"));
        assert_eq!(check(header, 301), Err("request_expired"));
        let presigned = Window {
            expires: Some(TimeDelta::seconds(60)),
            ..header
        };
        assert_eq!(check(presigned, -300), Ok(()));
        assert_eq!(check(presigned, 60), Ok(()));
        assert_eq!(check(presigned, -301), Err("request_not_yet_valid"));
        assert_eq!(check(presigned, 61), Err("presigned_url_expired"));
    }

    #[test]
    fn s3_style_requests_get_the_wider_window() {
        let rules = Rules::default();
        assert_eq!(rules.skew_of("s3").num_seconds(), 900);
        assert_eq!(rules.skew_of("sts").num_seconds(), 300);
    }
}
