use super::*;
use crate::testing::{TestSigner, dns, drafted, name, now, root_of, serial, subject, time, world};
use crate::{Subject, SubjectName};
use bowline_x509::{GeneralName, Signer as _};

fn issued(profile: &CertificateProfile, subject: &Subject, asked: &Asked) -> Certificate {
    let world = world();
    let draft = profile
        .draft(subject, asked, &world.issuing, serial(9), now())
        .unwrap();
    draft.sign(&world.issuing, &world.issuing_signer).unwrap()
}

fn renewed(
    profile: &CertificateProfile,
    old: &Certificate,
    now: Time,
) -> Result<Draft, ProfileError> {
    profile.renew(
        old,
        TestSigner::of_every_kind()[1].public_key(),
        &world().issuing,
        serial(10),
        now,
    )
}

#[test]
fn a_successor_has_the_same_names_and_as_long_a_life() {
    let subject = Subject {
        name: SubjectName::Distinguished(name("CN=web-1,CN=other+UID=7,O=Example")),
        names: vec![dns("web.example"), GeneralName::Ip([10, 0, 0, 1].into())],
        roles: vec!["s3-reader".to_owned(), "deploy".to_owned()],
        ..subject("web-1")
    };
    let asked = Asked {
        not_before: None,
        not_after: Some(time("2026-03-04T12:34:56Z")),
        ..Asked::default()
    };
    let old = issued(&CertificateProfile::workload(), &subject, &asked);
    let later = time("2026-03-03T00:00:00Z");
    let new = renewed(&CertificateProfile::workload(), &old, later).unwrap();
    assert_eq!(new.subject().as_der(), old.subject().as_der());
    assert_eq!(new.names(), old.subject_alt_names());
    assert_eq!(new.roles(), ["s3-reader", "deploy"]);
    assert_eq!(lifetime(new.validity()), lifetime(old.validity()));
    assert_eq!(new.validity().not_before, time("2026-03-02T23:55:00Z"));
    assert_ne!(Some(new.public_key()), old.public_key().ok());
    let new = new.sign(&world().issuing, &world().issuing_signer).unwrap();
    assert_eq!(
        renewed(&CertificateProfile::workload(), &new, later)
            .unwrap()
            .subject(),
        old.subject()
    );
}

#[test]
fn an_expired_certificate_no_longer_speaks_for_itself() {
    let old = issued(
        &CertificateProfile::workload(),
        &subject("web-1"),
        &Asked::default(),
    );
    let last = old.validity().not_after;
    assert!(renewed(&CertificateProfile::workload(), &old, last).is_ok());
    let error = renewed(
        &CertificateProfile::workload(),
        &old,
        last + TimeDelta::seconds(1),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate expired at 2026-03-02T11:54:59Z, and now is 2026-03-02T11:55:00Z: issue a new one instead of \
         renewing it"
    );
}

#[test]
fn a_renewal_never_changes_what_a_certificate_is_for() {
    let old = issued(
        &CertificateProfile::server(),
        &subject("web-1"),
        &Asked::default(),
    );
    let error = renewed(&CertificateProfile::workload(), &old, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate's extended key usage is serverAuth, and certificate profile workload gives serverAuth, clientAuth"
    );
    assert_eq!(
        renewed(&CertificateProfile::client(), &old, now())
            .unwrap_err()
            .code(),
        "renewal_changes_purpose"
    );
    assert!(renewed(&CertificateProfile::server(), &old, now()).is_ok());
}

#[test]
fn authorities_are_not_renewed_here() {
    let root = world().root.certificate();
    assert_eq!(
        renewed(&CertificateProfile::workload(), root, now())
            .unwrap_err()
            .code(),
        "renewal_of_authority"
    );
    let old = issued(
        &CertificateProfile::workload(),
        &subject("web-1"),
        &Asked::default(),
    );
    assert_eq!(
        renewed(&CertificateProfile::issuing(), &old, now())
            .unwrap_err()
            .code(),
        "profile_is_for_authorities"
    );
}

#[test]
fn the_profile_judges_the_old_names_and_length_again() {
    let profile = CertificateProfile::workload();
    let named = Subject {
        names: vec![dns("web.example"), dns("db.example")],
        ..subject("web-1")
    };
    let old = issued(&profile, &named, &Asked::default());
    let pattern = crate::NamePattern::parse("DNS:web.*").unwrap();
    let stricter = profile.clone().restricted_to(vec![pattern]);
    let error = renewed(&stricter, &old, now()).unwrap_err();
    assert_eq!(error.code(), "name_not_permitted");
    assert!(error.to_string().contains("DNS:db.example"), "{error}");
    let month = Asked {
        not_before: None,
        not_after: Some(time("2026-04-01T00:00:00Z")),
        ..Asked::default()
    };
    let old = issued(&CertificateProfile::client(), &subject("ann"), &month);
    // Operators' certificates have the same purposes, and a week at most.
    assert_eq!(
        renewed(&CertificateProfile::operator(), &old, now())
            .unwrap_err()
            .code(),
        "validity_too_long"
    );
}

#[test]
fn a_renewal_near_the_authoritys_end_is_cut_and_says_so() {
    let old_length = TimeDelta::days(1);
    let end = world().issuing.certificate().validity().not_after;
    let near = end - TimeDelta::hours(20);
    let old = CertificateProfile::workload()
        .draft(
            &subject("web-1"),
            &Asked::default(),
            &world().issuing,
            serial(9),
            near - TimeDelta::hours(12),
        )
        .unwrap()
        .sign(&world().issuing, &world().issuing_signer)
        .unwrap();
    assert_eq!(lifetime(old.validity()), old_length);
    let new = renewed(&CertificateProfile::workload(), &old, near).unwrap();
    assert_eq!(new.validity().not_after, end);
    assert!(new.shortened_from().is_some());
}

#[test]
fn roles_survive_only_in_profiles_that_carry_them() {
    let signer = TestSigner::p256();
    let root = root_of(&signer);
    let mut draft = drafted(&CertificateProfile::server(), &subject("web-1")).unwrap();
    draft.subject = name("CN=web-1,OU=administrator");
    let old = draft
        .sign(&world().issuing, &world().issuing_signer)
        .unwrap();
    let profile = CertificateProfile::server();
    let error = profile
        .renew(&old, signer.public_key(), &root, serial(10), now())
        .unwrap_err();
    assert_eq!(error.code(), "roles_not_allowed");
}

#[test]
fn due_by_what_is_left() {
    // From 11:55:00 on the first to 11:54:59 on the second.
    let certificate = issued(
        &CertificateProfile::workload(),
        &subject("web-1"),
        &Asked::default(),
    );
    let due = |hours, now| {
        needs_renewal(
            &certificate,
            ExpiresIn::Duration(TimeDelta::hours(hours)),
            time(now),
        )
    };
    assert!(!due(8, "2026-03-02T03:55:00Z"));
    assert!(due(8, "2026-03-02T03:55:01Z"));
    assert!(!due(0, "2026-03-02T11:54:59Z"));
    assert!(due(0, "2026-03-02T11:55:00Z"));
    assert!(due(25, "2026-03-01T12:00:00Z"));
    assert!(due(-1_000_000, "2027-01-01T00:00:00Z"));
    let forever = ExpiresIn::Duration(TimeDelta::MAX);
    assert!(needs_renewal(&certificate, forever, now()));
    assert!(!needs_renewal(
        &certificate,
        ExpiresIn::Duration(TimeDelta::MIN),
        now()
    ));
}

#[test]
fn due_by_what_is_over() {
    let certificate = issued(
        &CertificateProfile::workload(),
        &subject("web-1"),
        &Asked::default(),
    );
    let due = |percent, now| needs_renewal(&certificate, ExpiresIn::Percent(percent), time(now));
    assert!(!due(75, "2026-03-02T05:54:59Z"));
    assert!(due(75, "2026-03-02T05:55:00Z"));
    assert!(due(0, "2026-03-01T11:55:00Z"));
    assert!(!due(1, "2026-03-01T11:54:00Z"));
    assert!(!due(100, "2026-03-02T11:54:59Z"));
    assert!(due(100, "2026-03-02T11:55:00Z"));
    assert!(due(255, "2026-03-02T11:55:00Z"));
    let day = |fraction: i32| now() + TimeDelta::hours(24) * fraction / 100;
    assert!(!needs_renewal(&certificate, ExpiresIn::default(), day(60)));
    assert!(needs_renewal(&certificate, ExpiresIn::default(), day(67)));
    assert!(needs_renewal(
        &certificate,
        ExpiresIn::Percent(66),
        Time::MAX_UTC
    ));
    assert!(!needs_renewal(
        &certificate,
        ExpiresIn::Percent(66),
        Time::MIN_UTC
    ));
}
