use super::*;
use crate::context::Context;
use crate::document::{Policy, PolicyKind};
use crate::evaluate::evaluate_traced;
use crate::principal::Principal;
use crate::request::{Layers, SessionLayer};

fn named(name: &str, kind: PolicyKind, statements: &str) -> NamedPolicy {
    let text = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{statements}]}}");
    NamedPolicy::new(name, Policy::parse(&text, kind).unwrap())
}

fn request(context: Context) -> Request {
    let role = "arn:aws:iam::123456789012:role/batch".parse().unwrap();
    Request {
        principal: Principal::assumed_role(role, "1f71").unwrap(),
        action: "s3:PutObject".into(),
        resource: "arn:aws:s3:::bkt/in/x".into(),
        account: "123456789012".parse().unwrap(),
        context,
    }
}

fn layers(session: &str) -> Layers {
    let write = r#"{"Sid":"W","Effect":"Allow","Action":"s3:*","Resource":"*"}"#;
    Layers {
        identity: vec![named("batch/inline", PolicyKind::Identity, write)],
        sessions: vec![SessionLayer::new(
            "profile",
            vec![named("batch-ro", PolicyKind::Session, session)],
        )],
        ..Layers::default()
    }
}

/// Why the tests of the nearest miss of the session layer failed.
fn whys(condition: &str, context: Context) -> Vec<Why> {
    let statement = format!(
        r#"{{"Effect":"Allow","Action":"s3:PutObject","Resource":"*","Condition":{condition}}}"#
    );
    let (_, trace) = evaluate_traced(&layers(&statement), &request(context));
    let nearest = &trace.layers[4].nearest[0];
    nearest.failed.iter().map(|test| test.why).collect()
}

#[test]
fn a_trace_tells_layer_statement_and_both_values() {
    let session = "\n  {\"Sid\":\"ReadOnly\",\"Effect\":\"Allow\",\"Action\":[\"s3:Get*\",\"s3:List*\"],\
                   \"Resource\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}}}";
    let context = Context::new().with("aws:SourceIp", "10.1.1.1");
    let (_, trace) = evaluate_traced(&layers(session), &request(context));
    assert_eq!(
        trace.to_string(),
        "DENY (implicit)  s3:PutObject  arn:aws:s3:::bkt/in/x\n \
         because  no session policy allows the s3:PutObject action (layer session/profile)\n \
         layers   guardrail – | resource – | identity ALLOW batch/inline#W (1:38) | boundary – | session/profile NONE\n \
         nearest  session/profile batch-ro#ReadOnly (2:3)  Action  want s3:Get*|s3:List*  got s3:PutObject (action)  1 of 3 tests failed\n \
         missing  –    used  –\n \
         who      arn:aws:sts::123456789012:assumed-role/batch/1f71"
    );
}

#[test]
fn the_nearest_misses_are_those_with_the_fewest_failed_tests() {
    let statement = |sid: &str, action: &str, resource: &str| {
        format!(
            r#"{{"Sid":"{sid}","Effect":"Allow","Action":"{action}","Resource":"{resource}",
                "Condition":{{"StringEquals":{{"x:a":"1"}}}}}}"#
        )
    };
    let far = "arn:aws:s3:::other/*";
    let session = [
        statement("Three", "s3:Get*", far),
        statement("TwoA", "s3:Get*", "*"),
        statement("One", "s3:Put*", "*"),
        statement("TwoB", "s3:Put*", far),
        statement("TwoC", "s3:Put*", far),
        r#"{"Sid":"Deny","Effect":"Deny","Action":"s3:Delete*","Resource":"*"}"#.to_owned(),
    ]
    .join(",");
    let (_, trace) = evaluate_traced(&layers(&session), &request(Context::new()));
    let nearest = &trace.layers[4].nearest;
    let sids: Vec<String> = nearest
        .iter()
        .map(|miss| miss.statement.to_string())
        .collect();
    assert_eq!(sids, ["One", "TwoA", "TwoB"]);
    assert!(
        trace.layers[2].nearest.is_empty(),
        "the identity layer allowed"
    );
}

#[test]
fn reasons_come_from_a_closed_list() {
    let none = Context::new;
    let one = |key: &str, value: &str| Context::new().with(key, value);
    assert_eq!(
        whys(r#"{"StringEquals":{"x:a":"1"}}"#, none()),
        [Why::MissingKey]
    );
    assert_eq!(
        whys(r#"{"StringEquals":{"x:a":"1"}}"#, one("x:a", "2")),
        [Why::Value]
    );
    assert_eq!(
        whys(r#"{"NumericLessThan":{"x:a":"1"}}"#, one("x:a", "y")),
        [Why::BadType]
    );
    let unfilled = r#"{"StringEquals":{"x:a":"${x:b}"}}"#;
    assert_eq!(whys(unfilled, one("x:a", "2")), [Why::VariableMissing]);
    let many = Context::new().with_many("x:a", ["1"]);
    assert_eq!(
        whys(r#"{"StringEquals":{"x:a":"1"}}"#, many),
        [Why::MultivalueNeedsQualifier]
    );
    assert_eq!(whys(r#"{"Null":{"x:a":"false"}}"#, none()), [Why::Value]);
}

#[test]
fn keys_are_told_for_statements_about_the_action_only() {
    let session = r#"{"Effect":"Allow","Action":"s3:Put*","Resource":"arn:aws:s3:::bkt/${x:user}/*",
            "Condition":{"StringEquals":{"x:TEAM":"a","x:none":"b"},
                "StringLike":{"x:team":"${x:other, 'd'}"}}},
        {"Effect":"Allow","Action":"s3:Get*","Resource":"*",
            "Condition":{"StringEquals":{"x:unrelated":"a"}}}"#;
    let context = Context::new().with("x:Team", "z");
    let (_, trace) = evaluate_traced(&layers(session), &request(context));
    let missing: Vec<&str> = trace.missing_keys.iter().map(String::as_str).collect();
    assert_eq!(missing, ["x:none", "x:user"]);
    assert_eq!(
        trace.used_keys,
        [("x:Team".to_owned(), vec!["z".to_owned()])].into()
    );
}

#[test]
fn a_denial_names_the_statement_and_no_near_miss() {
    let session = r#"{"Sid":"No","Effect":"Deny","Action":"*","Resource":"*"},
        {"Effect":"Allow","Action":"s3:Get*","Resource":"*"}"#;
    let (_, trace) = evaluate_traced(&layers(session), &request(Context::new()));
    let text = trace.to_string();
    assert!(text.starts_with("DENY (explicit)  s3:PutObject"), "{text}");
    assert!(
        text.contains("\n with     an explicit deny in a session policy (layer"),
        "{text}"
    );
    assert!(
        text.contains("session/profile DENY batch-ro#No (1:38)"),
        "{text}"
    );
    assert!(!text.contains("nearest"), "{text}");
}

#[test]
fn what_a_request_sends_draws_no_lines_of_its_own() {
    let mut request = request(Context::new());
    request.resource = format!("arn:aws:s3:::bkt/\nALLOW\u{2028}{}", "x".repeat(5_000));
    let (_, trace) = evaluate_traced(&layers(""), &request);
    let text = trace.to_string();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.len() < 2_000);
}

#[test]
fn json_has_the_same_facts() {
    let session = r#"{"Sid":"R","Effect":"Allow","Action":"s3:Put*","Resource":"*",
        "Condition":{"StringEquals":{"x:a":"1"}}}"#;
    let context = Context::new().with("x:a", "2");
    let (decision, trace) = evaluate_traced(&layers(session), &request(context));
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["decision"], "implicit_deny");
    assert_eq!(json["layer"], "session/profile");
    assert_eq!(
        json["layers"][0],
        serde_json::json!({
            "layer": "guardrail", "result": "absent", "matched": [], "nearest": []
        })
    );
    assert_eq!(
        json["layers"][2]["matched"][0]["statement"],
        serde_json::json!({
            "sid": "W", "index": 0, "position": {"line": 1, "column": 38}
        })
    );
    assert_eq!(
        json["layers"][4]["nearest"][0]["failed"],
        serde_json::json!([{
            "element": "Condition", "operator": "StringEquals", "key": "x:a",
            "want": "1", "got": "2", "why": "value"
        }])
    );
    assert_eq!(json["used_keys"], serde_json::json!({"x:a": ["2"]}));
    assert_eq!(
        serde_json::to_value(&decision).unwrap()["effect"],
        "implicit_deny"
    );
}
