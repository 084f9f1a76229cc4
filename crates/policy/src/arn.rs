//! Amazon Resource Names and account numbers: the names policies speak about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An Amazon Resource Name with its six fields: `arn:partition:service:region:account:resource`.
///
/// The resource field may hold further colons. Patterns with wildcards are not ARNs in this
/// sense; they live inside a [`Policy`](crate::Policy). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    text: Arc<str>,
    /// Byte offsets of the first five colons.
    colons: [u16; 5],
}

impl Arn {
    /// Joins the fields and checks them as [`FromStr`] does.
    pub fn new(
        partition: &str,
        service: &str,
        region: &str,
        account: Option<AccountId>,
        resource: &str,
    ) -> Result<Self, ArnError> {
        let account = account.map(|id| id.to_string()).unwrap_or_default();
        format!("arn:{partition}:{service}:{region}:{account}:{resource}").parse()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition, such as `aws` or `aws-cn`.
    pub fn partition(&self) -> &str {
        self.field(0)
    }

    /// The service, such as `iam`.
    pub fn service(&self) -> &str {
        self.field(1)
    }

    /// The region; empty for global services.
    pub fn region(&self) -> &str {
        self.field(2)
    }

    /// The account as written: twelve digits, `aws`, or empty.
    pub fn account(&self) -> &str {
        self.field(3)
    }

    /// The account as a number, where the field holds one.
    pub fn account_id(&self) -> Option<AccountId> {
        self.account().parse().ok()
    }

    /// Everything after the fifth colon, such as `role/web`.
    pub fn resource(&self) -> &str {
        &self.text[usize::from(self.colons[4]) + 1..]
    }

    fn field(&self, index: usize) -> &str {
        let from = usize::from(self.colons[index]) + 1;
        let to = usize::from(self.colons[index + 1]);
        &self.text[from..to]
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        if text.len() > ARN_BYTES_MAX {
            return Err(ArnError::TooLong {
                bytes: text.len(),
                limit: ARN_BYTES_MAX,
            });
        }
        let shown = || text.to_owned();
        let fields = split_fields(text).ok_or_else(|| ArnError::Fields { found: shown() })?;
        let wrong = |field| ArnError::Field {
            field,
            found: shown(),
        };
        let lower = |field: &str| {
            field
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if fields[0] != "arn" {
            return Err(ArnError::Prefix { found: shown() });
        }
        if fields[1].is_empty() || !lower(fields[1]) {
            return Err(wrong("partition"));
        }
        if fields[2].is_empty() || !lower(fields[2]) {
            return Err(wrong("service"));
        }
        if !lower(fields[3]) {
            return Err(wrong("region"));
        }
        let account = fields[4];
        if !(account.is_empty() || account == "aws" || account.parse::<AccountId>().is_ok()) {
            return Err(wrong("account"));
        }
        if fields[5].is_empty() {
            return Err(wrong("resource"));
        }
        let mut colons = [0_u16; 5];
        let offsets = text.bytes().enumerate().filter(|(_, byte)| *byte == b':');
        for (slot, (offset, _)) in colons.iter_mut().zip(offsets) {
            // Cannot truncate: the text is at most ARN_BYTES_MAX bytes long.
            *slot = u16::try_from(offset).unwrap_or(u16::MAX);
        }
        Ok(Self {
            text: text.into(),
            colons,
        })
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arn({})", self.text)
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.text.as_ref().to_owned()
    }
}

/// The twelve digits of an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The digits as text.
    pub fn as_str(&self) -> &str {
        // Cannot fail: the parser lets only ASCII digits in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for AccountId {
    type Err = AccountIdError;

    fn from_str(text: &str) -> Result<Self, AccountIdError> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(AccountIdError {
                found: text.chars().take(40).collect(),
            }),
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({})", self.as_str())
    }
}

impl TryFrom<String> for AccountId {
    type Error = AccountIdError;

    fn try_from(text: String) -> Result<Self, AccountIdError> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.to_string()
    }
}

/// Why a text is not an [`Arn`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArnError {
    /// Longer than any ARN.
    #[error("an ARN of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// What was given.
        bytes: usize,
        /// [`ARN_BYTES_MAX`].
        limit: usize,
    },
    /// Fewer than five colons.
    #[error("an ARN has six fields separated by colons, \"{found}\" has fewer")]
    Fields {
        /// What was given.
        found: String,
    },
    /// Does not begin with `arn:`.
    #[error("an ARN begins with \"arn:\", \"{found}\" does not")]
    Prefix {
        /// What was given.
        found: String,
    },
    /// One field breaks its rule.
    #[error("the {field} field of \"{found}\" is not valid")]
    Field {
        /// Which of the six.
        field: &'static str,
        /// What was given.
        found: String,
    },
}

/// Why a text is not an [`AccountId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an account id is twelve digits, not \"{found}\"")]
pub struct AccountIdError {
    /// The beginning of what was given.
    pub found: String,
}

/// Cuts at the first five colons; the sixth field keeps its own.
pub(crate) fn split_fields(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    Some([next()?, next()?, next()?, next()?, next()?, next()?])
}

/// The longest ARN accepted, in bytes: the limit of the IAM and STS interfaces.
pub const ARN_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_by_the_first_five_colons() {
        let arn: Arn = "arn:aws:logs:us-east-1:123456789012:log-group:/a:*"
            .parse()
            .unwrap();
        let fields = (arn.partition(), arn.service(), arn.region(), arn.account());
        assert_eq!(fields, ("aws", "logs", "us-east-1", "123456789012"));
        assert_eq!(arn.resource(), "log-group:/a:*");
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in [
            "",
            "arn",
            "arn:aws:s3::bucket",
            "ARN:aws:s3:::bucket",
            "arn::s3:::bucket",
            "arn:aws::::bucket",
            "arn:aws:iam::1234:role/x",
            "arn:aws:iam::12345678901a:role/x",
            "arn:aws:iam::123456789012:",
            "arn:a*s:iam::123456789012:role/x",
        ] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
        assert!(
            format!("arn:aws:s3:::{}", "x".repeat(3000))
                .parse::<Arn>()
                .is_err()
        );
    }

    #[test]
    fn managed_policies_belong_to_aws() {
        let arn: Arn = "arn:aws:iam::aws:policy/ReadOnlyAccess".parse().unwrap();
        assert_eq!(arn.account_id(), None);
    }

    #[test]
    fn an_account_is_twelve_digits() {
        assert_eq!(
            "000000000000".parse::<AccountId>().unwrap().as_str(),
            "000000000000"
        );
        for text in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901x",
            "１２３４",
        ] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(
            service in "[a-z0-9-]{1,12}", region in "[a-z0-9-]{0,12}",
            account in "([0-9]{12})?", resource in ".{1,40}",
        ) {
            let text = format!("arn:aws:{service}:{region}:{account}:{resource}");
            let arn: Arn = text.parse().unwrap();
            prop_assert_eq!(arn.to_string(), text);
            prop_assert_eq!(arn.resource(), resource);
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = text.parse::<Arn>();
            let _ = text.parse::<AccountId>();
        }
    }
}
