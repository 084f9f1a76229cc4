//! GetSessionToken: a certificate as itself, with and without a second factor.

use bowline_service::{
    AssumeRole, Caller, Channel, Clock, CreateRole, CreateTrustAnchor, DisableMfa, Error,
    GetCallerIdentity, GetSessionToken, KeySpec, Moment, Operation, PrivateKey, RevocationReason,
    RevokeCertificate, SessionCredentials, SessionToken, StsCredentials, UpdateSettings,
    UpdateTrustAnchor, WireRequest, sign_request,
};

use crate::OPERATOR;
use crate::authenticators::{code, device, wrong_code};
use crate::log::events_of;
use crate::world::{Holder, World};

/// Who shows this certificate over TLS, and signs nothing.
fn shown(world: &World, holder: &Holder) -> Caller {
    let channel = Channel {
        source: Some([192, 0, 2, 7].into()),
        client_certificates: holder.certificates(),
    };
    let request = WireRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("host".into(), "sts.test".into())],
        body: b"Action=GetSessionToken&Version=2011-06-15".to_vec(),
    };
    world.service.identify_for_sts(&request, &channel).unwrap()
}

fn token(world: &World, holder: &Holder, ask: GetSessionToken) -> Result<SessionToken, Error> {
    ask.perform(&world.service, &shown(world, holder))
}

fn plain(world: &World, holder: &Holder) -> Result<SessionToken, Error> {
    token(world, holder, GetSessionToken::default())
}

fn with_code(serial: &str, code: &str) -> GetSessionToken {
    GetSessionToken {
        serial_number: Some(serial.into()),
        token_code: Some(code.into()),
        ..GetSessionToken::default()
    }
}

/// Who signs with these credentials.
fn signer(world: &World, credentials: &StsCredentials) -> Result<Caller, Error> {
    let mut request = WireRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("host".into(), "sts.test".into())],
        body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
    };
    let now = world.clock.now();
    let credentials = SessionCredentials {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        session_token: credentials.session_token.clone(),
        expiration: credentials.expiration,
        assumed_role_arn: String::new(),
        assumed_role_id: String::new(),
        role_arn: String::new(),
        source_identity: String::new(),
        subject_arn: String::new(),
        packed_policy_size: 0,
    };
    sign_request(&mut request, &credentials, "us-east-1", "sts", now)?;
    world
        .service
        .identify_for_sts(&request, &Channel::default())
}

fn refusal<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.code().into_owned(),
    }
}

/// The user that a certificate of anchor `default` is.
fn user_arn(world: &World, name: &str) -> String {
    let anchor = world.made.trust_anchor.rsplit('/').next().unwrap();
    format!("arn:aws:iam::000000000000:user/{anchor}/{name}")
}

/// A role for one user, on a condition.
fn role_for(world: &World, name: &str, user: &str, condition: &str) {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{user}"}},
            "Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Condition":{condition}}}}}"#
    );
    let role = CreateRole {
        name: name.into(),
        allow: vec!["s3:GetObject".into()],
        on: vec!["*".into()],
        trust_policy: Some(trust),
        ..CreateRole::default()
    };
    role.run(&world.service, &OPERATOR).unwrap();
}

fn assume(role: &str) -> AssumeRole {
    AssumeRole {
        role_arn: format!("arn:aws:iam::000000000000:role/{role}"),
        role_session_name: "work".into(),
        ..AssumeRole::default()
    }
}

#[test]
fn a_certificate_gets_credentials_as_itself() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let answer = plain(&world, &alice).unwrap();
    // Twelve hours, which the certificate's day allows.
    let left = answer.credentials.expiration - world.clock.now();
    assert_eq!(left.num_seconds(), 43_200);
    let caller = signer(&world, &answer.credentials).unwrap();
    let identity = GetCallerIdentity {}.run(&world.service, &caller).unwrap();
    assert!(
        identity.arn.starts_with(&user_arn(&world, "")) && identity.arn.contains("alice"),
        "{}",
        identity.arn
    );
    assert!(identity.user_id.starts_with("AIDA"), "{}", identity.user_id);
    assert_eq!(identity.user_id.len(), 20);
    // It has no policies, so it may do nothing by itself.
    let list = bowline_service::ListRoles {};
    let refused = list.run(&world.service, &caller).unwrap_err();
    assert_eq!(&*refused.code(), "not_authorized");

    let created = events_of(&world, "session_created");
    assert_eq!(created.len(), 1);
    assert_eq!(created[0]["via"], "session-token");
    assert_eq!(created[0]["serial"], alice.issued.serial.as_str());
}

#[test]
fn a_code_is_accepted_once_and_opens_what_asks_for_it() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let authenticator = device(&world, &alice);
    let (serial, secret) = (
        authenticator.device.serial_number.as_str(),
        authenticator.secret.reveal(),
    );
    let arn = {
        let answer = plain(&world, &alice).unwrap();
        let caller = signer(&world, &answer.credentials).unwrap();
        GetCallerIdentity {}
            .run(&world.service, &caller)
            .unwrap()
            .arn
    };
    role_for(
        &world,
        "vault",
        &arn,
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}}"#,
    );

    world.pass(30);
    let now = code(&world, secret, 0);
    let answer = token(&world, &alice, with_code(serial, &now)).unwrap();
    let with = signer(&world, &answer.credentials).unwrap();
    assume("vault").run(&world.service, &with).unwrap();
    // The same code again, and the one before it, are used up.
    assert_eq!(
        refusal(token(&world, &alice, with_code(serial, &now))),
        "mfa_code_used"
    );
    let before = code(&world, secret, -1);
    assert_eq!(
        refusal(token(&world, &alice, with_code(serial, &before))),
        "mfa_code_used"
    );

    let answer = plain(&world, &alice).unwrap();
    let without = signer(&world, &answer.credentials).unwrap();
    assert!(assume("vault").run(&world.service, &without).is_err());
    // A code for one role, with the call itself.
    world.pass(60);
    let one = AssumeRole {
        serial_number: Some(serial.into()),
        token_code: Some(code(&world, secret, 0)),
        ..assume("vault")
    };
    one.run(&world.service, &without).unwrap();
    let again = AssumeRole {
        serial_number: Some(serial.into()),
        token_code: Some(code(&world, secret, 0)),
        ..assume("vault")
    };
    assert_eq!(
        refusal(again.run(&world.service, &without)),
        "mfa_code_used"
    );
    // The factor grows old; the session that carries it goes on, and the role is not given any more.
    world.pass(3_600);
    let with = signer(
        &world,
        &token(&world, &alice, GetSessionToken::default())
            .unwrap()
            .credentials,
    );
    assert!(assume("vault").run(&world.service, &with.unwrap()).is_err());
}

#[test]
fn an_old_second_factor_is_told_by_its_age() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let authenticator = device(&world, &alice);
    let arn = {
        let answer = plain(&world, &alice).unwrap();
        let caller = signer(&world, &answer.credentials).unwrap();
        GetCallerIdentity {}
            .run(&world.service, &caller)
            .unwrap()
            .arn
    };
    role_for(
        &world,
        "vault",
        &arn,
        r#"{"NumericLessThan":{"aws:MultiFactorAuthAge":"600"}}"#,
    );
    world.pass(60);
    let now = code(&world, authenticator.secret.reveal(), 0);
    let ask = with_code(&authenticator.device.serial_number, &now);
    let credentials = token(&world, &alice, ask).unwrap().credentials;
    world.pass(590);
    let caller = signer(&world, &credentials).unwrap();
    assume("vault").run(&world.service, &caller).unwrap();
    world.pass(10);
    let caller = signer(&world, &credentials).unwrap();
    assert!(assume("vault").run(&world.service, &caller).is_err());
}

#[test]
fn guessing_ends_after_five_tries_whoever_tries_wherever() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let authenticator = device(&world, &alice);
    let serial = authenticator.device.serial_number.clone();
    let secret = authenticator.secret.reveal().to_owned();
    world.pass(60);
    for _ in 0..3 {
        let wrong = wrong_code(&world, &secret);
        assert_eq!(
            refusal(token(&world, &alice, with_code(&serial, &wrong))),
            "mfa_code_wrong"
        );
    }
    // Another process on the same store has no tries of its own.
    let other = world.on(world.store.clone());
    for _ in 0..2 {
        let wrong = wrong_code(&world, &secret);
        assert_eq!(
            refusal(token(&other, &alice, with_code(&serial, &wrong))),
            "mfa_code_wrong"
        );
    }
    let right = code(&world, &secret, 0);
    let refused = token(&world, &alice, with_code(&serial, &right)).unwrap_err();
    assert_eq!(&*refused.code(), "mfa_attempts_exhausted");
    assert_eq!(events_of(&world, "session_denied").len(), 6);
    // Without a code nothing changed for her.
    plain(&world, &alice).unwrap();

    world.pass(299);
    let right = code(&world, &secret, 0);
    assert!(token(&world, &alice, with_code(&serial, &right)).is_err());
    world.pass(1);
    let right = code(&world, &secret, 0);
    token(&world, &alice, with_code(&serial, &right)).unwrap();
    // A right one clears the slate.
    for _ in 0..5 {
        let wrong = wrong_code(&world, &secret);
        assert_eq!(
            refusal(token(&world, &alice, with_code(&serial, &wrong))),
            "mfa_code_wrong"
        );
    }
}

#[test]
fn only_an_authenticator_of_ones_own_that_counts_is_taken() {
    let world = World::new();
    let (alice, bob) = (world.issue("alice", &[]), world.issue("bob", &[]));
    let authenticator = device(&world, &alice);
    let serial = authenticator.device.serial_number.clone();
    world.pass(60);
    let right = code(&world, authenticator.secret.reveal(), 0);
    assert_eq!(
        refusal(token(&world, &bob, with_code(&serial, &right))),
        "mfa_serial_wrong"
    );
    let elsewhere = serial.replace("::0", "::1");
    assert_eq!(
        refusal(token(&world, &alice, with_code(&elsewhere, &right))),
        "mfa_serial_wrong"
    );
    let half = GetSessionToken {
        serial_number: Some(serial.clone()),
        ..GetSessionToken::default()
    };
    assert_eq!(refusal(token(&world, &alice, half)), "mfa_incomplete");
    // Another certificate of the same subject is the same subject.
    let renewed = world.issue("alice", &[]);
    token(&world, &renewed, with_code(&serial, &right)).unwrap_or_else(|error| panic!("{error}"));

    let disable = DisableMfa {
        subject: serial.clone(),
    };
    disable.run(&world.service, &OPERATOR).unwrap();
    world.pass(60);
    let right = code(&world, authenticator.secret.reveal(), 0);
    assert_eq!(
        refusal(token(&world, &alice, with_code(&serial, &right))),
        "mfa_serial_wrong"
    );
    let made = bowline_service::EnableMfa {
        certificate: alice.issued.certificate.clone(),
        ..bowline_service::EnableMfa::default()
    };
    let made = made.run(&world.service, &OPERATOR).unwrap();
    let right = code(&world, made.secret.reveal(), 0);
    // It was never confirmed.
    assert_eq!(
        refusal(token(&world, &alice, with_code(&serial, &right))),
        "mfa_serial_wrong"
    );
}

#[test]
fn a_session_gets_no_session_token_and_a_stranger_none_either() {
    let world = World::new();
    world.role("reader");
    let alice = world.issue("alice", &["reader"]);
    let ask = || GetSessionToken::default();
    let user = signer(&world, &plain(&world, &alice).unwrap().credentials).unwrap();
    let refused = ask().perform(&world.service, &user).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("Cannot call GetSessionToken with session credentials"),
        "{refused}"
    );
    assert_eq!(refused.kind(), bowline_service::Kind::Denied);
    let nobody = Caller::Nobody { source: None };
    assert_eq!(
        refusal(ask().perform(&world.service, &nobody)),
        "sts_certificate_needed"
    );
    assert_eq!(
        refusal(ask().perform(&world.service, &OPERATOR)),
        "sts_certificate_needed"
    );
    for seconds in [899, 129_601] {
        let ask = GetSessionToken {
            duration_seconds: Some(seconds),
            ..ask()
        };
        assert!(token(&world, &alice, ask).is_err(), "{seconds}");
    }
}

#[test]
fn the_anchor_that_vouches_is_the_only_one_and_can_take_it_back() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let living = plain(&world, &alice).unwrap().credentials;
    let twin = CreateTrustAnchor {
        name: "twin".into(),
        bundle: None,
        authority: Some("issuing".into()),
        disabled: false,
        if_missing: false,
    };
    twin.run(&world.service, &OPERATOR).unwrap();
    let refused = plain(&world, &alice).unwrap_err();
    assert_eq!(&*refused.code(), "sts_anchor_ambiguous");
    let enabled = |anchor: &str, enabled| {
        let update = UpdateTrustAnchor {
            trust_anchor: anchor.into(),
            bundle: None,
            enabled: Some(enabled),
        };
        update.run(&world.service, &OPERATOR).unwrap();
    };
    enabled("twin", false);
    plain(&world, &alice).unwrap();
    signer(&world, &living).unwrap();
    enabled("default", false);
    assert!(signer(&world, &living).is_err());
    // The operators' anchor is left, and does not know her.
    assert_eq!(refusal(plain(&world, &alice)), "untrusted_issuer");
    enabled("operators", false);
    assert_eq!(refusal(plain(&world, &alice)), "sts_anchor_missing");
}

#[test]
fn a_revoked_certificate_is_refused_and_its_sessions_end() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let living = plain(&world, &alice).unwrap().credentials;
    let revoke = RevokeCertificate {
        certificate: "alice".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(refusal(plain(&world, &alice)), "certificate_revoked");
    assert_eq!(
        refusal(signer(&world, &living)),
        "session_ended_by_revocation"
    );
}

#[test]
fn a_session_token_ends_with_the_certificate_unless_the_home_is_told_otherwise() {
    let world = World::new();
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let mut ask = world.ask_for("alice", &[], &key);
    ask.not_after = Some(Moment::In(3_600));
    let issued = ask.run(&world.service, &OPERATOR).unwrap();
    let alice = Holder { key, issued };
    let until = |world: &World| plain(world, &alice).unwrap().credentials.expiration;
    assert_eq!(until(&world), alice.issued.not_after);
    let setting = UpdateSettings {
        setting: "credentials_end_with_certificate".into(),
        value: "false".into(),
    };
    setting.run(&world.service, &OPERATOR).unwrap();
    let left = until(&world) - world.clock.now();
    assert_eq!(left.num_seconds(), 43_200);
}

#[test]
fn of_many_who_bring_one_code_at_once_one_gets_a_session() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let authenticator = device(&world, &alice);
    world.pass(60);
    let right = code(&world, authenticator.secret.reveal(), 0);
    let callers: Vec<Caller> = (0..4).map(|_| shown(&world, &alice)).collect();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let ask = |caller| {
            let ask = with_code(&authenticator.device.serial_number, &right);
            let service = &world.service;
            scope.spawn(move || match ask.run(service, caller) {
                Ok(_) => "session".to_owned(),
                Err(error) => error.code().into_owned(),
            })
        };
        let threads: Vec<_> = callers.iter().map(ask).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let sessions = answers.iter().filter(|answer| *answer == "session").count();
    assert_eq!(sessions, 1, "{answers:?}");
    let rest = ["session", "mfa_code_used", "changed_meanwhile"];
    assert!(
        answers.iter().all(|answer| rest.contains(&answer.as_str())),
        "{answers:?}"
    );
}
