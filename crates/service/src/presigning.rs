//! Presigned URLs: a request that whoever holds the URL may make, until the URL or the session behind it ends.

use bowline_sigv4::{Body, Credentials, SignedRequest, presign};
use bowline_x509::Time;
use chrono::TimeDelta;

use crate::error::Error;
use crate::sessions::SessionCredentials;

/// Signs a URL in query form, for a method and no header but the host (SigV4 query authentication). Nothing of the
/// body is signed, as S3 has it. `expires` is 1 to 604,800 seconds; the session's end comes first where it is earlier.
pub fn presigned_url(
    method: &str,
    url: &str,
    credentials: &SessionCredentials,
    region: &str,
    service: &str,
    expires: TimeDelta,
    now: Time,
) -> Result<String, Error> {
    let signing = Credentials {
        access_key_id: &credentials.access_key_id,
        secret: credentials.secret_access_key.reveal(),
        session_token: Some(credentials.session_token.reveal()),
    };
    let headers: [(&str, &str); 0] = [];
    let request = SignedRequest::new(method, url, &headers, Body::Unknown);
    Ok(presign(&request, &signing, region, service, expires, now)?)
}
