//! Tokens and assertions made with keys of the tests, and what becomes of them when something is changed.

mod oidc;
mod saml;
mod saml_attacks;

use bowline_x509::Time;

/// Noon of the day on which every test happens.
fn now() -> Time {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn account() -> bowline_policy::AccountId {
    "123456789012".parse().unwrap()
}
