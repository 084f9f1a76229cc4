//! Listing sessions. Nothing is stored for a session: what is listed is what the log tells of those that began within
//! the longest life of a session, held against what has ended sessions since.

use std::ops::ControlFlow;

use bowline_store::{Key, Progress, Value};
use bowline_trust::{IdentityProvider, Role};
use bowline_x509::Time;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::judging::Judge;
use super::{MARGIN, SESSION_LIFE_MAX};
use crate::caller::Caller;
use crate::error::{Error, LifeError};
use crate::inventory::serial_of;
use crate::keyspace;
use crate::log::{is_role, is_subject};
use crate::operation::{Operation, Sink, Transfer};
use crate::service::Service;
use crate::settings::Settings;

/// Lists sessions as lines of JSON, the oldest first. Filters narrow each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListSessions {
    /// Only those of this role, by name or ARN; one that was deleted, by its ARN.
    pub role: Option<String>,
    /// Only those that this profile allowed, by name, id or ARN.
    pub profile: Option<String>,
    /// Only those whose certificate this trust anchor vouched for, by name, id or ARN.
    pub trust_anchor: Option<String>,
    /// Only those of this subject: the whole subject, or the value of one of its attributes; `*` stands for any characters.
    pub subject: Option<String>,
    /// Only those that this certificate was traded for: by serial number (`0x…` or with colons), by name, or by the
    /// SHA-256 of one that others issued.
    pub certificate: Option<String>,
    /// Only those with this source identity.
    pub source_identity: Option<String>,
    /// Only those that this identity provider vouched for, by name or ARN; one that was deleted, by its ARN.
    pub provider: Option<String>,
    /// Only those that began this way: `create-session`, `assume-role`, `web-identity`, `saml`, `session-token`.
    pub via: Option<String>,
    /// Also those that are over, as far as they began within the longest life of a session.
    pub all: bool,
    /// At most so many.
    pub limit: Option<u64>,
}

/// A session, as the log and the marks tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub session: String,
    /// The access key id that was given out.
    pub access_key_id: String,
    /// Whether it lives.
    pub state: SessionState,
    /// What ended it, if it was ended before its time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_by: Option<String>,
    /// When it began.
    pub issued: Time,
    /// When it ends by itself.
    pub expires: Time,
    /// The ARN of its role; of a certificate as itself, of the user.
    pub role: String,
    /// How it began: `create-session` and so on.
    pub via: String,
    /// The id of the session that it was assumed from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
    /// The subject of its certificate, RFC 4514.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// The serial number of its certificate, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// Its source identity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_identity: Option<String>,
    /// The ARN of its trust anchor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trust_anchor: Option<String>,
    /// The ARN of its profile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
    /// The ARN of the identity provider behind it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    /// The address that it was asked for from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<std::net::IpAddr>,
    /// The number of the event that tells of it.
    pub event: u64,
}

/// Whether a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its credentials are accepted.
    Live,
    /// It was ended before its time.
    Revoked,
    /// Its time is over.
    Ended,
}

impl SessionState {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionState::Live => "live",
            SessionState::Revoked => "revoked",
            SessionState::Ended => "ended",
        }
    }
}

/// What was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedSessions {
    /// How many sessions were given.
    pub listed: u64,
    /// How many events were looked at.
    pub examined: u64,
    /// Whether so many sessions were ended that of those assumed from them not all are known to be over.
    pub uncertain: bool,
}

impl Transfer for ListSessions {
    const NAME: &'static str = "list-sessions";
    type Answer = ListedSessions;

    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error> {
        service.authorize(caller, ACTION, "*")
    }

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<ListedSessions, Error> {
        self.permit(service, caller)?;
        let now = service.now();
        let mut judge = Judge::new(service, now)?;
        let filter = Filter::new(&self, service, now)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let (mut lines, mut listed) = (Vec::new(), 0);
        let mut look = |page: &Page| -> Result<ControlFlow<()>, Error> {
            for (number, issued) in &page.sessions {
                if left == 0 {
                    break;
                }
                // Also those that are not asked for: others may be assumed from them.
                let view = judge.view(*number, issued)?;
                if (self.all || view.state == SessionState::Live) && filter.takes(&view) {
                    serde_json::to_writer(&mut lines, &view).map_err(|error| {
                        Error::internal(format!("a session could not be encoded: {error}"))
                    })?;
                    lines.push(b'\n');
                    left -= 1;
                    listed += 1;
                }
            }
            if !lines.is_empty() {
                sink.bytes(&lines)?;
                lines.clear();
            }
            sink.progress(page.progress.clone())?;
            Ok(match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        };
        let examined = service.each_issued(now, &mut look)?;
        Ok(ListedSessions {
            listed,
            examined,
            uncertain: judge.is_uncertain(),
        })
    }
}

/// Shows one session of those that [`ListSessions`] lists, living or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowSession {
    /// Its id, or its access key id.
    pub session: String,
}

impl Operation for ShowSession {
    const NAME: &'static str = "show-session";
    type Answer = SessionView;

    fn run(self, service: &Service, caller: &Caller) -> Result<SessionView, Error> {
        service.authorize(caller, ACTION, "*")?;
        let now = service.now();
        let mut judge = Judge::new(service, now)?;
        let mut found = None;
        service.each_issued(now, &mut |page| {
            for (number, issued) in &page.sessions {
                let view = judge.view(*number, issued)?;
                if issued.is_called(&self.session) {
                    found = Some(view);
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        found.ok_or_else(|| unknown(self.session).into())
    }
}

/// What the event of a new session says of it.
#[derive(Deserialize)]
pub(super) struct Issued {
    pub(super) at: Time,
    pub(super) source: Option<std::net::IpAddr>,
    pub(super) session: String,
    pub(super) access_key_id: String,
    pub(super) role: String,
    pub(super) trust_anchor: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) source_identity: Option<String>,
    pub(super) expires: Time,
    pub(super) via: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) provider: Option<String>,
}

impl Issued {
    /// Reads an event, if it tells of a new session.
    fn read(entry: &[u8]) -> Option<Issued> {
        // Most of a million events tell of something else, or are read for nothing more than this.
        entry
            .windows(CREATED.len())
            .any(|window| window == CREATED)
            .then(|| serde_json::from_slice(entry).ok())
            .flatten()
    }

    fn is_called(&self, name: &str) -> bool {
        self.session.eq_ignore_ascii_case(name) || self.access_key_id == name
    }
}

/// The sessions of a page of events.
pub(super) struct Page {
    sessions: Vec<(u64, Issued)>,
    progress: Progress,
}

impl Service {
    /// The id of a session of the last hours, by itself or by its access key id.
    pub(super) fn session_named(&self, name: &str, now: Time) -> Result<[u8; 16], Error> {
        let mut found = None;
        self.each_issued(now, &mut |page| {
            let mut sessions = page.sessions.iter();
            found = sessions
                .find(|(_, issued)| issued.is_called(name))
                .map(|(_, issued)| issued.session.clone());
            Ok(match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        })?;
        let mut id = [0; 16];
        match found.map(|found| hex::decode_to_slice(found, &mut id)) {
            Some(Ok(())) => Ok(id),
            Some(Err(_)) | None => Err(unknown(name.into()).into()),
        }
    }

    /// The ARN of an identity provider by its name or ARN. Its sessions may outlive a provider that was deleted, and go
    /// by the ARN then.
    pub(super) fn provider_arn_named(
        &self,
        settings: &Settings,
        reference: &str,
    ) -> Result<String, Error> {
        if let Some(provider) = self.find_provider(settings, reference)? {
            return Ok(provider.arn(&settings.partition));
        }
        if reference.starts_with(ARN) {
            return Ok(reference.into());
        }
        let known = self.load_all::<IdentityProvider>(&keyspace::identity_providers())?;
        Err(LifeError::SessionsOfUnknown {
            is_role: false,
            name: reference.into(),
            known: known
                .iter()
                .map(|provider| provider.name().to_owned())
                .collect(),
            arn: format!("arn:{}:iam::{}:…", settings.partition, settings.account),
        }
        .into())
    }

    /// Refuses the name of a role that no account has. One that was deleted goes by its ARN.
    fn check_role_named(&self, settings: &Settings, reference: &str) -> Result<(), Error> {
        if reference.starts_with(ARN) {
            return Ok(());
        }
        let mut known = Vec::new();
        for prefix in [keyspace::roles(), keyspace::account_roles()] {
            let roles = self.load_all::<Role>(&prefix)?;
            known.extend(roles.into_iter().map(|role| role.name));
        }
        if known.iter().any(|name| name == reference) {
            return Ok(());
        }
        Err(LifeError::SessionsOfUnknown {
            is_role: true,
            name: reference.into(),
            known,
            arn: format!(
                "arn:{}:iam::{}:role/…",
                settings.partition, settings.account
            ),
        }
        .into())
    }

    /// The serial numbers of certificates: by the number itself, which others may have given, by a name, or by a SHA-256.
    fn serials_named(&self, reference: &str, now: Time) -> Result<Vec<String>, Error> {
        if let Some(serial) = serial_of(reference)? {
            return Ok(vec![serial.to_hex()]);
        }
        let mut fingerprint = [0; 32];
        let serials: Vec<String> = match hex::decode_to_slice(reference, &mut fingerprint) {
            Ok(()) => self.serial_seen(&fingerprint)?.into_iter().collect(),
            Err(_) => {
                // Also those that ended meanwhile: their sessions are listed on demand.
                let records = self.unexpired_by_name(reference, now - LOOK_BACK)?;
                let serials = records
                    .iter()
                    .map(|record| Ok(record.parsed()?.serial().to_hex()));
                serials.collect::<Result<_, Error>>()?
            }
        };
        if serials.is_empty() {
            return Err(Error::CertificateUnknown {
                what: reference.into(),
            });
        }
        Ok(serials)
    }

    /// Shows every session that may live to `look`, the oldest first, page by page of the log. Gives how many events were
    /// read.
    fn each_issued(
        &self,
        now: Time,
        look: &mut dyn FnMut(&Page) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        let last = self.last_event()?;
        let first = self.first_event_since(now - LOOK_BACK, last)?;
        let (mut low, mut bytes) = (first, 0_u64);
        while low < last {
            let high = last.min(low + PAGE);
            let events = self.events_between(low, high)?;
            let mut sessions = Vec::new();
            for (key, value) in &events {
                bytes += value.len() as u64;
                let entry = value.as_bytes().get(1..).unwrap_or_default();
                if let (Some(number), Some(issued)) =
                    (keyspace::event_number(key), Issued::read(entry))
                {
                    sessions.push((number, issued));
                }
            }
            low = high;
            let total = u128::from(bytes) * u128::from(last - first) / u128::from(low - first);
            let progress = Progress {
                step: "reading the log",
                done: bytes,
                total: u64::try_from(total).unwrap_or(u64::MAX).max(bytes),
            };
            if look(&Page { sessions, progress })?.is_break() {
                break;
            }
        }
        Ok(low - first)
    }

    /// How many of the first `last` events are from before a time. Their times grow with their numbers but for seconds,
    /// which the margin of whoever asks covers.
    fn first_event_since(&self, since: Time, last: u64) -> Result<u64, Error> {
        let (mut before, mut after) = (0, last + 1);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            let key = keyspace::event(middle)?;
            let at = self
                .store
                .get(&key)?
                .and_then(|value| time_of(&key, &value));
            // One that does not read is taken to be young: nothing is left out for it.
            if at.is_some_and(|at| at < since) {
                before = middle;
            } else {
                after = middle;
            }
        }
        Ok(before)
    }
}

/// When an event was.
fn time_of(_: &Key, value: &Value) -> Option<Time> {
    #[derive(Deserialize)]
    struct When {
        at: Time,
    }
    let when: When = serde_json::from_slice(value.as_bytes().get(1..)?).ok()?;
    Some(when.at)
}

/// What is asked for, ready to be compared.
struct Filter {
    role: Option<String>,
    profile: Option<String>,
    trust_anchor: Option<String>,
    subject: Option<String>,
    serials: Option<Vec<String>>,
    source_identity: Option<String>,
    provider: Option<String>,
    via: Option<String>,
}

impl Filter {
    fn new(ask: &ListSessions, service: &Service, now: Time) -> Result<Filter, Error> {
        let settings = service.settings()?;
        if let Some(reference) = &ask.role {
            service.check_role_named(&settings, reference)?;
        }
        let profile = ask.profile.as_deref().map(|reference| {
            let found = service.profile(reference)?;
            Ok::<_, Error>(settings.profile_arn(&found))
        });
        let trust_anchor = ask.trust_anchor.as_deref().map(|reference| {
            let found = service.anchor(reference)?;
            Ok::<_, Error>(settings.anchor_arn(&found))
        });
        let provider = ask
            .provider
            .as_deref()
            .map(|reference| service.provider_arn_named(&settings, reference));
        let serials = ask
            .certificate
            .as_deref()
            .map(|reference| service.serials_named(reference, now));
        Ok(Filter {
            role: ask.role.clone(),
            profile: profile.transpose()?,
            trust_anchor: trust_anchor.transpose()?,
            provider: provider.transpose()?,
            subject: ask.subject.as_ref().map(|text| text.to_lowercase()),
            serials: serials.transpose()?,
            source_identity: ask.source_identity.clone(),
            via: ask.via.clone(),
        })
    }

    fn takes(&self, view: &SessionView) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        same(&self.profile, &view.profile)
            && same(&self.trust_anchor, &view.trust_anchor)
            && same(&self.source_identity, &view.source_identity)
            && same(&self.provider, &view.provider)
            && self.via.as_ref().is_none_or(|via| *via == view.via)
            && self
                .role
                .as_ref()
                .is_none_or(|role| is_role(role, &view.role))
            && self.serials.as_ref().is_none_or(|serials| {
                let serial = view.serial.as_ref();
                serial.is_some_and(|serial| serials.contains(serial))
            })
            && self.subject.as_ref().is_none_or(|pattern| {
                let subject = view.subject.as_ref();
                subject.is_some_and(|subject| is_subject(pattern, subject))
            })
    }
}

fn unknown(session: String) -> LifeError {
    LifeError::SessionUnknown {
        session,
        hours: LOOK_BACK.num_hours(),
    }
}

/// How what is named by its ARN begins.
const ARN: &str = "arn:";
/// What a caller must be allowed to do.
const ACTION: &str = "bowline:ListSessions";
/// How far back the log is read.
const LOOK_BACK: TimeDelta =
    TimeDelta::seconds(SESSION_LIFE_MAX.num_seconds() + MARGIN.num_seconds());
/// How many events are read at once: at 64 KiB each no more than 16 MiB.
const PAGE: u64 = 256;
/// What every event of a new session has.
const CREATED: &[u8] = br#""event":"session_created""#;
