//! Whatever happens to a sandbox's process, its directory goes: another process watches over it.
//!
//! The janitor holds the reading end of a pipe. It hears the process id of the command that runs in the sandbox, and
//! that the sandbox is over: in good order, or because the pipe broke when the sandbox's process was killed. Then it
//! ends the command, if that still runs, and removes the directory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// The process that watches over a sandbox, from inside the sandbox's own.
pub(super) struct Watch {
    janitor: Child,
    pipe: Option<ChildStdin>,
}

impl Watch {
    /// Has a janitor watch over a directory.
    pub(super) fn over(directory: &Path) -> Result<Watch, Error> {
        let failed = |error| Error::file("run this program again from", directory, error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut janitor = Command::new(program)
            .arg("sandbox-janitor")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let pipe = janitor.stdin.take();
        Ok(Watch { janitor, pipe })
    }

    /// Tells it which process to end.
    pub(super) fn runs(&mut self, pid: u32) {
        if let Some(pipe) = &mut self.pipe {
            // A janitor that is gone cannot be told; the directory is then removed by the sandbox alone.
            let _ = writeln!(pipe, "{pid}").and_then(|()| pipe.flush());
        }
    }

    /// Tells it that the command has ended by itself, and waits until the directory is gone.
    pub(super) fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = writeln!(pipe, "{ENDED}");
        }
        let _ = self.janitor.wait();
    }
}

/// Removes the directory of a sandbox once that is over.
#[derive(Debug, Args)]
pub(crate) struct SandboxJanitor {
    /// The sandbox's directory
    directory: PathBuf,
}

impl SandboxJanitor {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let directory = context.path(&self.directory);
        let named = directory
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(super::PREFIX));
        if !named || !directory.is_dir() {
            return Err(Error::Usage(format!(
                "{} is not the directory of a sandbox",
                directory.display()
            )));
        }
        // What ends the sandbox's process group shall not end the janitor before its work is done.
        let _ = rustix::process::setsid();
        let mut command = None;
        let mut lines = BufReader::new(&mut context.environment().input);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            command = match line.trim() {
                ENDED => None,
                pid => pid.parse().ok().and_then(Pid::from_raw).or(command),
            };
            line.clear();
        }
        if let Some(command) = command {
            end(command);
        }
        remove(&directory);
        Ok(Exit::SUCCESS)
    }
}

/// Asks a process to end, and makes it.
fn end(process: Pid) {
    let asked = Instant::now();
    // A process that is gone needs no asking.
    let _ = kill_process(process, Signal::TERM);
    while asked.elapsed() < GRACE {
        if test_kill_process(process).is_err() || is_unreaped(process) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    let _ = kill_process(process, Signal::KILL);
}

/// Whether a process has ended and nobody has asked for its exit code, as where there is no init that does (Linux).
fn is_unreaped(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    // The state follows the name, which stands in parentheses (proc(5)).
    stat.is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

/// Removes a directory that others may still be writing into.
fn remove(directory: &Path) {
    for _ in 0..REMOVALS_MAX {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
            Ok(()) | Err(_) => return,
        }
    }
}

/// What the janitor hears when there is no command to end any more.
const ENDED: &str = "ended";
/// How long a command that was asked to end may take.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a removal is tried.
const REMOVALS_MAX: usize = 50;
