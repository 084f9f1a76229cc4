use super::*;

/// Whether `operator` with the values holds for `x:k` in the context.
fn holds(operator: &str, values: &[&str], context: &Context) -> bool {
    outcome(operator, values, context).is_ok()
}

fn outcome(operator: &str, values: &[&str], context: &Context) -> Result<(), Why> {
    let operator = Operator::parse(operator).unwrap();
    let texts = values.iter().map(|text| (*text).to_owned()).collect();
    let condition = Condition::compile(operator, "x:K", texts, true).unwrap();
    condition.holds(context, &Steps::new(10_000))
}

fn one(value: &str) -> Context {
    Context::new().with("X:k", value)
}

fn many(values: &[&str]) -> Context {
    Context::new().with_many("x:k", values.iter().copied())
}

#[test]
fn a_missing_key_decides_by_operator() {
    let none = Context::new();
    for (operator, expected) in [
        ("StringEquals", false),
        ("StringNotEquals", true),
        ("StringEqualsIfExists", true),
        ("StringNotEqualsIfExists", true),
        ("NumericLessThan", false),
        ("NotIpAddress", true),
        ("ArnNotLike", true),
        ("DateNotEquals", true),
        ("Bool", false),
        ("BoolIfExists", true),
        ("ForAllValues:StringEquals", true),
        ("ForAllValues:StringNotEquals", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", true),
    ] {
        assert_eq!(holds(operator, &["1"], &none), expected, "{operator}");
    }
}

#[test]
fn null_asks_whether_the_key_is_there() {
    for operator in ["Null", "ForAnyValue:Null", "ForAllValues:Null"] {
        assert!(holds(operator, &["True"], &Context::new()));
        assert!(!holds(operator, &["false"], &Context::new()));
        assert!(holds(operator, &["false"], &one("")));
        assert!(holds(operator, &["false"], &many(&["a", "b"])));
        assert!(!holds(operator, &["true"], &one("v")));
        assert!(!holds(operator, &["maybe"], &one("v")));
        assert!(!holds(operator, &["maybe"], &Context::new()));
    }
}

#[test]
fn several_values_need_a_set_qualifier() {
    for operator in [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIfExists",
        "StringNotLike",
    ] {
        let reason = Err(Why::MultivalueNeedsQualifier);
        assert_eq!(
            outcome(operator, &["a"], &many(&["a"])),
            reason,
            "{operator}"
        );
        assert_eq!(
            outcome(operator, &["b"], &many(&["a"])),
            reason,
            "{operator}"
        );
    }
}

#[test]
fn set_operators_quantify_over_the_request() {
    for (operator, policy, request, expected) in [
        (
            "ForAllValues:StringEquals",
            &["a", "b"][..],
            &["a", "b", "a"][..],
            true,
        ),
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "c"], false),
        (
            "ForAllValues:StringNotEquals",
            &["a", "b"],
            &["c", "d"],
            true,
        ),
        (
            "ForAllValues:StringNotEquals",
            &["a", "b"],
            &["c", "b"],
            false,
        ),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "b"], true),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "d"], false),
        (
            "ForAnyValue:StringNotEquals",
            &["a", "b"],
            &["a", "c"],
            true,
        ),
        (
            "ForAnyValue:StringNotEquals",
            &["a", "b"],
            &["a", "b"],
            false,
        ),
        ("ForAnyValue:NumericLessThan", &["5"], &["9", "4"], true),
        ("ForAllValues:NumericLessThan", &["5"], &["9", "4"], false),
        ("ForAnyValue:StringEquals", &[""], &["", ""], false),
        ("ForAllValues:StringEquals", &["a"], &["", ""], true),
        ("ForAllValues:StringEquals", &["a"], &["", "a"], false),
    ] {
        let held = holds(operator, policy, &many(request));
        assert_eq!(held, expected, "{operator} {policy:?} {request:?}");
    }
    assert!(holds("ForAllValues:StringEquals", &["a"], &one("a")));
    assert!(!holds("ForAnyValue:StringEquals", &["a"], &one("b")));
}

#[test]
fn a_value_of_the_wrong_type_equals_nothing() {
    for (operator, policy, request) in [
        ("Numeric", "1", "1abc"),
        ("Numeric", "1abc", "1"),
        ("Date", "2020", "soon"),
        ("Date", "soon", "2020"),
        ("Arn", "arn:aws:s3:::b", "b"),
        ("Arn", "b", "arn:aws:s3:::b"),
    ] {
        let context = one(request);
        assert!(
            !holds(&format!("{operator}Equals"), &[policy], &context),
            "{operator}"
        );
        assert!(
            holds(&format!("{operator}NotEquals"), &[policy], &context),
            "{operator}"
        );
    }
    assert!(!holds("NumericLessThan", &["5"], &one("x")));
    assert!(!holds("NumericGreaterThanEquals", &["x"], &one("5")));
    assert!(holds("NotIpAddress", &["10.0.0.0/8"], &one("somewhere")));
    assert!(holds("NotIpAddress", &["somewhere"], &one("10.0.0.1")));
    assert!(!holds("Bool", &["maybe"], &one("maybe")));
    assert!(!holds("BinaryEquals", &["!"], &one("!")));
}

#[test]
fn orders_compare_the_request_to_the_policy() {
    for (name, below, same, above) in [
        ("LessThan", true, false, false),
        ("LessThanEquals", true, true, false),
        ("GreaterThan", false, false, true),
        ("GreaterThanEquals", false, true, true),
        ("Equals", false, true, false),
        ("NotEquals", true, false, true),
    ] {
        let numeric = |value| holds(&format!("Numeric{name}"), &["10"], &one(value));
        assert_eq!(
            (numeric("9"), numeric("1e1"), numeric("10.5")),
            (below, same, above)
        );
        let date = |value| holds(&format!("Date{name}"), &["2020-01-01"], &one(value));
        let dates = (
            date("1577836799"),
            date("2020"),
            date("2020-01-01T00:00:01Z"),
        );
        assert_eq!(dates, (below, same, above), "{name}");
    }
    let big = ["9007199254740993"];
    assert!(!holds("NumericEquals", &big, &one("9007199254740992")));
}

#[test]
fn strings_compare_with_or_without_case_and_wildcards() {
    assert!(!holds("StringEquals", &["a*"], &one("ab")));
    assert!(holds("StringEquals", &["a*"], &one("a*")));
    assert!(holds("StringLike", &["a*"], &one("ab")));
    assert!(!holds("StringLike", &["A*"], &one("ab")));
    assert!(!holds("StringNotLike", &["x", "a?"], &one("ab")));
    assert!(!holds("StringEquals", &["AB"], &one("ab")));
    assert!(holds("StringEqualsIgnoreCase", &["MÜLLER"], &one("müller")));
    assert!(!holds(
        "StringNotEqualsIgnoreCase",
        &["x", "AB"],
        &one("ab")
    ));
    assert!(!holds("StringEqualsIgnoreCase", &["AB*"], &one("abc")));
}

#[test]
fn variables_in_values_are_literal_and_null_when_missing() {
    let context = one("a*").with("x:v", "A*");
    assert!(holds("StringLike", &["${x:k}"], &context));
    assert!(!holds(
        "StringLike",
        &["${x:v}"],
        &one("Ab").with("x:v", "A*")
    ));
    assert!(holds("StringEqualsIgnoreCase", &["${x:V}"], &context));
    assert!(!holds("StringEquals", &["${x:none}"], &one("")));
    assert!(holds("StringNotEquals", &["${x:none}"], &one("")));
    assert!(!holds("StringNotEquals", &["${x:none}", "a"], &one("a")));
    assert!(holds("StringEquals", &["${x:none}", "a"], &one("a")));
    assert_eq!(
        outcome("StringEquals", &["${x:none}"], &one("a")),
        Err(Why::VariableMissing)
    );
}

#[test]
fn arns_compare_field_by_field() {
    const ANCHOR: &str = "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/a:b";
    let context = one(ANCHOR)
        .with("x:whole", ANCHOR)
        .with("x:account", "123456789012");
    for (value, expected) in [
        ("*", true),
        (ANCHOR, true),
        ("arn:aws:rolesanywhere:*:*:trust-anchor/*", true),
        ("arn:aws:*:trust-anchor/*", false),
        ("arn:aws:rolesanywhere:*:trust-anchor/a:b", false),
        ("arn:*", false),
        ("arn*", false),
        ("${x:whole}", true),
        (
            "arn:aws:rolesanywhere:*:${x:account}:trust-anchor/a?b",
            true,
        ),
        ("arn:aws:rolesanywhere:*:${x:none}:trust-anchor/*", false),
        ("arn:aws:rolesanywhere:*:${x:none, '123456789012'}:*", true),
    ] {
        for (like, not_like) in [("ArnLike", "ArnNotLike"), ("ArnEquals", "ArnNotEquals")] {
            assert_eq!(holds(like, &[value], &context), expected, "{value}");
            assert_eq!(holds(not_like, &[value], &context), !expected, "{value}");
        }
    }
    assert!(!holds("ArnLike", &["*"], &one("no arn")));
}
