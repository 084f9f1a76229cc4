//! What a request answers of what policies ask.

use super::*;

#[test]
fn what_an_object_shall_have_is_read_from_the_body() {
    let tags = b"<Tagging><TagSet><Tag><Key>team</Key><Value>red</Value></Tag></TagSet></Tagging>";
    let retention =
        b"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2030</RetainUntilDate></Retention>";
    // The headers say something else, and S3 does not read them here.
    for (request, body, action, expected) in [
        (
            "PUT /bucket/key?tagging&versionId=1 | x-amz-tagging: team=blue&env=test",
            &tags[..],
            "PutObjectTagging: s3:PutObjectVersionTagging bucket/key",
            &[
                "s3:RequestObjectTag/team=red",
                "s3:RequestObjectTagKeys=[team]",
                "s3:VersionId=1",
            ][..],
        ),
        (
            "PUT /bucket/key?retention | x-amz-object-lock-mode: GOVERNANCE | x-amz-bypass-governance-retention: true",
            retention,
            "PutObjectRetention: s3:PutObjectRetention bucket/key, s3:BypassGovernanceRetention bucket/key",
            &[
                "s3:object-lock-mode=COMPLIANCE",
                "s3:object-lock-retain-until-date=2030",
            ],
        ),
        (
            "PUT /bucket/key?legal-hold | x-amz-object-lock-legal-hold: ON",
            b"<LegalHold><Status>OFF</Status></LegalHold>",
            "PutObjectLegalHold: s3:PutObjectLegalHold bucket/key",
            &["s3:object-lock-legal-hold=OFF"],
        ),
    ] {
        assert_eq!(asked(request, Some(body)), action);
        assert_eq!(keys_with(request, Some(body)), expected, "{request}");
    }
    let twice = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag>\
        <Tag><Key>A</Key><Value>c</Value></Tag></TagSet></Tagging>";
    let refused = map("PUT /bucket/key?tagging", Some(twice)).unwrap_err();
    assert_eq!(refused.code(), "s3_body_malformed");
}

#[track_caller]
fn keys(line: &str) -> Vec<String> {
    keys_with(line, None)
}

#[track_caller]
fn keys_with(line: &str, body: Option<&[u8]>) -> Vec<String> {
    let call = map(line, body).unwrap_or_else(|error| panic!("{line}: {error}"));
    let text = |value: &ContextValue| match value {
        ContextValue::One(value) => value.clone(),
        ContextValue::Many(values) => format!("[{}]", values.join(",")),
    };
    let keys = call.questions[0].keys.iter();
    keys.map(|(key, value)| format!("{key}={}", text(value)))
        .collect()
}

#[test]
fn a_request_answers_what_policies_ask_about_it() {
    for (request, expected) in [
        (
            "GET /bucket?prefix=home%2Falice%2F&delimiter=%2F&max-keys=5",
            &["s3:delimiter=/", "s3:max-keys=5", "s3:prefix=home/alice/"][..],
        ),
        ("GET /bucket?list-type=2&prefix=", &["s3:prefix="]),
        ("GET /bucket?versions&prefix=a", &["s3:prefix=a"]),
        ("GET /bucket", &[]),
        ("GET /bucket/key?versionId=7", &["s3:VersionId=7"]),
        (
            "PUT /bucket/key | x-amz-acl: private | x-amz-server-side-encryption: aws:kms",
            &[
                "s3:ObjectCreationOperation=true",
                "s3:x-amz-acl=private",
                "s3:x-amz-server-side-encryption=aws:kms",
            ],
        ),
        (
            "PUT /bucket/key?x-amz-acl=private",
            &["s3:ObjectCreationOperation=true", "s3:x-amz-acl=private"],
        ),
        (
            "PUT /bucket/key | x-amz-tagging: team=a+b&env=x%26y",
            &[
                "s3:ObjectCreationOperation=true",
                "s3:RequestObjectTag/env=x&y",
                "s3:RequestObjectTag/team=a b",
                "s3:RequestObjectTagKeys=[team,env]",
            ],
        ),
        (
            "PUT /bucket/key | x-amz-storage-class: GLACIER",
            &[
                "s3:ObjectCreationOperation=true",
                "s3:x-amz-storage-class=GLACIER",
            ],
        ),
        (
            "PUT /bucket/key | if-none-match: *",
            &["s3:ObjectCreationOperation=true", "s3:if-none-match=*"],
        ),
        // A reader's conditions are nobody's business.
        ("GET /bucket/key | if-none-match: x", &[]),
        (
            "PUT /bucket/key | x-amz-copy-source: abc/b",
            &[
                "s3:ObjectCreationOperation=true",
                "s3:x-amz-copy-source=abc/b",
            ],
        ),
        // What an operation passes over answers nothing.
        (
            "PUT /bucket/key?partNumber=1&uploadId=u | x-amz-server-side-encryption: AES256 | x-amz-tagging: a=b",
            &["s3:ObjectCreationOperation=false"],
        ),
        (
            "DELETE /bucket/key | x-amz-tagging: a=b | x-amz-storage-class: STANDARD",
            &[],
        ),
        (
            "PUT /bucket/key?acl | x-amz-acl: private | x-amz-storage-class: STANDARD",
            &["s3:x-amz-acl=private"],
        ),
    ] {
        assert_eq!(keys(request), expected, "{request}");
    }
}
