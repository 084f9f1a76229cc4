//! The single statement of the architecture: which crate may see which, what the pure crates may
//! not touch, how long a file may be, what lies at the top. Each rule is a table and a loop over it.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/errors.rs"]
mod errors;
#[path = "tidy/source.rs"]
mod source;

use source::{SourceFile, files_under, imported_paths, names, product_files, read, relative};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The eleven crates and their arrows: who depends on whom, in shipped code.
const ARROWS: [(&str, &[&str]); 11] = [
    ("x509", &[]),
    ("policy", &[]),
    ("sigv4", &["x509"]),
    ("ca", &["x509"]),
    ("trust", &["policy", "x509"]),
    ("store", &[]),
    ("store-sled", &["store"]),
    (
        "service",
        &["ca", "policy", "sigv4", "store", "trust", "x509"],
    ),
    ("server", &["service"]),
    ("guard", &["server", "service", "sigv4"]),
    ("cli", &["server", "service", "store-sled"]),
];

/// The crates that decide and never touch the world: time, drawn bytes and signers are arguments.
const PURE: [&str; 6] = ["x509", "policy", "sigv4", "ca", "trust", "store"];

/// Libraries a crate may not depend on, because they belong to another crate's side of a border.
const FOREIGN_LIBRARIES: [(&str, &[&str]); 10] = [
    ("x509", OUTSIDE_WORLD),
    ("policy", OUTSIDE_WORLD),
    ("sigv4", OUTSIDE_WORLD),
    ("ca", OUTSIDE_WORLD),
    ("trust", OUTSIDE_WORLD),
    (
        "store",
        &["serde", "serde_json", "sled", "tokio", "tracing"],
    ),
    ("store-sled", &["serde", "serde_json", "tokio", "x509-cert"]),
    ("service", HTTP_TERMINAL_ENGINE),
    ("server", &["clap", "comfy-table", "indicatif", "sled"]),
    ("guard", &["clap", "comfy-table", "indicatif", "sled"]),
];

const OUTSIDE_WORLD: &[&str] = &[
    "clap",
    "getrandom",
    "hyper",
    "rand",
    "rand_core",
    "rustix",
    "rustls",
    "sled",
    "tempfile",
    "tokio",
    "tracing",
];

const HTTP_TERMINAL_ENGINE: &[&str] = &[
    "axum",
    "clap",
    "comfy-table",
    "http-body-util",
    "hyper",
    "hyper-util",
    "indicatif",
    "sled",
    "tokio",
];

/// What no line of a pure crate says outside its tests.
const IMPURE_NAMES: [&str; 24] = [
    "std::env",
    "std::fs",
    "core::net",
    "Instant::now",
    "Local::now",
    "OffsetDateTime::now_utc",
    "SystemTime::now",
    "Utc::now",
    "thread::sleep",
    "KeyPair::generate",
    "OsRng",
    "SystemRandom",
    "getrandom",
    "rand::",
    "async fn",
    "async move",
    ".await",
    "log::",
    "tracing::",
    "dbg!",
    "eprint!",
    "eprintln!",
    "print!",
    "println!",
];

/// The types of `std::net` that are only values; everything else in it opens a socket or leads there.
const NET_VALUES: [&str; 4] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "AddrParseError"];

/// What no line of `service` says outside its tests: it reaches the world only through traits.
const OUTSIDE_SERVICE: [&str; 10] = [
    "std::fs",
    "tokio::",
    "axum::",
    "clap::",
    "hyper::",
    "sled::",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
];

/// Words for unfinished work.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// A reader keeps about this many lines in mind at once; longer files get split by noun.
const FILE_LINES_MAX: usize = 700;

/// Files that may be longer, and why. An entry that is no longer needed fails.
const LONG_FILES: [(&str, &str); 0] = [];

/// Tests that do not run, how many in each file, and why. An entry that is no longer true fails.
const IGNORED_TESTS: [(&str, usize, &str); 0] = [];

/// Everything that may lie at the top of the tree.
const TOP_LEVEL: [&str; 15] = [
    ".cargo",
    ".ci",
    ".editorconfig",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "crates",
    "deny.toml",
    "docs",
    "tests",
];

/// What a checkout or a build puts beside it.
const TOP_LEVEL_NOT_OURS: [&str; 2] = [".git", "target"];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cannot fail: this package is a folder of the workspace.
    tests.parent().expect("tests/ has a parent").to_path_buf()
}

fn crate_names() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("crates")).expect("crates/ is there");
    entries
        .map(|entry| entry.expect("a directory entry is readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    let parsed = read(&path).parse::<Table>();
    parsed.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The tables of one kind of dependency, those under `[target.'…']` included.
fn dependencies(manifest: &Table, kind: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table)
        .chain([manifest]);
    for table in tables {
        if let Some(listed) = table.get(kind).and_then(Value::as_table) {
            found.extend(
                listed
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
    }
    found
}

/// The crates of ours among the dependencies, without their prefix.
fn arrows(manifest: &Table, kind: &str) -> BTreeSet<String> {
    dependencies(manifest, kind)
        .keys()
        .filter_map(|name| name.strip_prefix("bowline-"))
        .map(str::to_string)
        .collect()
}

/// Everything `name` may see, however far down.
fn below(name: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![name];
    while let Some(next) = waiting.pop() {
        for (_, targets) in ARROWS.iter().filter(|(from, _)| *from == next) {
            for target in *targets {
                if seen.insert((*target).to_string()) {
                    waiting.push(target);
                }
            }
        }
    }
    seen
}

fn sources(crates: &[&str]) -> Vec<SourceFile> {
    let files: Vec<SourceFile> = crates
        .iter()
        .flat_map(|name| {
            let found = product_files(&root(), &format!("crates/{name}/src"));
            assert!(!found.is_empty(), "crates/{name}/src holds no source");
            found
        })
        .collect();
    assert!(files.len() >= crates.len(), "only {} files", files.len());
    files
}

fn every_crate() -> Vec<&'static str> {
    ARROWS.iter().map(|(name, _)| *name).collect()
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn the_crates_are_these_eleven() {
    let stated: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(crate_names(), stated);
    assert_eq!(stated.len(), 11);
}

#[test]
fn the_arrows_are_exactly_these() {
    let mut seen = 0;
    for (name, targets) in ARROWS {
        let manifest = manifest(&format!("crates/{name}"));
        let mut shipped = arrows(&manifest, "dependencies");
        shipped.extend(arrows(&manifest, "build-dependencies"));
        let stated: BTreeSet<String> = targets.iter().map(|target| (*target).to_string()).collect();
        assert_eq!(
            shipped, stated,
            "the arrows of `{name}` (left: its manifest)"
        );
        let package = &manifest["package"]["name"];
        assert_eq!(package.as_str(), Some(format!("bowline-{name}").as_str()));
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn tests_see_only_what_lies_below_their_crate() {
    let mut seen = 0;
    for (name, _) in ARROWS {
        let used = arrows(&manifest(&format!("crates/{name}")), "dev-dependencies");
        let allowed = below(name);
        let strange: Vec<String> = used.difference(&allowed).cloned().collect();
        assert_none(
            &strange,
            &format!("the tests of `{name}` look sideways or up"),
        );
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn libraries_stay_on_their_side_of_the_border() {
    let mut seen = 0;
    for (name, foreign) in FOREIGN_LIBRARIES {
        let used = dependencies(&manifest(&format!("crates/{name}")), "dependencies");
        let strange: Vec<String> = foreign
            .iter()
            .filter(|library| used.contains_key(**library))
            .map(|library| (*library).to_string())
            .collect();
        assert_none(&strange, &format!("`{name}` must not know these"));
        seen += used.len();
    }
    assert!(seen >= 30, "only {seen} dependencies");
}

#[test]
fn versions_are_written_in_one_place() {
    let mut seen = 0;
    let mut found = Vec::new();
    for folder in member_folders() {
        let manifest = manifest(&folder);
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in dependencies(&manifest, kind) {
                seen += 1;
                if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                    found.push(format!("{folder}: {name} = {value}"));
                }
            }
        }
    }
    assert_none(&found, "a version outside the root manifest");
    assert!(seen >= 60, "only {seen} dependencies");
}

#[test]
fn every_version_in_the_root_is_used() {
    let root_manifest = manifest("");
    let listed = root_manifest["workspace"]["dependencies"].as_table();
    let listed = listed.expect("the root lists the dependencies");
    let mut used = BTreeSet::new();
    for folder in member_folders() {
        let manifest = manifest(&folder);
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            used.extend(dependencies(&manifest, kind).into_keys());
        }
    }
    let idle: Vec<String> = listed
        .keys()
        .filter(|name| !name.starts_with("bowline-") && !used.contains(*name))
        .cloned()
        .collect();
    assert_none(&idle, "listed in the root, used nowhere");
    assert!(listed.len() >= 30, "only {} dependencies", listed.len());
}

#[test]
fn every_member_takes_the_workspace_lints_and_metadata() {
    let folders = member_folders();
    for folder in &folders {
        let manifest = manifest(folder);
        let lints = &manifest["lints"]["workspace"];
        assert_eq!(lints.as_bool(), Some(true), "{folder}: [lints]");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let inherited = manifest["package"][key].get("workspace");
            let inherited = inherited.and_then(Value::as_bool);
            assert_eq!(inherited, Some(true), "{folder}: package.{key}");
        }
    }
    assert_eq!(folders.len(), 12);
}

#[test]
fn pure_crates_touch_nothing_outside() {
    let files = sources(&PURE);
    let mut found = Vec::new();
    for file in &files {
        for name in IMPURE_NAMES {
            found.extend(file.lines_where(|line| names(line, name)));
        }
        found.extend(file.lines_where(names_a_socket));
        for (line, path) in imported_paths(&file.code) {
            if is_impure_import(&path) {
                found.push(format!("{}:{line}: use {path}", file.name));
            }
        }
    }
    found.sort();
    found.dedup();
    assert_none(&found, "a pure crate touches the world");
    assert!(files.len() >= 12, "only {} files", files.len());
}

/// Whether the line names something of `std::net` in place that is more than a value.
fn names_a_socket(line: &str) -> bool {
    let imports = line.trim_start();
    if imports.starts_with("use ") || imports.starts_with("pub use ") {
        return false;
    }
    line.match_indices("std::net::").any(|(at, start)| {
        let rest = &line[at + start.len()..];
        !NET_VALUES.iter().any(|value| rest.starts_with(value))
    })
}

fn is_impure_import(path: &str) -> bool {
    if let Some(of_net) = path.strip_prefix("std::net::") {
        return !NET_VALUES.contains(&of_net);
    }
    let modules = ["std::fs", "std::net", "std::env", "std::thread::sleep"];
    let crates = ["tracing", "log", "rand", "getrandom", "tokio"];
    modules.iter().any(|module| within(path, module))
        || crates.iter().any(|name| within(path, name))
}

fn within(path: &str, module: &str) -> bool {
    path == module
        || path
            .strip_prefix(module)
            .is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn service_knows_neither_files_nor_sockets_nor_engines() {
    let files = sources(&["service"]);
    let mut found = Vec::new();
    for file in &files {
        for name in OUTSIDE_SERVICE {
            found.extend(file.lines_where(|line| names(line, name)));
        }
        found.extend(file.lines_where(names_a_socket));
        for (line, path) in imported_paths(&file.code) {
            let net = path.strip_prefix("std::net::");
            if within(&path, "std::fs") || net.is_some_and(|of_net| !NET_VALUES.contains(&of_net)) {
                found.push(format!("{}:{line}: use {path}", file.name));
            }
        }
    }
    assert_none(&found, "`service` knows too much");
}

#[test]
fn libraries_never_end_the_process_or_print() {
    let libraries: Vec<&str> = every_crate()
        .into_iter()
        .filter(|name| *name != "cli")
        .collect();
    let files = sources(&libraries);
    let mut found = Vec::new();
    for file in &files {
        for name in [
            "process::exit",
            "print!",
            "println!",
            "eprint!",
            "eprintln!",
        ] {
            found.extend(file.lines_where(|line| names(line, name)));
        }
    }
    assert_none(&found, "only the program talks to the terminal");
    assert!(files.len() >= 18, "only {} files", files.len());
}

#[test]
fn nothing_is_left_unfinished() {
    let files = sources(&every_crate());
    let mut found = Vec::new();
    for file in &files {
        for name in UNFINISHED {
            found.extend(file.lines_where(|line| names(line, name)));
        }
    }
    assert_none(&found, "unfinished work");
    assert!(files.len() >= 20, "only {} files", files.len());
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = sources(&every_crate());
    let silent: Vec<String> = files
        .iter()
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.name.clone())
        .collect();
    assert_none(&silent, "no `//!` line at the top");
    assert!(files.len() >= 20, "only {} files", files.len());
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut long = BTreeSet::new();
    let mut seen = 0;
    for name in every_crate() {
        for path in files_under(&root().join(format!("crates/{name}/src")), "rs") {
            seen += 1;
            if read(&path).lines().count() > FILE_LINES_MAX {
                long.insert(relative(&root(), &path));
            }
        }
    }
    let allowed: BTreeSet<String> = LONG_FILES
        .iter()
        .map(|(name, _)| (*name).to_string())
        .collect();
    assert_eq!(
        long, allowed,
        "files over {FILE_LINES_MAX} lines (left) against LONG_FILES (right)"
    );
    assert!(seen >= 20, "only {seen} files");
}

#[test]
fn ignored_tests_are_counted_with_a_reason() {
    let mut ignored: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = 0;
    for folder in ["crates", "tests"] {
        for path in files_under(&root().join(folder), "rs") {
            seen += 1;
            let code = source::blank_comments_and_literals(&read(&path));
            let count = code.matches("#[ignore").count();
            if count > 0 {
                ignored.insert(relative(&root(), &path), count);
            }
        }
    }
    let stated: BTreeMap<String, usize> = IGNORED_TESTS
        .iter()
        .map(|(name, count, _)| ((*name).to_string(), *count))
        .collect();
    assert_eq!(
        ignored, stated,
        "ignored tests (left) against IGNORED_TESTS (right)"
    );
    assert!(seen >= 25, "only {seen} files");
}

#[test]
fn every_test_file_is_run() {
    let manifest = manifest("tests");
    let targets = ["test", "bench"].map(|kind| {
        let listed = manifest.get(kind).and_then(Value::as_array);
        listed.expect("tests/Cargo.toml lists its targets")
    });
    let paths = targets.into_iter().flatten();
    let listed: BTreeSet<&str> = paths.filter_map(|t| t["path"].as_str()).collect();
    let mut seen = 0;
    let mut lost = Vec::new();
    for path in files_under(&root().join("tests"), "rs") {
        let name = relative(&root().join("tests"), &path);
        let is_target = !name.contains('/') || name.ends_with("/main.rs");
        if is_target {
            seen += 1;
            if !listed.contains(name.as_str()) {
                lost.push(name);
            }
        }
    }
    assert_none(&lost, "a test file that no target runs");
    assert_eq!(seen, listed.len(), "a target without its file");
    assert!(seen >= 2, "only {seen} targets");
}

#[test]
fn nothing_else_lies_at_the_top() {
    let entries = std::fs::read_dir(root()).expect("the workspace root is readable");
    let present: BTreeSet<String> = entries
        .map(|entry| entry.expect("a directory entry is readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !TOP_LEVEL_NOT_OURS.contains(&name.as_str()))
        .collect();
    let allowed: BTreeSet<String> = TOP_LEVEL.iter().map(|name| (*name).to_string()).collect();
    assert_eq!(
        present, allowed,
        "the top level (left) against TOP_LEVEL (right)"
    );
}

#[test]
fn links_in_documents_lead_somewhere() {
    let documents = documents::all(&root());
    let (links, broken) = documents::check_links(&root(), &documents);
    assert_none(&broken, "links that lead nowhere");
    assert!(documents.len() >= 8, "only {} documents", documents.len());
    assert!(links >= 10, "only {links} relative links");
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let files = files_under(&root().join("docs/decisions"), "md");
    for (index, path) in files.iter().enumerate() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = format!("{:04}-", index + 1);
        assert!(
            name.starts_with(&number),
            "{name} should start with {number}"
        );
        let text = read(path);
        for heading in ["\n## What", "\n## Why", "\n## Rejected"] {
            assert!(text.contains(heading), "{name} lacks `{}`", heading.trim());
        }
    }
    assert!(files.len() >= 6, "only {} decisions", files.len());
}

/// The folders of the workspace's members: the eleven crates and `tests`.
fn member_folders() -> Vec<String> {
    let crates = crate_names();
    let crates = crates.iter().map(|name| format!("crates/{name}"));
    crates.chain(["tests".to_string()]).collect()
}

#[test]
fn every_error_code_is_on_the_page_and_the_page_has_no_other() {
    let (source, page) = (errors::in_source(&root()), errors::in_document(&root()));
    let missing: Vec<_> = source.difference(&page).collect();
    let gone: Vec<_> = page.difference(&source).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not on docs/errors.md: {missing:?}; only there: {gone:?}"
    );
    assert!(source.len() > 200, "only {} codes were found", source.len());
}
