//! Web identity tokens: every algorithm, and every way to be refused.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{account, now};
use crate::federated::FederatedIdentity;
use crate::federation::{
    IdentityProvider, JwkSet, KeySource, OidcProvider, ProviderError, TokenAlgorithm, TokenRefusal,
    verify_web_identity,
};

struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        ed25519: Ed25519KeyPair::generate().unwrap(),
    })
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn jwks() -> JwkSet {
    let keys = keys();
    let point = |pair: &EcdsaKeyPair, curve: &str, kid: &str| {
        let point = pair.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        json!({"kty": "EC", "crv": curve, "kid": kid, "use": "sig", "x": base64(x), "y": base64(y)})
    };
    // RSAPublicKey (RFC 8017 §A.1.1): nine octets, the modulus of 256, and the usual exponent behind it.
    let modulus = &keys.rsa.public_key().as_ref()[9..265];
    let document = json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "n": base64(modulus), "e": "AQAB"},
        point(&keys.p256, "P-256", "p256"),
        point(&keys.p384, "P-384", "p384"),
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": base64(keys.ed25519.public_key().as_ref())},
    ]});
    JwkSet::parse(document.to_string().as_bytes()).unwrap()
}

fn provider() -> OidcProvider {
    OidcProvider {
        name: "ci".into(),
        account: account(),
        issuer: "https://issuer.example/ci".into(),
        audiences: vec!["bowline".into(), "other".into()],
        algorithms: TokenAlgorithm::ALL.to_vec(),
        keys: KeySource::Discovery,
        roots: None,
        revision: 1,
        created_at: now(),
        updated_at: now(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example/ci", "sub": "repo:acme/app", "aud": "bowline",
        "iat": now().timestamp() - 5, "exp": now().timestamp() + 600,
    })
}

/// The claims with some of them changed; null takes one away.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn signature(kid: &str, message: &[u8]) -> Vec<u8> {
    let (keys, rng) = (keys(), SystemRandom::new());
    match kid {
        "rsa" => {
            let mut signature = vec![0; keys.rsa.public_modulus_len()];
            keys.rsa
                .sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)
                .unwrap();
            signature
        }
        "p256" => keys.p256.sign(&rng, message).unwrap().as_ref().to_vec(),
        "p384" => keys.p384.sign(&rng, message).unwrap().as_ref().to_vec(),
        _ => keys.ed25519.sign(message).as_ref().to_vec(),
    }
}

/// A token with this header, signed with the key of that id.
fn token_with(header: &Value, claims: &str, signer: &str) -> String {
    let signed = format!("{}.{}", base64(header.to_string()), base64(claims));
    let signature = signature(signer, signed.as_bytes());
    format!("{signed}.{}", base64(signature))
}

fn token(claims: &Value) -> String {
    let header = json!({"alg": "ES256", "kid": "p256", "typ": "JWT"});
    token_with(&header, &claims.to_string(), "p256")
}

fn verify(token: &str) -> Result<FederatedIdentity, TokenRefusal> {
    verify_web_identity(token, &provider(), "aws", &jwks(), now())
}

fn refusal(changes: Value) -> TokenRefusal {
    verify(&token(&with(changes))).unwrap_err()
}

#[test]
fn every_algorithm_verifies_under_its_own_key_only() {
    let algorithms = [
        ("RS256", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed25519"),
        ("Ed25519", "ed25519"),
    ];
    for (algorithm, kid) in algorithms {
        for (_, signer) in algorithms {
            let header = json!({"alg": algorithm, "kid": kid});
            let result = verify(&token_with(&header, &claims().to_string(), signer));
            assert_eq!(result.is_ok(), kid == signer, "{algorithm} {signer}");
        }
        // The key of another algorithm, by its id.
        for (_, other) in algorithms.iter().filter(|(_, other)| *other != kid) {
            let header = json!({"alg": algorithm, "kid": other});
            let refused = verify(&token_with(&header, &claims().to_string(), other)).unwrap_err();
            assert!(
                matches!(refused, TokenRefusal::KeyUnknown { .. }),
                "{refused}"
            );
        }
    }
}

#[test]
fn what_a_token_says_becomes_an_identity() {
    let claims = with(json!({
        "email": "a@acme.example", "admin": true, "level": 3, "groups": ["a", "b"], "nested": {"a": 1},
        "SUB": "repo:acme/other", "one": "1", "ONE": "2", "bad key": "x", "8443:sub": "x", "8443/x:sub": "x",
        "https://acme.example/team": "red",
        "https://aws.amazon.com/tags": {"principal_tags": {"Project": ["ci"], "Team": "red"}, "transitive_tag_keys": ["project"]},
        "https://aws.amazon.com/source_identity": "acme-app",
    }));
    let identity = verify(&token(&claims)).unwrap();
    assert_eq!(
        identity.provider_arn,
        "arn:aws:iam::123456789012:oidc-provider/issuer.example/ci"
    );
    assert_eq!(identity.subject, "repo:acme/app");
    assert_eq!(identity.issuer, "https://issuer.example/ci");
    assert_eq!(identity.audience, "bowline");
    assert_eq!(identity.source_identity.as_deref(), Some("acme-app"));
    let tags: Vec<_> = identity
        .tags
        .iter()
        .map(|tag| (tag.key(), tag.value()))
        .collect();
    assert_eq!(tags, [("Project", "ci"), ("Team", "red")]);
    assert_eq!(identity.transitive_tag_keys, ["Project"]);
    let key = |name: &str| {
        let values = identity.keys.get(&format!("issuer.example/ci:{name}"))?;
        Some(values.join("+"))
    };
    for (name, value) in [
        ("sub", Some("repo:acme/app")),
        ("aud", Some("bowline")),
        ("email", Some("a@acme.example")),
        ("admin", Some("true")),
        ("level", Some("3")),
        ("groups", Some("a+b")),
        ("https://acme.example/team", Some("red")),
        ("oaud", None),
        ("nested", None),
        // Policies know no case: neither of two is believed, and nothing stands beside `sub`.
        ("SUB", None),
        ("one", None),
        ("ONE", None),
        ("bad key", None),
        ("8443:sub", None),
        // A key of the issuer issuer.example/ci:8443/x, or of one that has a port and a path.
        ("8443/x:sub", None),
    ] {
        assert_eq!(key(name).as_deref(), value, "{name}");
    }
}

#[test]
fn tags_may_stand_as_claims_of_their_own() {
    let claims = with(json!({
        "https://aws.amazon.com/tags/principal_tags/Project": ["ci"],
        "https://aws.amazon.com/tags/transitive_tag_keys": ["Project"],
    }));
    let identity = verify(&token(&claims)).unwrap();
    assert_eq!(identity.tags[0].value(), "ci");
    assert_eq!(identity.transitive_tag_keys, ["Project"]);
}

#[test]
fn the_token_is_for_us_and_for_nobody_in_our_place() {
    for (aud, azp, audience) in [
        (json!("bowline"), Value::Null, Some("bowline")),
        (json!(["bowline"]), Value::Null, Some("bowline")),
        (json!("other"), json!("somebody"), Some("other")),
        (json!(["x", "bowline"]), json!("bowline"), Some("bowline")),
        (
            json!(["other", "bowline"]),
            json!("bowline"),
            Some("bowline"),
        ),
        // Made for neither of those it names.
        (json!(["x", "bowline"]), json!("other"), None),
        (json!(["x", "bowline"]), Value::Null, None),
        (json!(["x", "bowline"]), json!("x"), None),
        (json!("x"), json!("bowline"), None),
        (json!(["x"]), Value::Null, None),
        (json!([]), Value::Null, None),
        (json!(["bowline", 1]), json!("bowline"), None),
        (json!("bowlinE"), Value::Null, None),
        (json!({"a": "bowline"}), Value::Null, None),
        (Value::Null, Value::Null, None),
    ] {
        let case = format!("{aud} {azp}");
        let result = verify(&token(&with(json!({"aud": aud, "azp": azp}))));
        assert_eq!(
            result.ok().map(|id| id.audience).as_deref(),
            audience,
            "{case}"
        );
    }
    let both = verify(&token(&with(
        json!({"aud": ["other", "bowline"], "azp": "bowline"}),
    )))
    .unwrap();
    assert_eq!(both.keys["issuer.example/ci:aud"], ["bowline"]);
    assert_eq!(both.keys["issuer.example/ci:azp"], ["bowline"]);
    assert_eq!(both.keys["issuer.example/ci:oaud"], ["other", "bowline"]);
}

#[test]
fn whoever_a_token_is_for_cannot_pass_for_whoever_asked_for_it() {
    // `other` got it from `bowline`, and brings it here: a policy for the audience `bowline` is not for it.
    let asked = verify(&token(&with(json!({"aud": "other", "azp": "bowline"})))).unwrap();
    assert_eq!(asked.audience, "other");
    assert_eq!(asked.keys["issuer.example/ci:aud"], ["other"]);
    assert_eq!(asked.keys["issuer.example/ci:azp"], ["bowline"]);
    assert_eq!(asked.keys["issuer.example/ci:oaud"], ["other"]);
}

#[test]
fn a_token_lives_from_its_beginning_to_its_end() {
    let at = |seconds: i64| json!(now().timestamp() + seconds);
    for (changes, good) in [
        (json!({"exp": at(1)}), true),
        (json!({"exp": at(0)}), false),
        (json!({"exp": at(-1)}), false),
        (json!({"exp": null}), false),
        (json!({"exp": "soon"}), false),
        (json!({"exp": 1e300}), false),
        (json!({"exp": now().timestamp() as f64 + 1.5}), true),
        (json!({"nbf": at(60)}), true),
        (json!({"nbf": at(61)}), false),
        (json!({"iat": at(61)}), false),
        (json!({"iat": null}), true),
        (json!({"iat": "now"}), false),
    ] {
        let case = changes.to_string();
        assert_eq!(verify(&token(&with(changes))).is_ok(), good, "{case}");
    }
    assert!(matches!(
        refusal(json!({"exp": at(0)})),
        TokenRefusal::Expired { .. }
    ));
    assert!(matches!(
        refusal(json!({"nbf": at(61)})),
        TokenRefusal::Early { claim: "nbf", .. }
    ));
}

#[test]
fn another_issuer_and_a_missing_subject_are_refused() {
    for issuer in [
        "https://issuer.example/ci/",
        "https://issuer.example",
        "https://ISSUER.example/ci",
        "http://issuer.example/ci",
    ] {
        let refused = refusal(json!({"iss": issuer}));
        assert!(matches!(refused, TokenRefusal::Issuer { .. }), "{refused}");
    }
    for subject in [Value::Null, json!(""), json!(7), json!("x".repeat(256))] {
        let refused = refusal(json!({"sub": subject}));
        assert!(
            matches!(refused, TokenRefusal::Claim { claim: "sub", .. }),
            "{refused}"
        );
    }
}

#[test]
fn no_token_chooses_how_it_is_verified() {
    let claims = claims().to_string();
    // No signature at all.
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(&claims));
    assert!(matches!(
        verify(&unsigned),
        Err(TokenRefusal::Algorithm { .. })
    ));
    // The public key as a shared secret.
    let public = keys().rsa.public_key().as_ref();
    let signed = format!(
        "{}.{}",
        base64(r#"{"alg":"HS256","kid":"rsa"}"#),
        base64(&claims)
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let confused = format!("{signed}.{}", base64(tag.as_ref()));
    assert!(matches!(
        verify(&confused),
        Err(TokenRefusal::Algorithm { .. })
    ));
    // Keys of its own, and where to fetch them: the header is not even looked at.
    let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = own.public_key().as_ref();
    let header = json!({"alg": "ES256", "kid": "p256", "jku": "https://evil.example/jwks", "x5u": "https://evil.example",
        "jwk": {"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])}});
    let signed = format!("{}.{}", base64(header.to_string()), base64(&claims));
    let signature = own.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let refused = verify(&format!("{signed}.{}", base64(signature.as_ref()))).unwrap_err();
    assert!(
        matches!(refused, TokenRefusal::Signature { .. }),
        "{refused}"
    );
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    for (header, good) in [
        (
            json!({"alg": "ES256", "kid": "p256", "typ": "at+JWT"}),
            true,
        ),
        (
            json!({"alg": "ES256", "kid": "p256", "typ": "application/jwt"}),
            true,
        ),
        (json!({"alg": "ES256"}), true),
        (
            json!({"alg": "ES256", "kid": "p256", "typ": "logout+jwt"}),
            false,
        ),
        (json!({"alg": "ES256", "kid": "p256", "typ": 1}), false),
        (
            json!({"alg": "ES256", "kid": "p256", "crit": ["b64"], "b64": false}),
            false,
        ),
        (json!({"alg": "ES256", "kid": "p256", "crit": []}), false),
        (json!({"alg": "ES256", "kid": "unknown"}), false),
        (json!({"alg": "ES256", "kid": 7}), false),
        (json!({"alg": ["ES256"], "kid": "p256"}), false),
        (json!({"alg": "es256", "kid": "p256"}), false),
        (json!({"alg": "ES512", "kid": "p256"}), false),
        (json!({"kid": "p256"}), false),
    ] {
        let result = verify(&token_with(&header, &claims().to_string(), "p256"));
        assert_eq!(result.is_ok(), good, "{header}");
    }
}

#[test]
fn an_algorithm_that_the_provider_does_not_use_is_refused() {
    let mut provider = provider();
    provider.algorithms = vec![TokenAlgorithm::Rs256];
    let refused =
        verify_web_identity(&token(&claims()), &provider, "aws", &jwks(), now()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the token is signed with ES256 and provider ci takes RS256"
    );
}

#[test]
fn a_changed_token_is_refused() {
    let good = token(&claims());
    let [header, body, signature]: [&str; 3] =
        good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = base64(with(json!({"sub": "repo:acme/else"})).to_string());
    let mut short = URL_SAFE_NO_PAD.decode(signature).unwrap();
    short.pop();
    for changed in [
        format!("{header}.{other}.{signature}"),
        format!("{header}.{body}.{}", base64(short)),
        format!("{header}.{body}.{}", base64([0; 64])),
        format!("{header}.{body}.{signature}="),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}.{body}.{signature}.."),
        format!("{header}.{body}."),
        format!("{header}.{body}"),
        format!(" {good}"),
        good.replace('.', "\n."),
    ] {
        assert!(verify(&changed).is_err(), "{changed}");
    }
    assert!(verify(&good).is_ok());
}

#[test]
fn two_readers_cannot_see_two_tokens() {
    let header = json!({"alg": "ES256", "kid": "p256"});
    let twice = claims()
        .to_string()
        .replacen('{', r#"{"sub":"repo:acme/else","#, 1);
    let refused = verify(&token_with(&header, &twice, "p256")).unwrap_err();
    assert!(
        matches!(refused, TokenRefusal::Malformed { .. }),
        "{refused}"
    );
}

#[test]
fn lengths_are_bounded() {
    assert!(matches!(
        verify("a.b"),
        Err(TokenRefusal::Length { characters: 3, .. })
    ));
    let long = "a".repeat(20_001);
    assert!(matches!(verify(&long), Err(TokenRefusal::Length { .. })));
    let nested = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    let deep = format!(
        "{}.{}.AA",
        base64(r#"{"alg":"ES256"}"#),
        base64(&nested[..14_000])
    );
    assert!(matches!(verify(&deep), Err(TokenRefusal::Malformed { .. })));
}

#[test]
fn tags_that_no_session_can_carry_are_refused() {
    let tags = |tags: Value| json!({"https://aws.amazon.com/tags": tags});
    for changes in [
        tags(json!([])),
        tags(json!({"principal_tags": []})),
        tags(json!({"principal_tags": {"a": ["1", "2"]}})),
        tags(json!({"principal_tags": {"a": [1]}})),
        // A role that certificates may take, too, may go by it.
        tags(json!({"principal_tags": {"x509Subject/CN": "root"}})),
        tags(json!({"principal_tags": {"X509san/DNS": "db.example"}})),
        tags(json!({"principal_tags": {"a": "1", "A": "1"}})),
        tags(json!({"principal_tags": {"a": "x".repeat(257)}})),
        tags(json!({"principal_tags": {"a": "1"}, "transitive_tag_keys": ["b"]})),
        json!({"https://aws.amazon.com/source_identity": "aws:me"}),
        json!({"https://aws.amazon.com/source_identity": "x"}),
        json!({"https://aws.amazon.com/source_identity": 7}),
    ] {
        let case = changes.to_string();
        let refused = refusal(changes);
        assert!(
            matches!(refused, TokenRefusal::SessionClaim { .. }),
            "{case} {refused}"
        );
    }
}

#[test]
fn a_provider_keeps_its_limits() {
    let check = |change: fn(&mut OidcProvider)| {
        let mut provider = provider();
        change(&mut provider);
        IdentityProvider::Oidc(provider).validate(now())
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert!(matches!(
        check(|p| p.name = "a b".into()),
        Err(ProviderError::Name { .. })
    ));
    assert!(matches!(
        check(|p| p.issuer = "http://issuer.example".into()),
        Err(ProviderError::Url { .. })
    ));
    // Its claim `SourceIp` would be the condition key aws:SourceIp, and its `ExternalId` sts:ExternalId.
    for (issuer, fits) in [
        ("https://aws", false),
        ("https://STS", false),
        ("https://saml", false),
        ("https://aws/", true),
        ("https://aws:8443", true),
        ("https://kubernetes.default.svc", true),
        ("http://localhost", true),
        // Where the claim `y:sub` of https://issuer.example/x would be its subject.
        ("https://issuer.example/x:y", false),
        ("https://*.example", false),
        ("https://issuer.example/*", false),
    ] {
        let mut provider = provider();
        provider.issuer = issuer.into();
        let found = IdentityProvider::Oidc(provider).validate(now());
        assert_eq!(found.is_ok(), fits, "{issuer} {found:?}");
    }
    assert!(matches!(
        check(|p| p.keys = KeySource::Url("http://127.0.0.1/jwks".into())),
        Err(ProviderError::Url { .. })
    ));
    assert!(matches!(
        check(|p| p.keys = KeySource::Document("{}".into())),
        Err(ProviderError::Keys(_))
    ));
    assert!(matches!(
        check(|p| p.audiences.clear()),
        Err(ProviderError::AudienceCount { count: 0 })
    ));
    assert!(matches!(
        check(|p| p.audiences = vec!["a".into(), "a".into()]),
        Err(ProviderError::Audience { .. })
    ));
    assert_eq!(
        check(|p| p.algorithms.clear()),
        Err(ProviderError::Algorithms)
    );
}

#[test]
fn discovery_is_about_the_issuer_that_was_asked() {
    let provider = provider();
    assert_eq!(
        provider.discovery_url(),
        "https://issuer.example/ci/.well-known/openid-configuration"
    );
    let address = |issuer: &str, keys: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys, "more": 1}).to_string();
        provider.keys_address(document.as_bytes())
    };
    let keys = "https://keys.example/jwks";
    assert_eq!(
        address("https://issuer.example/ci", keys).as_deref(),
        Some(keys)
    );
    assert_eq!(address("https://issuer.example/other", keys), None);
    assert_eq!(
        address("https://issuer.example/ci", "http://127.0.0.1/x"),
        None
    );
    assert_eq!(provider.keys_address(b"{}"), None);
}
