//! Whether a session that the log tells of still lives, by what the log knows of it. The token knows more; so what is
//! said here is for people, and never lets anybody in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bowline_trust::{AccessKeyId, AnchorSource, Role, TrustAnchor, Uuid};
use bowline_x509::Time;

use super::ends::{Ends, Scope};
use super::listing::{Issued, SessionState, SessionView};
use crate::cache::Loaded;
use crate::error::Error;
use crate::keyspace;
use crate::service::Service;

/// Judges sessions one after the other, those before that others were assumed from.
pub(super) struct Judge<'a> {
    service: &'a Service,
    now: Time,
    ends: Arc<Ends>,
    /// The ids of the keys there are.
    keys: HashSet<u8>,
    /// Until when subjects' sessions ended, by the subject's name.
    subjects: HashMap<String, Time>,
    /// The same of certificates, by their serial numbers.
    certificates: HashMap<String, Time>,
    anchors: HashMap<String, Option<Anchor>>,
    roles: HashMap<String, Option<Loaded<Role>>>,
    /// Those that were ended before their time: what was assumed from them is over too.
    over: HashSet<[u8; 16]>,
    uncertain: bool,
}

/// What is asked of a trust anchor.
#[derive(Clone)]
struct Anchor {
    id: Uuid,
    enabled: bool,
    /// The key that signs the certificates, of an authority of this home.
    issuer: Option<[u8; 20]>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(service: &'a Service, now: Time) -> Result<Judge<'a>, Error> {
        let ends = service.session_ends()?;
        let (mut subjects, mut certificates) = (HashMap::new(), HashMap::new());
        for (scope, mark) in ends.marks() {
            if let Scope::Subject(id) = scope
                && let Some(name) = service.subject_name(id)?
            {
                subjects.insert(name, mark.until);
            }
            if let (Scope::Certificate(_), Some(serial)) = (scope, &mark.serial) {
                certificates.insert(serial.clone(), mark.until);
            }
        }
        Ok(Judge {
            service,
            now,
            ends,
            keys: service.key_ring()?.ids().collect(),
            subjects,
            certificates,
            anchors: HashMap::new(),
            roles: HashMap::new(),
            over: HashSet::new(),
            uncertain: false,
        })
    }

    /// Whether of sessions assumed from others not all are known to be over.
    pub(super) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// A session as it is now. Sessions come in the order in which they began.
    pub(super) fn view(&mut self, event: u64, issued: &Issued) -> Result<SessionView, Error> {
        let mut id = [0; 16];
        // The home wrote it; of one that does not read nothing was assumed.
        let known = hex::decode_to_slice(&issued.session, &mut id).is_ok();
        let ended_by = self.ended_by(&id, issued)?;
        // Whether its own time is over says nothing of those assumed from it.
        if ended_by.is_some() && known {
            if self.over.len() < OVER_MAX {
                self.over.insert(id);
            } else {
                self.uncertain = true;
            }
        }
        let state = match ended_by {
            _ if issued.expires <= self.now => SessionState::Ended,
            Some(_) => SessionState::Revoked,
            None => SessionState::Live,
        };
        Ok(SessionView {
            session: issued.session.clone(),
            access_key_id: issued.access_key_id.clone(),
            state,
            ended_by: ended_by.map(str::to_owned),
            issued: issued.at,
            expires: issued.expires,
            role: issued.role.clone(),
            via: issued
                .via
                .clone()
                .unwrap_or_else(|| "create-session".into()),
            parent: issued.parent.clone(),
            subject: issued.subject.clone(),
            serial: issued.serial.clone(),
            source_identity: issued.source_identity.clone(),
            trust_anchor: issued.trust_anchor.clone(),
            profile: issued.profile.clone(),
            provider: issued.provider.clone(),
            source: issued.source,
            event,
        })
    }

    /// What ended a session before its time.
    fn ended_by(&mut self, id: &[u8; 16], issued: &Issued) -> Result<Option<&'static str>, Error> {
        let began = issued.at;
        if let Ok(key) = issued.access_key_id.parse::<AccessKeyId>()
            && !self.keys.contains(&key.kid())
        {
            return Ok(Some("key"));
        }
        for scope in [Scope::Session(*id), Scope::All] {
            if let Some(scope) = self.ends.ends(scope, began) {
                return Ok(Some(scope.kind()));
            }
        }
        let mut parent = [0; 16];
        if let Some(text) = &issued.parent
            && hex::decode_to_slice(text, &mut parent).is_ok()
            && self.over.contains(&parent)
        {
            return Ok(Some("parent"));
        }
        if issued.role.contains(":role/") {
            match self.role(&issued.role)? {
                // Another one by now, or none that works.
                None => return Ok(Some("role")),
                Some(role) if !role.enabled || began < role.created_at => return Ok(Some("role")),
                Some(role) => {
                    if self.ends.ends(Scope::Role(role.id), began).is_some() {
                        return Ok(Some("role"));
                    }
                }
            }
        }
        if let Some(scope) = self.ended_by_origin(issued, began)? {
            return Ok(Some(scope));
        }
        Ok(None)
    }

    /// What ended a session of those things that the first of its chain rests on.
    fn ended_by_origin(
        &mut self,
        issued: &Issued,
        began: Time,
    ) -> Result<Option<&'static str>, Error> {
        if let Some(arn) = &issued.trust_anchor {
            let Some(anchor) = self.anchor(arn)?.filter(|anchor| anchor.enabled) else {
                return Ok(Some("anchor"));
            };
            let scope = Scope::TrustAnchor(anchor.id);
            if self.ends.ends(scope, began).is_some() {
                return Ok(Some("anchor"));
            }
            if let (Some(issuer), Some(serial)) = (anchor.issuer, &issued.serial)
                && let Ok(serial) = format!("0x{serial}").parse()
                && self.service.revocation(&issuer, &serial)?.is_some()
            {
                return Ok(Some("certificate"));
            }
        }
        if let Some((_, id)) = issued
            .profile
            .as_ref()
            .and_then(|arn| arn.rsplit_once(":profile/"))
            && let Ok(id) = id.parse()
            && self.ends.ends(Scope::Profile(id), began).is_some()
        {
            return Ok(Some("profile"));
        }
        if let Some(arn) = &issued.provider
            && self.ends.ends(Scope::provider(arn), began).is_some()
        {
            return Ok(Some("provider"));
        }
        let by = |marks: &HashMap<String, Time>, name: &Option<String>| {
            let mark = name.as_ref().and_then(|name| marks.get(name));
            mark.is_some_and(|until| began <= *until)
        };
        if by(&self.subjects, &issued.subject) {
            return Ok(Some("subject"));
        }
        Ok(by(&self.certificates, &issued.serial).then_some("certificate"))
    }

    fn role(&mut self, arn: &str) -> Result<Option<Loaded<Role>>, Error> {
        if let Some(role) = self.roles.get(arn) {
            return Ok(role.clone());
        }
        let role = self.service.find_role(arn)?;
        forget_at(&mut self.roles, RESOURCES_MAX);
        self.roles.insert(arn.into(), role.clone());
        Ok(role)
    }

    fn anchor(&mut self, arn: &str) -> Result<Option<Anchor>, Error> {
        if let Some(anchor) = self.anchors.get(arn) {
            return Ok(anchor.clone());
        }
        let id = arn.rsplit_once(":trust-anchor/").map_or(arn, |(_, id)| id);
        let anchor = match self
            .service
            .load::<TrustAnchor>(&keyspace::trust_anchor(id)?)?
        {
            Some(anchor) => Some(Anchor {
                id: anchor.id,
                enabled: anchor.enabled,
                issuer: match &anchor.source {
                    AnchorSource::Authority(authority) => {
                        let record = self.service.authority_record(authority)?;
                        Some(record.authority()?.public_key().key_id())
                    }
                    AnchorSource::CertificateBundle(_) => None,
                },
            }),
            None => None,
        };
        forget_at(&mut self.anchors, RESOURCES_MAX);
        self.anchors.insert(arn.into(), anchor.clone());
        Ok(anchor)
    }
}

/// Empties what has grown to a number of entries.
fn forget_at<V>(known: &mut HashMap<String, V>, most: usize) {
    if known.len() >= most {
        known.clear();
    }
}

/// How many ended sessions are remembered for those assumed from them: 16 bytes each, and their places.
const OVER_MAX: usize = 500_000;
/// How many roles or trust anchors are remembered.
const RESOURCES_MAX: usize = 4_096;
