//! Operations: load, decide, commit. The one place where the pure crates meet the world.
//!
//! A [`Service`] owns a store, a clock, a source of randomness and what opens the sealed keys. Everything it
//! does is an [`Operation`]: a value with a wire name and one `run`. The command line, the control socket and
//! every HTTP dialect build the same values, so they cannot differ.
//!
//! Read [`certificates`](IssueCertificate) for how a certificate comes about, and
//! [`sessions`](CreateSession) for how one is traded for credentials.

mod anchors;
mod audit;
mod authorities;
mod authorization;
mod backup;
mod cache;
mod caller;
mod certificates;
pub mod conformance;
mod environment;
mod error;
mod examination;
mod explanation;
mod federation;
mod identity;
mod initialize;
mod inspect;
mod inventory;
mod keys;
mod keyspace;
mod life;
mod log;
mod managed_policies;
mod mfa;
mod named;
mod operation;
mod passage;
mod pending;
mod presigning;
mod profiles;
mod record;
mod requests;
mod restoration;
mod revocation;
mod revocation_lists;
mod roles;
mod s3;
mod sealing;
mod service;
mod sessions;
mod settings;
mod signing_keys;
mod sts;
mod subjects;
mod trust_policies;
mod verify;
mod wire;

pub use anchors::{
    CreateTrustAnchor, ListTrustAnchors, ShowTrustAnchor, TrustAnchorView, UpdateTrustAnchor,
};
pub use audit::{Event, EventRecord, MfaChange, SessionVia};
pub use authorities::{
    AuthorityKind, AuthorityView, Bundle, KeyLocation, ListAuthorities, ShowAuthority, ShowBundle,
};
pub use authorization::{
    Authorization, Authorize, Bound, Circumstances, ContextValue, Decided, MatchedStatement,
    Question, ServiceError, Signatory, SignedPayload, decide_all,
};
pub use backup::{Backup, BackupSummary};
pub use caller::{Caller, Channel};
pub use certificates::{IssueCertificate, IssuedCertificate, RenewCertificate, ServerCertificate};
pub use environment::{Clock, Entropy, SystemClock, SystemEntropy};
pub use error::{
    ChangeError, DoorError, Error, FederationError, Kind, LifeError, PublicError, Refusal,
    RelyingError, StsError,
};
pub use examination::{Examination, Examine, Finding, Severity};
pub use explanation::{
    AssumableRole, AssumableRoles, ExplainSession, ListAssumableRoles, SessionExplanation,
};
pub use federation::{
    AssumeRoleWithSaml, AssumeRoleWithWebIdentity, CreateProvider, DeleteProvider, FederatedRole,
    Fetch, GetWebIdentityToken, IdentityKeysView, IdentityToken, ListProviders, Outbound,
    OutboundError, ProviderView, RotateIdentityKeys, SamlRole, ShowJwks, ShowOpenIdConfiguration,
    ShowProvider, UpdateProvider,
};
pub use identity::{CONTROL_SERVICE, CallerIdentity, GetCallerIdentity};
pub use initialize::{Initialize, Initialized, OfflineRoot};
pub use inspect::{CertificateDetails, inspect};
pub use inventory::{
    CertificatePage, CertificateStatus, CertificateSummary, CertificateView, ListCertificates,
    ShowCertificate,
};
pub use keys::{KeySpec, PrivateKey, ecdsa_signature, prehashed};
pub use life::{
    ActivateSessionKey, ChangedSessionKeys, KeyState, ListSessionKeys, ListSessions,
    ListedSessions, PublishSessionKey, RetireSessionKey, RevokeSessions, RevokedSessions,
    SessionKeyList, SessionKeyView, SessionState, SessionView, ShowSession,
};
pub use log::{
    Change, Checkpoint, CheckpointError, ConsistencyProof, EntryBundle, EventProof, ExportLog,
    ExportedLog, Hash, ListEvents, ListedEvents, LogCheckpoint, LogError, LogKey, NoteError,
    Outcome, ProveConsistency, ProveEvent, ShowLogKey, SignLogCheckpoint, SignedNote, Tampering,
    Tile, VerifiedLog, VerifierKey, leaf_hash, verify_consistency, verify_inclusion, verify_log,
};
pub use managed_policies::{
    CreatePolicy, DeletePolicy, ListPolicies, PolicyView, ShowPolicy, UpdatePolicy,
};
pub use mfa::{ConfirmMfa, DisableMfa, EnableMfa, EnabledMfa, ListMfa, MfaDevice};
pub use operation::{
    OPERATIONS, Operation, READ_OPERATIONS, Sink, TRANSFERS, Transfer, dispatch, dispatch_transfer,
    permit_transfer,
};
pub use passage::{AcceptClock, AcceptedClock};
pub use pending::Pending;
pub use presigning::presigned_url;
pub use profiles::{CreateProfile, ListProfiles, ProfileView, ShowProfile, UpdateProfile};
pub use requests::{
    SessionAsk, certificate_sha1, certificate_with_fingerprint, certificates_from_pem,
    certification_request, certification_request_from_file, crl_pem, pem_of, public_key_of,
    renewal_proof, session_request, sign_request, sign_request_with_certificate,
};
pub use restoration::{FinishRestore, RestoredHome};
pub use revocation::{RevocationRecord, RevokeCertificate, RevokedCertificates};
pub use revocation_lists::{RevocationList, ShowRevocationList};
pub use roles::{
    CreateRole, DeleteRole, ListRoles, RevokeOlderSessions, RoleView, ShowRole, UpdateRole,
};
pub use s3::{S3Call, S3Error, S3Question, S3Request, map_s3};
pub use sealing::{PASSPHRASE_MIN, UnsealKey};
pub use service::Service;
pub use sessions::{CreateSession, PATH as SESSIONS_PATH, Secret, SessionCredentials};
pub use settings::{Settings, ShowSettings, UpdateSettings};
pub use signing_keys::{
    BindingPolicies, DerivedKey, GetSigningKey, LayerText, PolicyText, SigningKeyAnswer,
};
pub use sts::assume_role::AssumeRole;
pub use sts::grant_session::{AssumedRole, StsCredentials};
pub use sts::{
    AccessKeyInfo, DecodeAuthorizationMessage, DecodedMessage, GetAccessKeyInfo, GetSessionToken,
    SessionToken,
};
pub use subjects::{ListSubjects, ShowSubject, SubjectCredential, SubjectPage, SubjectView};
pub use verify::{ExpiresIn, Purpose, VerifiedChain, VerifyAsk, needs_renewal, verify};
pub use wire::{Moment, WireRequest};

pub use bowline_store::{Progress, Store, StoreError};
pub use bowline_trust::TokenAlgorithm;
pub use bowline_x509::{
    KeyAlgorithm, PublicKey, RevocationReason, SignError, SignatureAlgorithm, Signer, Time,
};

/// A time as it is printed everywhere: RFC 3339, UTC, whole seconds, `Z`.
pub fn format_time(time: Time) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an RFC 3339 time with any offset.
pub fn parse_time(text: &str) -> Option<Time> {
    chrono::DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.to_utc())
}
