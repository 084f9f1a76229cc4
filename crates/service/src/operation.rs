//! One operation is one value: a wire name, an answer, and one `run`.
//!
//! The command line builds it from arguments; the control socket and `POST /v1/<name>` carry
//! it as JSON; the AWS dialects build it from their own wire. The list below drives router,
//! client and command line, so they cannot differ.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::error::Error;
use crate::service::Service;

/// Something the service does for a caller.
pub trait Operation: Serialize + DeserializeOwned {
    /// The name on the wire: `create-role`.
    const NAME: &'static str;
    /// What it answers.
    type Answer: Serialize + DeserializeOwned;

    /// Does it: checks the caller, loads, decides, commits.
    fn run(self, service: &Service, caller: &Caller) -> Result<Self::Answer, Error>;
}

macro_rules! operations {
    (read: [$($reads:ty),* $(,)?], write: [$($writes:ty),* $(,)?] $(,)?) => {
        /// The wire names of all operations.
        pub const OPERATIONS: &[&str] = &[$(<$reads>::NAME,)* $(<$writes>::NAME),*];

        /// The wire names of those that only read: they never wait behind a write.
        pub const READ_OPERATIONS: &[&str] = &[$(<$reads>::NAME),*];

        /// Runs the operation with a wire name: JSON in, JSON out.
        pub fn dispatch(name: &str, input: &[u8], service: &Service, caller: &Caller) -> Result<Vec<u8>, Error> {
            $(if name == <$reads>::NAME {
                return run_json::<$reads>(input, service, caller);
            })*
            $(if name == <$writes>::NAME {
                return run_json::<$writes>(input, service, caller);
            })*
            Err(Error::UnknownOperation { name: name.into() })
        }
    };
}

operations! {
    read: [
        crate::ShowSettings,
        crate::ListAuthorities,
        crate::ShowAuthority,
        crate::ShowBundle,
        crate::ListCertificates,
        crate::ShowCertificate,
        crate::ListRoles,
        crate::ShowRole,
        crate::ListTrustAnchors,
        crate::ShowTrustAnchor,
        crate::ListProfiles,
        crate::ShowProfile,
        crate::ExplainSession,
        crate::ListAssumableRoles,
        crate::GetCallerIdentity,
        crate::Authorize,
    ],
    write: [
        crate::Initialize,
        crate::IssueCertificate,
        crate::RenewCertificate,
        crate::RevokeCertificate,
        crate::ShowRevocationList,
        crate::CreateRole,
        crate::CreateTrustAnchor,
        crate::UpdateTrustAnchor,
        crate::CreateProfile,
        crate::UpdateProfile,
        crate::CreateSession,
    ],
}

fn run_json<O: Operation>(
    input: &[u8],
    service: &Service,
    caller: &Caller,
) -> Result<Vec<u8>, Error> {
    let operation: O = serde_json::from_slice(input).map_err(|error| Error::OperationInput {
        name: O::NAME,
        reason: error.to_string(),
    })?;
    let answer = operation.run(service, caller)?;
    serde_json::to_vec(&answer)
        .map_err(|error| Error::internal(format!("an answer could not be encoded: {error}")))
}
