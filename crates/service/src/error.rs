//! What can go wrong, in one closed list with the facts in its variants.
//!
//! Each crate below has its own closed enum; here they meet.

mod change;
mod door;
mod federation;
mod life;
mod relying;
mod sources;
mod sts;
mod translation;

pub use change::ChangeError;
pub use door::DoorError;
pub use federation::FederationError;
pub use life::LifeError;
pub use relying::RelyingError;
pub use sts::StsError;
pub use translation::{Kind, PublicError, Refusal};

use crate::log::LogError;
use bowline_ca::{AuthorityError, IssueError, ProfileError};
use bowline_policy::{AccountIdError, PolicyError};
use bowline_sigv4::SignatureError;
use bowline_store::{LimitError, StoreError};
use bowline_trust::{Denial, IdError, RecordError, RoleGone, TokenError};
use bowline_x509::path::PathError;
use bowline_x509::pem::PemError;
use bowline_x509::{
    CertificateError, CrlError, GeneralNameError, KeyError, NameError, RequestError,
    RevocationReason, SerialError, SignError, Time,
};

/// Everything an operation can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate profile refuses the draft.
    #[error(transparent)]
    Profile(ProfileError),
    /// An authority's certificate cannot issue.
    #[error(transparent)]
    Authority(AuthorityError),
    /// Signing went wrong.
    #[error(transparent)]
    Issue(IssueError),
    /// A trust policy is refused.
    #[error("trust policy: {0}")]
    TrustPolicy(PolicyError),
    /// A policy is refused.
    #[error(transparent)]
    Policy(PolicyError),
    /// An account id is not one.
    #[error(transparent)]
    Account(AccountIdError),
    /// A request's signature is refused.
    #[error(transparent)]
    Signature(SignatureError),
    /// A certificate's path is refused.
    #[error(transparent)]
    Path(PathError),
    /// A certificate does not read.
    #[error(transparent)]
    Certificate(CertificateError),
    /// A certification request does not read, or does not prove its key.
    #[error(transparent)]
    Request(RequestError),
    /// PEM does not read.
    #[error(transparent)]
    Pem(PemError),
    /// A public key is not accepted.
    #[error(transparent)]
    Key(KeyError),
    /// A distinguished name is not accepted.
    #[error(transparent)]
    Name(NameError),
    /// A subject alternative name is not one.
    #[error(transparent)]
    GeneralName(GeneralNameError),
    /// A serial number is not one.
    #[error(transparent)]
    Serial(SerialError),
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// A trust anchor, profile or role is outside its limits.
    #[error(transparent)]
    Record(RecordError),
    /// Temporary credentials are not accepted.
    #[error(transparent)]
    Token(TokenError),
    /// The role of a session is gone.
    #[error(transparent)]
    Role(RoleGone),
    /// An id is not one.
    #[error(transparent)]
    Id(IdError),
    /// A private key refused to sign.
    #[error(transparent)]
    Sign(SignError),

    /// The rules of anchor, profile and role refuse the exchange.
    #[error("{denial}: {}", .denial.fix())]
    SessionDenied {
        /// The rule that failed.
        denial: Box<Denial>,
        /// The role asked for.
        role: String,
    },
    /// The exchange names a role that does not exist.
    #[error("there is no role {role}")]
    SessionRoleUnknown {
        /// The role asked for.
        role: String,
    },
    /// The exchange leaves out what it needs.
    #[error("{parameter} is missing: it belongs into the query or the body")]
    SessionParameterMissing {
        /// Its name on the wire.
        parameter: &'static str,
    },
    /// A parameter has two values.
    #[error(
        "{parameter} is {query:?} in the query and {body:?} in the body: which one is meant cannot be known"
    )]
    SessionParameterTwice {
        /// Its name on the wire.
        parameter: String,
        /// One value, the query's where there is a body too.
        query: String,
        /// The other value.
        body: String,
    },
    /// The exchange names a trust anchor that does not exist.
    #[error("there is no trust anchor {arn}: the exchange takes its whole ARN")]
    SessionTrustAnchorUnknown {
        /// What was asked for.
        arn: String,
    },
    /// The exchange names a profile that does not exist.
    #[error("there is no profile {arn}: the exchange takes its whole ARN")]
    SessionProfileUnknown {
        /// What was asked for.
        arn: String,
    },
    /// A certificate of our own authority that we have no record of.
    #[error("certificate 0x{serial} bears our signature and is not among those we issued")]
    CertificateNotOurs {
        /// Its serial number in hex.
        serial: String,
    },
    /// The body of an exchange is not its JSON.
    #[error("the body does not read as the JSON of CreateSession: {reason}")]
    SessionBody {
        /// What the parser said.
        reason: String,
    },
    /// A certificate is revoked.
    #[error("certificate 0x{serial} was revoked at {} ({reason}): issue a new one", crate::format_time(*.at))]
    CertificateIsRevoked {
        /// Its serial number in hex.
        serial: String,
        /// Since when.
        at: Time,
        /// Why.
        reason: RevocationReason,
    },
    /// A session ended with its certificate.
    #[error("the session ended when its certificate 0x{serial} was revoked at {} ({reason})", crate::format_time(*.at))]
    SessionEndedByRevocation {
        /// The certificate's serial number in hex.
        serial: String,
        /// Since when.
        at: Time,
        /// Why.
        reason: RevocationReason,
    },
    /// A session ended with its trust anchor.
    #[error("the session ended when trust anchor {anchor} was disabled, changed or deleted")]
    SessionEndedByAnchor {
        /// Its name, or its id where it is gone.
        anchor: String,
    },
    /// Temporary credentials without their token.
    #[error(
        "the request is signed with temporary credentials and lacks their session token (x-amz-security-token)"
    )]
    SessionTokenMissing,
    /// Not an action.
    #[error("{action:?} is not an action: write SERVICE:NAME, as in s3:GetObject")]
    ActionInvalid {
        /// What was given.
        action: String,
    },
    /// Not a resource.
    #[error("{resource:?} is not a resource: write its ARN, or *")]
    ResourceInvalid {
        /// What was given.
        resource: String,
    },
    /// A condition key that only we may set.
    #[error("context key {key} tells who signed, which only the session itself does: leave it out")]
    ContextKeyReserved {
        /// The key.
        key: String,
    },
    /// A payload hash is not one.
    #[error("payload-sha256 has {length} characters: it is a SHA-256 in 64 hexadecimal digits")]
    PayloadHashInvalid {
        /// How long it is.
        length: usize,
    },

    /// The caller's policies do not allow it.
    #[error("{caller} is not authorized to perform {action} on {resource}: {because}")]
    NotAuthorized {
        /// Who asked.
        caller: String,
        /// The action.
        action: String,
        /// The resource.
        resource: String,
        /// Why not.
        because: String,
    },
    /// Nobody in particular asked.
    #[error(
        "{action} takes temporary credentials of a role that allows it, or the operator on the machine itself"
    )]
    CredentialsNeeded {
        /// The action.
        action: String,
    },
    /// Only for the operator on the machine.
    #[error("{operation} is for the operator on the machine itself")]
    OperatorOnly {
        /// The operation.
        operation: &'static str,
    },

    /// There is a home already.
    #[error(
        "this home is initialized already: choose another with --home, or remove this one yourself"
    )]
    AlreadyInitialized,
    /// There is no home yet.
    #[error("this home is not initialized: run `bowline init`")]
    NotInitialized,
    /// No unseal key was given.
    #[error(
        "the keys of this home are sealed and unseal.key, which opens them, is not in it: put it back"
    )]
    Locked,
    /// `unseal.key` is not 32 bytes.
    #[error("an unseal key has 32 bytes, this one has {length}: put this home's own one back")]
    UnsealKeyLength {
        /// How many it has.
        length: usize,
    },
    /// Another home's `unseal.key`.
    #[error("unseal.key does not open this home: put this home's own one back")]
    UnsealKeyWrong,
    /// A wrong passphrase.
    #[error("the passphrase does not open this home")]
    PassphraseWrong,
    /// The home wants a passphrase.
    #[error("the keys of this home are sealed under a passphrase: give --key-password-file FILE")]
    PassphraseNeeded,
    /// The home wants no passphrase.
    #[error(
        "the keys of this home are sealed under unseal.key, not under a passphrase: leave --key-password-file out"
    )]
    PassphraseNotUsed,
    /// A short passphrase.
    #[error(
        "the passphrase has {length} bytes, at least {} are taken",
        crate::sealing::PASSPHRASE_MIN
    )]
    PassphraseTooShort {
        /// How many it has.
        length: usize,
    },
    /// The private key of an authority is not here.
    #[error("the private key of authority {authority} is kept outside this home")]
    AuthorityKeyOffline {
        /// The authority's id.
        authority: String,
    },

    /// No private key in the text.
    #[error("there is no private key in the PEM text")]
    NoPrivateKeyInPem,
    /// Bytes that are no key we know.
    #[error(
        "the private key does not read: RSA (2048 bits or more), P-256, P-384, P-521 and Ed25519 in PKCS#8, SEC1 or PKCS#1 do"
    )]
    PrivateKeyUnreadable,
    /// An encrypted key without a password.
    #[error("the private key is encrypted: give its password")]
    PrivateKeyEncrypted,
    /// A wrong password.
    #[error("the password does not open the private key")]
    PrivateKeyPasswordWrong,

    /// No name.
    #[error("a name is empty")]
    NameEmpty,
    /// A long name.
    #[error(
        "a name of {length} bytes is over the limit of {}",
        crate::keyspace::NAME_BYTES_MAX
    )]
    NameTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A long name for a home.
    #[error(
        "the home's name has {length} characters: with what is added for the authorities at most {limit} fit a common name"
    )]
    HomeNameTooLong {
        /// Its length in characters.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// Not a region.
    #[error("region {region:?} is not one: lower-case letters, digits and hyphens, 32 at most")]
    RegionInvalid {
        /// What was given.
        region: String,
    },
    /// Not a base URL.
    #[error(
        "{url:?} is not a base URL: write http://host[:port][/path] without query, 512 characters at most"
    )]
    UrlInvalid {
        /// What was given.
        url: String,
    },
    /// A time that no calendar has.
    #[error("a time lies outside the years that can be written")]
    MomentOutOfRange,
    /// Many names.
    #[error("{count} subject alternative names are over the limit of {limit} a certificate")]
    TooManyNames {
        /// How many there are.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// A long chain.
    #[error("{count} certificates beside the leaf are over the limit of {limit}")]
    ChainTooLong {
        /// How many there are.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// A renewal that was signed at another time.
    #[error("the renewal was signed at {} and it is {}: clocks may differ by 5 minutes", crate::format_time(*.signed_at), crate::format_time(*.now))]
    RenewalDate {
        /// When it says it was signed.
        signed_at: Time,
        /// The time of the service.
        now: Time,
    },
    /// Operator certificates are not renewed by whoever holds them.
    #[error(
        "operator certificates are not renewed: whoever may issue them issues a new one, with `bowline issue NAME --certificate-profile operator --role administrator`"
    )]
    RenewsOperator,
    /// A reason that belongs to delta lists.
    #[error(
        "removeFromCRL is not a reason to revoke: it takes a hold back, in a delta CRL (RFC 5280 §5.3.1)"
    )]
    ReasonNotARevocation,
    /// A name that would be taken for an id.
    #[error(
        "{name:?} reads as an id, and would stand before the resource with that id: choose another name"
    )]
    NameReadsAsId {
        /// The name.
        name: String,
    },
    /// The old key did not sign the renewal.
    #[error("the renewal is not signed by the private key of {subject}")]
    RenewalProof {
        /// The subject of the certificate to renew.
        subject: String,
    },
    /// A CRL does not read.
    #[error(transparent)]
    Crl(CrlError),
    /// No certificate in a file.
    #[error("there is no certificate in the file")]
    NoCertificate,
    /// No CRL in a file.
    #[error("there is no CRL in the file: a PEM block X509 CRL, or DER")]
    NoCrl,
    /// No certification request in a file.
    #[error(
        "there is no certification request in the file: a PEM block CERTIFICATE REQUEST, or DER"
    )]
    NoCertificationRequest,

    /// No such certificate.
    #[error(
        "there is no certificate {what} of ours that is not expired: `bowline cert list --expired` shows all"
    )]
    CertificateUnknown {
        /// The serial number or name asked for.
        what: String,
    },
    /// No such authority.
    #[error("there is no authority {name:?}; there are: {}", listed(.known))]
    AuthorityUnknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No such trust anchor.
    #[error("there is no trust anchor {name:?}; there are: {}", listed(.known))]
    TrustAnchorUnknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No such profile.
    #[error("there is no profile {name:?}; there are: {}", listed(.known))]
    ProfileUnknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// No such role.
    #[error("there is no role {name:?}; there are: {}", listed(.known))]
    RoleUnknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The name is taken.
    #[error(
        "there is a {what} {name:?} already: choose another name, or add --if-missing to keep it as it is"
    )]
    Exists {
        /// The kind of resource.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A page token that no page gave out.
    #[error("`after` does not come from an earlier page")]
    PageUnknown,

    /// A role without permissions, or with two kinds of them.
    #[error(
        "a role takes either a policy document, or actions to allow together with the resources they are about"
    )]
    RolePermissionsNeeded,
    /// A trust policy given twice.
    #[error("a role takes either a trust policy document, or subjects and a trust anchor")]
    RoleTrustTwice,
    /// A trust policy that nearly anybody satisfies.
    #[error(
        "statement {statement} of the trust policy would let {} take the role: test {}, or say --any-certificate",
        if *.anchored { "any certificate of the anchor" } else { "certificates of any trust anchor" },
        if *.anchored { "aws:PrincipalTag/x509Subject/… or sts:SourceIdentity" } else { "aws:SourceArn and aws:PrincipalTag/x509Subject/…" }
    )]
    TrustPolicyOpen {
        /// Its place, counted from 0.
        statement: usize,
        /// Whether it tests the trust anchor.
        anchored: bool,
        /// Whether it tests who the certificate is.
        named: bool,
    },
    /// A subject test that does not read.
    #[error(
        "{text:?} is not a test of a certificate's subject: write FIELD=PATTERN, as in CN=web-* or x509SAN/DNS=*.example.com"
    )]
    SubjectTestInvalid {
        /// What was given.
        text: String,
    },
    /// An anchor without a source, or with two.
    #[error("a trust anchor takes either a bundle of CA certificates or an authority of this home")]
    AnchorSourceNeeded,
    /// A bundle for an anchor that stands for an authority.
    #[error(
        "this trust anchor stands for authority {authority} of this home: its certificates are the authority's"
    )]
    AnchorIsOwn {
        /// The authority's id.
        authority: String,
    },
    /// A weak key.
    #[error("CA certificate {subject} is not accepted: {reason}")]
    AnchorKey {
        /// Its subject.
        subject: String,
        /// What is wrong with the key.
        reason: String,
    },
    /// A weak signature.
    #[error("CA certificate {subject} is signed with {algorithm}: SHA-256 or stronger is accepted")]
    AnchorSignatureAlgorithm {
        /// Its subject.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// An old CA.
    #[error("CA certificate {subject} expired at {}: give one that is good", crate::format_time(*.not_after))]
    AnchorExpired {
        /// Its subject.
        subject: String,
        /// Its last second.
        not_after: Time,
    },

    /// A record of a newer program.
    #[error(
        "the {what} has format {found} and this program knows {known}: the home was written by a newer program; use that one"
    )]
    RecordFormat {
        /// What it is.
        what: &'static str,
        /// The format found.
        found: u8,
        /// The newest format known.
        known: u8,
    },
    /// A record that does not fit the store.
    #[error("the {what} is too long: {limit}")]
    RecordTooLong {
        /// What it is.
        what: &'static str,
        /// The limit it is over.
        limit: LimitError,
    },

    /// No such operation.
    #[error("there is no operation {name:?}")]
    UnknownOperation {
        /// The name.
        name: String,
    },
    /// An operation's input does not read.
    #[error("the input of {name} does not read: {reason}")]
    OperationInput {
        /// The operation.
        name: String,
        /// What the parser said.
        reason: String,
    },
    /// A request does not get through the door.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// A call of STS is refused.
    #[error(transparent)]
    Sts(#[from] StsError),
    /// An identity from elsewhere is not believed, or cannot be made for elsewhere.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// What ends sessions, or renews the keys behind them, is refused.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// What a relying service asks is refused.
    #[error(transparent)]
    Relying(#[from] RelyingError),
    /// A setting, a role or an MFA device stays as it is.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// More in flight than there is room for.
    #[error("too many requests are in flight: try again in a second")]
    Busy,
    /// A clock that cannot be right.
    #[error(
        "the clock says {}, and this home has been at {}: set the clock, or if it is right now, accept it with `bowline doctor --accept-clock`",
        crate::format_time(*now),
        crate::format_time(*latest)
    )]
    ClockBehind {
        /// What the clock says.
        now: Time,
        /// The latest time the home went by.
        latest: Time,
    },
    /// A CRL that none of the home's authorities signed.
    #[error(
        "the CRL of {issuer:?} was not signed by an authority of this home; they are: {}",
        listed(known)
    )]
    RevocationListNotOurs {
        /// Its issuer, RFC 4514.
        issuer: String,
        /// The ids of the authorities.
        known: Vec<String>,
    },
    /// Whoever a transfer is for has gone away, or takes no more.
    #[error("the receiver of the transfer is gone: {reason}")]
    ReceiverGone {
        /// What was noticed.
        reason: String,
    },
    /// There is no log yet, or no checkpoint of it.
    #[error("no checkpoint of the log is signed yet: sign-log-checkpoint signs one")]
    LogNotBegun,
    /// No such event.
    #[error("there is no event {number}")]
    EventUnknown {
        /// Its number.
        number: u64,
    },
    /// An event that a checkpoint is not over.
    #[error(
        "event {number} came after the checkpoint of size {size}: take a later one, or leave the size out"
    )]
    EventAfterCheckpoint {
        /// The event's number.
        number: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// No checkpoint was signed at a size.
    #[error("no checkpoint was signed at size {size}; the last one is of size {latest}")]
    LogCheckpointUnknown {
        /// The size asked for.
        size: u64,
        /// That of the last checkpoint.
        latest: u64,
    },
    /// Sizes between which nothing can be proved.
    #[error(
        "a log of {from} events is not the beginning of one of {to}: the smaller size is 1 to {to}"
    )]
    LogSizesInvalid {
        /// The size that should be smaller.
        from: u64,
        /// The size that should be larger.
        to: u64,
    },
    /// The log in the store is not what was written.
    #[error("the log is damaged: {reason}")]
    LogDamaged {
        /// What was found.
        reason: String,
    },
    /// An exported log is not verified.
    #[error(transparent)]
    Log(LogError),
    /// No such subject.
    #[error(
        "there is no subject {subject:?}: a subject is named by its id or ARN, once it traded a certificate"
    )]
    SubjectUnknown {
        /// What was asked for.
        subject: String,
    },
    /// An error that another process answered with.
    #[error("{}", .0.message)]
    Remote(PublicError),
    /// Our fault.
    #[error("internal error: {detail}")]
    Internal {
        /// For the log only.
        detail: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
