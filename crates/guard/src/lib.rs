//! For services that honour our credentials: verify a request, decide on it, and guard its body.
//!
//! A [`Guard`] answers one question, [`Guard::check`]: may whoever signed this request do what it asks for. It comes by
//! the answer in one of three ways, which differ in what a thief of the relying service gets:
//!
//! - [`Guard::asking`] asks a server each time. The relying service holds no secret (level L0).
//! - [`Guard::with_keys`] asks a server once a minute for each session, and then verifies and decides by itself with a
//!   key that is good for one session, day, region and service (level L1).
//! - [`Guard::in_process`] runs on the home itself. For our own replicas only: it holds every key (level L2).
//!
//! [`GuardLayer`] puts a guard before any `tower` service of `http` requests. It refuses bodies that are not the signed
//! ones: a declared hash is compared, the chunks of a streamed upload are verified one by one, and the end of a body
//! is held back until that is done. The feature `s3s` adds what storage servers on the `s3s` library need.

mod body;
mod checksum;
mod chunked;
mod guard;
mod keys;
mod layer;
mod refused;
mod remote;
#[cfg(feature = "s3s")]
mod s3s;

pub use body::{BodyRefused, GuardedBody};
pub use bowline_server::{Endpoint, TransportError, Trust};
pub use bowline_service::{Authorization, ContextValue, ServiceError, Signatory, SignedPayload};
pub use guard::{Allowed, Guard, GuardRequest};
pub use layer::{GuardLayer, GuardService, Peer};
pub use refused::Refused;
pub use remote::{Identity, IdentityError, Remote};
#[cfg(feature = "s3s")]
pub use s3s::{GuardAccess, GuardAuth};
