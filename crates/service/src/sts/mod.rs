//! The calls of the security token service: credentials from what a caller has already.

pub(crate) mod assume_role;
pub(crate) mod grant_session;
mod messages;
mod session_token;
pub(crate) mod validation;

pub use messages::{AccessKeyInfo, DecodeAuthorizationMessage, DecodedMessage, GetAccessKeyInfo};
pub(crate) use messages::{Denied, statements};
pub use session_token::{GetSessionToken, SessionToken};
