//! CRLs: which count, and what they say.

use rcgen::{
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, DnValue,
    RevocationReason as Reason,
};

use super::*;

type ListChange<'a> = &'a dyn Fn(&mut CertificateRevocationListParams);

fn untouched(_: &mut CertificateRevocationListParams) {}

fn list(issuer: &Authority, change: ListChange<'_>) -> CertificateList {
    let mut params = CertificateRevocationListParams {
        this_update: moment(-1),
        next_update: moment(6),
        crl_number: SerialNumber::from(7u64),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    CertificateList::from_der(params.signed_by(&issuer.issuer()).unwrap().der()).unwrap()
}

fn entry(serial: u64, reason: Reason) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: moment(-2),
        reason_code: Some(reason),
        invalidity_date: None,
    }
}

fn revoking(reason: Reason) -> impl Fn(&mut CertificateRevocationListParams) {
    move |params| params.revoked_certs = vec![entry(LEAF_SERIAL, reason)]
}

struct Scene {
    root: Authority,
    ca: Authority,
    leaf: Certificate,
}

fn scene() -> Scene {
    let root = root();
    let ca = intermediate(&root, "issuing");
    let leaf = leaf(&ca);
    Scene { root, ca, leaf }
}

impl Scene {
    fn ask(&self, lists: &[CertificateList], rules: &PathRules) -> Result<VerifiedPath, PathError> {
        let sent = [self.ca.certificate.clone()];
        verify(
            &self.leaf,
            &sent,
            std::slice::from_ref(&self.root.certificate),
            lists,
            rules,
            now(),
        )
    }
}

fn required() -> PathRules {
    PathRules {
        require_crl: true,
        ..PathRules::strict()
    }
}

#[test]
fn a_revoked_leaf_or_intermediate_is_refused_with_date_and_reason() {
    let scene = scene();
    let of_leaf = list(&scene.ca, &revoking(Reason::KeyCompromise));
    let error = refused(
        "revoked",
        scene.ask(std::slice::from_ref(&of_leaf), &plain()),
    );
    assert_eq!(
        error.to_string(),
        "certificate CN=web-1 with serial number 1f71 was revoked at 2026-05-30T12:00:00Z (keyCompromise)"
    );
    let of_ca = list(&scene.root, &|params| {
        params.revoked_certs = vec![entry(0x1001, Reason::CaCompromise)];
    });
    let error = refused("revoked", scene.ask(&[of_ca], &plain()));
    assert!(
        error
            .to_string()
            .starts_with("intermediate certificate CN=issuing"),
        "{error}"
    );
}

#[test]
fn a_serial_number_on_the_list_of_another_ca_means_nothing() {
    let scene = scene();
    let by_root = list(&scene.root, &revoking(Reason::KeyCompromise));
    let stranger = list(
        &root_with("stranger", &as_is),
        &revoking(Reason::KeyCompromise),
    );
    scene.ask(&[by_root, stranger], &plain()).unwrap();
}

#[test]
fn the_list_must_bear_the_signature_of_the_ca_on_the_path() {
    let scene = scene();
    let mut der = list(&scene.ca, &untouched).der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let altered = CertificateList::from_der(&der).unwrap();
    refused(
        "crl_signature_invalid",
        scene.ask(std::slice::from_ref(&altered), &plain()),
    );
    scene
        .ask(&[altered, list(&scene.ca, &untouched)], &plain())
        .unwrap();
    // Another CA of that name, which says so by its key identifier: not this CA's list.
    let namesake = intermediate(&scene.root, "issuing");
    let foreign = list(&namesake, &revoking(Reason::KeyCompromise));
    scene.ask(std::slice::from_ref(&foreign), &plain()).unwrap();
    refused(
        "crl_missing",
        scene.ask(&[foreign, list(&scene.root, &untouched)], &required()),
    );
}

/// A list by the key of this CA under another name, with the key identifier or without.
fn under_name(
    ca: &Authority,
    name: impl Into<DnValue>,
    with_key_id: bool,
    change: ListChange<'_>,
) -> CertificateList {
    let mut other = Authority {
        params: ca.params.clone(),
        key: KeyPair::from_pem(&ca.key.serialize_pem()).unwrap(),
        certificate: ca.certificate.clone(),
    };
    other.params.distinguished_name = rcgen::DistinguishedName::new();
    other
        .params
        .distinguished_name
        .push(DnType::CommonName, name);
    let list = list(&other, change);
    let mut extensions = list.extensions().to_vec();
    extensions
        .retain(|extension| with_key_id || extension.oid != crate::oid::AUTHORITY_KEY_IDENTIFIER);
    rebuilt(&list, ca, true, &extensions)
}

fn printable(name: &str) -> DnValue {
    DnValue::PrintableString(name.try_into().unwrap())
}

#[test]
fn a_list_speaks_whatever_the_spelling_of_its_issuers_name() {
    let scene = scene();
    let revoking = revoking(Reason::KeyCompromise);
    let of_root = list(&scene.root, &untouched);
    for name in ["issuing", "ISSUING", " Issuing "] {
        for name in [printable(name), DnValue::Utf8String(name.to_owned())] {
            let of_ca = |change| under_name(&scene.ca, name.clone(), false, change);
            assert_eq!(of_ca(&untouched).authority_key_id(), None);
            refused("revoked", scene.ask(&[of_ca(&revoking)], &plain()));
            scene
                .ask(&[of_ca(&untouched), of_root.clone()], &required())
                .unwrap();
        }
    }
    // Signed with another key: an altered list if it claims this one, and a namesake's otherwise.
    let namesake = intermediate(&scene.root, "issuing");
    let silent = under_name(&namesake, printable("Issuing"), false, &revoking);
    refused("crl_signature_invalid", scene.ask(&[silent], &plain()));
    let foreign = under_name(&namesake, printable("Issuing"), true, &revoking);
    scene.ask(&[foreign], &plain()).unwrap();
}

#[test]
fn a_list_with_the_cas_key_identifier_and_another_name_revokes_and_does_not_vouch() {
    let scene = scene();
    let named = |change| under_name(&scene.ca, "renamed", true, change);
    let revoking = revoking(Reason::KeyCompromise);
    assert_eq!(
        named(&untouched).authority_key_id(),
        scene.ca.certificate.subject_key_id()
    );
    refused("revoked", scene.ask(&[named(&revoking)], &plain()));
    let of_root = list(&scene.root, &untouched);
    refused(
        "crl_missing",
        scene.ask(&[named(&untouched), of_root], &required()),
    );
    let held = list(&scene.ca, &|params| {
        params.this_update = moment(-3);
        params.revoked_certs = vec![entry(LEAF_SERIAL, Reason::CertificateHold)];
    });
    refused("revoked", scene.ask(&[held, named(&untouched)], &plain()));
    // With neither the name nor the identifier it is nobody's.
    let nobodys = under_name(&scene.ca, "renamed", false, &revoking);
    scene.ask(&[nobodys], &plain()).unwrap();
    // The identifier alone proves nothing.
    let stranger = under_name(
        &intermediate(&scene.root, "other"),
        "renamed",
        true,
        &revoking,
    );
    let mut extensions = stranger.extensions().to_vec();
    let claimed = named(&untouched);
    for extension in &mut extensions {
        if extension.oid == crate::oid::AUTHORITY_KEY_IDENTIFIER {
            let of_ca = claimed.extensions().iter();
            extension.value = of_ca
                .filter(|known| known.oid == extension.oid)
                .map(|known| known.value.clone())
                .next()
                .unwrap();
        }
    }
    let forged = rebuilt(
        &stranger,
        &intermediate(&scene.root, "other"),
        true,
        &extensions,
    );
    assert_eq!(forged.authority_key_id(), claimed.authority_key_id());
    scene.ask(&[forged], &plain()).unwrap();
}

#[test]
fn a_ca_whose_key_usage_lacks_crl_sign_signs_no_lists() {
    let root = root();
    let mut ca = intermediate_with(&root, "issuing", &|params| {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    let leaf = leaf(&ca);
    ca.params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let scene = Scene { root, leaf, ca };
    refused(
        "crl_signer_not_allowed",
        scene.ask(&[list(&scene.ca, &untouched)], &plain()),
    );
    scene.ask(&[], &plain()).unwrap();
}

#[test]
fn where_a_crl_is_required_every_certificate_but_the_anchor_needs_one() {
    let scene = scene();
    let (of_ca, of_root) = (list(&scene.ca, &untouched), list(&scene.root, &untouched));
    let path = scene
        .ask(&[of_ca.clone(), of_root.clone()], &required())
        .unwrap();
    assert_eq!(
        path.good_until(),
        at(1),
        "the leaf ends before the lists do"
    );
    let error = refused("crl_missing", scene.ask(&[of_ca], &required()));
    assert!(
        error
            .to_string()
            .contains("no usable CRL of CN=root covers intermediate certificate CN=issuing"),
        "{error}"
    );
    refused("crl_missing", scene.ask(&[of_root], &required()));
}

#[test]
fn an_expired_list_is_refused_unless_grace_is_given_and_revokes_all_the_same() {
    let scene = scene();
    let old = |change: ListChange<'_>| {
        list(&scene.ca, &|params| {
            (params.this_update, params.next_update) = (moment(-9), moment(-2));
            change(params);
        })
    };
    let grace = PathRules {
        crl_grace: true,
        ..plain()
    };
    let error = refused("crl_expired", scene.ask(&[old(&untouched)], &plain()));
    assert!(
        error
            .to_string()
            .contains("to be replaced by 2026-05-30T12:00:00Z; it is now 2026-06-01T12:00:00Z"),
        "{error}"
    );
    assert_eq!(
        scene.ask(&[old(&untouched)], &grace).unwrap().good_until(),
        at(1)
    );
    refused(
        "revoked",
        scene.ask(&[old(&revoking(Reason::Superseded))], &grace),
    );
    scene
        .ask(&[old(&untouched), list(&scene.ca, &untouched)], &plain())
        .unwrap();
}

#[test]
fn the_next_update_itself_is_not_too_late_and_bounds_the_answer() {
    let scene = scene();
    let ending = |seconds| {
        list(&scene.ca, &|params| {
            params.next_update = moment(0) + time::Duration::seconds(seconds);
        })
    };
    assert_eq!(
        scene.ask(&[ending(0)], &plain()).unwrap().good_until(),
        now()
    );
    refused("crl_expired", scene.ask(&[ending(-1)], &plain()));
    let path = scene.ask(&[ending(60), ending(30)], &plain()).unwrap();
    assert_eq!(path.good_until(), now() + chrono::Duration::seconds(60));
}

#[test]
fn a_list_from_the_future_is_refused_and_not_listened_to() {
    let scene = scene();
    let future = |change: ListChange<'_>| {
        list(&scene.ca, &|params| {
            params.this_update = moment(0) + time::Duration::seconds(1);
            change(params);
        })
    };
    refused(
        "crl_not_yet_valid",
        scene.ask(&[future(&untouched)], &plain()),
    );
    let grace = PathRules {
        crl_grace: true,
        ..plain()
    };
    refused(
        "crl_not_yet_valid",
        scene.ask(&[future(&untouched)], &grace),
    );
    scene
        .ask(
            &[
                future(&revoking(Reason::KeyCompromise)),
                list(&scene.ca, &untouched),
            ],
            &plain(),
        )
        .unwrap();
}

#[test]
fn only_a_hold_is_taken_back_by_a_later_list() {
    let scene = scene();
    let earlier = |reason| {
        list(&scene.ca, &|params| {
            params.this_update = moment(-3);
            revoking(reason)(params);
        })
    };
    let later = list(&scene.ca, &untouched);
    refused(
        "revoked",
        scene.ask(&[earlier(Reason::CertificateHold)], &plain()),
    );
    scene
        .ask(&[earlier(Reason::CertificateHold), later.clone()], &plain())
        .unwrap();
    refused(
        "revoked",
        scene.ask(&[later, earlier(Reason::KeyCompromise)], &plain()),
    );
}

#[test]
fn a_list_of_another_scope_does_not_cover_the_certificate() {
    let mut scene = scene();
    let at = "http://crl.example/1.crl";
    scene.leaf = leaf_with(&scene.ca, &|params| {
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![at.to_owned()],
        }];
    });
    let scoped = |scope, uri: &str| {
        let uri = uri.to_owned();
        list(&scene.ca, &move |params| {
            let distribution_point = CrlDistributionPoint {
                uris: vec![uri.clone()],
            };
            params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                distribution_point,
                scope,
            });
        })
    };
    let of_root = list(&scene.root, &untouched);
    scene
        .ask(
            &[scoped(Some(CrlScope::UserCertsOnly), at), of_root.clone()],
            &required(),
        )
        .unwrap();
    scene
        .ask(&[scoped(None, at), of_root.clone()], &required())
        .unwrap();
    refused(
        "crl_missing",
        scene.ask(
            &[scoped(Some(CrlScope::CaCertsOnly), at), of_root.clone()],
            &required(),
        ),
    );
    refused(
        "crl_missing",
        scene.ask(
            &[scoped(None, "http://crl.example/2.crl"), of_root],
            &required(),
        ),
    );
}

/// Rebuilds a list with other extensions and no nextUpdate if so asked.
fn rebuilt(
    list: &CertificateList,
    issuer: &Authority,
    next_update: bool,
    extensions: &[crate::Extension],
) -> CertificateList {
    use crate::asn1;
    use rcgen::SigningKey;
    let mut fields = asn1::Cursor::only(list.tbs_der(), asn1::SEQUENCE, "tbsCertList")
        .unwrap()
        .inside();
    let mut parts = Vec::new();
    for number in 0..5 {
        let part = fields.any("field").unwrap();
        if number != 4 || next_update {
            parts.push(part.der.to_vec());
        }
    }
    if let Some(revoked) = fields.optional(asn1::SEQUENCE, "revoked").unwrap() {
        parts.push(revoked.der.to_vec());
    }
    if !extensions.is_empty() {
        parts.push(asn1::element(
            asn1::context_constructed(0),
            &crate::Extension::list_to_der(extensions),
        ));
    }
    let tbs = asn1::element(asn1::SEQUENCE, &parts.concat());
    let signature = asn1::element(
        asn1::BIT_STRING,
        &[vec![0], issuer.key.sign(&tbs).unwrap()].concat(),
    );
    let algorithm = list.signature_algorithm().unwrap().to_der();
    CertificateList::from_der(&asn1::sequence(&[&tbs, &algorithm, &signature])).unwrap()
}

#[test]
fn a_list_without_next_update_vouches_for_nothing() {
    let scene = scene();
    let list = list(&scene.ca, &untouched);
    let endless = rebuilt(&list, &scene.ca, false, list.extensions());
    refused(
        "profile_crl_next_update_missing",
        scene.ask(std::slice::from_ref(&endless), &plain()),
    );
    scene
        .ask(
            &[endless],
            &PathRules {
                crl_grace: true,
                ..plain()
            },
        )
        .unwrap();
}

#[test]
fn strict_rules_ask_for_a_number_that_is_not_critical() {
    let scene = scene();
    let list = list(&scene.ca, &untouched);
    let mut extensions = list.extensions().to_vec();
    let number = extensions
        .iter_mut()
        .find(|extension| extension.oid == crate::oid::CRL_NUMBER)
        .unwrap();
    number.critical = true;
    let critical = rebuilt(&list, &scene.ca, true, &extensions);
    extensions.retain(|extension| extension.oid != crate::oid::CRL_NUMBER);
    let unnumbered = rebuilt(&list, &scene.ca, true, &extensions);
    for (list, code) in [
        (critical, "profile_crl_number_critical"),
        (unnumbered, "profile_crl_number_missing"),
    ] {
        scene.ask(std::slice::from_ref(&list), &plain()).unwrap();
        refused(code, scene.ask(&[list], &PathRules::strict()));
    }
}

#[test]
fn a_delta_revokes_and_does_not_vouch() {
    let scene = scene();
    let full = list(&scene.ca, &untouched);
    let delta_of = |list: &CertificateList| {
        let mut extensions = list.extensions().to_vec();
        extensions.push(crate::Extension::new(
            crate::oid::DELTA_CRL_INDICATOR,
            true,
            vec![2, 1, 1],
        ));
        rebuilt(list, &scene.ca, true, &extensions)
    };
    let delta = delta_of(&full);
    assert!(delta.is_delta());
    let of_root = list(&scene.root, &untouched);
    refused("crl_missing", scene.ask(&[delta, of_root], &required()));
}

#[test]
fn lists_are_verified_once_for_each_key() {
    let scene = scene();
    let lists = [list(&scene.ca, &untouched)];
    let lists = crate::path::revocation::Lists::new(&lists);
    let path = [&scene.leaf, &scene.ca.certificate, &scene.root.certificate];
    let first = lists.check(&path, &plain(), now()).unwrap();
    assert_eq!(first, lists.check(&path, &plain(), now()).unwrap());
}
