//! What headers add to a request: actions of their own, and condition keys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::S3Error;
use super::routes::Route;
use super::target::{Scope, Target, decode};
use crate::authorization::ContextValue;

/// The headers of a request, and those of its query that stand for headers.
pub(super) struct Headers<'a>(pub(super) Cow<'a, [(String, String)]>);

impl<'a> Headers<'a> {
    /// The value of a header that may stand once, by its lower-case name, without the white space around it.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, S3Error> {
        let mut values = self
            .0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let first = values.next();
        if values.next().is_some() {
            return Err(S3Error::Repeated { name: name.into() });
        }
        Ok(first.map(|(_, value)| value.trim_matches([' ', '\t'])))
    }

    /// Refuses headers by which some servers do another operation than the one that is decided on.
    pub(super) fn check_operation(&self) -> Result<(), S3Error> {
        for name in TURNING {
            if self.get(name)?.is_some() {
                return Err(S3Error::Header {
                    name,
                    reason: "some servers do another operation by it",
                });
            }
        }
        Ok(())
    }

    /// Whether the body is a form of a browser.
    pub(super) fn is_form(&self) -> Result<bool, S3Error> {
        Ok(self.get("content-type")?.is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("multipart/form-data")
        }))
    }

    /// These headers with those of the query.
    pub(super) fn with_query(self, target: &Target) -> Result<Headers<'a>, S3Error> {
        let mut all = self.0;
        for (name, value) in &target.hoisted {
            all.to_mut().push((name.clone(), value.clone()));
        }
        Ok(Headers(all))
    }
}

/// The actions that headers ask for beside the operation's own.
pub(super) fn added_actions(
    route: &Route,
    fields: &Headers<'_>,
) -> Result<Vec<&'static str>, S3Error> {
    let mut added = Vec::new();
    if matches!(
        route.operation,
        "DeleteObject" | "DeleteObjects" | "PutObjectRetention"
    ) && fields
        .get("x-amz-bypass-governance-retention")?
        .is_some_and(|value| !value.eq_ignore_ascii_case("false"))
    {
        added.push("s3:BypassGovernanceRetention");
    }
    if !route.creates {
        return Ok(added);
    }
    let mut when = |names: &[&str], action| -> Result<(), S3Error> {
        for name in names {
            if fields.get(name)?.is_some() {
                added.push(action);
                break;
            }
        }
        Ok(())
    };
    match route.scope {
        Scope::Object => {
            when(ACL_HEADERS, "s3:PutObjectAcl")?;
            when(&["x-amz-tagging"], "s3:PutObjectTagging")?;
            when(
                &[
                    "x-amz-object-lock-mode",
                    "x-amz-object-lock-retain-until-date",
                ],
                "s3:PutObjectRetention",
            )?;
            when(&["x-amz-object-lock-legal-hold"], "s3:PutObjectLegalHold")?;
        }
        Scope::Bucket => {
            when(ACL_HEADERS, "s3:PutBucketAcl")?;
            when(&["x-amz-object-ownership"], "s3:PutBucketOwnershipControls")?;
            when(
                &["x-amz-bucket-object-lock-enabled"],
                "s3:PutBucketObjectLockConfiguration",
            )?;
            when(
                &["x-amz-bucket-object-lock-enabled"],
                "s3:PutBucketVersioning",
            )?;
        }
        Scope::Service => {}
    }
    Ok(added)
}

/// The condition keys that the request itself answers, without those of the signature.
pub(super) fn condition_keys(
    route: &Route,
    target: &Target,
    fields: &Headers<'_>,
) -> Result<BTreeMap<String, ContextValue>, S3Error> {
    let mut keys = BTreeMap::new();
    let mut set = |key: &str, value: &str| {
        keys.insert(key.to_owned(), ContextValue::One(value.to_owned()));
    };
    if route.scope == Scope::Bucket && route.method == "GET" {
        for (parameter, key) in [
            ("prefix", "s3:prefix"),
            ("delimiter", "s3:delimiter"),
            ("max-keys", "s3:max-keys"),
        ] {
            if let Some(value) = target.value(parameter) {
                set(key, value);
            }
        }
    }
    if let Some(version) = target.value("versionId") {
        set("s3:VersionId", version);
    }
    if let Some(whole) = makes_whole_object(route) {
        set("s3:ObjectCreationOperation", whole);
    }
    if !matches!(route.method, "GET" | "HEAD") {
        for (header, key) in HEADER_KEYS {
            if let Some(value) = fields.get(header)?
                && heeds(route, header)
            {
                set(key, value);
            }
        }
        if let Some(tags) = fields.get("x-amz-tagging")?
            && route.creates
            && route.scope == Scope::Object
        {
            let set = read_tags(tags).and_then(|tags| set_tags(tags, &mut keys));
            set.map_err(|reason| S3Error::Header {
                name: "x-amz-tagging",
                reason,
            })?;
        }
    }
    Ok(keys)
}

/// Whether an operation goes by a header. One that it passes over answers nothing: a client could write anything there.
fn heeds(route: &Route, header: &str) -> bool {
    let part = route.needs.contains(&"uploadId");
    route.creates
        || header.starts_with("if-")
        || (route.needs.contains(&"acl") && ACL_HEADERS.contains(&header))
        || (route.copies && header == "x-amz-copy-source")
        || (part && header == "x-amz-server-side-encryption-customer-algorithm")
}

/// Whether an object is there after an operation that needs `s3:PutObject`, or only a part of one. Policies that ask for
/// conditional writes leave out the parts by it.
fn makes_whole_object(route: &Route) -> Option<&'static str> {
    match route.operation {
        "PutObject" | "CopyObject" | "CompleteMultipartUpload" => Some("true"),
        "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => Some("false"),
        _ => None,
    }
}

/// The condition keys of the tags that an object shall have.
pub(super) fn set_tags(
    tags: Vec<(String, String)>,
    keys: &mut BTreeMap<String, ContextValue>,
) -> Result<(), &'static str> {
    let mut names: Vec<String> = Vec::with_capacity(tags.len());
    for (name, value) in tags {
        // Condition keys compare without regard to case.
        if names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return Err("two tags have one name");
        }
        if name.is_empty() {
            return Err("a tag has no name");
        }
        let key = format!("s3:RequestObjectTag/{name}");
        keys.insert(key, ContextValue::One(value));
        names.push(name);
    }
    if !names.is_empty() {
        keys.insert("s3:RequestObjectTagKeys".into(), ContextValue::Many(names));
    }
    Ok(())
}

/// Tags as the header has them: `name=value&name=value`, form-encoded.
fn read_tags(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut tags = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        // Form-encoding: a plus is a space here, in every reader.
        let plain = |text: &str| decode(&text.replace('+', "%20"));
        let (Some(name), Some(value)) = (plain(name), plain(value)) else {
            return Err("it is not form-encoded UTF-8");
        };
        tags.push((name, value));
    }
    Ok(tags)
}

/// Headers that name another method, and MinIO's that deletes everything below a key.
const TURNING: [&str; 4] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-minio-force-delete",
];

/// Headers that set an ACL.
const ACL_HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
];

/// Headers whose values policies may ask about.
const HEADER_KEYS: &[(&str, &str)] = &[
    ("x-amz-acl", "s3:x-amz-acl"),
    ("x-amz-copy-source", "s3:x-amz-copy-source"),
    ("x-amz-grant-full-control", "s3:x-amz-grant-full-control"),
    ("x-amz-grant-read", "s3:x-amz-grant-read"),
    ("x-amz-grant-read-acp", "s3:x-amz-grant-read-acp"),
    ("x-amz-grant-write", "s3:x-amz-grant-write"),
    ("x-amz-grant-write-acp", "s3:x-amz-grant-write-acp"),
    ("x-amz-metadata-directive", "s3:x-amz-metadata-directive"),
    ("x-amz-object-ownership", "s3:x-amz-object-ownership"),
    (
        "x-amz-server-side-encryption",
        "s3:x-amz-server-side-encryption",
    ),
    (
        "x-amz-server-side-encryption-aws-kms-key-id",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    ),
    (
        "x-amz-server-side-encryption-customer-algorithm",
        "s3:x-amz-server-side-encryption-customer-algorithm",
    ),
    ("x-amz-storage-class", "s3:x-amz-storage-class"),
    (
        "x-amz-website-redirect-location",
        "s3:x-amz-website-redirect-location",
    ),
    ("x-amz-object-lock-mode", "s3:object-lock-mode"),
    (
        "x-amz-object-lock-retain-until-date",
        "s3:object-lock-retain-until-date",
    ),
    ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
    ("if-match", "s3:if-match"),
    ("if-none-match", "s3:if-none-match"),
];
