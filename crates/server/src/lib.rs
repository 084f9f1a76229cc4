//! The HTTP skin: one thin module for each wire dialect, both ends of each; TLS from our own CA.
//!
//! A handler parses, builds the same operation value that the command line builds, and
//! renders the answer in its dialect. Nothing is decided here.
//!
//! - [`sessions`]: IAM Roles Anywhere, `POST /sessions`.
//! - [`sts`]: the STS query protocol.
//! - [`operations`]: `POST /v1/<operation>` and the control socket.
//! - [`transfers`]: the long answers among those: progress and bytes before the result.
//! - [`metadata`]: credentials for the programs of one machine, as instances and containers of AWS get them.
//! - [`proxies`]: decisions for nginx and Envoy, told by the status.
//! - [`publication`]: what everybody may fetch: roots, CA certificates, CRLs, the event log, health.

mod admission;
mod commits;
mod connection;
mod frame;
mod limits;
mod lines;
mod listen;
mod memory;
mod message;
pub mod metadata;
pub mod operations;
mod outbound;
mod pool;
mod proxies;
mod publication;
mod rates;
mod replays;
mod roots;
mod router;
pub mod sessions;
mod stream;
pub mod sts;
mod tls;
mod transfers;
mod transport;
mod upkeep;

pub use limits::{Limits, RateLimit};
pub use listen::{Config, Running, ServeError, serve, serve_within};
pub use outbound::HttpOutbound;
pub use roots::system_roots;
pub use transport::{Endpoint, Signing, TransportError, Trust};
