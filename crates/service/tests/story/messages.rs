//! What a refusal keeps from whoever is refused, and who may read it.

use bowline_service::{
    AssumeRole, Authorize, Caller, Channel, CreateRole, DecodeAuthorizationMessage,
    GetAccessKeyInfo, ListRoles, Operation,
};
use serde_json::Value;

use crate::OPERATOR;
use crate::log::events_of;
use crate::world::World;

/// A session of a new role with one statement.
fn session(world: &World, name: &str, effect: &str, actions: &str) -> (Caller, String) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"Mine","Effect":"{effect}","Action":{actions},"Resource":"*"}}]}}"#
    );
    let role = CreateRole {
        name: name.into(),
        policy: Some(policy),
        ..CreateRole::default()
    };
    role.run(&world.service, &OPERATOR).unwrap();
    let credentials = world.exchange(&world.issue(name, &[name]), name).unwrap();
    let request = world.signed_call(&credentials);
    let caller = world
        .service
        .identify(&request, &Channel::default())
        .unwrap();
    (caller, credentials.access_key_id)
}

/// The refusal of `list-roles` to a session.
fn refused(world: &World, caller: &Caller) -> String {
    let refused = ListRoles {}.run(&world.service, caller).unwrap_err();
    assert_eq!(&*refused.code(), "not_authorized");
    refused.to_string()
}

fn message(refusal: &str) -> &str {
    let (sentence, message) = refusal
        .split_once("Encoded authorization failure message: ")
        .unwrap_or_else(|| panic!("no message in {refusal}"));
    assert!(
        sentence.contains("is not authorized to perform"),
        "{sentence}"
    );
    message
}

fn decode(world: &World, caller: &Caller, message: &str) -> Result<Value, String> {
    let decode = DecodeAuthorizationMessage {
        encoded_message: message.into(),
    };
    match decode.run(&world.service, caller) {
        Ok(decoded) => Ok(serde_json::from_str(&decoded.decoded_message).unwrap()),
        Err(error) => Err(error.code().into_owned()),
    }
}

#[test]
fn a_refusal_tells_its_reason_to_those_who_may_decode_it_only() {
    let world = World::new();
    let (refused_one, _) = session(&world, "web", "Deny", r#"["iam:ListRoles"]"#);
    let refusal = refused(&world, &refused_one);
    assert!(!refusal.contains("explicit deny"), "{refusal}");
    let message = message(&refusal);
    assert!(message.len() <= 10_240);

    assert_eq!(
        decode(&world, &refused_one, message).unwrap_err(),
        "not_authorized"
    );
    let (auditor, _) = session(
        &world,
        "auditor",
        "Allow",
        r#"["sts:DecodeAuthorizationMessage"]"#,
    );
    let decoded = decode(&world, &auditor, message).unwrap();
    assert_eq!(decoded, decode(&world, &OPERATOR, message).unwrap());
    assert_eq!(
        (&decoded["allowed"], &decoded["explicitDeny"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        decoded["matchedStatements"]["items"][0]["statementId"],
        "Mine"
    );
    assert_eq!(
        decoded["matchedStatements"]["items"][0]["sourcePolicyId"],
        "role/web/inline"
    );
    let context = &decoded["context"];
    assert_eq!(
        (&context["action"], &context["resource"]),
        (&"iam:ListRoles".into(), &"*".into())
    );
    let arn = context["principal"]["arn"].as_str().unwrap();
    assert!(
        arn.starts_with("arn:aws:sts::000000000000:assumed-role/web/"),
        "{arn}"
    );
    let items = context["conditions"]["items"].as_array().unwrap();
    let tag = items.iter().find(|item| {
        item["key"]
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case("aws:PrincipalTag/x509Subject/CN")
    });
    assert_eq!(tag.unwrap()["values"]["items"][0]["value"], "web");
}

#[test]
fn who_may_explain_decisions_is_told_the_reason_itself() {
    let world = World::new();
    let (caller, _) = session(&world, "web", "Allow", r#"["bowline:ExplainDecision"]"#);
    let refusal = refused(&world, &caller);
    assert!(
        refusal.contains("because no identity-based policy allows the iam:ListRoles action"),
        "{refusal}"
    );
    assert!(!refusal.contains("Encoded"), "{refusal}");
}

#[test]
fn a_message_is_opened_as_it_was_sealed_or_not_at_all() {
    let world = World::new();
    let (web, _) = session(&world, "web", "Allow", r#"["s3:*"]"#);
    let refusal = refused(&world, &web);
    let message = message(&refusal);
    // The same question has another message each time: nobody can tell what two have in common.
    assert_ne!(refused(&world, &web), refusal);
    let other = World::new();
    for (place, changed) in [
        (0, message.replacen(&message[..1], "B", 1)),
        (1, format!("{}A", &message[..message.len() - 1])),
        (2, message[..message.len() / 2].to_owned()),
        (3, "nonsense".into()),
        (4, String::new()),
        (5, "A".repeat(100_000)),
    ] {
        if changed != message {
            assert_eq!(
                decode(&world, &OPERATOR, &changed).unwrap_err(),
                "sts_message_invalid",
                "{place}"
            );
        }
    }
    decode(&world, &OPERATOR, message).unwrap();
    drop(other);
}

#[test]
fn a_message_with_many_tags_keeps_its_size() {
    let world = World::new();
    let key = bowline_service::PrivateKey::generate(bowline_service::KeySpec::P256).unwrap();
    world.role("web");
    let mut ask = world.ask_for("web-1", &["web"], &key);
    ask.names = (0..30)
        .map(|n| format!("{}{n}.example.test", "x".repeat(40)))
        .collect();
    let issued = ask.run(&world.service, &OPERATOR).unwrap();
    let holder = crate::world::Holder { key, issued };
    let request = world.signed_call(&world.exchange(&holder, "web").unwrap());
    let caller = world
        .service
        .identify(&request, &Channel::default())
        .unwrap();
    let refusal = refused(&world, &caller);
    let message = message(&refusal);
    assert!(message.len() <= 10_240, "{}", message.len());
    decode(&world, &OPERATOR, message).unwrap();
}

#[test]
fn an_access_key_of_ours_has_our_account_and_no_other_has_one() {
    let world = World::new();
    let (caller, id) = session(&world, "web", "Allow", r#"["sts:GetAccessKeyInfo"]"#);
    let info = |id: &str| {
        let ask = GetAccessKeyInfo {
            access_key_id: id.into(),
        };
        ask.run(&world.service, &caller)
    };
    assert_eq!(info(&id).unwrap().account, "000000000000");
    for wrong in ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "", &id[1..]] {
        let refused = info(wrong).unwrap_err();
        assert_eq!(&*refused.code(), "sts_access_key_unknown", "{wrong}");
        assert_eq!(refused.sts_code(), None);
    }
    let nobody = Caller::Nobody { source: None };
    let ask = GetAccessKeyInfo { access_key_id: id };
    let refused = ask.run(&world.service, &nobody).unwrap_err();
    assert_eq!(refused.sts_code(), Some("MissingAuthenticationToken"));
}

#[test]
fn a_relying_service_elsewhere_is_told_no_reasons_unless_it_may_know_them() {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    let ask = |caller: &Caller| {
        let request = world.signed_get(&credentials);
        let ask = Authorize {
            method: request.method,
            target: request.target,
            headers: request.headers,
            action: Some("s3:PutObject".into()),
            resource: Some("arn:aws:s3:::data/report.csv".into()),
            explain: true,
            ..Authorize::default()
        };
        ask.run(&world.service, caller).unwrap()
    };
    let here = ask(&OPERATOR);
    assert!(here.reason.contains("because no"), "{}", here.reason);

    let (elsewhere, _) = session(&world, "relying", "Allow", r#"["bowline:Authorize"]"#);
    let there = ask(&elsewhere);
    assert_eq!(
        (there.decision, there.http_status),
        (here.decision, here.http_status)
    );
    assert!(!there.reason.contains("because"), "{}", there.reason);
    assert_eq!((there.matched.len(), &there.explain), (0, &None));
    let decoded = decode(&world, &OPERATOR, message(&there.reason)).unwrap();
    assert_eq!(decoded["context"]["action"], "s3:PutObject");
    assert_eq!(
        decoded["failures"]["items"][0]["reason"],
        here.reason.as_str()
    );

    let both = r#"["bowline:Authorize","bowline:ExplainDecision"]"#;
    let (trusted, _) = session(&world, "trusted", "Allow", both);
    assert_eq!(ask(&trusted).reason, here.reason);
}

#[test]
fn a_role_that_is_refused_tells_why_in_a_message_only() {
    let world = World::new();
    world.role("vault");
    let (caller, _) = session(&world, "web", "Allow", r#"["sts:AssumeRole"]"#);
    let assume = AssumeRole {
        role_arn: "arn:aws:iam::000000000000:role/vault".into(),
        role_session_name: "work".into(),
        ..AssumeRole::default()
    };
    let refused = assume.run(&world.service, &caller).unwrap_err();
    assert_eq!(&*refused.code(), "assume_role_not_authorized");
    let refused = refused.to_string();
    assert!(
        refused.starts_with("User: arn:aws:sts::000000000000:assumed-role/web/"),
        "{refused}"
    );
    assert!(!refused.contains("because"), "{refused}");
    let decoded = decode(&world, &OPERATOR, message(&refused)).unwrap();
    assert_eq!(decoded["context"]["action"], "sts:AssumeRole");
    assert_eq!(
        decoded["context"]["resource"],
        "arn:aws:iam::000000000000:role/vault"
    );
    // The log has it as it was.
    let told = events_of(&world, "session_denied");
    assert!(
        told[0]["reason"].as_str().unwrap().contains("because"),
        "{told:?}"
    );
}
