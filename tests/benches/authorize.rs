//! Deciding a request signed with temporary credentials, in this process, on one core.

use crate::Arguments;
use crate::primitive::hmacs_of_a_verification;
use crate::report::Report;
use crate::sample::{Samples, repeat};
use crate::scene::{Scene, now};
use bowline_policy::{Context, Layers, NamedPolicy, Policy, PolicyKind, Request, evaluate};
use bowline_service::{
    Authorize, Caller, CreateSession, Operation, SessionCredentials, WireRequest, session_request,
    sign_request,
};
use bowline_sigv4::{Body, Rules, SignedRequest, hmac::Presented};
use std::hint::black_box;
use std::time::Duration;

const ROUNDS: u32 = 5;

/// Requests that are made before each round, so that making them is not counted.
const MADE: usize = 4_000;

/// The share of our CPU time that must be the HMACs'.
const BAR: f64 = 0.3;

/// Decisions a second that one core must reach.
const BAR_EACH_SECOND: f64 = 50_000.0;

const RESOURCE: &str = "arn:aws:s3:::data/reports/2026/06/report.parquet";

pub fn run(arguments: &Arguments, report: &mut Report) {
    let scene = Scene::in_memory();
    let credentials = credentials(&scene);
    let request = signed(&credentials);
    let (mut hmacs, mut service, mut direct) =
        (Samples::default(), Samples::default(), Samples::default());
    let budget = Duration::from_millis(200) * arguments.times;
    let direct_way = Direct::new(&credentials);
    for _ in 0..ROUNDS {
        hmacs.extend(repeat(1, budget, hmacs_of_a_verification));
        service.push(through_the_service(&scene, &request, arguments.times));
        direct.extend(repeat(1, budget, || direct_way.decide(&request)));
    }
    let work = "authorize through the service";
    let ratio = report.compare(work, &hmacs, &service);
    report.at_least(work, ratio, BAR);
    let each_second = 1e9 / service.cost();
    let what = "authorize through the service, a second a core";
    report.at_least(what, each_second, BAR_EACH_SECOND);
    let work = "authorize, SigV4 and policy alone";
    let ratio = report.compare(work, &hmacs, &direct);
    report.at_least(work, ratio, BAR);
    let each_second = 1e9 / direct.cost();
    let what = "authorize, SigV4 and policy alone, a second a core";
    report.at_least(what, each_second, BAR_EACH_SECOND);
}

fn credentials(scene: &Scene) -> SessionCredentials {
    let leaf = scene.leaf("web-1");
    let certificates = [leaf.issued.certificate.clone()];
    let request = session_request(
        &scene.ask(&leaf),
        "127.0.0.1",
        &certificates,
        &leaf.key,
        &leaf.issued.region,
        now(),
    );
    let create = CreateSession {
        request: request.expect("the leaf's key signs"),
    };
    let traded = create.run(&scene.service, &Caller::Nobody { source: None });
    traded.expect("the certificate is good")
}

/// A download as the AWS SDKs sign it.
fn signed(credentials: &SessionCredentials) -> WireRequest {
    let mut request = WireRequest {
        method: "GET".into(),
        target: "/data/reports/2026/06/report.parquet?versionId=3".into(),
        headers: vec![
            ("host".into(), "s3.internal.example".into()),
            ("user-agent".into(), "aws-sdk-rust/1.3.2 os/linux".into()),
            ("accept".into(), "*/*".into()),
        ],
        body: Vec::new(),
    };
    let signed = sign_request(&mut request, credentials, "us-east-1", "s3", now());
    signed.expect("the credentials sign");
    request
}

fn through_the_service(scene: &Scene, request: &WireRequest, times: u32) -> crate::sample::Sample {
    let operation = || Authorize {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        action: Some("s3:GetObject".into()),
        resource: Some(RESOURCE.into()),
        tls: true,
        ..Authorize::default()
    };
    let mut made: Vec<Authorize> = (0..MADE * times as usize).map(|_| operation()).collect();
    let calls = made.len() as u64;
    crate::sample::on_this_thread(calls, &mut || {
        // Cannot fail: as many were made as calls are.
        let operation = made.pop().expect("one for each call");
        let decided = operation.run(&scene.service, &Caller::Operator);
        let decided = decided.expect("the service answers");
        assert!(decided.allowed(), "{}", decided.reason);
    })
}

/// The two pure crates and nothing else: no token, no revocation, policies parsed beforehand.
struct Direct {
    secret: String,
    rules: Rules,
    layers: Layers,
    question: Request,
}

impl Direct {
    fn new(credentials: &SessionCredentials) -> Direct {
        let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"]}}"#;
        let policy = Policy::parse(policy, PolicyKind::Identity).expect("the policy is right");
        let principal = credentials.assumed_role_arn.parse();
        Direct {
            secret: credentials.secret_access_key.reveal().to_owned(),
            rules: Rules::for_relying_services(),
            layers: Layers {
                identity: vec![NamedPolicy::new("role/inline", policy)],
                ..Layers::default()
            },
            question: Request {
                principal: principal.expect("an assumed role"),
                action: "s3:GetObject".into(),
                resource: RESOURCE.into(),
                account: "123456789012".parse().expect("12 digits"),
                context: Context::new().with("aws:SecureTransport", "true"),
            },
        }
    }

    fn decide(&self, request: &WireRequest) {
        let signed = SignedRequest::new(
            &request.method,
            &request.target,
            &request.headers,
            Body::Unknown,
        );
        let presented = Presented::parse(&signed, &self.rules).expect("it is well-formed");
        let verified = presented.verify(&self.secret, now());
        black_box(verified.expect("the signature is right"));
        let decided = evaluate(&self.layers, &self.question);
        assert!(decided.is_allowed(), "{decided:?}");
    }
}
