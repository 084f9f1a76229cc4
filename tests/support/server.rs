//! `bowline serve` for the length of one test.

use crate::command::Finished;
use crate::home::Home;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to listen, on a machine that is busy compiling.
const START_MAX: Duration = Duration::from_secs(30);

/// How long a server may take to finish its requests and end.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How often to look.
const POLL: Duration = Duration::from_millis(10);

/// A running server. Ends when dropped.
pub struct Server {
    child: Child,
    https: String,
    http: String,
    log: PathBuf,
}

impl Server {
    /// Starts `bowline serve` on free ports of this machine and waits until it listens.
    #[track_caller]
    pub fn start(home: &Home) -> Server {
        Server::attempt(home, |_| {})
            .unwrap_or_else(|ended| panic!("the server ended at once\n{ended}"))
    }

    /// As [`start`](Server::start), with more said to the command; or what a server that ended instead left.
    #[track_caller]
    pub fn attempt(home: &Home, configure: impl FnOnce(&mut Command)) -> Result<Server, Finished> {
        let ready = home.file("ready.json");
        let log = home.file("serve.log");
        let _ = std::fs::remove_file(&ready);
        let mut command = home.bowline(["serve", "--listen", "127.0.0.1:0"]);
        command
            .args(["--plain-listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the work directory is writable"));
        configure(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let (https, http) =
            wait_until_ready(&mut child, &ready, &log).map_err(|status| Finished {
                line: format!("{command:?}"),
                code: status.code(),
                stdout: String::new(),
                stderr: std::fs::read_to_string(&log).unwrap_or_default(),
            })?;
        Ok(Server {
            child,
            https,
            http,
            log,
        })
    }

    /// `https://127.0.0.1:PORT`
    pub fn https(&self) -> &str {
        &self.https
    }

    /// `http://127.0.0.1:PORT`
    pub fn http(&self) -> &str {
        &self.http
    }

    /// `127.0.0.1:PORT` of the TLS listener, for clients that want no scheme.
    pub fn authority(&self) -> &str {
        self.https.trim_start_matches("https://")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks the server to stop, as a service manager would, and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        let raw = i32::try_from(self.child.id()).expect("a process id fits");
        let pid = Pid::from_raw(raw).expect("a child has a process id");
        kill_process(pid, Signal::TERM).expect("our own child can be signalled");
        let deadline = Instant::now() + STOP_MAX;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("our own child can be waited for")
            {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running {STOP_MAX:?} after SIGTERM"
            );
            sleep(POLL);
        }
    }
}

impl Server {
    /// SIGKILL: the process ends in the middle of whatever it does.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the server has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until_ready(
    child: &mut Child,
    ready: &Path,
    log: &Path,
) -> Result<(String, String), ExitStatus> {
    let deadline = Instant::now() + START_MAX;
    loop {
        let written = std::fs::read_to_string(ready).unwrap_or_default();
        if let Ok(addresses) = serde_json::from_str::<Value>(&written) {
            let url = |name: &str| addresses[name].as_str().map(str::to_string);
            let both = url("https").zip(url("http"));
            return Ok(both.unwrap_or_else(|| panic!("the ready file lacks a URL: {written}")));
        }
        let said = || std::fs::read_to_string(log).unwrap_or_default();
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            return Err(status);
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!(
                "not ready after {START_MAX:?}; ready file {written:?}, log:\n{}",
                said()
            );
        }
        sleep(POLL);
    }
}
