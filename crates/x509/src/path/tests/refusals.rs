//! Every refusal that does not depend on strict rules or CRLs, each from a certificate that breaks that rule alone.

use rcgen::{PKCS_RSA_SHA256, SignatureAlgorithm as Algorithm, SigningKey};

use super::*;

#[test]
fn nothing_is_trusted_without_anchors() {
    let root = root();
    refused(
        "no_anchors",
        verify(&leaf(&root), &[], &[], &[], &plain(), now()),
    );
}

#[test]
fn more_intermediates_than_are_searched_are_refused_unread() {
    let root = root();
    let ca = intermediate(&root, "issuing");
    let sent = vec![ca.certificate.clone(); SEARCHED_INTERMEDIATES_MAX + 1];
    let anchors = [root.certificate.clone()];
    let answer = verify(&leaf(&ca), &sent, &anchors, &[], &plain(), now());
    assert_eq!(
        answer.unwrap_err(),
        PathError::TooManyCertificates {
            given: 33,
            allowed: 32
        }
    );
    verify(&leaf(&ca), &sent[1..], &anchors, &[], &plain(), now()).unwrap();
}

#[test]
fn an_unknown_issuer_is_named() {
    let (root, other) = (root(), root_with("other", &as_is));
    let ca = intermediate(&root, "issuing");
    let error = refused("untrusted_issuer", ask(&leaf(&ca), &[], &root, &plain()));
    assert!(
        error
            .to_string()
            .contains("certificate CN=web-1 was issued by CN=issuing, which is neither"),
        "{error}"
    );
    let error = refused(
        "untrusted_issuer",
        ask(&leaf(&ca), &[&ca], &other, &plain()),
    );
    assert!(
        error
            .to_string()
            .contains("intermediate certificate CN=issuing was issued by CN=root"),
        "{error}"
    );
    let error = refused(
        "untrusted_issuer",
        ask(&leaf(&root), &[&root], &other, &plain()),
    );
    assert!(
        error.to_string().contains("CN=root is signed by itself"),
        "{error}"
    );
}

#[test]
fn a_namesake_of_the_issuer_is_not_the_issuer() {
    let (root, namesake) = (root(), root());
    refused(
        "signature_invalid",
        ask(&leaf(&root), &[], &namesake, &plain()),
    );
    let altered = leaf(&root)
        .der()
        .iter()
        .rev()
        .enumerate()
        .map(|(i, b)| if i == 0 { b ^ 1 } else { *b })
        .collect::<Vec<_>>();
    let altered = read(&altered.into_iter().rev().collect::<Vec<_>>());
    refused("signature_invalid", ask(&altered, &[], &root, &plain()));
}

#[test]
fn every_certificate_of_the_path_must_be_in_its_time() {
    let late: &Change<'_> = &|params| params.not_before = moment(0) + time::Duration::seconds(1);
    let over: &Change<'_> = &|params| params.not_after = moment(0) - time::Duration::seconds(1);
    for (when, change) in [("not_yet_valid", late), ("expired", over)] {
        let good = root();
        refused(
            &format!("leaf_{when}"),
            ask(&leaf_with(&good, change), &[], &good, &plain()),
        );
        let middle = intermediate_with(&good, "issuing", change);
        refused(
            &format!("intermediate_{when}"),
            ask(&leaf(&middle), &[&middle], &good, &plain()),
        );
        let bad = root_with("root", change);
        refused(
            &format!("anchor_{when}"),
            ask(&leaf(&bad), &[], &bad, &plain()),
        );
    }
}

#[test]
fn a_ca_is_no_leaf_and_a_leaf_is_no_ca() {
    let root = root();
    let ca = intermediate(&root, "issuing");
    refused("leaf_is_ca", ask(&ca.certificate, &[], &root, &plain()));
    let no_ca: &Change<'_> = &|params| params.is_ca = IsCa::ExplicitNoCa;
    let middle = intermediate_with(&root, "issuing", no_ca);
    refused(
        "intermediate_not_ca",
        ask(&leaf(&middle), &[&middle], &root, &plain()),
    );
    for change in [no_ca, &|params| params.is_ca = IsCa::NoCa] {
        let anchor = root_with("root", change);
        refused("anchor_not_ca", ask(&leaf(&anchor), &[], &anchor, &plain()));
    }
}

#[test]
fn key_usage_must_allow_the_use_where_it_is_present_and_be_present_where_required() {
    let crl_only: &Change<'_> = &|params| params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let absent: &Change<'_> = &|params| params.key_usages = vec![];
    let strict = PathRules::authentication();
    let good = root();

    let agree: &Change<'_> = &|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    refused(
        "missing_digital_signature",
        ask(&leaf_with(&good, agree), &[], &good, &plain()),
    );
    ask(&leaf_with(&good, absent), &[], &good, &plain()).unwrap();
    refused(
        "missing_digital_signature",
        ask(&leaf_with(&good, absent), &[], &good, &strict),
    );

    for top in [root_with("root", crl_only), root_with("root", absent)] {
        let forgiven = top.params.key_usages.is_empty();
        let answer = ask(&leaf(&top), &[], &top, &plain());
        assert_eq!(
            answer.map_err(|error| error.code()).err(),
            (!forgiven).then_some("missing_key_cert_sign")
        );
        refused(
            "missing_key_cert_sign",
            ask(&leaf(&top), &[], &top, &strict),
        );
    }
    let middle = intermediate_with(&good, "issuing", crl_only);
    let error = refused(
        "missing_key_cert_sign",
        ask(&leaf(&middle), &[&middle], &good, &plain()),
    );
    assert!(
        error
            .to_string()
            .starts_with("intermediate certificate CN=issuing lacks the key usage keyCertSign")
    );
}

#[test]
fn a_leaf_without_subject_is_refused_where_a_subject_is_required() {
    let root = root();
    let nameless = leaf_with(&root, &|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
    });
    ask(&nameless, &[], &root, &plain()).unwrap();
    let error = refused(
        "subject_empty",
        ask(&nameless, &[], &root, &PathRules::authentication()),
    );
    assert!(
        error.to_string().contains("serial number 1f71 of CN=root"),
        "{error}"
    );
}

#[test]
fn the_purpose_asked_for_must_be_among_those_of_leaf_and_intermediates() {
    let server: &Change<'_> =
        &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let root = root();
    let leaf = leaf_with(&root, server);
    let rules = |purpose| PathRules { purpose, ..plain() };
    ask(&leaf, &[], &root, &rules(Purpose::Server)).unwrap();
    ask(&leaf, &[], &root, &rules(Purpose::Any)).unwrap();
    let error = refused(
        "wrong_purpose",
        ask(&leaf, &[], &root, &rules(Purpose::Client)),
    );
    assert_eq!(
        error.to_string(),
        "certificate CN=web-1 is for serverAuth, not for clientAuth"
    );
    let middle = intermediate_with(&root, "issuing", server);
    ask(
        &super::leaf(&middle),
        &[&middle],
        &root,
        &rules(Purpose::Server),
    )
    .unwrap();
    refused(
        "wrong_purpose",
        ask(
            &super::leaf(&middle),
            &[&middle],
            &root,
            &rules(Purpose::Client),
        ),
    );
}

#[test]
fn a_critical_extension_that_is_not_understood_refuses_the_path_wherever_it_stands() {
    let strange: &Change<'_> = &|params| {
        params
            .custom_extensions
            .push(custom(&[1, 3, 6, 1, 4, 1, 55738, 1], true, &[5, 0]));
    };
    let good = root();
    let error = refused(
        "unknown_critical_extension",
        ask(&leaf_with(&good, strange), &[], &good, &plain()),
    );
    assert!(error.to_string().contains("1.3.6.1.4.1.55738.1"), "{error}");
    let middle = intermediate_with(&good, "issuing", strange);
    refused(
        "unknown_critical_extension",
        ask(&leaf(&middle), &[&middle], &good, &plain()),
    );
    let top = root_with("root", strange);
    refused(
        "unknown_critical_extension",
        ask(&leaf(&top), &[], &top, &plain()),
    );
    let shrugged: &Change<'_> = &|params| {
        params
            .custom_extensions
            .push(custom(&[1, 3, 6, 1, 4, 1, 55738, 1], false, &[5, 0]));
    };
    ask(&leaf_with(&good, shrugged), &[], &good, &plain()).unwrap();
}

#[test]
fn a_malformed_extension_is_not_taken_for_an_absent_one() {
    let broken: &Change<'_> = &|params| {
        params.subject_alt_names.clear();
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 17], false, b"web-1.example"));
    };
    let good = root();
    refused(
        "malformed_extension",
        ask(&leaf_with(&good, broken), &[], &good, &plain()),
    );
    let top = root_with("root", &|params| {
        params
            .custom_extensions
            .push(custom(&[2, 5, 29, 30], true, &[0x30, 0]));
    });
    refused("malformed_extension", ask(&leaf(&top), &[], &top, &plain()));
}

#[test]
fn the_path_length_of_anchor_and_intermediates_is_kept() {
    let limited: &Change<'_> = &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let top = root_with("root", limited);
    ask(&leaf(&top), &[], &top, &plain()).unwrap();
    let middle = intermediate(&top, "issuing");
    let error = refused(
        "path_length_exceeded",
        ask(&leaf(&middle), &[&middle], &top, &plain()),
    );
    assert_eq!(
        error.to_string(),
        "trust anchor CN=root allows 0 CA certificates below it, and there are 1"
    );
    let free = root();
    let upper = intermediate_with(&free, "upper", limited);
    let lower = intermediate(&upper, "lower");
    ask(&leaf(&upper), &[&upper], &free, &plain()).unwrap();
    refused(
        "path_length_exceeded",
        ask(&leaf(&lower), &[&upper, &lower], &free, &plain()),
    );
}

#[test]
fn the_callers_limit_on_intermediates_is_kept_and_so_is_the_searchs() {
    let root = root();
    let mut chain = vec![intermediate(&root, "ca 0")];
    for number in 1..=PATH_INTERMEDIATES_MAX {
        chain.push(intermediate(&chain[number - 1], &format!("ca {number}")));
    }
    let sent: Vec<&Authority> = chain.iter().collect();
    let limit = |max_intermediates| PathRules {
        max_intermediates,
        ..plain()
    };
    ask(&leaf(&chain[0]), &sent, &root, &limit(1)).unwrap();
    ask(&leaf(&root), &sent, &root, &limit(0)).unwrap();
    let error = refused(
        "chain_too_long",
        ask(&leaf(&chain[0]), &sent, &root, &limit(0)),
    );
    assert_eq!(
        error.to_string(),
        "the path of CN=web-1 needs 1 intermediate certificates, at most 0 are allowed"
    );
    ask(&leaf(&chain[5]), &sent, &root, &limit(100)).unwrap();
    let error = refused(
        "chain_too_long",
        ask(&leaf(&chain[6]), &sent, &root, &limit(100)),
    );
    assert!(
        error
            .to_string()
            .contains("needs 7 intermediate certificates, at most 6"),
        "{error}"
    );
}

#[test]
fn name_constraints_bind_from_the_anchor_down() {
    let permitted = |base: &str| {
        let base = base.to_owned();
        move |params: &mut CertificateParams| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName(base.clone())];
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees,
                excluded_subtrees: vec![],
            });
        }
    };
    let top = root_with("root", &permitted("example"));
    ask(&leaf(&top), &[], &top, &plain()).unwrap();
    let top = root_with("root", &permitted("elsewhere.example"));
    let error = refused("name_constraint", ask(&leaf(&top), &[], &top, &plain()));
    assert_eq!(
        error.to_string(),
        "certificate CN=web-1 bears the name DNS:web-1.example, and CN=root may not certify it: only DNS:elsewhere.example is permitted"
    );
    let free = root();
    let middle = intermediate_with(&free, "issuing", &|params| {
        let excluded_subtrees = vec![GeneralSubtree::DnsName("db.example".to_owned())];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![],
            excluded_subtrees,
        });
    });
    ask(&leaf(&middle), &[&middle], &free, &plain()).unwrap();
    let wild = leaf_with(&middle, &|params| {
        params.subject_alt_names = vec![
            SanType::DnsName("*.example".try_into().unwrap()),
            SanType::DnsName("a.db.example".try_into().unwrap()),
        ];
    });
    refused("name_constraint", ask(&wild, &[&middle], &free, &plain()));
}

#[test]
fn constraints_on_kinds_of_names_that_are_not_processed_refuse_such_names_only() {
    let top = root_with("root", &|params| {
        let permitted_subtrees = vec![GeneralSubtree::Rfc822Name("mail.example".to_owned())];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees,
            excluded_subtrees: vec![],
        });
    });
    ask(&leaf(&top), &[], &top, &plain()).unwrap();
    let mail = leaf_with(&top, &|params| {
        params
            .subject_alt_names
            .push(SanType::Rfc822Name("joe@mail.example".try_into().unwrap()));
    });
    refused(
        "name_constraint_unsupported",
        ask(&mail, &[], &top, &plain()),
    );
}

#[test]
fn email_constraints_bind_the_subject_where_no_alternative_name_is_an_email() {
    let code = |constraints: NameConstraints, address: &str| {
        let constrain = |params: &mut CertificateParams| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: constraints.permitted_subtrees.clone(),
                excluded_subtrees: constraints.excluded_subtrees.clone(),
            });
        };
        let bearing = |params: &mut CertificateParams| {
            let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
            params.distinguished_name.push(email, address);
        };
        // The same whether the anchor or a CA below it is constrained.
        let top = root_with("root", &constrain);
        let answer = ask(&leaf_with(&top, &bearing), &[], &top, &plain());
        let free = root();
        let middle = intermediate_with(&free, "issuing", &constrain);
        let below = ask(&leaf_with(&middle, &bearing), &[&middle], &free, &plain());
        let code = |answer: Result<VerifiedPath, PathError>| match answer {
            Ok(_) => "ok",
            Err(error) => error.code(),
        };
        let (answer, below) = (code(answer), code(below));
        assert_eq!(answer, below, "{address}");
        answer
    };
    let subtrees = |bases: &[&str]| -> Vec<GeneralSubtree> {
        let bases = bases.iter();
        bases
            .map(|base| GeneralSubtree::Rfc822Name((*base).to_owned()))
            .collect()
    };
    let permitted = |base: &str, address| {
        let constraints = NameConstraints {
            permitted_subtrees: subtrees(&[base, "other.example"]),
            excluded_subtrees: vec![],
        };
        code(constraints, address)
    };
    let excluded = |base: &str, address| {
        let constraints = NameConstraints {
            permitted_subtrees: vec![],
            excluded_subtrees: subtrees(&["other.example", base]),
        };
        code(constraints, address)
    };
    // Base, address, and whether the one holds the other; none where that is in doubt.
    let cases = [
        ("mail.example", "joe@Mail.example", Some(true)),
        ("mail.example", "joe@a.mail.example", Some(false)),
        ("mail.example", "joe@evil.example", Some(false)),
        (".mail.example", "joe@a.Mail.example", Some(true)),
        (".mail.example", "joe@mail.example", Some(false)),
        (".mail.example", "joe@evilmail.example", Some(false)),
        ("joe@mail.example", "joe@MAIL.example", Some(true)),
        ("joe@mail.example", "ann@mail.example", Some(false)),
        ("joe@mail.example", "Joe@mail.example", None),
        ("mail.example", "joe", None),
        ("mail.example", "", None),
        ("mail.example", "joe@evil.example@mail.example", None),
        ("mail.example", "joe@mail.example ", None),
        ("mail.example", "joe@mail.example.", None),
        ("mail.example", "\"joe\"@mail.example", None),
        ("", "joe@mail.example", None),
        ("@mail.example", "joe@mail.example", None),
    ];
    for (base, address, holds) in cases {
        let refused_unless = |fine| if fine { "ok" } else { "name_constraint" };
        assert_eq!(
            permitted(base, address),
            refused_unless(holds == Some(true)),
            "{address:?} where {base:?} is permitted"
        );
        assert_eq!(
            excluded(base, address),
            refused_unless(holds == Some(false)),
            "{address:?} where {base:?} is excluded"
        );
    }
    let of_hosts = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
        excluded_subtrees: vec![],
    };
    assert_eq!(code(of_hosts, "not an address"), "ok");
}

/// A key that only has to look like one.
struct Sham(&'static Algorithm, Vec<u8>);

impl PublicKeyData for Sham {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static Algorithm {
        self.0
    }
}

/// An RSAPublicKey of so many bits, whose modulus has no small factor.
pub(super) fn rsa(bits: usize) -> impl PublicKeyData {
    let mut modulus = vec![0; bits.div_ceil(8)];
    modulus[0] = 1 << ((bits - 1) % 8);
    let last = modulus.len() - 1;
    let divides = |divisor: u32, modulus: &[u8]| {
        modulus
            .iter()
            .fold(0, |rest, octet| (rest * 256 + u32::from(*octet)) % divisor)
            == 0
    };
    while (2..256).any(|divisor| divides(divisor, &modulus)) {
        modulus[last] = modulus[last].wrapping_add(1);
        modulus[last - 1] = modulus[last - 1].wrapping_add(u8::from(modulus[last] == 0));
    }
    if bits.is_multiple_of(8) {
        modulus.insert(0, 0);
    }
    let modulus = crate::asn1::element(crate::asn1::INTEGER, &modulus);
    let exponent = crate::asn1::element(crate::asn1::INTEGER, &[1, 0, 1]);
    Sham(
        &PKCS_RSA_SHA256,
        crate::asn1::sequence(&[&modulus, &exponent]),
    )
}

#[test]
fn weak_keys_are_refused_with_both_sizes() {
    let root = root();
    let error = refused(
        "weak_key",
        ask(&leaf_of(&root, &rsa(1024), &as_is), &[], &root, &plain()),
    );
    assert!(
        error.to_string().contains("1024") && error.to_string().contains("2048"),
        "{error}"
    );
    ask(&leaf_of(&root, &rsa(2048), &as_is), &[], &root, &plain()).unwrap();
}

/// Changes every occurrence of some octets.
fn replaced(certificate: &Certificate, from: &[u8], to: &[u8]) -> Certificate {
    let mut der = certificate.der().to_vec();
    let places: Vec<usize> = (0..der.len() - from.len())
        .filter(|at| der[*at..].starts_with(from))
        .collect();
    assert_eq!(places.len(), 2, "inside and outside");
    for at in places {
        der[at..at + to.len()].copy_from_slice(to);
    }
    read(&der)
}

/// ecdsa-with-SHA256 (RFC 5758 §3.2), and its neighbour with SHA-224 (RFC 5480 §2.2 knows no strength below SHA-256's).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA224: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1];

#[test]
fn weak_signature_algorithms_are_refused_except_on_a_roots_own_signature() {
    let root = root();
    let weak = replaced(&leaf(&root), ECDSA_SHA256, ECDSA_SHA224);
    refused("weak_signature_algorithm", ask(&weak, &[], &root, &plain()));
    let old_root = replaced(&root.certificate, ECDSA_SHA256, ECDSA_SHA224);
    verify(&leaf(&root), &[], &[old_root], &[], &plain(), now()).unwrap();
    let ca = intermediate(&root, "issuing");
    let old_anchor = replaced(&ca.certificate, ECDSA_SHA256, ECDSA_SHA224);
    refused(
        "weak_signature_algorithm",
        verify(&leaf(&ca), &[], &[old_anchor], &[], &plain(), now()),
    );
}

#[test]
fn the_signature_algorithm_is_named_twice_and_alike() {
    let root = root();
    let mut der = leaf(&root).der().to_vec();
    let outside = der
        .windows(ECDSA_SHA256.len())
        .rposition(|window| window == ECDSA_SHA256)
        .unwrap();
    der[outside + ECDSA_SHA256.len() - 1] = 3;
    refused(
        "signature_algorithms_differ",
        ask(&read(&der), &[], &root, &plain()),
    );
}

/// The certificate with its signed part changed and signed again.
fn resigned(
    certificate: &Certificate,
    issuer: &Authority,
    change: impl Fn(Vec<u8>) -> Vec<u8>,
) -> Certificate {
    use crate::asn1;
    let tbs = asn1::Cursor::only(certificate.tbs_der(), asn1::SEQUENCE, "tbsCertificate").unwrap();
    let tbs = asn1::element(asn1::SEQUENCE, &change(tbs.content.to_vec()));
    let signature = [vec![0], issuer.key.sign(&tbs).unwrap()].concat();
    let signature = asn1::element(asn1::BIT_STRING, &signature);
    read(&asn1::sequence(&[
        &tbs,
        certificate.outer_algorithm_der(),
        &signature,
    ]))
}

#[test]
fn only_version_3_is_accepted() {
    let root = root();
    let version_2 = resigned(&leaf(&root), &root, |mut tbs| {
        tbs[4] = 1;
        tbs
    });
    let error = refused("unsupported_version", ask(&version_2, &[], &root, &plain()));
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn what_only_webpki_refuses_is_told_in_its_words() {
    // A subjectUniqueID, which no certificate in use has and webpki does not read.
    let root = root();
    let odd = resigned(&leaf(&root), &root, |tbs| {
        let mut fields = crate::asn1::Cursor::new(&tbs);
        let last = std::iter::from_fn(|| fields.any("field").ok())
            .last()
            .unwrap();
        [
            &tbs[..tbs.len() - last.der.len()],
            &[0x82, 2, 0, 1],
            last.der,
        ]
        .concat()
    });
    assert!(odd.has_subject_unique_id());
    refused("path_not_accepted", ask(&odd, &[], &root, &plain()));
}

#[test]
fn a_search_that_takes_too_long_is_given_up() {
    let top = root_with("root", &|params| {
        let bases = (0..600)
            .map(|number| GeneralSubtree::DnsName(format!("x{number}.example")))
            .collect();
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![],
            excluded_subtrees: bases,
        });
    });
    let many = leaf_with(&top, &|params| {
        let names = (0..600)
            .map(|number| SanType::DnsName(format!("n{number}.example").try_into().unwrap()));
        params.subject_alt_names = names.collect();
    });
    let error = refused("search_limit_reached", ask(&many, &[], &top, &plain()));
    assert!(
        error.to_string().contains("name constraint comparisons"),
        "{error}"
    );
}

#[test]
fn diagnose_gives_the_refusal_that_verify_gives() {
    let root = root();
    let ca = intermediate(&root, "issuing");
    let anchors = [root.certificate.clone()];
    let error = verify(&leaf(&ca), &[], &anchors, &[], &plain(), now()).unwrap_err();
    let leaf = leaf(&ca);
    assert_eq!(diagnose(&leaf, &[], &anchors, &[], &plain(), now()), error);
    assert_eq!(
        diagnose(&leaf, &[ca.certificate], &anchors, &[], &plain(), now()).code(),
        "path_not_accepted"
    );
}
