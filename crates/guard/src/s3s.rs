//! What a storage server on the `s3s` library needs beside [`crate::GuardLayer`].
//!
//! The library verifies signatures by itself, and asks for the secret of an access key to do so. A relying service has
//! no secrets. So the layer verifies before the library sees a request, takes the signature off it, and the library
//! takes the request for an anonymous one. [`GuardAccess`] then lets in only what came through the layer, and only as
//! the very operation that was decided on; [`GuardAuth`] knows no secret, so that a signature which came past the
//! layer opens nothing. Both must be set: without an `S3Auth` the library asks no `S3Access`.

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::guard::Allowed;

/// Knows no secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardAuth;

#[async_trait::async_trait]
impl S3Auth for GuardAuth {
    async fn get_secret_key(&self, _access_key: &str) -> S3Result<SecretKey> {
        Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "the request did not come through the guard",
        ))
    }
}

/// Lets in what a [`crate::GuardLayer`] allowed, as the operation it decided on.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuardAccess;

#[async_trait::async_trait]
impl S3Access for GuardAccess {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let refuse = |why: &str| {
            Err(S3Error::with_message(
                S3ErrorCode::AccessDenied,
                why.to_owned(),
            ))
        };
        let Some(allowed) = cx.extensions_mut().get::<Allowed>().cloned() else {
            return refuse("the request did not come through the guard");
        };
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => (None, None),
            S3Path::Bucket { bucket } => (Some(&**bucket), None),
            S3Path::Object { bucket, key } => (Some(&**bucket), Some(&**key)),
        };
        let decided = (
            allowed.operation.as_deref(),
            allowed.bucket.as_deref(),
            allowed.key.as_deref(),
        );
        // Two readers of one request: they must agree on what it is.
        if decided != (Some(cx.s3_op().name()), bucket, key) {
            return refuse("the request is read in two ways");
        }
        Ok(())
    }
}
