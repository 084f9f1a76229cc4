//! Every key of the store is built here and nowhere else.
//!
//! A key is a short word that names the kind, a slash, and the parts. Texts inside a longer
//! key end in a NUL byte, which no name may hold, so that no name is the prefix of another's keys.

use bowline_policy::AccountId;
use bowline_store::{Key, StoreError};
use bowline_trust::Uuid;
use bowline_x509::{SerialNumber, Time};

use crate::error::Error;

/// The settings of the home: one record, whose presence says that the home is initialized.
pub(crate) fn settings() -> Key {
    fixed("settings")
}

/// The latest time that the home went by.
pub(crate) fn passage() -> Key {
    fixed("passage")
}

/// The sealed master key.
pub(crate) fn master() -> Key {
    fixed("master")
}

/// The sealed session key ring.
pub(crate) fn key_ring() -> Key {
    fixed("key-ring")
}

/// The sealed private key of an authority.
pub(crate) fn authority_key(authority: &str) -> Result<Key, Error> {
    named("authority-key/", authority)
}

/// An authority, by its id.
pub(crate) fn authority(id: &str) -> Result<Key, Error> {
    named("authority/", id)
}

/// Every authority.
pub(crate) fn authorities() -> Key {
    fixed("authority/")
}

/// The last CRL number an authority gave out.
pub(crate) fn crl_number(authority: &str) -> Result<Key, Error> {
    named("crl-number/", authority)
}

/// A certificate we issued, by its serial number.
pub(crate) fn certificate(serial: &SerialNumber) -> Key {
    with_serial(b"certificate/".to_vec(), serial)
}

/// Every certificate we issued.
pub(crate) fn certificates() -> Key {
    fixed("certificate/")
}

/// The prefixes of every key that leads to a certificate.
pub(crate) fn certificate_indexes() -> [Key; 4] {
    [
        "certificate-name/",
        "certificate-san/",
        "certificate-end/",
        "certificate-renewal/",
    ]
    .map(fixed)
}

/// The certificate that a key under one of [`certificate_indexes`] leads to.
pub(crate) fn serial_of_index(key: &Key) -> Option<SerialNumber> {
    let bytes = key.as_bytes();
    let after = |prefix: &[u8]| bytes.strip_prefix(prefix);
    let digits = if let Some(rest) = after(b"certificate-end/") {
        rest.get(TIME_LEN..)?
    } else if let Some(rest) = after(b"certificate-name/") {
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest.get(end + 1 + TIME_LEN..)?
    } else if let Some(rest) = after(b"certificate-san/") {
        let end = rest.iter().position(|&byte| byte == 0)?;
        &rest[end + 1..]
    } else {
        let rest = after(b"certificate-renewal/")?;
        let end = rest.iter().position(|&byte| byte == b'/')?;
        &rest[end + 1..]
    };
    SerialNumber::from_bytes(&hex::decode(digits).ok()?).ok()
}

/// The certificates of one name, in the order of their ends.
pub(crate) fn certificate_by_name(
    name: &str,
    not_after: Time,
    serial: &SerialNumber,
) -> Result<Key, Error> {
    let mut bytes = certificates_by_name(name)?.as_bytes().to_vec();
    push_time(&mut bytes, not_after);
    Ok(with_serial(bytes, serial))
}

/// Every certificate of one name.
pub(crate) fn certificates_by_name(name: &str) -> Result<Key, Error> {
    terminated("certificate-name/", name)
}

/// Certificates by a subject alternative name.
pub(crate) fn certificate_by_alt_name(name: &str, serial: &SerialNumber) -> Result<Key, Error> {
    Ok(with_serial(
        terminated("certificate-san/", name)?.as_bytes().to_vec(),
        serial,
    ))
}

/// All certificates in the order of their ends.
pub(crate) fn certificate_by_end(not_after: Time, serial: &SerialNumber) -> Key {
    let mut bytes = b"certificate-end/".to_vec();
    push_time(&mut bytes, not_after);
    with_serial(bytes, serial)
}

/// Prefix of [`certificate_by_end`].
pub(crate) fn certificates_by_end() -> Key {
    fixed("certificate-end/")
}

/// That a certificate is revoked, by the key that signed it and its serial number. The presence
/// of this record ends the certificate and its sessions, and puts it on the CRL.
pub(crate) fn revocation(issuer_key_id: &[u8], serial: &SerialNumber) -> Key {
    with_serial(revocations_bytes(issuer_key_id), serial)
}

/// Every revocation of one issuer.
pub(crate) fn revocations(issuer_key_id: &[u8]) -> Key {
    key(revocations_bytes(issuer_key_id))
}

/// Every revocation of every issuer.
pub(crate) fn all_revocations() -> Key {
    fixed("revocation/")
}

fn revocations_bytes(issuer_key_id: &[u8]) -> Vec<u8> {
    let mut bytes = b"revocation/".to_vec();
    bytes.extend_from_slice(hex::encode(issuer_key_id).as_bytes());
    bytes.push(b'/');
    bytes
}

/// A trust anchor, by its id.
pub(crate) fn trust_anchor(id: &str) -> Result<Key, Error> {
    named("trust-anchor/", id)
}

/// Every trust anchor.
pub(crate) fn trust_anchors() -> Key {
    fixed("trust-anchor/")
}

/// The id of the trust anchor with a name.
pub(crate) fn trust_anchor_name(name: &str) -> Result<Key, Error> {
    named("trust-anchor-name/", name)
}

/// Prefix of [`trust_anchor_name`].
pub(crate) fn trust_anchor_names() -> Key {
    fixed("trust-anchor-name/")
}

/// Until when the sessions of a trust anchor have ended, as earlier programs wrote it.
pub(crate) fn anchor_sessions_ended(id: &Uuid) -> Key {
    key(format!("trust-anchor-ended/{id}").into_bytes())
}

/// Prefix of [`anchor_sessions_ended`].
pub(crate) fn anchors_sessions_ended() -> Key {
    fixed("trust-anchor-ended/")
}

/// The trust anchor of a key under [`anchors_sessions_ended`].
pub(crate) fn anchor_of_sessions_ended(key: &Key) -> Option<Uuid> {
    let id = key.as_bytes().strip_prefix(b"trust-anchor-ended/")?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// That sessions of something ended before their time: by its kind and its id.
pub(crate) fn session_end(kind: &str, id: &str) -> Result<Key, Error> {
    named("session-end/", &format!("{kind}/{id}"))
}

/// Prefix of [`session_end`].
pub(crate) fn session_ends() -> Key {
    fixed("session-end/")
}

/// The kind and the id of a key under [`session_ends`].
pub(crate) fn parts_of_session_end(key: &Key) -> Option<(&str, &str)> {
    let rest = key.as_bytes().strip_prefix(b"session-end/")?;
    std::str::from_utf8(rest).ok()?.split_once('/')
}

/// What changes with every record under [`session_ends`].
pub(crate) fn session_ends_generation() -> Key {
    fixed("session-ends")
}

/// The certificates that renew another, by its serial number.
pub(crate) fn renewal(of: &SerialNumber, serial: &SerialNumber) -> Key {
    let mut bytes = renewals(of).as_bytes().to_vec();
    bytes.extend_from_slice(serial.to_hex().as_bytes());
    key(bytes)
}

/// Prefix of [`renewal`].
pub(crate) fn renewals(of: &SerialNumber) -> Key {
    key(format!("certificate-renewal/{}/", of.to_hex()).into_bytes())
}

/// The serial number that a key ends with, after a prefix.
pub(crate) fn serial_after(prefix: &Key, key: &Key) -> Result<SerialNumber, Error> {
    key.as_bytes()
        .get(prefix.len()..)
        .and_then(|digits| hex::decode(digits).ok())
        .and_then(|bytes| SerialNumber::from_bytes(&bytes).ok())
        .ok_or_else(|| Error::internal(format!("the key {key} does not end with a serial number")))
}

/// The CRL of an authority whose key is kept outside.
pub(crate) fn offline_revocation_list(authority: &str) -> Result<Key, Error> {
    named("offline-crl/", authority)
}

/// A profile, by its id.
pub(crate) fn profile(id: &str) -> Result<Key, Error> {
    named("profile/", id)
}

/// Every profile.
pub(crate) fn profiles() -> Key {
    fixed("profile/")
}

/// The id of the profile with a name.
pub(crate) fn profile_name(name: &str) -> Result<Key, Error> {
    named("profile-name/", name)
}

/// Prefix of [`profile_name`].
pub(crate) fn profile_names() -> Key {
    fixed("profile-name/")
}

/// A role, by its name.
pub(crate) fn role(name: &str) -> Result<Key, Error> {
    named("role/", name)
}

/// Every role.
pub(crate) fn roles() -> Key {
    fixed("role/")
}

/// A role of another account than the home's, by the account and the role's name.
pub(crate) fn account_role(account: &AccountId, name: &str) -> Result<Key, Error> {
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    named("account-role/", &format!("{account}/{name}"))
}

/// Every role of another account than the home's.
pub(crate) fn account_roles() -> Key {
    fixed("account-role/")
}

/// A managed policy, by its name.
pub(crate) fn managed_policy(name: &str) -> Result<Key, Error> {
    named("managed-policy/", name)
}

/// Every managed policy.
pub(crate) fn managed_policies() -> Key {
    fixed("managed-policy/")
}

/// The event log; events are appended under it.
pub(crate) fn events() -> Key {
    fixed("event/")
}

/// The number of an event, from its key.
pub(crate) fn event_number(key: &Key) -> Option<u64> {
    let number = key.as_bytes().strip_prefix(b"event/")?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// An event, by its number.
pub(crate) fn event(number: u64) -> Result<Key, Error> {
    Ok(events().numbered(number).map_err(StoreError::from)?)
}

/// What the log is called, and its public key.
pub(crate) fn log() -> Key {
    fixed("log")
}

/// The sealed private key of the log.
pub(crate) fn log_key() -> Key {
    fixed("log-key")
}

/// The hashes of a tile of the log's tree, as many as there were when a checkpoint was last signed over it.
pub(crate) fn log_tile(level: u8, index: u64) -> Result<Key, Error> {
    let prefix = key(format!("log-tile/{level}/").into_bytes());
    Ok(prefix.numbered(index).map_err(StoreError::from)?)
}

/// The checkpoints that were signed, by their sizes.
pub(crate) fn log_checkpoints() -> Key {
    fixed("log-checkpoint/")
}

/// The checkpoint that was signed at a size of the log.
pub(crate) fn log_checkpoint(size: u64) -> Result<Key, Error> {
    let prefix = log_checkpoints();
    Ok(prefix.numbered(size).map_err(StoreError::from)?)
}

/// The checkpoint that was signed last.
pub(crate) fn log_checkpoint_latest() -> Key {
    fixed("log-checkpoint-latest")
}

/// A subject that traded a certificate, by its id.
pub(crate) fn subject(id: &Uuid) -> Key {
    key(format!("subject/{id}").into_bytes())
}

/// Every subject.
pub(crate) fn subjects() -> Key {
    fixed("subject/")
}

/// What is kept of every subject's certificates.
pub(crate) fn all_subject_credentials() -> Key {
    fixed("subject-credential/")
}

/// The id of a subject, from its key.
pub(crate) fn subject_of(key: &Key) -> Option<Uuid> {
    let id = key.as_bytes().strip_prefix(b"subject/")?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// A certificate of a subject, by its fingerprint.
pub(crate) fn subject_credential(id: &Uuid, fingerprint: &[u8; 32]) -> Key {
    key(format!("subject-credential/{id}/{}", hex::encode(fingerprint)).into_bytes())
}

/// Every certificate of a subject.
pub(crate) fn subject_credentials(id: &Uuid) -> Key {
    key(format!("subject-credential/{id}/").into_bytes())
}

/// The MFA device of a subject.
pub(crate) fn mfa_device(subject: &Uuid) -> Key {
    key(format!("mfa-device/{subject}").into_bytes())
}

/// When codes of the MFA device of a subject were tried.
pub(crate) fn mfa_tries(subject: &Uuid) -> Key {
    key(format!("mfa-tries/{subject}").into_bytes())
}

/// When codes of every MFA device were tried.
pub(crate) fn all_mfa_tries() -> Key {
    fixed("mfa-tries/")
}

/// Every MFA device.
pub(crate) fn mfa_devices() -> Key {
    fixed("mfa-device/")
}

/// The id of the subject whose MFA device a key leads to.
pub(crate) fn subject_of_mfa_device(key: &Key) -> Option<Uuid> {
    let id = key.as_bytes().strip_prefix(b"mfa-device/")?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// An identity provider, by its name.
pub(crate) fn identity_provider(name: &str) -> Result<Key, Error> {
    named("identity-provider/", name)
}

/// Every identity provider.
pub(crate) fn identity_providers() -> Key {
    fixed("identity-provider/")
}

/// The name of the identity provider whose tokens have an issuer.
pub(crate) fn identity_issuer(issuer: &str) -> Result<Key, Error> {
    named("identity-issuer/", issuer)
}

/// The keys that sign tokens of our own.
pub(crate) fn identity_keys() -> Key {
    fixed("identity-keys")
}

/// What the private half of an identity key is sealed for. It lies in the record of all of them.
pub(crate) fn identity_key_place(id: &str) -> String {
    format!("identity-keys/{id}")
}

/// A SAML assertion that was traded, by the digest of its provider and id.
pub(crate) fn saml_assertion(digest: &[u8; 32]) -> Key {
    let mut bytes = b"saml-assertion/".to_vec();
    bytes.extend_from_slice(digest);
    key(bytes)
}

/// When a SAML assertion that was traded is over.
pub(crate) fn saml_assertion_end(end: Time, digest: &[u8; 32]) -> Key {
    let mut bytes = b"saml-assertion-end/".to_vec();
    push_time(&mut bytes, end);
    bytes.extend_from_slice(digest);
    key(bytes)
}

/// Prefix of [`saml_assertion_end`].
pub(crate) fn saml_assertion_ends() -> Key {
    fixed("saml-assertion-end/")
}

/// The digest that a key of [`saml_assertion_end`] ends with.
pub(crate) fn digest_of_assertion_end(key: &Key) -> Option<[u8; 32]> {
    key.as_bytes()
        .strip_prefix(b"saml-assertion-end/")?
        .get(TIME_LEN..)?
        .try_into()
        .ok()
}

fn fixed(text: &'static str) -> Key {
    key(text.as_bytes().to_vec())
}

fn named(prefix: &str, name: &str) -> Result<Key, Error> {
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    Key::new(format!("{prefix}{name}")).map_err(|_| Error::NameTooLong { length: name.len() })
}

fn terminated(prefix: &str, name: &str) -> Result<Key, Error> {
    if name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Error::NameTooLong { length: name.len() });
    }
    Key::new(format!("{prefix}{name}\0")).map_err(|_| Error::NameTooLong { length: name.len() })
}

fn push_time(bytes: &mut Vec<u8>, time: Time) {
    bytes.extend_from_slice(&time_bytes(time));
}

/// A time as bytes that sort as times do.
pub(crate) fn time_bytes(time: Time) -> [u8; TIME_LEN] {
    // Times before 1970 must sort below all others, so the sign bit is flipped.
    (time.timestamp() as u64 ^ (1 << 63)).to_be_bytes()
}

fn with_serial(mut bytes: Vec<u8>, serial: &SerialNumber) -> Key {
    bytes.extend_from_slice(serial.to_hex().as_bytes());
    key(bytes)
}

fn key(bytes: Vec<u8>) -> Key {
    // Cannot fail: a kind, a bounded name, 8 bytes of time and 40 of serial are under 512 bytes.
    Key::new(bytes).expect("keys built here are short")
}

/// How many bytes a time has in a key.
pub(crate) const TIME_LEN: usize = 8;
/// The longest name that is indexed, in bytes. A DNS name ends at 253; a URI may be longer and is then refused.
pub(crate) const NAME_BYTES_MAX: usize = 400;
