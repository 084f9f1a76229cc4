//! Trading a certificate for temporary credentials: the exchange, and why it was refused.

use std::fmt;
use std::sync::Arc;

use bowline_policy::Layers;
use bowline_sigv4::{Body, Rules, SignedRequest, x509::Presented};
use bowline_store::Commit;
use bowline_trust::{AnchorSource, Asker, CertificateAsker, Session, TrustAnchor};
use bowline_x509::path::{self, PathRules, VerifiedPath};
use bowline_x509::{Certificate, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit::{Event, SessionVia};
use crate::caller::Caller;
use crate::error::Error;
use crate::operation::Operation;
use crate::pending::Pending;
use crate::service::Service;
use crate::settings::Settings;
use crate::sts::grant_session::{GrantAsk, Granted};
use crate::wire::WireRequest;

/// Where sessions are created.
pub const PATH: &str = "/sessions";

/// Trades the certificate that signed a request for temporary credentials of the role it names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The request as it came, signed with AWS4-X509.
    pub request: WireRequest,
}

/// A secret text: shown to nobody by accident, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Secret {
        Secret(text)
    }
}

impl Secret {
    /// The text itself, for the one place that hands it to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Temporary credentials, and whose they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionCredentials {
    /// Names the credentials in every request signed with them.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: Secret,
    /// Goes with every request.
    pub session_token: Secret,
    /// When they stop being accepted.
    pub expiration: Time,
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub assumed_role_arn: String,
    /// `AROA…:SESSION`.
    pub assumed_role_id: String,
    /// The role's ARN.
    pub role_arn: String,
    /// Who the certificate is, as it stays with every later request.
    pub source_identity: String,
    /// The subject's ARN.
    pub subject_arn: String,
    /// The token's share of the largest token, in percent.
    pub packed_policy_size: u32,
}

/// The parameters of CreateSession, from the query or from the body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    profile_arn: Option<String>,
    role_arn: Option<String>,
    trust_anchor_arn: Option<String>,
    duration_seconds: Option<u32>,
    role_session_name: Option<String>,
}

impl Operation for CreateSession {
    const NAME: &'static str = "create-session";
    type Answer = SessionCredentials;

    /// The signature is the authorization: whoever brings the request.
    fn run(self, service: &Service, caller: &Caller) -> Result<SessionCredentials, Error> {
        service.finish(self.begin(service, caller)?)
    }
}

impl CreateSession {
    /// Trades, up to the commit that must be made before the credentials are given.
    pub fn begin(
        self,
        service: &Service,
        caller: &Caller,
    ) -> Result<Pending<SessionCredentials>, Error> {
        let mut believed = false;
        let pending = self.exchange(service, caller, &mut believed);
        if let Err(refusal) = &pending
            && !believed
        {
            service.note_refused(caller.source(), refusal);
        }
        pending
    }

    /// Trades. Says whether it came so far that the certificate was believed: a refusal from there on is an event.
    fn exchange(
        self,
        service: &Service,
        caller: &Caller,
        believed: &mut bool,
    ) -> Result<Pending<SessionCredentials>, Error> {
        let settings = service.settings()?;
        let now = service.now();
        // 1. Who signed, and did they. Cheap, and before anything is looked up.
        let signed = signed_request(&self.request);
        let presented = Presented::parse(&signed, &rules(&settings))?;
        let parameters = Parameters::read(&self.request)?;
        let authenticated = presented.verify(now)?;

        // 2. Where it is asked. Whole ARNs only: a stranger shall not find out names.
        let anchor = service.anchor_by_arn(
            &settings,
            need("trustAnchorArn", parameters.trust_anchor_arn.as_deref())?,
        )?;
        let profile = service.profile_by_arn(
            &settings,
            need("profileArn", parameters.profile_arn.as_deref())?,
        )?;
        let role_arn = need("roleArn", parameters.role_arn.as_deref())?;

        // 3. Is the certificate believed. What follows is said only to those who are.
        let leaf = authenticated.leaf();
        let asked = Asked {
            leaf,
            role_arn,
            caller,
            now,
        };
        let path = match service.verify_path(leaf, authenticated.chain(), &anchor, now) {
            Err(error @ Error::CertificateIsRevoked { .. }) => {
                *believed = true;
                return Err(service.refused(&asked, error, Commit::new()));
            }
            path => path?,
        };
        *believed = true;
        let found = match service.find_role(role_arn) {
            // No role has a name that no role can have.
            Err(Error::NameEmpty | Error::NameTooLong { .. }) => None,
            found => found?,
        };
        let Some(role) = found.filter(|_| role_arn.starts_with("arn:")) else {
            let refusal = Error::SessionRoleUnknown {
                role: role_arn.into(),
            };
            return Err(service.refused_subject(&asked, refusal));
        };

        // 4. The decision, and what comes of it.
        let pending = service.prepare_session(GrantAsk {
            asker: Asker::Certificate(CertificateAsker {
                path: &path,
                trust_anchor: &anchor,
                profile: &profile,
                role: &role,
            }),
            role_arn,
            via: SessionVia::CreateSession,
            caller,
            duration_seconds: parameters.duration_seconds,
            role_session_name: parameters.role_session_name.as_deref(),
            session_policies: &[],
            minimum_session_token_size: None,
            commit: Commit::new(),
            now,
        })?;
        pending.try_map(answer)
    }
}

/// What is answered of a session that was granted.
fn answer(granted: Granted) -> Result<SessionCredentials, Error> {
    let Granted { grant, credentials } = granted;
    let claims = grant.claims();
    let certificate = grant
        .certificate()
        .ok_or_else(|| Error::internal("a certificate was granted a session of none"))?;
    Ok(SessionCredentials {
        access_key_id: credentials.access_key_id.to_string(),
        secret_access_key: Secret(credentials.secret_access_key),
        session_token: Secret::from(credentials.session_token),
        expiration: credentials.expiration,
        assumed_role_arn: claims.principal_arn(),
        assumed_role_id: claims.user_id(),
        role_arn: claims.role_arn().unwrap_or_default(),
        source_identity: claims.source_identity.clone().unwrap_or_default(),
        subject_arn: certificate.subject_arn.clone(),
        packed_policy_size: credentials.packed_policy_size.into(),
    })
}

impl Settings {
    pub(crate) fn session_settings(&self) -> bowline_trust::Settings {
        bowline_trust::Settings {
            credentials_end_with_certificate: self.credentials_end_with_certificate,
        }
    }
}

/// What a signature on a CreateSession may say.
pub(crate) fn rules(settings: &Settings) -> Rules {
    let mut rules = Rules::default();
    if settings.enforce_region {
        rules.regions = bowline_sigv4::Allowed::only([settings.region.clone()]);
    }
    rules
}

pub(crate) fn signed_request(request: &WireRequest) -> SignedRequest<'_> {
    SignedRequest::new(
        &request.method,
        &request.target,
        &request.headers,
        Body::Bytes(&request.body),
    )
}

fn need<'a>(parameter: &'static str, value: Option<&'a str>) -> Result<&'a str, Error> {
    value
        .filter(|value| !value.is_empty())
        .ok_or(Error::SessionParameterMissing { parameter })
}

impl Parameters {
    /// Joins query and body. Where both name something, they must agree.
    fn read(request: &WireRequest) -> Result<Parameters, Error> {
        let mut parameters = if request.body.iter().all(u8::is_ascii_whitespace) {
            Parameters::default()
        } else {
            serde_json::from_slice(&request.body).map_err(|error| Error::SessionBody {
                reason: error.to_string(),
            })?
        };
        for (name, value) in query_parameters(&request.target) {
            let place = match name.as_str() {
                "profileArn" => &mut parameters.profile_arn,
                "roleArn" => &mut parameters.role_arn,
                "trustAnchorArn" => &mut parameters.trust_anchor_arn,
                "roleSessionName" => &mut parameters.role_session_name,
                _ => continue,
            };
            match place {
                Some(other) if *other != value => {
                    return Err(Error::SessionParameterTwice {
                        parameter: name,
                        query: value,
                        body: other.clone(),
                    });
                }
                Some(_) | None => *place = Some(value),
            }
        }
        Ok(parameters)
    }
}

/// The parameters of a query, decoded.
fn query_parameters(target: &str) -> Vec<(String, String)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    // A plus sign is itself, as it is for the signature; only forms write a space so.
    form_urlencoded::parse(query.replace('+', "%2B").as_bytes())
        .into_owned()
        .collect()
}

impl Service {
    /// Whether a certificate is one that we have a record of. A signature alone could come from a stolen key.
    fn check_issued(&self, leaf: &Certificate) -> Result<(), Error> {
        match self.certificate_record(leaf.serial()) {
            Ok(record) if record.certificate == leaf.der() => Ok(()),
            Ok(_) | Err(Error::CertificateUnknown { .. }) => Err(Error::CertificateNotOurs {
                serial: leaf.serial().to_hex(),
            }),
            Err(error) => Err(error),
        }
    }

    /// The policies that bind a session as they are now.
    pub(crate) fn session_layers(&self, session: &Session) -> Result<Layers, Error> {
        let role = match session.claims().role() {
            Some(role) => self.role_of(&session.claims().account, &role.name)?,
            None => None,
        };
        Ok(session.layers(role.as_deref().map(|role| &**role), None)?)
    }

    /// Verifies a leaf up to an anchor, and that nothing on the way is revoked. A path that was found good stays
    /// good while its certificates, its anchor and the clock say so; revocations are asked about every time.
    pub(crate) fn verify_path(
        &self,
        leaf: &Certificate,
        chain: &[Certificate],
        anchor: &TrustAnchor,
        now: Time,
    ) -> Result<Arc<VerifiedPath>, Error> {
        let anchors = self.anchor_certificates(anchor)?;
        let question = fingerprint_of(anchor, leaf, chain, &anchors);
        let path = match self.cache.path(&question, now) {
            Some(path) => path,
            None => {
                let rules = PathRules::authentication();
                let path = Arc::new(path::verify(leaf, chain, &anchors, &[], &rules, now)?);
                if let AnchorSource::Authority(_) = &anchor.source {
                    self.check_issued(leaf)?;
                }
                self.cache.keep_path(question, path.clone(), now);
                path
            }
        };
        for pair in path.certificates().windows(2) {
            let [certificate, issuer] = pair else {
                continue;
            };
            let issuer_key = issuer
                .public_key()
                .map_err(|error| Error::Key(error.clone()))?;
            if let Some(revoked) = self.revocation(&issuer_key.key_id(), certificate.serial())? {
                return Err(Error::CertificateIsRevoked {
                    serial: certificate.serial().to_hex(),
                    at: revoked.at,
                    reason: revoked.reason,
                });
            }
        }
        Ok(path)
    }

    /// Writes down that a certificate was refused whose path is good, and that its subject was seen.
    fn refused_subject(&self, asked: &Asked<'_>, refusal: Error) -> Error {
        match self.see(Commit::new(), asked.leaf, true, asked.now) {
            Ok((commit, sighting)) => {
                let refusal = self.refused(asked, refusal, commit);
                self.keep_sighting(sighting, asked.now);
                refusal
            }
            Err(error) => error,
        }
    }

    /// Writes down that a certificate we believe, or had believed, was refused.
    fn refused(&self, asked: &Asked<'_>, refusal: Error, commit: Commit) -> Error {
        let public = refusal.public();
        let event = Event::SessionDenied {
            code: public.code.into_owned(),
            reason: public.message,
            role: asked.role_arn.into(),
            via: SessionVia::CreateSession,
            serial: Some(asked.leaf.serial().to_hex()),
            subject: Some(asked.leaf.subject().to_string()),
            provider: None,
        };
        let who = hex::encode(asked.leaf.fingerprint());
        match self.commit_refusal(&who, commit, asked.caller, asked.now, event, &refusal) {
            Ok(()) => refusal,
            // A log that cannot be written is the bigger trouble.
            Err(error) => error,
        }
    }
}

/// Who asks for what, for the log.
struct Asked<'a> {
    leaf: &'a Certificate,
    role_arn: &'a str,
    caller: &'a Caller,
    now: Time,
}

/// SHA-256 over everything a path was found from.
fn fingerprint_of(
    anchor: &TrustAnchor,
    leaf: &Certificate,
    chain: &[Certificate],
    anchors: &[Certificate],
) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    // Two anchors may hold one certificate, and ask different things of a leaf.
    context.update(anchor.id.as_bytes());
    context.update(&leaf.fingerprint());
    // The counts keep a chain from passing for anchors.
    context.update(&(chain.len() as u64).to_be_bytes());
    for certificate in chain.iter().chain(anchors) {
        context.update(&certificate.fingerprint());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
