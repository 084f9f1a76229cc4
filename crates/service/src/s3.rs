//! What a signed S3 request asks for: the actions, the resources and the condition keys that policies speak of.
//!
//! S3 names its operations nowhere in a request. They follow from the method, from whether the path names a bucket or
//! an object, from the query, and for copies from a header. The rules here, where S3 or its servers leave a choice:
//!
//! - Only what stands in the table of [`routes`] is mapped. An unknown subresource, or two of them, is refused: a
//!   server behind us could know it, and do more than was decided on.
//! - The path is percent-decoded once, as the signature covers it, so `%2F` is a slash. Keys are taken literally after
//!   that. A key with an empty, `.` or `..` segment is refused, and so is one with a control character: on a file
//!   system `a//b`, `a/./b` and `a/x/../b` are all `a/b`, and a policy would be asked about another name than the one
//!   that is opened. One closing slash is a name like others.
//! - A parameter or an `x-amz-*` header that stands twice is refused, and so is a bare `+` in a query, which some
//!   servers read as a space and others do not.
//! - Everything that an operation does needs to be allowed: a copy reads its source, a tag or an ACL in a header is
//!   set like any other.
//! - `DeleteObjects` asks about each key of its body. Without the body it is refused: a question about `bucket/*`
//!   would overlook what a policy denies for single keys. So are `PutObjectTagging`, `PutObjectRetention` and
//!   `PutObjectLegalHold`, whose condition keys stand in the body.
//! - A header answers a condition key only where the operation goes by it.

mod bodies;
mod deletion;
mod document;
mod headers;
mod routes;
mod target;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::authorization::ContextValue;
use headers::Headers;
use routes::{ROUTES, Route};
pub(crate) use target::decode;
use target::{Place, Target};

/// An S3 request as it came over the wire.
#[derive(Clone, Copy)]
pub struct S3Request<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// The raw path and query, exactly as sent.
    pub target: &'a str,
    /// The headers in order, repeats kept.
    pub headers: &'a [(String, String)],
    /// The body where it is known. Some operations need it: see [`S3Error::BodyNeeded`].
    pub body: Option<&'a [u8]>,
    /// The names that the S3 service answers under. `bucket.NAME` in the `Host` header names a bucket.
    pub hosts: &'a [String],
    /// The partition of every ARN.
    pub partition: &'a str,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Call {
    /// The operation, as S3's own reference calls it: `PutObject`.
    pub operation: &'static str,
    /// The bucket.
    pub bucket: Option<String>,
    /// The key, decoded.
    pub key: Option<String>,
    /// What must be allowed, all of it.
    pub questions: Vec<S3Question>,
}

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Question {
    /// `s3:PutObject`.
    pub action: &'static str,
    /// `arn:aws:s3:::bucket/key`.
    pub resource: String,
    /// Condition keys that the request answers: `s3:prefix`.
    pub keys: BTreeMap<String, ContextValue>,
}

/// Why a request is not mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// Not a path of S3.
    #[error("the path is not one of S3: {reason}")]
    Path {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not a bucket's name.
    #[error(
        "{bucket:?} is not a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, a letter or a digit at both ends"
    )]
    Bucket {
        /// The name.
        bucket: String,
    },
    /// Not a key that can be decided on.
    #[error("the key {key:?} is not decided on: {reason}")]
    Key {
        /// The key.
        key: String,
        /// The rule.
        reason: &'static str,
    },
    /// Longer than any key.
    #[error("the key has {bytes} bytes and no key has more than {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A query that two servers could read in two ways.
    #[error("the query is not read: {reason}")]
    Query {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A parameter or header that stands twice.
    #[error("{name} stands more than once")]
    Repeated {
        /// Its name.
        name: String,
    },
    /// A parameter of no operation in the table.
    #[error("the parameter {name:?} belongs to no operation that is mapped")]
    UnknownParameter {
        /// Its name.
        name: String,
    },
    /// Known parameters that no operation takes together, or an operation that is not mapped.
    #[error("{method} of {place} with {parameters} is no operation that is mapped")]
    UnknownOperation {
        /// The method.
        method: String,
        /// The service, a bucket or an object.
        place: &'static str,
        /// The names of the parameters.
        parameters: String,
    },
    /// A form of a browser carries its own policy and signature, in its body.
    #[error("uploads by a form are not mapped: their key and their signature stand in the body")]
    FormUpload,
    /// A header whose value decides, and does not read.
    #[error("{name} does not read: {reason}")]
    Header {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The keys to delete, or what an object shall have, stand in the body.
    #[error("{operation} is decided by what its body says: the body is needed")]
    BodyNeeded {
        /// The operation.
        operation: &'static str,
    },
    /// The body of such an operation.
    #[error("the body does not read: {reason}")]
    Body {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl S3Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            S3Error::Path { .. } => "s3_path_malformed",
            S3Error::Bucket { .. } => "s3_bucket_name",
            S3Error::Key { .. } => "s3_key_refused",
            S3Error::KeyTooLong { .. } => "s3_key_too_long",
            S3Error::Query { .. } => "s3_query_ambiguous",
            S3Error::Repeated { .. } => "s3_repeated",
            S3Error::UnknownParameter { .. } => "s3_parameter_unknown",
            S3Error::UnknownOperation { .. } => "s3_operation_unknown",
            S3Error::FormUpload => "s3_form_upload",
            S3Error::Header { .. } => "s3_header_malformed",
            S3Error::BodyNeeded { .. } => "s3_body_needed",
            S3Error::Body { .. } => "s3_body_malformed",
        }
    }

    /// The code and the status that S3 gives for it.
    pub fn s3_code(&self) -> (&'static str, u16) {
        match self {
            S3Error::Path { .. } | S3Error::Key { .. } => ("InvalidURI", 400),
            S3Error::Bucket { .. } => ("InvalidBucketName", 400),
            S3Error::KeyTooLong { .. } => ("KeyTooLongError", 400),
            S3Error::Query { .. } | S3Error::Repeated { .. } => ("InvalidRequest", 400),
            S3Error::Header { .. } => ("InvalidArgument", 400),
            S3Error::UnknownParameter { .. }
            | S3Error::UnknownOperation { .. }
            | S3Error::FormUpload => ("NotImplemented", 501),
            S3Error::BodyNeeded { .. } => ("MissingRequestBodyError", 400),
            S3Error::Body { .. } => ("MalformedXML", 400),
        }
    }
}

/// Says what a request asks for. Decides nothing, and believes nothing: the signature is somebody else's question.
pub fn map_s3(request: &S3Request<'_>) -> Result<S3Call, S3Error> {
    // 1. What it is about, and how it is put.
    let headers = Headers(Cow::Borrowed(request.headers));
    let target = Target::read(request.target, &headers, request.hosts)?;
    if request.method == "POST" && headers.is_form()? {
        return Err(S3Error::FormUpload);
    }
    headers.check_operation()?;
    let fields = headers.with_query(&target)?;
    // 2. The one row of the table.
    let copies = fields.get("x-amz-copy-source")?.is_some();
    let route = find(request.method, &target, copies)?;
    check_fixed(route, &target)?;
    // 3. Its questions.
    let questions = ask(request, route, &target, &fields)?;
    Ok(S3Call {
        operation: route.operation,
        bucket: target.place.bucket().map(str::to_owned),
        key: target.place.key().map(str::to_owned),
        questions,
    })
}

fn find(method: &str, target: &Target, copies: bool) -> Result<&'static Route, S3Error> {
    let row = ROUTES.iter().find(|route| {
        route.method == method
            && route.scope == target.place.scope()
            && route.copies == copies
            && route.needs.iter().all(|name| target.has(name))
            && target.names().all(|name| route.takes(name))
    });
    let refuse = || {
        let known = |name: &str| ROUTES.iter().any(|route| route.takes(name));
        if let Some(name) = target.names().find(|name| !known(name)) {
            return S3Error::UnknownParameter { name: name.into() };
        }
        let mut parameters: Vec<&str> = target.names().collect();
        if copies {
            parameters.push("x-amz-copy-source");
        }
        S3Error::UnknownOperation {
            method: method.into(),
            place: target.place.scope().noun(),
            parameters: match parameters.as_slice() {
                [] => "no parameter".into(),
                names => names.join(", "),
            },
        }
    };
    row.ok_or_else(refuse)
}

/// Some parameters name an operation by their value, or repeat its name.
fn check_fixed(route: &Route, target: &Target) -> Result<(), S3Error> {
    for (name, value) in [("list-type", "2"), ("select-type", "2")] {
        if target.value(name).is_some_and(|given| given != value) {
            return Err(S3Error::Query {
                reason: "list-type and select-type are 2 where they are given",
            });
        }
    }
    if target
        .value("x-id")
        .is_some_and(|given| given != route.operation)
    {
        return Err(S3Error::Query {
            reason: "x-id names another operation than the rest of the request",
        });
    }
    Ok(())
}

fn ask(
    request: &S3Request<'_>,
    route: &'static Route,
    target: &Target,
    fields: &Headers<'_>,
) -> Result<Vec<S3Question>, S3Error> {
    let arn = |rest: &str| format!("arn:{}:s3:::{rest}", request.partition);
    let bucket = target.place.bucket().unwrap_or_default();
    let mut keys = headers::condition_keys(route, target, fields)?;
    let added = headers::added_actions(route, fields)?;
    let body = || {
        request.body.ok_or(S3Error::BodyNeeded {
            operation: route.operation,
        })
    };
    match route.operation {
        "DeleteObjects" => {
            let mut questions = Vec::new();
            for object in deletion::read(body()?)? {
                target::check_key(&object.key)?;
                let resource = arn(&format!("{bucket}/{}", object.key));
                let mut keys = keys.clone();
                let action = match object.version {
                    Some(version) => {
                        keys.insert("s3:VersionId".into(), ContextValue::One(version));
                        "s3:DeleteObjectVersion"
                    }
                    None => "s3:DeleteObject",
                };
                for action in [action].into_iter().chain(added.iter().copied()) {
                    questions.push(S3Question {
                        action,
                        resource: resource.clone(),
                        keys: keys.clone(),
                    });
                }
            }
            return Ok(questions);
        }
        "PutObjectTagging" => headers::set_tags(bodies::tags(body()?)?, &mut keys)
            .map_err(|reason| S3Error::Body { reason })?,
        "PutObjectRetention" => bodies::retention(body()?, &mut keys)?,
        "PutObjectLegalHold" => bodies::legal_hold(body()?, &mut keys)?,
        _ => {}
    }
    let resource = match &target.place {
        // Policies write `*` or `arn:aws:s3:::*` for it; both cover this.
        Place::Service => arn("*"),
        Place::Bucket(bucket) => arn(bucket),
        Place::Object { bucket, key } => arn(&format!("{bucket}/{key}")),
    };
    let actions = if target.has("versionId") && !route.versioned.is_empty() {
        route.versioned
    } else {
        route.actions
    };
    let mut questions: Vec<S3Question> = actions
        .iter()
        .copied()
        .chain(added)
        .map(|action| S3Question {
            action,
            resource: resource.clone(),
            keys: keys.clone(),
        })
        .collect();
    if let Some(source) = fields.get("x-amz-copy-source")? {
        let source = target::copy_source(source)?;
        let mut keys = BTreeMap::new();
        let action = match source.version {
            Some(version) => {
                keys.insert("s3:VersionId".into(), ContextValue::One(version));
                "s3:GetObjectVersion"
            }
            None => "s3:GetObject",
        };
        questions.push(S3Question {
            action,
            resource: arn(&format!("{}/{}", source.bucket, source.key)),
            keys,
        });
    }
    Ok(questions)
}

/// The longest key in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
