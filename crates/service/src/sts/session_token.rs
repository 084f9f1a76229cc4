//! GetSessionToken: credentials of a certificate as itself, with or without a second factor.
//!
//! The caller shows the certificate over TLS, and signs nothing. What it gets is a user under the trust anchor that
//! vouches for it: no policy of its own, so it can do no more than take the roles that trust it.

use std::sync::Arc;

use bowline_store::Commit;
use bowline_trust::{Asker, ItselfAsker, TrustAnchor, subject_id};
use bowline_x509::path::{PathError, VerifiedPath};
use bowline_x509::{Certificate, Time};
use serde::{Deserialize, Serialize};

use super::grant_session::{GrantAsk, StsCredentials};
use super::validation::Validation;
use crate::audit::{Event, SessionVia};
use crate::caller::Caller;
use crate::error::{Error, StsError};
use crate::keyspace;
use crate::operation::Operation;
use crate::service::Service;

/// Gives credentials to the holder of a certificate as itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GetSessionToken {
    /// How long the session shall last, in seconds: 900 to 129,600; 43,200 if not given.
    pub duration_seconds: Option<u32>,
    /// The caller's MFA device.
    pub serial_number: Option<String>,
    /// The code that the device shows.
    pub token_code: Option<String>,
    /// How long the session token shall be at least, in bytes.
    pub minimum_session_token_size: Option<u32>,
}

/// Credentials of a certificate as itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionToken {
    /// What the caller acts with from now on.
    pub credentials: StsCredentials,
    /// The token's share of the largest token, in percent.
    pub packed_policy_size: u32,
    /// The bytes of the token.
    pub session_token_size: u32,
}

impl Operation for GetSessionToken {
    const NAME: &'static str = "get-session-token";
    type Answer = SessionToken;

    /// The certificate is the authorization: its key was proved, and an anchor vouches for it.
    fn run(self, service: &Service, caller: &Caller) -> Result<SessionToken, Error> {
        let (leaf, chain) = match caller {
            Caller::Certificate { leaf, chain, .. } => (leaf, chain),
            Caller::Session { .. } => return Err(StsError::SessionTokenOfSession.into()),
            Caller::Operator | Caller::Nobody { .. } => {
                return Err(StsError::CertificateNeeded.into());
            }
        };
        let now = service.now();
        // 1. Who vouches for it. Until then it is a stranger, whose refusals are counted.
        let (anchor, path) = self
            .validate()
            .map_err(Error::from)
            .and_then(|()| service.anchor_of(leaf, chain, now))
            .inspect_err(|refusal| service.note_refused(caller.source(), refusal))?;
        // 2. The second factor, if one is given. From here on a refusal is an event.
        let proof = service
            .verify_mfa(
                Some(&subject_id(leaf.subject())),
                self.serial_number.as_deref(),
                self.token_code.as_deref(),
                now,
            )
            .map_err(|refusal| service.tell_refused_code(leaf, caller, refusal, now))?;
        let mfa_at = proof.as_ref().map(|proof| proof.at);
        let commit = match proof {
            Some(proof) => proof.add_to(Commit::new()),
            None => Commit::new(),
        };
        // 3. The decision, and the credentials.
        let granted = service.grant_session(GrantAsk {
            asker: Asker::Itself(ItselfAsker {
                path: &path,
                trust_anchor: &anchor,
                mfa_at,
            }),
            role_arn: "",
            via: SessionVia::SessionToken,
            caller,
            duration_seconds: self.duration_seconds,
            role_session_name: None,
            session_policies: &[],
            minimum_session_token_size: self.minimum_session_token_size,
            commit,
            now,
        })?;
        Ok(SessionToken {
            credentials: granted.sts_credentials(),
            packed_policy_size: granted.credentials.packed_policy_size.into(),
            session_token_size: granted.session_token_size(),
        })
    }
}

impl GetSessionToken {
    /// The limits of STS, before anything is looked up.
    fn validate(&self) -> Result<(), StsError> {
        let mut validation = Validation::default();
        validation
            .range("durationSeconds", self.duration_seconds, &(900..=129_600))
            .range(
                "minimumSessionTokenSize",
                self.minimum_session_token_size,
                &(0..=4_096),
            );
        if let Some(serial) = &self.serial_number {
            validation.length("serialNumber", serial, 9, 256);
        }
        if let Some(code) = &self.token_code {
            validation
                .length("tokenCode", code, 6, 6)
                .pattern("tokenCode", code, r"[\d]*", |c| c.is_ascii_digit());
        }
        validation.finish()
    }
}

/// Whether a refusal tells more than another: an anchor that knows the certificate has more to say than one that does not,
/// and that it was revoked is the last word.
fn nearer(one: &Error, other: &Error) -> bool {
    let distance = |error: &Error| match error {
        Error::CertificateIsRevoked { .. } => 0,
        Error::Path(PathError::UntrustedIssuer { .. }) => 2,
        _ => 1,
    };
    distance(one) < distance(other)
}

impl Service {
    /// The one enabled trust anchor that vouches for a certificate, and the path up to it. Which user a certificate is,
    /// is the word of an anchor: where two would give it, none counts.
    fn anchor_of(
        &self,
        leaf: &Certificate,
        chain: &[Certificate],
        now: Time,
    ) -> Result<(TrustAnchor, Arc<VerifiedPath>), Error> {
        let mut refusal: Option<Error> = None;
        let mut found: Option<(TrustAnchor, Arc<VerifiedPath>)> = None;
        for anchor in self.load_all::<TrustAnchor>(&keyspace::trust_anchors())? {
            if !anchor.enabled {
                continue;
            }
            match self.verify_path(leaf, chain, &anchor, now) {
                Ok(path) => match found {
                    None => found = Some((anchor, path)),
                    Some((first, _)) => {
                        return Err(StsError::AnchorAmbiguous {
                            subject: leaf.subject().to_string(),
                            anchors: vec![first.name, anchor.name],
                        }
                        .into());
                    }
                },
                Err(error) if error.refusal().is_some() => {
                    if refusal.as_ref().is_none_or(|other| nearer(&error, other)) {
                        refusal = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        match (found, refusal) {
            // Revoked under one of its anchors, it is revoked.
            (_, Some(error @ Error::CertificateIsRevoked { .. })) => Err(error),
            (Some(found), _) => Ok(found),
            (None, Some(error)) => Err(error),
            (None, None) => Err(StsError::AnchorMissing {
                subject: leaf.subject().to_string(),
            }
            .into()),
        }
    }

    /// Writes down that a certificate we believe came with a code that was not accepted.
    fn tell_refused_code(
        &self,
        leaf: &Certificate,
        caller: &Caller,
        refusal: Error,
        now: Time,
    ) -> Error {
        let public = refusal.public();
        let event = Event::SessionDenied {
            code: public.code.into_owned(),
            reason: public.message,
            role: String::new(),
            via: SessionVia::SessionToken,
            serial: Some(leaf.serial().to_hex()),
            subject: Some(leaf.subject().to_string()),
            provider: None,
        };
        let who = hex::encode(leaf.fingerprint());
        match self.commit_refusal(&who, Commit::new(), caller, now, event, &refusal) {
            Ok(()) => refusal,
            // A log that cannot be written is the bigger trouble.
            Err(error) => error,
        }
    }
}
