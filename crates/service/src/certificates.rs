//! Issuing and renewing certificates.

use std::collections::BTreeMap;

use bowline_ca::{Asked, CertificateProfile, Draft};
use bowline_store::Commit;
use bowline_trust::role_arn;
use bowline_x509::{Certificate, CertificationRequest, GeneralName, SerialNumber, Time};
use serde::{Deserialize, Serialize};

use crate::anchors::{DEFAULT_ANCHOR, OPERATORS_ANCHOR};
use crate::audit::Event;
use crate::authorities::{AuthorityRecord, ISSUING, OPERATORS};
use crate::authorization::ContextValue;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::inventory::CertificateRecord;
use crate::keys::{KeySpec, PrivateKey};
use crate::keyspace;
use crate::operation::Operation;
use crate::profiles::{DEFAULT_PROFILE, OPERATORS_PROFILE};
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;
use crate::wire::{Moment, base64_bytes, base64_list};

/// Issues a certificate for the key of a certification request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueCertificate {
    /// The common name.
    pub name: String,
    /// Subject alternative names: DNS names, addresses, URIs, mail addresses.
    #[serde(default)]
    pub names: Vec<String>,
    /// The roles it may be traded for, written into its subject.
    #[serde(default)]
    pub roles: Vec<String>,
    /// When it begins; some minutes ago if not given. The operator on this machine may name any time, and then the
    /// certificate may be over already.
    #[serde(default)]
    pub not_before: Option<Moment>,
    /// When it ends; what the certificate profile says if not given.
    #[serde(default)]
    pub not_after: Option<Moment>,
    /// The certificate profile.
    pub certificate_profile: String,
    /// The certification request, DER. Its key is what counts; it may ask only for what the profile gives.
    #[serde(with = "base64_bytes")]
    pub csr: Vec<u8>,
}

/// A certificate that was issued, and what its holder needs to use it.
#[derive(Debug, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// Its serial number in hex.
    pub serial: String,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// Its subject alternative names.
    pub names: Vec<String>,
    /// The roles in its subject.
    pub roles: Vec<String>,
    /// The ARNs of those roles that the profile lists.
    pub role_arns: Vec<String>,
    /// The first second it is good for.
    pub not_before: Time,
    /// The last second it is good for.
    pub not_after: Time,
    /// When it would have ended, had its authority not ended first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shortened_from: Option<Time>,
    /// The certificate, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// The certificates between it and the root, DER, the root left out.
    #[serde(with = "base64_list")]
    pub chain: Vec<Vec<u8>>,
    /// The ARN of the trust anchor that accepts it.
    pub trust_anchor: String,
    /// The ARN of the profile to trade it under.
    pub profile: String,
    /// The region to sign for.
    pub region: String,
}

/// Which authority signs for a certificate profile, and what accepts its certificates.
struct Issuance {
    authority: &'static str,
    anchor: &'static str,
    profile: &'static str,
}

fn issuance(profile: &CertificateProfile) -> Issuance {
    if profile.name() == CertificateProfile::operator().name() {
        return Issuance {
            authority: OPERATORS,
            anchor: OPERATORS_ANCHOR,
            profile: OPERATORS_PROFILE,
        };
    }
    Issuance {
        authority: ISSUING,
        anchor: DEFAULT_ANCHOR,
        profile: DEFAULT_PROFILE,
    }
}

impl Operation for IssueCertificate {
    const NAME: &'static str = "issue-certificate";
    type Answer = IssuedCertificate;

    fn run(self, service: &Service, caller: &Caller) -> Result<IssuedCertificate, Error> {
        // 1. The caller may issue from this authority, and may hand out each role.
        let profile = CertificateProfile::named(&self.certificate_profile)?;
        let issuance = issuance(&profile);
        let settings = service.settings()?;
        let keys = BTreeMap::from([
            (
                "bowline:CommonName".to_owned(),
                ContextValue::One(self.name.clone()),
            ),
            (
                "bowline:Names".to_owned(),
                ContextValue::Many(self.names.clone()),
            ),
            (
                "bowline:CertificateProfile".to_owned(),
                ContextValue::One(profile.name().to_owned()),
            ),
        ]);
        let arn = settings.authority_arn(issuance.authority);
        service.authorize_with(caller, "acm-pca:IssueCertificate", &arn, &keys)?;
        let mut roles = Vec::with_capacity(self.roles.len());
        for reference in &self.roles {
            let role = service.role(reference)?;
            service.authorize(caller, "iam:PassRole", &settings.role_arn(&role))?;
            roles.push(role.name.clone());
        }

        // 2. One look at the clock, one draw.
        let now = service.now();
        let record = service.authority_record(issuance.authority)?;
        let authority = record.authority()?;
        let serial = SerialNumber::from_random(draw(&*service.entropy));

        // 3. Proof of possession; 4. the draft, or the rule it breaks.
        let request = CertificationRequest::from_der(&self.csr)?;
        let names = self
            .names
            .iter()
            .map(|name| GeneralName::detect(name))
            .collect::<Result<Vec<_>, _>>()?;
        let names = match names.is_empty()
            && request.requested_names().is_empty()
            && profile.name() == "server"
        {
            // TLS clients look at alternative names only.
            true => vec![GeneralName::detect(&self.name)?],
            false => names,
        };
        let subject = profile.subject_of_request(&request, &self.name, names, roles)?;
        let moment = |moment: Option<Moment>| {
            moment
                .map(|moment| moment.resolve(now).ok_or(Error::MomentOutOfRange))
                .transpose()
        };
        let asked = Asked {
            not_before: moment(self.not_before)?,
            not_after: moment(self.not_after)?,
            // Whoever owns the home owns the authority's key: for their tests, any time is right.
            of_any_age: matches!(caller, Caller::Operator) && self.not_before.is_some(),
        };
        let draft = profile.draft(&subject, &asked, authority, serial, now)?;
        let shortened_from = draft.shortened_from();

        let place = service.place(&issuance)?;

        // 5. Sign; 6. and 7. records and event in one commit.
        let certificate = service.sign(draft, &record, now)?;
        service.commit_certificate(
            &certificate,
            &self.name,
            &record,
            profile.name(),
            None,
            caller,
            now,
        )?;

        // 8. Only now does anything leave.
        Ok(issued(
            &settings,
            &certificate,
            &record,
            place,
            shortened_from,
        ))
    }
}

/// Renews a certificate for a new key. The certificate itself is the authority: whoever holds its key, and it is one
/// of ours and still good, gets the same names for as long again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewCertificate {
    /// The certificate to renew, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
    /// The certification request with the key for the new one, DER.
    #[serde(with = "base64_bytes")]
    pub csr: Vec<u8>,
    /// When the old key signed.
    pub signed_at: Time,
    /// The old key's signature over [`RenewCertificate::statement`], in the old key's usual algorithm.
    #[serde(with = "base64_bytes")]
    pub proof: Vec<u8>,
}

impl RenewCertificate {
    /// What the old key signs: a sentence of its own kind, the time, the old certificate and the new request.
    pub fn statement(certificate: &[u8], csr: &[u8], signed_at: Time) -> Vec<u8> {
        let mut statement = b"bowline renew certificate v1\0".to_vec();
        statement.extend_from_slice(&signed_at.timestamp().to_be_bytes());
        statement.extend_from_slice(
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref(),
        );
        statement
            .extend_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, csr).as_ref());
        statement
    }
}

impl Operation for RenewCertificate {
    const NAME: &'static str = "renew-certificate";
    type Answer = IssuedCertificate;

    /// Needs no permission but the old certificate's key, whoever asks.
    fn run(self, service: &Service, caller: &Caller) -> Result<IssuedCertificate, Error> {
        let mut proved = None;
        self.renew(service, caller, &mut proved).map_err(|refusal| {
            match service.tell_renewal_refusal(proved.as_ref(), caller, &refusal) {
                Ok(()) => refusal,
                // A log that cannot be written is the bigger trouble.
                Err(error) => error,
            }
        })
    }
}

impl RenewCertificate {
    /// Renews. Says which certificate of ours proved its key: a refusal from there on is an event about it.
    fn renew(
        self,
        service: &Service,
        caller: &Caller,
        proved: &mut Option<Certificate>,
    ) -> Result<IssuedCertificate, Error> {
        let now = service.now();
        // 1. The old certificate is one of ours, and its key speaks.
        let old = Certificate::from_der(&self.certificate)?;
        let old_record = service.certificate_record(old.serial())?;
        if old_record.certificate != self.certificate {
            return Err(Error::CertificateUnknown {
                what: format!("0x{}", old.serial().to_hex()),
            });
        }
        let old_key = old
            .public_key()
            .map_err(|error| Error::Key(error.clone()))?;
        let statement = RenewCertificate::statement(&self.certificate, &self.csr, self.signed_at);
        old_key
            .verify(
                old_key.default_signature_algorithm(),
                &statement,
                &self.proof,
            )
            .map_err(|_| Error::RenewalProof {
                subject: old.subject().to_string(),
            })?;
        if (now - self.signed_at).abs() > RENEWAL_SKEW {
            return Err(Error::RenewalDate {
                signed_at: self.signed_at,
                now,
            });
        }
        *proved = Some(old.clone());
        // 2. It is still good, and of a kind that lives on without anybody's leave.
        if old_record.authority == OPERATORS {
            return Err(Error::RenewsOperator);
        }
        let record = service.authority_record(&old_record.authority)?;
        let authority = record.authority()?;
        if let Some(revoked) = service.revocation(&authority.public_key().key_id(), old.serial())? {
            return Err(Error::CertificateIsRevoked {
                serial: old.serial().to_hex(),
                at: revoked.at,
                reason: revoked.reason,
            });
        }
        // 3. The same again, for the new key.
        let settings = service.settings()?;
        let profile = CertificateProfile::named(&old_record.certificate_profile)?;
        let place = service.place(&issuance(&profile))?;
        let request = CertificationRequest::from_der(&self.csr)?;
        let serial = SerialNumber::from_random(draw(&*service.entropy));
        let draft = profile.renew(&old, request.public_key(), authority, serial, now)?;
        let shortened_from = draft.shortened_from();
        let certificate = service.sign(draft, &record, now)?;
        service.commit_certificate(
            &certificate,
            &old_record.name,
            &record,
            profile.name(),
            Some(old.serial()),
            caller,
            now,
        )?;

        Ok(issued(
            &settings,
            &certificate,
            &record,
            place,
            shortened_from,
        ))
    }
}

impl Service {
    /// Where certificates of an issuance are traded.
    fn place(&self, issuance: &Issuance) -> Result<Place, Error> {
        let settings = self.settings()?;
        let profile = self.profile(issuance.profile)?;
        Ok(Place {
            trust_anchor: settings.anchor_arn(&*self.anchor(issuance.anchor)?),
            profile: settings.profile_arn(&profile),
            roles: profile.role_arns.clone(),
        })
    }

    /// Signs a draft with the key of the authority it was drafted under.
    fn sign(
        &self,
        draft: Draft,
        record: &AuthorityRecord,
        now: Time,
    ) -> Result<Certificate, Error> {
        self.check_clock(now)?;
        let signer = self.authority_key(&record.id)?;
        Ok(draft.sign(record.authority()?, &*signer)?)
    }

    /// Commits a signed certificate with every key it is found by. Before this returns, nothing leaves.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one fact of the record or of the event"
    )]
    fn commit_certificate(
        &self,
        certificate: &Certificate,
        name: &str,
        authority: &Loaded<AuthorityRecord>,
        profile: &str,
        renews: Option<&SerialNumber>,
        caller: &Caller,
        now: Time,
    ) -> Result<(), Error> {
        let (serial, not_after) = (certificate.serial(), certificate.validity().not_after);
        let names: Vec<String> = certificate
            .subject_alt_names()
            .iter()
            .map(ToString::to_string)
            .collect();
        if names.len() > NAMES_MAX {
            return Err(Error::TooManyNames {
                count: names.len(),
                limit: NAMES_MAX,
            });
        }
        let record = CertificateRecord {
            certificate: certificate.der().to_vec(),
            name: name.into(),
            authority: authority.id.clone(),
            certificate_profile: profile.into(),
            issued: now,
            renews: renews.map(SerialNumber::to_hex),
        };
        let (key, authority_key) = (
            keyspace::certificate(serial),
            keyspace::authority(&authority.id)?,
        );
        let mut commit = Commit::new()
            .expect_absent(key.clone())
            .put(key, record.encode()?)
            .put(
                keyspace::certificate_by_name(name, not_after, serial)?,
                empty(),
            )
            .put(keyspace::certificate_by_end(not_after, serial), empty());
        for name in &names {
            commit = commit.put(keyspace::certificate_by_alt_name(name, serial)?, empty());
        }
        // The authority is as it was when the draft was judged.
        let mut commit = authority.expect_unchanged(commit, authority_key);
        if let Some(old) = renews {
            // A revocation between the check and here must not be overtaken, and must find what the old one became.
            let issuer = authority.authority()?.public_key().key_id();
            commit = commit
                .expect_absent(keyspace::revocation(&issuer, old))
                .put(keyspace::renewal(old, serial), empty());
        }
        let event = Event::CertificateIssued {
            serial: serial.to_hex(),
            subject: certificate.subject().to_string(),
            names,
            authority: authority.id.clone(),
            certificate_profile: profile.into(),
            not_after,
            renews: renews.map(SerialNumber::to_hex),
        };
        self.commit(commit, caller, now, event)
    }

    /// Issues a certificate for this home's own TLS server. Its key lives in memory only.
    pub fn issue_server_certificate(&self, names: &[String]) -> Result<ServerCertificate, Error> {
        let key = PrivateKey::generate(KeySpec::P256)?;
        let alt_names = names
            .iter()
            .map(|name| GeneralName::detect(name))
            .collect::<Result<Vec<_>, _>>()?;
        let name = names.first().map_or("bowline", String::as_str);
        let subject = bowline_x509::DistinguishedName::empty();
        let issued = IssueCertificate {
            name: name.into(),
            names: alt_names.iter().map(GeneralName::value).collect(),
            roles: Vec::new(),
            not_before: None,
            not_after: None,
            certificate_profile: CertificateProfile::server().name().into(),
            csr: CertificationRequest::create(&subject, &[], &key)?,
        }
        .run(self, &Caller::Operator)?;
        let life = issued.not_after - issued.not_before;
        let mut chain = vec![issued.certificate];
        chain.extend(issued.chain);
        Ok(ServerCertificate {
            chain,
            key: zeroize::Zeroizing::new(key.pkcs8().to_vec()),
            renew_at: issued.not_before + life * 2 / 3,
        })
    }
}

/// The trust anchor, the profile, and the roles that the profile lists, by their ARNs.
struct Place {
    trust_anchor: String,
    profile: String,
    roles: Vec<String>,
}

/// What the holder of a fresh certificate needs to use it. Cannot fail: the certificate is committed.
fn issued(
    settings: &Settings,
    certificate: &Certificate,
    authority: &AuthorityRecord,
    place: Place,
    shortened_from: Option<Time>,
) -> IssuedCertificate {
    let roles = bowline_ca::roles_of(certificate.subject());
    let account = settings.account_id();
    let arn = |role: &String| {
        account
            .as_ref()
            .ok()
            .map(|account| role_arn(&settings.partition, account, "/", role))
    };
    IssuedCertificate {
        serial: certificate.serial().to_hex(),
        subject: certificate.subject().to_string(),
        names: certificate
            .subject_alt_names()
            .iter()
            .map(ToString::to_string)
            .collect(),
        role_arns: roles
            .iter()
            .filter_map(arn)
            .filter(|arn| place.roles.contains(arn))
            .collect(),
        roles,
        not_before: certificate.validity().not_before,
        not_after: certificate.validity().not_after,
        shortened_from,
        certificate: certificate.der().to_vec(),
        chain: authority.intermediates(),
        trust_anchor: place.trust_anchor,
        profile: place.profile,
        region: settings.region.clone(),
    }
}

/// A certificate for a TLS server, with its key.
pub struct ServerCertificate {
    /// Leaf first, root left out, DER.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    pub key: zeroize::Zeroizing<Vec<u8>>,
    /// When two thirds of its life are over.
    pub renew_at: Time,
}

impl AuthorityRecord {
    /// What goes with a leaf: the authority and those above it, without the root.
    pub(crate) fn intermediates(&self) -> Vec<Vec<u8>> {
        let mut all = vec![self.certificate.clone()];
        all.extend(self.chain.iter().cloned());
        all.pop();
        all
    }
}

fn empty() -> bowline_store::Value {
    // Cannot fail: no bytes are under every limit.
    bowline_store::Value::new(Vec::new()).expect("an empty value")
}

/// How far a renewal's date may be from ours, either way: a captured one must not work for ever.
const RENEWAL_SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(5);
/// The most subject alternative names of a certificate: each is a key in its commit, which takes 64 operations.
const NAMES_MAX: usize = 40;
