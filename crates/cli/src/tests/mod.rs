//! Whole commands, run through [`run`] on a home of their own with a clock that stands still.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bowline_service::{Clock, SystemClock, SystemEntropy, Time, parse_time};
use chrono::TimeDelta;
use clap::CommandFactory;
use serde_json::Value;

use crate::arguments::Arguments;
use crate::{Environment, run};

mod answers;
mod audits;
mod certificates;
mod changes;
mod examinations;
mod homes;
mod keys;
mod preservation;
mod served;

/// A clock that a test moves.
struct Hand(Mutex<Time>);

impl Clock for Hand {
    fn now(&self) -> Time {
        *self.0.lock().unwrap()
    }
}

/// A directory with `home/` and `work/`, gone when dropped.
struct Bench {
    directory: tempfile::TempDir,
    clock: Arc<Hand>,
    variables: Vec<(String, String)>,
}

/// What a command left behind.
struct Finished {
    code: u8,
    output: String,
    messages: String,
}

impl Bench {
    fn empty() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        let clock = Arc::new(Hand(Mutex::new(
            parse_time("2026-06-01T12:00:00Z").unwrap(),
        )));
        let home = directory.path().join("home").display().to_string();
        Bench {
            directory,
            clock,
            variables: vec![("BOWLINE_HOME".into(), home)],
        }
    }

    fn with_home() -> Bench {
        let bench = Bench::empty();
        bench.succeed("init");
        bench
    }

    /// A home with a role and a certificate for it.
    fn with_web() -> Bench {
        let bench = Bench::with_home();
        bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
        bench.succeed("issue web-1 --role web");
        bench
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    fn wait(&self, length: TimeDelta) {
        *self.clock.0.lock().unwrap() += length;
    }

    fn run(&self, line: &str) -> Finished {
        self.run_with_input(line, "")
    }

    fn run_with_input(&self, line: &str, input: &str) -> Finished {
        self.run_at(self.clock.clone(), line, input)
    }

    fn run_at(&self, clock: Arc<dyn Clock>, line: &str, input: &str) -> Finished {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let environment = Environment {
            clock,
            entropy: Arc::new(SystemEntropy),
            input: &mut input.as_bytes(),
            output: &mut output,
            messages: &mut messages,
            messages_are_terminal: false,
            variables: self
                .variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: self.directory.path().join("work"),
        };
        let exit = run(["bowline"].into_iter().chain(line.split(' ')), environment);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished {
            code: exit.code(),
            output: text(output),
            messages: text(messages),
        }
    }

    #[track_caller]
    fn succeed(&self, line: &str) -> String {
        let finished = self.run(line);
        assert_eq!(
            finished.code, 0,
            "{line}: {}{}",
            finished.output, finished.messages
        );
        finished.output
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.succeed(&format!("{line} --output json"))).unwrap()
    }

    /// The command is refused with this exit code, and says this.
    #[track_caller]
    fn refuse(&self, line: &str, code: u8, says: &str) {
        let finished = self.run(line);
        assert_eq!(
            finished.code, code,
            "{line}: {}{}",
            finished.output, finished.messages
        );
        assert!(
            finished.messages.contains(says),
            "{line}: {}",
            finished.messages
        );
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
