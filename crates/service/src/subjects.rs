//! Subjects (IAM Roles Anywhere): who traded certificates for credentials, and with which.
//!
//! A subject is known by its name alone, so all its certificates are its credentials. It is written only after a path of
//! a certificate was found good, in the commit of what came of it, and at most once a minute: no stranger can write one.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use bowline_store::{Commit, Key, Value};
use bowline_trust::{Uuid, subject_arn, subject_id};
use bowline_x509::{Certificate, Time};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::authorities::AuthorityRecord;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

/// A subject as the store keeps it. Two that write it at once say the same but for a second.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectRecord {
    x509_subject: String,
    created: Time,
    last_seen: Time,
}

impl Record for SubjectRecord {
    const WHAT: &'static str = "subject";
}

/// A certificate of a subject as the store keeps it: a record of its own, so that no two certificates share one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialRecord {
    serial: String,
    issuer: String,
    not_after: Time,
    failed: bool,
    seen: Time,
}

impl Record for CredentialRecord {
    const WHAT: &'static str = "credential of a subject";
}

/// When each certificate was last written as seen, by its fingerprint and whether it had failed. In this process only:
/// another one writes once more.
#[derive(Default)]
pub(crate) struct Sightings {
    seen: RwLock<HashMap<Sighting, Time>>,
}

/// The fingerprint of a certificate that was seen, and whether it was refused.
pub(crate) type Sighting = ([u8; 32], bool);

impl Service {
    /// Adds to a commit that a certificate whose path is good was seen, unless that was written a minute ago. What it
    /// gives is to be kept once the commit is made.
    pub(crate) fn see(
        &self,
        commit: Commit,
        leaf: &Certificate,
        failed: bool,
        now: Time,
    ) -> Result<(Commit, Option<Sighting>), Error> {
        let sighting = (leaf.fingerprint(), failed);
        let seen = self
            .sightings
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sighting)
            .copied();
        // A clock that was set back makes no subject unseen for long.
        if seen.is_some_and(|seen| seen <= now && now < seen + SEEN_AGAIN) {
            return Ok((commit, None));
        }
        let id = subject_id(leaf.subject());
        let key = keyspace::subject(&id);
        let before = match self.store.get(&key)? {
            Some(value) => Some(SubjectRecord::decode(&key, &value)?),
            None => None,
        };
        let subject = SubjectRecord {
            x509_subject: leaf.subject().to_string(),
            created: before.map_or(now, |before| before.created),
            last_seen: now,
        };
        let credential = CredentialRecord {
            serial: leaf.serial().to_hex(),
            issuer: leaf.issuer().to_string(),
            not_after: leaf.validity().not_after,
            failed,
            seen: now,
        };
        // Puts without expectations: sessions of one subject must not wait for each other, nor fail.
        let commit = commit.put(key, subject.encode()?).put(
            keyspace::subject_credential(&id, &sighting.0),
            credential.encode()?,
        );
        Ok((commit, Some(sighting)))
    }

    /// Notes that a sighting was written.
    pub(crate) fn keep_sighting(&self, sighting: Option<Sighting>, now: Time) {
        let Some(sighting) = sighting else { return };
        let mut seen = self
            .sightings
            .seen
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SIGHTINGS_MAX {
            seen.clear();
        }
        // What became of it last is what the record says.
        seen.remove(&(sighting.0, !sighting.1));
        seen.insert(sighting, now);
    }
}

/// A subject as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectView {
    /// Its id, made of its name.
    pub subject_id: String,
    /// Its ARN.
    pub arn: String,
    /// Its name, RFC 4514.
    pub x509_subject: String,
    /// Whether it may trade certificates. A subject is stopped by its certificates or by trust policies.
    pub enabled: bool,
    /// When it was first seen.
    pub created_at: Time,
    /// When its record was last written.
    pub updated_at: Time,
    /// When it was last seen, but for a minute.
    pub last_seen_at: Time,
    /// The certificates it was seen with, the last first. Lists of subjects leave them out.
    #[serde(default)]
    pub credentials: Vec<SubjectCredential>,
}

/// A certificate that a subject was seen with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectCredential {
    /// Its serial number in hex.
    pub serial: String,
    /// Its issuer, RFC 4514.
    pub issuer: String,
    /// Whether its time is not over.
    pub enabled: bool,
    /// Whether the last time it was refused.
    pub failed: bool,
    /// When it was last seen, but for a minute.
    pub seen_at: Time,
    /// The last second it is good for.
    pub not_after: Time,
}

/// Lists the subjects that were seen, in the order of their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListSubjects {
    /// How many at most; 100 if not given, 1,000 at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub after: Option<String>,
}

/// A page of subjects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubjectPage {
    /// The subjects.
    pub subjects: Vec<SubjectView>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<String>,
}

impl Operation for ListSubjects {
    const NAME: &'static str = "list-subjects";
    type Answer = SubjectPage;

    fn run(self, service: &Service, caller: &Caller) -> Result<SubjectPage, Error> {
        service.authorize(caller, "rolesanywhere:ListSubjects", "*")?;
        let settings = service.settings()?;
        let limit = self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let start = match &self.after {
            Some(after) => {
                let id: Uuid = after.parse().map_err(|_| Error::PageUnknown)?;
                Some(keyspace::subject(&id))
            }
            None => None,
        };
        let page = service
            .store
            .scan(&keyspace::subjects(), start.as_ref(), limit)?;
        let mut subjects = Vec::with_capacity(page.len());
        for (key, value) in &page {
            let record = SubjectRecord::decode(key, value)?;
            let id = keyspace::subject_of(key)
                .ok_or_else(|| Error::internal(format!("the key {key} does not end with an id")))?;
            subjects.push(record.view(&settings, &id)?);
        }
        let next = match subjects.last() {
            Some(last) if page.len() == limit => Some(last.subject_id.clone()),
            Some(_) | None => None,
        };
        Ok(SubjectPage { subjects, next })
    }
}

/// Shows a subject with its certificates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowSubject {
    /// Its id or ARN.
    pub subject: String,
}

impl Operation for ShowSubject {
    const NAME: &'static str = "show-subject";
    type Answer = SubjectView;

    fn run(self, service: &Service, caller: &Caller) -> Result<SubjectView, Error> {
        let settings = service.settings()?;
        let found = service.find_subject(&settings, &self.subject)?;
        let arn = found.as_ref().map(|found| found.arn.clone());
        service.authorize_found(caller, "rolesanywhere:GetSubject", arn)?;
        let mut view = found.ok_or_else(|| Error::SubjectUnknown {
            subject: self.subject.clone(),
        })?;
        let id: Uuid = view.subject_id.parse()?;
        let prefix: Key = keyspace::subject_credentials(&id);
        let now = service.now();
        let issuers = service.own_issuers()?;
        for (key, value) in service.store.scan(&prefix, None, PAGE_MAX)? {
            let record = CredentialRecord::decode(&key, &value)?;
            let revoked = service.is_revoked(&issuers, &record)?;
            view.credentials.push(SubjectCredential {
                serial: record.serial,
                issuer: record.issuer,
                enabled: now <= record.not_after && !revoked,
                failed: record.failed,
                seen_at: record.seen,
                not_after: record.not_after,
            });
        }
        view.credentials
            .sort_by(|one, other| (other.seen_at, &one.serial).cmp(&(one.seen_at, &other.serial)));
        Ok(view)
    }
}

impl Service {
    /// The names of our authorities, as issuers, with their keys' ids.
    fn own_issuers(&self) -> Result<Vec<(String, [u8; 20])>, Error> {
        let records = self.load_all::<AuthorityRecord>(&keyspace::authorities())?;
        let issuer = |record: &AuthorityRecord| {
            let authority = record.authority()?;
            let name = authority.certificate().subject().to_string();
            Ok((name, authority.public_key().key_id()))
        };
        records.iter().map(issuer).collect()
    }

    /// Whether one of our authorities has revoked a certificate that a subject came with.
    fn is_revoked(
        &self,
        issuers: &[(String, [u8; 20])],
        record: &CredentialRecord,
    ) -> Result<bool, Error> {
        // Those of foreign authorities may have other numbers than ours do.
        let Ok(serial) = record.serial.parse() else {
            return Ok(false);
        };
        for (_, key_id) in issuers.iter().filter(|(name, _)| *name == record.issuer) {
            if self.revocation(key_id, &serial)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The subject with an id or ARN, if it was seen.
    pub(crate) fn find_subject(
        &self,
        settings: &Settings,
        reference: &str,
    ) -> Result<Option<SubjectView>, Error> {
        let text = reference
            .rsplit_once(":subject/")
            .map_or(reference, |(_, id)| id);
        let Ok(id) = text.parse::<Uuid>() else {
            return Ok(None);
        };
        let key = keyspace::subject(&id);
        let Some(value) = self.store.get(&key)? else {
            return Ok(None);
        };
        let view = SubjectRecord::decode(&key, &value)?.view(settings, &id)?;
        // An ARN of another account or region names another subject.
        Ok((text == reference || view.arn == reference).then_some(view))
    }
}

impl Service {
    /// The subject with an id, an ARN or exactly this name.
    pub(crate) fn subject_or_namesake(
        &self,
        settings: &Settings,
        reference: &str,
    ) -> Result<SubjectView, Error> {
        if let Some(view) = self.find_subject(settings, reference)? {
            return Ok(view);
        }
        let mut found = None;
        self.pages(&keyspace::subjects(), |page| {
            for (key, value) in page {
                let record = SubjectRecord::decode(key, value)?;
                if let Some(id) = keyspace::subject_of(key)
                    && record.x509_subject == reference
                {
                    found = Some(record.view(settings, &id)?);
                }
            }
            Ok(())
        })?;
        found.ok_or_else(|| Error::SubjectUnknown {
            subject: reference.into(),
        })
    }

    /// The name of a subject that was seen.
    pub(crate) fn subject_name(&self, id: &Uuid) -> Result<Option<String>, Error> {
        let key = keyspace::subject(id);
        match self.store.get(&key)? {
            Some(value) => Ok(Some(SubjectRecord::decode(&key, &value)?.x509_subject)),
            None => Ok(None),
        }
    }

    /// The serial number, in hex, of a certificate that some subject was seen with, by its SHA-256.
    pub(crate) fn serial_seen(&self, fingerprint: &[u8; 32]) -> Result<Option<String>, Error> {
        let end = hex::encode(fingerprint);
        let mut found = None;
        self.pages(&keyspace::all_subject_credentials(), |page| {
            for (key, value) in page {
                if key.as_bytes().ends_with(end.as_bytes()) {
                    found = Some(CredentialRecord::decode(key, value)?.serial);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl SubjectRecord {
    fn view(self, settings: &Settings, id: &Uuid) -> Result<SubjectView, Error> {
        let account = settings.account_id()?;
        Ok(SubjectView {
            subject_id: id.to_string(),
            arn: subject_arn(&settings.partition, &settings.region, &account, *id),
            x509_subject: self.x509_subject,
            enabled: true,
            created_at: self.created,
            updated_at: self.last_seen,
            last_seen_at: self.last_seen,
            credentials: Vec::new(),
        })
    }
}

/// Whether what is kept of a subject reads.
pub(crate) fn check_subject(key: &Key, value: &Value) -> Result<(), Error> {
    SubjectRecord::decode(key, value).map(drop)
}

/// Whether what is kept of a subject's certificate reads.
pub(crate) fn check_credential(key: &Key, value: &Value) -> Result<(), Error> {
    CredentialRecord::decode(key, value).map(drop)
}

/// How long a sighting is not written again.
const SEEN_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// How many sightings are remembered; past this each is written once more.
const SIGHTINGS_MAX: usize = 16_384;
/// How many subjects a page has unless more are asked for.
const PAGE_DEFAULT: usize = 100;
/// How many subjects a page has at most, and how many certificates of a subject are shown: what one scan of the store
/// returns.
const PAGE_MAX: usize = bowline_store::SCAN_RECORDS_MAX;
