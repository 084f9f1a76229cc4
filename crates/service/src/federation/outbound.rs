//! The way out: the service fetches what an identity provider publishes, and nothing else.

/// Fetches a document. Given by whoever can speak HTTP.
///
/// A fetch blocks the caller; it must end by itself, in good or bad, within 5 seconds. It follows no redirects, speaks
/// plain HTTP to this machine only, and takes no more than it is told.
pub trait Outbound: Send + Sync {
    /// The body of a GET that was answered with 200.
    fn get(&self, fetch: &Fetch) -> Result<Vec<u8>, OutboundError>;
}

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The URL.
    pub url: String,
    /// Whose certificates are believed: roots as PEM; none for those of the system.
    pub roots_pem: Option<String>,
    /// The longest body that is taken.
    pub bytes_max: usize,
}

/// Why nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Not an address that is fetched from.
    #[error("{url} is not an address that keys are fetched from: https, or http to this machine")]
    Url {
        /// The address.
        url: String,
    },
    /// No roots to believe.
    #[error("there are no roots to believe the server by: {reason}")]
    Roots {
        /// What was found.
        reason: String,
    },
    /// No answer.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Another answer than 200. A redirect is one, too: it could lead anywhere.
    #[error("{url} answers with status {status}, not 200")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// A long answer.
    #[error("{url} answers with more than {limit} bytes")]
    TooLong {
        /// The address.
        url: String,
        /// The most.
        limit: usize,
    },
}
