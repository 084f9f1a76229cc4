//! Trust anchors: whose certificates can be traded for credentials.

use bowline_store::Commit;
use bowline_trust::{AnchorSource, TrustAnchor, Uuid};
use bowline_x509::{Certificate, Time, pem};
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::keyspace;
use crate::life::{Ended, Scope};
use crate::named::{NameRecord, Named};
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

/// The anchor of workload certificates.
pub(crate) const DEFAULT_ANCHOR: &str = "default";
/// The anchor of operator certificates.
pub(crate) const OPERATORS_ANCHOR: &str = "operators";

impl Record for TrustAnchor {
    const WHAT: &'static str = "trust anchor";
}

/// How trust anchors are found.
const ANCHORS: Named<TrustAnchor> = Named {
    name_key: keyspace::trust_anchor_name,
    key: keyspace::trust_anchor,
    infix: ":trust-anchor/",
    arn: Settings::anchor_arn,
};

/// A trust anchor as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustAnchorView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it is believed at all.
    pub enabled: bool,
    /// The authority of this home that it stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authority: Option<String>,
    /// The subjects of its certificates, where it is somebody else's CA.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

impl TrustAnchorView {
    fn of(anchor: &TrustAnchor, settings: &Settings) -> TrustAnchorView {
        let (authority, certificates) = match &anchor.source {
            AnchorSource::Authority(id) => (Some(id.clone()), Vec::new()),
            AnchorSource::CertificateBundle(bundle) => (
                None,
                bundle
                    .iter()
                    .map(|certificate| certificate.subject().to_string())
                    .collect(),
            ),
        };
        TrustAnchorView {
            name: anchor.name.clone(),
            id: anchor.id.to_string(),
            arn: settings.anchor_arn(anchor),
            enabled: anchor.enabled,
            authority,
            certificates,
            created: anchor.created_at,
            updated: anchor.updated_at,
        }
    }
}

impl Settings {
    pub(crate) fn anchor_arn(&self, anchor: &TrustAnchor) -> String {
        anchor.arn(&self.partition, &self.region)
    }
}

/// An anchor that stands for an authority of this home.
pub(crate) fn of_authority(
    service: &Service,
    settings: &Settings,
    name: &str,
    authority: &str,
    now: Time,
) -> Result<TrustAnchor, Error> {
    let id = Uuid::from_random(draw(&*service.entropy));
    let anchor = TrustAnchor::new(
        id,
        settings.account_id()?,
        name,
        AnchorSource::Authority(authority.into()),
        now,
    );
    anchor.validate()?;
    Ok(anchor)
}

/// Adds a new anchor to a commit, under a name nobody has.
pub(crate) fn put_new(commit: Commit, anchor: &TrustAnchor) -> Result<Commit, Error> {
    let (key, name_key) = (
        keyspace::trust_anchor(&anchor.id.to_string())?,
        keyspace::trust_anchor_name(&anchor.name)?,
    );
    Ok(commit
        .expect_absent(name_key.clone())
        .put(
            name_key,
            NameRecord {
                id: anchor.id.to_string(),
            }
            .encode()?,
        )
        .put(key, anchor.encode()?))
}

impl Service {
    /// The anchor with a name, id or ARN.
    pub(crate) fn anchor(&self, reference: &str) -> Result<Loaded<TrustAnchor>, Error> {
        let settings = self.settings()?;
        match self.find(&settings, &ANCHORS, reference)? {
            Some(anchor) => Ok(anchor),
            None => {
                let known = self.load_all::<TrustAnchor>(&keyspace::trust_anchors())?;
                Err(Error::TrustAnchorUnknown {
                    name: reference.into(),
                    known: known.into_iter().map(|anchor| anchor.name).collect(),
                })
            }
        }
    }

    /// The anchor a caller names, if the caller may take `action` on it.
    fn anchor_for(
        &self,
        caller: &Caller,
        action: &str,
        reference: &str,
    ) -> Result<Loaded<TrustAnchor>, Error> {
        let settings = self.settings()?;
        let found = self.find(&settings, &ANCHORS, reference)?;
        self.authorize_found(
            caller,
            action,
            found.as_ref().map(|anchor| settings.anchor_arn(anchor)),
        )?;
        self.anchor(reference)
    }

    /// The anchor with exactly this ARN, as the exchange names it.
    pub(crate) fn anchor_by_arn(
        &self,
        settings: &Settings,
        arn: &str,
    ) -> Result<Loaded<TrustAnchor>, Error> {
        let found = if arn.contains(ANCHORS.infix) {
            self.find(settings, &ANCHORS, arn)?
        } else {
            None
        };
        found.ok_or_else(|| Error::SessionTrustAnchorUnknown { arn: arn.into() })
    }

    /// The certificates an anchor stands for.
    pub(crate) fn anchor_certificates(
        &self,
        anchor: &TrustAnchor,
    ) -> Result<Vec<Certificate>, Error> {
        match &anchor.source {
            AnchorSource::CertificateBundle(bundle) => Ok(bundle.clone()),
            // The authority itself, not its root: beside it under the same root stand others, whose
            // certificates this anchor must not believe.
            AnchorSource::Authority(id) => Ok(vec![
                self.authority_record(id)?
                    .authority()?
                    .certificate()
                    .clone(),
            ]),
        }
    }
}

/// Creates a trust anchor from somebody's CA certificates, or from an authority of this home.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTrustAnchor {
    /// Its name.
    pub name: String,
    /// CA certificates as PEM: one, or two during a rollover.
    #[serde(default)]
    pub bundle: Option<String>,
    /// The id of an authority of this home.
    #[serde(default)]
    pub authority: Option<String>,
    /// Whether it starts disabled.
    #[serde(default)]
    pub disabled: bool,
    /// Whether an anchor of that name is answered as it is.
    #[serde(default)]
    pub if_missing: bool,
}

impl Operation for CreateTrustAnchor {
    const NAME: &'static str = "create-trust-anchor";
    type Answer = TrustAnchorView;

    fn run(self, service: &Service, caller: &Caller) -> Result<TrustAnchorView, Error> {
        service.authorize(caller, "rolesanywhere:CreateTrustAnchor", "*")?;
        let (settings, now) = (service.settings()?, service.now());
        let source = match (&self.bundle, &self.authority) {
            (Some(text), None) => {
                AnchorSource::CertificateBundle(pem::certificates(text.as_bytes())?)
            }
            (None, Some(authority)) => {
                AnchorSource::Authority(service.authority_record(authority)?.id.clone())
            }
            (None, None) | (Some(_), Some(_)) => return Err(Error::AnchorSourceNeeded),
        };
        let mut anchor = TrustAnchor::new(
            Uuid::from_random(draw(&*service.entropy)),
            settings.account_id()?,
            &self.name,
            source,
            now,
        );
        anchor.enabled = !self.disabled;
        anchor.validate()?;
        crate::named::check_name(&anchor.name)?;
        if let AnchorSource::CertificateBundle(bundle) = &anchor.source {
            check_bundle(bundle, now)?;
        }
        let exists = service
            .load::<NameRecord>(&keyspace::trust_anchor_name(&anchor.name)?)?
            .is_some();
        if exists && self.if_missing {
            return Ok(TrustAnchorView::of(
                &*service.anchor(&self.name)?,
                &settings,
            ));
        }
        let event = written(&anchor, &settings, true);
        service.commit_new(
            "trust anchor",
            &anchor.name,
            put_new(Commit::new(), &anchor)?,
            caller,
            now,
            event,
        )?;
        Ok(TrustAnchorView::of(&anchor, &settings))
    }
}

/// What must hold of somebody else's CA before anything is believed because of it.
fn check_bundle(bundle: &[Certificate], now: Time) -> Result<(), Error> {
    for certificate in bundle {
        let subject = || certificate.subject().to_string();
        certificate.public_key().map_err(|error| Error::AnchorKey {
            subject: subject(),
            reason: error.to_string(),
        })?;
        if certificate.signature_algorithm().is_none() {
            return Err(Error::AnchorSignatureAlgorithm {
                subject: subject(),
                algorithm: certificate.signature_algorithm_name(),
            });
        }
        let validity = certificate.validity();
        if validity.not_after < now {
            return Err(Error::AnchorExpired {
                subject: subject(),
                not_after: validity.not_after,
            });
        }
    }
    Ok(())
}

fn written(anchor: &TrustAnchor, settings: &Settings, created: bool) -> Event {
    let certificates = match &anchor.source {
        AnchorSource::Authority(id) => vec![format!("authority {id}")],
        AnchorSource::CertificateBundle(bundle) => bundle
            .iter()
            .map(|certificate| hex::encode(certificate.fingerprint()))
            .collect(),
    };
    Event::TrustAnchorWritten {
        trust_anchor: settings.anchor_arn(anchor),
        created,
        enabled: anchor.enabled,
        certificates,
    }
}

/// Lists the trust anchors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListTrustAnchors {}

impl Operation for ListTrustAnchors {
    const NAME: &'static str = "list-trust-anchors";
    type Answer = Vec<TrustAnchorView>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<TrustAnchorView>, Error> {
        service.authorize(caller, "rolesanywhere:ListTrustAnchors", "*")?;
        let settings = service.settings()?;
        let mut anchors = service.load_all::<TrustAnchor>(&keyspace::trust_anchors())?;
        anchors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(anchors
            .iter()
            .map(|anchor| TrustAnchorView::of(anchor, &settings))
            .collect())
    }
}

/// Shows one trust anchor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowTrustAnchor {
    /// Its name, id or ARN.
    pub trust_anchor: String,
}

impl Operation for ShowTrustAnchor {
    const NAME: &'static str = "show-trust-anchor";
    type Answer = TrustAnchorView;

    fn run(self, service: &Service, caller: &Caller) -> Result<TrustAnchorView, Error> {
        let anchor =
            service.anchor_for(caller, "rolesanywhere:GetTrustAnchor", &self.trust_anchor)?;
        Ok(TrustAnchorView::of(&anchor, &*service.settings()?))
    }
}

/// Changes a trust anchor: its certificates, or whether it is believed. What is not named stays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateTrustAnchor {
    /// Its name, id or ARN.
    pub trust_anchor: String,
    /// New CA certificates as PEM.
    #[serde(default)]
    pub bundle: Option<String>,
    /// Whether it is believed.
    #[serde(default)]
    pub enabled: Option<bool>,
}

impl Operation for UpdateTrustAnchor {
    const NAME: &'static str = "update-trust-anchor";
    type Answer = TrustAnchorView;

    fn run(self, service: &Service, caller: &Caller) -> Result<TrustAnchorView, Error> {
        let old = service.anchor_for(
            caller,
            "rolesanywhere:UpdateTrustAnchor",
            &self.trust_anchor,
        )?;
        let (settings, now) = (service.settings()?, service.now());
        let mut anchor = TrustAnchor::clone(&old);
        if let Some(text) = &self.bundle {
            if let AnchorSource::Authority(authority) = &anchor.source {
                return Err(Error::AnchorIsOwn {
                    authority: authority.clone(),
                });
            }
            let bundle = pem::certificates(text.as_bytes())?;
            check_bundle(&bundle, now)?;
            anchor.source = AnchorSource::CertificateBundle(bundle);
        }
        if let Some(enabled) = self.enabled {
            anchor.enabled = enabled;
        }
        anchor.revision += 1;
        anchor.updated_at = now;
        anchor.validate()?;
        let key = keyspace::trust_anchor(&anchor.id.to_string())?;
        let mut commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, anchor.encode()?);
        if self.bundle.is_some() || !anchor.enabled {
            // Whoever was let in under the old certificates, or before the anchor was disabled, stays out
            // when it is enabled again.
            let ended = [Ended::new(Scope::TrustAnchor(anchor.id))];
            commit = service.end_sessions(commit, &ended, now, now)?;
        }
        if self.enabled == Some(false) {
            commit = commit.from_reserve();
        }
        service.commit(commit, caller, now, written(&anchor, &settings, false))?;
        Ok(TrustAnchorView::of(&anchor, &settings))
    }
}
