//! The golden homes: each was written by the program of its time, and is never changed.

use bowline_tests::{Finished, Home, workspace_root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, Permissions, copy, read, read_dir, read_to_string, set_permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A home as it was written once.
pub struct Golden {
    /// Its folder below `tests/golden`.
    pub folder: &'static str,
}

/// Every one there is; a test compares with the folder.
pub const ALL: [Golden; 2] = [FIRST, SECOND];

/// Journal format 1, no checkpoint, an index, an event log that was never signed.
pub const FIRST: Golden = Golden { folder: "1" };

/// Journal format 2 behind a checkpoint of format 1, no index, a log that was signed before and after a restore.
pub const SECOND: Golden = Golden { folder: "2" };

impl Golden {
    /// Its folder, with the home and what was known of it.
    pub fn path(&self) -> PathBuf {
        workspace_root().join("tests/golden").join(self.folder)
    }

    /// A file beside the home.
    fn text(&self, name: &str) -> String {
        let file = self.path().join(name);
        read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// A copy that may be changed, with the modes that a checkout does not keep.
    pub fn copy(&self) -> Home {
        let home = Home::empty();
        copy_tree(&self.path().join("home"), &home.path());
        home
    }

    /// Every record is there and says what it said, and nothing revoked is good again. What was added since is
    /// allowed: this asks the same of a home that went on.
    #[track_caller]
    pub fn check(&self, home: &Home) {
        self.check_certificates(home);
        self.check_names(home);
        let roots = home.succeed(["ca", "bundle"]);
        assert_eq!(roots, self.text("roots.pem"), "roots of {}", self.folder);

        let events = lines(&home.succeed(["audit", "list", "--output", "json"]));
        let kinds: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
        let known = self.text("events.txt");
        let known: Vec<&str> = known.lines().collect();
        assert!(
            known.len() > 10 && kinds.starts_with(&known),
            "{kinds:?} do not begin with {known:?}"
        );
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event["number"], index + 1);
        }
    }

    #[track_caller]
    fn check_certificates(&self, home: &Home) {
        let listed = lines(&home.succeed(["cert", "list", "--expired", "--output", "json"]));
        let serials: BTreeSet<&str> = listed.iter().filter_map(|c| c["serial"].as_str()).collect();
        assert_eq!(serials.len(), listed.len(), "a serial number twice");
        let mut revoked = 0;
        for known in lines(&self.text("certificates.jsonl")) {
            let found = listed
                .iter()
                .find(|found| found["serial"] == known["serial"]);
            let found = found.unwrap_or_else(|| panic!("{known} is gone"));
            assert_eq!(without_status(found), without_status(&known));
            if known["status"] == "revoked" {
                revoked += 1;
                assert_eq!(found["status"], "revoked");
                let credentials = self.credentials(home, &known["name"]);
                // After its end both are true, and either may be said.
                assert_ne!(credentials.code, Some(0), "{credentials}");
            } else {
                // Good then; whether it still is depends on when this runs.
                assert_ne!(found["status"], "revoked", "{found}");
            }
        }
        assert!(revoked > 0);
        for name in ["web-1", "web-2", "web-3"] {
            let inspect = ["cert", "inspect", "--output", "json"];
            let file = self
                .path()
                .join(format!("{name}.crt"))
                .display()
                .to_string();
            let leaf = &lines(&home.succeed(inspect.iter().copied().chain([file.as_str()])))[0];
            let serial = format!("0x{}", leaf["serial"].as_str().expect("a text"));
            let shown = home.succeed(["cert", "show", &serial, "--pem"]);
            let written = self.text(&format!("{name}.crt"));
            assert!(
                shown.contains("BEGIN CERTIFICATE") && written.starts_with(&shown),
                "{name} has other bytes"
            );
        }
    }

    fn credentials(&self, home: &Home, name: &Value) -> Finished {
        let name = name.as_str().expect("a text");
        home.run(["credentials".into(), self.path().join(name)])
    }

    #[track_caller]
    fn check_names(&self, home: &Home) {
        let list = |kind: &str| lines(&home.succeed([kind, "list", "--output", "json"]));
        let names = |kind: &str| -> BTreeSet<String> {
            let names = list(kind)
                .into_iter()
                .map(|one| one["name"].as_str().map(str::to_owned));
            names.map(|name| name.expect("a text")).collect()
        };
        let with = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|&name| name.to_owned()).collect()
        };
        assert!(names("role").is_superset(&with(&["administrator", "reader", "writer"])));
        assert_eq!(names("profile"), with(&["default", "operators"]));
        assert_eq!(names("anchor"), with(&["default", "operators", "partner"]));
        for anchor in list("anchor") {
            assert_eq!(anchor["enabled"], anchor["name"] != "partner", "{anchor}");
        }
        let authorities: BTreeSet<String> = list("ca")
            .into_iter()
            .filter_map(|one| one["id"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(authorities, with(&["root", "issuing", "operators"]));
    }
}

/// The doctor finds nothing that anybody has to do something about.
#[track_caller]
pub fn check_health(home: &Home) {
    let doctor = home.run(["doctor"]);
    assert!(matches!(doctor.code, Some(0 | 2)), "{doctor}");
}

/// JSON documents, one a line.
pub fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

/// Whether it is good depends on the day, all else is as it was.
fn without_status(certificate: &Value) -> Value {
    let mut certificate = certificate.clone();
    let members = certificate.as_object_mut().expect("an object");
    members.remove("status");
    certificate
}

/// Copies files and directories, for their owner alone.
fn copy_tree(from: &Path, to: &Path) {
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .expect("a temporary directory is writable");
    let entries = read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries {
        let entry = entry.expect("a directory entry is readable").path();
        let target = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy_tree(&entry, &target);
        } else {
            copy(&entry, &target).expect("a temporary directory is writable");
            set_permissions(&target, Permissions::from_mode(0o600)).expect("our own file");
        }
    }
}

/// Every file below a directory, by its path in there.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in read_dir(&next).expect("a home is readable") {
            let path = entry.expect("a directory entry is readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let inside = path.strip_prefix(directory).expect("it was found below");
                found.push((
                    inside.to_path_buf(),
                    read(&path).expect("a file is readable"),
                ));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_golden_home_is_tried() {
    let entries = read_dir(workspace_root().join("tests/golden")).expect("the folder is there");
    let found: BTreeSet<String> = entries
        .map(|entry| entry.expect("a directory entry is readable").path())
        .filter(|path| path.is_dir())
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .collect();
    let known: BTreeSet<String> = ALL.iter().map(|golden| golden.folder.to_owned()).collect();
    assert_eq!(found, known, "the folder (left) against ALL (right)");
}
