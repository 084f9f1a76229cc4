//! Multi-factor authentication: an authenticator of a subject, as RFC 6238 has it and as IAM calls it.
//!
//! A device belongs to a subject, whichever of its certificates it shows. It counts once two codes after one another
//! have proved that the subject has it. A code is accepted once: the commit of the session that it opens writes down its
//! time step, and expects that nobody wrote another meanwhile.

mod totp;

use bowline_store::{Commit, Key, StoreError, Value};
use bowline_trust::{Claims, SessionPrincipal, Uuid, subject_arn, subject_id};
use bowline_x509::{Certificate, DistinguishedName, Time};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::audit::{Event, MfaChange};
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::{ChangeError, Error};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::sessions::Secret;
use crate::settings::Settings;
use totp::{CODE_DIGITS, SECRET_LEN, STEP_SECONDS, TotpSecret, is_code};

/// A device as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceRecord {
    /// The name of its subject, RFC 4514.
    subject: String,
    /// The secret under the master key, for the place of this record.
    #[serde(with = "crate::wire::base64_bytes")]
    sealed: Vec<u8>,
    /// Whether two codes proved it.
    confirmed: bool,
    /// The last time step a code was accepted of.
    last_step: u64,
    created: Time,
    /// Grows with every change, so that the record's bytes never repeat.
    revision: u64,
}

impl Record for DeviceRecord {
    const WHAT: &'static str = "MFA device";
}

/// When codes of a device were tried lately, since one was accepted. In the store, so that neither a restart nor another
/// replica gives more tries; and beside the device, so that a try never stands in the way of what another one opens.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TriesRecord {
    tries: Vec<Time>,
}

impl Record for TriesRecord {
    const WHAT: &'static str = "record of MFA codes that were tried";
}

/// An MFA device as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MfaDevice {
    /// Its serial number, an ARN: what goes as `SerialNumber` beside a code.
    pub serial_number: String,
    /// The name of its subject, RFC 4514.
    pub subject: String,
    /// The id of its subject.
    pub subject_id: String,
    /// Whether two codes proved it: until then it does not count.
    pub confirmed: bool,
    /// When it was made.
    pub created: Time,
}

impl DeviceRecord {
    fn view(&self, settings: &Settings, id: &Uuid) -> MfaDevice {
        MfaDevice {
            serial_number: settings.mfa_arn(id),
            subject: self.subject.clone(),
            subject_id: id.to_string(),
            confirmed: self.confirmed,
            created: self.created,
        }
    }

    fn event(&self, settings: &Settings, id: &Uuid, change: MfaChange) -> Event {
        Event::MfaDeviceChanged {
            device: settings.mfa_arn(id),
            subject: self.subject.clone(),
            change,
        }
    }
}

impl Settings {
    /// The serial number of the MFA device of a subject.
    fn mfa_arn(&self, subject: &Uuid) -> String {
        format!("arn:{}:iam::{}:mfa/{subject}", self.partition, self.account)
    }

    /// The id of the subject that a reference names: an id, a serial number, an ARN, or a name (RFC 4514). Whether there
    /// is such a subject is another question.
    fn subject_named(&self, reference: &str) -> Result<Option<Uuid>, Error> {
        if let Some((_, id)) = reference
            .strip_prefix("arn:")
            .and_then(|rest| rest.rsplit_once('/'))
        {
            let Ok(id) = id.parse() else { return Ok(None) };
            let subject = subject_arn(&self.partition, &self.region, &self.account_id()?, id);
            // An ARN of another account or region names another subject.
            let names = reference == subject || reference == self.mfa_arn(&id);
            return Ok(names.then_some(id));
        }
        if let Ok(id) = reference.parse() {
            return Ok(Some(id));
        }
        let name = reference.parse::<DistinguishedName>();
        Ok(name.ok().map(|name| subject_id(&name)))
    }
}

/// Gives a subject an MFA device. Its secret is answered once, and never again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnableMfa {
    /// The subject, by id, ARN or name, once it traded a certificate.
    pub subject: Option<String>,
    /// Or a certificate of it, DER (base64): then it need not have traded one.
    #[serde(with = "crate::wire::base64_bytes")]
    pub certificate: Vec<u8>,
}

/// A device that was just made.
#[derive(Debug, Serialize, Deserialize)]
pub struct EnabledMfa {
    /// The device.
    #[serde(flatten)]
    pub device: MfaDevice,
    /// What an authenticator reads, mostly as a QR code: `otpauth://totp/…`.
    pub uri: Secret,
    /// The secret alone in base32, for typing.
    pub secret: Secret,
}

impl Operation for EnableMfa {
    const NAME: &'static str = "enable-mfa";
    type Answer = EnabledMfa;

    fn run(self, service: &Service, caller: &Caller) -> Result<EnabledMfa, Error> {
        let (settings, now) = (service.settings()?, service.now());
        let found = self.subject_found(service, &settings)?;
        let serial = found.as_ref().map(|(id, _)| settings.mfa_arn(id));
        service.authorize_found(caller, "iam:CreateVirtualMFADevice", serial)?;
        let (id, subject) = found.ok_or_else(|| Error::SubjectUnknown {
            subject: self.subject.unwrap_or_default(),
        })?;
        let key = keyspace::mfa_device(&id);
        let old = service.load::<DeviceRecord>(&key)?;
        if old.as_ref().is_some_and(|old| old.confirmed) {
            return Err(Error::Exists {
                what: "MFA device",
                name: settings.mfa_arn(&id),
            });
        }
        let secret = TotpSecret::from_random(draw::<SECRET_LEN>(&*service.entropy));
        let record = DeviceRecord {
            sealed: service
                .sealer()?
                .seal(key.as_bytes(), secret.as_bytes(), &*service.entropy),
            confirmed: false,
            last_step: 0,
            created: now,
            revision: old.as_ref().map_or(1, |old| old.revision + 1),
            subject,
        };
        // One that was never confirmed is forgotten.
        let commit = match &old {
            Some(old) => old.expect_unchanged(Commit::new(), key.clone()),
            None => Commit::new().expect_absent(key.clone()),
        };
        let event = record.event(&settings, &id, MfaChange::Created);
        service.commit(commit.put(key, record.encode()?), caller, now, event)?;
        let text = secret.to_base32();
        Ok(EnabledMfa {
            device: record.view(&settings, &id),
            uri: Secret::from(uri(&settings.name, &record.subject, &text)),
            secret: Secret::from(String::clone(&text)),
        })
    }
}

impl EnableMfa {
    /// The id and the name of the subject.
    fn subject_found(
        &self,
        service: &Service,
        settings: &Settings,
    ) -> Result<Option<(Uuid, String)>, Error> {
        if !self.certificate.is_empty() {
            let certificate = Certificate::from_der(&self.certificate)?;
            let name = certificate.subject();
            return Ok(Some((subject_id(name), name.to_string())));
        }
        let Some(id) = settings.subject_named(self.subject.as_deref().unwrap_or_default())? else {
            return Ok(None);
        };
        // A name that was mistyped must not get a device that nobody can use.
        let seen = service.find_subject(settings, &id.to_string())?;
        Ok(seen.map(|seen| (id, seen.x509_subject)))
    }
}

/// The link that authenticators read. Those that know no other parameters assume what we do.
fn uri(issuer: &str, subject: &str, secret: &str) -> String {
    let (issuer, subject) = (escaped(issuer), escaped(subject));
    format!(
        "otpauth://totp/{issuer}:{subject}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={CODE_DIGITS}&period={STEP_SECONDS}"
    )
}

/// A text with everything but unreserved characters as `%XX` (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Has an MFA device count from now on: two codes after one another prove that the subject has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmMfa {
    /// The subject, by id, ARN or name, or the device by its serial number.
    pub subject: String,
    /// The code that was shown first, and the one after it.
    pub codes: [String; 2],
}

impl Operation for ConfirmMfa {
    const NAME: &'static str = "confirm-mfa";
    type Answer = MfaDevice;

    fn run(self, service: &Service, caller: &Caller) -> Result<MfaDevice, Error> {
        let (id, old) = service.mfa_device_for(caller, "iam:EnableMFADevice", &self.subject)?;
        let (settings, now) = (service.settings()?, service.now());
        self.codes.iter().try_for_each(|code| check_code(code))?;
        let key = keyspace::mfa_device(&id);
        let step = service
            .mfa_secret(&key, &old)?
            .step_of_two(&self.codes, now)
            .filter(|step| *step > old.last_step)
            .ok_or(ChangeError::MfaCodesWrong)?;
        let mut record = DeviceRecord::clone(&old);
        record.confirmed = true;
        record.last_step = step;
        record.revision += 1;
        let commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, record.encode()?);
        let event = record.event(&settings, &id, MfaChange::Confirmed);
        service.commit(commit, caller, now, event)?;
        Ok(record.view(&settings, &id))
    }
}

/// Takes the MFA device of a subject away.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisableMfa {
    /// The subject, by id, ARN or name, or the device by its serial number.
    pub subject: String,
}

impl Operation for DisableMfa {
    const NAME: &'static str = "disable-mfa";
    type Answer = MfaDevice;

    fn run(self, service: &Service, caller: &Caller) -> Result<MfaDevice, Error> {
        let (id, old) = service.mfa_device_for(caller, "iam:DeactivateMFADevice", &self.subject)?;
        let (settings, now) = (service.settings()?, service.now());
        let key = keyspace::mfa_device(&id);
        let commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .delete(key)
            .delete(keyspace::mfa_tries(&id));
        let event = old.event(&settings, &id, MfaChange::Deleted);
        service.commit(commit, caller, now, event)?;
        Ok(old.view(&settings, &id))
    }
}

/// Lists the MFA devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListMfa {}

impl Operation for ListMfa {
    const NAME: &'static str = "list-mfa";
    type Answer = Vec<MfaDevice>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<MfaDevice>, Error> {
        service.authorize(caller, "iam:ListMFADevices", "*")?;
        let settings = service.settings()?;
        let mut devices = Vec::new();
        service.pages(&keyspace::mfa_devices(), |page| {
            for (key, value) in page {
                let id = keyspace::subject_of_mfa_device(key).ok_or_else(|| {
                    Error::internal(format!("the key {key} does not end with an id"))
                })?;
                devices.push(DeviceRecord::decode(key, value)?.view(&settings, &id));
            }
            Ok(())
        })?;
        Ok(devices)
    }
}

/// A code that was accepted, as long as the commit of what it is for says so.
#[must_use = "a code that is not committed can be used again"]
pub(crate) struct MfaProof {
    /// When: the session's `aws:MultiFactorAuthAge` counts from here.
    pub(crate) at: Time,
    subject: Uuid,
    was: Loaded<DeviceRecord>,
    is: Value,
}

impl MfaProof {
    /// Adds to a commit that the code was used, and expects that none was meanwhile. Earlier tries are forgiven.
    pub(crate) fn add_to(self, commit: Commit) -> Commit {
        let key = keyspace::mfa_device(&self.subject);
        self.was
            .expect_unchanged(commit, key.clone())
            .put(key, self.is)
            .delete(keyspace::mfa_tries(&self.subject))
    }
}

impl Service {
    /// Checks the code that goes with a request of a session. Only a user has a device: of a role session nobody knows
    /// who would hold it.
    pub(crate) fn verify_mfa_of(
        &self,
        claims: &Claims,
        serial_number: Option<&str>,
        token_code: Option<&str>,
        now: Time,
    ) -> Result<Option<MfaProof>, Error> {
        let subject = match &claims.principal {
            SessionPrincipal::User(_) => claims.certificate().map(|origin| origin.subject),
            SessionPrincipal::Role(_) => None,
        };
        self.verify_mfa(subject.as_ref(), serial_number, token_code, now)
    }

    /// Checks the code that a subject gave with its request; nothing if it gave none.
    pub(crate) fn verify_mfa(
        &self,
        subject: Option<&Uuid>,
        serial_number: Option<&str>,
        token_code: Option<&str>,
        now: Time,
    ) -> Result<Option<MfaProof>, Error> {
        let missing = |missing| Err(ChangeError::MfaIncomplete { missing }.into());
        let (serial, code) = match (serial_number, token_code) {
            (None, None) => return Ok(None),
            (Some(_), None) => return missing("TokenCode"),
            (None, Some(_)) => return missing("SerialNumber"),
            (Some(serial), Some(code)) => (serial, code),
        };
        check_code(code)?;
        let wrong = || ChangeError::MfaSerialWrong {
            serial: serial.chars().take(SERIAL_SHOWN_MAX).collect(),
        };
        // 1. Whose device it is.
        let settings = self.settings()?;
        let subject = subject
            .filter(|subject| settings.mfa_arn(subject) == serial)
            .ok_or_else(wrong)?;
        let key = keyspace::mfa_device(subject);
        let was = self
            .load::<DeviceRecord>(&key)?
            .filter(|device| device.confirmed)
            .ok_or_else(wrong)?;
        // 2. The try is counted before the code is looked at: many at once get no more tries than one after another.
        self.count_try(&keyspace::mfa_tries(subject), now)?;
        // 3. The code.
        let steps = self.mfa_secret(&key, &was)?.steps(code, now);
        // Of two steps with one code the later is used up, and the earlier with it.
        let Some(step) = steps.last().filter(|step| **step > was.last_step) else {
            return Err(match steps.is_empty() {
                true => ChangeError::MfaCodeWrong,
                false => ChangeError::MfaCodeUsed,
            }
            .into());
        };
        // 4. What the commit of the session will say.
        let mut device = DeviceRecord::clone(&was);
        device.last_step = *step;
        device.revision += 1;
        Ok(Some(MfaProof {
            at: now,
            is: device.encode()?,
            subject: *subject,
            was,
        }))
    }

    /// Writes down that a code is tried, if another may be.
    fn count_try(&self, key: &Key, now: Time) -> Result<(), Error> {
        for attempt in 1.. {
            let old = self.store.get(key)?;
            let mut record = match &old {
                Some(value) => TriesRecord::decode(key, value)?,
                None => TriesRecord::default(),
            };
            // Also those of a clock that was ahead: setting it back gives no more tries.
            record
                .tries
                .retain(|tried| (now - *tried).abs() < TRIES_WITHIN);
            if let Some(first) = record.tries.first()
                && record.tries.len() >= TRIES_MAX
            {
                return Err(ChangeError::MfaAttemptsExhausted {
                    limit: TRIES_MAX,
                    seconds: TRIES_WITHIN.num_seconds(),
                    until: *first + TRIES_WITHIN,
                }
                .into());
            }
            record.tries.push(now);
            let commit = match old {
                Some(value) => Commit::new().expect_equals(key.clone(), value),
                None => Commit::new().expect_absent(key.clone()),
            };
            // No event: what comes of the try tells one.
            match self.store.commit(commit.put(key.clone(), record.encode()?)) {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) if attempt < COMMITS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::internal("a loop that returns did not"))
    }

    fn mfa_secret(&self, key: &Key, record: &DeviceRecord) -> Result<TotpSecret, Error> {
        let bytes = self.sealer()?.open(key.as_bytes(), &record.sealed)?;
        TotpSecret::from_bytes(&bytes)
            .ok_or_else(|| Error::internal(format!("the secret at {key} has another length")))
    }

    /// The device that a reference names, for a caller who may take the action on it.
    fn mfa_device_for(
        &self,
        caller: &Caller,
        action: &str,
        reference: &str,
    ) -> Result<(Uuid, Loaded<DeviceRecord>), Error> {
        let settings = self.settings()?;
        let found = match settings.subject_named(reference)? {
            Some(id) => self
                .load::<DeviceRecord>(&keyspace::mfa_device(&id))?
                .map(|device| (id, device)),
            None => None,
        };
        let serial = found.as_ref().map(|(id, _)| settings.mfa_arn(id));
        self.authorize_found(caller, action, serial)?;
        found.ok_or_else(|| {
            ChangeError::MfaUnknown {
                subject: reference.into(),
            }
            .into()
        })
    }
}

fn check_code(code: &str) -> Result<(), Error> {
    match is_code(code) {
        true => Ok(()),
        false => Err(ChangeError::MfaCodeMalformed {
            digits: CODE_DIGITS,
        }
        .into()),
    }
}

/// Whether what is kept of a device reads.
pub(crate) fn check_device(key: &Key, value: &Value) -> Result<(), Error> {
    DeviceRecord::decode(key, value).map(drop)
}

/// Whether what is kept of codes that were tried reads.
pub(crate) fn check_tries(key: &Key, value: &Value) -> Result<(), Error> {
    TriesRecord::decode(key, value).map(drop)
}

/// How many codes may be tried in [`TRIES_WITHIN`] until one is accepted. With three codes of a million good at a time,
/// guessing takes months on end, and is told in the log all the while.
const TRIES_MAX: usize = 5;
/// How long a try counts.
const TRIES_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// How often a try is written again after somebody else wrote one meanwhile: more often than there are tries.
const COMMITS_MAX: u32 = 16;
/// How much of a wrong serial number a refusal repeats, in characters: the most that STS takes.
const SERIAL_SHOWN_MAX: usize = 256;
