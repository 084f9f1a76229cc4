//! Certificates, and the keys they are found by.

use bowline_store::{Key, Value};
use bowline_x509::SerialNumber;

use super::{Examiner, RESTORE, Severity};
use crate::error::Error;
use crate::inventory::CertificateRecord;
use crate::keyspace;
use crate::record::Record;

impl Examiner<'_> {
    pub(super) fn certificates(&mut self) -> Result<(), Error> {
        self.each(
            "reading certificates",
            &keyspace::certificates(),
            &mut |examiner, key, value| examiner.certificate(key, value),
        )?;
        for prefix in keyspace::certificate_indexes() {
            self.each("reading indexes", &prefix, &mut |examiner, key, _| {
                examiner.certificate_index(key)
            })?;
        }
        Ok(())
    }

    /// A certificate is what its key says, and every key it is found by is there.
    fn certificate(&mut self, key: &Key, value: &Value) -> Result<(), Error> {
        let read =
            CertificateRecord::decode(key, value).and_then(|record| Ok((record.parsed()?, record)));
        let (certificate, record) = match read {
            Ok(read) => read,
            Err(error) => {
                self.unreadable(&error);
                return Ok(());
            }
        };
        let serial = certificate.serial();
        if keyspace::certificate(serial) != *key {
            let what = format!(
                "the certificate at {key} has the serial number 0x{}",
                serial.to_hex()
            );
            self.find(Severity::Critical, "certificate_misplaced", what, RESTORE);
        }
        if !self.is_there(&keyspace::authority(&record.authority)?)? {
            let what = format!(
                "certificate 0x{} was issued by {:?}, which is not there",
                serial.to_hex(),
                record.authority
            );
            self.find(Severity::Critical, "certificate_orphaned", what, RESTORE);
        }
        let not_after = certificate.validity().not_after;
        let mut keys = vec![
            keyspace::certificate_by_name(&record.name, not_after, serial)?,
            keyspace::certificate_by_end(not_after, serial),
        ];
        for name in certificate.subject_alt_names() {
            keys.push(keyspace::certificate_by_alt_name(
                &name.to_string(),
                serial,
            )?);
        }
        if let Some(old) = &record.renews
            && let Ok(old) = old.parse::<SerialNumber>()
        {
            keys.push(keyspace::renewal(&old, serial));
        }
        for key in keys {
            if !self.is_there(&key)? {
                let what = format!("certificate 0x{} cannot be found by {key}", serial.to_hex());
                self.find(Severity::Critical, "certificate_key_missing", what, RESTORE);
            }
        }
        Ok(())
    }

    /// A key that a certificate is found by leads to one.
    fn certificate_index(&mut self, key: &Key) -> Result<(), Error> {
        let leads = match keyspace::serial_of_index(key) {
            Some(serial) => self.is_there(&keyspace::certificate(&serial))?,
            None => false,
        };
        if !leads {
            let what = format!("{key} leads to no certificate");
            self.find(Severity::Critical, "certificate_missing", what, RESTORE);
        }
        Ok(())
    }
}
