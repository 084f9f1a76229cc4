//! What a request is refused for before anybody looks at what it asks.

use super::Kind;

/// Why a request does not get through the door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A long body.
    #[error("the body is over the limit of {limit} bytes")]
    BodyTooLong {
        /// The most.
        limit: usize,
    },
    /// A slow body.
    #[error("the body did not arrive within {seconds} s")]
    BodySlow {
        /// How long was waited.
        seconds: u64,
    },
    /// A broken body.
    #[error("the body ended before its length")]
    BodyBroken,
    /// More requests than one caller may send.
    #[error(
        "{who} sends more than {per_second} requests a second: wait {retry_after} s, and spread them"
    )]
    RateExceeded {
        /// Whose requests are counted.
        who: &'static str,
        /// The most in a second.
        per_second: u32,
        /// Seconds after which the next one is taken.
        retry_after: u64,
    },
    /// A browser shows its certificate for any page that asks it to.
    #[error(
        "a page made this request: a certificate alone calls STS from programs, which send neither Origin nor Sec-Fetch-Site"
    )]
    OfPage,
    /// A request that was answered before.
    #[error(
        "this very request was answered before, and this server answers a signed request once: sign another"
    )]
    Replayed,
    /// More signed requests than are remembered.
    #[error(
        "the {limit} requests that are remembered against replays are all younger than {minutes} min: try again later"
    )]
    ReplaysForgotten {
        /// The most.
        limit: usize,
        /// How long each is remembered.
        minutes: u64,
    },
    /// A parameter that stands twice.
    #[error("the parameter {parameter:?} is given more than once: give it once")]
    ParameterRepeated {
        /// Its name.
        parameter: String,
    },
    /// A parameter that does not read.
    #[error("the parameter {parameter:?} does not read: {reason}")]
    ParameterMalformed {
        /// Its name.
        parameter: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An operation that others serve.
    #[error("{action} is not served here: {reason}")]
    ActionUnsupported {
        /// Its name.
        action: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// A header of a proxy is missing.
    #[error("the header {header} is missing: the proxy passes it on from {from}")]
    ProxyHeaderMissing {
        /// Its name.
        header: &'static str,
        /// What it says.
        from: &'static str,
    },
    /// A header of a proxy stands twice, or does not read.
    #[error("the header {header} does not read: {reason}")]
    ProxyHeaderMalformed {
        /// Its name.
        header: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl DoorError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        match self {
            DoorError::BodyTooLong { .. } => (Kind::Invalid, "body_too_long"),
            DoorError::BodySlow { .. } => (Kind::Unavailable, "body_too_slow"),
            DoorError::BodyBroken => (Kind::Invalid, "body_broken"),
            DoorError::RateExceeded { .. } => (Kind::Limit, "rate_exceeded"),
            DoorError::OfPage => (Kind::Denied, "request_of_page"),
            DoorError::Replayed => (Kind::Unauthenticated, "request_replayed"),
            DoorError::ReplaysForgotten { .. } => (Kind::Unavailable, "replay_memory_full"),
            DoorError::ParameterRepeated { .. } => (Kind::Invalid, "parameter_repeated"),
            DoorError::ParameterMalformed { .. } => (Kind::Invalid, "parameter_malformed"),
            DoorError::ActionUnsupported { .. } => (Kind::Invalid, "action_unsupported"),
            DoorError::ProxyHeaderMissing { .. } => (Kind::Invalid, "proxy_header_missing"),
            DoorError::ProxyHeaderMalformed { .. } => (Kind::Invalid, "proxy_header_malformed"),
        }
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub(crate) fn sts_code(&self) -> Option<&'static str> {
        match self {
            DoorError::ActionUnsupported { .. } => Some("InvalidAction"),
            DoorError::RateExceeded { .. } => Some("Throttling"),
            _ => None,
        }
    }
}
