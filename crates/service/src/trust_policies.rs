//! Trust policies as `role create` writes them, and those it will not take without being told.

use bowline_x509::DistinguishedName;
use serde_json::{Value, json};

use crate::error::{Error, FederationError};

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
    for (index, statement) in allowing(document) {
        if names_its_callers(&statement) {
            continue;
        }
        let tested = tested_keys(&statement);
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

/// Refuses a trust policy by which everybody whom a token issuer vouches for could take the role: a public one vouches
/// for the whole world. A SAML provider names the roles of each person by itself, so that its word is enough.
pub(crate) fn check_identities(document: &str) -> Result<(), Error> {
    for (index, statement) in allowing(document) {
        if !is_about_tokens(&statement) {
            continue;
        }
        let issuers = issuers(&statement);
        let tested = tested_keys(&statement);
        // A test of one issuer's subject fails for all others: their tokens have no such key.
        let named = issuers
            .iter()
            .any(|issuer| tested.contains(&format!("{issuer}:sub")));
        if let Some(issuer) = issuers.first().cloned().filter(|_| !named) {
            let statement = index;
            return Err(FederationError::TrustOfEverybody { statement, issuer }.into());
        }
    }
    Ok(())
}

/// The statements of a policy that allow, with their places counted from 0. What does not parse is refused a moment later,
/// with its position.
fn allowing(document: &str) -> Vec<(usize, Value)> {
    let statements = match serde_json::from_str(document) {
        Ok(Value::Object(mut document)) => document.remove("Statement"),
        Ok(_) | Err(_) => None,
    };
    let statements = match statements {
        Some(Value::Array(statements)) => statements,
        one => one.into_iter().collect(),
    };
    statements
        .into_iter()
        .enumerate()
        .filter(|(_, statement)| statement.get("Effect").and_then(Value::as_str) == Some("Allow"))
        .collect()
}

/// Whether a statement allows tokens to be traded: one that only lets sessions be tagged lets nobody in.
fn is_about_tokens(statement: &Value) -> bool {
    let action = |value: &Value| {
        let action = value.as_str().unwrap_or_default().to_ascii_lowercase();
        action == "sts:assumerolewithwebidentity" || action.contains(['*', '?'])
    };
    match statement.get("Action") {
        Some(Value::Array(actions)) => actions.iter().any(action),
        Some(one) => action(one),
        None => true,
    }
}

/// The token issuers among a statement's principals, in lower case. Where everybody is one, certificates are, and more is
/// asked for.
fn issuers(statement: &Value) -> Vec<String> {
    let federated = statement
        .get("Principal")
        .and_then(|principals| principals.get("Federated"));
    let federated = match federated {
        Some(Value::Array(values)) => values.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    federated
        .iter()
        .filter_map(|arn| arn.as_str()?.split_once(":oidc-provider/"))
        .map(|(_, issuer)| issuer.to_ascii_lowercase())
        .collect()
}

/// Whether a statement is about callers that it names: accounts, roles, sessions, identity providers. Certificates all
/// come through one service, and everybody is nobody in particular.
fn names_its_callers(statement: &Value) -> bool {
    let Some(principals) = statement.get("Principal").and_then(Value::as_object) else {
        return false;
    };
    let everybody = |value: &Value| match value {
        Value::Array(values) => values.iter().any(|value| value == "*"),
        value => value == "*",
    };
    !principals.is_empty()
        && principals
            .iter()
            .all(|(kind, value)| kind == "Federated" || (kind == "AWS" && !everybody(value)))
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
                // `repo:*` is everybody at an issuer that says `repo:` before every name.
                let subjects = key.to_ascii_lowercase().ends_with(":sub")
                    && text
                        .split_once(':')
                        .is_some_and(|(_, rest)| rest.starts_with(['*', '?']));
                anchors || subjects || text.chars().all(|c| matches!(c, '*' | '?' | ':'))
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
    fn a_token_issuer_is_trusted_for_subjects_that_are_named() {
        let ci = "arn:aws:iam::000000000000:oidc-provider/ci.example/A";
        let open = |principal: Value, action: Value, condition: Value| {
            let document = json!({ "Statement": [{ "Effect": "Allow", "Principal": principal, "Action": action,
                "Condition": condition }] });
            check_identities(&document.to_string()).is_err()
        };
        let trade = json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]);
        let federated = json!({ "Federated": ci });
        for (condition, expected) in [
            (
                json!({ "StringLike": { "ci.example/A:sub": "repo:acme/*" } }),
                false,
            ),
            (
                json!({ "StringEquals": { "CI.example/a:SUB": ["repo:acme/x"] } }),
                false,
            ),
            (json!({}), true),
            (
                json!({ "StringEquals": { "ci.example/A:aud": "bowline" } }),
                true,
            ),
            (json!({ "StringLike": { "ci.example/A:sub": "*" } }), true),
            (
                json!({ "StringLike": { "ci.example/A:sub": "repo:*" } }),
                true,
            ),
            (
                json!({ "StringLike": { "ci.example/A:sub": ["repo:acme/*", "repo:*/*"] } }),
                true,
            ),
            (
                json!({ "StringLikeIfExists": { "ci.example/A:sub": "repo:acme/*" } }),
                true,
            ),
            (
                json!({ "ForAllValues:StringLike": { "ci.example/A:sub": "repo:acme/*" } }),
                true,
            ),
            (
                json!({ "StringNotEquals": { "ci.example/A:sub": "repo:evil/x" } }),
                true,
            ),
            (
                json!({ "StringEquals": { "else.example:sub": "repo:acme/x" } }),
                true,
            ),
            (
                json!({ "StringEquals": { "ci.example:sub": "repo:acme/x" } }),
                true,
            ),
        ] {
            assert_eq!(
                open(federated.clone(), trade.clone(), condition.clone()),
                expected,
                "{condition}"
            );
        }
        // Nobody comes in by these.
        assert!(!open(federated.clone(), json!("sts:TagSession"), json!({})));
        assert!(open(federated, json!("sts:Assume*"), json!({})));
        // Of two issuers, the one whose subject is not tested never satisfies the test.
        let two =
            json!({ "Federated": [ci, "arn:aws:iam::000000000000:oidc-provider/else.example"] });
        assert!(!open(
            two.clone(),
            trade.clone(),
            json!({ "StringEquals": { "else.example:sub": "x" } })
        ));
        assert!(open(two, trade.clone(), json!({})));
        // Whoever may take which role is in the assertion itself.
        let saml = json!({ "Federated": "arn:aws:iam::000000000000:saml-provider/corp" });
        assert!(!open(saml, json!("sts:AssumeRoleWithSAML"), json!({})));
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
