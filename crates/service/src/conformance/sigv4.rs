//! `sigv4`: AWS4-HMAC signatures, header and query form.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_sigv4::{Allowed, Body, Rules, SignedRequest, hmac};
use bowline_x509::Time;
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Rejection, header_bytes, reject};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sigv4Case {
    #[serde(rename = "id")]
    _id: Value,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    at: Time,
    #[serde(default)]
    services: Option<Vec<String>>,
    #[serde(default)]
    regions: Option<Vec<String>>,
    keys: BTreeMap<String, KeyCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyCase {
    secret: String,
    #[serde(default)]
    token: Option<String>,
}

impl Sigv4Case {
    pub(super) fn answer(&self) -> Result<Value, Rejection> {
        let body = match (&self.body, &self.body_base64) {
            (Some(_), Some(_)) => {
                return Err(reject(
                    "case_malformed",
                    "both body and body_base64 are given",
                ));
            }
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => STANDARD
                .decode(text)
                .map_err(|error| reject("case_malformed", error.to_string()))?,
            (None, None) => Vec::new(),
        };
        let allowed = |list: &Option<Vec<String>>| {
            list.as_ref()
                .map_or(Allowed::Any, |names| Allowed::only(names.clone()))
        };
        let rules = Rules {
            services: allowed(&self.services),
            regions: allowed(&self.regions),
            skew: WINDOW,
            s3_skew: WINDOW,
            ..Rules::for_relying_services()
        };
        let headers = header_bytes(&self.headers);
        let request = SignedRequest::new(&self.method, &self.url, &headers, Body::Bytes(&body));
        let presented = hmac::Presented::parse(&request, &rules)?;
        let Some(key) = self.keys.get(presented.access_key_id()) else {
            return Err(reject(
                "unknown_access_key",
                format!(
                    "access key {} is not among the keys",
                    presented.access_key_id()
                ),
            ));
        };
        let verified = presented.verify(&key.secret, self.at)?;
        if verified.session_token() != key.token.as_deref() {
            return Err(reject(
                "session_token_mismatch",
                "the session token is not the one of the access key",
            ));
        }
        let signed: Vec<&str> = verified.signed_headers().collect();
        Ok(json!({ "access_key_id": verified.access_key_id(), "signed_headers": signed }))
    }
}

/// How far clocks may differ in a suite.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
