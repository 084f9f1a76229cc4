//! Runs a command to its end and keeps everything a failed test wants to show.

use serde_json::Value;
use std::fmt;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// How often a command with a time limit is looked at.
const POLL: Duration = Duration::from_millis(1);

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub line: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Panics with the whole transcript unless the command succeeded.
    #[track_caller]
    pub fn expect_success(self) -> Finished {
        assert!(self.code == Some(0), "should have succeeded\n{self}");
        self
    }

    /// Panics with the whole transcript unless the command failed with an exit code of its own; a
    /// command that a signal ended did not refuse anything.
    #[track_caller]
    pub fn expect_failure(self) -> Finished {
        let refused = self.code.is_some_and(|code| code != 0);
        assert!(refused, "should have failed\n{self}");
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON: {e}\n{self}"))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.line)?;
        writeln!(f, "exit: {:?}", self.code)?;
        writeln!(f, "stdout:\n{}", self.stdout)?;
        write!(f, "stderr:\n{}", self.stderr)
    }
}

/// Runs the command without a terminal. Panics only when it cannot be started at all.
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    let line = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
    Finished {
        line,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the command without a terminal, for `limit` at most: one that is still running then is killed, and
/// the test fails.
#[track_caller]
pub fn run_within(command: &mut Command, limit: Duration) -> Finished {
    let line = format!("{command:?}");
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let deadline = Instant::now() + limit;
    let status = loop {
        let ended = child.try_wait().expect("our own child can be waited for");
        if ended.is_some() || Instant::now() >= deadline {
            break ended;
        }
        sleep(POLL);
    };
    if status.is_none() {
        // Both fail only when it has ended after all.
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |thread: std::thread::JoinHandle<String>| thread.join().expect("a reader ends");
    let finished = Finished {
        line,
        code: status.and_then(|status| status.code()),
        stdout: read(stdout),
        stderr: read(stderr),
    };
    assert!(
        status.is_some(),
        "still running after {limit:?}\n{finished}"
    );
    finished
}

/// Reads to the end, so that a full pipe holds nobody up.
fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The same command with every signal as it usually is. Who runs the tests in the background or under `nohup` has some
/// ignored, and what is ignored stays so for whatever is started.
pub fn with_usual_signals(command: &Command) -> Command {
    let mut usual = Command::new("env");
    usual
        .arg("--default-signal")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => usual.env(name, value),
            None => usual.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        usual.current_dir(directory);
    }
    usual
}

/// Takes every setting of AWS clients, of ours and of TLS out of the environment, so that a test
/// means the same on every machine. Proxies too: everything here talks to this machine.
pub fn clean(command: &mut Command) -> &mut Command {
    const PREFIXES: [&str; 5] = ["AWS_", "BOWLINE_", "BOTO_", "SSL_CERT_", "REQUESTS_"];
    const NAMES: [&str; 9] = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "NOTIFY_SOCKET",
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
        "CREDENTIALS_DIRECTORY",
    ];
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        let ours = PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
        if ours || NAMES.contains(&upper.as_str()) {
            command.env_remove(&name);
        }
    }
    command
}
