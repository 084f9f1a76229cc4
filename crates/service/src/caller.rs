//! Who asks, and what they may do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bowline_policy::{AccountId, Arn, Effect};
use bowline_sigv4::x509::CHAIN_MAX;
use bowline_store::Commit;
use bowline_trust::Session;
use bowline_x509::Certificate;

use crate::audit::Event;
use crate::authorization::{Circumstances, ContextValue, Question};
use crate::error::Error;
use crate::service::Service;
use crate::sts::{Denied, statements};

/// What a request came over, as the rim saw it.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    /// The address of the peer.
    pub source: Option<IpAddr>,
    /// The certificates that the client sent in the TLS handshake, DER, its own first. TLS proved that it holds
    /// the key of the first; nothing else about them is believed yet.
    pub client_certificates: Vec<Vec<u8>>,
}

impl Channel {
    /// A connection over which no certificate was shown.
    pub fn from_source(source: Option<IpAddr>) -> Channel {
        Channel {
            source,
            client_certificates: Vec::new(),
        }
    }

    /// The SHA-256 of the certificate whose key the client proved to hold, if it showed one.
    pub fn shown(&self) -> Option<[u8; 32]> {
        let leaf = self.client_certificates.first()?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, leaf).as_ref());
        Some(fingerprint)
    }

    /// The certificates, read; `None` if none were shown.
    pub(crate) fn certificates(&self) -> Result<Option<(Certificate, Vec<Certificate>)>, Error> {
        let Some((leaf, chain)) = self.client_certificates.split_first() else {
            return Ok(None);
        };
        if chain.len() > CHAIN_MAX {
            return Err(Error::ChainTooLong {
                count: chain.len(),
                limit: CHAIN_MAX,
            });
        }
        let chain = chain
            .iter()
            .map(|der| Certificate::from_der(der))
            .collect::<Result<_, _>>()?;
        Ok(Some((Certificate::from_der(leaf)?, chain)))
    }
}

/// Who runs an operation. Built at the rim, from what was proved there.
#[derive(Clone)]
pub enum Caller {
    /// The owner of the home on this machine: holds the store's lock, or spoke over the
    /// control socket as the same user.
    Operator,
    /// Holds the private key of this certificate, as a signed request or the TLS handshake showed. Which anchor
    /// vouches for it, if any, each operation checks for itself.
    Certificate {
        /// The end entity certificate.
        leaf: Certificate,
        /// The certificates sent along.
        chain: Vec<Certificate>,
        /// Where the request came from.
        source: Option<IpAddr>,
    },
    /// Holds temporary credentials, as a signed request showed.
    Session {
        /// The opened session.
        session: Arc<Session>,
        /// Where the request came from.
        source: Option<IpAddr>,
    },
    /// Proved nothing.
    Nobody {
        /// Where the request came from.
        source: Option<IpAddr>,
    },
}

impl Caller {
    /// The words for the event log.
    pub fn describe(&self) -> String {
        match self {
            Caller::Operator => "operator".into(),
            // Its key was proved, its subject was not: only the fingerprint is certain.
            Caller::Certificate { leaf, .. } => {
                format!("unverified certificate {}", hex::encode(leaf.fingerprint()))
            }
            Caller::Session { session, .. } => session.claims().principal_arn(),
            Caller::Nobody { .. } => "nobody".into(),
        }
    }

    /// Where the request came from, if it came over a network.
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            Caller::Operator => None,
            Caller::Certificate { source, .. }
            | Caller::Session { source, .. }
            | Caller::Nobody { source } => *source,
        }
    }

    /// Whether the request came from this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Caller::Operator)
            || self
                .source()
                .is_some_and(|address| address.to_canonical().is_loopback())
    }
}

impl Service {
    /// Refuses a caller that may not take `action` on `resource`. The first line of every operation.
    ///
    /// The operator on this machine may do everything. Sessions may do what the policies of
    /// their role allow: the same policies, and the same evaluator, that judge everyone else.
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
    ) -> Result<(), Error> {
        self.authorize_with(caller, action, resource, &BTreeMap::new())
    }

    /// Like [`Service::authorize`], for a resource that may not exist. Before anything is said about
    /// that, the caller must be allowed to take the action on every resource.
    pub(crate) fn authorize_found(
        &self,
        caller: &Caller,
        action: &str,
        arn: Option<String>,
    ) -> Result<(), Error> {
        self.authorize(caller, action, arn.as_deref().unwrap_or("*"))
    }

    /// Like [`Service::authorize`], with condition keys of the operation.
    pub(crate) fn authorize_with(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        keys: &BTreeMap<String, ContextValue>,
    ) -> Result<(), Error> {
        let now = self.now();
        let because = match caller {
            Caller::Operator => return Ok(()),
            Caller::Session { session, source } => {
                let question = Question {
                    action,
                    resource,
                    account: Some(self.account_asked(session, action, resource)?),
                    keys: Some(keys),
                };
                let circumstances = Circumstances {
                    source: *source,
                    given: &BTreeMap::new(),
                    traced: false,
                };
                let decided = self
                    .bound(session, now)?
                    .decide(&question, &circumstances)?;
                if decided.decision.is_allowed() {
                    return Ok(());
                }
                self.reason_for(&Denied {
                    session,
                    action,
                    resource,
                    explicit: decided.decision.effect == Effect::ExplicitDeny,
                    matched: &statements(&decided.decision),
                    reason: &decided.decision.reason(action),
                    source: *source,
                    given: keys,
                    now,
                })?
            }
            Caller::Certificate { .. } | Caller::Nobody { .. } => {
                return Err(Error::CredentialsNeeded {
                    action: action.into(),
                });
            }
        };
        let resource = resource.to_owned();
        let event = Event::ActionDenied {
            action: action.into(),
            resource: resource.clone(),
        };
        let refusal = Error::NotAuthorized {
            caller: caller.describe(),
            action: action.into(),
            resource,
            because,
        };
        let who = caller.describe();
        self.commit_refusal(&who, Commit::new(), caller, now, event, &refusal)?;
        Err(refusal)
    }

    /// Whose account an action of ours is about: the home's, whose resources these are. A role of another account that
    /// may do everything may do it there, with what is that account's and with what is its session's own.
    fn account_asked(
        &self,
        session: &Session,
        action: &str,
        resource: &str,
    ) -> Result<AccountId, Error> {
        let own = session.claims().account;
        let named = resource
            .parse::<Arn>()
            .ok()
            .and_then(|arn| arn.account_id());
        if named == Some(own) || ABOUT_ITSELF.contains(&action) {
            return Ok(own);
        }
        self.settings()?.account_id()
    }
}

/// The actions of a session that are about nobody but itself.
const ABOUT_ITSELF: [&str; 3] = [
    "sts:GetAccessKeyInfo",
    "sts:GetWebIdentityToken",
    "sts:TagGetWebIdentityToken",
];
