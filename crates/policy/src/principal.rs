//! Who asks, and whom a resource policy or a trust policy names.

use std::fmt;
use std::str::FromStr;

use crate::arn::{AccountId, Arn, ArnError};
use crate::error::Problem;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A service, such as `rolesanywhere.amazonaws.com`. It has no policies of its own: the
    /// resource policy or trust policy decides.
    Service(String),
    /// A session of a role. Policies may name the role, or this one session.
    AssumedRole {
        /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`, with its path.
        role_arn: Arn,
        /// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`.
        session_arn: Arn,
    },
    /// Any other principal with an ARN: a user, a federated user, the root of an account.
    Named(Arn),
    /// Somebody vouched for by an identity provider: its ARN or its host name.
    Federated(String),
    /// Nobody in particular.
    Anonymous,
}

impl Principal {
    /// The session `session_name` of a role, with the ARN STS would give it.
    pub fn assumed_role(role_arn: Arn, session_name: &str) -> Result<Self, ArnError> {
        let name = role_arn.resource().rsplit('/').next().unwrap_or_default();
        let session_arn = Arn::new(
            role_arn.partition(),
            "sts",
            "",
            role_arn.account_id(),
            &format!("assumed-role/{name}/{session_name}"),
        )?;
        Ok(Self::AssumedRole {
            role_arn,
            session_arn,
        })
    }

    /// The account the principal belongs to; services and strangers have none.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::AssumedRole { role_arn, .. } => role_arn.account_id(),
            Self::Named(arn) => arn.account_id(),
            Self::Service(_) | Self::Federated(_) | Self::Anonymous => None,
        }
    }

    /// Whether it is one session rather than what sessions are made from.
    pub(crate) fn is_session(&self) -> bool {
        match self {
            Self::AssumedRole { .. } => true,
            Self::Named(arn) => arn.service() == "sts",
            Self::Service(_) | Self::Federated(_) | Self::Anonymous => false,
        }
    }

    /// Whether identity policies can exist for it.
    pub(crate) fn has_identity(&self) -> bool {
        matches!(self, Self::AssumedRole { .. } | Self::Named(_))
    }
}

/// The ARN, service name or provider; `*` for nobody in particular.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) | Self::Federated(name) => f.write_str(name),
            Self::AssumedRole { session_arn, .. } => session_arn.fmt(f),
            Self::Named(arn) => arn.fmt(f),
            Self::Anonymous => f.write_str("*"),
        }
    }
}

/// Reads what [`Display`](fmt::Display) prints, and a bare account id as its root. The role of an
/// assumed-role ARN is taken to have no path, because the session's ARN does not tell it.
impl FromStr for Principal {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        if text == "*" || text.eq_ignore_ascii_case("anonymous") {
            return Ok(Self::Anonymous);
        }
        if let Ok(account) = text.parse::<AccountId>() {
            return Ok(Self::Named(Arn::new(
                "aws",
                "iam",
                "",
                Some(account),
                "root",
            )?));
        }
        if !text.contains(':') && text.contains('.') {
            let service = is_service_name(text) && text != COGNITO_IDENTITY;
            let make = if service {
                Self::Service
            } else {
                Self::Federated
            };
            return Ok(make(text.to_owned()));
        }
        let arn: Arn = text.parse()?;
        let resource = arn.resource();
        if resource.starts_with("oidc-provider/") || resource.starts_with("saml-provider/") {
            return Ok(Self::Federated(text.to_owned()));
        }
        let assumed = resource
            .strip_prefix("assumed-role/")
            .filter(|_| arn.service() == "sts");
        let Some((role, _session)) = assumed.and_then(|rest| rest.split_once('/')) else {
            return Ok(Self::Named(arn));
        };
        let role = format!("role/{role}");
        let role_arn = Arn::new(arn.partition(), "iam", "", arn.account_id(), &role)?;
        Ok(Self::AssumedRole {
            role_arn,
            session_arn: arn,
        })
    }
}

/// How closely a policy names a principal, from not at all to itself.
///
/// It matters inside one account: naming the account leaves the decision to the account's own
/// policies; naming the role (or everybody) is an allowance that boundaries and session policies
/// still narrow; naming the very session is not narrowed by what they leave out, and naming a user
/// is narrowed by session policies only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    Account,
    Role,
    Itself,
}

/// One entry of a Principal or NotPrincipal element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Everyone,
    Account(AccountId),
    Arn(Arn),
    Service(Box<str>),
    Federated(Box<str>),
    /// Parsed because bucket policies hold them; none of our principals has one.
    CanonicalUser(Box<str>),
}

impl Entry {
    /// Reads one value of the principal map under `AWS`, `Service`, `Federated` or `CanonicalUser`.
    pub(crate) fn parse(kind: &str, value: &str) -> Result<Self, Problem> {
        let refuse = |reason| {
            Err(Problem::Principal {
                found: value.to_owned(),
                reason,
            })
        };
        if value == "*" && kind == "AWS" {
            return Ok(Self::Everyone);
        }
        if value.contains(['*', '?']) || value.contains("${") {
            return refuse("wildcards and variables are not possible here, except \"AWS\": \"*\"");
        }
        if value.is_empty() || value.chars().any(char::is_whitespace) {
            return refuse("it is empty or holds white space");
        }
        match kind {
            "AWS" => {
                if let Ok(account) = value.parse() {
                    return Ok(Self::Account(account));
                }
                let Ok(arn) = value.parse::<Arn>() else {
                    return refuse("an AWS principal is *, an account id or an ARN");
                };
                match arn.account_id() {
                    Some(account) if arn.service() == "iam" && arn.resource() == "root" => {
                        Ok(Self::Account(account))
                    }
                    _ => Ok(Self::Arn(arn)),
                }
            }
            "Service" if value.contains('.') => Ok(Self::Service(value.into())),
            "Service" => refuse("a service is a host name such as rolesanywhere.amazonaws.com"),
            "Federated" => Ok(Self::Federated(value.into())),
            "CanonicalUser" => Ok(Self::CanonicalUser(value.into())),
            _ => refuse("the kinds of principal are AWS, Service, Federated and CanonicalUser"),
        }
    }

    /// How closely the entry names the principal, if it does.
    pub(crate) fn names(&self, principal: &Principal) -> Option<Named> {
        match self {
            Self::Everyone => Some(Named::Role),
            Self::Account(account) => {
                (principal.account() == Some(*account)).then_some(Named::Account)
            }
            Self::Arn(arn) => match principal {
                Principal::AssumedRole { session_arn, .. } if arn == session_arn => {
                    Some(Named::Itself)
                }
                Principal::AssumedRole { role_arn, .. } if arn == role_arn => Some(Named::Role),
                Principal::Named(own) if arn == own => {
                    let role = own.resource().starts_with("role/");
                    Some(if role { Named::Role } else { Named::Itself })
                }
                _ => None,
            },
            Self::Service(name) => match principal {
                Principal::Service(own) if **name == **own => Some(Named::Itself),
                _ => None,
            },
            Self::Federated(name) => match principal {
                Principal::Federated(own) if **name == **own => Some(Named::Itself),
                _ => None,
            },
            Self::CanonicalUser(_) => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Account(account) => account.fmt(f),
            Self::Arn(arn) => arn.fmt(f),
            Self::Service(name) | Self::Federated(name) | Self::CanonicalUser(name) => {
                f.write_str(name)
            }
        }
    }
}

fn is_service_name(text: &str) -> bool {
    text.ends_with(".amazonaws.com") || text.ends_with(".amazonaws.com.cn")
}

/// An identity provider, although its name looks like a service's.
const COGNITO_IDENTITY: &str = "cognito-identity.amazonaws.com";

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/team/web";
    const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/web/s1";

    fn session() -> Principal {
        Principal::assumed_role(ROLE.parse().unwrap(), "s1").unwrap()
    }

    fn names(kind: &str, value: &str, principal: &Principal) -> Option<Named> {
        Entry::parse(kind, value).unwrap().names(principal)
    }

    #[test]
    fn a_session_is_named_by_itself_its_role_its_account_and_everyone() {
        assert_eq!(session().to_string(), SESSION);
        assert_eq!(names("AWS", SESSION, &session()), Some(Named::Itself));
        assert_eq!(names("AWS", ROLE, &session()), Some(Named::Role));
        assert_eq!(
            names("AWS", "123456789012", &session()),
            Some(Named::Account)
        );
        let root = "arn:aws:iam::123456789012:root";
        assert_eq!(names("AWS", root, &session()), Some(Named::Account));
        assert_eq!(names("AWS", "*", &session()), Some(Named::Role));
        let no_root = "arn:aws:sts::123456789012:root";
        assert_eq!(names("AWS", no_root, &session()), None);
        assert_eq!(names("AWS", "123456789013", &session()), None);
        assert_eq!(
            names("AWS", "arn:aws:iam::123456789012:role/web", &session()),
            None
        );
    }

    #[test]
    fn services_and_providers_are_named_exactly() {
        let service = Principal::Service("rolesanywhere.amazonaws.com".into());
        assert!(names("Service", "rolesanywhere.amazonaws.com", &service).is_some());
        assert!(names("Service", "ec2.amazonaws.com", &service).is_none());
        assert!(names("Federated", "rolesanywhere.amazonaws.com", &service).is_none());
        let federated = Principal::Federated("accounts.google.com".into());
        assert!(names("Federated", "accounts.google.com", &federated).is_some());
        assert!(names("Federated", "accounts.google.co", &federated).is_none());
    }

    #[test]
    fn partial_wildcards_are_refused() {
        for (kind, value) in [
            ("AWS", "arn:aws:iam::123456789012:role/*"),
            ("AWS", "arn:aws:iam::*:root"),
            ("AWS", "12345678901?"),
            ("AWS", "${aws:username}"),
            ("AWS", "web"),
            ("Service", "*"),
            ("Service", "ec2"),
            ("Federated", "*"),
            ("Robot", "x"),
            ("AWS", ""),
        ] {
            assert!(Entry::parse(kind, value).is_err(), "{kind} {value}");
        }
    }

    #[test]
    fn principals_are_read_from_what_they_print() {
        let parsed = |text: &str| text.parse::<Principal>().unwrap();
        assert_eq!(parsed("*"), Principal::Anonymous);
        assert_eq!(
            parsed("ec2.amazonaws.com"),
            Principal::Service("ec2.amazonaws.com".into())
        );
        assert_eq!(
            parsed("accounts.google.com"),
            Principal::Federated("accounts.google.com".into())
        );
        let Principal::AssumedRole { role_arn, .. } = parsed(SESSION) else {
            panic!("not a session");
        };
        assert_eq!(role_arn.as_str(), "arn:aws:iam::123456789012:role/web");
        assert_eq!(
            parsed("123456789012").account(),
            Some("123456789012".parse().unwrap())
        );
        let user = "arn:aws:iam::123456789012:user/alice";
        assert_eq!(parsed(user), Principal::Named(user.parse().unwrap()));
        assert!("nonsense".parse::<Principal>().is_err());
    }
}
