//! Making a home: authorities, keys, anchors, profiles and the administrator's role, in one commit.

use bowline_ca::{Asked, Authority, AuthorityUrls, CertificateProfile};
use bowline_policy::AccountId;
use bowline_store::{Commit, StoreError};
use bowline_x509::{DistinguishedName, SerialNumber, Signer, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::anchors::{self, DEFAULT_ANCHOR, OPERATORS_ANCHOR};
use crate::audit::Event;
use crate::authorities::{
    AuthorityKind, AuthorityRecord, AuthorityView, ISSUING, KeyLocation, OPERATORS, ROOT,
};
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::keys::{KeySpec, PrivateKey};
use crate::keyspace;
use crate::life::SessionKeys;
use crate::log;
use crate::operation::Operation;
use crate::profiles::{self, DEFAULT_PROFILE, OPERATORS_PROFILE};
use crate::record::Record;
use crate::revocation_lists::offline_list;
use crate::roles;
use crate::sealing::Sealer;
use crate::service::{SealedSecret, Service};
use crate::settings::Settings;

/// Makes a home in an empty store. Only for the operator on the machine.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initialize {
    /// What the authorities are named after: `NAME Root CA`.
    pub name: String,
    /// Where CRLs and CA certificates will be fetched.
    #[serde(default)]
    pub url: Option<String>,
    /// The account, 12 digits.
    #[serde(default = "default_account")]
    pub account: String,
    /// The region.
    #[serde(default = "default_region")]
    pub region: String,
    /// Whether the issuing authority gets a P-384 key instead of P-256. Its leaves then carry SHA-384
    /// signatures, after which one client names an algorithm that AWS may refuse.
    #[serde(default)]
    pub issuing_p384: bool,
    /// The root's private key (PKCS#8 PEM) where it shall not be kept in this home. Signs now, is not stored.
    #[serde(skip)]
    pub offline_root: Option<OfflineRoot>,
}

/// A root key that stays outside: used while the home is made, never stored.
pub struct OfflineRoot {
    /// The key.
    pub key: PrivateKey,
}

/// What was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Initialized {
    /// The settings.
    pub settings: Settings,
    /// The authorities, root first.
    pub authorities: Vec<AuthorityView>,
    /// The ARN of trust anchor `default`.
    pub trust_anchor: String,
    /// The ARN of profile `default`.
    pub profile: String,
    /// The ARN of role `administrator`.
    pub administrator: String,
}

fn default_account() -> String {
    "000000000000".into()
}

fn default_region() -> String {
    "us-east-1".into()
}

impl Operation for Initialize {
    const NAME: &'static str = "initialize";
    type Answer = Initialized;

    fn run(self, service: &Service, caller: &Caller) -> Result<Initialized, Error> {
        if !matches!(caller, Caller::Operator) {
            return Err(Error::OperatorOnly {
                operation: Self::NAME,
            });
        }
        // 1. Refuse a second home in the same place, before anything costs time.
        if service.store.get(&keyspace::settings())?.is_some() {
            return Err(Error::AlreadyInitialized);
        }
        let now = service.now();
        let settings = self.settings(now)?;
        let unseal = service.unseal.as_ref().ok_or(Error::Locked)?;

        // 2. Keys: the master key, the session key ring, and one key an authority.
        let (sealer, master) = Sealer::create(unseal, &*service.entropy)?;
        let ring = SessionKeys::first(Zeroizing::new(draw(&*service.entropy)), now).encode();
        let online_root = match self.offline_root {
            Some(_) => None,
            None => Some(PrivateKey::generate(KeySpec::P384)?),
        };
        let root_key = match (&online_root, &self.offline_root) {
            (Some(key), _) => key,
            (None, Some(offline)) => &offline.key,
            // Cannot happen: one of the two was just made from the other's absence.
            (None, None) => return Err(Error::internal("a home without a root key")),
        };
        let issuing_key = PrivateKey::generate(if self.issuing_p384 {
            KeySpec::P384
        } else {
            KeySpec::P256
        })?;
        let operators_key = PrivateKey::generate(KeySpec::P256)?;

        // 3. Certificates, each signed by the one above.
        let root = sign_root(service, &settings, root_key, now)?;
        let issuing = Below {
            id: ISSUING,
            what: "Issuing CA",
            key: &issuing_key,
        };
        let issuing = sign_below(service, &settings, &root, root_key, &issuing, now)?;
        let operators = Below {
            id: OPERATORS,
            what: "Operators CA",
            key: &operators_key,
        };
        let operators = sign_below(service, &settings, &root, root_key, &operators, now)?;

        // 4. Records. Each is small; together they stay far under the limits of one commit.
        let authorities = [
            (ROOT, AuthorityKind::Root, &root, online_root.as_ref()),
            (
                ISSUING,
                AuthorityKind::Subordinate,
                &issuing,
                Some(&issuing_key),
            ),
            (
                OPERATORS,
                AuthorityKind::Subordinate,
                &operators,
                Some(&operators_key),
            ),
        ];
        let seal = |key: &bowline_store::Key, secret: &[u8]| {
            SealedSecret {
                sealed: sealer.seal(key.as_bytes(), secret, &*service.entropy),
            }
            .encode()
        };
        let mut commit = Commit::new()
            .expect_absent(keyspace::settings())
            .put(keyspace::settings(), settings.encode()?)
            .put(keyspace::master(), master.encode()?)
            .put(keyspace::key_ring(), seal(&keyspace::key_ring(), &ring)?);
        let mut views = Vec::new();
        for (id, kind, authority, key) in authorities {
            let record = AuthorityRecord::new(
                id,
                kind,
                authority,
                key.map_or(KeyLocation::Offline, |_| KeyLocation::Sealed),
                now,
            );
            commit = commit.put(keyspace::authority(id)?, record.encode()?);
            if let Some(key) = key {
                let place = keyspace::authority_key(id)?;
                commit = commit.put(place.clone(), seal(&place, key.pkcs8())?);
            }
            views.push(record.view()?);
        }
        let anchor = anchors::of_authority(service, &settings, DEFAULT_ANCHOR, ISSUING, now)?;
        let operators_anchor =
            anchors::of_authority(service, &settings, OPERATORS_ANCHOR, OPERATORS, now)?;
        let administrator = roles::administrator(
            service,
            &settings,
            &settings.anchor_arn(&operators_anchor),
            now,
        )?;
        let profile = profiles::fresh(service, &settings, DEFAULT_PROFILE, Vec::new(), now)?;
        let operators_profile = profiles::fresh(
            service,
            &settings,
            OPERATORS_PROFILE,
            vec![settings.role_arn(&administrator)],
            now,
        )?;
        for anchor in [&anchor, &operators_anchor] {
            commit = anchors::put_new(commit, anchor)?;
        }
        for profile in [&profile, &operators_profile] {
            commit = profiles::put_new(commit, profile)?;
        }
        commit = roles::put_new(commit, &settings, &administrator)?;

        if self.offline_root.is_some() {
            // The key leaves now, and chains are checked against a CRL of the root all the same.
            let list = offline_list(ROOT, &root, root_key, now)?;
            commit = commit.put(keyspace::offline_revocation_list(ROOT)?, list.encode()?);
        }

        // The log has its key from its first event on.
        let (_, mut commit, log_begun) = log::begin(
            commit,
            &settings,
            &sealer,
            log::Followed::default(),
            service,
            now,
        )?;

        // 5. One commit: a home is there whole or not at all.
        let event = Event::Initialized {
            name: settings.name.clone(),
            authorities: views
                .iter()
                .map(|view| (view.id.clone(), view.fingerprint.clone()))
                .collect(),
        };
        let entropy = &*service.entropy;
        for event in [
            event.record(caller, now, entropy),
            log_begun.own(now, entropy),
        ] {
            commit = commit.append(keyspace::events(), event.encode()?);
        }
        service.store.commit(commit).map_err(|error| match error {
            StoreError::Conflict { .. } => Error::AlreadyInitialized,
            error => Error::Store(error),
        })?;
        service.adopt_sealer(sealer);

        Ok(Initialized {
            trust_anchor: settings.anchor_arn(&anchor),
            profile: settings.profile_arn(&profile),
            administrator: settings.role_arn(&administrator),
            settings,
            authorities: views,
        })
    }
}

impl Initialize {
    fn settings(&self, now: Time) -> Result<Settings, Error> {
        let name = check_home_name(&self.name)?;
        let account: AccountId = self.account.parse()?;
        let region_fits = (1..=REGION_MAX).contains(&self.region.len())
            && self
                .region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !region_fits {
            return Err(Error::RegionInvalid {
                region: self.region.clone(),
            });
        }
        if let Some(url) = &self.url {
            check_url(url)?;
        }
        Ok(Settings {
            name: name.into(),
            account: account.to_string(),
            partition: "aws".into(),
            region: self.region.clone(),
            url: self
                .url
                .as_ref()
                .map(|url| url.trim_end_matches('/').to_owned()),
            enforce_region: false,
            credentials_end_with_certificate: true,
            created: now,
            revision: 1,
        })
    }
}

/// What a home may be called: the text without white space around it.
pub(crate) fn check_home_name(text: &str) -> Result<&str, Error> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    match name.chars().count() {
        length if length > HOME_NAME_MAX => Err(Error::HomeNameTooLong {
            length,
            limit: HOME_NAME_MAX,
        }),
        _ => Ok(name),
    }
}

/// CRLs and CA certificates are fetched over plain HTTP by nearly everyone (RFC 5280 §8 warns of loops over TLS).
pub(crate) fn check_url(url: &str) -> Result<(), Error> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let fits = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && url.len() <= URL_MAX
            && url.bytes().all(|byte| (0x21..0x7f).contains(&byte))
    });
    if fits && !url.contains(['?', '#']) {
        Ok(())
    } else {
        Err(Error::UrlInvalid { url: url.into() })
    }
}

fn sign_root(
    service: &Service,
    settings: &Settings,
    key: &PrivateKey,
    now: Time,
) -> Result<Authority, Error> {
    let draft = CertificateProfile::root().draft_root(
        &authority_name(settings, "Root CA")?,
        key.public_key(),
        &Asked::default(),
        SerialNumber::from_random(draw(&*service.entropy)),
        now,
    )?;
    Ok(Authority::new(
        draft.sign(key)?,
        Vec::new(),
        urls(settings, ROOT),
    )?)
}

/// An authority under the root: its id, the words after the home's name, and its key.
struct Below<'a> {
    id: &'static str,
    what: &'static str,
    key: &'a PrivateKey,
}

fn sign_below(
    service: &Service,
    settings: &Settings,
    root: &Authority,
    root_key: &PrivateKey,
    below: &Below<'_>,
    now: Time,
) -> Result<Authority, Error> {
    let draft = CertificateProfile::issuing().draft_authority(
        &authority_name(settings, below.what)?,
        below.key.public_key(),
        &Asked::default(),
        root,
        SerialNumber::from_random(draw(&*service.entropy)),
        now,
    )?;
    let certificate = draft.sign(root, root_key)?;
    Ok(Authority::new(
        certificate,
        vec![root.certificate().clone()],
        urls(settings, below.id),
    )?)
}

fn authority_name(settings: &Settings, what: &str) -> Result<DistinguishedName, Error> {
    let name = format!("{} {what}", settings.name);
    Ok(DistinguishedName::from_attributes(&[(
        const_oid::db::rfc4519::COMMON_NAME,
        &name,
    )])?)
}

/// URLs in the certificates an authority issues.
pub(crate) fn urls(settings: &Settings, authority: &str) -> Option<AuthorityUrls> {
    settings.url.as_ref().map(|url| AuthorityUrls {
        crl: format!("{url}/crl/{authority}.crl"),
        ca_certificate: format!("{url}/ca/{authority}.crt"),
    })
}

/// The longest name of a home: with ` Operators CA` it still fits the 64 characters of a common name (RFC 5280, ub-common-name).
const HOME_NAME_MAX: usize = 64 - " Operators CA".len();
/// The longest region name; AWS's own end at about 20.
const REGION_MAX: usize = 32;
/// The longest base URL: with `/crl/<authority>.crl` it stays a short extension.
const URL_MAX: usize = 512;
