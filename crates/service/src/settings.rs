//! What holds for a whole home.

use bowline_policy::AccountId;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::Error;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;

/// What holds for a whole home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the authorities are named after.
    pub name: String,
    /// The account in every ARN: 12 digits.
    pub account: String,
    /// The partition in every ARN.
    pub partition: String,
    /// The region in every ARN, and the one scopes are compared with if `enforce-region` is on.
    pub region: String,
    /// Where CRLs and CA certificates are fetched, if certificates shall say so.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether a signature scope may name this region only.
    #[serde(default)]
    pub enforce_region: bool,
    /// Whether credentials end with the certificate at the latest. AWS lets them outlive it.
    #[serde(default = "yes")]
    pub credentials_end_with_certificate: bool,
    /// When the home was made.
    pub created: Time,
    /// Grows with every change.
    pub revision: u64,
}

fn yes() -> bool {
    true
}

impl Record for Settings {
    const WHAT: &'static str = "settings record";
}

impl Settings {
    pub(crate) fn account_id(&self) -> Result<AccountId, Error> {
        Ok(self.account.parse()?)
    }

    /// The ARN of an authority.
    pub(crate) fn authority_arn(&self, authority: &str) -> String {
        format!(
            "arn:{}:acm-pca:{}:{}:certificate-authority/{authority}",
            self.partition, self.region, self.account
        )
    }
}

/// Shows the settings of the home.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowSettings {}

impl Operation for ShowSettings {
    const NAME: &'static str = "show-settings";
    type Answer = Settings;

    fn run(self, service: &Service, caller: &Caller) -> Result<Settings, Error> {
        service.authorize(caller, "bowline:GetSettings", "*")?;
        Ok(Settings::clone(&*service.settings()?))
    }
}
