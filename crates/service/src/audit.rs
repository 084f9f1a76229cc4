//! What happened, told in the same commit as its effect.
//!
//! No secret ever enters an event: no private key, no secret access key, no session token.

use std::collections::BTreeMap;

use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::record::Record;

/// One thing that happened, with its facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "snake_case",
    rename_all_fields = "snake_case"
)]
pub enum Event {
    /// A home was made.
    Initialized {
        /// The name of the home.
        name: String,
        /// SHA-256 fingerprints of the authorities' certificates, by authority.
        authorities: Vec<(String, String)>,
    },
    /// A certificate was issued.
    CertificateIssued {
        /// Its serial number in hex.
        serial: String,
        /// Its subject, RFC 4514.
        subject: String,
        /// Its subject alternative names.
        names: Vec<String>,
        /// The authority that signed.
        authority: String,
        /// The certificate profile.
        certificate_profile: String,
        /// The last second it is good for.
        not_after: Time,
        /// The serial number of the certificate it renews.
        renews: Option<String>,
    },
    /// A certificate was revoked; its sessions ended with it.
    CertificateRevoked {
        /// Its serial number in hex.
        serial: String,
        /// Its subject, RFC 4514.
        subject: String,
        /// The authority that had signed it.
        authority: String,
        /// RFC 5280 §5.3.1.
        reason: String,
    },
    /// A CRL number was used.
    RevocationListSigned {
        /// The authority.
        authority: String,
        /// Its CRL number. Lines of listed events have the event's own number.
        #[serde(rename = "crl_number", alias = "number")]
        number: u64,
        /// How many certificates it lists.
        entries: usize,
    },
    /// The log got a name and a key to sign its checkpoints with.
    LogKeyCreated {
        /// What it is called.
        origin: String,
        /// The key that verifies it, `NAME+HASH+KEY`.
        vkey: String,
        /// The key of the log that ended when this one began, in a home that was restored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        follows: Option<String>,
    },
    /// The clock was accepted although the home had been at a later time.
    ClockAccepted {
        /// The latest time before.
        was: Time,
    },
    /// The home was made from a backup; whatever was acknowledged after the backup is not in it.
    HomeRestored {
        /// When the last commit of the backup was written.
        last_written_at: Option<Time>,
        /// How many revocations were added from CRLs.
        revocations_added: usize,
        /// The CRL number that each authority goes on from.
        revocation_list_numbers: Vec<(String, u64)>,
    },
    /// Certificates are revoked since a CRL said so that was published after the backup.
    RevocationsMerged {
        /// The authority that had signed them.
        authority: String,
        /// The number of the CRL.
        #[serde(rename = "crl_number")]
        number: Option<u64>,
        /// Their serial numbers in hex.
        serials: Vec<String>,
    },
    /// A role was created.
    RoleCreated {
        /// Its ARN.
        role: String,
        /// Who may take it.
        trust_policy: String,
        /// What it allows.
        policy: String,
        /// The ARN of the profile that lists it since.
        profile: String,
    },
    /// A trust anchor was created or changed. Whoever it trusts can get credentials.
    TrustAnchorWritten {
        /// Its ARN.
        trust_anchor: String,
        /// Whether it is new.
        created: bool,
        /// Whether it is enabled.
        enabled: bool,
        /// SHA-256 fingerprints of its certificates, or the authority it stands for.
        source: Vec<String>,
    },
    /// A profile was created or changed.
    ProfileWritten {
        /// Its ARN.
        profile: String,
        /// Whether it is new.
        created: bool,
        /// Whether it is enabled.
        enabled: bool,
        /// The ARNs of the roles it lists.
        roles: Vec<String>,
        /// Its inline session policy.
        session_policy: Option<String>,
        /// The longest its sessions last, in seconds.
        duration_seconds: u32,
    },
    /// A session asked for something that its policies do not allow.
    ActionDenied {
        /// The action.
        action: String,
        /// The resource.
        resource: String,
    },
    /// An operation that would have changed something was refused, to somebody known.
    OperationRefused {
        /// The operation's name on the wire.
        operation: String,
        /// The stable code of the refusal.
        code: String,
        /// The reason; empty where it would repeat what was sent.
        reason: String,
    },
    /// A certificate of ours that proved its key was not renewed.
    RenewalRefused {
        /// The stable code of the refusal.
        code: String,
        /// The reason.
        reason: String,
        /// The certificate's serial number in hex.
        serial: String,
        /// The certificate's subject, RFC 4514.
        subject: String,
    },
    /// How often somebody who proved nothing was refused in a minute. Of IPv6 the source is the /64.
    RequestsRefused {
        /// The beginning of the minute.
        minute: Time,
        /// Whether these are the many sources of a minute that are not told apart.
        #[serde(default, skip_serializing_if = "is_false")]
        others: bool,
        /// How often, by the stable code of the refusal.
        codes: BTreeMap<String, u64>,
    },
    /// A certificate was traded for credentials.
    SessionCreated {
        /// The session's id in hex.
        session: String,
        /// The access key id given out.
        access_key_id: String,
        /// The role's ARN.
        role: String,
        /// The trust anchor's ARN.
        trust_anchor: String,
        /// The profile's ARN.
        profile: String,
        /// The certificate's serial number in hex.
        serial: String,
        /// The certificate's subject, RFC 4514.
        subject: String,
        /// The source identity.
        source_identity: String,
        /// When the credentials end.
        expires: Time,
    },
    /// An authenticated certificate was refused credentials.
    SessionDenied {
        /// The stable code of the rule that failed.
        code: String,
        /// The reason.
        reason: String,
        /// The role asked for.
        role: String,
        /// The certificate's serial number in hex.
        serial: String,
        /// The certificate's subject, RFC 4514.
        subject: String,
    },
}

/// An event as it lies in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When, by the clock the operation saw.
    pub at: Time,
    /// Who asked.
    pub caller: String,
    /// From where, if over a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<std::net::IpAddr>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    /// The record of what the home did of itself, asked by nobody.
    pub(crate) fn own(self, at: Time) -> EventRecord {
        EventRecord {
            at,
            caller: "bowline".into(),
            source: None,
            event: self,
        }
    }

    pub(crate) fn record(self, caller: &Caller, at: Time) -> EventRecord {
        EventRecord {
            at,
            caller: caller.describe(),
            source: caller.source(),
            event: self,
        }
    }
}

/// Whether events of a kind, by its name in the log, tell that something was refused.
pub(crate) fn is_refusal(kind: &str) -> bool {
    REFUSALS.contains(&kind)
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The kinds of events that tell of a refusal.
const REFUSALS: [&str; 5] = [
    "action_denied",
    "operation_refused",
    "renewal_refused",
    "requests_refused",
    "session_denied",
];

impl Record for EventRecord {
    const WHAT: &'static str = "event";
}
