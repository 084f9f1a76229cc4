//! Why an exchange would be refused, and which would not be: the same rules, asked without signing.

use bowline_sigv4::x509::CHAIN_MAX;
use std::collections::HashMap;

use bowline_trust::{
    Asker, CertificateAsker, Profile, Role, SessionRequest, TrustAnchor, authorize, explain,
};
use bowline_x509::path::PathError;
use bowline_x509::{Certificate, Time};
use serde::{Deserialize, Serialize};

use crate::anchors::DEFAULT_ANCHOR;
use crate::caller::Caller;
use crate::error::{Error, PublicError};
use crate::keyspace;
use crate::operation::Operation;
use crate::profiles::DEFAULT_PROFILE;
use crate::service::Service;
use crate::wire::{base64_bytes, base64_list};

/// Explains, rule by rule, whether a certificate would get credentials of a role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainSession {
    /// The certificate, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// The certificates that would go with it, DER.
    #[serde(default, with = "base64_list")]
    pub chain: Vec<Vec<u8>>,
    /// The role, by name or ARN.
    pub role: String,
    /// The profile, by name, id or ARN; `default` if not given.
    #[serde(default)]
    pub profile: Option<String>,
    /// The trust anchor, by name, id or ARN; `default` if not given.
    #[serde(default)]
    pub trust_anchor: Option<String>,
    /// The duration that would be asked for, in seconds.
    #[serde(default)]
    pub duration_seconds: Option<u32>,
    /// The session name that would be asked for.
    #[serde(default)]
    pub role_session_name: Option<String>,
}

/// An explained decision.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionExplanation {
    /// Whether credentials would be given.
    pub allowed: bool,
    /// The stable code of the first rule that fails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The whole explanation, to be read.
    pub text: String,
    /// The same, rule by rule.
    pub checks: serde_json::Value,
}

impl Operation for ExplainSession {
    const NAME: &'static str = "explain-session";
    type Answer = SessionExplanation;

    fn run(self, service: &Service, caller: &Caller) -> Result<SessionExplanation, Error> {
        service.authorize(caller, "bowline:ExplainSession", "*")?;
        let (settings, now) = (service.settings()?, service.now());
        let leaf = Certificate::from_der(&self.certificate)?;
        let chain = parse_all(&self.chain)?;
        let anchor = service.anchor(self.trust_anchor.as_deref().unwrap_or(DEFAULT_ANCHOR))?;
        let profile = service.profile(self.profile.as_deref().unwrap_or(DEFAULT_PROFILE))?;
        let role = service.role(&self.role)?;
        let path = match service.verify_path(&leaf, &chain, &anchor, now) {
            Ok(path) => path,
            Err(error) if error.refusal().is_some() => {
                let public = error.public();
                return Ok(SessionExplanation {
                    allowed: false,
                    text: format!(
                        "DENY {}\n  because {}\n  the certificate is not believed by trust anchor {}; no rule of the role was asked\n",
                        public.code, public.message, anchor.name
                    ),
                    checks: serde_json::Value::Array(Vec::new()),
                    code: Some(public.code.into_owned()),
                });
            }
            Err(error) => return Err(error),
        };
        let explanation = explain(&SessionRequest {
            asker: Asker::Certificate(CertificateAsker {
                path: &path,
                trust_anchor: &anchor,
                profile: &profile,
                role: &role,
            }),
            partition: &settings.partition,
            region: &settings.region,
            duration_seconds: self.duration_seconds,
            role_session_name: self.role_session_name.as_deref(),
            session_policies: &[],
            token_bytes_min: 0,
            now,
            source_ip: caller.source(),
            settings: settings.session_settings(),
        });
        let checks = serde_json::to_value(&explanation).map_err(|error| {
            Error::internal(format!("an explanation could not be encoded: {error}"))
        })?;
        Ok(SessionExplanation {
            allowed: explanation.is_allowed(),
            code: explanation
                .decision
                .as_ref()
                .err()
                .map(|denial| denial.code().into()),
            text: explanation.to_string(),
            checks,
        })
    }
}

fn parse_all(chain: &[Vec<u8>]) -> Result<Vec<Certificate>, Error> {
    if chain.len() > CHAIN_MAX {
        return Err(Error::ChainTooLong {
            count: chain.len(),
            limit: CHAIN_MAX,
        });
    }
    Ok(chain
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<_, _>>()?)
}

/// Lists what a certificate can be traded for: every anchor, profile and role by which it would get credentials.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAssumableRoles {
    /// The certificate, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// The certificates that go with it, DER.
    #[serde(default, with = "base64_list")]
    pub chain: Vec<Vec<u8>>,
}

/// One way to credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumableRole {
    /// The role's name.
    pub role: String,
    /// The role's ARN.
    pub role_arn: String,
    /// The profile's ARN.
    pub profile_arn: String,
    /// The trust anchor's ARN.
    pub trust_anchor_arn: String,
}

/// All ways to credentials.
#[derive(Debug, Serialize, Deserialize)]
pub struct AssumableRoles {
    /// The ways there are.
    pub roles: Vec<AssumableRole>,
    /// Where there is none: the refusal that came furthest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nearest_refusal: Option<PublicError>,
    /// The region to sign for.
    pub region: String,
    /// The service's time, for clocks that differ.
    pub now: Time,
}

impl Operation for ListAssumableRoles {
    const NAME: &'static str = "list-assumable-roles";
    type Answer = AssumableRoles;

    /// The operator may ask for any certificate, everybody else for the one whose key they hold.
    fn run(self, service: &Service, caller: &Caller) -> Result<AssumableRoles, Error> {
        let leaf = Certificate::from_der(&self.certificate)?;
        let own = matches!(caller, Caller::Certificate { leaf: holder, .. } if holder.der() == leaf.der());
        if !own {
            service.authorize(caller, "bowline:ListAssumableRoles", "*")?;
        }
        let (settings, now) = (service.settings()?, service.now());
        let chain = parse_all(&self.chain)?;
        let mut answer = AssumableRoles {
            roles: Vec::new(),
            nearest_refusal: None,
            region: settings.region.clone(),
            now,
        };
        let mut nearest = Nearest::default();
        let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
        let roles: HashMap<String, Role> = service
            .load_all::<Role>(&keyspace::roles())?
            .into_iter()
            .map(|role| (settings.role_arn(&role), role))
            .collect();
        let named = bowline_ca::roles_of(leaf.subject());
        for anchor in service.load_all::<TrustAnchor>(&keyspace::trust_anchors())? {
            let path = match service.verify_path(&leaf, &chain, &anchor, now) {
                Ok(path) => path,
                Err(error) if error.refusal().is_some() => {
                    nearest.offer(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (profile, arn) in profiles
                .iter()
                .flat_map(|profile| profile.role_arns.iter().map(move |arn| (profile, arn)))
            {
                let Some(role) = roles.get(arn) else { continue };
                let request = SessionRequest {
                    asker: Asker::Certificate(CertificateAsker {
                        path: &path,
                        trust_anchor: &anchor,
                        profile,
                        role,
                    }),
                    partition: &settings.partition,
                    region: &settings.region,
                    duration_seconds: None,
                    role_session_name: None,
                    session_policies: &[],
                    token_bytes_min: 0,
                    now,
                    source_ip: caller.source(),
                    settings: settings.session_settings(),
                };
                match authorize(&request) {
                    Ok(_) => answer.roles.push(AssumableRole {
                        role: role.name.clone(),
                        role_arn: settings.role_arn(role),
                        profile_arn: settings.profile_arn(profile),
                        trust_anchor_arn: settings.anchor_arn(&anchor),
                    }),
                    Err(denial) => nearest.offer_denial(
                        named.contains(&role.name),
                        Error::SessionDenied {
                            denial: Box::new(denial),
                            role: settings.role_arn(role),
                        },
                    ),
                }
            }
        }
        if answer.roles.is_empty() {
            answer.nearest_refusal = nearest.0.map(|(_, error)| error.public());
        }
        Ok(answer)
    }
}

/// Of many refusals the one that came furthest: a role that the certificate names is nearer than another whose trust
/// policy answered, that one nearer than a certificate that was revoked, and that nearer than one of somebody else's.
#[derive(Default)]
struct Nearest(Option<(u8, Error)>);

impl Nearest {
    fn offer_denial(&mut self, named: bool, error: Error) {
        self.keep(if named { 0 } else { 1 }, error);
    }

    fn offer(&mut self, error: Error) {
        let distance = match &error {
            Error::CertificateIsRevoked { .. } => 2,
            Error::Path(PathError::UntrustedIssuer { .. }) => 4,
            _ => 3,
        };
        self.keep(distance, error);
    }

    fn keep(&mut self, distance: u8, error: Error) {
        if self
            .0
            .as_ref()
            .is_none_or(|(nearest, _)| distance < *nearest)
        {
            self.0 = Some((distance, error));
        }
    }
}
