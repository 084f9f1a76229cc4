//! Ending sessions before their time: some, or all of a role, a profile, a trust anchor, a subject, a certificate, an
//! identity provider.

use bowline_store::{Commit, StoreError};
use bowline_trust::Uuid;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use super::ends::{Ended, Scope};
use crate::audit::Event;
use crate::caller::Caller;
use crate::error::{Error, LifeError};
use crate::inventory::{CertificateRecord, serial_of};
use crate::keyspace;
use crate::operation::Operation;
use crate::service::Service;
use crate::settings::Settings;
use crate::wire::Moment;

/// Ends sessions at once, for every process on the store. One kind is named; what is assumed from a session that ends,
/// ends with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RevokeSessions {
    /// Sessions, by their ids or by their access key ids.
    pub sessions: Vec<String>,
    /// All of a role, by name or ARN.
    pub role: Option<String>,
    /// All of a profile, by name, id or ARN.
    pub profile: Option<String>,
    /// All of a trust anchor, by name, id or ARN.
    pub trust_anchor: Option<String>,
    /// All of a subject, by id, ARN or name (RFC 4514).
    pub subject: Option<String>,
    /// All of a certificate, by serial number, by name, or by the SHA-256 of one that others issued.
    pub certificate: Option<String>,
    /// All that an identity provider vouched for, by name or ARN.
    pub provider: Option<String>,
    /// All there are.
    pub all: bool,
    /// Only those that began at this second or before; now, if not given.
    pub older_than: Option<Moment>,
    /// Why, for the log.
    pub reason: String,
}

/// What was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedSessions {
    /// `session`, `role`, `profile`, `anchor`, `subject`, `certificate`, `provider` or `all`.
    pub scope: String,
    /// The ids of what was named.
    pub ids: Vec<String>,
    /// Sessions that began at this second or before are over.
    pub until: Time,
}

/// What a request names, found.
struct Named {
    ended: Vec<Ended>,
    /// The resource that the caller must be allowed to end sessions of.
    resource: String,
    /// What the log says of it.
    said: Said,
}

/// The members of the event that tell what was named.
#[derive(Default)]
struct Said {
    role: Option<String>,
    profile: Option<String>,
    trust_anchor: Option<String>,
    subject: Option<String>,
    provider: Option<String>,
}

impl Operation for RevokeSessions {
    const NAME: &'static str = "revoke-sessions";
    type Answer = RevokedSessions;

    fn run(self, service: &Service, caller: &Caller) -> Result<RevokedSessions, Error> {
        if !matches!(caller, Caller::Operator | Caller::Session { .. }) {
            // Nobody without credentials learns what exists.
            service.authorize(caller, ACTION, "*")?;
        }
        let settings = service.settings()?;
        let now = service.now();
        let until = match self.until(now)? {
            Some(until) => until,
            None => service.last_begun(now)?,
        };
        if !self.sessions.is_empty() || self.certificate.is_some() {
            // These are looked for in the log, which is not read for whoever may not end them.
            service.authorize(caller, ACTION, "*")?;
        }
        let Named {
            ended,
            resource,
            said,
        } = match self.named(service, &settings, now) {
            Ok(named) => named,
            Err(error) => {
                // What does not exist is told to those only who may end everything.
                service.authorize(caller, ACTION, "*")?;
                return Err(error);
            }
        };
        service.authorize(caller, ACTION, &resource)?;
        service.check_room_for_ends(&ended, now)?;
        let answer = RevokedSessions {
            // Cannot be none: something was named.
            scope: ended
                .first()
                .map_or("all", |ended| ended.scope.kind())
                .into(),
            ids: match &said.provider {
                // Nobody knows it by its hash.
                Some(arn) => vec![arn.clone()],
                None => ended.iter().map(|ended| ended.scope.id()).collect(),
            },
            until,
        };
        let event = Event::SessionsEnded {
            scope: answer.scope.clone(),
            ids: answer.ids.clone(),
            until,
            reason: self.reason,
            role: said.role,
            profile: said.profile,
            trust_anchor: said.trust_anchor,
            subject: said.subject,
            provider: said.provider,
            serials: ended
                .iter()
                .filter_map(|ended| ended.serial.clone())
                .collect(),
        };
        let generation = keyspace::session_ends_generation();
        for _ in 0..ATTEMPTS {
            let commit = service.end_sessions(Commit::new().from_reserve(), &ended, until, now)?;
            match service.commit(commit, caller, now, event.clone()) {
                // Somebody else ended sessions meanwhile.
                Err(Error::Store(StoreError::Conflict { key })) if key == generation => {}
                outcome => return outcome.map(|()| answer),
            }
        }
        Err(Error::Busy)
    }
}

impl RevokeSessions {
    /// Checks what is asked apart from what exists; gives the second up to which sessions end, if one is named.
    fn until(&self, now: Time) -> Result<Option<Time>, Error> {
        let kinds = [
            !self.sessions.is_empty(),
            self.role.is_some(),
            self.profile.is_some(),
            self.trust_anchor.is_some(),
            self.subject.is_some(),
            self.certificate.is_some(),
            self.provider.is_some(),
            self.all,
        ];
        let given = kinds.into_iter().filter(|&named| named).count();
        if given != 1 {
            return Err(LifeError::ScopesNamed { given }.into());
        }
        let length = self.reason.len();
        if !(1..=REASON_MAX).contains(&length) || self.reason.chars().any(char::is_control) {
            let limit = REASON_MAX;
            return Err(LifeError::ReasonInvalid { length, limit }.into());
        }
        check_count(self.sessions.len())?;
        let until = self.older_than.map(|moment| moment.resolve(now));
        match until {
            Some(_) if !self.sessions.is_empty() => Err(LifeError::EndTimeForSession.into()),
            Some(None) => Err(Error::MomentOutOfRange),
            Some(Some(until)) if until > now => Err(LifeError::EndAhead { until, now }.into()),
            Some(Some(until)) => Ok(Some(until)),
            None => Ok(None),
        }
    }

    fn named(&self, service: &Service, settings: &Settings, now: Time) -> Result<Named, Error> {
        if let Some(reference) = &self.role {
            let role = service.role(reference)?;
            let arn = settings.role_arn(&role);
            return Ok(Named::one(Scope::Role(role.id), arn, |said, arn| {
                said.role = Some(arn);
            }));
        }
        if let Some(reference) = &self.profile {
            let profile = service.profile(reference)?;
            let arn = settings.profile_arn(&profile);
            return Ok(Named::one(Scope::Profile(profile.id), arn, |said, arn| {
                said.profile = Some(arn);
            }));
        }
        if let Some(reference) = &self.trust_anchor {
            let anchor = service.anchor(reference)?;
            let arn = settings.anchor_arn(&anchor);
            return Ok(Named::one(
                Scope::TrustAnchor(anchor.id),
                arn,
                |said, arn| said.trust_anchor = Some(arn),
            ));
        }
        if let Some(reference) = &self.subject {
            let (id, arn, name) = service.subject_named(settings, reference)?;
            return Ok(Named::one(Scope::Subject(id), arn, |said, _| {
                said.subject = Some(name);
            }));
        }
        if let Some(reference) = &self.provider {
            let arn = service.provider_arn_named(settings, reference)?;
            return Ok(Named::one(Scope::provider(&arn), arn, |said, arn| {
                said.provider = Some(arn);
            }));
        }
        if let Some(reference) = &self.certificate {
            return Ok(Named {
                ended: service.certificates_named(reference, now)?,
                resource: "*".into(),
                said: Said::default(),
            });
        }
        let mut ended: Vec<Ended> = Vec::new();
        for session in &self.sessions {
            let scope = Scope::Session(service.session_named(session, now)?);
            if ended.iter().all(|other| other.scope != scope) {
                ended.push(Ended::new(scope));
            }
        }
        if ended.is_empty() {
            ended.push(Ended::new(Scope::All));
        }
        Ok(Named {
            ended,
            resource: "*".into(),
            said: Said::default(),
        })
    }
}

impl Named {
    fn one(scope: Scope, resource: String, say: impl FnOnce(&mut Said, String)) -> Named {
        let mut said = Said::default();
        say(&mut said, resource.clone());
        Named {
            ended: vec![Ended::new(scope)],
            resource,
            said,
        }
    }
}

impl Service {
    /// A subject by its id, ARN or name, with its ARN and its name.
    fn subject_named(
        &self,
        settings: &Settings,
        reference: &str,
    ) -> Result<(Uuid, String, String), Error> {
        let view = self.subject_or_namesake(settings, reference)?;
        Ok((view.subject_id.parse()?, view.arn, view.x509_subject))
    }

    /// The certificates with a serial number, of a name, or with a SHA-256.
    fn certificates_named(&self, reference: &str, now: Time) -> Result<Vec<Ended>, Error> {
        let mut fingerprint = [0; 32];
        if hex::decode_to_slice(reference, &mut fingerprint).is_ok() {
            // Perhaps of a foreign authority, and perhaps it never was here: then this ends nothing.
            return Ok(vec![Ended {
                scope: Scope::Certificate(fingerprint),
                serial: self.serial_seen(&fingerprint)?,
            }]);
        }
        let ended = |record: &CertificateRecord| {
            let certificate = record.parsed()?;
            Ok(Ended {
                scope: Scope::Certificate(certificate.fingerprint()),
                serial: Some(certificate.serial().to_hex()),
            })
        };
        if let Some(serial) = serial_of(reference)? {
            return Ok(vec![ended(&*self.certificate_record(&serial)?)?]);
        }
        let records = self.unexpired_by_name(reference, now)?;
        if records.is_empty() {
            return Err(Error::CertificateUnknown {
                what: reference.into(),
            });
        }
        check_count(records.len())?;
        records.iter().map(ended).collect()
    }
}

fn check_count(count: usize) -> Result<(), LifeError> {
    match count > NAMED_MAX {
        true => Err(LifeError::TooManyNamed {
            count,
            limit: NAMED_MAX,
        }),
        false => Ok(()),
    }
}

/// What a caller must be allowed to do.
const ACTION: &str = "bowline:RevokeSessions";
/// The most sessions or certificates at once: they end together, in one commit of 64 operations.
const NAMED_MAX: usize = 24;
/// The longest reason, in bytes.
const REASON_MAX: usize = 256;
/// How often ending is tried when others end sessions at the same time.
const ATTEMPTS: usize = 16;
