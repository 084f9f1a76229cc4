//! Identity providers as records: whom we believe about others.

use bowline_store::{Commit, StoreError};
use bowline_trust::{
    IdentityProvider, KeySource, OidcProvider, SamlMetadata, SamlProvider, TokenAlgorithm,
};
use bowline_x509::{Time, pem};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::error::{Error, FederationError};
use crate::keyspace;
use crate::life::{Ended, Scope};
use crate::named::NameRecord;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

impl Record for IdentityProvider {
    const WHAT: &'static str = "identity provider";
}

/// An identity provider as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderView {
    /// Its name.
    pub name: String,
    /// Its ARN, for the `Federated` principal of a trust policy.
    pub arn: String,
    /// `oidc` or `saml`.
    pub kind: String,
    /// Its issuer: a URL, or the entity id of its metadata.
    pub issuer: String,
    /// For whom its tokens may be.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audiences: Vec<String>,
    /// What its tokens may be signed with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub algorithms: Vec<String>,
    /// Where its keys come from: `document`, `discovery`, or a URL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keys: Option<String>,
    /// Whether its server is believed by roots of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub own_roots: bool,
    /// SHA-256 fingerprints of the certificates whose keys sign its assertions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<String>,
    /// Until when its metadata may be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub valid_until: Option<Time>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

impl ProviderView {
    fn of(provider: &IdentityProvider, settings: &Settings) -> ProviderView {
        let arn = provider.arn(&settings.partition);
        match provider {
            IdentityProvider::Oidc(oidc) => ProviderView {
                name: oidc.name.clone(),
                arn,
                kind: "oidc".into(),
                issuer: oidc.issuer.clone(),
                audiences: oidc.audiences.clone(),
                algorithms: oidc.algorithms.iter().map(ToString::to_string).collect(),
                keys: Some(match &oidc.keys {
                    KeySource::Document(_) => "document".into(),
                    KeySource::Url(address) => address.clone(),
                    KeySource::Discovery => "discovery".into(),
                }),
                own_roots: oidc.roots.is_some(),
                certificates: Vec::new(),
                valid_until: None,
                created: oidc.created_at,
                updated: oidc.updated_at,
            },
            IdentityProvider::Saml(saml) => ProviderView {
                name: saml.name.clone(),
                arn,
                kind: "saml".into(),
                issuer: saml.metadata.entity_id.clone(),
                audiences: Vec::new(),
                algorithms: Vec::new(),
                keys: None,
                own_roots: false,
                certificates: saml
                    .metadata
                    .certificates
                    .iter()
                    .map(|certificate| hex::encode(certificate.fingerprint()))
                    .collect(),
                valid_until: saml.metadata.valid_until,
                created: saml.created_at,
                updated: saml.updated_at,
            },
        }
    }
}

impl Service {
    /// The provider with a name or ARN, if there is one.
    pub(crate) fn find_provider(
        &self,
        settings: &Settings,
        reference: &str,
    ) -> Result<Option<Loaded<IdentityProvider>>, Error> {
        let load = |name: &str| self.load::<IdentityProvider>(&keyspace::identity_provider(name)?);
        let found = if let Some((_, issuer)) = reference.split_once(":oidc-provider/") {
            self.provider_of_issuer(issuer)?
        } else if let Some((_, name)) = reference.split_once(":saml-provider/") {
            load(name)?
        } else {
            return load(reference);
        };
        Ok(found.filter(|provider| provider.arn(&settings.partition) == reference))
    }

    /// The provider whose issuer is this, if there is one, by what tells issuers apart: neither the scheme nor upper and
    /// lower case, for ARNs have no scheme, and condition keys no case.
    pub(crate) fn provider_of_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Loaded<IdentityProvider>>, Error> {
        let place = folded(issuer);
        if place.is_empty() {
            return Ok(None);
        }
        let Some(name) = self.load::<NameRecord>(&keyspace::identity_issuer(&place)?)? else {
            return Ok(None);
        };
        self.load(&keyspace::identity_provider(&name.id)?)
    }

    /// The provider a caller names, if the caller may take `action` on it.
    fn provider_for(
        &self,
        caller: &Caller,
        actions: [&str; 2],
        reference: &str,
    ) -> Result<Loaded<IdentityProvider>, Error> {
        let settings = self.settings()?;
        let found = self.find_provider(&settings, reference)?;
        let [of_oidc, of_saml] = actions;
        let saml = found.as_deref().map_or_else(
            || reference.contains(":saml-provider/"),
            |found| matches!(**found, IdentityProvider::Saml(_)),
        );
        self.authorize_found(
            caller,
            if saml { of_saml } else { of_oidc },
            found
                .as_deref()
                .map(|provider| provider.arn(&settings.partition)),
        )?;
        match found {
            Some(provider) => Ok(provider),
            None => Err(self.unknown_provider(reference)?),
        }
    }

    pub(crate) fn unknown_provider(&self, reference: &str) -> Result<Error, Error> {
        let known = self.load_all::<IdentityProvider>(&keyspace::identity_providers())?;
        Ok(FederationError::ProviderUnknown {
            name: reference.into(),
            known: known
                .iter()
                .map(|provider| provider.name().to_owned())
                .collect(),
        }
        .into())
    }
}

/// Creates an identity provider: an issuer of tokens with its audiences, or SAML metadata.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateProvider {
    /// Its name.
    pub name: String,
    /// The issuer's URL, the very text of the `iss` of its tokens.
    pub issuer: Option<String>,
    /// For whom its tokens may be.
    pub audiences: Vec<String>,
    /// Its keys, a JSON Web Key Set.
    pub jwks: Option<String>,
    /// Where its keys are; without this and `jwks` the issuer is asked (OpenID Connect Discovery).
    pub jwks_url: Option<String>,
    /// Roots as PEM that its server is believed by; those of the system if not given.
    pub roots: Option<String>,
    /// What its tokens may be signed with; all four algorithms if empty.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Metadata, XML: makes it a SAML provider.
    pub saml_metadata: Option<String>,
    /// Whether a provider of that name is answered as it is.
    pub if_missing: bool,
}

impl Operation for CreateProvider {
    const NAME: &'static str = "create-provider";
    type Answer = ProviderView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProviderView, Error> {
        let action = match self.saml_metadata {
            Some(_) => "iam:CreateSAMLProvider",
            None => "iam:CreateOpenIDConnectProvider",
        };
        service.authorize(caller, action, "*")?;
        let (settings, now) = (service.settings()?, service.now());
        let provider = self.provider(&settings, now)?;
        let key = keyspace::identity_provider(provider.name())?;
        if self.if_missing
            && let Some(existing) = service.load::<IdentityProvider>(&key)?
        {
            return Ok(ProviderView::of(&existing, &settings));
        }
        let mut count = 0;
        service.pages(&keyspace::identity_providers(), |page| {
            count += page.len();
            Ok(())
        })?;
        if count >= PROVIDERS_MAX {
            return Err(FederationError::ProvidersMany { count }.into());
        }
        let mut commit = Commit::new().expect_absent(key.clone());
        if let IdentityProvider::Oidc(oidc) = &provider {
            let issuer = keyspace::identity_issuer(&folded(&oidc.issuer))?;
            if service.load::<NameRecord>(&issuer)?.is_some() {
                return Err(Error::Exists {
                    what: "identity provider of issuer",
                    name: oidc.issuer.clone(),
                });
            }
            let id = oidc.name.clone();
            commit = commit
                .expect_absent(issuer.clone())
                .put(issuer, NameRecord { id }.encode()?);
        }
        service.commit_new(
            "identity provider",
            provider.name(),
            commit.put(key, provider.encode()?),
            caller,
            now,
            written(&provider, &settings, true),
        )?;
        Ok(ProviderView::of(&provider, &settings))
    }
}

impl CreateProvider {
    fn provider(&self, settings: &Settings, now: Time) -> Result<IdentityProvider, Error> {
        let provider = match (&self.issuer, &self.saml_metadata) {
            (Some(issuer), None) => IdentityProvider::Oidc(OidcProvider {
                name: self.name.clone(),
                account: settings.account_id()?,
                issuer: issuer.clone(),
                audiences: self.audiences.clone(),
                algorithms: match self.algorithms.as_slice() {
                    [] => TokenAlgorithm::ALL.to_vec(),
                    some => some.to_vec(),
                },
                keys: key_source(self.jwks.as_ref(), self.jwks_url.as_ref(), false)?
                    .unwrap_or(KeySource::Discovery),
                roots: self.roots.as_ref().map(roots).transpose()?,
                revision: 1,
                created_at: now,
                updated_at: now,
            }),
            (None, Some(metadata))
                if self.audiences.is_empty()
                    && self.algorithms.is_empty()
                    && self.jwks.is_none()
                    && self.jwks_url.is_none()
                    && self.roots.is_none() =>
            {
                IdentityProvider::Saml(SamlProvider {
                    name: self.name.clone(),
                    account: settings.account_id()?,
                    metadata: SamlMetadata::parse(metadata)?,
                    revision: 1,
                    created_at: now,
                    updated_at: now,
                })
            }
            (None | Some(_), _) => return Err(FederationError::ProviderKindNeeded.into()),
        };
        provider.validate(now)?;
        Ok(provider)
    }
}

/// What two issuers may not have in common: their condition keys and, but for upper and lower case, their ARNs.
fn folded(issuer: &str) -> String {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    rest.to_ascii_lowercase()
}

/// Where keys come from, if that is said.
fn key_source(
    document: Option<&String>,
    url: Option<&String>,
    discovery: bool,
) -> Result<Option<KeySource>, Error> {
    match (document, url, discovery) {
        (Some(document), None, false) => Ok(Some(KeySource::Document(document.clone()))),
        (None, Some(url), false) => Ok(Some(KeySource::Url(url.clone()))),
        (None, None, true) => Ok(Some(KeySource::Discovery)),
        (None, None, false) => Ok(None),
        _ => Err(FederationError::KeySourceTwice.into()),
    }
}

/// Roots, which must be certificates.
fn roots(text: &String) -> Result<String, Error> {
    if pem::certificates(text.as_bytes())?.is_empty() {
        return Err(Error::NoCertificate);
    }
    Ok(text.clone())
}

fn written(provider: &IdentityProvider, settings: &Settings, created: bool) -> Event {
    let view = ProviderView::of(provider, settings);
    Event::ProviderWritten {
        provider: view.arn,
        created,
        issuer: view.issuer,
        audiences: view.audiences,
        keys: view.keys,
        certificates: view.certificates,
    }
}

/// Changes an identity provider. What is not named stays; its issuer stays, for it is who it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateProvider {
    /// Its name or ARN.
    pub provider: String,
    /// For whom its tokens may be, from now on: all of them.
    pub audiences: Option<Vec<String>>,
    /// Its keys, a JSON Web Key Set.
    pub jwks: Option<String>,
    /// Where its keys are.
    pub jwks_url: Option<String>,
    /// Whether the issuer is asked where its keys are.
    pub discovery: bool,
    /// Roots as PEM that its server is believed by; an empty text for those of the system.
    pub roots: Option<String>,
    /// What its tokens may be signed with.
    pub algorithms: Option<Vec<TokenAlgorithm>>,
    /// New metadata, of the same entity.
    pub saml_metadata: Option<String>,
}

impl Operation for UpdateProvider {
    const NAME: &'static str = "update-provider";
    type Answer = ProviderView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProviderView, Error> {
        let old = service.provider_for(
            caller,
            ["iam:UpdateOpenIDConnectProvider", "iam:UpdateSAMLProvider"],
            &self.provider,
        )?;
        let (settings, now) = (service.settings()?, service.now());
        let mut provider = IdentityProvider::clone(&old);
        match &mut provider {
            IdentityProvider::Oidc(oidc) => self.change_oidc(oidc, now)?,
            IdentityProvider::Saml(saml) => self.change_saml(saml, now)?,
        }
        provider.validate(now)?;
        let key = keyspace::identity_provider(provider.name())?;
        let commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, provider.encode()?);
        service.commit(commit, caller, now, written(&provider, &settings, false))?;
        Ok(ProviderView::of(&provider, &settings))
    }
}

impl UpdateProvider {
    fn change_oidc(self, oidc: &mut OidcProvider, now: Time) -> Result<(), Error> {
        if self.saml_metadata.is_some() {
            return Err(FederationError::ProviderOfOtherKind {
                name: oidc.name.clone(),
                kind: "OpenID Connect",
                what: "SAML metadata",
            }
            .into());
        }
        let source = key_source(self.jwks.as_ref(), self.jwks_url.as_ref(), self.discovery)?;
        if let Some(audiences) = self.audiences {
            oidc.audiences = audiences;
        }
        if let Some(algorithms) = self.algorithms {
            oidc.algorithms = algorithms;
        }
        if let Some(source) = source {
            if matches!(source, KeySource::Document(_)) && self.roots.is_none() {
                oidc.roots = None;
            }
            oidc.keys = source;
        }
        match &self.roots {
            Some(text) if text.is_empty() => oidc.roots = None,
            Some(text) => oidc.roots = Some(roots(text)?),
            None => {}
        }
        oidc.revision += 1;
        oidc.updated_at = now;
        Ok(())
    }

    fn change_saml(self, saml: &mut SamlProvider, now: Time) -> Result<(), Error> {
        let other = self.audiences.is_some()
            || self.jwks.is_some()
            || self.jwks_url.is_some()
            || self.discovery
            || self.roots.is_some()
            || self.algorithms.is_some();
        if other {
            return Err(FederationError::ProviderOfOtherKind {
                name: saml.name.clone(),
                kind: "SAML",
                what: "audiences, keys, roots and algorithms but those of its metadata",
            }
            .into());
        }
        if let Some(metadata) = &self.saml_metadata {
            let metadata = SamlMetadata::parse(metadata)?;
            if metadata.entity_id != saml.metadata.entity_id {
                return Err(FederationError::EntityOther {
                    name: saml.name.clone(),
                    entity: saml.metadata.entity_id.clone(),
                    found: metadata.entity_id,
                }
                .into());
            }
            saml.metadata = metadata;
        }
        saml.revision += 1;
        saml.updated_at = now;
        Ok(())
    }
}

/// Deletes an identity provider: nobody gets a session by its word any more, and those that somebody got are over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteProvider {
    /// Its name or ARN.
    pub provider: String,
}

impl Operation for DeleteProvider {
    const NAME: &'static str = "delete-provider";
    type Answer = ProviderView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProviderView, Error> {
        let old = service.provider_for(
            caller,
            ["iam:DeleteOpenIDConnectProvider", "iam:DeleteSAMLProvider"],
            &self.provider,
        )?;
        let (settings, now) = (service.settings()?, service.now());
        let key = keyspace::identity_provider(old.name())?;
        let mut commit = old
            .expect_unchanged(Commit::new().from_reserve(), key.clone())
            .delete(key);
        if let IdentityProvider::Oidc(oidc) = &**old {
            commit = commit.delete(keyspace::identity_issuer(&folded(&oidc.issuer))?);
        }
        // Also those of a provider of the name that comes after it would live else.
        let ended = [Ended::new(Scope::provider(&old.arn(&settings.partition)))];
        let until = service.last_begun(now)?.max(now + ON_THE_WAY_FOR);
        // As if it were said when nothing is on the way any more: an end that is not past would be `now`.
        let said = until + TimeDelta::seconds(1);
        commit = service.end_sessions(commit, &ended, until, said)?;
        let view = ProviderView::of(&old, &settings);
        let event = Event::ProviderDeleted {
            provider: view.arn.clone(),
            issuer: view.issuer.clone(),
        };
        match service.commit(commit, caller, now, event) {
            // Somebody else deleted it, or changed it, which would have been lost without a word.
            Err(Error::Store(StoreError::Conflict { .. }))
                if service.find_provider(&settings, &self.provider)?.is_none() =>
            {
                Err(service.unknown_provider(&self.provider)?)
            }
            outcome => outcome.map(|()| view),
        }
    }
}

/// Lists the identity providers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListProviders {}

impl Operation for ListProviders {
    const NAME: &'static str = "list-providers";
    type Answer = Vec<ProviderView>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<ProviderView>, Error> {
        for action in ["iam:ListOpenIDConnectProviders", "iam:ListSAMLProviders"] {
            service.authorize(caller, action, "*")?;
        }
        let settings = service.settings()?;
        let providers = service.load_all::<IdentityProvider>(&keyspace::identity_providers())?;
        Ok(providers
            .iter()
            .map(|provider| ProviderView::of(provider, &settings))
            .collect())
    }
}

/// Shows one identity provider.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowProvider {
    /// Its name or ARN.
    pub provider: String,
}

impl Operation for ShowProvider {
    const NAME: &'static str = "show-provider";
    type Answer = ProviderView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProviderView, Error> {
        let provider = service.provider_for(
            caller,
            ["iam:GetOpenIDConnectProvider", "iam:GetSAMLProvider"],
            &self.provider,
        )?;
        Ok(ProviderView::of(&provider, &*service.settings()?))
    }
}

/// A session that somebody is just getting by the word of a provider may begin a moment after its deletion began.
const ON_THE_WAY_FOR: TimeDelta = TimeDelta::seconds(5);
/// The most providers of a home: the limit of IAM for each kind.
const PROVIDERS_MAX: usize = 100;
