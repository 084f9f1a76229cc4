use proptest::prelude::*;

use super::*;
use crate::fixture::{Story, allow, now};
use crate::{KeyRing, SessionRequest, TOKEN_BYTES_MAX};

#[test]
fn minifying_removes_space_between_tokens_only() {
    assert_eq!(
        minified("{ \"a b\" :\n\t[ 1 , \"c \\\" } d\" ] }\r\n"),
        "{\"a b\":[1,\"c \\\" } d\"]}"
    );
    assert_eq!(
        minified("\"ends in a backslash \\\\\" , \" x \""),
        "\"ends in a backslash \\\\\",\" x \""
    );
}

#[test]
fn a_tag_key_is_written_with_its_prefix_number() {
    for (key, prefix, rest) in [
        ("x509Subject/CN", 1, "CN"),
        ("x509Issuer/O", 2, "O"),
        ("x509SAN/Name/CN", 3, "Name/CN"),
        ("team", 0, "team"),
    ] {
        let part = TagPart::of(&Tag::new(key, "v").unwrap());
        assert_eq!((part.prefix, part.rest.as_str()), (prefix, rest), "{key}");
        assert_eq!(part.read().ok().unwrap().key(), key);
    }
}

#[test]
fn an_unknown_prefix_number_is_refused() {
    let part = TagPart {
        prefix: 4,
        rest: "CN".into(),
        value: "v".into(),
    };
    assert!(part.read().is_err());
}

/// Claims that have everything that claims can have.
fn full() -> Claims {
    let mut claims = Story::new().decide().unwrap().claims().clone();
    claims.chain = vec![
        ChainLink {
            session_id: [1; 16],
            role: None,
            issued_at: now(),
        },
        ChainLink {
            session_id: [2; 16],
            role: Some(ChainRole {
                account: "222222222222".parse().unwrap(),
                id: RoleId::from_random([2; 10]),
                name: "elsewhere".to_owned(),
            }),
            issued_at: now(),
        },
    ];
    claims.transitive_tag_keys = vec!["x509Subject/CN".to_owned()];
    claims.layers = vec![SessionLayer::new(
        "request",
        vec![NamedPolicy::new("p", allow("s3:*", PolicyKind::Session))],
    )];
    claims.mfa_at = Some(now());
    claims.confirmation = Some([9; 32]);
    claims
}

fn again(claims: &Claims) -> Claims {
    let packed = Packed::of(claims);
    let payload = packed.to_payload(&[7; 16], 0);
    assert_eq!(payload.len(), packed.payload_len());
    let (id, read) = read_payload(&payload).unwrap();
    assert_eq!(id, [7; 16]);
    read
}

#[test]
fn what_is_written_is_read_again() {
    let federated = FederatedOrigin {
        provider_arn: "arn:aws:iam::123456789012:oidc-provider/x".to_owned(),
        subject: "somebody".to_owned(),
        audience: "us".to_owned(),
    };
    let user = SessionPrincipal::User(UserSession {
        path: "/p/".to_owned(),
        name: "web-1".to_owned(),
        id: Uuid::from_bytes([3; 16]),
    });
    let all = [
        Story::new().decide().unwrap().claims().clone(),
        full(),
        Claims {
            origin: Origin::WebIdentity(federated.clone()),
            source_identity: None,
            ..full()
        },
        Claims {
            origin: Origin::Saml(federated),
            ..full()
        },
        Claims {
            principal: user,
            ..full()
        },
    ];
    for claims in all {
        assert_eq!(format!("{:?}", again(&claims)), format!("{claims:?}"));
    }
}

#[test]
fn long_claims_are_deflated_and_short_ones_are_not() {
    let mut claims = full();
    assert!(!Packed::of(&claims).deflated);
    let many = (0..12).map(|n| {
        let action = format!("s3:Get{n}");
        NamedPolicy::new(
            format!("arn:aws:iam::1:policy/{n}"),
            allow(&action, PolicyKind::Session),
        )
    });
    claims.layers = vec![SessionLayer::new("request", many.collect())];
    let packed = Packed::of(&claims);
    assert!(packed.deflated && packed.payload_len() < claims.to_cbor().len() / 2);
    assert_eq!(format!("{:?}", again(&claims)), format!("{claims:?}"));
}

#[test]
fn what_would_not_be_inflated_is_not_deflated() {
    let mut claims = full();
    claims.tags = (0..90)
        .map(|n| Tag::new(format!("t{n}"), "x".repeat(256)).unwrap())
        .collect();
    assert!(claims.to_cbor().len() > INFLATED_BYTES_MAX);
    assert!(!Packed::of(&claims).deflated);
}

#[test]
fn a_payload_that_inflates_without_end_is_refused() {
    let mountain = compress_to_vec(&vec![0; INFLATED_BYTES_MAX + 1], DEFLATE_LEVEL);
    let packed = Packed {
        deflated: true,
        body: mountain,
    };
    let refused = read_payload(&packed.to_payload(&[0; 16], 0)).unwrap_err();
    assert_eq!(refused.why, "it does not inflate");
}

#[test]
fn claims_of_two_principals_or_no_origin_are_refused() {
    let read = |change: fn(&mut Payload)| {
        let mut payload = Payload::read(&full().to_cbor()).unwrap();
        change(&mut payload);
        payload.claims().unwrap_err().why
    };
    assert_eq!(
        read(|payload| payload.role = None),
        "it is not of one principal"
    );
    assert_eq!(
        read(|payload| payload.subject = None),
        "its certificate is told in part"
    );
    assert_eq!(
        read(|payload| {
            payload.trust_anchor = None;
            payload.subject = None;
            payload.certificate = None;
        }),
        "it is not of one origin"
    );
    assert_eq!(
        read(|payload| payload.chain[1].role_id = None),
        "a role of its chain is told in part"
    );
}

#[test]
fn a_token_is_padded_to_the_length_asked_for() {
    let story = Story::new();
    let ring = KeyRing::new(0, [(0, &[1; 32])]).unwrap();
    for bytes_min in [0, 1, 2_000, 2_001, 2_002, 2_003, TOKEN_BYTES_MAX] {
        let request = SessionRequest {
            token_bytes_min: bytes_min,
            ..story.request()
        };
        let grant = crate::authorize(&request).unwrap();
        let credentials = ring.seal(&grant, &crate::Draw::from([5; 37]));
        let length = credentials.session_token.len();
        assert_eq!(length, grant.token_bytes(), "{bytes_min}");
        assert!(length >= bytes_min && (bytes_min < 2_000 || length < bytes_min + 3));
        let id = credentials.access_key_id.as_str();
        assert!(ring.open(id, &credentials.session_token, now()).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), encoding in 0u8..3) {
        let mut payload = bytes;
        if let Some(first) = payload.first_mut() {
            *first = encoding;
        }
        let _ = read_payload(&payload);
        let _ = read_payload_of_version_one(&payload);
    }
}
