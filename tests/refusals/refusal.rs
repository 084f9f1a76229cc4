//! What a refusal looks like at the command line, and what it must leave alone.

use bowline_tests::{Finished, Home, run};
use serde_json::Value;
use std::ffi::OsStr;
use std::process::Command;

/// What must be said: the exit code, the stable code, and words that the message has.
pub struct Refusal<'a> {
    pub exit: i32,
    pub code: &'a str,
    pub says: &'a [&'a str],
}

/// Short for a table's sake.
pub fn refusal<'a>(exit: i32, code: &'a str, says: &'a [&'a str]) -> Refusal<'a> {
    Refusal { exit, code, says }
}

impl Refusal<'_> {
    /// Holds an error, as programs read it, against what must be said.
    #[track_caller]
    pub fn check(&self, finished: &Finished) {
        assert_eq!(finished.code, Some(self.exit), "exit code\n{finished}");
        assert_eq!(finished.stdout, "", "a refusal is no result\n{finished}");
        let line = finished.stderr.lines().last().unwrap_or_default();
        let said: Value = serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("the last line is not JSON: {e}\n{finished}"));
        let error = &said["error"];
        assert_eq!(error["code"], self.code, "stable code\n{finished}");
        assert_eq!(error["exit"], self.exit, "{finished}");
        let message = error["message"].as_str().unwrap_or_default();
        for words in self.says {
            assert!(
                message.contains(words),
                "the message lacks {words:?}\n{finished}"
            );
        }
    }
}

/// Runs each command, which must be refused; afterwards everything is as it was.
#[track_caller]
pub fn refused<A: AsRef<OsStr>>(home: &Home, commands: &[(&[A], Refusal<'_>)]) {
    let before = State::of(home);
    for (arguments, refusal) in commands {
        refusal.check(&run(as_json(&mut home.bowline(arguments.iter()))));
    }
    assert_eq!(State::of(home), before, "something has changed");
}

/// The same command, answering as programs read it.
pub fn as_json(command: &mut Command) -> &mut Command {
    command.args(["--output", "json"])
}

/// Everything of a home that a refusal must leave as it was, and the files beside it.
#[derive(Debug, PartialEq)]
pub struct State {
    lists: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
}

impl State {
    #[track_caller]
    pub fn of(home: &Home) -> State {
        let lists: [&[&str]; 4] = [
            &["cert", "list", "--expired"],
            &["role", "list"],
            &["profile", "list"],
            &["anchor", "list"],
        ];
        let lists = lists.map(|list| {
            run(as_json(&mut home.bowline(list)))
                .expect_success()
                .stdout
        });
        let entries = std::fs::read_dir(home.work()).expect("the work directory is readable");
        let mut files: Vec<(String, Vec<u8>)> = entries
            .map(|entry| entry.expect("a directory entry is readable").path())
            // A running server writes its log.
            .filter(|path| path.is_file() && !path.ends_with("serve.log"))
            .map(|path| {
                let content = std::fs::read(&path).expect("the work directory is readable");
                (path.display().to_string(), content)
            })
            .collect();
        files.sort();
        State {
            lists: lists.into(),
            files,
        }
    }
}
