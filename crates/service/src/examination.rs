//! `examine`: whether everything in the home fits together. It reads all of it and changes nothing.
//!
//! The engine holds its own files against each other; here the records are held against each other:
//! - [`certificates`]: every certificate with the keys it is found by, and every such key with its certificate.
//! - [`revocations`]: every revocation with its authority and its CRL.
//! - [`resources`]: authorities, anchors, profiles and roles, what they name, and when they end.
//! - [`events`]: the log, without gaps, and what it tells with what is there.

mod certificates;
mod events;
mod resources;
mod revocations;

use std::collections::BTreeMap;

use bowline_store::{Key, Progress, Value};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::{Sink, Transfer};
use crate::sealing::SealedMaster;
use crate::service::Service;

/// Holds everything in the home against everything else in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examine {}

/// How much a finding matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It will be trouble.
    Warning,
    /// It is trouble.
    Critical,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name: `certificate_key_missing`.
    pub code: String,
    /// What was found, and where.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl From<bowline_store::Finding> for Finding {
    fn from(finding: bowline_store::Finding) -> Finding {
        Finding {
            severity: match finding.severity {
                bowline_store::Severity::Info => Severity::Info,
                bowline_store::Severity::Warning => Severity::Warning,
                bowline_store::Severity::Critical => Severity::Critical,
            },
            code: finding.code.into(),
            what: finding.what,
            fix: finding.fix,
        }
    }
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// How many records were read.
    pub records: u64,
    /// What is not as it should be, the worst first. None: all of it fits.
    pub findings: Vec<Finding>,
    /// Whether a key file opens the sealed keys, and no passphrase. Whether the file is there still, whoever sees the
    /// home's directory knows: a service that has opened the keys goes on without it.
    #[serde(default)]
    pub under_key_file: bool,
}

impl Transfer for Examine {
    const NAME: &'static str = "examine";
    type Answer = Examination;

    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error> {
        service.authorize(caller, "bowline:Examine", "*")
    }

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<Examination, Error> {
        self.permit(service, caller)?;
        service.settings()?;
        // 1. What the engine says of its own files.
        let mut gone = None;
        let found = service.store.examine(&mut |progress| {
            if gone.is_none() {
                gone = sink.progress(progress).err();
            }
        })?;
        if let Some(error) = gone {
            return Err(error);
        }
        // 2. What the records say of each other.
        let mut examiner = Examiner {
            service,
            sink,
            now: service.now(),
            records: 0,
            bytes: 0,
            findings: Findings::default(),
        };
        examiner.resources()?;
        examiner.certificates()?;
        examiner.revocations()?;
        examiner.events()?;
        let records = examiner.records;
        let mut findings: Vec<Finding> = found.into_iter().map(Finding::from).collect();
        findings.extend(examiner.findings.told());
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let master = service.load::<SealedMaster>(&keyspace::master());
        Ok(Examination {
            records,
            findings,
            // One that does not read is among the findings.
            under_key_file: matches!(master, Ok(Some(master)) if master.is_under_key_file()),
        })
    }
}

/// An examination under way.
struct Examiner<'a> {
    service: &'a Service,
    sink: &'a mut dyn Sink,
    now: Time,
    records: u64,
    /// Of the records, keys included.
    bytes: u64,
    findings: Findings,
}

impl Examiner<'_> {
    /// Shows every record under a prefix to `look`, page by page.
    fn each(
        &mut self,
        step: &'static str,
        prefix: &Key,
        look: &mut dyn FnMut(&mut Examiner<'_>, &Key, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let service = self.service;
        service.pages(prefix, |page| {
            for (key, value) in page {
                self.records += 1;
                self.bytes += (key.len() + value.len()) as u64;
                look(&mut *self, key, value)?;
            }
            self.sink.progress(Progress {
                step,
                done: self.bytes,
                total: self.bytes,
            })
        })
    }

    fn is_there(&self, key: &Key) -> Result<bool, Error> {
        Ok(self.service.store.get(key)?.is_some())
    }

    /// Adds a finding; of one kind only the first few are told one by one.
    fn find(&mut self, severity: Severity, code: &'static str, what: String, fix: &str) {
        self.findings.add(Finding {
            severity,
            code: code.into(),
            what,
            fix: fix.into(),
        });
    }

    /// A record that does not read. The store's checksums hold, so it was written so.
    fn unreadable(&mut self, error: &Error) {
        self.find(
            Severity::Critical,
            "record_unreadable",
            error.to_string(),
            "restore a backup, or run the program that wrote it",
        );
    }
}

/// The findings so far.
#[derive(Default)]
struct Findings {
    told: Vec<Finding>,
    counts: BTreeMap<String, (Severity, u64)>,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        let (_, count) = self
            .counts
            .entry(finding.code.clone())
            .or_insert((finding.severity, 0));
        *count += 1;
        if *count <= TOLD_MAX {
            self.told.push(finding);
        }
    }

    fn told(mut self) -> Vec<Finding> {
        for (code, (severity, count)) in self.counts {
            if count > TOLD_MAX {
                self.told.push(Finding {
                    severity,
                    what: format!("and {} more of {code}", count - TOLD_MAX),
                    code,
                    fix: "as above".into(),
                });
            }
        }
        self.told
    }
}

/// How many findings of a kind are told one by one: enough to see a pattern.
const TOLD_MAX: u64 = 20;

/// What to do about records that contradict each other: no command may guess which of them is right.
const RESTORE: &str = "restore a backup: records that are never written apart have come apart";
