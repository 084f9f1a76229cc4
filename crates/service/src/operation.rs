//! One operation is one value: a wire name, an answer, and one `run`.
//!
//! The command line builds it from arguments; the control socket and `POST /v1/<name>` carry
//! it as JSON; the AWS dialects build it from their own wire. The list below drives router,
//! client and command line, so they cannot differ.

use bowline_store::Progress;
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

    /// Does it, and has the log tell of a refusal: the one way in for callers from outside.
    fn perform(self, service: &Service, caller: &Caller) -> Result<Self::Answer, Error> {
        self.run(service, caller)
            .map_err(|refusal| told(service, Self::NAME, caller, refusal))
    }
}

/// Takes what a transfer gives, in order, while it goes on. An error ends the transfer.
pub trait Sink {
    /// How far it has come.
    fn progress(&mut self, progress: Progress) -> Result<(), Error>;

    /// The next bytes of what is transferred.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// An operation that takes long or gives much: progress and bytes come before its answer.
///
/// What is given is whole only once the answer has come.
pub trait Transfer: Serialize + DeserializeOwned {
    /// The name on the wire: `backup`.
    const NAME: &'static str;
    /// What it answers at its end.
    type Answer: Serialize + DeserializeOwned;

    /// Checks the caller: cheap, so that whoever may not ask is refused before anything is set aside for the work.
    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error>;

    /// Does it: checks the caller, then gives to the sink what it finds. Holds a bounded part of it in memory.
    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<Self::Answer, Error>;

    /// Does it, and has the log tell of a refusal: the one way in for callers from outside.
    fn perform(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<Self::Answer, Error> {
        self.run(service, caller, sink)
            .map_err(|refusal| told(service, Self::NAME, caller, refusal))
    }
}

macro_rules! transfers {
    ($($transfers:ty),* $(,)?) => {
        /// The wire names of all transfers.
        pub const TRANSFERS: &[&str] = &[$(<$transfers>::NAME),*];

        /// Runs the transfer with a wire name: JSON in, JSON out at its end.
        pub fn dispatch_transfer(
            name: &str,
            input: &[u8],
            service: &Service,
            caller: &Caller,
            sink: &mut dyn Sink,
        ) -> Result<Vec<u8>, Error> {
            $(if name == <$transfers>::NAME {
                let transfer: $transfers = read(name, input)?;
                return written(&transfer.perform(service, caller, sink)?);
            })*
            Err(Error::UnknownOperation { name: name.into() })
        }

        /// Whether [`dispatch_transfer`] would begin, as far as it can be told without doing it: the input reads,
        /// and the caller may ask. A refusal is told to the log.
        pub fn permit_transfer(
            name: &str,
            input: &[u8],
            service: &Service,
            caller: &Caller,
        ) -> Result<(), Error> {
            $(if name == <$transfers>::NAME {
                let permitted = read(name, input)
                    .and_then(|transfer: $transfers| transfer.permit(service, caller));
                return permitted
                    .map_err(|refusal| told(service, <$transfers>::NAME, caller, refusal));
            })*
            Err(Error::UnknownOperation { name: name.into() })
        }
    };
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
        crate::ListPolicies,
        crate::ShowPolicy,
        crate::ListTrustAnchors,
        crate::ShowTrustAnchor,
        crate::ListProfiles,
        crate::ShowProfile,
        crate::ExplainSession,
        crate::ListAssumableRoles,
        crate::GetCallerIdentity,
        crate::DecodeAuthorizationMessage,
        crate::GetAccessKeyInfo,
        crate::Authorize,
        crate::GetSigningKey,
        crate::ListSubjects,
        crate::ShowSubject,
        crate::ListMfa,
        crate::ShowSession,
        crate::ListSessionKeys,
        crate::ShowLogKey,
        crate::ListProviders,
        crate::ShowProvider,
        crate::ShowOpenIdConfiguration,
        crate::ShowJwks,
        crate::ProveConsistency,
    ],
    write: [
        crate::Initialize,
        crate::FinishRestore,
        crate::AcceptClock,
        crate::IssueCertificate,
        crate::RenewCertificate,
        crate::RevokeCertificate,
        crate::ShowRevocationList,
        crate::CreateRole,
        crate::UpdateRole,
        crate::RevokeOlderSessions,
        crate::DeleteRole,
        crate::CreatePolicy,
        crate::UpdatePolicy,
        crate::DeletePolicy,
        crate::UpdateSettings,
        crate::EnableMfa,
        crate::ConfirmMfa,
        crate::DisableMfa,
        crate::CreateTrustAnchor,
        crate::UpdateTrustAnchor,
        crate::CreateProfile,
        crate::UpdateProfile,
        crate::CreateSession,
        crate::GetSessionToken,
        crate::AssumeRole,
        crate::RevokeSessions,
        crate::PublishSessionKey,
        crate::ActivateSessionKey,
        crate::RetireSessionKey,
        crate::SignLogCheckpoint,
        crate::CreateProvider,
        crate::UpdateProvider,
        crate::DeleteProvider,
        crate::AssumeRoleWithWebIdentity,
        crate::AssumeRoleWithSaml,
        crate::GetWebIdentityToken,
        crate::RotateIdentityKeys,
        crate::ProveEvent,
    ],
}

transfers! {
    crate::Backup,
    crate::Examine,
    crate::ListEvents,
    crate::ExportLog,
    crate::ListSessions,
}

fn run_json<O: Operation>(
    input: &[u8],
    service: &Service,
    caller: &Caller,
) -> Result<Vec<u8>, Error> {
    let operation: O =
        read(O::NAME, input).map_err(|refusal| told(service, O::NAME, caller, refusal))?;
    written(&operation.perform(service, caller)?)
}

fn read<T: DeserializeOwned>(name: &str, input: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(input).map_err(|error| Error::OperationInput {
        name: name.into(),
        reason: without_values(&error.to_string()),
    })
}

/// What is wrong, without the texts that it is wrong about: in the wrong member they may be secrets.
fn without_values(reason: &str) -> String {
    match (reason.find('"'), reason.rfind('"')) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}…{}", &reason[..=begin], &reason[end..])
        }
        _ => reason.to_owned(),
    }
}

fn written<T: Serialize>(answer: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(answer)
        .map_err(|error| Error::internal(format!("an answer could not be encoded: {error}")))
}

/// Has the log tell of a refusal. A log that cannot be written is the bigger trouble.
fn told(service: &Service, name: &'static str, caller: &Caller, refusal: Error) -> Error {
    match service.tell_refusal(name, caller, &refusal) {
        Ok(()) => refusal,
        Err(error) => error,
    }
}
