//! AssumeRole: from a session of one role to a session of another.

use bowline_service::{
    AssumeRole, AssumedRole, Caller, Channel, CreatePolicy, CreateRole, DeletePolicy, Error,
    EventRecord, GetAccessKeyInfo, GetCallerIdentity, Kind, ListPolicies, ListRoles, Operation,
    RevocationReason, RevokeCertificate, SessionCredentials, SessionVia, ShowPolicy, ShowRole,
    UpdatePolicy, UpdateProfile, WireRequest, sign_request,
};

use crate::log::events_of;
use crate::world::{Holder, World};
use crate::{OPERATOR, authorize};

const DEPLOY: &str = "arn:aws:iam::000000000000:role/deploy";
const ELSEWHERE: &str = "arn:aws:iam::222222222222:role/elsewhere";

/// A world with a certificate that has role `web`, which may assume `deploy` of its own account and `elsewhere` of
/// another.
struct Scene {
    world: World,
    holder: Holder,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let web = CreateRole {
            name: "web".into(),
            allow: vec!["sts:*".into()],
            on: vec!["*".into()],
            ..CreateRole::default()
        };
        web.run(&world.service, &OPERATOR).unwrap();
        let scene = Scene {
            holder: world.issue("web-1", &["web"]),
            world,
        };
        scene.role("deploy", None, "000000000000");
        scene.role("elsewhere", Some("222222222222"), "000000000000");
        scene
    }

    fn role(&self, name: &str, account: Option<&str>, trusted: &str) {
        let role = CreateRole {
            name: name.into(),
            allow: vec!["s3:GetObject".into(), "sts:*".into()],
            on: vec!["*".into()],
            trust_policy: Some(format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{trusted}"}},"Action":"sts:*"}}}}"#
            )),
            account: account.map(str::to_owned),
            ..CreateRole::default()
        };
        role.run(&self.world.service, &OPERATOR).unwrap();
    }

    /// Whoever holds credentials, as a signed request shows.
    fn caller(&self, credentials: &SessionCredentials) -> Result<Caller, Error> {
        let mut request = WireRequest {
            method: "POST".into(),
            target: "/".into(),
            headers: vec![("host".into(), "sts.test".into())],
            body: b"Action=AssumeRole".to_vec(),
        };
        let now = bowline_service::Clock::now(&*self.world.clock);
        sign_request(&mut request, credentials, "us-east-1", "sts", now).unwrap();
        let service = &self.world.service;
        service.identify_for_sts(&request, &Channel::default())
    }

    fn first(&self) -> Caller {
        let credentials = self.world.exchange(&self.holder, "web").unwrap();
        self.caller(&credentials).unwrap()
    }

    fn assume(&self, caller: &Caller, ask: AssumeRole) -> Result<AssumedRole, Error> {
        ask.perform(&self.world.service, caller)
    }
}

fn ask(role: &str) -> AssumeRole {
    AssumeRole {
        role_arn: role.into(),
        role_session_name: "night-7".into(),
        ..AssumeRole::default()
    }
}

/// The credentials of an assumed role, to sign with.
fn of(assumed: &AssumedRole) -> SessionCredentials {
    SessionCredentials {
        access_key_id: assumed.credentials.access_key_id.clone(),
        secret_access_key: assumed.credentials.secret_access_key.clone(),
        session_token: assumed.credentials.session_token.clone(),
        expiration: assumed.credentials.expiration,
        assumed_role_arn: assumed.assumed_role_arn.clone(),
        assumed_role_id: assumed.assumed_role_id.clone(),
        role_arn: String::new(),
        source_identity: String::new(),
        subject_arn: String::new(),
        packed_policy_size: assumed.packed_policy_size,
    }
}

fn session_events(world: &World) -> Vec<serde_json::Value> {
    events_of(world, "session_created")
}

#[test]
fn a_session_assumes_a_role_of_its_own_account_and_of_another() {
    let scene = Scene::new();
    let first = scene.first();
    let assumed = scene.assume(&first, ask(DEPLOY)).unwrap();
    assert_eq!(
        assumed.assumed_role_arn,
        "arn:aws:sts::000000000000:assumed-role/deploy/night-7"
    );
    assert_eq!(assumed.source_identity.as_deref(), Some("CN=web-1"));
    assert_eq!(
        usize::try_from(assumed.session_token_size).unwrap(),
        assumed.credentials.session_token.reveal().len()
    );
    assert!((1..=100).contains(&assumed.packed_policy_size));
    let decided = authorize(
        &scene.world,
        &of(&assumed),
        "s3:GetObject",
        "arn:aws:s3:::data/x",
    );
    assert!(decided.allowed(), "{}", decided.reason);

    let elsewhere = scene.assume(&first, ask(ELSEWHERE)).unwrap();
    let caller = scene.caller(&of(&elsewhere)).unwrap();
    let identity = GetCallerIdentity {}
        .run(&scene.world.service, &caller)
        .unwrap();
    assert_eq!(identity.account, "222222222222");
    assert_eq!(
        identity.arn,
        "arn:aws:sts::222222222222:assumed-role/elsewhere/night-7"
    );

    // The log tells from which session it came.
    let told = session_events(&scene.world);
    let [traded, .., last] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(last["via"], "assume-role");
    assert_eq!(last["parent"], traded["session"]);
    assert_eq!(last["serial"], traded["serial"]);
    assert_eq!(traded.get("via"), None);
    let read: EventRecord = serde_json::from_value(last.clone()).unwrap();
    assert!(matches!(
        read.event,
        bowline_service::Event::SessionCreated {
            via: SessionVia::AssumeRole,
            ..
        }
    ));
}

#[test]
fn roles_of_two_accounts_may_share_a_name() {
    let scene = Scene::new();
    scene.role("deploy", Some("222222222222"), "000000000000");
    let arn = "arn:aws:iam::222222222222:role/deploy";
    let assumed = scene.assume(&scene.first(), ask(arn)).unwrap();
    assert!(
        assumed
            .assumed_role_arn
            .starts_with("arn:aws:sts::222222222222:")
    );
    let roles = ListRoles {}.run(&scene.world.service, &OPERATOR).unwrap();
    let arns: Vec<&str> = roles.iter().map(|role| role.arn.as_str()).collect();
    assert!(arns.contains(&arn) && arns.contains(&DEPLOY), "{arns:?}");
    let other = roles.iter().find(|role| role.arn == arn).unwrap();
    assert!(other.profiles.is_empty());
}

#[test]
fn a_role_that_is_not_there_is_refused_like_one_that_does_not_trust_the_caller() {
    let scene = Scene::new();
    scene.role("closed", None, "999999999999");
    let first = scene.first();
    let refused = |name: &str| {
        let arn = format!("arn:aws:iam::000000000000:role/{name}");
        let error = scene.assume(&first, ask(&arn)).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert_eq!(error.code(), "assume_role_not_authorized");
        let text = error.to_string();
        let (said, encoded) = text
            .split_once("Encoded authorization failure message: ")
            .unwrap();
        (said.replace(name, "NAME"), encoded.len())
    };
    let (closed, missing) = (refused("closed"), refused("absent"));
    assert_eq!(closed, missing);
    let said = &closed.0;
    assert!(
        said.starts_with("User: arn:aws:sts::000000000000:assumed-role/web/")
            && said.contains(
                "is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/NAME"
            ),
        "{said}"
    );
    // Refusals of somebody known are events, once.
    let told = events_of(&scene.world, "session_denied");
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["via"], "assume-role");
    assert!(events_of(&scene.world, "operation_refused").is_empty());
}

#[test]
fn what_is_asked_for_is_held_against_the_limits_of_sts() {
    let scene = Scene::new();
    let first = scene.first();
    let long_policy = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::{}"}}}}"#,
        "b".repeat(2_048)
    );
    type Change<'a> = &'a dyn Fn(&mut AssumeRole);
    let cases: [(Change<'_>, &str, &str); 14] = [
        (
            &|ask| ask.role_session_name = "x".into(),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.role_arn = "arn".into(),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.role_arn = "arn:aws:s3:::not-a-role-at-all".into(),
            "sts_role_arn_invalid",
            "ValidationError",
        ),
        (
            &|ask| ask.duration_seconds = Some(899),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.duration_seconds = Some(7_200),
            "role_chaining_too_long",
            "ValidationError",
        ),
        (
            &|ask| ask.external_id = Some("?".into()),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.source_identity = Some("aws:me".into()),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.source_identity = Some("other".into()),
            "source_identity_fixed",
            "AccessDenied",
        ),
        (
            &|ask| ask.policy = Some("{".into()),
            "session_policy_malformed",
            "MalformedPolicyDocument",
        ),
        (
            &|ask| ask.policy = Some(long_policy.clone()),
            "request_policies_too_long",
            "PackedPolicyTooLarge",
        ),
        (
            &|ask| ask.policy_arns = vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".into()],
            "session_policy_unknown",
            "ValidationError",
        ),
        (
            &|ask| ask.minimum_session_token_size = Some(4_097),
            "sts_validation",
            "ValidationError",
        ),
        (
            &|ask| ask.tags = vec![("a".into(), "1".into()), ("A".into(), "2".into())],
            "tag_twice",
            "ValidationError",
        ),
        (
            &|ask| ask.transitive_tag_keys = vec!["a".into()],
            "transitive_tag_missing",
            "ValidationError",
        ),
    ];
    for (change, code, sts_code) in cases {
        let mut ask = ask(DEPLOY);
        change(&mut ask);
        let error = scene.assume(&first, ask).unwrap_err();
        assert_eq!(
            (error.code().as_ref(), error.sts_code()),
            (code, Some(sts_code))
        );
    }
    let mut padded = ask(DEPLOY);
    padded.minimum_session_token_size = Some(4_096);
    assert_eq!(
        scene.assume(&first, padded).unwrap().session_token_size,
        4_096
    );
}

#[test]
fn only_who_has_a_session_assumes_a_role() {
    let scene = Scene::new();
    let nobody = Caller::Nobody { source: None };
    for (caller, code) in [
        (nobody, "missing_authentication"),
        (OPERATOR, "sts_session_needed"),
    ] {
        let error = scene.assume(&caller, ask(DEPLOY)).unwrap_err();
        assert_eq!(error.sts_code(), Some("MissingAuthenticationToken"));
        assert!(error.code().contains(code), "{}", error.code());
    }
}

#[test]
fn managed_policies_narrow_a_session_as_they_were_when_it_began() {
    let scene = Scene::new();
    let service = &scene.world.service;
    let allow = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"*"}}}}"#
        )
    };
    let create = |document: String| CreatePolicy {
        name: "reports".into(),
        document,
        ..CreatePolicy::default()
    };
    let policy = create(allow("s3:GetObject"))
        .run(service, &OPERATOR)
        .unwrap();
    assert_eq!(policy.arn, "arn:aws:iam::000000000000:policy/reports");
    assert_eq!(
        create(allow("s3:*"))
            .run(service, &OPERATOR)
            .unwrap_err()
            .code(),
        "exists"
    );
    let mut narrowed = ask(DEPLOY);
    narrowed.policy_arns = vec![policy.arn.clone()];
    let first = scene.first();
    let assumed = scene.assume(&first, narrowed).unwrap();
    let may = |action: &str| {
        authorize(&scene.world, &of(&assumed), action, "arn:aws:s3:::data/x").allowed()
    };
    assert!(may("s3:GetObject") && !may("sts:AssumeRole"));

    let update = UpdatePolicy {
        policy: "reports".into(),
        document: allow("sts:*"),
    };
    update.run(service, &OPERATOR).unwrap();
    assert!(may("s3:GetObject"), "the session keeps what it began with");
    let shown = ShowPolicy {
        policy: policy.arn.clone(),
    };
    assert_eq!(
        shown.run(service, &OPERATOR).unwrap().document,
        allow("sts:*")
    );
    let delete = DeletePolicy {
        policy: "reports".into(),
    };
    delete.run(service, &OPERATOR).unwrap();
    assert!(ListPolicies {}.run(service, &OPERATOR).unwrap().is_empty());
    let again = DeletePolicy {
        policy: "reports".into(),
    };
    let error = again.run(service, &OPERATOR).unwrap_err();
    assert_eq!(error.code(), "managed_policy_unknown");
    assert_eq!(events_of(&scene.world, "policy_written").len(), 2);
    assert_eq!(events_of(&scene.world, "policy_deleted").len(), 1);
}

#[test]
fn revoking_the_certificate_ends_every_session_of_the_chain() {
    let scene = Scene::new();
    let assumed = scene.assume(&scene.first(), ask(DEPLOY)).unwrap();
    let further = scene
        .assume(&scene.caller(&of(&assumed)).unwrap(), ask(ELSEWHERE))
        .unwrap();
    assert!(scene.caller(&of(&further)).is_ok());
    let revoke = RevokeCertificate {
        certificate: format!("0x{}", scene.holder.issued.serial),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&scene.world.service, &OPERATOR).unwrap();
    for credentials in [&assumed, &further] {
        let Err(error) = scene.caller(&of(credentials)) else {
            panic!("the session lives")
        };
        assert_eq!(error.sts_code(), Some("ExpiredToken"), "{error}");
    }
}

#[test]
fn a_session_policy_of_the_profile_keeps_a_session_from_assuming_roles() {
    let scene = Scene::new();
    let policy =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let update = UpdateProfile {
        profile: "default".into(),
        session_policy: Some(policy.into()),
        ..UpdateProfile::default()
    };
    update.run(&scene.world.service, &OPERATOR).unwrap();
    let error = scene.assume(&scene.first(), ask(DEPLOY)).unwrap_err();
    assert_eq!(error.code(), "assume_role_not_authorized");
    // Why is told to the log, whoever may read the answer.
    let told = events_of(&scene.world, "session_denied");
    let reason = told[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("because no session policy allows the sts:AssumeRole action"),
        "{reason}"
    );
}

#[test]
fn a_role_of_another_account_has_no_say_in_this_home() {
    let scene = Scene::new();
    let everything = CreateRole {
        name: "guest".into(),
        allow: vec!["*".into()],
        on: vec!["*".into()],
        trust_policy: Some(
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:*"}}"#.into(),
        ),
        account: Some("222222222222".into()),
        ..CreateRole::default()
    };
    everything.run(&scene.world.service, &OPERATOR).unwrap();
    let assumed = scene.assume(&scene.first(), ask("arn:aws:iam::222222222222:role/guest"));
    let guest = scene.caller(&of(&assumed.unwrap())).unwrap();
    let service = &scene.world.service;
    let code = |refusal: Error| refusal.code().into_owned();
    assert_eq!(
        ListRoles {}.run(service, &guest).map(drop).map_err(code),
        Err("not_authorized".into())
    );
    let show = |role: &str| ShowRole { role: role.into() }.run(service, &guest);
    assert_eq!(
        show("web").map(drop).map_err(code),
        Err("not_authorized".into())
    );
    // What is its account's own, or about itself, it may ask.
    show(ELSEWHERE).unwrap();
    let info = GetAccessKeyInfo {
        access_key_id: "ASIAAEAAAAAAAAAAAAAA".into(),
    };
    info.run(service, &guest).unwrap();
}

#[test]
fn a_role_of_another_account_is_no_guest_of_ours_where_nobody_names_the_owner() {
    let scene = Scene::new();
    let assumed = scene.assume(&scene.first(), ask(ELSEWHERE)).unwrap();
    let decide = |resource| {
        let answer = authorize(&scene.world, &of(&assumed), "s3:GetObject", resource);
        answer.decision
    };
    // The name of a bucket tells no account, so it is the home's, and the home has said nothing.
    assert_eq!(decide("arn:aws:s3:::data/x"), "implicit_deny");
    assert_eq!(
        decide("arn:aws:s3:eu-west-1:000000000000:accesspoint/x"),
        "implicit_deny"
    );
    assert_eq!(
        decide("arn:aws:s3:eu-west-1:222222222222:accesspoint/x"),
        "allow"
    );
}

#[test]
fn a_caller_says_nothing_that_a_certificate_says() {
    let scene = Scene::new();
    for key in ["x509Subject/CN", "X509subject/ou", "x509SAN/DNS"] {
        let tagged = AssumeRole {
            tags: vec![(key.into(), "administrator".into())],
            ..ask(DEPLOY)
        };
        let refused = scene.assume(&scene.first(), tagged).unwrap_err();
        assert_eq!(refused.code(), "sts_tag_of_certificate", "{key}");
    }
}
