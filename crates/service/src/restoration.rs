//! `finish-restore`: what a home needs before it goes on from a backup.
//!
//! A backup does not know what happened after it. CRLs published since then tell what was revoked; CRL
//! numbers jump ahead of any that can have been published; and the log, once it is held against what was
//! signed of it, begins again under another name, because its old name may have gone on elsewhere. Serial
//! numbers are random, so that none comes twice.

use bowline_store::Commit;
use bowline_x509::{CertificateList, RevocationReason, RevokedEntry, SerialNumber, Time};
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::authorities::{AuthorityRecord, KeyLocation};
use crate::caller::Caller;
use crate::error::Error;
use crate::inventory::CertificateRecord;
use crate::keyspace;
use crate::life::{Ended, Scope};
use crate::log::LogError;
use crate::operation::Operation;
use crate::record::Record;
use crate::revocation::RevocationRecord;
use crate::service::Service;
use crate::wire::base64_list;

/// Makes a home that was just made from a backup ready to go on. Only for the operator on the machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRestore {
    /// When the last commit of the backup was written, if it tells.
    #[serde(default)]
    pub last_written_at: Option<Time>,
    /// CRLs of this home's authorities that were published after the backup, DER.
    #[serde(default, with = "base64_list")]
    pub revocation_lists: Vec<Vec<u8>>,
    /// Whether to go on although the log of the backup is not the one that was signed. Nothing says then who changed what.
    #[serde(default)]
    pub accept_rewritten_log: bool,
}

/// How a home goes on.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoredHome {
    /// The name of the home.
    pub name: String,
    /// How many seconds lie between the last change in the backup and now, if the backup tells.
    pub gap_seconds: Option<i64>,
    /// How many revocations the lists added.
    pub revocations_added: usize,
    /// How many of them the backup knew already.
    pub revocations_known: usize,
    /// The CRL number that each authority goes on from.
    pub revocation_list_numbers: Vec<(String, u64)>,
    /// Why the home can verify and not sign, if the sealed keys do not open.
    pub locked: Option<String>,
    /// Why the log of the backup is not the one that was signed, where that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_rewritten_log: Option<String>,
}

impl Operation for FinishRestore {
    const NAME: &'static str = "finish-restore";
    type Answer = RestoredHome;

    fn run(self, service: &Service, caller: &Caller) -> Result<RestoredHome, Error> {
        if !matches!(caller, Caller::Operator) {
            return Err(Error::OperatorOnly {
                operation: Self::NAME,
            });
        }
        let now = service.now();
        let settings = service.settings()?;
        let authorities = service.load_all::<AuthorityRecord>(&keyspace::authorities())?;

        // 1. The past is the one that was signed, and each list is one of ours, before anything is believed of any.
        let accepted_rewritten_log = match service.check_backed_up_log() {
            Ok(()) => None,
            Err(Error::Log(LogError::RewrittenInBackup { reason }))
                if self.accept_rewritten_log =>
            {
                Some(reason)
            }
            Err(error) => return Err(error),
        };
        let mut lists = Vec::with_capacity(self.revocation_lists.len());
        for der in &self.revocation_lists {
            lists.push(signed_by_ours(der, &authorities)?);
        }

        // 2. What they revoke is revoked here too.
        let (mut added, mut known) = (0, 0);
        for (authority, list) in &lists {
            let merged = service.merge(authority, list, caller, now)?;
            added += merged.added;
            known += merged.known;
        }

        // 3. One commit: the numbers jump, the log begins again, every session is over, and the log tells of it.
        let mut commit = Commit::new();
        let mut numbers = Vec::new();
        for authority in &authorities {
            if authority.key == KeyLocation::Offline {
                continue;
            }
            let published = lists
                .iter()
                .filter(|(of, _)| of.id == authority.id)
                .filter_map(|(_, list)| list.number())
                .max();
            let (next, changed) =
                service.jump_revocation_list_number(commit, &authority.id, published, now)?;
            commit = changed;
            numbers.push((authority.id.clone(), next));
        }
        let commit = service.begin_log_again(commit, accepted_rewritten_log.is_some())?;
        // Sessions that were ended since, and session keys that were dropped since, are back with the backup.
        let commit = service.end_sessions(commit, &[Ended::new(Scope::All)], now, now)?;
        let commit = match service.sealer() {
            Ok(_) => service.renew_session_keys(commit, now)?,
            // Whoever opens the home drops the keys; the mark holds for what was begun before.
            Err(_) => commit,
        };
        let event = Event::HomeRestored {
            last_written_at: self.last_written_at,
            revocations_added: added,
            revocation_list_numbers: numbers.clone(),
            accepted_rewritten_log: accepted_rewritten_log.clone(),
        };
        service.commit(commit, caller, now, event)?;

        let locked = match service.key_ring() {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        Ok(RestoredHome {
            name: settings.name.clone(),
            gap_seconds: self.last_written_at.map(|last| (now - last).num_seconds()),
            revocations_added: added,
            revocations_known: known,
            revocation_list_numbers: numbers,
            locked,
            accepted_rewritten_log,
        })
    }
}

/// A CRL with the authority of this home that signed it.
fn signed_by_ours<'a>(
    der: &[u8],
    authorities: &'a [AuthorityRecord],
) -> Result<(&'a AuthorityRecord, CertificateList), Error> {
    let list = CertificateList::from_der(der)?;
    for record in authorities {
        let authority = record.authority()?;
        if list.verify_signed_by(authority.public_key()).is_ok() {
            return Ok((record, list));
        }
    }
    Err(Error::RevocationListNotOurs {
        issuer: list.issuer().to_string(),
        known: authorities.iter().map(|record| record.id.clone()).collect(),
    })
}

/// What became of the entries of a list.
#[derive(Default)]
struct Merged {
    added: usize,
    known: usize,
}

impl Service {
    /// Revokes what a list revokes, as of the times it says.
    fn merge(
        &self,
        authority: &AuthorityRecord,
        list: &CertificateList,
        caller: &Caller,
        now: Time,
    ) -> Result<Merged, Error> {
        let issuer = authority.authority()?.public_key().key_id();
        let mut merged = Merged::default();
        let mut fresh: Vec<(&SerialNumber, &RevokedEntry)> = Vec::new();
        let entries = list.entries();
        // Only a delta CRL takes something back, and that is for its own base.
        for (serial, entry) in
            entries.filter(|(_, entry)| entry.reason != RevocationReason::RemoveFromCrl)
        {
            match self.revocation(&issuer, serial)? {
                Some(_) => merged.known += 1,
                None => fresh.push((serial, entry)),
            }
        }
        for entries in fresh.chunks(MERGED_AT_ONCE) {
            let mut commit = Commit::new();
            for (serial, entry) in entries {
                let key = keyspace::revocation(&issuer, serial);
                let record = self.merged(authority, serial, entry)?;
                commit = commit.expect_absent(key.clone()).put(key, record.encode()?);
            }
            let event = Event::RevocationsMerged {
                authority: authority.id.clone(),
                number: list.number(),
                serials: entries.iter().map(|(serial, _)| serial.to_hex()).collect(),
            };
            self.commit(commit, caller, now, event)?;
            self.revocation_lists.changed(&authority.id);
            merged.added += entries.len();
        }
        Ok(merged)
    }

    /// The record of a revocation that only a list tells of.
    fn merged(
        &self,
        authority: &AuthorityRecord,
        serial: &SerialNumber,
        entry: &RevokedEntry,
    ) -> Result<RevocationRecord, Error> {
        let key = keyspace::certificate(serial);
        let certificate = match self.store.get(&key)? {
            Some(value) => Some(CertificateRecord::decode(&key, &value)?.parsed()?),
            None => None,
        };
        // A certificate issued after the backup is known by its number alone. It ends with its authority at the latest.
        let certificate = match &certificate {
            Some(certificate) => certificate,
            None => authority.authority()?.certificate(),
        };
        Ok(RevocationRecord {
            at: entry.revoked_at,
            reason: entry.reason,
            not_after: certificate.validity().not_after,
        })
    }
}

/// How many revocations one commit takes: an expectation and a write each, beside the event, under the store's 64
/// operations.
const MERGED_AT_ONCE: usize = 30;
