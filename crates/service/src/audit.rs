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
        /// What it allows at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boundary: Option<String>,
        /// The ARN of the profile that lists it since.
        profile: String,
    },
    /// A role was changed. What stayed as it was is left out.
    RoleChanged {
        /// Its ARN.
        role: String,
        /// Who may take it since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust_policy: Option<String>,
        /// The longest its sessions may last since, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_session_duration: Option<u32>,
        /// Whether it can be used since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enabled: Option<bool>,
        /// What it allows at most since; empty where that was taken away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boundary: Option<String>,
        /// The policies it has since, or has otherwise: by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies_put: Vec<(String, String)>,
        /// The names of the policies it has no longer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        policies_deleted: Vec<String>,
    },
    /// A role was deleted; its sessions ended with it.
    RoleDeleted {
        /// Its ARN.
        role: String,
        /// Its unique id.
        id: String,
        /// The ARNs of the profiles that listed it.
        profiles: Vec<String>,
    },
    /// A setting of the home was changed.
    SettingChanged {
        /// Its name.
        setting: String,
        /// What it was.
        was: String,
        /// What it is.
        is: String,
    },
    /// A subject got an MFA device, or lost one, or proved that it has the one it got.
    MfaDeviceChanged {
        /// The device's serial number.
        device: String,
        /// The subject, RFC 4514.
        subject: String,
        /// What became of it.
        change: MfaChange,
    },
    /// Sessions were ended before their time: those named, or those that began by a time of what is named.
    SessionsEnded {
        /// `session`, `role`, `profile`, `anchor`, `subject`, `certificate`, `provider` or `all`.
        scope: String,
        /// The ids of what was named.
        ids: Vec<String>,
        /// Those that began at this second or before are over.
        until: Time,
        /// Why.
        reason: String,
        /// The role's ARN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// The profile's ARN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// The trust anchor's ARN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust_anchor: Option<String>,
        /// The subject, RFC 4514.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The serial numbers of the certificates in hex, of which they are known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        serials: Vec<String>,
        /// The identity provider's ARN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
    },
    /// There is a session key more, which seals nothing yet.
    SessionKeyPublished {
        /// Its id.
        key: u8,
    },
    /// Another key seals new sessions.
    SessionKeyActivated {
        /// Its id.
        key: u8,
        /// The id of the one before, which opens what it sealed.
        retiring: u8,
    },
    /// A session key is gone, after every session that it sealed.
    SessionKeyRetired {
        /// Its id.
        key: u8,
    },
    /// A session key was thrown away; every session that it sealed ended at once.
    SessionKeyDropped {
        /// Its id.
        key: u8,
        /// The id of the new key that seals instead, where it was the active one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced_by: Option<u8>,
    },
    /// A managed policy was created or changed.
    PolicyWritten {
        /// Its ARN.
        policy: String,
        /// Whether it is new.
        created: bool,
        /// What it says.
        document: String,
    },
    /// A managed policy was deleted.
    PolicyDeleted {
        /// Its ARN.
        policy: String,
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
        /// Whether its sessions count only over TLS with their certificate.
        #[serde(default, skip_serializing_if = "is_false")]
        sender_constrained: bool,
    },
    /// An identity provider was created or changed. Whoever it vouches for can get credentials.
    ProviderWritten {
        /// Its ARN.
        provider: String,
        /// Whether it is new.
        created: bool,
        /// Its issuer: a URL, or an entity id.
        issuer: String,
        /// For whom its tokens may be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        audiences: Vec<String>,
        /// Where its keys come from: `document`, `discovery`, or a URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<String>,
        /// SHA-256 fingerprints of the certificates whose keys sign its assertions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        certificates: Vec<String>,
    },
    /// An identity provider was deleted: nobody gets credentials by its word any more.
    ProviderDeleted {
        /// Its ARN.
        provider: String,
        /// Its issuer: a URL, or an entity id.
        issuer: String,
    },
    /// New keys sign the tokens of our own.
    IdentityKeysRenewed {
        /// The ids of the new keys.
        keys: Vec<String>,
        /// The ids of those that sign nothing more.
        retired: Vec<String>,
        /// Whether those are published no longer, either.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        withdrawn: bool,
    },
    /// A session got a token that says to other systems who it is.
    IdentityTokenIssued {
        /// The token's id, its `jti`.
        token: String,
        /// Whom it speaks of.
        subject: String,
        /// For whom it is.
        audiences: Vec<String>,
        /// The id of the key that signed it.
        key: String,
        /// When it ends.
        expires: Time,
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
    /// Credentials were given out.
    SessionCreated {
        /// The session's id in hex.
        session: String,
        /// The access key id given out.
        access_key_id: String,
        /// The role's ARN; of a certificate as itself its own.
        role: String,
        /// By which call.
        #[serde(default, skip_serializing_if = "SessionVia::is_exchange")]
        via: SessionVia,
        /// The id in hex of the session that it was assumed from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        /// The ARN of the identity provider at the root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
        /// The trust anchor's ARN, where a certificate was traded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust_anchor: Option<String>,
        /// The profile's ARN, where a certificate was traded for a role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// The serial number in hex of the certificate at the root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serial: Option<String>,
        /// The certificate's subject, RFC 4514, or whom the provider vouches for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The source identity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_identity: Option<String>,
        /// When the credentials end.
        expires: Time,
    },
    /// Somebody who had proved who they are was refused credentials.
    SessionDenied {
        /// The stable code of the rule that failed.
        code: String,
        /// The reason.
        reason: String,
        /// The role asked for.
        role: String,
        /// By which call.
        #[serde(default, skip_serializing_if = "SessionVia::is_exchange")]
        via: SessionVia,
        /// The serial number in hex of the certificate that asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serial: Option<String>,
        /// The certificate's subject, RFC 4514, or whom the provider vouches for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The ARN of the identity provider that vouches for who asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
    },
}

/// By which call credentials were given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionVia {
    /// CreateSession: a certificate was traded.
    #[default]
    CreateSession,
    /// AssumeRole: a session was used.
    AssumeRole,
    /// AssumeRoleWithWebIdentity: the token of an OpenID Connect provider was brought.
    WebIdentity,
    /// AssumeRoleWithSAML: an assertion was brought.
    Saml,
    /// GetSessionToken: a certificate was shown.
    SessionToken,
}

impl SessionVia {
    fn is_exchange(&self) -> bool {
        matches!(self, SessionVia::CreateSession)
    }
}

/// What became of an MFA device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaChange {
    /// It was made, and does not count yet.
    Created,
    /// Two codes proved it: it counts.
    Confirmed,
    /// It was taken away.
    Deleted,
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
                via,
                serial,
                subject,
                provider,
            } => Event::SessionDenied {
                code,
                reason: brief(reason),
                role: brief(role),
                via,
                serial,
                subject: subject.map(brief),
                provider,
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
