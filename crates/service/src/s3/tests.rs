//! The table: a request in one line, what must be allowed for it in another.

mod condition_keys;

use super::*;

/// Writes a request as `METHOD target [header: value]…` and its questions as `action resource` lines.
fn map(line: &str, body: Option<&[u8]>) -> Result<S3Call, S3Error> {
    let mut parts = line.split(" | ");
    // Cannot fail: a split has a first part.
    let (method, target) = parts.next().unwrap().split_once(' ').unwrap();
    let mut headers = vec![];
    for header in parts {
        let (name, value) = header.split_once(": ").unwrap();
        headers.push((name.to_owned(), value.to_owned()));
    }
    map_s3(&S3Request {
        method,
        target,
        headers: &headers,
        body,
        hosts: &[
            "s3.test".into(),
            "eu.s3.test".into(),
            "Ported.test:9000".into(),
        ],
        partition: "aws",
    })
}

#[track_caller]
fn asked(line: &str, body: Option<&[u8]>) -> String {
    let call = map(line, body).unwrap_or_else(|error| panic!("{line}: {error}"));
    let questions = call.questions.iter().map(|question| {
        let resource = question.resource.strip_prefix("arn:aws:s3:::").unwrap();
        format!("{} {resource}", question.action)
    });
    let questions: Vec<String> = questions.collect();
    format!("{}: {}", call.operation, questions.join(", "))
}

/// Request, operation with actions and resources.
const MAPPED: &[(&str, &str)] = &[
    ("GET /", "ListBuckets: s3:ListAllMyBuckets *"),
    (
        "GET /?max-buckets=5&prefix=a",
        "ListBuckets: s3:ListAllMyBuckets *",
    ),
    (
        "GET /?x-id=ListBuckets",
        "ListBuckets: s3:ListAllMyBuckets *",
    ),
    // Objects.
    ("GET /bucket/key", "GetObject: s3:GetObject bucket/key"),
    (
        "GET /bucket/a/b/c.txt",
        "GetObject: s3:GetObject bucket/a/b/c.txt",
    ),
    (
        "GET /bucket/key?x-id=GetObject",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key?partNumber=2",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key?response-content-type=a%2Fb",
        "GetObject: s3:GetObject bucket/key",
    ),
    ("HEAD /bucket/key", "HeadObject: s3:GetObject bucket/key"),
    (
        "GET /bucket/key?versionId=7",
        "GetObject: s3:GetObjectVersion bucket/key",
    ),
    (
        "HEAD /bucket/key?versionId=7",
        "HeadObject: s3:GetObjectVersion bucket/key",
    ),
    ("PUT /bucket/key", "PutObject: s3:PutObject bucket/key"),
    (
        "PUT /bucket/folder/",
        "PutObject: s3:PutObject bucket/folder/",
    ),
    (
        "PUT /bucket/key | x-amz-acl: private",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectAcl bucket/key",
    ),
    (
        "PUT /bucket/key | X-Amz-Grant-Read: id=1",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectAcl bucket/key",
    ),
    (
        "PUT /bucket/key?x-amz-acl=public-read",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectAcl bucket/key",
    ),
    (
        "PUT /bucket/key | x-amz-tagging: a=b",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectTagging bucket/key",
    ),
    (
        "PUT /bucket/key | x-amz-object-lock-mode: GOVERNANCE | x-amz-object-lock-retain-until-date: 2030",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectRetention bucket/key",
    ),
    (
        "PUT /bucket/key | x-amz-object-lock-legal-hold: ON",
        "PutObject: s3:PutObject bucket/key, s3:PutObjectLegalHold bucket/key",
    ),
    (
        "DELETE /bucket/key",
        "DeleteObject: s3:DeleteObject bucket/key",
    ),
    (
        "DELETE /bucket/key?versionId=7 | x-amz-bypass-governance-retention: true",
        "DeleteObject: s3:DeleteObjectVersion bucket/key, s3:BypassGovernanceRetention bucket/key",
    ),
    (
        "DELETE /bucket/key?versionId=7&x-amz-bypass-governance-retention=True",
        "DeleteObject: s3:DeleteObjectVersion bucket/key, s3:BypassGovernanceRetention bucket/key",
    ),
    (
        "DELETE /bucket/key?versionId=7 | x-amz-bypass-governance-retention: false",
        "DeleteObject: s3:DeleteObjectVersion bucket/key",
    ),
    (
        "DELETE /bucket/key?versionId=null",
        "DeleteObject: s3:DeleteObjectVersion bucket/key",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: /other/a%20b",
        "CopyObject: s3:PutObject bucket/key, s3:GetObject other/a b",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: other/a?versionId=3",
        "CopyObject: s3:PutObject bucket/key, s3:GetObjectVersion other/a",
    ),
    (
        "PUT /bucket/key?partNumber=1&uploadId=u | x-amz-copy-source: other/a",
        "UploadPartCopy: s3:PutObject bucket/key, s3:GetObject other/a",
    ),
    (
        "GET /bucket/key?attributes",
        "GetObjectAttributes: s3:GetObject bucket/key, s3:GetObjectAttributes bucket/key",
    ),
    (
        "GET /bucket/key?attributes&versionId=1",
        "GetObjectAttributes: s3:GetObjectVersion bucket/key, s3:GetObjectVersionAttributes bucket/key",
    ),
    (
        "GET /bucket/key?acl",
        "GetObjectAcl: s3:GetObjectAcl bucket/key",
    ),
    (
        "GET /bucket/key?acl&versionId=1",
        "GetObjectAcl: s3:GetObjectVersionAcl bucket/key",
    ),
    (
        "PUT /bucket/key?acl",
        "PutObjectAcl: s3:PutObjectAcl bucket/key",
    ),
    (
        "PUT /bucket/key?acl=",
        "PutObjectAcl: s3:PutObjectAcl bucket/key",
    ),
    (
        "GET /bucket/key?tagging",
        "GetObjectTagging: s3:GetObjectTagging bucket/key",
    ),
    (
        "DELETE /bucket/key?tagging",
        "DeleteObjectTagging: s3:DeleteObjectTagging bucket/key",
    ),
    (
        "GET /bucket/key?retention",
        "GetObjectRetention: s3:GetObjectRetention bucket/key",
    ),
    (
        "GET /bucket/key?torrent",
        "GetObjectTorrent: s3:GetObjectTorrent bucket/key",
    ),
    (
        "POST /bucket/key?restore",
        "RestoreObject: s3:RestoreObject bucket/key",
    ),
    (
        "POST /bucket/key?select&select-type=2",
        "SelectObjectContent: s3:GetObject bucket/key",
    ),
    // Uploads in parts.
    (
        "POST /bucket/key?uploads",
        "CreateMultipartUpload: s3:PutObject bucket/key",
    ),
    (
        "POST /bucket/key?uploads | x-amz-acl: private",
        "CreateMultipartUpload: s3:PutObject bucket/key, s3:PutObjectAcl bucket/key",
    ),
    (
        "PUT /bucket/key?partNumber=1&uploadId=abc",
        "UploadPart: s3:PutObject bucket/key",
    ),
    (
        "PUT /bucket/key?uploadId=abc&partNumber=1&x-id=UploadPart",
        "UploadPart: s3:PutObject bucket/key",
    ),
    (
        "POST /bucket/key?uploadId=abc",
        "CompleteMultipartUpload: s3:PutObject bucket/key",
    ),
    (
        "DELETE /bucket/key?uploadId=abc",
        "AbortMultipartUpload: s3:AbortMultipartUpload bucket/key",
    ),
    (
        "GET /bucket/key?uploadId=abc&max-parts=9",
        "ListParts: s3:ListMultipartUploadParts bucket/key",
    ),
    // Buckets.
    ("GET /bucket", "ListObjects: s3:ListBucket bucket"),
    ("GET /bucket/", "ListObjects: s3:ListBucket bucket"),
    (
        "GET /bucket?prefix=a%2F&delimiter=%2F",
        "ListObjects: s3:ListBucket bucket",
    ),
    (
        "GET /bucket/?list-type=2&prefix=&encoding-type=url",
        "ListObjectsV2: s3:ListBucket bucket",
    ),
    (
        "GET /bucket?versions",
        "ListObjectVersions: s3:ListBucketVersions bucket",
    ),
    (
        "GET /bucket?uploads",
        "ListMultipartUploads: s3:ListBucketMultipartUploads bucket",
    ),
    ("HEAD /bucket", "HeadBucket: s3:ListBucket bucket"),
    ("PUT /bucket", "CreateBucket: s3:CreateBucket bucket"),
    (
        "PUT /bucket | x-amz-acl: private",
        "CreateBucket: s3:CreateBucket bucket, s3:PutBucketAcl bucket",
    ),
    (
        "PUT /bucket | x-amz-bucket-object-lock-enabled: true",
        "CreateBucket: s3:CreateBucket bucket, s3:PutBucketObjectLockConfiguration bucket, s3:PutBucketVersioning bucket",
    ),
    (
        "PUT /bucket | x-amz-object-ownership: ObjectWriter",
        "CreateBucket: s3:CreateBucket bucket, s3:PutBucketOwnershipControls bucket",
    ),
    ("DELETE /bucket", "DeleteBucket: s3:DeleteBucket bucket"),
    (
        "GET /bucket?location",
        "GetBucketLocation: s3:GetBucketLocation bucket",
    ),
    ("GET /bucket?acl", "GetBucketAcl: s3:GetBucketAcl bucket"),
    ("PUT /bucket?acl", "PutBucketAcl: s3:PutBucketAcl bucket"),
    (
        "GET /bucket?policy",
        "GetBucketPolicy: s3:GetBucketPolicy bucket",
    ),
    (
        "PUT /bucket?policy",
        "PutBucketPolicy: s3:PutBucketPolicy bucket",
    ),
    (
        "DELETE /bucket?policy",
        "DeleteBucketPolicy: s3:DeleteBucketPolicy bucket",
    ),
    (
        "GET /bucket?policyStatus",
        "GetBucketPolicyStatus: s3:GetBucketPolicyStatus bucket",
    ),
    (
        "GET /bucket?versioning",
        "GetBucketVersioning: s3:GetBucketVersioning bucket",
    ),
    (
        "PUT /bucket?versioning",
        "PutBucketVersioning: s3:PutBucketVersioning bucket",
    ),
    (
        "GET /bucket?lifecycle",
        "GetBucketLifecycleConfiguration: s3:GetLifecycleConfiguration bucket",
    ),
    (
        "DELETE /bucket?lifecycle",
        "DeleteBucketLifecycle: s3:PutLifecycleConfiguration bucket",
    ),
    (
        "GET /bucket?tagging",
        "GetBucketTagging: s3:GetBucketTagging bucket",
    ),
    (
        "DELETE /bucket?cors",
        "DeleteBucketCors: s3:PutBucketCORS bucket",
    ),
    (
        "GET /bucket?encryption",
        "GetBucketEncryption: s3:GetEncryptionConfiguration bucket",
    ),
    (
        "PUT /bucket?notification",
        "PutBucketNotificationConfiguration: s3:PutBucketNotification bucket",
    ),
    (
        "GET /bucket?object-lock",
        "GetObjectLockConfiguration: s3:GetBucketObjectLockConfiguration bucket",
    ),
    (
        "GET /bucket?inventory&id=1",
        "GetBucketInventoryConfiguration: s3:GetInventoryConfiguration bucket",
    ),
    (
        "GET /bucket?inventory",
        "ListBucketInventoryConfigurations: s3:GetInventoryConfiguration bucket",
    ),
    (
        "DELETE /bucket?publicAccessBlock",
        "DeletePublicAccessBlock: s3:PutBucketPublicAccessBlock bucket",
    ),
    // How a path is read.
    ("GET /bucket/a%20b", "GetObject: s3:GetObject bucket/a b"),
    ("GET /bucket/a+b", "GetObject: s3:GetObject bucket/a+b"),
    ("GET /bucket/a%2Fb", "GetObject: s3:GetObject bucket/a/b"),
    ("GET /bucket%2Fkey", "GetObject: s3:GetObject bucket/key"),
    (
        "GET /bucket/a%252Fb",
        "GetObject: s3:GetObject bucket/a%2Fb",
    ),
    ("GET /bucket/%C3%A9", "GetObject: s3:GetObject bucket/é"),
    ("GET /bucket/a*?", "GetObject: s3:GetObject bucket/a*"),
    ("GET /bucket/...", "GetObject: s3:GetObject bucket/..."),
    // Virtual hosts.
    (
        "GET /key | Host: bucket.s3.test",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /key | Host: bucket.s3.test:9000",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /mine/key | Host: bucket.s3.test.",
        "GetObject: s3:GetObject bucket/mine/key",
    ),
    (
        "GET /mine/key | Host: bucket.s3.test.:9000",
        "GetObject: s3:GetObject bucket/mine/key",
    ),
    (
        "GET /mine/key | Host: bucket.ported.test:9000",
        "GetObject: s3:GetObject bucket/mine/key",
    ),
    (
        "GET /key | host: BUCKET.S3.TEST",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET / | Host: bucket.s3.test",
        "ListObjects: s3:ListBucket bucket",
    ),
    (
        "GET /key | Host: bucket.eu.s3.test",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key | Host: eu.s3.test",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key | Host: s3.test",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key | Host: 127.0.0.1:9000",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /bucket/key | Host: bucket.else.test",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "GET /a.b/key | Host: a.b.s3.test",
        "GetObject: s3:GetObject a.b/a.b/key",
    ),
    (
        "GET http://bucket.s3.test/key",
        "GetObject: s3:GetObject bucket/key",
    ),
    // Presigned: the parameters of the signature are the verifier's.
    (
        "GET /bucket/key?X-Amz-Algorithm=A&X-Amz-Credential=C&X-Amz-Date=D&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Security-Token=T&X-Amz-Signature=S",
        "GetObject: s3:GetObject bucket/key",
    ),
    (
        "PUT /bucket/key?X-Amz-Signature=S&x-amz-meta-a=b&X-Amz-Checksum-Crc32=x",
        "PutObject: s3:PutObject bucket/key",
    ),
];

#[test]
fn every_row_asks_what_s3_asks() {
    for (request, expected) in MAPPED {
        assert_eq!(asked(request, None), *expected, "{request}");
    }
    assert!(MAPPED.len() >= 80, "{}", MAPPED.len());
}

/// Request, code of S3.
const REFUSED: &[(&str, &str)] = &[
    ("GET /bucket/key?unknown", "NotImplemented"),
    ("GET /bucket/key?ACL", "NotImplemented"),
    ("GET /bucket?acl&policy", "NotImplemented"),
    ("GET /bucket/key?policy", "NotImplemented"),
    ("GET /bucket/key?acl&tagging", "NotImplemented"),
    ("PUT /bucket/key?partNumber=1", "NotImplemented"),
    ("PUT /bucket/key?renameObject", "NotImplemented"),
    ("PUT /bucket/key?versionId=1", "NotImplemented"),
    ("POST /bucket/key", "NotImplemented"),
    ("POST /bucket", "NotImplemented"),
    (
        "POST /bucket | content-type: multipart/form-data; boundary=x",
        "NotImplemented",
    ),
    (
        "POST /bucket?delete | content-type: Multipart/Form-Data",
        "NotImplemented",
    ),
    ("OPTIONS /bucket/key", "NotImplemented"),
    ("HEAD /", "NotImplemented"),
    ("PATCH /bucket/key", "NotImplemented"),
    ("get /bucket/key", "NotImplemented"),
    ("GET /bucket?session", "NotImplemented"),
    ("GET /bucket/key | x-amz-copy-source: a/b", "NotImplemented"),
    (
        "PUT /bucket/key?acl | x-amz-copy-source: abc/b",
        "NotImplemented",
    ),
    (
        "PUT /bucket/key?x-amz-copy-source=abc%2Fb",
        "NotImplemented",
    ),
    ("GET /bucket/key?x-id=DeleteObject", "InvalidRequest"),
    ("GET /bucket?list-type=1", "InvalidRequest"),
    ("GET /bucket?prefix=a&prefix=b", "InvalidRequest"),
    ("GET /bucket?prefix=a&prefi%78=b", "InvalidRequest"),
    ("GET /bucket?prefix=a+b", "InvalidRequest"),
    ("GET /bucket?prefix=%zz", "InvalidRequest"),
    ("GET /bucket?prefix=%FF", "InvalidRequest"),
    (
        "PUT /bucket/key | x-amz-acl: a | X-Amz-Acl: b",
        "InvalidRequest",
    ),
    (
        "PUT /bucket/key?x-amz-acl=a | x-amz-acl: a",
        "InvalidRequest",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/b | x-amz-copy-source: abc/c",
        "InvalidRequest",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: bucket",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/a%3FversionId=1",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/a?versionId=",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/a?other=1",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: arn:aws:s3:us-east-1:1:accesspoint/a/object/b",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/a+b",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/secret#b",
        "InvalidArgument",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: abc/x/../b",
        "InvalidURI",
    ),
    (
        "PUT /bucket/key | x-amz-copy-source: //b",
        "InvalidBucketName",
    ),
    (
        "PUT /bucket/key | x-amz-tagging: a=b&A=c",
        "InvalidArgument",
    ),
    ("PUT /bucket/key | x-amz-tagging: =c", "InvalidArgument"),
    ("GET /bucket/a/../b", "InvalidURI"),
    ("GET /bucket/a/%2E%2E/b", "InvalidURI"),
    ("GET /bucket/..", "InvalidURI"),
    ("GET /bucket/./a", "InvalidURI"),
    ("GET /bucket//a", "InvalidURI"),
    ("GET /bucket/a//b", "InvalidURI"),
    ("GET /bucket/a%2F%2Fb", "InvalidURI"),
    ("GET /bucket/a//", "InvalidURI"),
    ("GET /bucket/a%00", "InvalidURI"),
    ("GET /bucket/a%0A", "InvalidURI"),
    ("GET /bucket/%FF", "InvalidURI"),
    ("GET /bucket/%G1", "InvalidURI"),
    ("GET /bucket/%+1", "InvalidURI"),
    ("GET //bucket/key", "InvalidURI"),
    ("GET ftp://s3.test/bucket/key", "InvalidURI"),
    ("GET /Bucket/key", "InvalidBucketName"),
    ("GET /bu/key", "InvalidBucketName"),
    ("GET /-bucket/key", "InvalidBucketName"),
    ("GET /buck..et/key", "InvalidBucketName"),
    ("GET /../key", "InvalidBucketName"),
    ("GET /buck%00et/key", "InvalidBucketName"),
    ("GET /key | host: a_b.s3.test", "InvalidBucketName"),
    (
        "DELETE /bucket/key | x-minio-force-delete: true",
        "InvalidArgument",
    ),
    (
        "GET /bucket/key | X-HTTP-Method-Override: DELETE",
        "InvalidArgument",
    ),
    ("POST /bucket?delete", "MissingRequestBodyError"),
    ("PUT /bucket/key?tagging", "MissingRequestBodyError"),
    ("PUT /bucket/key?retention", "MissingRequestBodyError"),
    ("PUT /bucket/key?legal-hold", "MissingRequestBodyError"),
];

#[test]
fn what_is_not_in_the_table_is_refused() {
    for (request, code) in REFUSED {
        let error = match map(request, None) {
            Err(error) => error,
            Ok(call) => panic!("{request} became {call:?}"),
        };
        assert_eq!(error.s3_code().0, *code, "{request}: {error}");
    }
}

#[test]
fn a_key_may_have_1024_bytes() {
    let long = format!("GET /bucket/{}", "k".repeat(KEY_BYTES_MAX));
    assert!(map(&long, None).is_ok());
    let longer = map(&format!("{long}k"), None).unwrap_err();
    assert_eq!(longer.s3_code().0, "KeyTooLongError");
}

#[test]
fn a_deletion_asks_about_every_key() {
    let body = b"<Delete><Object><Key>a</Key></Object>\
        <Object><Key>secret/b</Key><VersionId>2</VersionId></Object></Delete>";
    assert_eq!(
        asked("POST /bucket?delete", Some(body)),
        "DeleteObjects: s3:DeleteObject bucket/a, s3:DeleteObjectVersion bucket/secret/b"
    );
    assert_eq!(
        asked(
            "POST /bucket?delete | x-amz-bypass-governance-retention: true",
            Some(b"<Delete><Object><Key>a</Key></Object></Delete>")
        ),
        "DeleteObjects: s3:DeleteObject bucket/a, s3:BypassGovernanceRetention bucket/a"
    );
    let climbing = b"<Delete><Object><Key>a/../secret</Key></Object></Delete>";
    let refused = map("POST /bucket?delete", Some(climbing)).unwrap_err();
    assert_eq!(refused.s3_code().0, "InvalidURI");
}

#[test]
fn no_request_fits_two_rows() {
    // Rows for one method and scope differ in their parameters: what one needs, the other does not take.
    for (index, one) in ROUTES.iter().enumerate() {
        for other in &ROUTES[index + 1..] {
            if (one.method, one.scope, one.copies) != (other.method, other.scope, other.copies) {
                continue;
            }
            let both = |a: &Route, b: &Route| a.needs.iter().all(|name| b.takes(name));
            assert!(
                !(both(one, other) && both(other, one)),
                "{} and {}",
                one.operation,
                other.operation
            );
        }
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes, the answer names no other bucket and key than the path does, or there is none.
        #[test]
        fn any_request_is_mapped_or_refused(
            method in "(GET|PUT|HEAD|POST|DELETE)",
            path in "(/[a-z.%/2EF]{0,20}){0,4}",
            query in "[a-zA-Z0-9=&%+-]{0,20}",
        ) {
            let target = format!("/bucket{path}?{query}");
            let line = format!("{method} {target}");
            if let Ok(call) = map(&line, None) {
                prop_assert!(!call.questions.is_empty());
                if let Some(key) = &call.key {
                    prop_assert!(!key.split('/').any(|part| part == ".." || part == "."));
                    prop_assert!(!key.contains("//"));
                }
            }
        }

        /// Reading the list of keys never panics.
        #[test]
        fn any_body_is_read_or_refused(body in "[<>/&;#xA-Za-z ]{0,60}") {
            let _ = deletion::read(body.as_bytes());
            let _ = deletion::read(format!("<Delete>{body}</Delete>").as_bytes());
        }
    }
}
