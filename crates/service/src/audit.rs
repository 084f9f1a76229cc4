//! What happened, told in the same commit as its effect.
//!
//! No secret ever enters an event: no private key, no secret access key, no session token.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bowline_store::{Key, Value};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::environment::{Entropy, draw};
use crate::error::Error;
use crate::record::{Record, decode};

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
        /// How many events that log had signed last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        follows_size: Option<u64>,
        /// Its last checkpoint, a note; it agreed with the events of the backup.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        follows_note: Option<String>,
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
        /// Why the log of the backup is not the one that was signed; the operator accepted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accepted_rewritten_log: Option<String>,
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
        certificates: Vec<String>,
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
    /// A backup was asked for: whoever asked has a copy of everything, its keys sealed.
    BackedUp {},
    /// The log was exported.
    LogExported {},
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
    /// 16 random bytes, base64: the hashes of events are public, and without these they would confirm a guess.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    /// The record of what the home did of itself, asked by nobody.
    pub(crate) fn own(self, at: Time, entropy: &dyn Entropy) -> EventRecord {
        EventRecord {
            at,
            caller: "bowline".into(),
            source: None,
            nonce: nonce(entropy),
            event: self,
        }
    }

    pub(crate) fn record(self, caller: &Caller, at: Time, entropy: &dyn Entropy) -> EventRecord {
        EventRecord {
            at,
            caller: caller.describe(),
            source: caller.source(),
            nonce: nonce(entropy),
            event: self.bounded(),
        }
    }

    /// With no more of what the caller sent than tells what it was.
    fn bounded(self) -> Event {
        match self {
            Event::ActionDenied { action, resource } => Event::ActionDenied {
                action: brief(action),
                resource: brief(resource),
            },
            Event::RenewalRefused {
                code,
                reason,
                serial,
                subject,
            } => Event::RenewalRefused {
                code,
                reason: brief(reason),
                serial,
                subject: brief(subject),
            },
            Event::SessionDenied {
                code,
                reason,
                role,
                serial,
                subject,
            } => Event::SessionDenied {
                code,
                reason: brief(reason),
                role: brief(role),
                serial,
                subject: brief(subject),
            },
            event => event,
        }
    }
}

pub(crate) fn nonce(entropy: &dyn Entropy) -> String {
    STANDARD_NO_PAD.encode(draw::<16>(entropy))
}

/// A text cut to a length at which many of them fill no disk.
pub(crate) fn brief(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let ends = (0..=TEXT_BYTES_MAX).rev();
        let end = ends.into_iter().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// Whether events of a kind, by its name in the log, tell that something was refused.
pub(crate) fn is_refusal(kind: &str) -> bool {
    REFUSALS.contains(&kind)
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The most that an event keeps of a text which whoever is refused has sent: ARNs and reasons are shorter.
const TEXT_BYTES_MAX: usize = 1_000;

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

    fn decode(key: &Key, value: &Value) -> Result<EventRecord, Error> {
        let (body, refused) = match decode::<EventRecord>(key, value) {
            Ok(record) => return Ok(record),
            Err(error) => (value.as_bytes().get(1..).unwrap_or_default(), error),
        };
        // Once the certificates of an anchor had the name that the caller's address has.
        let mut event: serde_json::Value = match serde_json::from_slice(body) {
            Ok(event) => event,
            Err(_) => return Err(refused),
        };
        if let Some(members) = event.as_object_mut()
            && let Some(certificates) = members
                .get("source")
                .filter(|source| source.is_array())
                .cloned()
        {
            members.remove("source");
            members.insert("certificates".into(), certificates);
        }
        match value.as_bytes().first() {
            Some(&EventRecord::FORMAT) => serde_json::from_value(event).map_err(|_| refused),
            _ => Err(refused),
        }
    }
}
