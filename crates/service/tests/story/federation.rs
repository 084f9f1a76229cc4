//! Identities that others vouch for, and ours for others.

mod ended;
mod saml;

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline_service::{
    AssumeRoleWithWebIdentity, Caller, Channel, Clock, CreateProvider, CreateRole, DeleteProvider,
    Error, FederatedRole, Fetch, GetWebIdentityToken, ListProviders, Operation, Outbound,
    OutboundError, RotateIdentityKeys, ShowJwks, ShowOpenIdConfiguration, ShowProvider,
    TokenAlgorithm, UpdateProvider, UpdateRole,
};
use bowline_trust::{JwkSet, KeySource, OidcProvider, TokenRefusal, verify_web_identity};
use serde_json::{Value, json};

use crate::OPERATOR;
use crate::log::events_of;
use crate::world::World;

const ISSUER: &str = "https://issuer.example/ci";
const ROLE: &str = "arn:aws:iam::000000000000:role/deployer";
const STRANGER: Caller = Caller::Nobody { source: None };

/// A token issuer, and the web that it publishes its keys on.
struct Issuer {
    key: Ed25519KeyPair,
    /// Whether it answers.
    up: Mutex<bool>,
}

impl Issuer {
    fn new() -> Arc<Issuer> {
        Arc::new(Issuer {
            key: Ed25519KeyPair::generate().unwrap(),
            up: Mutex::new(true),
        })
    }

    fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]}).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": "k1"}).to_string();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

impl Outbound for Issuer {
    fn get(&self, fetch: &Fetch) -> Result<Vec<u8>, OutboundError> {
        if !*self.up.lock().unwrap() {
            return Err(OutboundError::Status {
                url: fetch.url.clone(),
                status: 503,
            });
        }
        Ok(match fetch.url.as_str() {
            "https://issuer.example/ci/.well-known/openid-configuration" => {
                json!({"issuer": ISSUER, "jwks_uri": "https://issuer.example/keys"}).to_string()
            }
            "https://issuer.example/keys" => self.jwks(),
            url => panic!("nobody asks for {url}"),
        }
        .into_bytes())
    }
}

/// A home that believes the issuer, and a role for its tokens.
struct Stage {
    world: World,
    issuer: Arc<Issuer>,
}

impl Stage {
    fn new() -> Stage {
        let issuer = Issuer::new();
        let world = World::new().with_outbound(issuer.clone());
        provider("ci").run(&world.service, &OPERATOR).unwrap();
        let stage = Stage { world, issuer };
        stage.role(
            "oidc-provider/issuer.example/ci",
            "sts:AssumeRoleWithWebIdentity",
            json!({
                "StringLike": {"issuer.example/ci:sub": "repo:acme/*"},
                "StringEquals": {"issuer.example/ci:aud": "bowline"},
            }),
        );
        stage
    }

    /// The role, trusting an identity provider under a condition.
    fn role(&self, provider: &str, action: &str, condition: Value) {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": format!("arn:aws:iam::000000000000:{provider}")},
            "Action": [action, "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": condition,
        }]});
        CreateRole {
            name: "deployer".into(),
            allow: vec!["s3:GetObject".into(), "sts:GetWebIdentityToken".into()],
            on: vec!["*".into()],
            trust_policy: Some(trust.to_string()),
            ..CreateRole::default()
        }
        .run(&self.world.service, &OPERATOR)
        .unwrap();
    }

    fn claims(&self, changes: Value) -> Value {
        let now = self.world.clock.now().timestamp();
        let mut claims = json!({
            "iss": ISSUER, "aud": "bowline", "sub": "repo:acme/app", "iat": now, "exp": now + 300,
        });
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        claims
    }

    fn assume(&self, changes: Value) -> Result<FederatedRole, Error> {
        let token = self.issuer.token(&self.claims(changes));
        self.assume_with(token, None)
    }

    fn assume_with(&self, token: String, policy: Option<&str>) -> Result<FederatedRole, Error> {
        AssumeRoleWithWebIdentity {
            role_arn: ROLE.into(),
            role_session_name: "build-7".into(),
            web_identity_token: token.into(),
            provider_id: None,
            policy: policy.map(Into::into),
            policy_arns: Vec::new(),
            duration_seconds: Some(7_200).filter(|_| policy.is_none()).map(|_| 3_600),
            minimum_session_token_size: None,
        }
        .perform(&self.world.service, &STRANGER)
    }

    /// Who signs with the credentials of an assumed role.
    fn caller(&self, assumed: &bowline_service::AssumedRole) -> Caller {
        self.signer(assumed).unwrap()
    }

    fn signer(&self, assumed: &bowline_service::AssumedRole) -> Result<Caller, Error> {
        let credentials = bowline_service::SessionCredentials {
            access_key_id: assumed.credentials.access_key_id.clone(),
            secret_access_key: assumed.credentials.secret_access_key.clone(),
            session_token: assumed.credentials.session_token.clone(),
            expiration: assumed.credentials.expiration,
            assumed_role_arn: assumed.assumed_role_arn.clone(),
            assumed_role_id: assumed.assumed_role_id.clone(),
            role_arn: ROLE.into(),
            source_identity: String::new(),
            subject_arn: String::new(),
            packed_policy_size: 0,
        };
        let mut request = bowline_service::WireRequest {
            method: "POST".into(),
            target: "/".into(),
            headers: vec![("host".into(), "sts.test".into())],
            body: b"Action=GetWebIdentityToken".to_vec(),
        };
        let now = self.world.clock.now();
        bowline_service::sign_request(&mut request, &credentials, "us-east-1", "sts", now).unwrap();
        self.world
            .service
            .identify_for_sts(&request, &Channel::from_source(None))
    }
}

fn provider(name: &str) -> CreateProvider {
    CreateProvider {
        name: name.into(),
        issuer: Some(ISSUER.into()),
        audiences: vec!["bowline".into()],
        ..CreateProvider::default()
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, code: &str, sts: Option<&str>) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(error.sts_code(), sts, "{error}");
    error.public().message
}

#[test]
fn a_token_becomes_credentials_of_the_role_that_trusts_it() {
    let stage = Stage::new();
    let tags = json!({"principal_tags": {"Project": ["app"]}, "transitive_tag_keys": ["Project"]});
    let answer = stage
        .assume(json!({"https://aws.amazon.com/tags": tags, "https://aws.amazon.com/source_identity": "acme"}))
        .unwrap();
    assert_eq!(answer.subject, "repo:acme/app");
    assert_eq!(answer.provider, ISSUER);
    assert_eq!(answer.audience, "bowline");
    assert_eq!(
        answer.assumed.assumed_role_arn,
        "arn:aws:sts::000000000000:assumed-role/deployer/build-7"
    );
    assert_eq!(answer.assumed.source_identity.as_deref(), Some("acme"));
    let Caller::Session { session, .. } = stage.caller(&answer.assumed) else {
        panic!("credentials without a session");
    };
    let claims = session.claims();
    assert_eq!(claims.tags[0].value(), "app");
    assert_eq!(claims.transitive_tag_keys, ["Project"]);
    assert_eq!(
        claims.federated().unwrap().provider_arn,
        "arn:aws:iam::000000000000:oidc-provider/issuer.example/ci"
    );
}

#[test]
fn the_trust_policy_decides_whom_of_the_issuer_it_lets_in() {
    let stage = Stage::new();
    let said = refused(
        stage.assume(json!({"sub": "repo:evil/app"})),
        "federated_not_authorized",
        Some("AccessDenied"),
    );
    assert!(said.contains("sts:AssumeRoleWithWebIdentity"), "{said}");
}

#[test]
fn a_token_that_is_not_believed_gets_nothing() {
    let stage = Stage::new();
    let now = stage.world.clock.now().timestamp();
    let invalid = ("identity_token_invalid", Some("InvalidIdentityToken"));
    for (changes, (code, sts)) in [
        (json!({"aud": "other"}), invalid),
        (json!({"nbf": now + 61}), invalid),
        (
            json!({"exp": now}),
            ("identity_token_expired", Some("ExpiredTokenException")),
        ),
        (
            json!({"iss": "https://else.example"}),
            ("identity_issuer_unknown", Some("InvalidIdentityToken")),
        ),
        (
            json!({"iss": "x".repeat(9_000)}),
            ("identity_issuer_unknown", Some("InvalidIdentityToken")),
        ),
        (
            json!({"https://aws.amazon.com/source_identity": "aws:x"}),
            ("identity_token_rejected", Some("IDPRejectedClaim")),
        ),
    ] {
        refused(stage.assume(changes), code, sts);
    }
    let other = Issuer::new().token(&stage.claims(json!({})));
    refused(stage.assume_with(other, None), invalid.0, invalid.1);
    refused(
        stage.assume_with("a.b.c".into(), None),
        invalid.0,
        invalid.1,
    );
    refused(
        stage.assume_with(stage.issuer.token(&stage.claims(json!({}))), Some("{}")),
        "session_policy_malformed",
        Some("MalformedPolicyDocument"),
    );
}

#[test]
fn an_issuer_that_is_down_is_said() {
    let stage = Stage::new();
    *stage.issuer.up.lock().unwrap() = false;
    let said = refused(
        stage.assume(json!({})),
        "identity_provider_unreachable",
        Some("IDPCommunicationError"),
    );
    assert!(said.contains("status 503"), "{said}");
}

#[test]
fn a_deleted_provider_vouches_for_nobody() {
    let stage = Stage::new();
    stage.assume(json!({})).unwrap();
    let named = |provider: &str| ShowProvider {
        provider: provider.into(),
    };
    let shown = named("arn:aws:iam::000000000000:oidc-provider/issuer.example/ci")
        .run(&stage.world.service, &OPERATOR)
        .unwrap();
    assert_eq!(shown.name, "ci");
    assert_eq!(shown.keys.as_deref(), Some("discovery"));
    let delete = |provider: &str| DeleteProvider {
        provider: provider.into(),
    };
    delete("ci").run(&stage.world.service, &OPERATOR).unwrap();
    refused(
        stage.assume(json!({})),
        "identity_issuer_unknown",
        Some("InvalidIdentityToken"),
    );
    let said = refused(
        delete("ci").run(&stage.world.service, &OPERATOR),
        "provider_unknown",
        None,
    );
    assert!(said.contains("there are: none"), "{said}");
    // Its name and its issuer are free again.
    provider("ci").run(&stage.world.service, &OPERATOR).unwrap();
    stage.assume(json!({})).unwrap();
}

#[test]
fn a_provider_is_made_once_and_changed_in_place() {
    let stage = Stage::new();
    let service = &stage.world.service;
    refused(provider("ci").run(service, &OPERATOR), "exists", None);
    refused(provider("other").run(service, &OPERATOR), "exists", None);
    let mut again = provider("ci");
    again.if_missing = true;
    assert_eq!(again.run(service, &OPERATOR).unwrap().name, "ci");
    refused(
        CreateProvider::default().run(service, &OPERATOR),
        "provider_kind_needed",
        None,
    );
    let change = UpdateProvider {
        provider: "ci".into(),
        audiences: Some(vec!["staging".into()]),
        algorithms: Some(vec![TokenAlgorithm::EdDsa]),
        ..UpdateProvider::default()
    };
    let changed = change.run(service, &OPERATOR).unwrap();
    assert_eq!(changed.audiences, ["staging"]);
    assert_eq!(changed.algorithms, ["EdDSA"]);
    refused(
        stage.assume(json!({})),
        "identity_token_invalid",
        Some("InvalidIdentityToken"),
    );
    refused(
        UpdateProvider {
            provider: "ci".into(),
            saml_metadata: Some("<x/>".into()),
            ..UpdateProvider::default()
        }
        .run(service, &OPERATOR),
        "provider_of_other_kind",
        None,
    );
    refused(
        UpdateProvider {
            provider: "ci".into(),
            jwks: Some(stage.issuer.jwks()),
            discovery: true,
            ..UpdateProvider::default()
        }
        .run(service, &OPERATOR),
        "provider_key_source_twice",
        None,
    );
    assert_eq!((ListProviders {}).run(service, &OPERATOR).unwrap().len(), 1);
}

#[test]
fn providers_are_for_those_whose_policies_allow_it() {
    let stage = Stage::new();
    let assumed = stage.assume(json!({})).unwrap().assumed;
    let caller = stage.caller(&assumed);
    for refusal in [
        provider("x")
            .run(&stage.world.service, &caller)
            .unwrap_err(),
        (ListProviders {})
            .run(&stage.world.service, &caller)
            .unwrap_err(),
        RotateIdentityKeys::default()
            .run(&stage.world.service, &caller)
            .unwrap_err(),
    ] {
        assert!(matches!(refusal, Error::NotAuthorized { .. }), "{refusal}");
    }
    let refusal = provider("x")
        .run(&stage.world.service, &STRANGER)
        .unwrap_err();
    assert!(
        matches!(refusal, Error::CredentialsNeeded { .. }),
        "{refusal}"
    );
}

/// The home as an issuer, for whoever verifies its tokens.
fn home_as_issuer() -> OidcProvider {
    OidcProvider {
        name: "bowline".into(),
        account: "000000000000".parse().unwrap(),
        issuer: "http://ca.test".into(),
        audiences: vec!["https://vault.example".into()],
        algorithms: TokenAlgorithm::ALL.to_vec(),
        keys: KeySource::Discovery,
        roots: None,
        revision: 1,
        created_at: chrono::DateTime::UNIX_EPOCH,
        updated_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn token_for(stage: &Stage, caller: &Caller, algorithm: &str) -> Result<String, Error> {
    GetWebIdentityToken {
        audiences: vec!["https://vault.example".into()],
        signing_algorithm: algorithm.into(),
        ..GetWebIdentityToken::default()
    }
    .run(&stage.world.service, caller)
    .map(|token| token.web_identity_token.reveal().to_owned())
}

fn published(stage: &Stage) -> JwkSet {
    let keys = (ShowJwks {}).run(&stage.world.service, &STRANGER).unwrap();
    JwkSet::parse(keys.to_string().as_bytes()).unwrap()
}

#[test]
fn a_session_shows_others_who_it_is() {
    let stage = Stage::new();
    let caller = stage.caller(&stage.assume(json!({})).unwrap().assumed);
    for algorithm in ["RS256", "ES384"] {
        let token = token_for(&stage, &caller, algorithm).unwrap();
        let identity = verify_web_identity(
            &token,
            &home_as_issuer(),
            "aws",
            &published(&stage),
            stage.world.clock.now(),
        )
        .unwrap();
        assert_eq!(identity.subject, ROLE);
        let claims = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://vault.example");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            300
        );
        let about = &claims["https://sts.amazonaws.com/"];
        assert_eq!(about["aws_account"], "000000000000");
        assert_eq!(
            about["principal_id"],
            "arn:aws:sts::000000000000:assumed-role/deployer/build-7"
        );
    }
    let configuration = (ShowOpenIdConfiguration {})
        .run(&stage.world.service, &STRANGER)
        .unwrap();
    assert_eq!(configuration["issuer"], "http://ca.test");
    assert_eq!(
        configuration["jwks_uri"],
        "http://ca.test/.well-known/jwks.json"
    );
}

#[test]
fn a_token_of_ours_keeps_its_limits() {
    let stage = Stage::new();
    let caller = stage.caller(&stage.assume(json!({})).unwrap().assumed);
    let ask = |change: &dyn Fn(&mut GetWebIdentityToken)| {
        let mut ask = GetWebIdentityToken {
            audiences: vec!["a".into()],
            signing_algorithm: "ES384".into(),
            ..GetWebIdentityToken::default()
        };
        change(&mut ask);
        ask.run(&stage.world.service, &caller)
    };
    ask(&|_| {}).unwrap();
    let parameter = "identity_token_parameter";
    refused(ask(&|a| a.audiences.clear()), parameter, None);
    refused(
        ask(&|a| a.audiences = vec!["a".into(); 11]),
        parameter,
        None,
    );
    refused(
        ask(&|a| a.audiences = vec!["a".repeat(1_001)]),
        parameter,
        None,
    );
    refused(
        ask(&|a| a.signing_algorithm = "HS256".into()),
        parameter,
        None,
    );
    refused(
        ask(&|a| a.signing_algorithm = "none".into()),
        parameter,
        None,
    );
    refused(ask(&|a| a.duration_seconds = Some(59)), parameter, None);
    refused(ask(&|a| a.duration_seconds = Some(3_601)), parameter, None);
    // The role allows sts:GetWebIdentityToken, and not to say more.
    let tagged = ask(&|a| a.tags = vec![("job".into(), "7".into())]).unwrap_err();
    assert!(
        tagged.to_string().contains("sts:TagGetWebIdentityToken"),
        "{tagged}"
    );
    stage.world.pass(3_400);
    refused(
        ask(&|a| a.duration_seconds = Some(201)),
        "identity_token_outlives_session",
        Some("SessionDurationEscalationException"),
    );
    ask(&|a| a.duration_seconds = Some(200)).unwrap();
    let stranger = GetWebIdentityToken::default().run(&stage.world.service, &STRANGER);
    assert_eq!(stranger.unwrap_err().code(), "sts_session_needed");
}

#[test]
fn a_retired_key_is_published_until_its_last_token_ended() {
    let stage = Stage::new();
    let caller = stage.caller(&stage.assume(json!({})).unwrap().assumed);
    assert!(
        (ShowJwks {}).run(&stage.world.service, &STRANGER).unwrap()["keys"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let before = token_for(&stage, &caller, "ES384").unwrap();
    let rotated = RotateIdentityKeys::default()
        .run(&stage.world.service, &OPERATOR)
        .unwrap();
    assert_eq!(rotated.keys.len(), 3);
    let after = token_for(&stage, &caller, "ES384").unwrap();
    let verify = |token: &str| {
        let (issuer, keys) = (home_as_issuer(), published(&stage));
        let at = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        verify_web_identity(token, &issuer, "aws", &keys, at).map(|_| ())
    };
    assert_eq!(verify(&before), Ok(()));
    assert_eq!(verify(&after), Ok(()));
    stage.world.pass(25 * 60 * 60);
    assert!(matches!(
        verify(&before),
        Err(TokenRefusal::KeyUnknown { .. })
    ));
    assert_eq!(verify(&after), Ok(()));
}

#[test]
fn strangers_of_a_public_issuer_do_not_fill_the_log() {
    let stage = Stage::new();
    for number in 0..40 {
        let evil = format!("repo:evil/{number}");
        stage.assume(json!({"sub": evil})).unwrap_err();
    }
    // The others are counted.
    assert_eq!(events_of(&stage.world, "session_denied").len(), 30);
}

#[test]
fn a_withdrawn_key_is_published_no_longer() {
    let stage = Stage::new();
    let caller = stage.caller(&stage.assume(json!({})).unwrap().assumed);
    let ids = || {
        let keys = (ShowJwks {}).run(&stage.world.service, &STRANGER).unwrap();
        let keys = keys["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["kid"].to_string())
            .collect::<Vec<_>>()
    };
    token_for(&stage, &caller, "ES384").unwrap();
    RotateIdentityKeys::default()
        .run(&stage.world.service, &OPERATOR)
        .unwrap();
    let before = ids();
    assert_eq!(before.len(), 3);
    RotateIdentityKeys { withdraw: true }
        .run(&stage.world.service, &OPERATOR)
        .unwrap();
    let after = ids();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|id| !before.contains(id)));
    let told = events_of(&stage.world, "identity_keys_renewed");
    assert_eq!(told[2]["withdrawn"], true);
    assert_eq!(told[2]["retired"].as_array().unwrap().len(), 3);
}

#[test]
fn issuers_that_differ_in_case_or_scheme_only_are_one() {
    let stage = Stage::new();
    for (first, second) in [
        ("https://issuer.example/ci", "https://ISSUER.example/ci"),
        ("https://localhost:1", "http://localhost:1"),
    ] {
        let create = |name: &str, issuer: &str| CreateProvider {
            name: name.into(),
            issuer: Some(issuer.into()),
            audiences: vec!["bowline".into()],
            ..CreateProvider::default()
        };
        // The first is there since the beginning.
        let _ = create("first", first).run(&stage.world.service, &OPERATOR);
        refused(
            create("second", second).run(&stage.world.service, &OPERATOR),
            "exists",
            None,
        );
    }
}

#[test]
fn a_role_for_everybody_at_an_issuer_is_made_only_if_that_is_said() {
    let stage = Stage::new();
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": "arn:aws:iam::000000000000:oidc-provider/issuer.example/ci"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"issuer.example/ci:aud": "bowline"}},
    }]})
    .to_string();
    let create = |any_identity| CreateRole {
        name: "open".into(),
        allow: vec!["s3:GetObject".into()],
        on: vec!["*".into()],
        trust_policy: Some(trust.clone()),
        any_identity,
        ..CreateRole::default()
    };
    let update = |any_identity| UpdateRole {
        role: "deployer".into(),
        trust_policy: Some(trust.clone()),
        any_identity,
        ..UpdateRole::default()
    };
    let service = &stage.world.service;
    let said = refused(
        create(false).run(service, &OPERATOR),
        "trust_policy_any_identity",
        None,
    );
    assert!(said.contains("test issuer.example/ci:sub"), "{said}");
    refused(
        update(false).run(service, &OPERATOR),
        "trust_policy_any_identity",
        None,
    );
    create(true).run(service, &OPERATOR).unwrap();
    update(true).run(service, &OPERATOR).unwrap();
}

#[test]
fn what_happens_is_told() {
    let stage = Stage::new();
    let assumed = stage.assume(json!({})).unwrap().assumed;
    token_for(&stage, &stage.caller(&assumed), "ES384").unwrap();
    for event in [
        "provider_written",
        "identity_keys_renewed",
        "identity_token_issued",
    ] {
        assert_eq!(events_of(&stage.world, event).len(), 1, "{event}");
    }
    stage.assume(json!({"sub": "repo:evil/app"})).unwrap_err();
    for event in ["session_created", "session_denied"] {
        let told = events_of(&stage.world, event);
        assert_eq!(told[0]["via"], "web-identity", "{told:?}");
        assert_eq!(told.len(), 1);
    }
}
