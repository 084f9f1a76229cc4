//! What a session, a certificate or a stranger must not be able to do.

use bowline_service::{
    Authorize, Caller, Channel, Clock, CreateProfile, CreateRole, CreateTrustAnchor, Error,
    IssueCertificate, KeySpec, Kind, ListAssumableRoles, Moment, Operation, PrivateKey,
    RenewCertificate, RevocationReason, RevokeCertificate, ShowProfile, ShowRevocationList,
    SignedPayload, UpdateProfile, UpdateTrustAnchor, WireRequest, certification_request,
    renewal_proof,
};

use crate::world::{Holder, World};

const OPERATOR: Caller = Caller::Operator;

/// A session of a role with a policy of its own.
fn session(world: &World, name: &str, policy: &str) -> Caller {
    let role = CreateRole {
        name: name.into(),
        policy: Some(policy.into()),
        ..CreateRole::default()
    };
    role.run(&world.service, &OPERATOR).unwrap();
    let credentials = world.exchange(&world.issue(name, &[name]), name).unwrap();
    let request = world.signed_call(&credentials);
    world
        .service
        .identify(&request, &Channel::default())
        .unwrap()
}

fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":{action},"Resource":"{resource}"}}"#)
}

fn policy(statements: &[String]) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
        statements.join(",")
    )
}

fn code(error: Error) -> String {
    error.code().into_owned()
}

#[test]
fn a_deny_by_arn_holds_however_the_resource_is_written() {
    let world = World::new();
    let deny = format!(
        r#"{{"Effect":"Deny","Action":"rolesanywhere:UpdateProfile","Resource":"{}"}}"#,
        world.made.profile
    );
    let caller = session(
        &world,
        "manager",
        &policy(&[allow(r#""rolesanywhere:*""#, "*"), deny]),
    );
    let id = world.made.profile.rsplit('/').next().unwrap();
    for reference in ["default", id, &world.made.profile] {
        let update = UpdateProfile {
            profile: reference.into(),
            duration_seconds: Some(900),
            ..UpdateProfile::default()
        };
        assert_eq!(
            code(update.run(&world.service, &caller).unwrap_err()),
            "not_authorized",
            "{reference}"
        );
        ShowProfile {
            profile: reference.into(),
        }
        .run(&world.service, &caller)
        .unwrap();
    }
}

#[test]
fn creating_a_role_takes_the_right_to_write_its_policy_to_pass_it_and_to_offer_it() {
    let world = World::new();
    let some = r#"["iam:CreateRole","iam:PutRolePolicy","iam:PassRole"]"#;
    let all =
        r#"["iam:CreateRole","iam:PutRolePolicy","iam:PassRole","rolesanywhere:UpdateProfile"]"#;
    let role = || CreateRole {
        name: "god".into(),
        allow: vec!["*".into()],
        on: vec!["*".into()],
        subjects: vec!["CN=mallory".into()],
        ..CreateRole::default()
    };
    for (name, actions) in [("one", r#""iam:CreateRole""#), ("three", some)] {
        let caller = session(&world, name, &policy(&[allow(actions, "*")]));
        assert_eq!(
            code(role().run(&world.service, &caller).unwrap_err()),
            "not_authorized",
            "{name}"
        );
    }
    let caller = session(&world, "four", &policy(&[allow(all, "*")]));
    role().run(&world.service, &caller).unwrap();
}

#[test]
fn a_role_in_a_subject_takes_the_right_to_pass_it() {
    let world = World::new();
    world.role("reader");
    world.role("writer");
    let pass = allow(r#""iam:PassRole""#, "arn:aws:iam::000000000000:role/reader");
    let caller = session(
        &world,
        "registrar",
        &policy(&[allow(r#""acm-pca:IssueCertificate""#, "*"), pass]),
    );
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    world
        .ask_for("web-1", &["reader"], &key)
        .run(&world.service, &caller)
        .unwrap();
    let refused = world
        .ask_for("web-2", &["writer"], &key)
        .run(&world.service, &caller)
        .unwrap_err();
    assert!(refused.to_string().contains("iam:PassRole"), "{refused}");
}

#[test]
fn the_name_of_a_certificate_is_a_condition_key() {
    let world = World::new();
    let statement = r#"{"Effect":"Allow","Action":"acm-pca:IssueCertificate","Resource":"*",
        "Condition":{"StringLike":{"bowline:CommonName":"ci-*"}}}"#;
    let caller = session(&world, "registrar", &policy(&[statement.into()]));
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    world
        .ask_for("ci-1", &[], &key)
        .run(&world.service, &caller)
        .unwrap();
    assert_eq!(
        code(
            world
                .ask_for("web-1", &[], &key)
                .run(&world.service, &caller)
                .unwrap_err()
        ),
        "not_authorized"
    );
}

#[test]
fn remove_from_crl_is_no_reason_to_revoke() {
    let world = World::new();
    world.issue("web-1", &[]);
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::RemoveFromCrl,
    };
    assert_eq!(
        code(revoke.run(&world.service, &OPERATOR).unwrap_err()),
        "reason_not_a_revocation"
    );
    let list = ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    };
    assert_eq!(list.run(&world.service, &OPERATOR).unwrap().entries, 0);
}

fn renewal(world: &World, old: &Holder, key: &PrivateKey) -> RenewCertificate {
    let csr = certification_request(key).unwrap();
    let signed_at = world.clock.now();
    let proof = renewal_proof(&old.issued.certificate, &csr, &old.key, signed_at).unwrap();
    RenewCertificate {
        certificate: old.issued.certificate.clone(),
        csr,
        signed_at,
        proof,
    }
}

#[test]
fn revoking_a_serial_revokes_what_renewed_it() {
    let world = World::new();
    world.role("reader");
    let stolen = world.issue("web-1", &["reader"]);
    let nobody = Caller::Nobody { source: None };
    let mut thief = stolen.issued.serial.clone();
    let mut holder = stolen;
    for _ in 0..3 {
        let key = PrivateKey::generate(KeySpec::P256).unwrap();
        let issued = renewal(&world, &holder, &key)
            .run(&world.service, &nobody)
            .unwrap();
        holder = Holder { key, issued };
    }
    thief.insert_str(0, "0x");
    let revoke = RevokeCertificate {
        certificate: thief,
        reason: RevocationReason::KeyCompromise,
    };
    assert_eq!(
        revoke.run(&world.service, &OPERATOR).unwrap().revoked.len(),
        4
    );
    assert_eq!(
        code(world.exchange(&holder, "reader").unwrap_err()),
        "certificate_revoked"
    );
}

#[test]
fn a_renewal_is_of_now_of_a_valid_certificate_and_never_an_operators() {
    let world = World::new();
    let nobody = Caller::Nobody { source: None };
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let holder = world.issue("web-1", &[]);
    let captured = renewal(&world, &holder, &key);
    world.pass(301);
    assert_eq!(
        code(captured.run(&world.service, &nobody).unwrap_err()),
        "renewal_date"
    );

    let mut ask = world.ask_for("later", &[], &key);
    ask.not_before = Some(Moment::In(3_600));
    let later = PrivateKey::generate(KeySpec::P256).unwrap();
    ask.csr = certification_request(&later).unwrap();
    let later = Holder {
        issued: ask.run(&world.service, &OPERATOR).unwrap(),
        key: later,
    };
    let refused = renewal(&world, &later, &key)
        .run(&world.service, &nobody)
        .unwrap_err();
    assert_eq!(code(refused), "renewal_of_certificate_not_yet_valid");

    let boss = PrivateKey::generate(KeySpec::P256).unwrap();
    let ask = IssueCertificate {
        names: Vec::new(),
        certificate_profile: "operator".into(),
        ..world.ask_for("boss", &["administrator"], &boss)
    };
    let boss = Holder {
        issued: ask.run(&world.service, &OPERATOR).unwrap(),
        key: boss,
    };
    assert_eq!(
        code(
            renewal(&world, &boss, &key)
                .run(&world.service, &nobody)
                .unwrap_err()
        ),
        "renews_operator"
    );
}

#[test]
fn a_stranger_hears_no_names() {
    let world = World::new();
    world.role("secret-project");
    let holder = world.issue("web-1", &["secret-project"]);
    for (what, change) in [("anchor", "default"), ("profile", "default")] {
        let mut ask = world.session_ask(&holder, "secret-project");
        let place = if what == "anchor" {
            &mut ask.trust_anchor_arn
        } else {
            &mut ask.profile_arn
        };
        *place = change.into();
        let refused = world.exchange_as(&holder, &ask).unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound);
        assert!(!refused.to_string().contains("operators"), "{refused}");
    }
    let nobody = Caller::Nobody { source: None };
    for certificate in ["web-1", "web-2"] {
        let revoke = RevokeCertificate {
            certificate: certificate.into(),
            reason: RevocationReason::Unspecified,
        };
        assert_eq!(
            code(revoke.run(&world.service, &nobody).unwrap_err()),
            "credentials_needed"
        );
    }
    let roles = ListAssumableRoles {
        certificate: holder.issued.certificate.clone(),
        chain: Vec::new(),
    };
    assert_eq!(
        code(roles.run(&world.service, &nobody).unwrap_err()),
        "credentials_needed"
    );
}

#[test]
fn a_signature_for_one_service_opens_no_other() {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    let request = world.signed_get(&credentials);
    let ask = |action: &str, service: Option<&str>| {
        let ask = question(&request, action, service, "arn:aws:s3:::data/report.csv");
        ask.run(&world.service, &OPERATOR).unwrap().code
    };
    assert_eq!(ask("s3:GetObject", None), None);
    assert_eq!(
        ask("sqs:SendMessage", None).as_deref(),
        Some("service_not_allowed")
    );
    assert_eq!(ask("sqs:SendMessage", Some("s3")), None);
    assert_eq!(ask("sqs:SendMessage", Some("generic")), None);
}

#[test]
fn a_request_signed_with_a_certificate_is_for_its_path() {
    let world = World::new();
    let holder = world.issue("web-1", &[]);
    let signed = |path: &str| {
        let mut request = WireRequest {
            method: "POST".into(),
            target: path.into(),
            headers: vec![("host".into(), "ca.test".into())],
            body: b"{}".to_vec(),
        };
        let (certificates, now) = (holder.certificates(), world.clock.now());
        bowline_service::sign_request_with_certificate(
            &mut request,
            &certificates,
            &holder.key,
            "us-east-1",
            now,
        )
        .unwrap();
        request
    };
    world
        .service
        .identify(&signed("/v1/list-assumable-roles"), &Channel::default())
        .unwrap();
    let mut redirected = signed("/sessions");
    redirected.target = "/v1/list-assumable-roles".into();
    assert_eq!(
        code(
            world
                .service
                .identify(&redirected, &Channel::default())
                .err()
                .unwrap()
        ),
        "signature_mismatch"
    );
}

#[test]
fn a_question_is_about_an_action_and_an_arn() {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    let request = world.signed_get(&credentials);
    let ask = |action: &str, resource: &str| {
        let ask = question(&request, action, Some("s3"), resource);
        ask.run(&world.service, &OPERATOR)
    };
    let answer = ask("s3:GetObject", "arn:aws:s3:::data/x").unwrap();
    assert!(
        matches!(answer.payload, Some(SignedPayload::Declared(_))),
        "{:?}",
        answer.payload
    );
    assert_eq!(
        code(ask("s3:GetObject", "data/x").unwrap_err()),
        "resource_invalid"
    );
    assert_eq!(
        code(ask("GetObject", "arn:aws:s3:::data/x").unwrap_err()),
        "action_invalid"
    );
}

#[test]
fn sessions_do_not_come_back_when_an_anchor_does() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let before = session(&world, "lister", &policy(&[allow(r#""bowline:*""#, "*")]));
    let Caller::Session { .. } = before else {
        panic!("a session")
    };
    let old = world.exchange(&holder, "reader").unwrap();
    for enabled in [false, true] {
        let update = UpdateTrustAnchor {
            trust_anchor: "default".into(),
            bundle: None,
            enabled: Some(enabled),
        };
        update.run(&world.service, &OPERATOR).unwrap();
    }
    let who = |credentials| {
        let request = world.signed_call(credentials);
        world
            .service
            .identify(&request, &Channel::default())
            .map(|_| ())
    };
    assert_eq!(code(who(&old).unwrap_err()), "session_ended_by_anchor");
    world.pass(1);
    who(&world.exchange(&holder, "reader").unwrap()).unwrap();
}

#[test]
fn a_name_that_reads_as_an_id_is_refused() {
    let world = World::new();
    let id = world.made.trust_anchor.rsplit('/').next().unwrap();
    let anchor = CreateTrustAnchor {
        name: id.into(),
        bundle: None,
        authority: Some("issuing".into()),
        disabled: false,
        if_missing: false,
    };
    assert_eq!(
        code(anchor.run(&world.service, &OPERATOR).unwrap_err()),
        "name_reads_as_id"
    );
    let profile = CreateProfile {
        name: id.into(),
        ..CreateProfile::default()
    };
    assert_eq!(
        code(profile.run(&world.service, &OPERATOR).unwrap_err()),
        "name_reads_as_id"
    );
}

#[test]
fn many_roles_at_once_all_come_about() {
    let world = World::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || world.role(&format!("role-{number}")));
        }
    });
    let profile = ShowProfile {
        profile: "default".into(),
    }
    .run(&world.service, &OPERATOR)
    .unwrap();
    assert_eq!(profile.roles.len(), 8);
}

#[test]
fn many_certificates_at_once_all_come_about() {
    let world = World::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for count in 0..4 {
                    world.issue(&format!("web-{number}-{count}"), &[]);
                }
            });
        }
    });
}

#[test]
fn a_home_whose_root_is_kept_outside_still_has_a_crl_of_the_root() {
    let world = World::new_with_offline_root();
    let list = |authority: &str| {
        ShowRevocationList {
            authority: authority.into(),
            fresh: false,
        }
        .run(&world.service, &OPERATOR)
    };
    assert_eq!(list("root").unwrap().entries, 0);
    assert_eq!(list("issuing").unwrap().number, 1);
}

/// What a relying service asks about a request it received.
fn question(
    request: &WireRequest,
    action: &str,
    service: Option<&str>,
    resource: &str,
) -> Authorize {
    Authorize {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        action: Some(action.into()),
        service: service.map(str::to_owned),
        resource: Some(resource.into()),
        tls: true,
        ..Authorize::default()
    }
}
