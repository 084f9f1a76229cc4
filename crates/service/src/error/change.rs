//! What can be wrong about changes of settings and roles, and about MFA devices.

use bowline_x509::Time;

use super::{Kind, listed};

/// Why a setting, a role or an MFA device stays as it is, or a code is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such setting.
    #[error("there is no setting {setting:?}: there are {}", listed(.known))]
    SettingUnknown {
        /// What was asked for.
        setting: String,
        /// Those that can be changed.
        known: Vec<String>,
    },
    /// A setting that everything else rests on.
    #[error("{setting} cannot be changed in a home that is in use: {why}")]
    SettingFixed {
        /// Its name.
        setting: &'static str,
        /// What would go wrong.
        why: &'static str,
    },
    /// A value that a setting cannot have.
    #[error("{setting} is {rule}, not {value:?}")]
    SettingValue {
        /// Its name.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
    /// A change that names nothing to change.
    #[error("nothing to change: name what shall be different")]
    NothingToChange,
    /// A role that profiles still offer.
    #[error(
        "role {role} is listed by {}: take it off them, or say --force to do both at once", listed(.profiles)
    )]
    RoleListed {
        /// Its name.
        role: String,
        /// The names of the profiles.
        profiles: Vec<String>,
    },
    /// A role has no policy of that name.
    #[error("role {role} has no policy {policy:?}: it has {}", listed(.known))]
    RolePolicyUnknown {
        /// The role's name.
        role: String,
        /// What was asked for.
        policy: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// A subject without an MFA device.
    #[error("{subject} has no MFA device: `bowline mfa enable` makes one")]
    MfaUnknown {
        /// The subject.
        subject: String,
    },
    /// A code that cannot be one.
    #[error("an MFA code is {digits} digits")]
    MfaCodeMalformed {
        /// How many digits a code has.
        digits: usize,
    },
    /// The two codes that shall prove a new device are not two codes after one another.
    #[error(
        "these are not two codes after one another of now: give the one that is shown, wait for the next, give that"
    )]
    MfaCodesWrong,
    /// A serial number without a code, or the other way round.
    #[error("SerialNumber and TokenCode go together: {missing} is missing")]
    MfaIncomplete {
        /// The parameter that is not there.
        missing: &'static str,
    },
    /// A serial number that names no device of the caller's which counts.
    #[error(
        "MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user: {serial:?} is not, or was never confirmed"
    )]
    MfaSerialWrong {
        /// What was given.
        serial: String,
    },
    /// A wrong code.
    #[error("MultiFactorAuthentication failed with invalid MFA one time pass code")]
    MfaCodeWrong,
    /// A code that was accepted before.
    #[error(
        "MultiFactorAuthentication failed: a one time pass code is accepted once, wait for the next"
    )]
    MfaCodeUsed,
    /// Too many codes were tried.
    #[error("{limit} MFA codes were tried in {seconds} s: the next is looked at from {until} on")]
    MfaAttemptsExhausted {
        /// How many may be tried.
        limit: usize,
        /// In how many seconds.
        seconds: i64,
        /// From when on it goes on.
        until: Time,
    },
}

impl ChangeError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        match self {
            ChangeError::SettingUnknown { .. } => (Kind::NotFound, "setting_unknown"),
            ChangeError::SettingFixed { .. } => (Kind::Invalid, "setting_fixed"),
            ChangeError::SettingValue { .. } => (Kind::Invalid, "setting_value"),
            ChangeError::NothingToChange => (Kind::Invalid, "nothing_to_change"),
            ChangeError::RoleListed { .. } => (Kind::Conflict, "role_listed"),
            ChangeError::RolePolicyUnknown { .. } => (Kind::NotFound, "role_policy_unknown"),
            ChangeError::MfaUnknown { .. } => (Kind::NotFound, "mfa_unknown"),
            ChangeError::MfaCodeMalformed { .. } => (Kind::Invalid, "mfa_code_malformed"),
            ChangeError::MfaCodesWrong => (Kind::Invalid, "mfa_codes_wrong"),
            ChangeError::MfaIncomplete { .. } => (Kind::Invalid, "mfa_incomplete"),
            ChangeError::MfaSerialWrong { .. } => (Kind::Denied, "mfa_serial_wrong"),
            ChangeError::MfaCodeWrong => (Kind::Denied, "mfa_code_wrong"),
            ChangeError::MfaCodeUsed => (Kind::Denied, "mfa_code_used"),
            ChangeError::MfaAttemptsExhausted { .. } => (Kind::Limit, "mfa_attempts_exhausted"),
        }
    }
}
