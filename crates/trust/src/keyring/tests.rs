use proptest::prelude::*;

use super::*;
use crate::claims::{CertificateClaim, CertificateOrigin, Origin, RoleSession, SessionPrincipal};
use crate::fixture::{CN, Leaf, Story, allow, now};
use crate::{ManagedPolicy, RoleId, Uuid};
use bowline_policy::{NamedPolicy, PolicyKind, SessionLayer, Tag};
use bowline_x509::SerialNumber;

fn ring() -> KeyRing {
    KeyRing::new(1, [(0, &[10; 32]), (1, &[11; 32])]).unwrap()
}

fn draw(seed: u8) -> Draw {
    Draw {
        access_key_id: [seed; 9],
        session_id: [seed ^ 0x55; 16],
        nonce: [seed ^ 0xaa; 12],
    }
}

fn story_with_policies() -> Story {
    let mut story = Story::new();
    story.profile.session_policy = Some(allow("s3:*", PolicyKind::Session));
    story.profile.managed_policies.push(ManagedPolicy {
        arn: "arn:aws:iam::123456789012:policy/list".to_owned(),
        policy: allow("s3:ListBucket", PolicyKind::Session),
    });
    story.session_policies = vec![NamedPolicy::new(
        "inline",
        allow("s3:GetObject", PolicyKind::Session),
    )];
    story
}

fn credentials(ring: &KeyRing, seed: u8) -> TemporaryCredentials {
    ring.seal(&story_with_policies().decide().unwrap(), &draw(seed))
}

#[test]
fn what_is_sealed_is_opened_again() {
    let ring = ring();
    let grant = story_with_policies().decide().unwrap();
    let credentials = ring.seal(&grant, &draw(7));
    let session = ring
        .open(
            credentials.access_key_id.as_str(),
            &credentials.session_token,
            now(),
        )
        .unwrap();

    let (sealed, opened) = (grant.claims(), session.claims());
    assert_eq!(session.id(), &draw(7).session_id);
    assert_eq!(opened.account, sealed.account);
    assert_eq!(opened.partition, "aws");
    assert_eq!(opened.principal, sealed.principal);
    assert_eq!(
        opened.role_arn().as_deref(),
        Some("arn:aws:iam::123456789012:role/app/web")
    );
    assert_eq!(
        opened.principal_arn(),
        "arn:aws:sts::123456789012:assumed-role/web/1f71c5"
    );
    assert_eq!(opened.source_identity.as_deref(), Some("CN=web-1"));
    assert_eq!(opened.origin, sealed.origin);
    assert_eq!(opened.tags, sealed.tags);
    assert_eq!(
        (opened.issued_at, opened.expires_at),
        (sealed.issued_at, sealed.expires_at)
    );
    let layers: Vec<(&str, Vec<&str>)> = opened
        .layers
        .iter()
        .map(|layer| {
            (
                &*layer.name,
                layer.policies.iter().map(|policy| &*policy.name).collect(),
            )
        })
        .collect();
    assert_eq!(
        layers,
        [
            (
                "profile",
                vec![
                    "profile/default/session",
                    "arn:aws:iam::123456789012:policy/list"
                ]
            ),
            ("request", vec!["inline"])
        ]
    );
}

#[test]
fn credentials_have_the_form_that_clients_know() {
    let credentials = credentials(&ring(), 7);
    let access_key_id = credentials.access_key_id.as_str();
    assert_eq!(access_key_id.len(), 20);
    assert!(access_key_id.starts_with("ASIA"));
    assert!(
        access_key_id[4..]
            .bytes()
            .all(|octet| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".contains(&octet))
    );
    assert_eq!(credentials.access_key_id.kid(), 1);
    assert_eq!(credentials.secret_access_key.len(), 40);
    let plain = |text: &str| {
        text.bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    assert!(plain(&credentials.session_token) && plain(&credentials.secret_access_key));
    assert_eq!(
        credentials.packed_policy_size,
        packed_percentage(credentials.session_token.len())
    );
}

#[test]
fn the_secret_comes_from_the_access_key_id_alone() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let again = ring.secret_for(credentials.access_key_id.as_str()).unwrap();
    assert_eq!(again, credentials.secret_access_key);
    let other = AccessKeyId::new(1, [8; 9]);
    assert_ne!(ring.secret_for(other.as_str()).unwrap(), again);
}

#[test]
fn the_derivation_never_changes() {
    // Credentials outlive an upgrade of the program: these are the bytes that version 1 stands for, computed with
    // another implementation of HKDF.
    let ring = KeyRing::new(0, [(0, &[0; 32])]).unwrap();
    let secret = ring.secret_for("ASIAAAAAAAAAAAAAAAAA").unwrap();
    assert_eq!(*secret, "0ovukmHig5CC7bEok37bzkW3GQoz_ZOHFhCr-uAm");
}

#[test]
fn a_token_of_version_one_opens_for_ever() {
    // Sealed by the first release. If this fails, running sessions would break at an upgrade: raise the version.
    let ring = KeyRing::new(0, [(0, &[0; 32])]).unwrap();
    let layer = SessionLayer::new(
        "profile",
        vec![NamedPolicy::new(
            "p",
            allow("s3:GetObject", PolicyKind::Session),
        )],
    );
    let claims = Claims {
        partition: "aws".to_owned(),
        account: "123456789012".parse().unwrap(),
        principal: SessionPrincipal::Role(RoleSession {
            id: RoleId::from_random([3; 10]),
            path: "/app/".to_owned(),
            name: "web".to_owned(),
            session_name: "1f71".to_owned(),
        }),
        source_identity: Some("CN=web-1".to_owned()),
        origin: Origin::Certificate(CertificateOrigin {
            trust_anchor: Uuid::from_bytes([1; 16]),
            profile: Some(Uuid::from_bytes([2; 16])),
            subject: Uuid::from_bytes([4; 16]),
            certificate: CertificateClaim {
                issuer_key_id: [5; 20],
                serial: SerialNumber::from_bytes(&[0x1f, 0x71]).unwrap(),
                fingerprint: [6; 32],
                not_after: None,
            },
        }),
        chain: Vec::new(),
        tags: vec![
            Tag::new("x509Subject/CN", "web-1").unwrap(),
            Tag::new("team", "a").unwrap(),
        ],
        transitive_tag_keys: Vec::new(),
        layers: vec![layer],
        issued_at: now(),
        expires_at: now() + chrono::TimeDelta::seconds(3600),
        mfa_at: None,
        confirmation: None,
    };
    let session = ring
        .open("ASIAAADQOBYHA4DQOBYH", TOKEN_OF_VERSION_ONE, now())
        .unwrap();
    assert_eq!(
        (session.id(), session.claims().to_cbor()),
        (&draw(7).session_id, claims.to_cbor())
    );
}

const TOKEN_OF_VERSION_ONE: &str = concat!(
    "AQCtra2tra2tra2tra0ICyIkBAwKUhcDMKmVt_TJDu7GBs-chLubwl6iTXtIy4GHzILp-RW8t6qwRQX5zBacXyi7",
    "oOt4TeKAK9dOJ73WKLLgk_UUvgk2mXv1DwCsChuX5cUcAWPR-T7poVk53RBJeKm6T5eu6m8HPvDvW8G_BK4HxKxw",
    "kGFelQJwTEdetHG0a2NCCS9ATkAqucQF-nBvhZWOh_AIMLxUYUjkpjo2jSNuP6_qBAN22E-jH4ZiM2_wYRFfhg8O",
    "WBzQZnMDzdTPq9IhGHuhsddSSDAmnYsO0y5YqKvWwLlzctKoHXd7q89ZukYFqoe3lTc1_bqwqByXVJy5q1CiblKr",
    "vQ1Lc2cnvjucuKmE82NY8Ihznwjg0p83arQxCohtYkQz75r0H3Y7eYmXtuvriJHZ8E8bqnZMQjSjYjmFOEiYYn5j",
    "-3vHYLkFYghIZ1FP8zEGV4YKCCoEU3-JNTMqs3s_eFuUzV9oy1w",
);

#[test]
fn other_roots_and_other_ids_give_other_secrets() {
    let text = AccessKeyId::new(1, [7; 9]);
    let secret = |root: u8| {
        KeyRing::new(1, [(1, &[root; 32])])
            .unwrap()
            .secret_for(text.as_str())
            .unwrap()
            .to_string()
    };
    assert_ne!(secret(1), secret(2));
}

#[test]
fn the_token_of_another_session_does_not_open() {
    let ring = ring();
    let (mine, theirs) = (credentials(&ring, 7), credentials(&ring, 8));
    assert_eq!(
        ring.open(mine.access_key_id.as_str(), &theirs.session_token, now())
            .unwrap_err(),
        TokenError::NotAuthentic
    );
}

#[test]
fn the_token_of_another_key_does_not_open() {
    let (old, new) = (KeyRing::new(0, [(0, &[10; 32])]).unwrap(), ring());
    let (before, after) = (credentials(&old, 7), credentials(&new, 7));
    assert_eq!(
        new.open(after.access_key_id.as_str(), &before.session_token, now())
            .unwrap_err(),
        TokenError::OtherKey {
            token: 0,
            access_key: 1
        }
    );
    let elsewhere = KeyRing::new(1, [(1, &[99; 32])]).unwrap();
    assert_eq!(
        elsewhere
            .open(after.access_key_id.as_str(), &after.session_token, now())
            .unwrap_err(),
        TokenError::NotAuthentic
    );
}

#[test]
fn a_rotated_ring_still_opens_what_the_old_key_sealed_until_it_is_dropped() {
    let old = KeyRing::new(0, [(0, &[10; 32])]).unwrap();
    let credentials = credentials(&old, 7);
    let (id, token) = (
        credentials.access_key_id.as_str(),
        &credentials.session_token,
    );
    assert!(ring().open(id, token, now()).is_ok());
    let dropped = KeyRing::new(1, [(1, &[11; 32])]).unwrap();
    assert_eq!(
        dropped.open(id, token, now()).unwrap_err(),
        TokenError::UnknownKey { kid: 0 }
    );
    assert_eq!(
        dropped.secret_for(id).unwrap_err(),
        TokenError::UnknownKey { kid: 0 }
    );
}

#[test]
fn every_flipped_byte_of_a_token_is_refused() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let id = credentials.access_key_id.as_str();
    let frame = URL_SAFE_NO_PAD.decode(&credentials.session_token).unwrap();
    for at in 0..frame.len() {
        for bit in [0x01, 0x80] {
            let mut changed = frame.clone();
            changed[at] ^= bit;
            let error = ring
                .open(id, &URL_SAFE_NO_PAD.encode(&changed), now())
                .unwrap_err();
            let expected = match at {
                0 => "unknown_session_token_version",
                1 => "session_token_of_another_key",
                _ => "session_token_not_authentic",
            };
            assert_eq!(error.code(), expected, "byte {at}");
        }
    }
}

#[test]
fn every_changed_character_of_a_token_is_refused() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let id = credentials.access_key_id.as_str();
    for at in 0..credentials.session_token.len() {
        let mut changed = credentials.session_token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(ring.open(id, &changed, now()).is_err(), "character {at}");
    }
}

#[test]
fn texts_that_are_no_tokens_are_refused_by_name() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let id = credentials.access_key_id.as_str();
    let token = &credentials.session_token;
    let code = |id: &str, token: &str| ring.open(id, token, now()).unwrap_err().code();
    assert_eq!(code(id, ""), "malformed_session_token");
    assert_eq!(code(id, "AQ"), "malformed_session_token");
    assert_eq!(code(id, "not base64url!"), "malformed_session_token");
    assert_eq!(code(id, &format!("{token}=")), "malformed_session_token");
    assert_eq!(
        code(id, &"A".repeat(TOKEN_BYTES_OPENED_MAX + 1)),
        "session_token_too_long"
    );
    assert_eq!(
        code(
            id,
            &URL_SAFE_NO_PAD.encode([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        ),
        "session_token_not_authentic"
    );
    for access_key in [
        "",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIA",
        "ASIAIOSFODNN7EXAMPL1",
        "asiaaaaaaaaaaaaaaaaa",
        "ASIAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(
            code(access_key, token),
            "malformed_access_key_id",
            "{access_key}"
        );
    }
}

#[test]
fn a_session_opens_from_a_minute_before_its_beginning_to_the_second_before_its_end() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let code = |seconds: i64| {
        ring.open(
            credentials.access_key_id.as_str(),
            &credentials.session_token,
            now() + chrono::TimeDelta::seconds(seconds),
        )
        .map_err(|error| error.code())
        .err()
    };
    assert_eq!(code(-61), Some("session_issued_in_future"));
    assert_eq!(code(-60), None);
    assert_eq!(code(0), None);
    assert_eq!(code(3599), None);
    assert_eq!(code(3600), Some("session_expired"));
    assert_eq!(
        credentials.expiration,
        now() + chrono::TimeDelta::seconds(3600)
    );
}

#[test]
fn a_ring_needs_its_current_key_and_each_id_once() {
    assert_eq!(
        KeyRing::new(2, [(1, &[1; 32])]).unwrap_err(),
        KeyRingError::CurrentMissing { kid: 2 }
    );
    assert_eq!(
        KeyRing::new(1, [(1, &[1; 32]), (1, &[2; 32])]).unwrap_err(),
        KeyRingError::Repeated { kid: 1 }
    );
}

#[test]
fn nothing_secret_is_printed() {
    let ring = ring();
    let credentials = credentials(&ring, 7);
    let printed = format!("{ring:?} {credentials:?}");
    assert!(!printed.contains(&*credentials.secret_access_key));
    assert!(!printed.contains(&credentials.session_token));
    assert!(printed.contains(credentials.access_key_id.as_str()));
}

#[test]
fn the_size_is_known_before_the_seal() {
    for story in [
        Story::new(),
        story_with_policies(),
        Story::of(&Leaf::new(&[(CN, "x")])),
    ] {
        let grant = story.decide().unwrap();
        assert_eq!(
            ring().seal(&grant, &draw(7)).session_token.len(),
            grant.token_bytes()
        );
    }
}

#[test]
fn one_draw_is_cut_into_three_parts() {
    let bytes: Vec<u8> = (0..37).collect();
    let draw = Draw::from(<[u8; 37]>::try_from(bytes.as_slice()).unwrap());
    let parts = [&draw.access_key_id[..], &draw.session_id, &draw.nonce].concat();
    assert_eq!(parts, bytes);
}

/// An edit of a token: where, how much goes, what comes.
fn edit() -> impl Strategy<Value = (usize, usize, String)> {
    (any::<usize>(), 0..8usize, "[A-Za-z0-9_=+/. -]{0,8}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn an_edited_token_does_not_open((at, removed, inserted) in edit()) {
        let ring = ring();
        let credentials = credentials(&ring, 7);
        let token = &credentials.session_token;
        let at = at % (token.len() + 1);
        let end = (at + removed).min(token.len());
        let edited = format!("{}{inserted}{}", &token[..at], &token[end..]);
        prop_assume!(edited != *token);
        prop_assert!(ring.open(credentials.access_key_id.as_str(), &edited, now()).is_err());
    }

    #[test]
    fn an_access_key_id_reads_as_it_prints(kid: u8, random: [u8; 9]) {
        let id = AccessKeyId::new(kid, random);
        let read: AccessKeyId = id.as_str().parse().unwrap();
        prop_assert_eq!(read.kid(), kid);
        prop_assert_eq!(read, id);
    }

    #[test]
    fn no_text_makes_opening_panic(id in ".{0,24}", token in "[A-Za-z0-9_-]{0,200}") {
        prop_assert!(ring().open(&id, &token, now()).is_err());
    }
}
