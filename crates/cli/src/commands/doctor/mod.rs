//! `bowline doctor`: what is not as it should be, and what to do about it.
//!
//! [`place`] looks at the directory and its files; what is in them, the store and the service examine.

mod place;
mod repair;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bowline_service::{
    AcceptClock, AcceptedClock, Examination, Examine, Finding, Severity, format_time,
};
use bowline_store_sled::{OpenError, SledOptions};
use clap::Args;
use serde::Serialize;

use crate::caller::{Connection, Receiver};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::render::Facts;

/// Examine the home: every record and file of it, held against every other
///
/// Looks at the directory, the modes and owners of its files, the control socket, what interrupted commands left
/// and the free space; opens the home, or asks the server that has it; compares journal, checkpoints and index; and
/// checks that certificates, revocations, CRLs, anchors, profiles, roles and the log of events fit together. Each
/// finding comes with what to do about it, the worst first.
///
/// Exits 0 if all is well, 2 if there is something good to know, 3 if something will be trouble, 4 if something is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline doctor
  bowline doctor --repair
  bowline doctor --output json | jq -r '.findings[].code'")]
pub(crate) struct Doctor {
    /// Put right what can be without losing anything: modes, a socket nobody listens at, what interrupted restores
    /// left, the index, and CRLs that lack a revocation
    #[arg(long)]
    repair: bool,

    /// Go by the clock as it is now, although the home has been at a later time: after a clock that was ahead was
    /// set right
    #[arg(long)]
    accept_clock: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    /// `ok`, or the severity of the worst finding.
    status: &'static str,
    /// The directory, if it is on this machine.
    home: Option<PathBuf>,
    /// How many records were read.
    records: u64,
    /// The worst first.
    findings: Vec<Finding>,
    /// What was put right.
    repaired: Vec<String>,
}

impl Doctor {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        if context.global().server.is_none() {
            let home = context.home()?;
            return self.examine_here(context, &home);
        }
        if self.repair || self.accept_clock {
            return Err(Error::Usage(
                "--repair and --accept-clock work on a home on this machine: leave --server (BOWLINE_SERVER) out"
                    .into(),
            ));
        }
        let connection = context.connect()?;
        let Examination {
            records, findings, ..
        } = examine(context, &connection)?;
        report(context, None, records, findings, Vec::new())
    }

    /// Examines a home on this machine.
    fn examine_here(&self, context: &mut Context<'_>, home: &Home) -> Result<Exit, Error> {
        // 1. The place. What keeps the home from opening is put right first.
        let mut findings = Vec::new();
        let mut repaired = Vec::new();
        for problem in place::inspect(home, &context.environment().variables) {
            match problem.put_right(home, self.repair) {
                Some(done) => repaired.push(done),
                None => findings.push(problem.finding),
            }
        }

        // 2. What is in it.
        let mut records = 0;
        match self.look_inside(context, home, &mut repaired) {
            Ok((examination, notes)) => {
                records = examination.records;
                findings.extend(examination.findings);
                findings.extend(notes);
                if let Some(missing) = place::key_file_missing(home, examination.under_key_file) {
                    // It says why, and what to do.
                    findings.retain(|finding| finding.code != "home_locked");
                    findings.push(missing);
                }
            }
            // It may be as well as can be: somebody works with it.
            Err(error @ Error::Open(OpenError::Locked { .. } | OpenError::IndexBusy { .. })) => {
                return Err(error);
            }
            Err(error) => {
                let what = error.to_string();
                // Modes and owners were looked at before, and may be what keeps it closed.
                if findings.iter().all(|finding| finding.what != what) {
                    findings.push(Finding {
                        severity: Severity::Critical,
                        code: error.code(),
                        what,
                        fix: fix_of(&error).into(),
                    });
                }
            }
        }
        report(context, Some(home.path()), records, findings, repaired)
    }

    /// Examines the records; the second part tells what opening had to do.
    fn look_inside(
        &self,
        context: &mut Context<'_>,
        home: &Home,
        repaired: &mut Vec<String>,
    ) -> Result<(Examination, Vec<Finding>), Error> {
        let (connection, notes) = open(context, home)?;
        if self.accept_clock {
            let AcceptedClock { was, now } = connection.call(AcceptClock {})?;
            repaired.push(format!(
                "goes by the clock as it is: it is {}, and the home had been at {}",
                format_time(now),
                format_time(was)
            ));
        }
        let examined = examine(context, &connection)?;
        let notes = notes.into_iter().map(|note| Finding {
            severity: Severity::Info,
            code: "home_repaired".into(),
            what: note,
            fix: "nothing: opening the home has put it right; if it comes again without a crash, look at the disk"
                .into(),
        });
        let notes = notes.collect();
        if !self.repair {
            return Ok((examined, notes));
        }
        let done = repair::inside(home, connection, &examined.findings)?;
        if done.is_empty() {
            return Ok((examined, notes));
        }
        repaired.extend(done);
        let (connection, _) = open(context, home)?;
        Ok((examine(context, &connection)?, notes))
    }
}

fn open(context: &mut Context<'_>, home: &Home) -> Result<(Connection, Vec<String>), Error> {
    let local = context.local(home.clone());
    let mut options = SledOptions::server();
    if !home.path().join("index").exists() {
        // None was needed so far, and none is made only to be looked at.
        options.memory_journal_bytes = SledOptions::one_shot().memory_journal_bytes;
    }
    let mut line = context.progress();
    Connection::local(local, &options, &mut |progress| line.show(&progress))
}

fn examine(context: &mut Context<'_>, connection: &Connection) -> Result<Examination, Error> {
    // It gives no bytes.
    let mut nowhere = std::io::sink();
    let mut receiver = Receiver::new(&mut nowhere, context.progress());
    connection.transfer(Examine {}, &mut receiver)
}

/// What to do about a home that does not open.
fn fix_of(error: &Error) -> &'static str {
    match error {
        Error::Open(OpenError::NewerFormat { .. }) => {
            "run the program that wrote it, or a newer one"
        }
        Error::Open(OpenError::Damaged { .. }) => {
            "put back a copy of that file, or restore the last backup: `bowline restore FILE --home NEW`"
        }
        Error::Open(_) => {
            "look at the disk and its free space; if it is not that, restore the last backup: `bowline restore FILE --home NEW`"
        }
        Error::Service(bowline_service::Error::NotInitialized) => {
            "run `bowline init`, or restore a backup: `bowline restore FILE --home NEW`"
        }
        _ => {
            "do what it says and run `bowline doctor` again; if the home stays so, restore the last backup: `bowline restore FILE --home NEW`"
        }
    }
}

/// Prints what was found, and exits by the worst of it.
fn report(
    context: &mut Context<'_>,
    home: Option<&Path>,
    records: u64,
    mut findings: Vec<Finding>,
    repaired: Vec<String>,
) -> Result<Exit, Error> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let worst = findings.iter().map(|finding| finding.severity).max();
    let report = Report {
        status: worst.map_or("ok", word),
        home: home.map(Path::to_owned),
        records,
        findings,
        repaired,
    };
    let text = text(&report);
    context.print(&report, text)?;
    Ok(match worst {
        None => Exit::SUCCESS,
        Some(Severity::Info) => Exit::INFO,
        Some(Severity::Warning) => Exit::WARNING,
        Some(Severity::Critical) => Exit::CRITICAL,
    })
}

fn text(report: &Report) -> String {
    let facts = Facts::new()
        .maybe("home", report.home.as_ref().map(|home| home.display()))
        .fact("records", report.records)
        .each("repaired", &report.repaired)
        .fact("status", report.status);
    let mut text = facts.to_string();
    for Finding {
        severity,
        code,
        what,
        fix,
    } in &report.findings
    {
        let severity = word(*severity);
        // Cannot fail: a String takes all there is memory for.
        let _ = writeln!(text, "\n{severity}: {what} [{code}]\n  {fix}");
    }
    text
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}
