use super::*;
use crate::testing::{TestSigner, now, root_at, root_of, serial, subject, time};
use crate::{Authority, Draft};
use std::sync::OnceLock;

fn issuer() -> &'static Authority {
    static ISSUER: OnceLock<Authority> = OnceLock::new();
    ISSUER.get_or_init(|| root_of(&TestSigner::p256()))
}

fn asked(not_before: Option<&str>, not_after: Option<&str>) -> Asked {
    Asked {
        not_before: not_before.map(time),
        not_after: not_after.map(time),
        of_any_age: false,
    }
}

fn draft(profile: &CertificateProfile, asked: Asked, now: Time) -> Result<Draft, ProfileError> {
    profile.draft(&subject("web-1"), &asked, issuer(), serial(9), now)
}

/// `not_before not_after` or the code of the refusal.
fn outcome(profile: &CertificateProfile, asked: Asked, now: Time) -> String {
    match draft(profile, asked, now) {
        Ok(draft) => format!(
            "{} {}",
            crate::error::utc(&draft.validity.not_before),
            crate::error::utc(&draft.validity.not_after)
        ),
        Err(error) => error.code().to_owned(),
    }
}

#[test]
fn a_day_has_86400_seconds_both_ends_and_backdating_included() {
    for name in ["workload", "server", "client", "operator"] {
        let profile = CertificateProfile::named(name).unwrap();
        assert_eq!(
            outcome(&profile, Asked::default(), time("2026-06-10T08:00:00Z")),
            "2026-06-10T07:55:00Z 2026-06-11T07:54:59Z",
            "{name}"
        );
    }
}

#[test]
fn an_authority_has_ten_years_of_365_days() {
    let validity = issuer().certificate().validity();
    assert_eq!(validity.not_before, time("2026-03-01T11:55:00Z"));
    assert_eq!(validity.not_after, time("2036-02-27T11:54:59Z"));
    assert_eq!(lifetime(validity), TimeDelta::seconds(3650 * 86_400));
}

#[test]
fn leap_days_count_like_others() {
    let workload = CertificateProfile::workload();
    for (now, expected) in [
        (
            "2028-02-28T12:00:00Z",
            "2028-02-28T11:55:00Z 2028-02-29T11:54:59Z",
        ),
        (
            "2028-02-29T12:00:00Z",
            "2028-02-29T11:55:00Z 2028-03-01T11:54:59Z",
        ),
        (
            "2027-02-28T12:00:00Z",
            "2027-02-28T11:55:00Z 2027-03-01T11:54:59Z",
        ),
        (
            "2028-12-31T23:59:59Z",
            "2028-12-31T23:54:59Z 2029-01-01T23:54:58Z",
        ),
    ] {
        assert_eq!(outcome(&workload, Asked::default(), time(now)), expected);
    }
}

#[test]
fn parts_of_a_second_are_dropped() {
    let outcome = outcome(
        &CertificateProfile::workload(),
        Asked::default(),
        time("2026-06-10T08:00:00.999999999Z"),
    );
    assert_eq!(outcome, "2026-06-10T07:55:00Z 2026-06-11T07:54:59Z");
}

#[test]
fn the_maximum_is_granted_and_one_second_more_is_refused() {
    let now = time("2026-06-10T08:00:00Z");
    for name in ["workload", "server", "client", "operator"] {
        let profile = CertificateProfile::named(name).unwrap();
        let last = now - profile.backdate() + profile.max_validity() - TimeDelta::seconds(1);
        let exactly = Asked {
            not_before: None,
            not_after: Some(last),
            ..Asked::default()
        };
        assert_eq!(
            lifetime(draft(&profile, exactly, now).unwrap().validity),
            profile.max_validity(),
            "{name}"
        );
        let over = Asked {
            not_before: None,
            not_after: Some(last + TimeDelta::seconds(1)),
            ..Asked::default()
        };
        let error = draft(&profile, over, now).unwrap_err();
        let allowed = profile.max_validity().num_seconds();
        let asked = allowed + 1;
        let message =
            format!("validity of {asked} s is over the {allowed} s of certificate profile {name}");
        assert_eq!(error.to_string(), message);
        assert_eq!(error.code(), "validity_too_long");
    }
}

#[test]
fn a_hundred_years_are_refused_with_both_numbers() {
    let asked = asked(None, Some("2036-01-01T00:00:00Z"));
    let error = draft(&CertificateProfile::workload(), asked, now()).unwrap_err();
    assert_eq!(error.code(), "validity_too_long");
    let asked = Asked {
        not_before: None,
        not_after: Some(time("2126-01-01T00:00:00Z")),
        ..Asked::default()
    };
    let error = draft(&CertificateProfile::workload(), asked, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "validity ends at 2126-01-01T00:00:00Z, after the issuer's certificate does, at 2036-02-27T11:54:59Z"
    );
}

#[test]
fn what_is_asked_is_granted_to_the_second() {
    let workload = CertificateProfile::workload();
    let now = time("2026-06-10T08:00:00Z");
    for (not_before, not_after, expected) in [
        (
            None,
            Some("2026-06-10T09:00:00Z"),
            "2026-06-10T07:55:00Z 2026-06-10T09:00:00Z",
        ),
        (
            Some("2026-06-10T08:00:00Z"),
            None,
            "2026-06-10T08:00:00Z 2026-06-11T07:59:59Z",
        ),
        (
            Some("2026-06-10T07:55:00Z"),
            None,
            "2026-06-10T07:55:00Z 2026-06-11T07:54:59Z",
        ),
        (Some("2026-06-10T07:54:59Z"), None, "not_before_too_early"),
        (
            Some("2026-06-20T00:00:00Z"),
            Some("2026-06-20T00:00:00Z"),
            "2026-06-20T00:00:00Z 2026-06-20T00:00:00Z",
        ),
        (
            Some("2026-06-20T00:00:00Z"),
            Some("2026-06-19T23:59:59Z"),
            "validity_empty",
        ),
        (
            None,
            Some("2026-06-10T08:00:01Z"),
            "2026-06-10T07:55:00Z 2026-06-10T08:00:01Z",
        ),
        (None, Some("2026-06-10T08:00:00Z"), "validity_in_the_past"),
        (None, Some("2020-06-10T08:00:00Z"), "validity_in_the_past"),
    ] {
        assert_eq!(
            outcome(&workload, asked(not_before, not_after), now),
            expected
        );
    }
}

#[test]
fn nothing_begins_before_its_issuer() {
    // The issuer began at 11:55:00, and now is two minutes later than that.
    let now = time("2026-03-01T11:57:00Z");
    let workload = CertificateProfile::workload();
    assert_eq!(
        outcome(&workload, Asked::default(), now),
        "2026-03-01T11:55:00Z 2026-03-02T11:54:59Z"
    );
    let error = draft(&workload, asked(Some("2026-03-01T11:54:59Z"), None), now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "validity begins at 2026-03-01T11:54:59Z, before the issuer's certificate does, at 2026-03-01T11:55:00Z"
    );
}

#[test]
fn default_length_is_cut_at_the_issuers_end_and_says_so() {
    let now = time("2036-02-27T08:00:00Z");
    let cut = draft(&CertificateProfile::workload(), Asked::default(), now).unwrap();
    assert_eq!(cut.validity.not_after, time("2036-02-27T11:54:59Z"));
    assert_eq!(cut.shortened_from(), Some(time("2036-02-28T07:54:59Z")));
    let whole = draft(
        &CertificateProfile::workload(),
        Asked::default(),
        now - TimeDelta::days(1),
    )
    .unwrap();
    assert_eq!(whole.shortened_from(), None);
}

#[test]
fn an_end_asked_for_past_the_issuers_is_refused_and_the_issuers_own_is_granted() {
    let now = time("2036-02-27T08:00:00Z");
    let workload = CertificateProfile::workload();
    let last = asked(None, Some("2036-02-27T11:54:59Z"));
    assert_eq!(
        outcome(&workload, last, now),
        "2036-02-27T07:55:00Z 2036-02-27T11:54:59Z"
    );
    assert_eq!(
        outcome(&workload, asked(None, Some("2036-02-27T11:55:00Z")), now),
        "not_after_exceeds_issuer"
    );
}

#[test]
fn an_authority_issues_only_while_it_is_valid_itself() {
    let workload = CertificateProfile::workload();
    for (now, expected) in [
        ("2026-03-01T11:54:59Z", "issuer_not_yet_valid"),
        ("2036-02-27T11:55:00Z", "issuer_expired"),
        ("2036-02-27T11:54:59Z", "validity_in_the_past"),
        (
            "2036-02-27T11:54:58Z",
            "2036-02-27T11:49:58Z 2036-02-27T11:54:59Z",
        ),
    ] {
        assert_eq!(
            outcome(&workload, Asked::default(), time(now)),
            expected,
            "{now}"
        );
    }
}

#[test]
fn years_that_certificates_cannot_hold_are_refused() {
    let signer = TestSigner::p256();
    let profile = CertificateProfile::root();
    let subject = crate::testing::name("CN=Test");
    let code = |asked: Asked, now: Time| {
        let draft = profile.draft_root(
            &subject,
            bowline_x509::Signer::public_key(&signer),
            &asked,
            serial(1),
            now,
        );
        draft.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(
        code(Asked::default(), time("9995-01-01T00:00:00Z")),
        "time_not_encodable"
    );
    assert_eq!(
        code(Asked::default(), time("1969-12-31T23:59:59Z")),
        "time_not_encodable"
    );
    assert_eq!(code(Asked::default(), Time::MAX_UTC), "time_not_encodable");
    assert_eq!(code(Asked::default(), Time::MIN_UTC), "time_not_encodable");
    assert_eq!(
        code(
            Asked {
                not_before: None,
                not_after: Some(Time::MAX_UTC),
                ..Asked::default()
            },
            now()
        ),
        "time_not_encodable"
    );
    let last = Asked {
        not_before: None,
        not_after: Some(time("9999-12-31T23:59:59Z")),
        ..Asked::default()
    };
    assert_eq!(code(last, time("9980-01-01T00:00:00Z")), "ok");
}

#[test]
fn times_are_utctime_through_2049_and_generalizedtime_from_2050() {
    let signer = TestSigner::p256();
    let asked = Asked {
        not_before: None,
        not_after: Some(time("2060-01-01T00:00:00Z")),
        ..Asked::default()
    };
    let authority = root_at(&signer, time("2045-01-01T00:00:00Z"), asked);
    for (now, not_before, not_after) in [
        (
            "2049-12-30T00:05:00Z",
            &b"\x17\x0d491230000000Z"[..],
            &b"\x17\x0d491230235959Z"[..],
        ),
        (
            "2049-12-31T00:05:00Z",
            b"\x17\x0d491231000000Z",
            b"\x17\x0d491231235959Z",
        ),
        (
            "2049-12-31T00:05:01Z",
            b"\x17\x0d491231000001Z",
            b"\x18\x0f20500101000000Z",
        ),
        (
            "2050-01-01T00:04:59Z",
            b"\x17\x0d491231235959Z",
            b"\x18\x0f20500101235958Z",
        ),
        (
            "2050-01-01T00:05:00Z",
            b"\x18\x0f20500101000000Z",
            b"\x18\x0f20500101235959Z",
        ),
        (
            "2048-02-29T00:05:00Z",
            b"\x17\x0d480229000000Z",
            b"\x17\x0d480229235959Z",
        ),
        (
            "2052-02-28T00:05:01Z",
            b"\x18\x0f20520228000001Z",
            b"\x18\x0f20520229000000Z",
        ),
    ] {
        let profile = CertificateProfile::workload();
        let drafts = [0, 1].map(|_| {
            profile
                .draft(
                    &subject("web-1"),
                    &Asked::default(),
                    &authority,
                    serial(9),
                    time(now),
                )
                .unwrap()
        });
        let [draft, same] = drafts;
        let direct = crate::direct::certificate(&same, &signer).unwrap();
        let certificate = draft.sign(&authority, &signer).unwrap();
        let expected = [not_before, not_after].concat();
        for der in [certificate.der(), &direct] {
            assert!(
                der.windows(expected.len()).any(|window| window == expected),
                "{now}"
            );
        }
    }
}

#[test]
fn a_certificate_of_any_age_lies_in_the_past_and_is_no_longer_than_others() {
    let workload = CertificateProfile::workload();
    let now = time("2026-06-10T08:00:00Z");
    let check = |begin, end, expected: &str| {
        let old = Asked {
            of_any_age: true,
            ..asked(Some(begin), Some(end))
        };
        assert_eq!(outcome(&workload, old, now), expected, "{begin} to {end}");
    };
    // Before the issuer's own begin, and over.
    check(
        "2020-01-01T00:00:00Z",
        "2020-01-02T00:00:00Z",
        "2020-01-01T00:00:00Z 2020-01-02T00:00:00Z",
    );
    check(
        "2020-01-01T00:00:00Z",
        "2026-06-11T00:00:00Z",
        "validity_too_long",
    );
    check(
        "2020-01-02T00:00:00Z",
        "2020-01-01T00:00:00Z",
        "validity_empty",
    );
}
