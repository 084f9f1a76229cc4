//! A door for published test suites: one JSON case in, one JSON answer out, through the very functions the
//! product uses. No store, no clock: every case brings its time.

mod chain;
mod create_session;
mod policy;
mod sigv4;

use bowline_x509::path::PathError;
use bowline_x509::{Certificate, CertificateList, pem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::verify::crls_from;
use chain::ChainCase;
use create_session::CreateSessionCase;
use policy::PolicyCase;
use sigv4::Sigv4Case;

/// Which functions a suite is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConformanceKind {
    /// Certificate paths.
    Chain,
    /// AWS4-HMAC signatures, header and query form.
    Sigv4,
    /// The authentication of CreateSession.
    CreateSession,
    /// Policy decisions.
    Policy,
}

/// Answers one line. Never fails: a case that does not read is rejected, with the reason.
pub fn answer(kind: ConformanceKind, line: &str) -> String {
    let outcome = match kind {
        ConformanceKind::Chain => read::<ChainCase>(line).and_then(|case| case.answer()),
        ConformanceKind::Sigv4 => read::<Sigv4Case>(line).and_then(|case| case.answer()),
        ConformanceKind::CreateSession => {
            read::<CreateSessionCase>(line).and_then(|case| case.answer())
        }
        ConformanceKind::Policy => read::<PolicyCase<'_>>(line).and_then(|case| case.answer()),
    };
    let verdict = match outcome {
        Ok(extra) => Verdict {
            result: "accept",
            reason: "ok".into(),
            detail: "accepted".into(),
            extra,
        },
        Err(rejection) => Verdict {
            result: "reject",
            reason: rejection.code,
            detail: rejection.detail,
            extra: Value::Null,
        },
    };
    verdict.line(id_of(line))
}

struct Verdict {
    result: &'static str,
    reason: String,
    detail: String,
    extra: Value,
}

impl Verdict {
    fn line(self, id: Value) -> String {
        let mut answer = json!({ "id": id, "result": self.result, "reason": self.reason, "detail": self.detail });
        if let (Value::Object(answer), Value::Object(extra)) = (&mut answer, self.extra) {
            answer.extend(extra);
        }
        answer.to_string()
    }
}

struct Rejection {
    code: String,
    detail: String,
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Rejection {
        Rejection {
            code: error.code().into_owned(),
            detail: error.to_string(),
        }
    }
}

macro_rules! rejections {
    ($($source:ty),*) => {
        $(impl From<$source> for Rejection {
            fn from(error: $source) -> Rejection {
                Error::from(error).into()
            }
        })*
    };
}

rejections!(
    bowline_sigv4::SignatureError,
    PathError,
    pem::PemError,
    bowline_policy::PolicyError
);

fn reject(code: &str, detail: impl Into<String>) -> Rejection {
    Rejection {
        code: code.into(),
        detail: detail.into(),
    }
}

fn read<'a, C: Deserialize<'a>>(line: &'a str) -> Result<C, Rejection> {
    serde_json::from_str(line).map_err(|error| reject("case_malformed", error.to_string()))
}

/// The id of a case, even of one that does not read otherwise.
fn id_of(line: &str) -> Value {
    serde_json::from_str::<Value>(line)
        .ok()
        .and_then(|case| case.get("id").cloned())
        .unwrap_or(Value::Null)
}

fn certificates(texts: &[String]) -> Result<Vec<Certificate>, Rejection> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(pem::certificates(text.as_bytes())?);
    }
    Ok(all)
}

fn crls(texts: &[String]) -> Result<Vec<CertificateList>, Rejection> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(crls_from(text.as_bytes())?);
    }
    Ok(all)
}

/// Texts of a suite stand for bytes one by one where they fit (Latin-1, as captures are written), else for UTF-8.
fn header_bytes(headers: &[(String, String)]) -> Vec<(&str, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| {
            let latin1: Option<Vec<u8>> = value
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect();
            (
                name.as_str(),
                latin1.unwrap_or_else(|| value.clone().into_bytes()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(kind: ConformanceKind, line: &str) -> (Value, String) {
        let answer: Value = serde_json::from_str(&answer(kind, line)).unwrap();
        assert_eq!(answer["result"], "reject", "{answer}");
        (
            answer["id"].clone(),
            answer["reason"].as_str().unwrap().to_owned(),
        )
    }

    #[test]
    fn a_case_that_does_not_read_is_answered_with_its_id() {
        for kind in [
            ConformanceKind::Chain,
            ConformanceKind::Sigv4,
            ConformanceKind::CreateSession,
            ConformanceKind::Policy,
        ] {
            assert_eq!(
                rejected(kind, r#"{"id":"x","unknown":1}"#),
                (json!("x"), "case_malformed".into())
            );
            assert_eq!(rejected(kind, "{"), (Value::Null, "case_malformed".into()));
        }
    }

    #[test]
    fn a_policy_with_a_repeated_key_is_rejected_and_not_read_as_its_last() {
        let line = r#"{"id":1,"request":{"principal":"arn:aws:iam::123456789012:role/r","action":"s3:GetObject",
            "resource":"arn:aws:s3:::b/k","account":"123456789012","context":{}},
            "identity":[{"Version":"2012-10-17","Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}]}"#;
        let (id, _) = rejected(ConformanceKind::Policy, &line.replace('\n', " "));
        assert_eq!(id, json!(1));
    }

    #[test]
    fn an_absent_session_layer_is_not_an_empty_one() {
        let case = |session: &str| {
            let line = format!(
                r#"{{"id":1,"request":{{"principal":"arn:aws:iam::123456789012:role/r","action":"s3:GetObject","resource":"*","account":"123456789012","context":{{}}}},"identity":[{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*"}}}}],"session":{session}}}"#
            );
            let answer: Value =
                serde_json::from_str(&answer(ConformanceKind::Policy, &line)).unwrap();
            answer["decision"].as_str().unwrap().to_owned()
        };
        assert_eq!(case("null"), "allow");
        assert_eq!(case("[]"), "implicit_deny");
    }
}
