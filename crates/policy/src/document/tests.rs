use proptest::prelude::*;

use super::*;
use crate::error::PolicyError;

fn code(text: &str, kind: PolicyKind) -> Option<&'static str> {
    Policy::parse(text, kind).err().map(|error| error.code())
}

/// An identity policy of one statement with these elements.
fn statement(elements: &str) -> Result<Policy, PolicyError> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{{elements}}}]}}"#);
    Policy::parse(&text, PolicyKind::Identity)
}

fn statement_code(elements: &str) -> Option<&'static str> {
    statement(elements).err().map(|error| error.code())
}

/// The code for one condition block.
fn condition_code(condition: &str) -> Option<&'static str> {
    statement_code(&format!(
        r#""Effect":"Deny","Action":"*","Resource":"*","Condition":{condition}"#
    ))
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"rolesanywhere.amazonaws.com"},
    "Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],
    "Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/x"}}}]}"#;

#[test]
fn order_scalars_and_single_statements_are_free() {
    let text = r#"{"Statement": {"Resource": "*", "Action": "s3:*", "Effect": "Allow",
        "Sid": "", "Condition": {}}, "Id": "x", "Version": "2012-10-17"}"#;
    let policy = Policy::parse(text, PolicyKind::Session).unwrap();
    assert_eq!(policy.statement_count(), 1);
    assert_eq!(policy.text(), text);
    assert_eq!(policy.kind(), PolicyKind::Session);
}

#[test]
fn the_outside_of_the_document_is_checked() {
    for (text, expected) in [
        ("", "policy_not_json"),
        ("[]", "policy_wrong_type"),
        ("null", "policy_wrong_type"),
        ("{}", "policy_missing_element"),
        (r#"{"Statement":null}"#, "policy_wrong_type"),
        (r#"{"Statement":["x"]}"#, "policy_wrong_type"),
        (
            r#"{"Statement":[],"Statement":[]}"#,
            "policy_duplicate_element",
        ),
        (
            r#"{"Statement":[],"statement":[]}"#,
            "policy_unknown_element",
        ),
        (
            r#"{"Statement":[],"Version":"2012-10-18"}"#,
            "policy_unknown_version",
        ),
        (
            r#"{"Statement":[],"Version":20121017}"#,
            "policy_wrong_type",
        ),
        (r#"{"Statement":[],"Id":7}"#, "policy_wrong_type"),
        (r#"{"Statement":[]} x"#, "policy_not_json"),
        (r#"{"Statement":[],}"#, "policy_not_json"),
    ] {
        assert_eq!(code(text, PolicyKind::Identity), Some(expected), "{text}");
    }
    assert_eq!(code(r#"{"Statement":[]}"#, PolicyKind::Identity), None);
}

#[test]
fn every_element_of_a_statement_is_checked() {
    for (elements, expected) in [
        (r#""Action":"*","Resource":"*""#, "policy_missing_element"),
        (
            r#""Effect":"Allow","Resource":"*""#,
            "policy_missing_element",
        ),
        (r#""Effect":"Allow","Action":"*""#, "policy_missing_element"),
        (
            r#""Effect":"allow","Action":"*","Resource":"*""#,
            "policy_unknown_effect",
        ),
        (
            r#""Efect":"Allow","Action":"*","Resource":"*""#,
            "policy_unknown_element",
        ),
        (
            r#""Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*""#,
            "policy_duplicate_element",
        ),
        (
            r#""Effect":"Allow","Action":"*","NotAction":"s3:*","Resource":"*""#,
            "policy_exclusive_elements",
        ),
        (
            r#""Effect":"Allow","Action":"*","NotResource":"*","Resource":"*""#,
            "policy_exclusive_elements",
        ),
        (
            r#""Effect":"Allow","Action":"*","Resource":"*","Principal":"*""#,
            "policy_element_not_in_kind",
        ),
        (
            r#""Effect":"Allow","Action":[],"Resource":"*""#,
            "policy_empty_element",
        ),
        (
            r#""Effect":"Allow","Action":"*","Resource":[]"#,
            "policy_empty_element",
        ),
        (
            r#""Effect":"Allow","Action":[["*"]],"Resource":"*""#,
            "policy_wrong_type",
        ),
        (
            r#""Effect":"Allow","Action":7,"Resource":"*""#,
            "policy_wrong_type",
        ),
        (
            r#""Effect":"Allow","Action":"*","Resource":null"#,
            "policy_wrong_type",
        ),
        (
            r#""Effect":"Allow","Action":"*","Resource":"*","Condition":[]"#,
            "policy_wrong_type",
        ),
    ] {
        assert_eq!(statement_code(elements), Some(expected), "{elements}");
    }
}

#[test]
fn actions_are_a_star_or_a_service_and_a_name() {
    let code = |action: &str| {
        statement_code(&format!(
            r#""Effect":"Allow","Action":"{action}","Resource":"*""#
        ))
    };
    for action in ["*", "*:*", "s3:*", "S3:Get?bject", "execute-api:Invoke"] {
        assert_eq!(code(action), None, "{action}");
    }
    for action in [
        "",
        "GetObject",
        "s3:",
        ":Get",
        "s3:a:b",
        "s3:Get Object",
        "**",
        "s3:${aws:x}",
        "s3:Gét",
    ] {
        assert_eq!(code(action), Some("policy_bad_action"), "{action}");
    }
}

#[test]
fn resources_are_a_star_or_six_fields() {
    let code = |resource: &str| {
        statement_code(&format!(
            r#""Effect":"Allow","Action":"*","Resource":"{resource}""#
        ))
    };
    for resource in [
        "*",
        "arn:aws:s3:::*",
        "arn:*:*:*:*:*",
        "arn:aws:s3:::b/${aws:x, 'y'}",
    ] {
        assert_eq!(code(resource), None, "{resource}");
    }
    for resource in ["", "b/*", "arn:aws:s3", "arn:*", "urn:aws:s3:::b", "**"] {
        assert_eq!(code(resource), Some("policy_bad_resource"), "{resource}");
    }
    assert_eq!(
        code("arn:aws:s3::${aws:x}:b"),
        Some("policy_variable_not_possible")
    );
    assert_eq!(code("arn:aws:s3:::${aws:x"), Some("policy_bad_variable"));
}

#[test]
fn conditions_are_checked() {
    for (condition, expected) in [
        (r#"{"StringEqual":{"a:b":"c"}}"#, "policy_unknown_operator"),
        (
            r#"{"NullIfExists":{"a:b":"true"}}"#,
            "policy_unknown_operator",
        ),
        (r#"{"StringEquals":{}}"#, "policy_empty_element"),
        (r#"{"StringEquals":{"a:b":[]}}"#, "policy_empty_element"),
        (r#"{"StringEquals":{"ab":"c"}}"#, "policy_bad_condition_key"),
        (r#"{"StringEquals":{":b":"c"}}"#, "policy_bad_condition_key"),
        (
            r#"{"StringEquals":{"a:b":"c","A:B":"d"}}"#,
            "policy_duplicate_element",
        ),
        (
            r#"{"StringEquals":{"a:b":"c"},"stringequals":{"a:c":"d"}}"#,
            "policy_duplicate_element",
        ),
        (r#"{"StringEquals":{"a:b":null}}"#, "policy_wrong_type"),
        (r#"{"StringEquals":{"a:b":{"c":"d"}}}"#, "policy_wrong_type"),
        (r#"{"StringEquals":{"a:b":[["c"]]}}"#, "policy_wrong_type"),
        (
            r#"{"StringEquals":{"aws:TagKeys":"c"}}"#,
            "policy_missing_qualifier",
        ),
        (
            r#"{"StringNotLikeIfExists":{"AWS:calledvia":"c"}}"#,
            "policy_missing_qualifier",
        ),
        (
            r#"{"Bool":{"a:b":"${aws:x}"}}"#,
            "policy_variable_not_possible",
        ),
        (
            r#"{"NumericEquals":{"a:b":"${*}"}}"#,
            "policy_variable_not_possible",
        ),
        (r#"{"StringLike":{"a:b":"${aws:x"}}"#, "policy_bad_variable"),
        (
            r#"{"ArnLike":{"a:b":"arn:aws:s3:::${}"}}"#,
            "policy_bad_variable",
        ),
    ] {
        assert_eq!(condition_code(condition), Some(expected), "{condition}");
    }
    for condition in [
        "{}",
        r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["c"]},"Null":{"aws:TagKeys":false}}"#,
        r#"{"NumericEquals":{"a:b":[1, 2.50, "3", true]}}"#,
        r#"{"NumericEquals":{"a:b":"1abc"},"DateEquals":{"a:b":"never"}}"#,
    ] {
        assert_eq!(condition_code(condition), None, "{condition}");
    }
}

#[test]
fn variables_are_literal_text_under_the_older_version() {
    let text = r#"{"Statement":{"Effect":"Allow","Action":"*",
        "Resource":["arn:aws:s3:::${","arn:aws:s3::${a}:b"],
        "Condition":{"Bool":{"a:b":"${aws:x}"}}}}"#;
    assert_eq!(code(text, PolicyKind::Identity), None);
}

#[test]
fn trust_policies_have_their_own_rules() {
    assert_eq!(code(TRUST, PolicyKind::Trust), None);
    for (from, to, expected) in [
        (
            "sts:TagSession",
            "sts:TagSessions",
            "policy_not_a_trust_action",
        ),
        (
            "sts:TagSession",
            "s3:GetObject",
            "policy_not_a_trust_action",
        ),
        ("sts:TagSession", "*", "policy_not_a_trust_action"),
        (
            "\"Action\"",
            "\"Resource\":\"*\",\"Action\"",
            "policy_element_not_in_kind",
        ),
        (
            "\"Principal\"",
            "\"NotPrincipal\"",
            "policy_element_not_in_kind",
        ),
        (
            "{\"Service\":\"rolesanywhere.amazonaws.com\"}",
            "\"*\"",
            "policy_element_not_in_kind",
        ),
        (
            "{\"Service\":\"rolesanywhere.amazonaws.com\"}",
            "{}",
            "policy_empty_element",
        ),
        (
            "{\"Service\":\"rolesanywhere.amazonaws.com\"}",
            "\"123456789012\"",
            "policy_bad_principal",
        ),
        (
            "\"Service\":\"rolesanywhere.amazonaws.com\"",
            "\"Service\":[]",
            "policy_empty_element",
        ),
        ("rolesanywhere.amazonaws.com", "*", "policy_bad_principal"),
    ] {
        assert!(TRUST.contains(from));
        let text = TRUST.replace(from, to);
        assert_eq!(code(&text, PolicyKind::Trust), Some(expected), "{text}");
    }
    let any = TRUST.replace(
        "\"Service\":\"rolesanywhere.amazonaws.com\"",
        "\"AWS\":\"*\"",
    );
    assert_eq!(code(&any, PolicyKind::Trust), None);
    let wildcard = TRUST.replace("sts:TagSession", "STS:tag*");
    assert_eq!(code(&wildcard, PolicyKind::Trust), None);
}

#[test]
fn only_resource_and_trust_policies_name_principals() {
    assert_eq!(code(TRUST, PolicyKind::Resource), None);
    for kind in [
        PolicyKind::Identity,
        PolicyKind::Session,
        PolicyKind::Boundary,
        PolicyKind::Guardrail,
    ] {
        assert_eq!(code(TRUST, kind), Some("policy_element_not_in_kind"));
    }
    let text = r#"{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},
        "Action":"s3:*","Resource":"arn:aws:s3:::b/*"}}"#;
    assert_eq!(code(text, PolicyKind::Resource), None);
    let nobody = text.replace("\"NotPrincipal\":{\"AWS\":\"123456789012\"},", "");
    assert_eq!(
        code(&nobody, PolicyKind::Resource),
        Some("policy_missing_element")
    );
}

#[test]
fn a_sid_names_one_statement() {
    let text = r#"{"Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},
        {"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}]}"#;
    let error = Policy::parse(text, PolicyKind::Identity).unwrap_err();
    assert_eq!(
        (error.code(), error.position.line),
        ("policy_duplicate_sid", 2)
    );
    assert_eq!(
        code(&text.replace("\"A\"", "\"\""), PolicyKind::Identity),
        None
    );
}

#[test]
fn errors_say_where() {
    let text = "{\n  \"Statement\": [\n    {\"Effect\": \"Allow\",\n     \"Action\": \"GetObject\",\n     \"Resource\": \"*\"}\n  ]\n}";
    let error = Policy::parse(text, PolicyKind::Identity).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an action is \"*\" or \"service:Name\" of letters, digits, - _ . * and ?, \
         not \"GetObject\" (at 4:16)"
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let long = format!("{{\"Id\":\"{}\"}}", "x".repeat(POLICY_BYTES_MAX));
    assert_eq!(code(&long, PolicyKind::Identity), Some("policy_too_large"));
    let deep = format!("{{\"Statement\":{}", "[".repeat(NESTING_MAX));
    assert_eq!(code(&deep, PolicyKind::Identity), Some("policy_too_deep"));
    assert_eq!(
        code(&"{\"a\":".repeat(100_000), PolicyKind::Identity),
        Some("policy_too_deep")
    );
}

#[test]
fn quotas_count_without_white_space() {
    let policy = Policy::parse("{\n \"Statement\" : [ ]\t}", PolicyKind::Session).unwrap();
    assert_eq!(policy.quota_characters(), "{\"Statement\":[]}".len());
    assert!(policy.quota_characters() < policy.kind().quota_characters());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = Policy::parse(&text, PolicyKind::Identity);
    }

    #[test]
    fn no_mutation_of_a_policy_panics(
        at in 0..TRUST.len(), cut in 0..12_usize, patch in "[\\[\\]\\{\\}\":,*?$a0\\\\n\u{e4}]{0,6}",
    ) {
        let end = (at + cut).min(TRUST.len());
        let text = format!("{}{patch}{}", &TRUST[..at], &TRUST[end..]);
        for kind in [PolicyKind::Trust, PolicyKind::Resource, PolicyKind::Identity] {
            match Policy::parse(&text, kind) {
                Ok(policy) => prop_assert_eq!(policy.text(), text.as_str()),
                Err(error) => prop_assert!(error.position.line >= 1 && error.position.column >= 1),
            }
        }
    }

    #[test]
    fn no_shape_of_json_panics(
        element in "(Sid|Effect|Action|NotAction|Resource|Principal|Condition|X)",
        value in "(null|true|7|\"\"|\"\\*\"|\\[\\]|\\{\\}|\\[null\\]|\\{\"AWS\":\\{\\}\\}|\\{\"Null\":\\{\"a:b\":\\[1\\]\\}\\})",
    ) {
        let text = format!(r#"{{"Statement":{{"Effect":"Allow","{element}":{value}}}}}"#);
        for kind in [PolicyKind::Trust, PolicyKind::Resource, PolicyKind::Identity] {
            let _ = Policy::parse(&text, kind);
        }
    }
}
