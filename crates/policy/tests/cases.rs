//! The published table of policy decisions.

use bowline_policy::{
    Context, Effect, Layers, NamedPolicy, Policy, PolicyKind, Principal, Request, evaluate,
    evaluate_traced,
};
use serde_json::Value;

/// How many cases the table has: a table that shrinks, or is not found, must fail.
const CASES: usize = 102;

#[test]
fn every_case_of_the_table_is_decided_as_expected() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/policy-cases.json"
    );
    let text = std::fs::read_to_string(path).expect("the table is in the tree");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the table is JSON");
    let mut wrong = Vec::new();
    for case in &cases {
        let (expected, decided) = (text_of(case, "expect"), decide(case));
        if expected != decided {
            let (id, why) = (text_of(case, "id"), text_of(case, "why"));
            wrong.push(format!("{id}: expected {expected}, was {decided} ({why})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(cases.len(), CASES);
}

fn decide(case: &Value) -> &'static str {
    let document = case["policy"].to_string();
    let Ok(policy) = Policy::parse(&document, PolicyKind::Identity) else {
        return "invalid";
    };
    let layers = Layers {
        identity: vec![NamedPolicy::new("case", policy)],
        ..Layers::default()
    };
    let role = "arn:aws:iam::123456789012:role/case".parse().unwrap();
    let request = Request {
        principal: Principal::assumed_role(role, "session").unwrap(),
        action: text_of(case, "action").to_owned(),
        resource: text_of(case, "resource").to_owned(),
        account: "123456789012".parse().unwrap(),
        context: context(&case["ctx"]),
    };
    let decision = evaluate(&layers, &request);
    let (traced, _) = evaluate_traced(&layers, &request);
    assert_eq!(decision, traced, "{}", case["id"]);
    match decision.effect {
        Effect::Allow => "allow",
        Effect::ExplicitDeny => "deny",
        Effect::ImplicitDeny => "implicit",
    }
}

fn context(keys: &Value) -> Context {
    let mut context = Context::new();
    for (key, value) in keys.as_object().expect("the context is an object") {
        match value {
            Value::Array(values) => {
                context.set_many(key, values.iter().map(|v| v.as_str().expect("a string")));
            }
            value => context.set(key, value.as_str().expect("a string")),
        }
    }
    context
}

fn text_of<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().expect("the member is a string")
}
