//! Evaluating policies: a small one, a typical set of layers, and patterns made to be slow.

use crate::Arguments;
use crate::primitive::hmacs_of_a_verification;
use crate::report::Report;
use crate::sample::alternate;
use bowline_policy::{
    Context, Layers, NamedPolicy, Policy, PolicyKind, Request, SessionLayer, evaluate,
};
use std::hint::black_box;
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(1);

pub fn run(arguments: &Arguments, report: &mut Report) {
    for (work, layers, request, allowed) in [
        ("policy, small: 1 statement", small(), request(), true),
        (
            "policy, typical: 3 layers, 12 statements",
            typical(),
            request(),
            true,
        ),
        (
            "policy, adversarial: 40 patterns of 20 stars",
            adversarial(),
            long_request(),
            false,
        ),
    ] {
        let decided = evaluate(&layers, &request);
        assert_eq!(decided.is_allowed(), allowed, "{work}: {decided:?}");
        let (hmacs, ours) = alternate(5, BUDGET * arguments.times, hmacs_of_a_verification, || {
            black_box(evaluate(black_box(&layers), &request));
        });
        report.compare(work, &hmacs, &ours);
    }
}

fn named(name: &str, kind: PolicyKind, statements: &str) -> NamedPolicy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let policy = Policy::parse(&text, kind);
    NamedPolicy::new(name, policy.unwrap_or_else(|e| panic!("{e}: {text}")))
}

fn small() -> Layers {
    let statement =
        r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}"#;
    Layers {
        identity: vec![named("role/web/inline", PolicyKind::Identity, statement)],
        ..Layers::default()
    }
}

/// What a role of a real service looks like, narrowed by its profile, under an organisation's guardrail.
fn typical() -> Layers {
    let identity = r#"
        {"Sid":"List","Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],
         "Resource":["arn:aws:s3:::data","arn:aws:s3:::logs"],
         "Condition":{"StringLike":{"s3:prefix":["${aws:PrincipalTag/x509Subject/CN}/*","shared/*"]}}},
        {"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion","s3:GetObjectTagging"],
         "Resource":["arn:aws:s3:::data/*","arn:aws:s3:::shared/${aws:PrincipalTag/x509Subject/CN}/*"],
         "Condition":{"Bool":{"aws:SecureTransport":"true"}}},
        {"Sid":"Queue","Effect":"Allow","Action":["sqs:SendMessage","sqs:ReceiveMessage","sqs:DeleteMessage"],
         "Resource":"arn:aws:sqs:us-east-1:123456789012:jobs-*"},
        {"Sid":"Keys","Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*",
         "Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}},
        {"Sid":"Metrics","Effect":"Allow","Action":"cloudwatch:PutMetricData","Resource":"*",
         "Condition":{"StringEquals":{"cloudwatch:namespace":"web"}}},
        {"Sid":"Never","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::data/secret/*"}"#;
    let session = r#"
        {"Sid":"OnlyHere","Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"*",
         "Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}},
        {"Sid":"NoDelete","Effect":"Deny","Action":["s3:Delete*","s3:Put*"],"Resource":"*"}"#;
    let guardrail = r#"
        {"Sid":"All","Effect":"Allow","Action":"*","Resource":"*"},
        {"Sid":"Tls","Effect":"Deny","Action":"*","Resource":"*",
         "Condition":{"Bool":{"aws:SecureTransport":"false"}}},
        {"Sid":"Region","Effect":"Deny","NotAction":["iam:*","sts:*","s3:*"],"Resource":"*",
         "Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}},
        {"Sid":"Leave","Effect":"Deny","Action":"organizations:LeaveOrganization","Resource":"*"}"#;
    let session = named("profile/default/session", PolicyKind::Session, session);
    Layers {
        guardrail: Some(vec![named(
            "guardrail/base",
            PolicyKind::Guardrail,
            guardrail,
        )]),
        identity: vec![named("role/web/inline", PolicyKind::Identity, identity)],
        sessions: vec![SessionLayer::new("profile", vec![session])],
        ..Layers::default()
    }
}

/// Twenty stars with an end that never comes: a matcher that backtracks takes years over it.
fn adversarial() -> Layers {
    let pattern = format!("arn:aws:s3:::{}b", "a*".repeat(20));
    let statement =
        format!(r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"{pattern}"}}"#);
    let statements = vec![statement; 40].join(",");
    Layers {
        identity: vec![named("role/web/inline", PolicyKind::Identity, &statements)],
        ..Layers::default()
    }
}

fn request() -> Request {
    let context = Context::new()
        .with("aws:SecureTransport", "true")
        .with("aws:SourceIp", "10.1.2.3")
        .with("aws:CurrentTime", "2026-06-01T12:00:00Z")
        .with("aws:RequestedRegion", "us-east-1")
        .with("aws:PrincipalTag/x509Subject/CN", "web-1")
        .with("aws:PrincipalTag/x509Subject/OU", "s3-reader")
        .with("sts:SourceIdentity", "CN=web-1");
    let principal = "arn:aws:sts::123456789012:assumed-role/web/1f71";
    Request {
        principal: principal.parse().expect("an assumed role"),
        action: "s3:GetObject".into(),
        resource: "arn:aws:s3:::data/reports/2026/06/report.parquet".into(),
        account: "123456789012".parse().expect("12 digits"),
        context,
    }
}

/// The longest key that S3 knows, of nothing but the letter the patterns look for.
fn long_request() -> Request {
    Request {
        resource: format!("arn:aws:s3:::{}", "a".repeat(1024)),
        ..request()
    }
}
