//! What is printed, and with which exit code.

use super::*;

#[test]
fn a_command_line_that_does_not_read_exits_2() {
    let mut bench = Bench::empty();
    for line in [
        "fly",
        "issue",
        "role create web",
        "issue web-1 --kty RSA --size 1024",
        "issue web-1 --not-after 2026-06-01T12:00:00",
        "serve --listen none --plain-listen none",
    ] {
        assert_eq!(bench.run(line).code, 2, "{line}");
    }
    // There 2 says that the file is missing.
    assert_eq!(
        bench
            .run("cert needs-renewal web-1.crt --expires-in soon")
            .code,
        255
    );
    bench
        .variables
        .push(("BOWLINE_OUTPUT".into(), "yaml".into()));
    bench.refuse("role list", 2, "yaml");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let bench = Bench::empty();
    for line in ["--help", "--version", "issue --help", "cert renew --help"] {
        let told = bench.run(line);
        assert!(
            told.code == 0 && !told.output.is_empty() && told.messages.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn every_command_and_every_option_has_help_text() {
    fn check(command: &clap::Command, seen: &mut usize) {
        *seen += 1;
        assert!(
            command.get_about().is_some(),
            "{} has no help text",
            command.get_name()
        );
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            assert!(
                argument.get_help().is_some(),
                "{} {} has no help text",
                command.get_name(),
                argument.get_id()
            );
        }
        for below in command.get_subcommands() {
            check(below, seen);
        }
    }
    let command = Arguments::command();
    command.clone().debug_assert();
    let mut seen = 0;
    check(&command, &mut seen);
    assert!(seen > 35, "only {seen} commands");
}

#[test]
fn every_answer_for_programs_is_json() {
    let bench = Bench::with_web();
    for line in [
        "role show web",
        "anchor show default",
        "profile show default",
        "ca show",
        "ca bundle",
        "ca crl",
        "cert show web-1",
        "session explain web-1 --role web",
        "issue web-2",
    ] {
        assert!(bench.json(line).is_object(), "{line}");
    }
    for (kind, name) in [
        ("role", "web"),
        ("anchor", "default"),
        ("profile", "default"),
    ] {
        assert!(
            bench.json(&format!("{kind} show {name}"))["arn"]
                .as_str()
                .unwrap()
                .starts_with("arn:aws:"),
            "{kind}"
        );
    }
    for line in [
        "role list",
        "anchor list",
        "profile list",
        "ca list",
        "cert list",
        "ca crl --all",
        "cert inspect web-1.crt",
    ] {
        let lines = bench.succeed(&format!("{line} --output json"));
        assert!(lines.lines().count() >= 2, "{line}: {lines}");
        for line in lines.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object());
        }
    }
    let refused = bench.run("role show nobody --output json");
    let error: Value = serde_json::from_str(&refused.messages).unwrap();
    assert_eq!(
        (refused.code, &error["error"]["code"]),
        (6, &Value::from("role_unknown"))
    );
}

#[test]
fn every_answer_for_people_ends_its_line() {
    let bench = Bench::with_web();
    for line in [
        "role list",
        "role show web",
        "anchor list",
        "anchor show default",
        "profile list",
        "profile show default",
        "ca list",
        "ca show",
        "cert list",
        "cert show web-1",
        "cert inspect web-1.crt",
        "session explain web-1 --role web",
    ] {
        let text = bench.succeed(line);
        assert!(
            text.ends_with('\n') && !text.ends_with("\n\n") && !text.contains('\u{1b}'),
            "{line}: {text:?}"
        );
    }
}

#[test]
fn what_creates_can_run_twice() {
    let bench = Bench::with_web();
    fs::write(bench.file("ca.pem"), bench.succeed("ca show issuing --pem")).unwrap();
    for line in [
        "role create web --allow s3:* --on *",
        "anchor create partner --bundle ca.pem",
        "profile create batch --role web",
    ] {
        bench.run(line);
        bench.refuse(line, 7, "already");
        bench.succeed(&format!("{line} --if-missing"));
    }
}

#[test]
fn a_disabled_anchor_and_profile_give_nothing() {
    let bench = Bench::with_web();
    for kind in ["anchor", "profile"] {
        bench.succeed(&format!("{kind} disable default"));
        assert_eq!(
            bench.run("session explain web-1 --role web").code,
            5,
            "{kind}"
        );
        assert_ne!(bench.run("credentials web-1").code, 0, "{kind}");
        bench.succeed(&format!("{kind} enable default"));
        bench.succeed("credentials web-1");
    }
}

#[test]
fn a_profile_is_changed_and_what_is_not_named_stays() {
    let bench = Bench::with_web();
    fs::write(
        bench.file("narrow.json"),
        r#"{"Version":"2012-10-17","Statement":[]}"#,
    )
    .unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    fs::write(bench.file("narrow.json"), policy).unwrap();
    let profile =
        bench.json("profile update default --session-policy-file narrow.json --duration 30m");
    assert_eq!(
        (&profile["session_policy"], &profile["duration_seconds"]),
        (&policy.into(), &1_800.into())
    );
    let profile = bench.json("profile update default --remove-role web");
    assert_eq!(
        (&profile["session_policy"], &profile["roles"]),
        (&policy.into(), &Value::Array(Vec::new()))
    );
    let profile = bench.json("profile update default --add-role web --no-session-policy");
    assert_eq!(
        (&profile["session_policy"], &profile["duration_seconds"]),
        (&Value::Null, &1_800.into())
    );
}

#[test]
fn conformance_answers_every_line() {
    let bench = Bench::empty();
    let answered = bench.run_with_input(
        "conformance policy",
        "{\"id\":\"1\"}\n\nnonsense\n{\"id\":\"3\"}",
    );
    let answers: Vec<Value> = answered
        .output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((answered.code, answers.len()), (0, 3));
    assert!(answers.iter().all(|answer| answer["result"] == "reject"));
    assert_eq!(
        (&answers[0]["id"], &answers[2]["id"]),
        (&"1".into(), &"3".into())
    );
}

#[test]
fn an_empty_session_policy_file_takes_no_policy_away() {
    let bench = Bench::with_home();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
    fs::write(bench.file("narrow.json"), policy).unwrap();
    fs::write(bench.file("empty.json"), "").unwrap();
    bench.succeed("profile update default --session-policy-file narrow.json");
    let before = bench.json("profile show default");
    bench.refuse(
        "profile update default --session-policy-file empty.json",
        3,
        "empty.json: not valid JSON",
    );
    bench.refuse(
        "profile create wide --session-policy-file empty.json",
        3,
        "empty.json: not valid JSON",
    );
    assert_eq!(bench.json("profile show default"), before);
    bench.succeed("profile update default --no-session-policy");
    assert_eq!(
        bench.json("profile show default")["session_policy"],
        Value::Null
    );
}

#[test]
fn a_bundle_is_read_as_der_too() {
    let bench = Bench::with_home();
    let pem = bench.succeed("ca bundle");
    let der = bowline_service::certificates_from_pem(pem.as_bytes()).unwrap();
    fs::write(bench.file("root.der"), &der[0]).unwrap();
    bench.succeed("anchor create partner --bundle root.der");
    fs::write(bench.file("noise.bin"), [0xff, 0xfe]).unwrap();
    bench.refuse("anchor create noise --bundle noise.bin", 3, "noise.bin: ");
}

#[test]
fn a_role_without_permissions_is_told_both_ways_to_give_them() {
    let bench = Bench::with_home();
    bench.refuse("role create web", 2, "--allow");
    bench.refuse("role create web", 2, "--policy-file");
    bench.refuse("role create web --allow s3:GetObject", 2, "--on");
    let both = "role create web --allow s3:GetObject --on * --policy-file p.json";
    bench.refuse(both, 2, "cannot be used with");
}

#[test]
fn a_name_is_one_that_files_and_command_lines_can_have() {
    let bench = Bench::with_home();
    for line in ["issue ../web", "issue .web", "issue ", "issue -- -web"] {
        bench.refuse(line, 2, "names files too");
    }
    assert_eq!(fs::read_dir(bench.file("")).unwrap().count(), 0);
}

#[test]
fn a_session_that_is_shorter_than_asked_is_told() {
    let bench = Bench::with_web();
    let told = bench.run("credentials web-1 --duration 2h");
    assert_eq!(told.code, 0, "{}", told.messages);
    assert!(told.messages.contains("7200 s"), "{}", told.messages);
    assert!(
        bench
            .run("credentials web-1 --duration 30m")
            .messages
            .is_empty()
    );
}

#[test]
fn a_server_over_tls_needs_something_to_be_believed_by() {
    let bench = Bench::empty();
    bench.refuse("role list --server https://127.0.0.1:1", 2, "--fingerprint");
}

#[test]
fn printed_paths_have_no_detours() {
    let bench = Bench::with_home();
    let issued = bench.json("issue web-1 --out ./a/./b");
    let file = issued["certificate_file"].as_str().unwrap();
    assert_eq!(Path::new(file), bench.file("a/b/web-1.crt"));
    assert!(!file.contains("/./"), "{file}");
}

#[test]
fn an_update_of_nothing_and_an_anchor_of_nothing_are_told_what_there_is() {
    let bench = Bench::with_home();
    bench.refuse("profile update default", 2, "--session-policy-file");
    bench.refuse("anchor create partner", 2, "--authority");
    bench.refuse("anchor create partner", 2, "--bundle");
}
