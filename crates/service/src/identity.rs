//! Who signed a request with temporary credentials, and whether those still live.

use std::net::IpAddr;
use std::sync::Arc;

use bowline_sigv4::{Allowed, Payload, Rules, hmac};
use bowline_trust::{Session, Watermark};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::anchors::SessionsEnded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::service::Service;
use crate::sessions::{rules, signed_request};
use crate::wire::WireRequest;

/// The service name in the scope of a signed request to our own control plane.
pub const CONTROL_SERVICE: &str = "bowline";

impl Service {
    /// Who signed a control-plane request. Without a signature it is nobody; with a wrong one it is refused.
    pub fn identify(&self, request: &WireRequest, source: Option<IpAddr>) -> Result<Caller, Error> {
        self.identified(request, source)
            .inspect_err(|refusal| self.note_refused(source, refusal))
    }

    fn identified(&self, request: &WireRequest, source: Option<IpAddr>) -> Result<Caller, Error> {
        let now = self.now();
        let signed = signed_request(request);
        let in_query = request
            .target
            .split_once('?')
            .is_some_and(|(_, query)| query.contains("X-Amz-"));
        match request.header("authorization") {
            Some(authorization) if authorization.starts_with("AWS4-X509-") => {
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
            None if !in_query => Ok(Caller::Nobody { source }),
            Some(_) | None => {
                let rules = Rules {
                    services: Allowed::only([CONTROL_SERVICE]),
                    ..Rules::default()
                };
                let (session, _) = self.authenticate(&signed, &rules, now)?;
                Ok(Caller::Session { session, source })
            }
        }
    }

    /// Verifies a signature under temporary credentials, opens their token, and checks that they still live.
    pub(crate) fn authenticate(
        &self,
        request: &bowline_sigv4::SignedRequest<'_>,
        rules: &Rules,
        now: Time,
    ) -> Result<(Arc<Session>, Payload), Error> {
        let presented = hmac::Presented::parse(request, rules)?;
        let ring = self.key_ring()?;
        let secret = ring.secret_for(presented.access_key_id())?;
        // Only a right signature is told anything about the token.
        let verified = presented.verify(&secret, now)?;
        let token = verified.session_token().ok_or(Error::SessionTokenMissing)?;
        let id = verified.access_key_id();
        let session = match self.cache.session(id, token) {
            Some(session) => {
                session.check_time(now)?;
                session
            }
            None => {
                let session = Arc::new(ring.open(id, token, now)?);
                self.cache.keep_session(id, token, session.clone());
                session
            }
        };
        self.check_alive(&session)?;
        Ok((session, verified.payload()))
    }

    /// Whether what the session rests on still stands: its certificate and its trust anchor.
    fn check_alive(&self, session: &Session) -> Result<(), Error> {
        let claims = session.claims();
        let certificate = &claims.certificate;
        if let Some(revoked) = self.revocation(&certificate.issuer_key_id, &certificate.serial)? {
            return Err(Error::SessionEndedByRevocation {
                serial: certificate.serial.to_hex(),
                at: revoked.at,
                reason: revoked.reason,
            });
        }
        let id = claims.trust_anchor.to_string();
        match self.load::<bowline_trust::TrustAnchor>(&keyspace::trust_anchor(&id)?)? {
            Some(anchor) if anchor.enabled => {
                match self.load::<SessionsEnded>(&keyspace::anchor_sessions_ended(&id)?)? {
                    Some(ended)
                        if session.ended_by(&Watermark {
                            not_before: ended.until,
                        }) =>
                    {
                        Err(Error::SessionEndedByAnchor {
                            anchor: anchor.name.clone(),
                        })
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Some(anchor) => Err(Error::SessionEndedByAnchor {
                anchor: anchor.name.clone(),
            }),
            None => Err(Error::SessionEndedByAnchor { anchor: id }),
        }
    }
}

/// Tells whose credentials signed a request. Needs no permission.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetCallerIdentity {
    /// The request as it came.
    pub request: WireRequest,
}

/// Whose credentials they are.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallerIdentity {
    /// `AROA…:SESSION`.
    pub user_id: String,
    /// The account.
    pub account: String,
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub arn: String,
}

impl Operation for GetCallerIdentity {
    const NAME: &'static str = "get-caller-identity";
    type Answer = CallerIdentity;

    fn run(self, service: &Service, caller: &Caller) -> Result<CallerIdentity, Error> {
        let rules = Rules {
            services: Allowed::only(["sts"]),
            ..Rules::default()
        };
        let (session, _) = service
            .authenticate(&signed_request(&self.request), &rules, service.now())
            .inspect_err(|refusal| service.note_refused(caller.source(), refusal))?;
        let claims = session.claims();
        Ok(CallerIdentity {
            user_id: claims.assumed_role_id(),
            account: claims.account.to_string(),
            arn: claims.assumed_role_arn(),
        })
    }
}

impl Service {
    /// A fresh id for an answer, by which it can be found again in logs.
    pub fn request_id(&self) -> String {
        bowline_trust::Uuid::from_random(draw(&*self.entropy)).to_string()
    }
}
