//! The published cases of this tree, through the door that anyone's suite comes through:
//! `bowline conformance KIND`, JSON lines in, JSON lines out.

use bowline_tests::{Home, workspace_root};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// Answers of one process to any number of cases, in their order.
fn answers(kind: &str, cases: &[Value]) -> Vec<Value> {
    let home = Home::empty();
    let mut command = home.bowline(["conformance", kind]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child
        .wait_with_output()
        .expect("our own child can be waited for");
    writer
        .join()
        .expect("the writer ends")
        .expect("every case is read");
    assert!(
        output.status.success(),
        "every line was answered: {}",
        output.status
    );
    let text = String::from_utf8(output.stdout).expect("answers are text");
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an answer is JSON"))
        .collect();
    let ids = |values: &[Value]| {
        values
            .iter()
            .map(|value| value["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&answers), ids(cases), "one answer a case, in order");
    answers
}

fn vectors(name: &str) -> Value {
    let path = workspace_root().join("tests/vectors").join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("vectors are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn every_policy_case_is_decided_as_expected() {
    let table = vectors("policy-cases.json");
    let cases: Vec<Value> = list(&table)
        .iter()
        .map(|case| {
            let principal = "arn:aws:sts::123456789012:assumed-role/case/session";
            let request = json!({
                "principal": principal, "action": case["action"], "resource": case["resource"],
                "account": "123456789012", "context": case["ctx"],
            });
            json!({ "id": case["id"], "request": request, "identity": [case["policy"]], "session": null,
                    "boundary": null, "guardrail": null, "resource_policy": null })
        })
        .collect();
    let answers = answers("policy", &cases);
    for (case, answer) in list(&table).iter().zip(&answers) {
        let decided = match (answer["result"].as_str(), answer["decision"].as_str()) {
            (Some("reject"), None) => "invalid",
            (Some("accept"), Some("explicit_deny")) => "deny",
            (Some("accept"), Some("implicit_deny")) => "implicit",
            (Some("accept"), Some(decision)) => decision,
            other => panic!("{other:?} is no answer: {answer}"),
        };
        assert_eq!(case["expect"], decided, "{}: {}", case["id"], case["why"]);
    }
    assert_eq!(answers.len(), 102);
}

#[test]
fn captured_requests_of_real_clients_verify() {
    let captured = vectors("sigv4-requests.json");
    let keys = json!({ "ASIATESTTESTTESTTEST": {
        "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token": "TOKEN/with+special=chars==",
    } });
    // Two parts of a large upload were captured without their bodies; the sigv4 crate checks them by their hashes.
    let requests: Vec<&Value> = list(&captured["requests"])
        .iter()
        .filter(|request| request["body_hex"].is_string())
        .collect();
    let cases: Vec<Value> = requests
        .iter()
        .map(|request| {
            json!({
                "id": request["tag"], "method": request["method"], "url": request["target"], "headers": request["headers"],
                "body_base64": base64(&unhex(request["body_hex"].as_str().expect("hex"))),
                "at": date_of(request), "keys": keys,
            })
        })
        .collect();
    let answers = answers("sigv4", &cases);
    for answer in &answers {
        // An old curl that does not sort what it signs.
        let expected = if answer["id"] == "curl-sigv4-q" {
            "reject"
        } else {
            "accept"
        };
        assert_eq!(answer["result"], expected, "{answer}");
    }
    assert_eq!(answers.len(), 19);
}

#[test]
fn create_session_vectors_authenticate_and_their_damaged_copies_do_not() {
    let all = vectors("roles-anywhere-vectors.json");
    let anchor = &all["trust_anchor_pem"];
    let case = |vector: &Value, body: &str| {
        let request = json!({ "method": vector["method"], "path": vector["path_and_query"], "headers": vector["headers"], "body": body });
        json!({ "id": vector["name"], "request": request, "anchor_bundle": anchor, "at": "2026-06-01T12:00:00Z" })
    };
    let bodies = |vector: &Value| vector["body"].as_str().expect("a body").to_owned();
    let whole: Vec<Value> = list(&all["vectors"])
        .iter()
        .map(|vector| case(vector, &bodies(vector)))
        .collect();
    let damaged: Vec<Value> = list(&all["vectors"])
        .iter()
        .map(|vector| case(vector, &format!("{} ", bodies(vector))))
        .collect();
    let accepted = answers("create-session", &whole);
    for (vector, answer) in list(&all["vectors"]).iter().zip(&accepted) {
        assert_eq!(answer["result"], "accept", "{answer}");
        let serial = vector["serial_hex"].as_str().expect("hex");
        let even = if serial.len() % 2 == 0 {
            serial.to_owned()
        } else {
            format!("0{serial}")
        };
        assert_eq!(answer["session_name"], even, "{answer}");
    }
    assert_eq!(accepted[0]["source_identity"], "CN=Alice");
    assert_eq!(
        accepted[0]["tags"]["x509SAN/URI"],
        "spiffe://example.com/workload/alice"
    );
    for answer in answers("create-session", &damaged) {
        assert_eq!(
            (&answer["result"], &answer["reason"]),
            (&"reject".into(), &"signature_mismatch".into())
        );
    }
    assert_eq!(accepted.len(), 3);
}

#[test]
fn a_chain_is_judged_at_the_time_of_its_case() {
    let home = Home::initialized();
    home.succeed(["issue", "web-1"]);
    let read = |name: &str| std::fs::read_to_string(home.file(name)).expect("issue wrote it");
    let leaf = read("web-1.crt")
        .split_inclusive("-----END CERTIFICATE-----\n")
        .next()
        .expect("a leaf")
        .to_owned();
    let roots = home.succeed(["ca", "bundle"]);
    let shown = home.json(["cert", "show", "web-1"]);
    let case = |id: &str, at: &Value| json!({ "id": id, "leaf": leaf, "intermediates": [read("web-1.chain.crt")], "anchors": [roots], "at": at });
    let answers = answers(
        "chain",
        &[
            case("in time", &shown["issued"]),
            case("late", &"2099-01-01T00:00:00Z".into()),
        ],
    );
    assert_eq!(
        answers[0]["path"].as_array().map(Vec::len),
        Some(3),
        "{}",
        answers[0]
    );
    assert_eq!(
        (&answers[1]["result"], &answers[1]["reason"]),
        (&"reject".into(), &"leaf_expired".into())
    );
}

/// The time a captured request was signed at, from its header or its query.
fn date_of(request: &Value) -> String {
    let header = list(&request["headers"])
        .iter()
        .find(|pair| {
            pair[0]
                .as_str()
                .is_some_and(|name| name.eq_ignore_ascii_case("x-amz-date"))
        })
        .and_then(|pair| pair[1].as_str());
    let query = request["target"]
        .as_str()
        .and_then(|target| target.split("X-Amz-Date=").nth(1))
        .map(|rest| &rest[..16]);
    let date = header.or(query).expect("a captured request has a date");
    let part = |from: usize, to: usize| &date[from..to];
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    )
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex"))
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}
