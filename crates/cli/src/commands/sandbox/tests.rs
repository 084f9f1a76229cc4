//! What `--apply` refuses, through the whole command.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use bowline_service::{SystemClock, SystemEntropy};

use crate::{Environment, run};

const ROLE: &str = "[[role]]\nname = \"reader\"\nallow = [\"s3:GetObject\"]\non = [\"*\"]\n";

/// Runs `sandbox --apply ci.toml -- touch started` with this text in the file, or without the file. It must be refused
/// with this exit code and these words, before the command runs.
#[track_caller]
fn refused(text: Option<&str>, code: u8, says: &str) {
    let directory = tempfile::tempdir().unwrap();
    if let Some(text) = text {
        fs::write(directory.path().join("ci.toml"), text).unwrap();
    }
    let (mut output, mut messages) = (Vec::new(), Vec::new());
    let environment = Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        input: &mut std::io::empty(),
        output: &mut output,
        messages: &mut messages,
        messages_are_terminal: false,
        variables: BTreeMap::new(),
        directory: directory.path().to_owned(),
    };
    let line = "bowline sandbox --apply ci.toml -- touch started";
    let exit = run(line.split(' '), environment);
    let messages = String::from_utf8(messages).unwrap();
    assert_eq!(exit.code(), code, "{messages}");
    assert!(messages.contains(says), "{messages}");
    assert!(messages.contains("ci.toml"), "{messages}");
    assert!(!directory.path().join("started").exists());
}

#[test]
fn a_file_that_is_missing_is_named() {
    refused(None, 6, "cannot read");
}

#[test]
fn a_member_that_nothing_has_is_named_with_those_there_are() {
    let text = ROLE.replace("allow", "allows");
    refused(Some(&text), 2, "unknown field `allows`, expected one of");
}

#[test]
fn a_certificate_without_roles_is_named() {
    let text = format!("{ROLE}[[certificate]]\nname = \"web-1\"\nroles = []\n");
    refused(Some(&text), 2, "certificate \"web-1\" has no roles");
}

#[test]
fn a_role_that_is_missing_is_named_and_is_not_our_fault() {
    let text = format!("{ROLE}[[certificate]]\nname = \"web-1\"\nroles = [\"raeder\"]\n");
    refused(
        Some(&text),
        2,
        "certificate \"web-1\" cannot be issued: there is no role \"raeder\"",
    );
}

#[test]
fn a_certificate_that_is_there_twice_is_named() {
    let one = "[[certificate]]\nname = \"web-1\"\nroles = [\"reader\"]\n";
    let text = format!("{ROLE}{one}{one}");
    refused(Some(&text), 2, "web-1.crt exists");
}

#[test]
fn a_name_that_leads_out_of_the_sandbox_is_refused() {
    let text = format!("{ROLE}[[certificate]]\nname = \"../web-1\"\nroles = [\"reader\"]\n");
    refused(Some(&text), 2, "certificate \"../web-1\" cannot be issued");
}
