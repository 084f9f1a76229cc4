//! Trust policies as `role create` writes them, and those it will not take without being told.

use bowline_x509::DistinguishedName;
use serde_json::{Value, json};

use crate::error::Error;

/// A test of one principal tag: the tag's key, and the patterns of which one must fit.
pub(crate) type TagTest = (String, Vec<String>);

/// The test that a certificate's `OU` names the role, alone or among others joined by `/`.
pub(crate) fn carries_role(role: &str) -> Vec<TagTest> {
    let patterns = vec![
        role.into(),
        format!("{role}/*"),
        format!("*/{role}"),
        format!("*/{role}/*"),
    ];
    vec![("x509Subject/OU".into(), patterns)]
}

/// Reads `CN=web-*`, `x509SAN/DNS=*.example.com`.
pub(crate) fn subject_test(text: &str) -> Result<TagTest, Error> {
    let refuse = || Error::SubjectTestInvalid { text: text.into() };
    let (field, pattern) = text.split_once('=').ok_or_else(refuse)?;
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "./-_".contains(c))
    };
    if field.is_empty() || !plain(field) || pattern.is_empty() || pattern.contains("${") {
        return Err(refuse());
    }
    let key = match field.split_once('/') {
        Some(("x509Subject" | "x509Issuer", attribute)) if is_attribute(attribute) => {
            field.to_owned()
        }
        Some(("x509SAN", name)) if is_alternative_name(name) => field.to_owned(),
        None if is_attribute(field) => format!("x509Subject/{field}"),
        Some(_) | None => return Err(refuse()),
    };
    Ok((key, vec![pattern.into()]))
}

/// Whether a name has a word for it as an attribute (`CN`, `OU`), or it is an object identifier.
fn is_attribute(text: &str) -> bool {
    format!("{text}=x").parse::<DistinguishedName>().is_ok()
}

/// Whether certificates are mapped under it (`DNS`, `URI`, `Name/CN`).
fn is_alternative_name(text: &str) -> bool {
    matches!(text, "DNS" | "URI") || text.strip_prefix("Name/").is_some_and(is_attribute)
}

/// A trust policy for one anchor: the three actions an exchange needs, and every test.
pub(crate) fn trust_policy(anchor_arn: &str, tests: &[TagTest]) -> String {
    let tests: serde_json::Map<String, Value> = tests
        .iter()
        .map(|(key, patterns)| (format!("aws:PrincipalTag/{key}"), json!(patterns)))
        .collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "rolesanywhere.amazonaws.com" },
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": { "ArnEquals": { "aws:SourceArn": anchor_arn }, "StringLike": tests },
        }],
    })
    .to_string()
}

/// Refuses a trust policy by which any certificate, or a certificate of any anchor, could take the role.
/// Without such conditions every certificate of every anchor of the account can.
pub(crate) fn check_conditions(document: &str) -> Result<(), Error> {
    // What does not parse is refused a moment later, with its position.
    let Ok(Value::Object(document)) = serde_json::from_str(document) else {
        return Ok(());
    };
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    for (index, statement) in statements.into_iter().enumerate() {
        if statement.get("Effect").and_then(Value::as_str) != Some("Allow") {
            continue;
        }
        let tested = tested_keys(statement);
        let anchored = tested.iter().any(|key| key == "aws:sourcearn");
        let named = tested.iter().any(|key| {
            let tag = key.strip_prefix("aws:principaltag/");
            // What every certificate of a CA has in common names nobody.
            tag.is_some_and(|tag| !tag.starts_with("x509issuer/")) || key == "sts:sourceidentity"
        });
        if !anchored || !named {
            return Err(Error::TrustPolicyOpen {
                statement: index,
                anchored,
                named,
            });
        }
    }
    Ok(())
}

/// The condition keys that a statement really tests, in lower case: by an operator that fails where the key is
/// missing, against values of which none fits everything.
fn tested_keys(statement: &Value) -> Vec<String> {
    let mut tested = Vec::new();
    let operators = statement
        .get("Condition")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (operator, keys) in operators {
        let operator = operator.to_ascii_lowercase();
        let positive = !operator.contains("not")
            && !operator.ends_with("ifexists")
            && !operator.starts_with("forallvalues:");
        if !positive || operator == "null" {
            continue;
        }
        for (key, values) in keys.as_object().into_iter().flatten() {
            let values: Vec<&Value> = match values {
                Value::Array(values) => values.iter().collect(),
                value => vec![value],
            };
            let fits_many = |value: &&Value| {
                let text = value.as_str().unwrap_or_default();
                let anchors =
                    key.eq_ignore_ascii_case("aws:SourceArn") && text.contains(['*', '?']);
                anchors || text.chars().all(|c| matches!(c, '*' | '?' | ':'))
            };
            if !values.iter().any(fits_many) {
                tested.push(key.to_ascii_lowercase());
            }
        }
    }
    tested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(condition: Value) -> bool {
        let document = json!({ "Statement": { "Effect": "Allow", "Condition": condition } });
        check_conditions(&document.to_string()).is_err()
    }

    #[test]
    fn what_role_create_writes_is_closed() {
        let written = trust_policy(
            "arn:aws:rolesanywhere:us-east-1:000000000000:trust-anchor/x",
            &carries_role("web"),
        );
        assert!(check_conditions(&written).is_ok());
    }

    #[test]
    fn a_condition_that_holds_for_everybody_is_none() {
        let anchor = json!("arn:aws:rolesanywhere:us-east-1:000000000000:trust-anchor/x");
        let name = json!({ "aws:PrincipalTag/x509Subject/CN": "web-*" });
        assert!(!open(
            json!({ "ArnEquals": { "aws:SourceArn": anchor }, "StringLike": name })
        ));
        for condition in [
            json!({}),
            json!({ "ArnEquals": { "aws:SourceArn": anchor } }),
            json!({ "StringLike": name }),
            json!({ "StringLike": { "aws:SourceArn": "*", "aws:PrincipalTag/x509Subject/CN": "web-*" } }),
            json!({ "ArnLike": { "aws:SourceArn": "*:*:*:*:*:*" }, "StringLike": name }),
            json!({ "ArnLike": { "aws:SourceArn": "arn:aws:rolesanywhere:*:*:trust-anchor/*" }, "StringLike": name }),
            json!({ "ArnEquals": { "aws:SourceArn": anchor }, "StringLike": { "aws:PrincipalTag/x509Issuer/CN": "CA" } }),
            json!({ "ArnEquals": { "aws:SourceArn": anchor }, "StringLike": { "sts:SourceIdentity": "?*" } }),
            json!({ "ArnNotEquals": { "aws:SourceArn": anchor }, "StringLike": name }),
            json!({ "ArnEqualsIfExists": { "aws:SourceArn": anchor }, "StringLike": name }),
            json!({ "Null": { "aws:SourceArn": "false" }, "StringLike": name }),
            json!({ "ArnEquals": { "aws:SourceArn": anchor }, "StringLike": { "aws:PrincipalTag/x509Subject/CN": ["web-*", "*"] } }),
        ] {
            assert!(open(condition.clone()), "{condition}");
        }
    }

    #[test]
    fn a_subject_test_is_a_field_and_a_pattern() {
        assert_eq!(subject_test("CN=web-*").unwrap().0, "x509Subject/CN");
        assert_eq!(
            subject_test("x509SAN/DNS=*.a.test").unwrap().0,
            "x509SAN/DNS"
        );
        for text in [
            "XX=1",
            "x509SAN/IP=1",
            "x509Foo/CN=1",
            "CN",
            "=x",
            "CN=",
            "C N=x",
            "CN=${aws:x}",
        ] {
            assert!(subject_test(text).is_err(), "{text}");
        }
    }
}
