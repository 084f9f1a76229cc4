//! Commands that change roles, settings and authenticators.

use std::fs;

use super::Bench;

const DENY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;

fn policies(bench: &Bench) -> Vec<String> {
    let lines = bench.succeed("role policy list web --output json");
    let name = |line: &str| -> String {
        let policy: serde_json::Value = serde_json::from_str(line).unwrap();
        policy["name"].as_str().unwrap().into()
    };
    lines.lines().map(name).collect()
}

#[test]
fn a_role_is_changed_and_what_is_not_named_stays() {
    let bench = Bench::with_web();
    let before = bench.json("role show web");
    let role = bench.json("role update web --max-duration 2h");
    assert_eq!(role["max_session_duration"], 7_200);
    assert_eq!(role["trust_policy"], before["trust_policy"]);
    let role = bench.json("role update web --for CN=web-*");
    assert_ne!(role["trust_policy"], before["trust_policy"]);
    assert_eq!(role["max_session_duration"], 7_200);
    bench.refuse("role update web", 2, "--max-duration");

    fs::write(bench.file("deny.json"), DENY).unwrap();
    let role = bench.json("role update web --boundary-file deny.json");
    assert_eq!(role["boundary"], DENY);
    let role = bench.json("role update web --no-boundary");
    assert_eq!(role.get("boundary"), None);
    assert_eq!(bench.json("role disable web")["enabled"], false);
    assert_eq!(bench.json("role enable web")["enabled"], true);
}

#[test]
fn the_policies_of_a_role_are_put_listed_and_deleted() {
    let bench = Bench::with_web();
    fs::write(bench.file("deny.json"), DENY).unwrap();
    bench.succeed("role policy put web stop --policy-file deny.json");
    bench.succeed("role policy put web logs --allow logs:PutLogEvents --on *");
    bench.succeed("role revoke-older-sessions web");
    assert_eq!(
        policies(&bench),
        ["inline", "stop", "logs", "AWSRevokeOlderSessions"]
    );
    bench.succeed("role policy delete web stop");
    assert_eq!(
        policies(&bench),
        ["inline", "logs", "AWSRevokeOlderSessions"]
    );
    bench.refuse("role policy delete web stop", 6, "AWSRevokeOlderSessions");
    // An empty file is no policy, rather than none at all.
    fs::write(bench.file("empty.json"), "").unwrap();
    bench.refuse(
        "role policy put web logs --policy-file empty.json",
        3,
        "empty.json",
    );
    bench.refuse(
        "role update web --boundary-file empty.json",
        3,
        "empty.json",
    );
}

#[test]
fn a_role_that_is_listed_is_deleted_by_force() {
    let bench = Bench::with_web();
    bench.refuse("role delete web", 7, "--force");
    bench.succeed("role delete web --force");
    bench.refuse("role show web", 6, "web");
    let profile = bench.json("profile show default");
    assert_eq!(profile["roles"].as_array().unwrap().len(), 0);
}

#[test]
fn settings_are_shown_and_those_that_can_change_do() {
    let bench = Bench::with_home();
    let line = "settings set credentials-end-with-certificate false";
    assert_eq!(bench.json(line)["credentials_end_with_certificate"], false);
    let settings = bench.json("settings show");
    assert_eq!(settings["credentials_end_with_certificate"], false);
    assert_eq!(settings["revision"], 2);
    bench.refuse(
        "settings set region eu-west-1",
        3,
        "trust policies of roles",
    );
    bench.refuse("settings set colour blue", 6, "enforce_region");
    bench.refuse("settings set enforce-region maybe", 3, "true or false");
}

#[test]
fn an_authenticator_is_given_out_once() {
    let bench = Bench::with_web();
    let made = bench.succeed("mfa enable --certificate web-1.crt");
    let uri = made.lines().next().unwrap();
    let secret = uri.split(['=', '&']).nth(1).unwrap().to_owned();
    assert!(uri.starts_with("otpauth://totp/"), "{uri}");
    let listed = bench.json("mfa list");
    assert_eq!(listed["confirmed"], false);
    bench.refuse("mfa enable CN=nobody", 6, "CN=nobody");
    let serial = listed["serial_number"].as_str().unwrap().to_owned();
    bench.refuse(&format!("mfa confirm {serial} 000000 00000"), 3, "6 digits");
    for line in ["mfa list", "audit list", "role list"] {
        assert!(!bench.succeed(line).contains(&secret), "{line}");
    }
    bench.succeed(&format!("mfa disable {serial}"));
    assert_eq!(bench.succeed("mfa list"), "");
}
