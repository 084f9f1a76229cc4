use super::*;
use crate::profile::NAMES_MAX;
use crate::testing::{dns, drafted, name, now, serial, subject, subject_key, world};

fn with_roles(roles: &[&str]) -> Subject {
    Subject {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..subject("web-1")
    }
}

fn with_names(names: Vec<GeneralName>) -> Subject {
    Subject {
        names,
        ..subject("web-1")
    }
}

fn code(profile: &CertificateProfile, subject: &Subject) -> &'static str {
    drafted(profile, subject).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn the_subject_is_the_name_and_nothing_else() {
    let draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    assert_eq!(draft.subject(), &name("CN=web-1"));
    assert!(draft.names().is_empty() && draft.roles().is_empty());
}

#[test]
fn roles_become_one_unit_joined_by_slashes_before_the_name() {
    let draft = drafted(
        &CertificateProfile::workload(),
        &with_roles(&["s3-reader", "deploy@prod", "s3-reader"]),
    );
    let draft = draft.unwrap();
    let attributes: Vec<_> = draft
        .subject()
        .attributes()
        .map(|found| (found.label(), found.value.as_str()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("OU".to_owned(), "s3-reader/deploy@prod"),
            ("CN".to_owned(), "web-1")
        ]
    );
    assert_eq!(draft.roles(), ["s3-reader", "deploy@prod"]);
}

#[test]
fn a_role_name_cannot_break_out_of_its_unit() {
    let long = "r".repeat(65);
    for role in [
        "", "a/b", "a,b", "a b", "a\0", "ä", "a\"", "OU\\2f", "*", &long,
    ] {
        assert_eq!(
            code(&CertificateProfile::workload(), &with_roles(&[role])),
            "role_name_not_accepted",
            "{role:?}"
        );
        assert_eq!(
            code(&CertificateProfile::workload(), &with_roles(&["ok", role])),
            "role_name_not_accepted"
        );
    }
}

#[test]
fn roles_longer_than_a_unit_are_refused_with_both_numbers() {
    let (fits, over) = ("r".repeat(31), "r".repeat(33));
    let role = "s".repeat(32);
    assert_eq!(
        code(
            &CertificateProfile::workload(),
            &with_roles(&[&role, &fits])
        ),
        "ok"
    );
    let error = drafted(
        &CertificateProfile::workload(),
        &with_roles(&[&role, &over]),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the roles \"{role}/{over}\" have 66 characters together, over the 64 of an organizational unit"
        )
    );
}

#[test]
fn a_server_carries_no_roles() {
    let error = drafted(&CertificateProfile::server(), &with_roles(&["s3-reader"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate profile server carries no roles, and \"s3-reader\" was asked for"
    );
    for profile in ["workload", "client", "operator"] {
        assert_eq!(
            code(
                &CertificateProfile::named(profile).unwrap(),
                &with_roles(&["s3-reader"])
            ),
            "ok"
        );
    }
}

#[test]
fn no_name_brings_a_unit_of_its_own() {
    for text in [
        "OU=administrator,CN=web-1",
        "CN=web-1,OU=administrator",
        "CN=web-1+OU=administrator",
    ] {
        let subject = Subject {
            name: SubjectName::Distinguished(name(text)),
            ..subject("web-1")
        };
        let error = drafted(&CertificateProfile::workload(), &subject).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the subject has the organizational unit \"administrator\", which only a role may put there"
        );
    }
}

#[test]
fn a_distinguished_name_is_kept_as_it_is_with_the_roles_before_it() {
    let given = name("CN=web-1+UID=7,O=Example,C=DE");
    let subject = Subject {
        name: SubjectName::Distinguished(given.clone()),
        ..with_roles(&["s3-reader"])
    };
    let draft = drafted(&CertificateProfile::workload(), &subject).unwrap();
    assert_eq!(
        draft.subject(),
        &name("CN=web-1+UID=7,O=Example,C=DE,OU=s3-reader")
    );
    let plain = Subject {
        roles: Vec::new(),
        ..subject
    };
    assert_eq!(
        drafted(&CertificateProfile::workload(), &plain)
            .unwrap()
            .subject(),
        &given
    );
}

#[test]
fn common_names_are_one_to_sixty_four_printable_characters() {
    let (fits, over) = ("ä".repeat(64), "a".repeat(65));
    for good in ["a", "web-1", "Ann Example", "a/OU=administrator", &fits] {
        assert_eq!(
            code(&CertificateProfile::workload(), &subject(good)),
            "ok",
            "{good}"
        );
    }
    for bad in ["", " web", "web ", "a\0b", "a\nb", "\u{85}", &over] {
        assert_eq!(
            code(&CertificateProfile::workload(), &subject(bad)),
            "common_name_not_accepted",
            "{bad:?}"
        );
    }
}

#[test]
fn a_name_that_looks_like_a_role_stays_a_name() {
    let draft = drafted(
        &CertificateProfile::workload(),
        &subject("a/OU=administrator,OU=b"),
    )
    .unwrap();
    assert!(draft.roles().is_empty());
    assert_eq!(
        draft.subject().common_name(),
        Some("a/OU=administrator,OU=b")
    );
}

#[test]
fn without_a_subject_there_must_be_names() {
    let empty = Subject {
        name: SubjectName::Distinguished(DistinguishedName::empty()),
        ..subject("web-1")
    };
    assert_eq!(
        code(&CertificateProfile::workload(), &empty),
        "empty_subject"
    );
    let named = Subject {
        names: vec![dns("web.example")],
        ..empty
    };
    assert_eq!(code(&CertificateProfile::workload(), &named), "ok");
}

#[test]
fn the_one_forbidden_name_is_found_wherever_it_stands() {
    let profile = CertificateProfile::workload();
    for count in [1, 2, 3, 10, NAMES_MAX] {
        for forbidden in 0..count {
            let mut names: Vec<_> = (0..count)
                .map(|index| dns(&format!("web-{index}.example")))
                .collect();
            names[forbidden] = dns(&format!("*.web-{forbidden}.example"));
            let error = drafted(&profile, &with_names(names)).unwrap_err();
            assert_eq!(error.code(), "wildcard_not_allowed");
            assert!(
                error
                    .to_string()
                    .contains(&format!("*.web-{forbidden}.example")),
                "{error}"
            );
        }
    }
}

#[test]
fn forty_names_fit_and_repeats_count_once() {
    let forty: Vec<_> = (0..NAMES_MAX)
        .map(|index| dns(&format!("web-{index}.example")))
        .collect();
    let twice = [forty.clone(), forty.clone()].concat();
    let draft = drafted(&CertificateProfile::workload(), &with_names(twice)).unwrap();
    assert_eq!(draft.names(), forty);
    let over = [forty, vec![dns("one-more.example")]].concat();
    let error = drafted(&CertificateProfile::workload(), &with_names(over)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "41 subject alternative names are over the 40 a certificate may have"
    );
}

#[test]
fn heaps_of_repeated_names_are_refused_before_they_are_compared() {
    let repeated = |count| with_names(vec![dns("web.example"); count]);
    let profile = CertificateProfile::workload();
    let draft = drafted(&profile, &repeated(4 * NAMES_MAX)).unwrap();
    assert_eq!(draft.names(), [dns("web.example")]);
    let error = drafted(&profile, &repeated(4 * NAMES_MAX + 1)).unwrap_err();
    assert_eq!(
        error,
        ProfileError::TooManyNames {
            count: 4 * NAMES_MAX + 1
        }
    );
}

#[test]
fn a_role_with_a_comma_is_refused_by_name_for_no_tag_can_carry_it() {
    let roles = with_roles(&["s3-reader", "deploy,prod"]);
    let error = drafted(&CertificateProfile::workload(), &roles).unwrap_err();
    assert_eq!(
        error.to_string(),
        "role name \"deploy,prod\" is not accepted: it has 1 to 64 letters, digits or any of + = . @ - _"
    );
}

#[test]
fn dns_names_are_written_in_lower_case_and_once() {
    let names = vec![
        dns("Web.Example"),
        dns("web.example"),
        GeneralName::Uri("urn:Web".to_owned()),
    ];
    let draft = drafted(&CertificateProfile::workload(), &with_names(names)).unwrap();
    assert_eq!(
        draft.names(),
        [dns("web.example"), GeneralName::Uri("urn:Web".to_owned())]
    );
}

#[test]
fn every_profile_takes_its_kinds_of_names_only() {
    let kinds = [
        dns("web.example"),
        GeneralName::Ip([10, 0, 0, 1].into()),
        GeneralName::Uri("spiffe://example/web".to_owned()),
        GeneralName::Email("ann@web.example".to_owned()),
        GeneralName::DirectoryName(name("OU=administrator")),
        GeneralName::Other(vec![0x88, 0x01, 0x2a]),
    ];
    for (profile, allowed) in [
        ("workload", [true, true, true, true, false, false]),
        ("server", [true, true, false, false, false, false]),
        ("client", [true, false, true, true, false, false]),
        ("operator", [false, false, true, true, false, false]),
    ] {
        for (kind, allowed) in kinds.iter().zip(allowed) {
            let code = code(
                &CertificateProfile::named(profile).unwrap(),
                &with_names(vec![kind.clone()]),
            );
            assert_eq!(
                code,
                if allowed {
                    "ok"
                } else {
                    "name_kind_not_allowed"
                },
                "{profile} {kind}"
            );
        }
    }
}

#[test]
fn profiles_for_authorities_and_for_end_entities_are_not_mixed_up() {
    let world = world();
    for profile in ["root", "issuing"] {
        assert_eq!(
            code(
                &CertificateProfile::named(profile).unwrap(),
                &subject("web-1")
            ),
            "profile_is_for_authorities"
        );
    }
    let (subject, key) = (name("CN=Test CA"), subject_key());
    for profile in ["workload", "server", "client", "operator"] {
        let profile = CertificateProfile::named(profile).unwrap();
        let below = profile.draft_authority(
            &subject,
            &key,
            &Asked::default(),
            &world.root,
            serial(3),
            now(),
        );
        assert_eq!(below.unwrap_err().code(), "profile_is_for_end_entities");
        let root = profile.draft_root(&subject, &key, &Asked::default(), serial(3), now());
        assert_eq!(root.unwrap_err().code(), "profile_is_for_end_entities");
    }
}

#[test]
fn an_authority_is_named_and_named_without_a_unit() {
    let key = subject_key();
    for (subject, expected) in [
        (DistinguishedName::empty(), "empty_subject"),
        (name("CN=Test CA,OU=administrator"), "unit_not_from_role"),
        (name("CN=Test CA,O=Example"), "ok"),
    ] {
        let root = CertificateProfile::root().draft_root(
            &subject,
            &key,
            &Asked::default(),
            serial(3),
            now(),
        );
        assert_eq!(root.map_or_else(|error| error.code(), |_| "ok"), expected);
        let below = CertificateProfile::issuing().draft_authority(
            &subject,
            &key,
            &Asked::default(),
            &world().root,
            serial(3),
            now(),
        );
        assert_eq!(below.map_or_else(|error| error.code(), |_| "ok"), expected);
    }
}

#[test]
fn a_serial_that_is_not_positive_is_refused() {
    let world = world();
    let draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    let leaf = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
    for octet in [0x00, 0x80, 0xff] {
        // Foreign certificates have such serials: this one's 9 becomes zero, or negative.
        let mut der = leaf.der().to_vec();
        let at = der
            .windows(3)
            .position(|window| window == [2, 1, 9])
            .unwrap();
        der[at + 2] = octet;
        let serial = Certificate::from_der(&der).unwrap().serial().clone();
        let profile = CertificateProfile::workload();
        let error = profile.draft(
            &subject("web-1"),
            &Asked::default(),
            &world.issuing,
            serial,
            now(),
        );
        assert_eq!(error.unwrap_err().code(), "serial_not_allowed");
    }
}

#[test]
fn attributes_over_their_bounds_are_refused() {
    // An organization of 65 characters, as a foreign name may have it (RFC 5280 has 64).
    let organization = [&[0x0c, 65][..], &[b'a'; 65]].concat();
    let attribute = [&[0x30, 72, 6, 3, 0x55, 4, 10][..], &organization].concat();
    let der = [&[0x30, 76, 0x31, 74][..], &attribute].concat();
    let given = DistinguishedName::from_der(&der).unwrap();
    let subject = Subject {
        name: SubjectName::Distinguished(given),
        ..subject("web-1")
    };
    assert_eq!(
        code(&CertificateProfile::workload(), &subject),
        "malformed_subject"
    );
}
