//! Revocations, and the lists that tell of them.

use std::collections::BTreeMap;

use bowline_x509::CertificateList;

use super::{Examiner, RESTORE, Severity};
use crate::authorities::{AuthorityRecord, KeyLocation};
use crate::error::Error;
use crate::format_time;
use crate::keyspace;
use crate::record::Record;
use crate::revocation::RevocationRecord;
use crate::revocation_lists::RevocationList;

impl Examiner<'_> {
    /// Every revocation is of an authority of this home, and on the list it publishes.
    pub(super) fn revocations(&mut self) -> Result<(), Error> {
        // 1. The authorities with the lists that are held ready for everybody.
        let records = self
            .service
            .load_all::<AuthorityRecord>(&keyspace::authorities())?;
        let mut known = BTreeMap::new();
        for record in records {
            let Ok(authority) = record.authority() else {
                // Said where authorities are looked at.
                continue;
            };
            let issuer = authority.public_key().key_id();
            let list = self.published(&record)?;
            known.insert(keyspace::revocations(&issuer), (record.id, list));
        }
        // 2. Each revocation.
        let now = self.now;
        for (prefix, (authority, list)) in &known {
            self.each(
                "reading revocations",
                prefix,
                &mut |examiner, key, value| {
                    let revocation = match RevocationRecord::decode(key, value) {
                        Ok(revocation) => revocation,
                        Err(error) => {
                            examiner.unreadable(&error);
                            return Ok(());
                        }
                    };
                    let serial = keyspace::serial_after(prefix, key)?;
                    let Some((list, this_update)) = list else {
                        return Ok(());
                    };
                    let due = revocation.at <= *this_update && now <= revocation.not_after;
                    if due && list.revoked(&serial).is_none() {
                        let what = format!(
                            "certificate 0x{} of {authority} is revoked and not on its CRL",
                            serial.to_hex()
                        );
                        let fix = "sign a new one: `bowline ca crl --all`";
                        examiner.find(Severity::Critical, "revocation_not_listed", what, fix);
                    }
                    Ok(())
                },
            )?;
        }
        // 3. None of an authority that is not there: it would be on no list.
        self.each(
            "reading revocations",
            &keyspace::all_revocations(),
            &mut |examiner, key, _| {
                if !known.keys().any(|prefix| key.starts_with(prefix)) {
                    let what = format!("{key} is of an authority that is not there");
                    examiner.find(Severity::Critical, "revocation_orphaned", what, RESTORE);
                }
                Ok(())
            },
        )
    }

    /// The list that an authority publishes now, if one is held, with its time.
    fn published(
        &mut self,
        record: &AuthorityRecord,
    ) -> Result<Option<(CertificateList, bowline_x509::Time)>, Error> {
        let list = match record.key {
            KeyLocation::Offline => {
                let key = keyspace::offline_revocation_list(&record.id)?;
                let list = self.service.load::<RevocationList>(&key)?;
                let Some(list) = list else {
                    let what = format!(
                        "authority {} has its key outside and no CRL here",
                        record.id
                    );
                    let fix =
                        "clients that check its CRL refuse its certificates: make the home again";
                    self.find(Severity::Warning, "crl_missing", what, fix);
                    return Ok(None);
                };
                self.list_ends(&list);
                RevocationList::clone(&list)
            }
            KeyLocation::Sealed => match self.service.fresh_revocation_list(&record.id) {
                Some(list) => RevocationList::clone(&list),
                None => return Ok(None),
            },
        };
        match CertificateList::from_der(&list.der) {
            Ok(parsed) => Ok(Some((parsed, list.this_update))),
            Err(error) => {
                self.unreadable(&error.into());
                Ok(None)
            }
        }
    }

    fn list_ends(&mut self, list: &RevocationList) {
        let left = list.next_update - self.now;
        let severity = match left {
            left if left < chrono::TimeDelta::zero() => Severity::Critical,
            left if left < LIST_NOTICE => Severity::Warning,
            _ => return,
        };
        let what = format!(
            "the CRL of {}, whose key is outside, is good until {}",
            list.authority,
            format_time(list.next_update)
        );
        let fix = "clients that check it refuse this authority's certificates after that: plan a new root";
        self.find(severity, "crl_ending", what, fix);
    }
}

/// How long before its end a list is a warning: it takes a person with the key.
const LIST_NOTICE: chrono::TimeDelta = chrono::TimeDelta::days(30);
