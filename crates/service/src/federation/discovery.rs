//! What other systems need to believe our tokens: who issues them, and the public keys.

use bowline_trust::TokenAlgorithm;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::identity_keys::ALGORITHMS;
use crate::caller::Caller;
use crate::error::Error;
use crate::operation::Operation;
use crate::service::Service;

/// Where the key set is, under the home's URL.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// Shows the discovery document of our tokens (OpenID Connect Discovery §3). Anybody may read it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowOpenIdConfiguration {}

impl Operation for ShowOpenIdConfiguration {
    const NAME: &'static str = "show-openid-configuration";
    type Answer = Value;

    fn run(self, service: &Service, _: &Caller) -> Result<Value, Error> {
        let issuer = service.settings()?.identity_issuer()?;
        Ok(json!({
            "jwks_uri": format!("{issuer}{JWKS_PATH}"),
            "issuer": issuer,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ALGORITHMS.map(TokenAlgorithm::as_str),
            "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "https://sts.amazonaws.com/"],
        }))
    }
}

/// Shows the keys that our tokens are verified with (RFC 7517 §5). Anybody may read them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowJwks {}

impl Operation for ShowJwks {
    const NAME: &'static str = "show-jwks";
    type Answer = Value;

    fn run(self, service: &Service, _: &Caller) -> Result<Value, Error> {
        service.settings()?;
        match service.identity_keys()? {
            Some(keys) => keys.published(service.now()),
            None => Ok(json!({ "keys": [] })),
        }
    }
}
