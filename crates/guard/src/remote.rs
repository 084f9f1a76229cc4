//! The server that a relying service asks, and as whom it asks.

use std::sync::{Arc, Mutex, PoisonError};

use bowline_server::{Endpoint, Signing, TransportError, operations, sessions};
use bowline_service::{
    CONTROL_SERVICE, Clock, Error, Kind, ListAssumableRoles, Operation, PrivateKey, SessionAsk,
    SessionCredentials, SystemClock, Time, WireRequest, certificates_from_pem, session_request,
    sign_request, sign_request_with_certificate,
};

use crate::refused::Refused;

/// A server to ask.
pub struct Remote {
    endpoint: Endpoint,
    identity: Option<Identity>,
}

impl Remote {
    /// Asks as nobody: a server answers that from its own machine alone, and gives nobody a key.
    pub fn new(endpoint: Endpoint) -> Remote {
        Remote {
            endpoint,
            identity: None,
        }
    }

    /// Asks with credentials that the holder of a certificate gets.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Remote {
        self.identity = Some(identity);
        self
    }

    /// Runs an operation there. Blocks.
    pub(crate) fn call<O: Operation>(&self, operation: &O) -> Result<O::Answer, Refused> {
        self.called(operation).map_err(Refused::unavailable)
    }

    fn called<O: Operation>(&self, operation: &O) -> Result<O::Answer, IdentityError> {
        let Some(identity) = &self.identity else {
            return Ok(operations::call(&self.endpoint, None, operation)?);
        };
        let signing = identity.credentials(&self.endpoint)?;
        match operations::call(&self.endpoint, Some(&*signing), operation) {
            Err(TransportError::Refused(refused)) if refused.kind == Kind::Unauthenticated => {
                // Ended before their time: whoever may have new ones gets them.
                identity.forget(&signing);
                let signing = identity.credentials(&self.endpoint)?;
                Ok(operations::call(
                    &self.endpoint,
                    Some(&*signing),
                    operation,
                )?)
            }
            answer => Ok(answer?),
        }
    }
}

/// Why a relying service cannot ask.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate or the key does not read, or does not sign.
    #[error(transparent)]
    Material(#[from] Error),
    /// The server refuses, or is not there.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No role, or several and none is named.
    #[error("the certificate may assume {found:?}: name one of its roles")]
    Role {
        /// The roles it may assume.
        found: Vec<String>,
    },
}

/// The certificate of a relying service, which it trades for credentials whenever the old ones near their end.
pub struct Identity {
    certificates: Vec<Vec<u8>>,
    key: PrivateKey,
    role: Option<String>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Arc<Credentials>>>,
}

struct Credentials {
    credentials: SessionCredentials,
    region: String,
    /// From here on new ones are got.
    renew_at: Time,
    clock: Arc<dyn Clock>,
}

impl Identity {
    /// Reads a certificate with its chain, leaf first, and its key, PEM. Without a role, the only one is taken.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        role: Option<&str>,
    ) -> Result<Identity, IdentityError> {
        Ok(Identity {
            certificates: certificates_from_pem(certificates)?,
            key: PrivateKey::from_pem(key, None)?,
            role: role.map(str::to_owned),
            clock: Arc::new(SystemClock),
            current: Mutex::new(None),
        })
    }

    /// Credentials that still live for a while. One caller gets them, the others wait.
    fn credentials(&self, endpoint: &Endpoint) -> Result<Arc<Credentials>, IdentityError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credentials) = &*current
            && self.clock.now() < credentials.renew_at
        {
            return Ok(credentials.clone());
        }
        let fresh = Arc::new(self.trade(endpoint)?);
        *current = Some(fresh.clone());
        Ok(fresh)
    }

    fn forget(&self, old: &Arc<Credentials>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|credentials| Arc::ptr_eq(credentials, old))
        {
            *current = None;
        }
    }

    fn trade(&self, endpoint: &Endpoint) -> Result<Credentials, IdentityError> {
        let (leaf, chain) = self
            .certificates
            .split_first()
            .ok_or_else(|| IdentityError::Role { found: Vec::new() })?;
        let ask = ListAssumableRoles {
            certificate: leaf.clone(),
            chain: chain.to_vec(),
        };
        let offered = operations::call(endpoint, Some(&ByCertificate(self)), &ask)?;
        let names = || offered.roles.iter().map(|role| role.role.clone()).collect();
        let chosen = match &self.role {
            Some(wanted) => offered
                .roles
                .iter()
                .find(|role| role.role == *wanted || role.role_arn == *wanted),
            None => offered
                .roles
                .first()
                .filter(|first| offered.roles.iter().all(|role| role.role == first.role)),
        };
        let chosen = chosen.ok_or_else(|| IdentityError::Role { found: names() })?;
        let ask = SessionAsk {
            role_arn: chosen.role_arn.clone(),
            profile_arn: chosen.profile_arn.clone(),
            trust_anchor_arn: chosen.trust_anchor_arn.clone(),
            duration_seconds: None,
            role_session_name: None,
        };
        let now = self.clock.now();
        let request = session_request(
            &ask,
            &endpoint.authority(),
            &self.certificates,
            &self.key,
            &offered.region,
            now,
        )?;
        let credentials = sessions::create_session(endpoint, &request)?;
        let life = credentials.expiration.signed_duration_since(now);
        Ok(Credentials {
            renew_at: now + life * 3 / 4,
            credentials,
            region: offered.region,
            clock: self.clock.clone(),
        })
    }
}

/// Signs with the key of the certificate.
struct ByCertificate<'a>(&'a Identity);

impl Signing for ByCertificate<'_> {
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError> {
        let Identity {
            certificates, key, ..
        } = self.0;
        // The region is not looked at before the server has told its own.
        sign_request_with_certificate(request, certificates, key, "us-east-1", self.0.clock.now())
            .map_err(|error| unsigned(&error))
    }
}

impl Signing for Credentials {
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError> {
        let now = self.clock.now();
        sign_request(
            request,
            &self.credentials,
            &self.region,
            CONTROL_SERVICE,
            now,
        )
        .map_err(|error| unsigned(&error))
    }
}

fn unsigned(error: &Error) -> TransportError {
    TransportError::Signing {
        reason: error.to_string(),
    }
}
