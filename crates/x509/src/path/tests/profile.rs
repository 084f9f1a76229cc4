//! The strict rules: each broken alone, refused under strict rules and borne otherwise.

use super::*;

const AKI: &[u64] = &[2, 5, 29, 35];
const SKI: &[u64] = &[2, 5, 29, 14];

/// A path that only strict rules refuse, by this rule.
#[track_caller]
fn only_strict(
    rule: ProfileRule,
    leaf: &Certificate,
    intermediates: &[&Authority],
    root: &Authority,
) {
    if let Err(error) = ask(leaf, intermediates, root, &plain()) {
        panic!("refused without strict rules: {error}");
    }
    refused(
        rule.code(),
        ask(leaf, intermediates, root, &PathRules::strict()),
    );
}

#[track_caller]
fn on_leaf(rule: ProfileRule, change: &Change<'_>) {
    let root = root();
    only_strict(rule, &leaf_with(&root, change), &[], &root);
}

#[track_caller]
fn on_root(rule: ProfileRule, change: &Change<'_>) {
    let root = root_with("root", change);
    only_strict(rule, &leaf(&root), &[], &root);
}

#[test]
fn serial_numbers_are_positive_and_short_except_on_anchors() {
    on_leaf(ProfileRule::SerialNumber, &|params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0]));
    });
    on_leaf(ProfileRule::SerialNumber, &|params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0x7f; 21]));
    });
    let zero = root_with("root", &|params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0]));
    });
    ask(&leaf(&zero), &[], &zero, &PathRules::strict()).unwrap();
}

#[test]
fn every_issuer_has_a_name() {
    on_root(ProfileRule::IssuerEmpty, &|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
    });
}

#[test]
fn the_subject_alternative_name_is_critical_exactly_without_a_subject() {
    let root = root();
    let san = |critical| {
        let names = GeneralName::list_to_der(&[GeneralName::Dns("web-1.example".to_owned())]);
        move |params: &mut CertificateParams| {
            params.subject_alt_names.clear();
            params
                .custom_extensions
                .push(custom(&[2, 5, 29, 17], critical, &names));
        }
    };
    let nameless = |change: &dyn Fn(&mut CertificateParams)| {
        leaf_with(&root, &|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            change(params);
        })
    };
    on_leaf(ProfileRule::SubjectAltNameCritical, &san(true));
    only_strict(
        ProfileRule::SubjectAltNameNotCritical,
        &nameless(&san(false)),
        &[],
        &root,
    );
    only_strict(
        ProfileRule::SubjectAltNameNotCritical,
        &nameless(&|params| params.subject_alt_names.clear()),
        &[],
        &root,
    );
    ask(&nameless(&san(true)), &[], &root, &PathRules::strict()).unwrap();
}

#[test]
fn names_have_the_form_of_their_kind() {
    let with = |name: SanType| {
        move |params: &mut CertificateParams| params.subject_alt_names.push(name.clone())
    };
    on_leaf(
        ProfileRule::SubjectAltNameForm,
        &with(SanType::DnsName("under_score.example".try_into().unwrap())),
    );
    on_leaf(
        ProfileRule::SubjectAltNameForm,
        &with(SanType::DnsName("8.8.8.8".try_into().unwrap())),
    );
    on_leaf(
        ProfileRule::SubjectAltNameForm,
        &with(SanType::Rfc822Name(
            "two@at@mail.example".try_into().unwrap(),
        )),
    );
    on_leaf(
        ProfileRule::SubjectAltNameForm,
        &with(SanType::URI("no-scheme".try_into().unwrap())),
    );
}

#[test]
fn the_authority_key_is_named_rightly() {
    on_leaf(ProfileRule::AuthorityKeyIdMissing, &|params| {
        params.use_authority_key_identifier_extension = false;
    });
    let aki = |critical, value: &'static [u8]| {
        move |params: &mut CertificateParams| {
            params.use_authority_key_identifier_extension = false;
            params.custom_extensions.push(custom(AKI, critical, value));
        }
    };
    on_leaf(
        ProfileRule::AuthorityKeyIdWithoutKey,
        &aki(false, &[0x30, 0]),
    );
    on_leaf(
        ProfileRule::AuthorityKeyIdIncomplete,
        &aki(false, &[0x30, 7, 0x80, 2, 1, 2, 0x82, 1, 5]),
    );
    on_leaf(
        ProfileRule::AuthorityKeyIdMismatch,
        &aki(false, &[0x30, 4, 0x80, 2, 1, 2]),
    );
    on_root(
        ProfileRule::AuthorityKeyIdMismatch,
        &aki(false, &[0x30, 4, 0x80, 2, 1, 2]),
    );
    let root = root();
    let middle = intermediate_with(&root, "issuing", &|params| {
        params.use_authority_key_identifier_extension = false;
    });
    only_strict(
        ProfileRule::AuthorityKeyIdMissing,
        &leaf(&middle),
        &[&middle],
        &root,
    );
    only_strict(
        ProfileRule::AuthorityKeyIdMissing,
        &leaf(&middle),
        &[],
        &middle,
    );
}

#[test]
fn hints_are_never_critical_under_any_rules() {
    let root = root();
    let hints: [(&[u64], &[u8]); 2] = [(SKI, &[4, 2, 1, 2]), (AKI, &[0x30, 4, 0x80, 2, 1, 2])];
    for (oid, value) in hints {
        let odd = leaf_with(&root, &|params| {
            params.use_authority_key_identifier_extension = false;
            params.custom_extensions.push(custom(oid, true, value));
        });
        for rules in [plain(), PathRules::strict()] {
            refused("unknown_critical_extension", ask(&odd, &[], &root, &rules));
        }
    }
}

#[test]
fn cas_name_their_key() {
    let ca_by_hand = |critical: bool| {
        move |params: &mut CertificateParams| {
            params.is_ca = IsCa::NoCa;
            params.custom_extensions.push(custom(
                &[2, 5, 29, 19],
                critical,
                &[0x30, 3, 1, 1, 0xff],
            ));
        }
    };
    on_root(ProfileRule::SubjectKeyIdMissing, &ca_by_hand(true));
    on_root(ProfileRule::BasicConstraintsNotCritical, &|params| {
        ca_by_hand(false)(params);
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1, 2]);
        params
            .custom_extensions
            .push(custom(SKI, false, &[4, 2, 1, 2]));
    });
}

#[test]
fn what_only_cas_have_is_refused_on_a_leaf() {
    on_leaf(ProfileRule::PathLengthWithoutCa, &|params| {
        params.is_ca = IsCa::NoCa;
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 19], true, &[0x30, 3, 2, 1, 0]));
    });
    on_leaf(ProfileRule::KeyCertSignWithoutCa, &|params| {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    });
    on_leaf(ProfileRule::NameConstraintsOnLeaf, &|params| {
        params.custom_extensions.push(custom(
            &[2, 5, 29, 30],
            true,
            &[0x30, 7, 0xa0, 5, 0x30, 3, 0x82, 1, b'x'],
        ));
    });
}

#[test]
fn an_empty_key_usage_is_refused() {
    let root = root();
    let none = leaf_with(&root, &|params| {
        params.key_usages.clear();
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 15], true, &[3, 1, 0]));
    });
    refused(
        "profile_key_usage_empty",
        crate::path::profile::check(&[&none, &root.certificate], Purpose::Any)
            .map(|()| unreachable!()),
    );
}

#[test]
fn name_constraints_are_critical_and_well_formed() {
    let constraints = |critical: bool, base: &[u8]| {
        let subtree = crate::asn1::sequence(&[&crate::asn1::element(0x82, base)]);
        let value = crate::asn1::sequence(&[&crate::asn1::element(0xa1, &subtree)]);
        move |params: &mut CertificateParams| {
            params
                .custom_extensions
                .push(custom(&[2, 5, 29, 30], critical, &value));
        }
    };
    on_root(
        ProfileRule::NameConstraintsNotCritical,
        &constraints(false, b"other.example"),
    );
    on_root(
        ProfileRule::NameConstraintsForm,
        &constraints(true, b".other.example"),
    );
    let root = root_with("root", &constraints(true, b"other.example"));
    ask(&leaf(&root), &[], &root, &PathRules::strict()).unwrap();
}

#[test]
fn constraints_on_policies_are_critical() {
    on_leaf(ProfileRule::PolicyConstraintsNotCritical, &|params| {
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 36], false, &[0x30, 3, 0x80, 1, 0]));
    });
    on_leaf(ProfileRule::InhibitAnyPolicyNotCritical, &|params| {
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 54], false, &[2, 1, 0]));
    });
}

#[test]
fn purposes_are_neither_for_roots_nor_boundless() {
    on_root(ProfileRule::ExtendedKeyUsageOnRoot, &|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let root = root();
    let any = leaf_with(&root, &|params| {
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::Any,
        ];
    });
    ask(&any, &[], &root, &PathRules::strict()).unwrap();
    let server = PathRules {
        purpose: Purpose::Server,
        ..PathRules::strict()
    };
    refused("profile_any_purpose", ask(&any, &[], &root, &server));
    ask(
        &any,
        &[],
        &root,
        &PathRules {
            strict: false,
            ..server
        },
    )
    .unwrap();
}

#[test]
fn extensions_are_not_repeated() {
    on_leaf(ProfileRule::ExtensionRepeated, &|params| {
        for _ in 0..2 {
            params
                .custom_extensions
                .push(custom(&[1, 3, 6, 1, 4, 1, 55738, 2], false, &[5, 0]));
        }
    });
}

#[test]
fn an_rsa_modulus_fills_its_octets() {
    let root = root();
    let leaf = |bits| leaf_of(&root, &refusals::rsa(bits), &as_is);
    only_strict(ProfileRule::RsaModulusOctets, &leaf(2052), &[], &root);
    ask(&leaf(2056), &[], &root, &PathRules::strict()).unwrap();
}

#[test]
fn times_are_written_in_the_type_of_their_year() {
    let root = root();
    // The year is changed without signing again, so the rule is asked directly.
    let late = leaf_with(&root, &|params| params.not_after = moment(9000));
    assert!(late.not_after().is_conforming());
    let mut der = late.der().to_vec();
    let year = der
        .windows(4)
        .position(|window| window == b"2051")
        .expect("the year of notAfter");
    der[year..][..4].copy_from_slice(b"2049");
    let early = read(&der);
    let error =
        crate::path::profile::check(&[&early, &root.certificate], Purpose::Any).unwrap_err();
    assert_eq!(error.code(), ProfileRule::TimeEncoding.code());
}

#[test]
fn every_rule_has_a_code_of_its_own() {
    let mut codes: Vec<&str> = ProfileRule::ALL.iter().map(|rule| rule.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ProfileRule::ALL.len());
    assert!(codes.iter().all(|code| code.starts_with("profile_")));
    assert!(
        ProfileRule::ALL
            .iter()
            .all(|rule| rule.section().starts_with('§') && !rule.text().is_empty())
    );
}
