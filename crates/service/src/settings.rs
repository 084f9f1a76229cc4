//! What holds for a whole home, and what of it can be changed.

use bowline_policy::AccountId;
use bowline_store::Commit;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::{ChangeError, Error};
use crate::initialize::{check_home_name, check_url};
use crate::keyspace;
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

    /// Changes one setting, and tells what it was and what it is.
    fn change(&mut self, setting: &str, value: &str) -> Result<(String, String), Error> {
        let fixed = |setting, why| Err(ChangeError::SettingFixed { setting, why }.into());
        match setting {
            NAME => {
                let name = check_home_name(value)?.to_owned();
                let was = std::mem::replace(&mut self.name, name.clone());
                Ok((was, name))
            }
            URL => {
                let url = match value {
                    "" => None,
                    url => {
                        check_url(url)?;
                        Some(url.trim_end_matches('/').to_owned())
                    }
                };
                let was = std::mem::replace(&mut self.url, url.clone());
                Ok((was.unwrap_or_default(), url.unwrap_or_default()))
            }
            ENFORCE_REGION => switch(&mut self.enforce_region, ENFORCE_REGION, value),
            CREDENTIALS_END => switch(
                &mut self.credentials_end_with_certificate,
                CREDENTIALS_END,
                value,
            ),
            "account" => fixed(
                "account",
                "it is in the ARN of every resource, and policies and hosts name those",
            ),
            "partition" => fixed(
                "partition",
                "it is in the ARN of every resource, and policies and hosts name those",
            ),
            "region" => fixed(
                "region",
                "it is in the ARN of every trust anchor, which the trust policies of roles name",
            ),
            _ => Err(ChangeError::SettingUnknown {
                setting: setting.into(),
                known: CHANGEABLE.map(String::from).into(),
            }
            .into()),
        }
    }
}

fn switch(place: &mut bool, setting: &'static str, value: &str) -> Result<(String, String), Error> {
    let new = value.parse().map_err(|_| ChangeError::SettingValue {
        setting,
        value: value.into(),
        rule: "true or false",
    })?;
    let was = std::mem::replace(place, new);
    Ok((was.to_string(), new.to_string()))
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

/// Changes one setting of the home. What is in ARNs cannot be changed: others have written those down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// Its name, as [`Settings`] has it; a hyphen is as good as an underscore.
    pub setting: String,
    /// What it shall be; of `url` the empty text takes it away.
    pub value: String,
}

impl Operation for UpdateSettings {
    const NAME: &'static str = "update-settings";
    type Answer = Settings;

    fn run(self, service: &Service, caller: &Caller) -> Result<Settings, Error> {
        service.authorize(caller, "bowline:UpdateSettings", "*")?;
        let (old, now) = (service.settings()?, service.now());
        let mut settings = Settings::clone(&old);
        let setting = self.setting.replace('-', "_");
        let (was, is) = settings.change(&setting, &self.value)?;
        if was == is {
            return Ok(settings);
        }
        settings.revision += 1;
        let key = keyspace::settings();
        let commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, settings.encode()?);
        service.commit(
            commit,
            caller,
            now,
            Event::SettingChanged { setting, was, is },
        )?;
        Ok(settings)
    }
}

const NAME: &str = "name";
const URL: &str = "url";
const ENFORCE_REGION: &str = "enforce_region";
const CREDENTIALS_END: &str = "credentials_end_with_certificate";

/// The settings that can be changed.
const CHANGEABLE: [&str; 4] = [NAME, URL, ENFORCE_REGION, CREDENTIALS_END];

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "Test".into(),
            account: "000000000000".into(),
            partition: "aws".into(),
            region: "us-east-1".into(),
            url: Some("http://ca.test".into()),
            enforce_region: false,
            credentials_end_with_certificate: true,
            created: Time::UNIX_EPOCH,
            revision: 1,
        }
    }

    #[test]
    fn a_change_tells_what_was_and_what_is() {
        let mut settings = settings();
        for (setting, value, was, is) in [
            (NAME, " Other ", "Test", "Other"),
            (
                URL,
                "https://ca.example/",
                "http://ca.test",
                "https://ca.example",
            ),
            (URL, "", "https://ca.example", ""),
            (ENFORCE_REGION, "true", "false", "true"),
            (CREDENTIALS_END, "false", "true", "false"),
        ] {
            let told = settings.change(setting, value).unwrap();
            assert_eq!(told, (was.into(), is.into()), "{setting}");
        }
        assert_eq!(settings.url, None);
    }

    #[test]
    fn what_arns_are_made_of_stays() {
        for (setting, value, code) in [
            ("account", "111111111111", "setting_fixed"),
            ("partition", "aws-cn", "setting_fixed"),
            ("region", "eu-west-1", "setting_fixed"),
            ("revision", "7", "setting_unknown"),
            (ENFORCE_REGION, "yes", "setting_value"),
            (URL, "ftp://ca", "url_invalid"),
            (NAME, "  ", "name_empty"),
        ] {
            let mut changed = settings();
            let refused = changed.change(setting, value).unwrap_err();
            assert_eq!(&*refused.code(), code, "{setting}");
            assert_eq!(changed, settings(), "{setting}");
        }
    }
}
