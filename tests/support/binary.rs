//! Finds the workspace and builds the program, once per test process.

use crate::command::run;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder that holds the workspace's `Cargo.toml`.
pub fn workspace_root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cannot fail: this package is a folder of the workspace.
    tests.parent().expect("tests/ has a parent")
}

/// Where cargo put this test, and so where anything else that is built belongs.
pub fn target_directory() -> PathBuf {
    // Cargo marks the directory, whatever its name and wherever a setting moved it.
    let running = std::env::current_exe().expect("a running test has a path");
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let target = running.ancestors().find(marked).map(Path::to_path_buf);
    target.unwrap_or_else(|| workspace_root().join("target"))
}

/// The program under test: the one that `BOWLINE_UNDER_TEST` names, else built on first use in the profile of
/// the tests themselves.
pub fn bowline_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("BOWLINE_UNDER_TEST") {
        Some(path) => path.into(),
        None => build(&["--package", "bowline-cli", "--bin", "bowline"], "bowline"),
    })
}

/// The storage server among the examples, built on first use.
pub fn storage_server() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let example = ["--package", "bowline-guard", "--example", "s3_server"];
        build(
            &[&example[..], &["--features", "s3s"]].concat(),
            "s3_server",
        )
    })
}

fn build(what: &[&str], name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace_root())
        .arg("build")
        .args(what)
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target_directory());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = run(&mut command).expect_success();
    let executable = built
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo names the executable it built")
}
