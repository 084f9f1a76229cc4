//! The log of events: listing, exporting, verifying.

use super::*;

fn kinds(lines: &str) -> Vec<String> {
    let kind = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["event"].as_str().unwrap().to_owned()
    };
    lines.lines().map(kind).collect()
}

#[test]
fn what_happened_is_listed_and_narrowed() {
    let bench = Bench::with_web();
    bench.succeed("credentials web-1");
    bench.wait(TimeDelta::hours(1));
    bench.succeed("issue web-2 --role web");
    bench.succeed("cert revoke web-1");
    bench.refuse(
        "role create web --allow s3:GetObject --on arn:aws:s3:::b",
        7,
        "web",
    );

    let all = bench.succeed("audit list --format jsonl");
    assert_eq!(kinds(&all)[0], "initialized", "{all}");
    assert_eq!(all, bench.succeed("audit list --output json"));
    let list =
        |filters: &str| kinds(&bench.succeed(&format!("audit list --format jsonl {filters}")));
    assert_eq!(list("--event certificate_revoked"), ["certificate_revoked"]);
    assert_eq!(
        list("--subject web-1 --outcome succeeded"),
        [
            "certificate_issued",
            "session_created",
            "certificate_revoked"
        ]
    );
    assert_eq!(list("--outcome refused"), ["operation_refused"]);
    assert_eq!(
        list("--subject web-* --from -30m --event certificate_issued").len(),
        1
    );
    assert_eq!(
        list("--to 2026-06-01T12:30:00Z --role web"),
        ["role_created", "certificate_issued", "session_created"]
    );
    let newest = bench.succeed("audit list --newest-first --limit 1 --format jsonl");
    assert_eq!(kinds(&newest), [kinds(&all).pop().unwrap()]);

    let table = bench.succeed("audit list --limit 2");
    assert!(
        table.starts_with("NUMBER") && table.lines().count() == 3,
        "{table}"
    );
    let csv = bench.succeed("audit list --format csv --event role_created");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    bench.refuse("audit list --certificate web-1", 3, "web-1");
}

#[test]
fn an_exported_log_verifies_without_the_home_and_a_changed_one_is_told() {
    let mut bench = Bench::with_web();
    fs::write(bench.file("early"), bench.succeed("audit checkpoint")).unwrap();
    fs::write(bench.file("key"), bench.succeed("audit key")).unwrap();
    bench.succeed("issue web-2 --role web");
    let told = bench.succeed("audit export log.jsonl");
    assert!(told.contains("audit verify"), "{told}");
    assert_eq!(mode(&bench.file("log.jsonl")), 0o600);
    bench.refuse("audit export log.jsonl", 7, "--force");
    let streamed = bench.succeed("audit export -");
    let key = bench.read("key").trim().to_owned();

    bench.variables.clear();
    for line in [
        format!("audit verify log.jsonl --key {key}"),
        "audit verify log.jsonl --key key --since early".into(),
    ] {
        let told = bench.succeed(&line);
        assert!(told.contains("every event is as it was signed"), "{told}");
    }
    let verified = bench.json("audit verify log.jsonl --key key --since early");
    assert_eq!(verified["verified"], true);
    assert!(
        verified["since"].as_u64() < verified["size"].as_u64(),
        "{verified}"
    );

    // Edited, cut off, and another key.
    let edited = bench.read("log.jsonl").replace("CN=web-1", "CN=web-9");
    fs::write(bench.file("edited"), edited).unwrap();
    let told = bench.run("audit verify edited --key key");
    assert_eq!(told.code, 4, "{}", told.messages);
    assert!(told.output.contains("was edited"), "{}", told.output);
    assert!(
        told.messages.contains("[log_tampered]"),
        "{}",
        told.messages
    );
    let text = bench.read("log.jsonl");
    let kept: Vec<&str> = text.lines().collect();
    fs::write(bench.file("cut"), kept[..kept.len() - 2].join("\n")).unwrap();
    bench.refuse("audit verify cut --key key", 4, "cut off");
    // Each export is an event of the next.
    assert_eq!(streamed.lines().count(), kept.len() + 1);
    bench.refuse("audit verify log.jsonl --key nothing", 6, "nothing");
    bench.refuse("audit verify early --key key", 3, "audit export");
}

#[test]
fn an_event_and_a_history_are_proved() {
    let bench = Bench::with_web();
    let early = bench.json("audit checkpoint")["size"].as_u64().unwrap();
    bench.succeed("issue web-2 --role web");
    let late = bench.json("audit checkpoint")["size"].as_u64().unwrap();
    assert!(late > early);
    let proof = bench.succeed(&format!("audit prove {late}"));
    assert!(
        proof.contains("c2sp.org/tlog-proof@v1") && proof.contains("web-2"),
        "{proof}"
    );
    let proof = bench.json(&format!("audit consistency {early}"));
    assert_eq!(proof["to"], late);
    bench.refuse("audit prove 1000", 6, "1000");
}

#[test]
fn a_log_that_goes_on_after_a_restore_begins_again_under_another_name() {
    let bench = Bench::with_web();
    let old = bench.succeed("audit key");
    bench.succeed("audit checkpoint");
    bench.succeed("backup home.backup");
    let key = bench.home().join("unseal.key");
    bench.succeed(&format!(
        "restore home.backup --home new --unseal-key {}",
        key.display()
    ));
    bench.succeed("audit export log.jsonl --home new");
    let new = bench.succeed("audit key --home new");
    assert_ne!(old, new);
    bench.succeed(&format!("audit verify log.jsonl --key {}", new.trim()));
    let told = bench.succeed("audit list --event home_restored --format jsonl --home new");
    assert_eq!(kinds(&told), ["home_restored"]);
}

#[test]
fn one_command_signs_nothing_it_was_not_asked_to() {
    let bench = Bench::with_web();
    let before = bench.succeed("audit list --format jsonl").lines().count();
    bench.succeed("issue web-2 --role web");
    let after = bench.succeed("audit list --format jsonl").lines().count();
    assert_eq!(after, before + 1);
}

#[test]
fn subjects_are_those_that_traded_a_certificate() {
    let bench = Bench::with_web();
    assert_eq!(bench.succeed("subject list"), "");
    bench.succeed("credentials web-1");
    let listed = bench.json("subject list");
    assert_eq!(listed["x509_subject"], "CN=web-1,OU=web");
    let id = listed["subject_id"].as_str().unwrap();
    let shown = bench.succeed(&format!("subject show {id}"));
    assert!(
        shown.contains("accepted") && shown.contains("CN=web-1"),
        "{shown}"
    );
    bench.refuse("subject show nobody", 6, "nobody");
}
