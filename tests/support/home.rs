//! A home that is gone when the test is, and the program run in it.

use crate::binary::bowline_binary;
use crate::command::{Finished, clean, run};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A temporary directory with `home/` for the program and `work/` as the directory it runs in.
pub struct Home {
    directory: TempDir,
}

impl Home {
    /// An empty directory; `home/` itself does not exist, because `init` makes it.
    pub fn empty() -> Home {
        let directory = tempfile::Builder::new().prefix("bowline-").tempdir();
        let home = Home {
            // Cannot go on without it; the message names the directory that refused.
            directory: directory.expect("a temporary directory can be made"),
        };
        std::fs::create_dir(home.work()).expect("a new directory is writable");
        home
    }

    /// A home after `bowline init`.
    pub fn initialized() -> Home {
        let home = Home::empty();
        home.succeed(["init"]);
        home
    }

    /// The directory that holds both: where the program keeps its state, and where commands run.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the program keeps its state.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Where commands run, and so where `issue` puts its files.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// A file in the directory where commands run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file into the directory where commands run.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).expect("the work directory is writable");
        path
    }

    /// The program with these arguments, ready to run: this home, no setting from outside.
    pub fn bowline<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(bowline_binary());
        clean(&mut command)
            .args(arguments)
            .current_dir(self.work())
            .env("HOME", self.directory.path())
            .env("BOWLINE_HOME", self.path());
        command
    }

    /// Another program in the same directory, with no setting from outside.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        clean(&mut command)
            .current_dir(self.work())
            .env("HOME", self.directory.path());
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        run(&mut self.bowline(arguments))
    }

    /// Runs the program, which must succeed; gives its standard output.
    #[track_caller]
    pub fn succeed<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        self.run(arguments).expect_success().stdout
    }

    /// Runs the program with `--output json`; it must succeed and print one JSON document.
    #[track_caller]
    pub fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Value {
        let mut command = self.bowline(arguments);
        run(command.args(["--output", "json"]))
            .expect_success()
            .json()
    }

    /// The ARN of a named trust anchor, profile or role: `arn("anchor", "default")`.
    #[track_caller]
    pub fn arn(&self, kind: &str, name: &str) -> String {
        let shown = self.json([kind, "show", name]);
        let arn = shown["arn"].as_str();
        arn.unwrap_or_else(|| panic!("`{kind} show {name}` gives no `arn`: {shown}"))
            .to_string()
    }
}
