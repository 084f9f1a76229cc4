//! Authorities, anchors, profiles and roles: what they name is there, and when they end.

use bowline_store::{Key, Value};
use bowline_trust::{AnchorSource, Profile, Role, TrustAnchor};
use bowline_x509::{Certificate, Signer};
use chrono::TimeDelta;

use super::{Examiner, RESTORE, Severity};
use crate::authorities::{AuthorityRecord, KeyLocation};
use crate::error::Error;
use crate::format_time;
use crate::keyspace;
use crate::life::check_end;
use crate::managed_policies::ManagedPolicyRecord;
use crate::mfa::{check_device, check_tries};
use crate::named::NameRecord;
use crate::record::Record;
use crate::settings::Settings;
use crate::subjects::{check_credential, check_subject};

/// Whether a record reads.
type Reads = fn(&Key, &Value) -> Result<(), Error>;

impl Examiner<'_> {
    pub(super) fn resources(&mut self) -> Result<(), Error> {
        let settings = self.service.settings()?;
        self.keys();
        self.authorities()?;
        self.anchors()?;
        self.profiles(&settings)?;
        self.names()?;
        let readable: [(Key, Reads); 8] = [
            (keyspace::roles(), |key, value| {
                Role::decode(key, value).map(drop)
            }),
            (keyspace::account_roles(), |key, value| {
                Role::decode(key, value).map(drop)
            }),
            (keyspace::managed_policies(), |key, value| {
                ManagedPolicyRecord::decode(key, value).map(drop)
            }),
            (keyspace::subjects(), check_subject),
            (keyspace::all_subject_credentials(), check_credential),
            (keyspace::mfa_devices(), check_device),
            (keyspace::all_mfa_tries(), check_tries),
            (keyspace::session_ends(), check_end),
        ];
        for (prefix, read) in readable {
            self.each("reading records", &prefix, &mut |examiner, key, value| {
                if let Err(error) = read(key, value) {
                    examiner.unreadable(&error);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What opens the sealed keys is there, and opens them.
    fn keys(&mut self) {
        match self.service.key_ring() {
            Ok(_) => {}
            Err(error @ (Error::Locked | Error::PassphraseNeeded)) => {
                let fix = "give the key or the passphrase to examine sealed keys too";
                self.find(Severity::Info, "home_locked", error.to_string(), fix);
            }
            Err(error) => {
                let fix = "find the unseal.key or the passphrase that belongs to this home";
                self.find(
                    Severity::Critical,
                    "keys_do_not_open",
                    error.to_string(),
                    fix,
                );
            }
        }
    }

    fn authorities(&mut self) -> Result<(), Error> {
        self.each(
            "reading authorities",
            &keyspace::authorities(),
            &mut |examiner, key, value| {
                let read = AuthorityRecord::decode(key, value);
                let checked = read.and_then(|record| {
                    record.authority()?;
                    Ok(record)
                });
                match checked {
                    Ok(record) => examiner.authority(&record),
                    Err(error) => {
                        examiner.unreadable(&error);
                        Ok(())
                    }
                }
            },
        )
    }

    fn authority(&mut self, record: &AuthorityRecord) -> Result<(), Error> {
        let certificate = record.authority()?.certificate().clone();
        self.ends(
            &format!("the certificate of authority {}", record.id),
            &certificate,
            "authority_ending",
            "what it issued ends with it: make a new home, and let clients trust its root in time",
        );
        if record.key == KeyLocation::Offline || self.service.key_ring().is_err() {
            return Ok(());
        }
        match self.service.authority_key(&record.id) {
            Ok(key)
                if certificate
                    .public_key()
                    .is_ok_and(|public| public == key.public_key()) => {}
            Ok(_) => {
                let what = format!(
                    "the key of authority {} is not its certificate's",
                    record.id
                );
                self.find(Severity::Critical, "authority_key_wrong", what, RESTORE);
            }
            Err(error) => {
                let what = format!("the key of authority {}: {error}", record.id);
                self.find(Severity::Critical, "authority_key_missing", what, RESTORE);
            }
        }
        Ok(())
    }

    fn anchors(&mut self) -> Result<(), Error> {
        self.each(
            "reading trust anchors",
            &keyspace::trust_anchors(),
            &mut |examiner, key, value| {
                let anchor = match TrustAnchor::decode(key, value) {
                    Ok(anchor) => anchor,
                    Err(error) => {
                        examiner.unreadable(&error);
                        return Ok(());
                    }
                };
                match &anchor.source {
                    AnchorSource::Authority(id) => {
                        if !examiner.is_there(&keyspace::authority(id)?)? {
                            let what = format!(
                                "trust anchor {} stands for authority {id}, which is not there",
                                anchor.name
                            );
                            examiner.find(Severity::Critical, "anchor_orphaned", what, RESTORE);
                        }
                    }
                    AnchorSource::CertificateBundle(bundle) if anchor.enabled => {
                        for certificate in bundle {
                            let whose = format!(
                                "the certificate {} of trust anchor {}",
                                certificate.subject(),
                                anchor.name
                            );
                            let fix =
                                "give the anchor the new certificate: `bowline anchor update`";
                            examiner.ends(&whose, certificate, "anchor_ending", fix);
                        }
                    }
                    AnchorSource::CertificateBundle(_) => {}
                }
                examiner.named(
                    &keyspace::trust_anchor_name(&anchor.name)?,
                    &anchor.id.to_string(),
                )
            },
        )
    }

    fn profiles(&mut self, settings: &Settings) -> Result<(), Error> {
        self.each(
            "reading profiles",
            &keyspace::profiles(),
            &mut |examiner, key, value| {
                let profile = match Profile::decode(key, value) {
                    Ok(profile) => profile,
                    Err(error) => {
                        examiner.unreadable(&error);
                        return Ok(());
                    }
                };
                for arn in &profile.role_arns {
                    if examiner.service.find_role(arn)?.is_none() {
                        let what =
                            format!("profile {} lists {arn}, which is not there", profile.name);
                        let fix =
                            "create the role, or take it off the profile: `bowline profile update`";
                        examiner.find(Severity::Info, "profile_role_missing", what, fix);
                    }
                }
                let expected = settings.account.as_str();
                if profile.account.to_string() != expected {
                    let what =
                        format!("profile {} is of account {}", profile.name, profile.account);
                    examiner.find(Severity::Warning, "profile_account_differs", what, RESTORE);
                }
                examiner.named(
                    &keyspace::profile_name(&profile.name)?,
                    &profile.id.to_string(),
                )
            },
        )
    }

    /// A name leads to the resource that bears it.
    fn named(&mut self, key: &Key, id: &str) -> Result<(), Error> {
        let leads = match self.service.store.get(key)? {
            Some(value) => NameRecord::decode(key, &value).is_ok_and(|name| name.id == id),
            None => false,
        };
        if !leads {
            let what = format!("{key} does not lead to {id}, which bears the name");
            self.find(Severity::Critical, "name_wrong", what, RESTORE);
        }
        Ok(())
    }

    /// A name leads to something.
    fn names(&mut self) -> Result<(), Error> {
        let kinds = [
            (
                keyspace::trust_anchor_names(),
                keyspace::trust_anchor as fn(&str) -> _,
            ),
            (keyspace::profile_names(), keyspace::profile),
        ];
        for (prefix, place) in kinds {
            self.each("reading names", &prefix, &mut |examiner, key, value| {
                let leads = match NameRecord::decode(key, value) {
                    Ok(name) => examiner.is_there(&place(&name.id)?)?,
                    Err(_) => false,
                };
                if !leads {
                    let what = format!("{key} leads to nothing");
                    examiner.find(Severity::Critical, "name_orphaned", what, RESTORE);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Tells of a certificate that has ended, or will soon.
    fn ends(&mut self, whose: &str, certificate: &Certificate, code: &'static str, fix: &str) {
        let not_after = certificate.validity().not_after;
        let left = not_after - self.now;
        let (severity, word) = if left < TimeDelta::zero() {
            (Severity::Critical, "ended")
        } else if left < NOTICE {
            (Severity::Warning, "ends")
        } else {
            return;
        };
        let what = format!("{whose} {word} at {}", format_time(not_after));
        self.find(severity, code, what, fix);
    }
}

/// How long before its end a certificate that others hang on is a warning: replacing it takes people.
const NOTICE: TimeDelta = TimeDelta::days(30);
