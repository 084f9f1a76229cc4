//! Who signed a request with temporary credentials, and whether those still live.

use std::sync::Arc;

use bowline_sigv4::{Allowed, Payload, Rules, SignatureError, hmac};
use bowline_trust::{Session, TrustAnchor};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Channel};
use crate::environment::draw;
use crate::error::{Error, LifeError, StsError};
use crate::keyspace;
use crate::life::Scope;
use crate::operation::Operation;
use crate::service::Service;
use crate::sessions::{rules, signed_request};
use crate::wire::WireRequest;

/// The service name in the scope of a signed request to our own control plane.
pub const CONTROL_SERVICE: &str = "bowline";

/// The service name in the scope of a request to the security token service.
const STS_SERVICE: &str = "sts";

/// Stands in for the secret that an unknown access key does not have, so that a signature is worked out all the same.
const NO_SECRET: &str = "no secret, for no access key has this one";

impl Service {
    /// Who sent a request to the control plane. Without a signature it is nobody; with a wrong one it is refused.
    pub fn identify(&self, request: &WireRequest, channel: &Channel) -> Result<Caller, Error> {
        self.identified(request, channel)
            .inspect_err(|refusal| self.note_refused(channel.source, refusal))
    }

    /// Who sent a request to the security token service. Without a signature it is the certificate that was shown
    /// over TLS, or else nobody; with a wrong one it is refused.
    pub fn identify_for_sts(
        &self,
        request: &WireRequest,
        channel: &Channel,
    ) -> Result<Caller, Error> {
        self.identified_for_sts(request, channel)
            .inspect_err(|refusal| self.note_refused(channel.source, refusal))
    }

    fn identified(&self, request: &WireRequest, channel: &Channel) -> Result<Caller, Error> {
        let now = self.now();
        let source = channel.source;
        match request.header("authorization") {
            Some(authorization) if authorization.starts_with("AWS4-X509-") => {
                let signed = signed_request(request);
                let settings = self.settings()?;
                let presented = bowline_sigv4::x509::Presented::parse(&signed, &rules(&settings))?;
                // A signature for one operation must not open another.
                let authenticated = presented.bound_to_path().verify(now)?;
                let (leaf, chain) = (authenticated.leaf().clone(), authenticated.chain().to_vec());
                Ok(Caller::Certificate {
                    leaf,
                    chain,
                    source,
                })
            }
            // A certificate that was merely shown says nothing here: a browser shows one by itself.
            None if !signed_in_query(request) => Ok(Caller::Nobody { source }),
            Some(_) | None => self.signatory(request, channel, CONTROL_SERVICE, now),
        }
    }

    fn identified_for_sts(
        &self,
        request: &WireRequest,
        channel: &Channel,
    ) -> Result<Caller, Error> {
        if request.header("authorization").is_some() || signed_in_query(request) {
            return self.signatory(request, channel, STS_SERVICE, self.now());
        }
        let source = channel.source;
        Ok(match channel.certificates()? {
            Some((leaf, chain)) => Caller::Certificate {
                leaf,
                chain,
                source,
            },
            None => Caller::Nobody { source },
        })
    }

    /// The session whose credentials signed a request for one of our own services.
    fn signatory(
        &self,
        request: &WireRequest,
        channel: &Channel,
        service: &'static str,
        now: Time,
    ) -> Result<Caller, Error> {
        let rules = Rules {
            services: Allowed::only([service]),
            ..Rules::default()
        };
        let signed = signed_request(request);
        let (session, _) = self.authenticate(&signed, &rules, channel.shown(), now)?;
        let source = channel.source;
        Ok(Caller::Session { session, source })
    }

    /// Verifies a signature under temporary credentials, opens their token, and checks that they still live.
    ///
    /// `shown` is the SHA-256 of the certificate that whoever sent the request proved to hold the key of, if any.
    /// The errors come in the order of AWS: the date, the token, its time, the access key, the signature. Whatever
    /// is wrong, a signature is worked out; and only who signed rightly learns whether the session was ended.
    pub(crate) fn authenticate(
        &self,
        request: &bowline_sigv4::SignedRequest<'_>,
        rules: &Rules,
        shown: Option<[u8; 32]>,
        now: Time,
    ) -> Result<(Arc<Session>, Payload), Error> {
        let presented = hmac::Presented::parse_at(request, rules, now)?;
        let ring = self.key_ring()?;
        let id = presented.access_key_id();
        let token = presented.session_token();
        // Known from earlier, or opened now.
        let known = token.and_then(|token| self.cache.session(id, token));
        let fresh = known.is_none();
        let opened = match (known, token) {
            (Some(session), _) => session
                .check_time(now)
                .map(|()| session)
                .map_err(Error::from),
            (None, Some(token)) => ring.open(id, token, now).map(Arc::new).map_err(Error::from),
            (None, None) => Err(Error::SessionTokenMissing),
        };
        let secret = ring.secret_for(id);
        let signature = match &secret {
            Ok(secret) => presented.verify(secret, now),
            Err(_) => presented.verify(NO_SECRET, now),
        };
        let session = opened?;
        secret?;
        let verified = signature?;
        if let Some(token) = verified.session_token().filter(|_| fresh) {
            // Not before the signature is known to be right: a stranger must not fill the cache.
            let id = verified.access_key_id();
            self.cache.keep_session(id, token, session.clone());
        }
        check_confirmation(&session, shown)?;
        self.check_alive(&session)?;
        Ok((session, verified.payload()))
    }

    /// Whether what the session rests on still stands: no mark ends it, and neither its certificate nor its trust anchor
    /// is gone, nor a role that it was assumed from. Its own role is asked when it is decided on.
    fn check_alive(&self, session: &Session) -> Result<(), Error> {
        let claims = session.claims();
        match self.session_ends()?.ending(session) {
            Some(Scope::TrustAnchor(id)) => {
                let anchor = self.load::<TrustAnchor>(&keyspace::trust_anchor(&id.to_string())?)?;
                return Err(Error::SessionEndedByAnchor {
                    anchor: anchor.map_or_else(|| id.to_string(), |anchor| anchor.name.clone()),
                });
            }
            Some(scope) => {
                let scope = scope.kind();
                return Err(LifeError::SessionRevoked { scope }.into());
            }
            None => {}
        }
        for role in claims.chain.iter().filter_map(|link| link.role.as_ref()) {
            let found = self.role_of(&role.account, &role.name)?;
            role.check(found.as_deref().map(|found| &**found))?;
        }
        let Some(origin) = claims.certificate() else {
            return Ok(());
        };
        let certificate = &origin.certificate;
        if let Some(revoked) = self.revocation(&certificate.issuer_key_id, &certificate.serial)? {
            return Err(Error::SessionEndedByRevocation {
                serial: certificate.serial.to_hex(),
                at: revoked.at,
                reason: revoked.reason,
            });
        }
        let id = origin.trust_anchor.to_string();
        match self.load::<TrustAnchor>(&keyspace::trust_anchor(&id)?)? {
            Some(anchor) if anchor.enabled => Ok(()),
            Some(anchor) => Err(Error::SessionEndedByAnchor {
                anchor: anchor.name.clone(),
            }),
            None => Err(Error::SessionEndedByAnchor { anchor: id }),
        }
    }
}

/// Whether a session that is bound to a certificate came with it.
fn check_confirmation(session: &Session, shown: Option<[u8; 32]>) -> Result<(), Error> {
    // Fingerprints of certificates are no secrets: comparing them need not take the same time.
    match session.claims().confirmation {
        Some(bound) if shown != Some(bound) => Err(LifeError::CertificateNotShown {
            shown: shown.is_some(),
        }
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// Whether the target of a request carries any part of a signature.
fn signed_in_query(request: &WireRequest) -> bool {
    let query = request.target.split_once('?').map(|(_, query)| query);
    query.is_some_and(|query| query.contains("X-Amz-"))
}

/// Tells whose credentials signed a request. Needs no permission, but a role that is still there: others let people in
/// by this answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetCallerIdentity {}

/// Whose credentials they are.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallerIdentity {
    /// `AROA…:SESSION` of a role, `AIDA…` of a certificate as itself.
    pub user_id: String,
    /// The account.
    pub account: String,
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`, or `arn:aws:iam::…:user/…`.
    pub arn: String,
}

impl Operation for GetCallerIdentity {
    const NAME: &'static str = "get-caller-identity";
    type Answer = CallerIdentity;

    fn run(self, service: &Service, caller: &Caller) -> Result<CallerIdentity, Error> {
        let session = match caller {
            Caller::Session { session, .. } => session,
            Caller::Nobody { source } => {
                let refusal = Error::Signature(SignatureError::MissingAuthentication);
                service.note_refused(*source, &refusal);
                return Err(refusal);
            }
            Caller::Operator | Caller::Certificate { .. } => {
                return Err(StsError::SessionNeeded {
                    action: "GetCallerIdentity",
                }
                .into());
            }
        };
        service.session_layers(session)?;
        let claims = session.claims();
        Ok(CallerIdentity {
            user_id: claims.user_id(),
            account: claims.account.to_string(),
            arn: claims.principal_arn(),
        })
    }
}

impl Service {
    /// A fresh id for an answer, by which it can be found again in logs.
    pub fn request_id(&self) -> String {
        bowline_trust::Uuid::from_random(draw(&*self.entropy)).to_string()
    }
}
