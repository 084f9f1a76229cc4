//! A command that runs in our place: its signals, its exit code, and what it must not find in its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::exit::Exit;

/// Runs a command to its end, and gives the exit code that a shell would: 128 and the number for one that a signal ended,
/// 127 for a command that is not found, 126 for one that cannot be run. `started` hears its process id.
pub(crate) fn run(
    context: &mut Context<'_>,
    command: &mut Command,
    started: &mut dyn FnMut(u32),
) -> Exit {
    match supervise(command, started) {
        Ok(status) => exit_of(status),
        Err(error) => {
            let program = Path::new(command.get_program()).display();
            context.hint(format_args!("bowline: cannot run {program}: {error}"));
            match error.kind() {
                io::ErrorKind::NotFound => Exit::COMMAND_NOT_FOUND,
                _ => Exit::COMMAND_NOT_RUN,
            }
        }
    }
}

/// Takes out of an environment what SDKs would rather believe than what they are given there.
pub(crate) fn hide_credentials(variables: &mut BTreeMap<OsString, OsString>) {
    for name in WOULD_WIN {
        variables.remove(&OsString::from(name));
    }
}

/// Runs a command to its end, and passes on the signals that come meanwhile.
fn supervise(command: &mut Command, started: &mut dyn FnMut(u32)) -> io::Result<ExitStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Taken before the command runs: from then on none may end this process instead of it.
        let (sender, mut signals) = mpsc::channel(SIGNALS_WAITING);
        for passed in passed_signals() {
            let mut incoming = signal(SignalKind::from_raw(passed.as_raw()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while incoming.recv().await.is_some() {
                    if sender.send(passed).await.is_err() {
                        return;
                    }
                }
            });
        }
        let mut child = command.spawn()?;
        started(child.id());
        let pid = Pid::from_child(&child);
        let mut ended = tokio::task::spawn_blocking(move || wait_without_reaping(pid));
        loop {
            tokio::select! {
                _ = &mut ended => break,
                Some(signal) = signals.recv() => pass_on(signal, pid),
            }
        }
        reap(&mut child)
    })
}

/// Waits until a child has ended, and leaves it to be reaped: until then its number is no other process's.
fn wait_without_reaping(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
}

fn reap(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

fn pass_on(signal: Signal, child: Pid) {
    // What was typed at a terminal went to everybody in its foreground, the command among them.
    let typed = [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&signal);
    if typed && in_foreground() {
        return;
    }
    // One that has ended needs no signal any more.
    let _ = kill_process(child, signal);
}

/// Whether this process is in the foreground of a terminal.
fn in_foreground() -> bool {
    File::open("/dev/tty")
        .and_then(|terminal| Ok(rustix::termios::tcgetpgrp(&terminal)?))
        .is_ok_and(|group| group == rustix::process::getpgrp())
}

/// The signals to pass on. Those that this process was told to ignore (`nohup`) stay ignored, for the command too.
fn passed_signals() -> impl Iterator<Item = Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let passed = [
        Signal::INT,
        Signal::TERM,
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
        Signal::WINCH,
    ];
    passed
        .into_iter()
        .filter(move |signal| ignored & (1 << (signal.as_raw() - 1)) == 0)
}

/// What a shell would say of it.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status
        .code()
        .or_else(|| status.signal().map(|number| 128 + number));
    // Codes and signals are below 256 on every system this runs on.
    Exit::of_command(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX),
    )
}

/// Variables that SDKs read before they ask the endpoint. The two without `_ID` and `_ACCESS` are those of the SDKs for
/// Go and Java beside the others.
const WOULD_WIN: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CREDENTIAL_FILE",
];
/// Signals that may wait to be passed on; the system itself keeps one of each kind.
const SIGNALS_WAITING: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_a_signal_is_128_and_its_number() {
        assert_eq!(exit_of(ExitStatus::from_raw(7 << 8)).code(), 7);
        assert_eq!(exit_of(ExitStatus::from_raw(15)).code(), 143);
    }
}
