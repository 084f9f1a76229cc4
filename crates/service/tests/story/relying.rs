//! Relying services: what a request of S3 asks for, how long presigned URLs live, and keys to verify by oneself.

use bowline_service::{
    Authorization, Authorize, Caller, Channel, Clock, CreateRole, DerivedKey, GetSigningKey,
    Operation, RevocationReason, RevokeCertificate, SessionCredentials, SigningKeyAnswer,
    WireRequest, presigned_url, sign_request,
};
use bowline_sigv4::{SigningKey, hmac::Presented};
use chrono::TimeDelta;

use crate::OPERATOR;
use crate::world::World;

/// Credentials of a role with these statements.
fn session(world: &World, name: &str, statements: &str) -> SessionCredentials {
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let role = CreateRole {
        name: name.into(),
        policy: Some(policy),
        ..CreateRole::default()
    };
    role.run(&world.service, &OPERATOR).unwrap();
    world.exchange(&world.issue(name, &[name]), name).unwrap()
}

const BATCH: &str = r#"
    {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/batch/*"},
    {"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::data",
     "Condition":{"StringLike":{"s3:prefix":"batch/*"}}},
    {"Effect":"Deny","Action":"s3:PutObject","Resource":"*",
     "Condition":{"StringEquals":{"s3:authType":"REST-QUERY-STRING"},
                  "NumericGreaterThan":{"s3:signatureAge":"60000"}}}"#;

/// A signed request as a relying service passes it on.
fn signed(
    world: &World,
    credentials: &SessionCredentials,
    method: &str,
    target: &str,
) -> Authorize {
    with(world, credentials, method, target, &[], b"")
}

fn with(
    world: &World,
    credentials: &SessionCredentials,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Authorize {
    let mut request = WireRequest {
        method: method.into(),
        target: target.into(),
        headers: vec![("host".into(), "s3.test".into())],
        body: body.to_vec(),
    };
    for (name, value) in headers {
        request.headers.push(((*name).into(), (*value).into()));
    }
    let now = world.clock.now();
    sign_request(&mut request, credentials, "us-east-1", "s3", now).unwrap();
    Authorize {
        tls: true,
        ..Authorize::s3(&request.method, &request.target, request.headers)
    }
}

fn presigned(
    world: &World,
    credentials: &SessionCredentials,
    method: &str,
    seconds: i64,
) -> Authorize {
    let url = presigned_url(
        method,
        "https://s3.test/data/batch/a",
        credentials,
        "us-east-1",
        "s3",
        TimeDelta::seconds(seconds),
        world.clock.now(),
    );
    let url = url.unwrap();
    let target = url.strip_prefix("https://s3.test").unwrap();
    Authorize::s3(method, target, vec![("host".into(), "s3.test".into())])
}

fn ask(world: &World, request: &Authorize) -> Authorization {
    request.ask(&world.service, &OPERATOR).unwrap()
}

/// Decision, code and status of S3, message of S3.
fn said(answer: &Authorization) -> (String, String) {
    let error = answer.error.as_ref();
    let error = error.map(|error| format!("{} {}: {}", error.status, error.code, error.message));
    (answer.decision.clone(), error.unwrap_or_default())
}

#[test]
fn a_request_of_s3_says_itself_what_it_asks_for() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    for (method, target, operation) in [
        ("GET", "/data/batch/a", "GetObject"),
        ("PUT", "/data/batch/a%20b", "PutObject"),
        ("POST", "/data/batch/a?uploads", "CreateMultipartUpload"),
        ("GET", "/data?prefix=batch%2Fx", "ListObjects"),
    ] {
        let answer = ask(&world, &signed(&world, &batch, method, target));
        assert!(answer.allowed(), "{target}: {}", answer.reason);
        assert_eq!(answer.operation.as_deref(), Some(operation));
        assert_eq!(answer.bucket.as_deref(), Some("data"));
        assert_eq!(answer.cache_ttl, 60);
        assert_eq!(answer.valid_until, Some(batch.expiration));
    }
    for (method, target, says) in [
        (
            "GET",
            "/data/other/a",
            "s3:GetObject on resource: arn:aws:s3:::data/other/a",
        ),
        (
            "GET",
            "/data",
            "s3:ListBucket on resource: arn:aws:s3:::data",
        ),
        ("GET", "/data?prefix=other%2F", "s3:ListBucket on resource"),
        ("GET", "/", "s3:ListAllMyBuckets"),
    ] {
        let answer = ask(&world, &signed(&world, &batch, method, target));
        let (decision, error) = said(&answer);
        assert_eq!(
            (decision.as_str(), answer.cache_ttl),
            ("implicit_deny", 0),
            "{target}"
        );
        assert!(error.starts_with("403 AccessDenied: User: "), "{error}");
        assert!(error.contains(says), "{error}");
    }
    for (target, says) in [
        ("/data/batch/a?renameObject", "501 NotImplemented"),
        ("/data/batch/../other/a", "400 InvalidURI"),
        ("/data/batch//a", "400 InvalidURI"),
    ] {
        let answer = ask(&world, &signed(&world, &batch, "PUT", target));
        assert!(!answer.allowed());
        assert!(
            said(&answer).1.starts_with(says),
            "{target}: {:?}",
            said(&answer)
        );
        assert!(answer.code.is_some());
    }
}

#[test]
fn a_copy_reads_its_source_and_a_deletion_names_each_key() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    for (source, allowed) in [("data/batch/a", true), ("data/other/a", false)] {
        let headers = [("x-amz-copy-source", source)];
        let copy = with(&world, &batch, "PUT", "/data/batch/b", &headers, b"");
        assert_eq!(ask(&world, &copy).allowed(), allowed, "{source}");
    }
    for (other, allowed) in [("batch/b", true), ("other/b", false)] {
        let body = format!(
            "<Delete><Object><Key>batch/a</Key></Object><Object><Key>{other}</Key></Object></Delete>"
        );
        let delete = with(&world, &batch, "POST", "/data?delete", &[], body.as_bytes());
        let blind = ask(&world, &delete);
        assert_eq!(blind.code.as_deref(), Some("s3_body_needed"));
        let seeing = Authorize {
            body: Some(body.into_bytes()),
            ..delete
        };
        assert_eq!(ask(&world, &seeing).allowed(), allowed, "{other}");
    }
}

#[test]
fn a_relying_service_that_may_know_about_the_target_of_a_copy_learns_nothing_of_its_source() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let elsewhere = session(
        &world,
        "relying",
        r#"{"Effect":"Allow","Action":"bowline:Authorize","Resource":"*"},
           {"Effect":"Allow","Action":"bowline:ExplainDecision","Resource":"arn:aws:s3:::data/batch/*"}"#,
    );
    let call = world.signed_call(&elsewhere);
    let elsewhere = world.service.identify(&call, &Channel::default()).unwrap();
    let headers = [("x-amz-copy-source", "data/other/a")];
    let copy = with(&world, &batch, "PUT", "/data/batch/b", &headers, b"");
    let answer = copy.ask(&world.service, &elsewhere).unwrap();
    let (_, error) = said(&answer);
    assert!(
        error.contains("s3:GetObject on resource: arn:aws:s3:::data/other/a. Encoded"),
        "{error}"
    );
    assert!(!answer.reason.contains("because"), "{}", answer.reason);
}

#[test]
fn a_presigned_url_dies_at_the_earlier_of_its_own_end_and_the_sessions() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let short = presigned(&world, &batch, "GET", 100);
    let long = presigned(&world, &batch, "GET", 7 * 24 * 3600);
    let began = world.clock.now();
    let answer = ask(&world, &short);
    assert!(answer.allowed(), "{}", answer.reason);
    assert_eq!(answer.valid_until, Some(began + TimeDelta::seconds(100)));
    assert_eq!(ask(&world, &long).valid_until, Some(batch.expiration));

    world.pass(100);
    assert!(ask(&world, &short).allowed());
    world.pass(1);
    assert_eq!(
        said(&ask(&world, &short)),
        (
            "unauthenticated".into(),
            "403 AccessDenied: Request has expired".into()
        )
    );
    assert!(ask(&world, &long).allowed());
    world.pass(3600);
    assert_eq!(
        said(&ask(&world, &long)),
        (
            "unauthenticated".into(),
            "400 ExpiredToken: The provided token has expired.".into()
        )
    );
}

#[test]
fn a_policy_may_ask_how_old_a_presigned_url_is() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let put = presigned(&world, &batch, "PUT", 3600);
    assert!(ask(&world, &put).allowed());
    world.pass(61);
    assert_eq!(ask(&world, &put).decision, "explicit_deny");
    // In the header form there is no age to look at.
    assert!(ask(&world, &signed(&world, &batch, "PUT", "/data/batch/a")).allowed());
}

#[test]
fn half_a_name_and_a_service_that_tells_nothing_are_refused() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let code = |change: fn(Authorize) -> Authorize| {
        let asked = change(signed(&world, &batch, "GET", "/data/batch/a"));
        let refused = asked.ask(&world.service, &OPERATOR).unwrap_err();
        refused.code().into_owned()
    };
    let half = code(|ask| Authorize {
        action: Some("s3:GetObject".into()),
        ..ask
    });
    assert_eq!(half, "action_without_resource");
    let other = code(|ask| Authorize {
        service: Some("execute-api".into()),
        ..ask
    });
    assert_eq!(other, "action_not_named");
    let hash = code(|ask| Authorize {
        client_certificate_sha256: Some("ab".into()),
        ..ask
    });
    assert_eq!(hash, "certificate_hash_invalid");
}

#[test]
fn a_resource_of_another_account_is_for_its_owner_to_give() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let mut asked = signed(&world, &batch, "GET", "/data/batch/a");
    asked.resource_account = Some("000000000000".into());
    assert!(ask(&world, &asked).allowed());
    asked.resource_account = Some("111111111111".into());
    assert!(!ask(&world, &asked).allowed());
}

fn key_for(request: &Authorize, service: &str) -> GetSigningKey {
    GetSigningKey {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        service: service.into(),
        ..GetSigningKey::default()
    }
}

fn derived(world: &World, request: &Authorize) -> DerivedKey {
    match key_for(request, "s3")
        .run(&world.service, &OPERATOR)
        .unwrap()
    {
        SigningKeyAnswer::Key(key) => *key,
        SigningKeyAnswer::Refused(answer) => panic!("{}", answer.reason),
    }
}

#[test]
fn a_derived_key_verifies_and_decides_as_the_service_does() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let key = derived(&world, &signed(&world, &batch, "GET", "/data/batch/a"));
    // What crosses the wire is all there is.
    let key: DerivedKey = serde_json::from_str(&serde_json::to_string(&key).unwrap()).unwrap();
    assert_eq!(
        (key.region.as_str(), key.service.as_str()),
        ("us-east-1", "s3")
    );
    assert!(key.cache_seconds <= 60);
    let text = serde_json::to_string(&key).unwrap();
    assert!(!text.contains(batch.secret_access_key.reveal()));
    let bound = key.bound().unwrap();
    let signing = SigningKey::from_bytes(*key.key().unwrap());
    for (method, target) in [
        ("GET", "/data/batch/b"),
        ("PUT", "/data/other/b"),
        ("GET", "/data?prefix=batch%2F"),
        ("GET", "/data?prefix="),
        ("PUT", "/data/batch/b?unknown"),
    ] {
        let asked = signed(&world, &batch, method, target);
        let now = world.clock.now();
        let rules = asked.rules("aws").unwrap();
        let presented = Presented::parse(&asked.signed().unwrap(), &rules).unwrap();
        let verified = presented.verify_with_key(&signing, now).unwrap();
        let bound = key.at(bound.clone(), now);
        let own = asked.decide_verified(&verified, &bound, key.who.clone(), "aws", now);
        let (own, asked) = (own.unwrap(), ask(&world, &asked));
        assert_eq!(
            serde_json::to_value(&own).unwrap(),
            serde_json::to_value(&asked).unwrap(),
            "{target}"
        );
    }
}

#[test]
fn a_derived_key_signs_for_nothing_else() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let key = derived(&world, &signed(&world, &batch, "GET", "/data/batch/a"));
    let signing = SigningKey::from_bytes(*key.key().unwrap());
    let mut call = world.signed_call(&batch);
    call.headers.retain(|(name, _)| name != "nothing");
    let signed = bowline_sigv4::SignedRequest::new(
        &call.method,
        &call.target,
        &call.headers,
        bowline_sigv4::Body::Bytes(&call.body),
    );
    let presented = Presented::parse(&signed, &bowline_sigv4::Rules::default()).unwrap();
    assert!(
        presented
            .verify_with_key(&signing, world.clock.now())
            .is_err()
    );
}

#[test]
fn a_key_is_given_for_living_sessions_and_right_signatures_only() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let refused = |request: &Authorize, service: &str| match key_for(request, service)
        .run(&world.service, &OPERATOR)
        .unwrap()
    {
        SigningKeyAnswer::Refused(answer) => answer.code.unwrap_or_default(),
        SigningKeyAnswer::Key(_) => panic!("a key was given"),
    };
    let right = signed(&world, &batch, "GET", "/data/batch/a");
    let mut wrong = signed(&world, &batch, "GET", "/data/batch/a");
    wrong.target = "/data/batch/b".into();
    assert_eq!(refused(&wrong, "s3"), "signature_mismatch");
    assert_eq!(refused(&right, "execute-api"), "service_not_allowed");
    let revoke = RevokeCertificate {
        certificate: "batch".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(refused(&right, "s3"), "session_ended_by_revocation");
}

#[test]
fn a_relying_service_gets_keys_for_what_it_is_and_never_for_us() {
    let world = World::new();
    let batch = session(&world, "batch", BATCH);
    let storage = session(
        &world,
        "storage",
        r#"{"Effect":"Allow","Action":"bowline:GetSigningKey","Resource":"arn:aws:bowline:*:*:signing-key/s3"}"#,
    );
    let caller = world
        .service
        .identify(&world.signed_call(&storage), &Channel::default())
        .unwrap();
    let request = signed(&world, &batch, "GET", "/data/batch/a");
    let given = key_for(&request, "s3").run(&world.service, &caller);
    assert!(matches!(given, Ok(SigningKeyAnswer::Key(_))));
    let code = |service: &str, caller: &Caller| {
        let refused = key_for(&request, service).run(&world.service, caller);
        refused.unwrap_err().code().into_owned()
    };
    assert_eq!(code("execute-api", &caller), "not_authorized");
    for ours in ["bowline", "sts", "rolesanywhere", "iam", "acm-pca"] {
        assert_eq!(code(ours, &OPERATOR), "signing_key_of_our_own", "{ours}");
    }
    // Not even from this machine without being asked who.
    let nobody = Caller::Nobody {
        source: Some([127, 0, 0, 1].into()),
    };
    assert_eq!(code("s3", &nobody), "credentials_needed");
}
