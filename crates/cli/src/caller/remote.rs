//! A server somewhere else, and proving to it who asks: with a certificate, or with the credentials it was
//! traded for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use bowline_server::{Endpoint, Signing, TransportError, operations, sessions};
use bowline_service::{
    AssumableRole, CONTROL_SERVICE, Clock, Kind, ListAssumableRoles, Operation, PublicError,
    SessionAsk, SessionCredentials, Sink, Transfer, WireRequest, session_request, sign_request,
    sign_request_with_certificate,
};

use crate::error::Error;
use crate::home::variable;
use crate::pair::Pair;

/// A server, and who asks it.
pub(crate) struct Server {
    endpoint: Endpoint,
    signing: Option<Box<dyn Signing>>,
}

impl Server {
    /// Asks as nobody.
    pub(crate) fn new(endpoint: Endpoint) -> Server {
        Server {
            endpoint,
            signing: None,
        }
    }

    /// Asks with the key of a certificate.
    pub(crate) fn as_certificate(endpoint: Endpoint, signing: ByCertificate) -> Server {
        Server {
            endpoint,
            signing: Some(Box::new(signing)),
        }
    }

    /// Trades an operator's certificate, and asks with the credentials.
    pub(crate) fn as_operator(
        endpoint: Endpoint,
        signing: ByCertificate,
        role: Option<&str>,
    ) -> Result<Server, Error> {
        let ByCertificate { pair, clock, .. } = &signing;
        let ask = ListAssumableRoles {
            certificate: pair.leaf().to_vec(),
            chain: pair.chain().to_vec(),
        };
        let offered = operations::call(&endpoint, Some(&signing), &ask)?;
        let because = offered.nearest_refusal.as_ref();
        let chosen = choose(
            &pair.name,
            role.or(preferred(&offered.roles)),
            &offered.roles,
            because,
        )?;
        let request = session_request(
            &session_ask(chosen, None, None),
            &endpoint.authority(),
            &pair.certificates,
            &pair.key,
            &offered.region,
            clock.now(),
        )?;
        let credentials = sessions::create_session(&endpoint, &request)?;
        let signing = ByCredentials {
            credentials,
            region: offered.region,
            clock: clock.clone(),
        };
        Ok(Server {
            endpoint,
            signing: Some(Box::new(signing)),
        })
    }

    /// Runs an operation there.
    pub(crate) fn call<O: Operation>(&self, operation: &O) -> Result<O::Answer, Error> {
        let answer = operations::call(&self.endpoint, self.signing.as_deref(), operation);
        answer.map_err(with_fix)
    }

    /// Runs a transfer there; what it gives goes to `sink`.
    pub(crate) fn transfer<T: Transfer>(
        &self,
        transfer: &T,
        sink: &mut dyn Sink,
    ) -> Result<T::Answer, Error> {
        let signing = self.signing.as_deref();
        operations::transfer(&self.endpoint, signing, transfer, sink).map_err(with_fix)
    }

    /// Trades a certificate as every Roles Anywhere client does: `POST /sessions`.
    pub(crate) fn create_session(
        &self,
        request: &WireRequest,
    ) -> Result<SessionCredentials, Error> {
        Ok(sessions::create_session(&self.endpoint, request)?)
    }

    /// What goes into the `Host` header.
    pub(crate) fn authority(&self) -> String {
        self.endpoint.authority()
    }
}

/// The server knows nothing of this program's options.
fn with_fix(error: TransportError) -> Error {
    match error {
        TransportError::Refused(mut refused) if refused.code == "credentials_needed" => {
            refused
                .message
                .push_str(": give your operator certificate with --as CERT");
            Error::Transport(TransportError::Refused(refused))
        }
        error => error.into(),
    }
}

/// The one role that a list leaves no doubt about.
pub(crate) fn choose<'r>(
    name: &str,
    wanted: Option<&str>,
    offered: &'r [AssumableRole],
    because: Option<&PublicError>,
) -> Result<&'r AssumableRole, Error> {
    let names = || {
        offered
            .iter()
            .map(|role| role.role.clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    if offered.is_empty() {
        let because = because.cloned().unwrap_or_else(|| PublicError {
            kind: Kind::Denied,
            code: "nothing_assumable".into(),
            message: "no trust anchor believes it and no profile lists a role".into(),
        });
        return Err(Error::NothingAssumable {
            name: name.into(),
            because,
        });
    }
    match wanted {
        // Several profiles may list a role; any of them gives it.
        Some(wanted) => offered
            .iter()
            .find(|role| role.role == wanted || role.role_arn == wanted)
            .ok_or_else(|| Error::RoleNotAssumable {
                name: name.into(),
                role: wanted.into(),
                offered: names().into_iter().collect(),
            }),
        None if names().len() == 1 => Ok(&offered[0]),
        None => Err(Error::SeveralRoles {
            name: name.into(),
            roles: names().into_iter().collect(),
        }),
    }
}

/// An operator who says nothing else wants to administer.
fn preferred(offered: &[AssumableRole]) -> Option<&str> {
    offered
        .iter()
        .map(|role| role.role.as_str())
        .find(|role| *role == "administrator")
}

/// What to ask of an exchange, out of a list's entry.
pub(crate) fn session_ask(
    role: &AssumableRole,
    duration_seconds: Option<u32>,
    session_name: Option<String>,
) -> SessionAsk {
    SessionAsk {
        role_arn: role.role_arn.clone(),
        profile_arn: role.profile_arn.clone(),
        trust_anchor_arn: role.trust_anchor_arn.clone(),
        duration_seconds,
        role_session_name: session_name,
    }
}

/// Signs with the key of a certificate.
pub(crate) struct ByCertificate {
    /// The certificate and its key.
    pub(crate) pair: Arc<Pair>,
    /// The region of the signature's scope.
    pub(crate) region: String,
    /// The clock of the signature.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Signing for ByCertificate {
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError> {
        let Pair {
            certificates, key, ..
        } = &*self.pair;
        sign_request_with_certificate(request, certificates, key, &self.region, self.clock.now())
            .map_err(refuse)
    }
}

/// Signs with temporary credentials.
struct ByCredentials {
    credentials: SessionCredentials,
    region: String,
    clock: Arc<dyn Clock>,
}

impl Signing for ByCredentials {
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError> {
        sign_request(
            request,
            &self.credentials,
            &self.region,
            CONTROL_SERVICE,
            self.clock.now(),
        )
        .map_err(refuse)
    }
}

fn refuse(error: bowline_service::Error) -> TransportError {
    TransportError::Signing {
        reason: error.to_string(),
    }
}

/// The region to sign for before the server has told its own: what AWS's tools are told, else a home's default.
pub(crate) fn default_region(variables: &BTreeMap<OsString, OsString>) -> String {
    let told =
        variable(variables, "AWS_REGION").or_else(|| variable(variables, "AWS_DEFAULT_REGION"));
    told.and_then(|region| region.to_str())
        .unwrap_or("us-east-1")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(names: &[&str]) -> Vec<AssumableRole> {
        let role = |name: &&str| AssumableRole {
            role: (*name).into(),
            role_arn: format!("arn:aws:iam::000000000000:role/{name}"),
            profile_arn: "profile".into(),
            trust_anchor_arn: "anchor".into(),
        };
        names.iter().map(role).collect()
    }

    #[test]
    fn one_role_is_chosen_even_if_two_profiles_give_it() {
        assert_eq!(
            choose("web-1", None, &offered(&["web", "web"]), None)
                .unwrap()
                .role,
            "web"
        );
    }

    #[test]
    fn several_roles_are_listed() {
        let error = choose("web-1", None, &offered(&["web", "batch"]), None).unwrap_err();
        assert!(error.to_string().ends_with("--role: batch, web"), "{error}");
        assert_eq!(error.exit().code(), 3);
    }

    #[test]
    fn a_role_is_known_by_name_and_by_arn() {
        let offered = offered(&["web", "batch"]);
        assert_eq!(
            choose("web-1", Some("batch"), &offered, None).unwrap().role,
            "batch"
        );
        let arn = "arn:aws:iam::000000000000:role/web";
        assert_eq!(
            choose("web-1", Some(arn), &offered, None).unwrap().role,
            "web"
        );
        let error = choose("web-1", Some("admin"), &offered, None).unwrap_err();
        assert!(error.to_string().contains("batch, web"), "{error}");
    }

    #[test]
    fn nothing_to_choose_from_tells_the_nearest_refusal() {
        let revoked = PublicError {
            kind: Kind::Unauthenticated,
            code: "certificate_revoked".into(),
            message: "it is revoked".into(),
        };
        let error = choose("web-1", None, &[], Some(&revoked)).unwrap_err();
        assert!(error.to_string().ends_with("it is revoked"), "{error}");
        assert_eq!(
            (error.exit().code(), error.code().as_str()),
            (4, "certificate_revoked")
        );
        assert_eq!(
            choose("web-1", None, &[], None).unwrap_err().exit().code(),
            5
        );
    }
}
