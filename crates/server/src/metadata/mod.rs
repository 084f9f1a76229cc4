//! Credentials served to the programs of one machine, in the two forms that AWS's SDKs look for by themselves:
//! the instance metadata service (IMDSv2) and the container credentials endpoint.
//!
//! Whoever reaches the endpoint and passes its door gets the credentials, so the door is the whole of its security:
//! loopback (elsewhere only the container form, which asks for a token), no requests that a browser sent, no name in
//! `Host` that somebody else could point here. What is served comes from a [`CredentialSource`]; nothing is decided
//! about credentials here.

mod container;
mod door;
mod imds;
mod listen;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use bowline_service::{Clock, Entropy, Secret, Time};

use crate::listen::ServeError;
pub use listen::RunningMetadata;

/// Where credentials come from.
pub trait CredentialSource: Send + Sync + 'static {
    /// Credentials that are good now, or why there are none. May block; is called from a thread that may.
    fn current(&self) -> Result<Provided, String>;
}

/// Credentials as they are handed out.
#[derive(Clone)]
pub struct Provided {
    /// Names them in every request signed with them.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: Secret,
    /// Goes with every request.
    pub session_token: Secret,
    /// When they stop being accepted.
    pub expiration: Time,
    /// When they were got.
    pub obtained_at: Time,
    /// The role's name, without its path.
    pub role_name: String,
}

/// Where to serve credentials, and to whom.
#[derive(Clone)]
pub struct MetadataConfig {
    /// The address. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether the instance metadata service is served. Only on loopback: its tokens are given to whoever asks.
    pub imds: bool,
    /// What the container form asks for in `Authorization`. Without one that form is not served.
    pub container_token: Option<Secret>,
    /// The path of the container form.
    pub container_path: String,
    /// The IP time-to-live of answers (IPv6: the hop limit). At 1 they do not leave the machine.
    pub hop_limit: u8,
    /// The region that the instance form tells.
    pub region: Option<String>,
    /// Further names and addresses that clients may have in `Host`.
    pub names: Vec<String>,
}

/// The path of the container form where none was chosen.
pub const CONTAINER_PATH: &str = "/credentials";

/// Starts to serve. The listener is open when this returns.
pub fn serve_metadata(
    config: MetadataConfig,
    source: Arc<dyn CredentialSource>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<RunningMetadata, ServeError> {
    let refuse = |reason: &str| {
        Err(ServeError::Listen {
            at: config.listen.to_string(),
            reason: reason.into(),
        })
    };
    if !config.listen.ip().is_loopback() && config.imds {
        return refuse(
            "the instance form gives credentials to whoever asks, so it is served on loopback only; elsewhere the container form is, with a token",
        );
    }
    if !config.imds && config.container_token.is_none() {
        return refuse("neither the instance form nor the container form is to be served");
    }
    listen::start(config, source, clock, entropy)
}

#[cfg(test)]
mod tests;
