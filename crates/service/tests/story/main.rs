//! The whole story in memory: from an empty store to credentials, decisions and revocation.

mod assume_role;
mod authenticators;
mod clock;
mod examination;
mod federation;
mod life;
mod listing;
mod log;
mod messages;
mod privileges;
mod refusals;
mod relying;
mod restoration;
mod roles;
mod session_tokens;
mod subjects;
mod submission;
mod world;

use bowline_service::{
    AcceptClock, Authorization, Authorize, Caller, CertificateStatus, Channel, Clock,
    CreateTrustAnchor, Error, ExplainSession, GetCallerIdentity, KeySpec, Kind, ListAssumableRoles,
    ListCertificates, Moment, Operation, PrivateKey, RenewCertificate, RevocationReason,
    RevokeCertificate, SessionCredentials, ShowRevocationList, UpdateProfile, UpdateTrustAnchor,
    WireRequest, certification_request, renewal_proof, session_request, sign_request,
};
use world::{World, initialize};

const OPERATOR: Caller = Caller::Operator;

fn authorize(
    world: &World,
    credentials: &SessionCredentials,
    action: &str,
    resource: &str,
) -> Authorization {
    let request = world.signed_get(credentials);
    let ask = Authorize {
        method: request.method,
        target: request.target,
        headers: request.headers,
        action: Some(action.into()),
        resource: Some(resource.into()),
        tls: true,
        ..Authorize::default()
    };
    ask.run(&world.service, &OPERATOR).unwrap()
}

fn revoke(world: &World, name: &str) -> usize {
    let revoke = RevokeCertificate {
        certificate: name.into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap().revoked.len()
}

#[test]
fn a_certificate_is_traded_for_credentials_that_do_what_the_role_allows_and_no_more() {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();

    let allowed = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(
        (allowed.decision.as_str(), allowed.http_status),
        ("allow", 200)
    );
    assert_eq!(allowed.matched[0].policy, "role/reader/inline");
    let denied = authorize(
        &world,
        &credentials,
        "s3:PutObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(
        (denied.decision.as_str(), denied.http_status),
        ("implicit_deny", 403)
    );
    assert!(
        denied
            .reason
            .contains("no identity-based policy allows the s3:PutObject action"),
        "{}",
        denied.reason
    );
}

#[test]
fn the_caller_is_told_who_he_is() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let credentials = world.exchange(&holder, "reader").unwrap();
    let mut request = WireRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("host".into(), "sts.test".into())],
        body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
    };
    sign_request(
        &mut request,
        &credentials,
        "us-east-1",
        "sts",
        world.clock.now(),
    )
    .unwrap();
    let caller = world
        .service
        .identify_for_sts(&request, &Channel::default())
        .unwrap();
    let identity = GetCallerIdentity {}.run(&world.service, &caller).unwrap();
    assert_eq!(identity.account, "000000000000");
    assert_eq!(
        identity.arn,
        format!(
            "arn:aws:sts::000000000000:assumed-role/reader/{}",
            holder.issued.serial
        )
    );
}

#[test]
fn a_session_policy_of_the_profile_narrows_a_fresh_session_and_is_named() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/public/*"}}"#;
    let update = UpdateProfile {
        profile: "default".into(),
        session_policy: Some(policy.into()),
        ..UpdateProfile::default()
    };
    update.run(&world.service, &OPERATOR).unwrap();

    let credentials = world.exchange(&holder, "reader").unwrap();
    let denied = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert!(
        denied.reason.contains("no session policy allows"),
        "{}",
        denied.reason
    );
    let allowed = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/public/report.csv",
    );
    assert_eq!(allowed.decision, "allow");
}

#[test]
fn revoking_ends_the_certificate_and_the_sessions_it_was_traded_for() {
    let world = World::new();
    world.role("reader");
    let (revoked, neighbour) = (
        world.issue("web-1", &["reader"]),
        world.issue("web-2", &["reader"]),
    );
    let (ended, living) = (
        world.exchange(&revoked, "reader").unwrap(),
        world.exchange(&neighbour, "reader").unwrap(),
    );
    assert_eq!(revoke(&world, "web-1"), 1);

    let answer = authorize(
        &world,
        &ended,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(
        (answer.http_status, answer.code.as_deref()),
        (401, Some("session_ended_by_revocation"))
    );
    assert_eq!(
        authorize(
            &world,
            &living,
            "s3:GetObject",
            "arn:aws:s3:::data/report.csv"
        )
        .http_status,
        200
    );

    let refused = world.exchange(&revoked, "reader").unwrap_err();
    assert_eq!(
        (refused.kind(), &*refused.code()),
        (Kind::Unauthenticated, "certificate_revoked")
    );
    world.exchange(&neighbour, "reader").unwrap();
    // A second revocation changes nothing, and says so.
    assert_eq!(revoke(&world, "web-1"), 0);
}

#[test]
fn a_name_revokes_all_its_unexpired_certificates() {
    let world = World::new();
    world.issue("web-1", &[]);
    world.pass(25 * 3600);
    world.issue("web-1", &[]);
    world.issue("web-1", &[]);
    world.issue("web-10", &[]);
    assert_eq!(revoke(&world, "web-1"), 2);
    let page = ListCertificates {
        expired: true,
        ..ListCertificates::default()
    }
    .run(&world.service, &OPERATOR)
    .unwrap();
    let count = |status| {
        page.certificates
            .iter()
            .filter(|certificate| certificate.status == status)
            .count()
    };
    assert_eq!(count(CertificateStatus::Revoked), 2);
    assert_eq!(count(CertificateStatus::Expired), 1);
    assert_eq!(count(CertificateStatus::Valid), 1);
}

#[test]
fn the_crl_lists_what_is_revoked_and_its_number_grows() {
    let world = World::new();
    let holder = world.issue("web-1", &[]);
    let list = |fresh| {
        ShowRevocationList {
            authority: "issuing".into(),
            fresh,
        }
        .run(&world.service, &OPERATOR)
        .unwrap()
    };
    let first = list(false);
    assert_eq!((first.number, first.entries), (1, 0));
    assert_eq!(
        list(false).number,
        1,
        "an unchanged list is not signed again"
    );
    revoke(&world, &format!("0x{}", holder.issued.serial));
    let second = list(false);
    assert_eq!((second.number, second.entries), (2, 1));
    assert_eq!(list(true).number, 3);
}

#[test]
fn credentials_end_with_their_certificate() {
    let world = World::new();
    world.role("reader");
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let mut ask = world.ask_for("web-1", &["reader"], &key);
    ask.not_after = Some(Moment::In(1_200));
    let issued = ask.run(&world.service, &OPERATOR).unwrap();
    let holder = world::Holder { key, issued };
    let credentials = world.exchange(&holder, "reader").unwrap();
    assert_eq!(credentials.expiration, holder.issued.not_after);

    // Once while they live: a session that was opened before is asked about its end again.
    let early = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(early.http_status, 200);

    world.pass(1_201);
    let answer = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(answer.http_status, 401);
    let refused = world.exchange(&holder, "reader").unwrap_err();
    assert_eq!(&*refused.code(), "leaf_expired");
}

#[test]
fn disabling_the_anchor_or_the_profile_stops_the_exchange() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let credentials = world.exchange(&holder, "reader").unwrap();
    let anchor = |enabled| UpdateTrustAnchor {
        trust_anchor: "default".into(),
        bundle: None,
        enabled: Some(enabled),
    };
    anchor(false).run(&world.service, &OPERATOR).unwrap();
    assert_eq!(
        &*world.exchange(&holder, "reader").unwrap_err().code(),
        "trust_anchor_disabled"
    );
    let answer = authorize(
        &world,
        &credentials,
        "s3:GetObject",
        "arn:aws:s3:::data/report.csv",
    );
    assert_eq!(answer.code.as_deref(), Some("session_ended_by_anchor"));
    anchor(true).run(&world.service, &OPERATOR).unwrap();

    let profile = UpdateProfile {
        profile: "default".into(),
        enabled: Some(false),
        ..UpdateProfile::default()
    };
    profile.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(
        &*world.exchange(&holder, "reader").unwrap_err().code(),
        "profile_disabled"
    );
}

#[test]
fn a_certificate_gets_only_the_roles_in_its_subject() {
    let world = World::new();
    world.role("reader");
    world.role("writer");
    let holder = world.issue("web-1", &["reader"]);
    let refused = world.exchange(&holder, "writer").unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    let refusal = format!("{:?}", refused.refusal());
    assert!(
        refusal.contains("Unable to assume role for arn:aws:iam::000000000000:role/writer"),
        "{refusal}"
    );
    // A role that does not exist is told apart by nothing that AWS would not say.
    assert_eq!(
        world.exchange(&holder, "ghost").unwrap_err().kind(),
        Kind::Denied
    );

    let ways = ListAssumableRoles {
        certificate: holder.issued.certificate.clone(),
        chain: holder.issued.chain.clone(),
    };
    let ways = ways.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(
        ways.roles
            .iter()
            .map(|way| way.role.as_str())
            .collect::<Vec<_>>(),
        ["reader"]
    );
}

#[test]
fn an_operator_certificate_never_opens_the_default_anchor_nor_a_workload_certificate_the_operators()
{
    let world = World::new();
    world.role("reader");
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let mut ask = world.ask_for("boss", &["administrator"], &key);
    ask.names.clear();
    ask.certificate_profile = "operator".into();
    let operator = world::Holder {
        issued: ask.run(&world.service, &OPERATOR).unwrap(),
        key,
    };
    let workload = world.issue("web-1", &["administrator"]);

    world.exchange(&operator, "administrator").unwrap();
    let mut ask = world.session_ask(&operator, "administrator");
    ask.trust_anchor_arn
        .clone_from(&workload.issued.trust_anchor);
    assert_eq!(
        &*world.exchange_as(&operator, &ask).unwrap_err().code(),
        "untrusted_issuer"
    );
    let ask = world.session_ask(&operator, "administrator");
    assert_eq!(
        &*world.exchange_as(&workload, &ask).unwrap_err().code(),
        "untrusted_issuer"
    );
}

#[test]
fn a_session_may_do_on_the_control_plane_what_its_policies_allow() {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    let request = world.signed_call(&credentials);
    let caller = world
        .service
        .identify(&request, &Channel::default())
        .unwrap();
    let refused = ListCertificates::default()
        .run(&world.service, &caller)
        .unwrap_err();
    assert_eq!(&*refused.code(), "not_authorized");
    assert!(
        refused.to_string().contains("bowline:ListCertificates"),
        "{refused}"
    );

    let nobody = Caller::Nobody { source: None };
    assert_eq!(
        ListCertificates::default()
            .run(&world.service, &nobody)
            .unwrap_err()
            .kind(),
        Kind::Denied
    );
}

#[test]
fn renewing_takes_the_old_key_and_keeps_the_names() {
    let world = World::new();
    world.role("reader");
    let old = world.issue("web-1", &["reader"]);
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let csr = certification_request(&key).unwrap();
    let nobody = Caller::Nobody { source: None };

    let stolen = renewal_proof(&old.issued.certificate, &csr, &key, world.clock.now()).unwrap();
    let renewal = |proof| RenewCertificate {
        certificate: old.issued.certificate.clone(),
        csr: csr.clone(),
        signed_at: world.clock.now(),
        proof,
    };
    assert_eq!(
        &*renewal(stolen)
            .run(&world.service, &nobody)
            .unwrap_err()
            .code(),
        "renewal_proof_invalid"
    );

    let proof = renewal_proof(&old.issued.certificate, &csr, &old.key, world.clock.now()).unwrap();
    let issued = renewal(proof.clone()).run(&world.service, &nobody).unwrap();
    assert_eq!(
        (&issued.subject, &issued.names),
        (&old.issued.subject, &old.issued.names)
    );
    assert_ne!(issued.serial, old.issued.serial);
    world
        .exchange(&world::Holder { key, issued }, "reader")
        .unwrap();

    revoke(&world, &format!("0x{}", old.issued.serial));
    assert_eq!(
        &*renewal(proof)
            .run(&world.service, &nobody)
            .unwrap_err()
            .code(),
        "certificate_revoked"
    );
}

#[test]
fn a_request_says_what_it_asks_once() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let ask = world.session_ask(&holder, "reader");
    let sign = |target: &str, body: &str| {
        let mut request = WireRequest {
            method: "POST".into(),
            target: target.into(),
            headers: vec![("host".into(), "ca.test".into())],
            body: body.as_bytes().to_vec(),
        };
        let now = world.clock.now();
        bowline_service::sign_request_with_certificate(
            &mut request,
            &holder.certificates(),
            &holder.key,
            "us-east-1",
            now,
        )
        .unwrap();
        world.send(request)
    };
    let query = format!(
        "/sessions?profileArn={}&roleArn={}&trustAnchorArn={}",
        ask.profile_arn.replace(':', "%3A"),
        ask.role_arn,
        ask.trust_anchor_arn
    );
    sign(&query, r#"{"durationSeconds":null,"sessionName":null}"#).unwrap();
    sign(&query, "").unwrap();
    let twice = sign(
        &query,
        r#"{"roleArn":"arn:aws:iam::000000000000:role/other"}"#,
    )
    .unwrap_err();
    assert_eq!(&*twice.code(), "session_parameter_twice");
    assert_eq!(
        &*sign("/sessions", "{}").unwrap_err().code(),
        "session_parameter_missing"
    );
    assert_eq!(
        &*sign(&query, "{").unwrap_err().code(),
        "session_body_malformed"
    );
    let short = sign(&query, r#"{"durationSeconds":60}"#).unwrap_err();
    assert_eq!(short.kind(), Kind::Invalid, "{short}");
}

#[test]
fn an_explanation_says_what_the_exchange_would() {
    let world = World::new();
    world.role("reader");
    world.role("writer");
    let holder = world.issue("web-1", &["reader"]);
    let explain = |role: &str| {
        let explain = ExplainSession {
            certificate: holder.issued.certificate.clone(),
            chain: holder.issued.chain.clone(),
            role: role.into(),
            profile: None,
            trust_anchor: None,
            duration_seconds: None,
            role_session_name: None,
        };
        explain.run(&world.service, &OPERATOR).unwrap()
    };
    assert!(explain("reader").allowed);
    let denied = explain("writer");
    assert!(!denied.allowed);
    assert_eq!(
        denied.code.as_deref(),
        Some(&*world.exchange(&holder, "writer").unwrap_err().code())
    );
}

#[test]
fn nothing_is_kept_of_what_is_refused() {
    let world = World::new();
    let count = || {
        let page = ListCertificates {
            expired: true,
            ..ListCertificates::default()
        }
        .run(&world.service, &OPERATOR)
        .unwrap();
        page.certificates.len()
    };
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let refusals: Vec<(Error, &str)> = [
        ("web-1", "ghost", "workload"),
        ("", "", "workload"),
        ("web-1", "", "ghost"),
    ]
    .into_iter()
    .map(|(name, role, profile)| {
        let roles: Vec<&str> = if role.is_empty() { vec![] } else { vec![role] };
        let mut ask = world.ask_for(name, &roles, &key);
        ask.certificate_profile = profile.into();
        (ask.run(&world.service, &OPERATOR).unwrap_err(), profile)
    })
    .collect();
    assert!(
        refusals
            .iter()
            .all(|(error, _)| matches!(error.kind(), Kind::Invalid | Kind::NotFound)),
        "{refusals:?}"
    );
    assert_eq!(count(), 0);
    let again = initialize().run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(again.kind(), Kind::Conflict);
}

#[test]
fn an_anchor_needs_a_certificate_authority() {
    let world = World::new();
    let holder = world.issue("web-1", &[]);
    let anchor = CreateTrustAnchor {
        name: "foreign".into(),
        bundle: Some(bowline_service::pem_of(std::slice::from_ref(
            &holder.issued.certificate,
        ))),
        authority: None,
        disabled: false,
        if_missing: false,
    };
    let refused = anchor.run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(&*refused.code(), "not_a_certificate_authority");
}

#[test]
fn a_request_signed_long_ago_is_refused() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let ask = world.session_ask(&holder, "reader");
    let request = session_request(
        &ask,
        "ca.test",
        &holder.certificates(),
        &holder.key,
        "us-east-1",
        world.clock.now(),
    )
    .unwrap();
    world.pass(299);
    world.send(request.clone()).unwrap();
    world.pass(2);
    assert_eq!(&*world.send(request).unwrap_err().code(), "request_expired");
}

#[test]
fn the_authorities_are_what_the_home_says() {
    let world = World::new();
    let kinds: Vec<(&str, &str)> = world
        .made
        .authorities
        .iter()
        .map(|view| (view.id.as_str(), view.key_algorithm.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("root", "P-384"),
            ("issuing", "P-256"),
            ("operators", "P-256")
        ]
    );
    let issued = world.issue("web-1", &[]).issued;
    assert_eq!((issued.not_after - issued.not_before).num_seconds(), 86_399);
}

#[test]
fn nothing_is_signed_by_a_clock_that_is_behind_until_it_is_accepted() {
    let world = World::new();
    world.pass(86_400);
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    world.exchange(&holder, "reader").unwrap();
    // As far as two machines' clocks may differ, and then further, also for a process that remembers nothing.
    world.pass(-290);
    world.issue("web-2", &[]);
    world.pass(-3_600);
    let world = world.on(world.store.clone());
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let issued = world
        .ask_for("web-3", &[], &key)
        .run(&world.service, &OPERATOR);
    assert!(
        matches!(issued, Err(Error::ClockBehind { .. })),
        "{issued:?}"
    );
    let list = ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    };
    let signed = list.run(&world.service, &OPERATOR);
    assert!(
        matches!(signed, Err(Error::ClockBehind { .. })),
        "{signed:?}"
    );
    // What ends trust does not wait for a clock.
    let revoke = RevokeCertificate {
        certificate: "web-2".into(),
        reason: RevocationReason::Unspecified,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    let nobody = Caller::Nobody { source: None };
    assert!(AcceptClock {}.run(&world.service, &nobody).is_err());
    let accepted = AcceptClock {}.run(&world.service, &OPERATOR).unwrap();
    assert_eq!((accepted.was - accepted.now).num_seconds(), 3_890);
    world.issue("web-3", &[]);
}
