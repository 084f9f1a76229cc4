//! Exchanges that are wrong in one place: the signature, its scope and date, and the rules of anchor,
//! profile and role.

use crate::refusal::{as_json, refusal, refused};
use crate::scene::{Exchange, Foreign, HOUR, LEAF, ROLE, Scene, Wanted, now, openssl};
use bowline_service::WireRequest;
use bowline_tests::run;
use serde_json::{Value, json};
use std::time::Duration;

/// How far the clock of a request may be off, either way.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Well inside it or outside, however slow the machine.
const MARGIN: Duration = Duration::from_secs(60);

fn bend(mut request: WireRequest, header: &str, change: impl Fn(&str) -> String) -> WireRequest {
    let mut found = false;
    for (name, value) in &mut request.headers {
        if name == header {
            *value = change(value);
            found = true;
        }
    }
    assert!(found, "no header {header}");
    request
}

#[test]
fn a_request_without_fault_gets_credentials() {
    let scene = Scene::new();
    scene.accepted(&scene.exchange());
}

#[test]
fn a_date_outside_the_window_is_refused_and_one_inside_is_not() {
    let scene = Scene::new();
    let at = |at| Exchange {
        at,
        ..scene.exchange()
    };
    for inside in [now() - (WINDOW - MARGIN), now() + (WINDOW - MARGIN)] {
        scene.accepted(&at(inside));
    }
    let old = at(now() - (WINDOW + MARGIN));
    scene.refuses(&old, 403, "request_expired", &["300"]);
    let early = at(now() + (WINDOW + MARGIN));
    scene.refuses(&early, 403, "request_not_yet_valid", &["300"]);
}

/// Any region is accepted: no command of this program enforces one.
#[test]
fn a_scope_of_another_service_is_refused_and_of_another_region_is_not() {
    let scene = Scene::new();
    scene.accepted(&Exchange {
        region: "eu-west-1".into(),
        ..scene.exchange()
    });
    let request = bend(scene.sign(&scene.exchange()), "authorization", |value| {
        value.replace("/rolesanywhere/", "/s3/")
    });
    let says = ["s3", "rolesanywhere"];
    scene.refused(&request, 403, "service_not_allowed", &says);
}

/// Where one region is demanded, as a published suite can, any other is refused.
#[test]
fn a_scope_of_another_region_is_refused_where_one_is_demanded() {
    let scene = Scene::new();
    let request = scene.sign(&scene.exchange());
    let anchor = scene.home.succeed(["ca", "show", "issuing", "--pem"]);
    let answer = |region: &str| {
        let case = json!({
            "id": region,
            "request": {
                "method": request.method,
                "path": request.target,
                "headers": request.headers,
                "body": String::from_utf8_lossy(&request.body),
            },
            "anchor_bundle": anchor,
            "at": now(),
            "region": region,
        });
        let cases = scene.home.write("cases.jsonl", &format!("{case}\n"));
        let mut command = scene.home.bowline(["conformance", "create-session"]);
        command.stdin(std::fs::File::open(cases).expect("just written"));
        let answered = command.output().expect("the program starts");
        serde_json::from_slice::<Value>(&answered.stdout).expect("one JSON document")
    };
    let accepted = answer("us-east-1");
    assert_eq!(accepted["result"], "accept", "{accepted}");
    let refused = answer("eu-west-1");
    assert_eq!(refused["result"], "reject", "{refused}");
    assert_eq!(refused["reason"], "region_not_allowed", "{refused}");
    let detail = refused["detail"].to_string();
    assert!(
        detail.contains("us-east-1") && detail.contains("eu-west-1"),
        "{refused}"
    );
}

#[test]
fn a_region_that_was_changed_after_signing_is_refused() {
    let scene = Scene::new();
    let request = bend(scene.sign(&scene.exchange()), "authorization", |value| {
        value.replace("/us-east-1/", "/eu-west-1/")
    });
    scene.refused(&request, 403, "signature_mismatch", &["Invalid signature"]);
}

#[test]
fn a_body_that_was_changed_after_signing_is_refused() {
    let scene = Scene::new();
    let mut request = scene.sign(&scene.exchange());
    request.body.push(b' ');
    scene.refused(&request, 403, "signature_mismatch", &["Invalid signature"]);
}

#[test]
fn a_body_that_is_not_json_is_refused() {
    let scene = Scene::new();
    let mut request = scene.sign(&scene.exchange());
    request
        .headers
        .retain(|(name, _)| !name.starts_with("x-amz-") && name != "authorization");
    request.body = b"{\"roleArn\": garbage".to_vec();
    let exchange = scene.exchange();
    bowline_service::sign_request_with_certificate(
        &mut request,
        &exchange.certificates,
        &exchange.key,
        &exchange.region,
        exchange.at,
    )
    .expect("a request that can be signed");
    scene.refused(&request, 400, "session_body_malformed", &["line 1 column"]);
}

#[test]
fn a_chain_header_that_is_not_signed_is_refused() {
    let scene = Scene::new();
    let request = bend(scene.sign(&scene.exchange()), "authorization", |value| {
        value.replace(";x-amz-x509-chain", "")
    });
    let says = ["x-amz-x509-chain"];
    scene.refused(&request, 403, "unsigned_header", &says);
}

#[test]
fn a_certificate_header_without_a_certificate_is_refused() {
    let scene = Scene::new();
    for garbage in ["garbage!", "AAAA"] {
        let request = bend(scene.sign(&scene.exchange()), "x-amz-x509", |_| {
            garbage.into()
        });
        scene.refused(&request, 403, "malformed_certificate", &["x-amz-x509"]);
    }
}

#[test]
fn a_chain_of_six_is_refused() {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    let foreign = Foreign::new(&scene.home, openssl);
    let mut more = Vec::new();
    for number in 1..=5 {
        let name = format!("ca-{number}");
        foreign.make(&name, &name, &Wanted::authority());
        let pem = std::fs::read_to_string(scene.home.file(&format!("{name}.crt")));
        let pem = pem.expect("just made");
        more.push(
            pem.lines()
                .filter(|line| !line.starts_with('-'))
                .collect::<String>(),
        );
    }
    // The issuing CA is the sixth.
    let request = bend(scene.sign(&scene.exchange()), "x-amz-x509-chain", |value| {
        format!("{value},{}", more.join(","))
    });
    scene.refused(&request, 403, "chain_too_long", &["6", "5"]);
    // The same in a file.
    let read = |name: &str| std::fs::read_to_string(scene.home.file(name)).expect("just made");
    let mut all = read("web-1.crt");
    for number in 1..=5 {
        all.push_str(&read(&format!("ca-{number}.crt")));
    }
    scene.home.write("six.crt", &all);
    scene.home.write("six.key", &read("web-1.key"));
    let too_long = refusal(8, "chain_too_long", &["6", "5"]);
    refused(&scene.home, &[(&["credentials", "six"], too_long)]);
}

#[test]
fn an_anchor_a_profile_or_a_role_that_does_not_exist_is_refused() {
    let scene = Scene::new();
    let bent = |bend: fn(&mut Exchange)| {
        let mut exchange = scene.exchange();
        bend(&mut exchange);
        exchange
    };
    let anchor = bent(|e| e.anchor.replace_range(e.anchor.len() - 4.., "0000"));
    scene.refuses(
        &anchor,
        404,
        "session_trust_anchor_unknown",
        &[&anchor.anchor],
    );
    let profile = bent(|e| e.profile.replace_range(e.profile.len() - 4.., "0000"));
    scene.refuses(
        &profile,
        404,
        "session_profile_unknown",
        &[&profile.profile],
    );
    let role = bent(|e| e.role.push('x'));
    scene.refuses(&role, 403, "session_role_unknown", &[]);
}

#[test]
fn a_role_that_the_profile_does_not_list_is_refused() {
    let scene = Scene::new();
    let exchange = scene.exchange();
    scene
        .home
        .succeed(["profile", "update", "default", "--remove-role", ROLE]);
    // In AWS's words, which do not tell a stranger which of the two is missing.
    scene.refuses(&exchange, 403, "role_not_in_profile", &[]);
    explained(
        &scene,
        &[],
        "role_not_in_profile",
        &["among the roles of profile default"],
    );
}

#[test]
fn a_disabled_anchor_and_a_disabled_profile_are_refused() {
    let scene = Scene::new();
    for (kind, code) in [
        ("anchor", "trust_anchor_disabled"),
        ("profile", "profile_disabled"),
    ] {
        scene.home.succeed([kind, "disable", "default"]);
        scene.refuses(&scene.exchange(), 403, code, &[]);
        explained(&scene, &[], code, &[&format!("{kind} default is disabled")]);
        scene.home.succeed([kind, "enable", "default"]);
        scene.accepted(&scene.exchange());
    }
}

#[test]
fn a_session_longer_than_the_role_allows_is_refused() {
    let scene = Scene::new();
    scene
        .home
        .succeed(["profile", "update", "default", "--duration", "2h"]);
    let hours = |seconds| Exchange {
        duration: Some(seconds),
        ..scene.exchange()
    };
    scene.accepted(&hours(3600));
    let code = "duration_over_role_maximum";
    scene.refuses(&hours(7200), 403, code, &[]);
    explained(&scene, &["--duration", "2h"], code, &["7200", "3600"]);
    scene.refuses(&hours(899), 400, "duration_out_of_range", &["899", "900"]);
    scene.refuses(
        &hours(43201),
        400,
        "duration_out_of_range",
        &["43201", "43200"],
    );
}

#[test]
fn a_trust_policy_that_lacks_one_of_the_three_actions_is_refused() {
    const ACTIONS: [&str; 3] = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let scene = Scene::new();
    let source = scene.home.arn("anchor", "default");
    for lacking in ACTIONS {
        let actions: Vec<&str> = ACTIONS
            .into_iter()
            .filter(|action| *action != lacking)
            .collect();
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "rolesanywhere.amazonaws.com"},
            "Action": actions,
            "Condition": {
                "ArnEquals": {"aws:SourceArn": source},
                "StringEquals": {"aws:PrincipalTag/x509Subject/CN": LEAF}
            }
        }]});
        scene.home.write("trust.json", &trust.to_string());
        let role = lacking.trim_start_matches("sts:");
        let create = ["role", "create", role, "--allow", "s3:*", "--on", "*"];
        let trusted = ["--trust-policy-file", "trust.json"];
        scene.home.succeed(create.iter().chain(&trusted));
        let exchange = scene.exchange_of(LEAF, ["default", "default", role]);
        scene.refuses(&exchange, 403, "trust_policy", &[]);
        let explained = run(
            as_json(&mut scene.home.bowline(["session", "explain", LEAF])).args(["--role", role]),
        );
        assert_eq!(explained.code, Some(5), "{explained}");
        let text = explained.json()["text"].to_string();
        let told = [
            "to assume the role",
            "sts:TagSession",
            "sts:SetSourceIdentity",
        ];
        for (action, told) in ACTIONS.into_iter().zip(told) {
            let ok = text.contains(&format!("ok   the policies allow {told}"));
            assert_eq!(ok, action != lacking, "{action} without {lacking}: {text}");
        }
    }
}

#[test]
fn our_own_leaf_is_refused_before_its_time_and_after() {
    let scene = Scene::new();
    let from = (now() + HOUR).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    scene.home.succeed([
        "issue",
        "early",
        "--role",
        ROLE,
        "--not-before",
        &from,
        "--not-after",
        "2h",
    ]);
    let early = scene.exchange_of("early", ["default", "default", ROLE]);
    scene.refuses(&early, 403, "leaf_not_yet_valid", &["CN=early", &from]);
    scene
        .home
        .succeed(["issue", "brief", "--role", ROLE, "--not-after", "1s"]);
    std::thread::sleep(Duration::from_secs(3));
    let late = scene.exchange_of("brief", ["default", "default", ROLE]);
    scene.refuses(&late, 403, "leaf_expired", &["CN=brief"]);
}

/// To its operator the home says why, in more words than to a stranger.
#[track_caller]
fn explained(scene: &Scene, more: &[&str], code: &str, says: &[&str]) {
    let ask = ["session", "explain", LEAF, "--role", ROLE];
    let mut command = scene.home.bowline(ask);
    let said = run(as_json(command.args(more)));
    assert_eq!(said.code, Some(5), "{said}");
    let answer = said.json();
    assert_eq!(answer["code"], code, "{said}");
    let text = answer["text"].as_str().unwrap_or_default();
    for words in says {
        assert!(text.contains(words), "it lacks {words:?}\n{text}");
    }
}
