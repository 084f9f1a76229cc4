//! Bucket, key and parameters: where a request goes, as the signature covers it.

use super::headers::Headers;
use super::{KEY_BYTES_MAX, S3Error};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Service,
    Bucket,
    Object,
}

impl Scope {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Scope::Service => "the service",
            Scope::Bucket => "a bucket",
            Scope::Object => "an object",
        }
    }
}

/// The same with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Service,
    Bucket(String),
    Object { bucket: String, key: String },
}

impl Place {
    pub(super) fn scope(&self) -> Scope {
        match self {
            Place::Service => Scope::Service,
            Place::Bucket(_) => Scope::Bucket,
            Place::Object { .. } => Scope::Object,
        }
    }

    pub(super) fn bucket(&self) -> Option<&str> {
        match self {
            Place::Service => None,
            Place::Bucket(bucket) | Place::Object { bucket, .. } => Some(bucket),
        }
    }

    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Place::Object { key, .. } => Some(key),
            Place::Service | Place::Bucket(_) => None,
        }
    }

    fn of(bucket: Option<&str>, path: &str) -> Result<Place, S3Error> {
        let (bucket, key) = match bucket {
            Some(bucket) => (bucket, path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        if bucket.is_empty() {
            return if key.is_empty() {
                Ok(Place::Service)
            } else {
                Err(S3Error::Path {
                    reason: "it begins with two slashes",
                })
            };
        }
        check_bucket(bucket)?;
        if key.is_empty() {
            return Ok(Place::Bucket(bucket.into()));
        }
        check_key(key)?;
        Ok(Place::Object {
            bucket: bucket.into(),
            key: key.into(),
        })
    }
}

/// A request target, read once.
pub(super) struct Target {
    pub(super) place: Place,
    /// Names and values, decoded, without those of the authentication and of headers put into the query.
    parameters: Vec<(String, String)>,
    /// `x-amz-*` parameters that stand for headers: lower-case names.
    pub(super) hoisted: Vec<(String, String)>,
}

impl Target {
    pub(super) fn read(
        target: &str,
        headers: &Headers<'_>,
        hosts: &[String],
    ) -> Result<Target, S3Error> {
        let (authority, rest) = split_authority(target)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        let decoded = decode(path).ok_or(S3Error::Path {
            reason: "an escape is not % and two hexadecimal digits, or it is no UTF-8",
        })?;
        let host = match headers.get("host")? {
            Some(host) => Some(host),
            None => authority,
        };
        let bucket = host.and_then(|host| bucket_of_host(host, hosts));
        // Cannot fail: an absolute URL without a path was given one, and a path begins with a slash.
        let place = Place::of(
            bucket.as_deref(),
            decoded.strip_prefix('/').unwrap_or(&decoded),
        )?;
        let (parameters, hoisted) = read_query(query)?;
        Ok(Target {
            place,
            parameters,
            hoisted,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }
}

type Parameters = Vec<(String, String)>;

fn read_query(query: &str) -> Result<(Parameters, Parameters), S3Error> {
    let (mut parameters, mut hoisted): (Parameters, Parameters) = (Vec::new(), Vec::new());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        if part.contains('+') {
            return Err(S3Error::Query {
                reason: "a bare + is a space to some servers: write %2B or %20",
            });
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let undecodable = S3Error::Query {
            reason: "an escape is not % and two hexadecimal digits, or it is no UTF-8",
        };
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return Err(undecodable);
        };
        let lower = name.to_ascii_lowercase();
        if AUTHENTICATION.contains(&lower.as_str()) {
            continue;
        }
        let (list, name) = if lower.starts_with("x-amz-") {
            if !HOISTED.iter().any(|known| covers(known, &lower)) {
                return Err(S3Error::UnknownParameter { name });
            }
            (&mut hoisted, lower)
        } else {
            (&mut parameters, name)
        };
        if list.iter().any(|(known, _)| *known == name) {
            return Err(S3Error::Repeated { name });
        }
        list.push((name, value));
    }
    Ok((parameters, hoisted))
}

/// A name, or the beginning of one that ends in `*`.
fn covers(known: &str, name: &str) -> bool {
    match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => known == name,
    }
}

/// Parameters of the signature; the verifier reads them. Lower case.
const AUTHENTICATION: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Headers that presigning clients put into the query. Lower case. A copy's source is not among them: whether a server
/// reads it there decides what the request does.
const HOISTED: [&str; 15] = [
    "x-amz-acl",
    "x-amz-bypass-governance-retention",
    "x-amz-checksum-*",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-*",
    "x-amz-meta-*",
    "x-amz-mfa",
    "x-amz-object-lock-*",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption*",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-user-agent",
    "x-amz-website-redirect-location",
];

/// Origin form, or absolute form with its authority (RFC 9112 §3.2).
fn split_authority(target: &str) -> Result<(Option<&str>, &str), S3Error> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let rest = target
        .strip_prefix("https://")
        .or_else(|| target.strip_prefix("http://"))
        .ok_or(S3Error::Path {
            reason: "it is neither a path nor an absolute URL",
        })?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Ok((Some(authority), rest))
}

/// The bucket that a virtual host names, where the host is `bucket.NAME` of a configured name.
fn bucket_of_host(host: &str, hosts: &[String]) -> Option<String> {
    let host = host.trim().to_ascii_lowercase();
    let name = name_of_host(&host);
    let known: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    let known = || known.iter().map(|host| name_of_host(host));
    let bucket = |suffix: &str| {
        let rest = name.strip_suffix(suffix)?.strip_suffix('.')?;
        Some(rest.to_owned())
    };
    // A name that is the service's own is no bucket of a shorter one.
    if known().any(|known| known == name) {
        return None;
    }
    known()
        .filter_map(bucket)
        .min_by_key(String::len)
        .filter(|bucket| !bucket.is_empty())
}

/// A host without its port, and without the dot that may close a name: servers take both for the same.
fn name_of_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The bucket naming rules that decide what a name may hold; S3's other rules only restrict who may create it.
fn check_bucket(bucket: &str) -> Result<(), S3Error> {
    let edge = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let fine = (3..=63).contains(&bucket.len())
        && edge(bucket.bytes().next())
        && edge(bucket.bytes().next_back())
        && bucket.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
        })
        && !bucket.contains("..");
    if fine {
        return Ok(());
    }
    Err(S3Error::Bucket {
        bucket: bucket.chars().take(BUCKET_SHOWN).collect(),
    })
}

/// Refuses keys that a server on a file system would take for others.
pub(super) fn check_key(key: &str) -> Result<(), S3Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(S3Error::KeyTooLong { bytes: key.len() });
    }
    let refuse = |reason| {
        Err(S3Error::Key {
            key: key.into(),
            reason,
        })
    };
    if key.is_empty() {
        return refuse("it is empty");
    }
    if key.chars().any(char::is_control) {
        return refuse("it holds a control character");
    }
    let mut segments = key.strip_suffix('/').unwrap_or(key).split('/');
    if segments.any(|segment| matches!(segment, "" | "." | "..")) {
        return refuse("it has an empty, . or .. segment, which a file system takes away");
    }
    Ok(())
}

/// The source of a copy.
pub(super) struct CopySource {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version: Option<String>,
}

/// Reads `[/]bucket/key[?versionId=…]`, percent-encoded.
pub(super) fn copy_source(value: &str) -> Result<CopySource, S3Error> {
    let refuse = |reason| S3Error::Header {
        name: "x-amz-copy-source",
        reason,
    };
    if value.contains(['+', '#']) {
        // To some servers they are a space and the end of the path.
        return Err(refuse(
            "a bare + or # is read in two ways: write %2B or %23",
        ));
    }
    let (path, version) = match value.split_once('?') {
        None => (value, None),
        Some((path, query)) => {
            let version = query
                .strip_prefix("versionId=")
                .filter(|version| !version.is_empty() && !version.contains(['&', '?']))
                .and_then(decode)
                .ok_or_else(|| refuse("after the ? stands only versionId=…"))?;
            (path, Some(version))
        }
    };
    let path = decode(path).ok_or_else(|| refuse("it is not percent-encoded UTF-8"))?;
    if path.contains('?') {
        // Some servers look for the version after decoding.
        return Err(refuse("a key with a ? is read in two ways"));
    }
    let path = path.strip_prefix('/').unwrap_or(&path);
    if path.starts_with("arn:") {
        return Err(refuse("access points are not mapped"));
    }
    let (bucket, key) = path
        .split_once('/')
        .ok_or_else(|| refuse("it is not bucket/key"))?;
    check_bucket(bucket)?;
    check_key(key)?;
    Ok(CopySource {
        bucket: bucket.into(),
        key: key.into(),
        version,
    })
}

/// Percent-decodes once; `+` stays `+`. `None`: an escape is not one, or the text is no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        // Cannot fail: two hexadecimal digits are a byte.
        out.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// How much of a name that is none is shown.
const BUCKET_SHOWN: usize = 64;
