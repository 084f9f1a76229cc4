use super::*;
use crate::testing::{BadSigner, TestSigner, name, now, root_of, serial, time, world};
use crate::{Asked, CertificateProfile};
use bowline_x509::CertificateList;
use chrono::TimeDelta;

fn revocation(number: u32, reason: RevocationReason) -> Revocation {
    let mut drawn = [0x80; 16];
    drawn[12..].copy_from_slice(&number.to_be_bytes());
    let revoked_at = now() - TimeDelta::seconds(i64::from(number % 86_400));
    Revocation {
        serial: SerialNumber::from_random(drawn),
        revoked_at,
        reason,
    }
}

fn list(revocations: &[Revocation]) -> CertificateList {
    let world = world();
    let next = now() + TimeDelta::hours(24);
    let der = sign_crl(
        &world.issuing,
        &world.issuing_signer,
        7,
        now(),
        next,
        revocations,
    )
    .unwrap();
    let list = CertificateList::from_der(&der).unwrap();
    assert!(list.verify_signed_by(world.issuing.public_key()).is_ok());
    list
}

fn many(count: u32) -> Vec<Revocation> {
    (0..count)
        .map(|number| {
            revocation(
                number.wrapping_mul(2_654_435_761),
                RevocationReason::Superseded,
            )
        })
        .collect()
}

#[test]
fn an_empty_list_has_no_revoked_certificates_field() {
    let list = list(&[]);
    assert!(list.is_empty());
    assert_eq!(list.version(), 1);
    assert_eq!(list.issuer().as_der(), world().issuing.subject().as_der());
    assert_eq!(list.number(), Some(7));
    assert_eq!(list.this_update(), now());
    assert_eq!(list.next_update(), Some(now() + TimeDelta::hours(24)));
    assert_eq!(list.authority_key_id(), Some(world().issuing.key_id()));
    assert!(!list.is_delta());
    // nextUpdate, and right after it the extensions.
    let next_update = b"\x17\x0d260302120000Z\xa0";
    assert!(
        list.tbs_der()
            .windows(next_update.len())
            .any(|window| window == next_update)
    );
}

#[test]
fn the_key_identifier_is_the_issuers_own_and_not_its_issuers() {
    let issuing = world().issuing.certificate();
    assert_ne!(issuing.subject_key_id(), issuing.authority_key_id());
    assert_eq!(list(&[]).authority_key_id(), issuing.subject_key_id());
}

#[test]
fn every_reason_of_a_full_list_is_read_back_and_unspecified_is_left_out() {
    let reasons = RevocationReason::ALL
        .into_iter()
        .filter(|reason| *reason != RevocationReason::RemoveFromCrl);
    for (number, reason) in reasons.enumerate() {
        let revocation = revocation(number as u32, reason);
        let list = list(std::slice::from_ref(&revocation));
        let entry = list.revoked(&revocation.serial).unwrap();
        assert_eq!(
            (entry.revoked_at, entry.reason),
            (revocation.revoked_at, reason)
        );
        let has_reason = list
            .tbs_der()
            .windows(5)
            .any(|window| window == [6, 3, 0x55, 0x1d, 21]);
        assert_eq!(
            has_reason,
            reason != RevocationReason::Unspecified,
            "{reason}"
        );
    }
}

#[test]
fn removal_is_for_delta_lists() {
    let revocation = revocation(1, RevocationReason::RemoveFromCrl);
    let world = world();
    let next = now() + TimeDelta::hours(1);
    let error = sign_crl(
        &world.issuing,
        &world.issuing_signer,
        1,
        now(),
        next,
        [&revocation],
    )
    .unwrap_err();
    assert_eq!(error.code(), "reason_of_delta_crl");
    assert!(error.to_string().contains(&revocation.serial.to_hex()));
}

#[test]
fn ten_thousand_are_listed_each_and_no_other() {
    for count in [1, 127, 128, 10_000] {
        let revocations = many(count);
        let list = list(&revocations);
        assert_eq!(list.len(), count as usize);
        for revocation in &revocations {
            let entry = list.revoked(&revocation.serial).unwrap();
            assert_eq!(
                (entry.revoked_at, entry.reason),
                (revocation.revoked_at, revocation.reason)
            );
        }
        assert!(list.revoked(&serial(1)).is_none());
    }
}

#[test]
fn entries_are_sorted_by_number_whatever_order_they_come_in() {
    let world = world();
    let next = now() + TimeDelta::hours(1);
    let of = |octets: &[u8]| SerialNumber::from_bytes(octets).unwrap();
    let at = now();
    let numbers = [
        &[1][..],
        &[0x7f],
        &[0x80],
        &[0xff],
        &[1, 0],
        &[0x80, 0],
        &[0xff; 16],
        &[0x7f; 20],
    ];
    let sorted: Vec<_> = numbers
        .iter()
        .map(|octets| Revocation {
            serial: of(octets),
            revoked_at: at,
            reason: RevocationReason::KeyCompromise,
        })
        .collect();
    let mut other_order = sorted.clone();
    other_order.reverse();
    other_order.swap(1, 5);
    let signed = |revocations: &[Revocation]| {
        let der = sign_crl(
            &world.issuing,
            &world.issuing_signer,
            1,
            now(),
            next,
            revocations,
        )
        .unwrap();
        CertificateList::from_der(&der).unwrap().tbs_der().to_vec()
    };
    assert_eq!(signed(&sorted), signed(&other_order));
    let places = numbers.map(|octets| {
        let encoded = of(octets).to_der();
        signed(&sorted)
            .windows(encoded.len())
            .rposition(|window| window == encoded)
            .unwrap()
    });
    // The shortest numbers occur by chance elsewhere; those of many octets do not.
    assert!(places[6] < places[7], "{places:?}");
}

#[test]
fn a_certificate_given_twice_is_listed_once_since_the_earlier_time() {
    let early = Revocation {
        revoked_at: time("2026-01-01T00:00:00Z"),
        ..revocation(5, RevocationReason::KeyCompromise)
    };
    let late = Revocation {
        revoked_at: time("2026-02-01T00:00:00Z"),
        ..revocation(5, RevocationReason::Superseded)
    };
    for order in [[early.clone(), late.clone()], [late, early.clone()]] {
        let list = list(&order);
        assert_eq!(list.len(), 1);
        let entry = list.revoked(&early.serial).unwrap();
        assert_eq!(
            (entry.revoked_at, entry.reason),
            (early.revoked_at, early.reason)
        );
    }
}

#[test]
fn every_kind_of_authority_signs_lists() {
    for signer in TestSigner::of_every_kind() {
        let root = root_of(signer);
        let der = sign_crl(
            &root,
            signer,
            u64::MAX,
            now(),
            now() + TimeDelta::hours(1),
            &many(3),
        )
        .unwrap();
        let list = CertificateList::from_der(&der).unwrap();
        assert!(list.verify_signed_by(root.public_key()).is_ok());
        assert_eq!(list.number(), Some(u64::MAX));
        assert_eq!(
            list.signature_algorithm(),
            Some(root.public_key().default_signature_algorithm())
        );
    }
}

#[test]
fn a_serial_that_cannot_be_ours_is_not_listed() {
    let world = world();
    let profile = CertificateProfile::workload();
    let subject = crate::testing::subject("web-1");
    let draft = profile
        .draft(
            &subject,
            &Asked::default(),
            &world.issuing,
            serial(9),
            now(),
        )
        .unwrap();
    let leaf = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
    // A foreign certificate with a negative serial.
    let mut der = leaf.der().to_vec();
    let at = der
        .windows(3)
        .position(|window| window == [2, 1, 9])
        .unwrap();
    der[at + 2] = 0xf7;
    let serial = bowline_x509::Certificate::from_der(&der)
        .unwrap()
        .serial()
        .clone();
    let revocation = Revocation {
        serial,
        ..revocation(1, RevocationReason::Superseded)
    };
    let next = now() + TimeDelta::hours(1);
    let error = sign_crl(
        &world.issuing,
        &world.issuing_signer,
        1,
        now(),
        next,
        [&revocation],
    )
    .unwrap_err();
    assert_eq!(error.code(), "not_encodable");
}

#[test]
fn numbers_stay_positive() {
    for number in [0, 1, 127, 128, 255, 256, 0x8000_0000_0000_0000] {
        let world = world();
        let next = now() + TimeDelta::hours(1);
        let der = sign_crl(
            &world.issuing,
            &world.issuing_signer,
            number,
            now(),
            next,
            [],
        )
        .unwrap();
        assert_eq!(
            CertificateList::from_der(&der).unwrap().number(),
            Some(number)
        );
    }
}

#[test]
fn a_list_never_outlives_its_signer() {
    let world = world();
    let last = world.issuing.certificate().validity().not_after;
    let this = last - TimeDelta::hours(1);
    let signed = |this, next| sign_crl(&world.issuing, &world.issuing_signer, 1, this, next, []);
    let list =
        CertificateList::from_der(&signed(this, last + TimeDelta::hours(23)).unwrap()).unwrap();
    assert_eq!(list.next_update(), Some(last));
    let error = signed(last, last + TimeDelta::hours(24)).unwrap_err();
    assert_eq!(error.code(), "crl_period_empty");
    assert_eq!(signed(now(), now()).unwrap_err().code(), "crl_period_empty");
    assert_eq!(
        signed(now(), now() - TimeDelta::hours(1))
            .unwrap_err()
            .code(),
        "crl_period_empty"
    );
}

#[test]
fn lists_of_2050_are_written_in_generalizedtime() {
    let signer = TestSigner::p256();
    let asked = Asked {
        not_before: None,
        not_after: Some(time("2060-01-01T00:00:00Z")),
        ..Asked::default()
    };
    let root = crate::testing::root_at(&signer, time("2045-01-01T00:00:00Z"), asked);
    let (this, next) = (time("2049-12-31T23:59:59Z"), time("2050-01-01T00:00:00Z"));
    let revocations = [this, next].map(|revoked_at| Revocation {
        revoked_at,
        ..revocation(revoked_at.timestamp() as u32, RevocationReason::Unspecified)
    });
    let der = sign_crl(&root, &signer, 1, this, next, &revocations).unwrap();
    let list = CertificateList::from_der(&der).unwrap();
    assert_eq!((list.this_update(), list.next_update()), (this, Some(next)));
    for revocation in &revocations {
        assert_eq!(
            list.revoked(&revocation.serial).unwrap().revoked_at,
            revocation.revoked_at
        );
    }
    for (encoded, times) in [
        (&b"\x17\x0d491231235959Z"[..], 2),
        (b"\x18\x0f20500101000000Z", 2),
    ] {
        assert_eq!(
            der.windows(encoded.len())
                .filter(|window| *window == encoded)
                .count(),
            times
        );
    }
}

#[test]
fn only_the_authoritys_own_key_signs_and_only_the_list() {
    let world = world();
    let next = now() + TimeDelta::hours(1);
    let sign =
        |signer: &dyn Signer| sign_crl(&world.issuing, signer, 1, now(), next, []).unwrap_err();
    assert_eq!(
        sign(&TestSigner::p256()).code(),
        "signer_is_not_the_authority"
    );
    let honest = &world.issuing_signer;
    assert_eq!(
        sign(&BadSigner {
            honest,
            refusal: Some("key is locked")
        })
        .to_string(),
        "cannot sign: key is locked"
    );
    assert_eq!(
        sign(&BadSigner {
            honest,
            refusal: None
        })
        .code(),
        "own_signature_wrong"
    );
}

#[test]
fn an_authority_without_crl_sign_signs_no_lists() {
    let signer = TestSigner::p256();
    let profile = CertificateProfile::root();
    let mut draft = profile
        .draft_root(
            &name("CN=Test"),
            signer.public_key(),
            &Asked::default(),
            serial(1),
            now(),
        )
        .unwrap();
    draft
        .0
        .key_usages
        .retain(|usage| *usage != crate::KeyUsage::CrlSign);
    let root = Authority::new(draft.sign(&signer).unwrap(), Vec::new(), None).unwrap();
    let error = sign_crl(&root, &signer, 1, now(), now() + TimeDelta::hours(1), []).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of CN=Test has no cRLSign in its key usage and cannot sign revocation lists"
    );
}
