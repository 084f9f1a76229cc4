//! Who asks, and what they may do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bowline_store::Commit;
use bowline_trust::Session;
use bowline_x509::Certificate;

use crate::audit::Event;
use crate::authorization::ContextValue;
use crate::error::Error;
use crate::service::Service;

/// Who runs an operation. Built at the rim, from what was proved there.
#[derive(Clone)]
pub enum Caller {
    /// The owner of the home on this machine: holds the store's lock, or spoke over the
    /// control socket as the same user.
    Operator,
    /// Holds the private key of this certificate, as a signed request showed. Which anchor
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
            Caller::Session { session, .. } => session.claims().assumed_role_arn(),
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
                let decided =
                    self.evaluate(session, *source, action, resource, keys, now, false)?;
                if decided.decision.is_allowed() {
                    return Ok(());
                }
                decided.decision.reason(action)
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
}
