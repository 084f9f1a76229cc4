//! `create-session`: the authentication of an exchange.

use std::collections::BTreeMap;

use bowline_sigv4::x509::Presented;
use bowline_sigv4::{Allowed, Body, Rules, SignedRequest};
use bowline_trust::{AttributeMappings, Subject};
use bowline_x509::path::{self, PathRules};
use bowline_x509::{Time, pem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Rejection, crls, header_bytes};
use crate::error::{DoorError, Error};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateSessionCase {
    #[serde(rename = "id")]
    _id: Value,
    request: RequestCase,
    anchor_bundle: String,
    #[serde(default)]
    crls: Vec<String>,
    at: Time,
    #[serde(default)]
    region: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestCase {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

impl CreateSessionCase {
    pub(super) fn answer(&self) -> Result<Value, Rejection> {
        let mut rules = Rules::default();
        if let Some(region) = &self.region {
            rules.regions = Allowed::only([region.clone()]);
        }
        if self.request.body.len() > BODY_MAX {
            return Err(Error::from(DoorError::BodyTooLong { limit: BODY_MAX }).into());
        }
        let headers = header_bytes(&self.request.headers);
        let request = SignedRequest::new(
            &self.request.method,
            &self.request.path,
            &headers,
            Body::Bytes(self.request.body.as_bytes()),
        );
        let authenticated = Presented::parse(&request, &rules)?.verify(self.at)?;
        let anchors = pem::certificates(self.anchor_bundle.as_bytes())?;
        let crls = crls(&self.crls)?;
        let rules = PathRules::authentication();
        let path = path::verify(
            authenticated.leaf(),
            authenticated.chain(),
            &anchors,
            &crls,
            &rules,
            self.at,
        )?;
        let subject = Subject::from_path(&path, &AttributeMappings::default());
        let tags: BTreeMap<&str, &str> = subject
            .tags
            .iter()
            .map(|tag| (tag.key(), tag.value()))
            .collect();
        Ok(json!({
            "subject": path.leaf().subject().to_string(),
            "source_identity": subject.source_identity,
            "tags": tags,
            "session_name": subject.default_session_name,
        }))
    }
}

/// The most bytes of a CreateSession body, as the data plane takes.
const BODY_MAX: usize = 64 * 1024;
