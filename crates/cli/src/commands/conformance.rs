//! `bowline conformance`: a door for published test suites.

use std::io::BufRead;

use bowline_service::conformance::{ConformanceKind, answer};
use clap::{Args, ValueEnum};

use crate::Environment;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Answer a published test suite: JSON cases in, JSON answers out, a line each
///
/// Reads cases from standard input and answers each on standard output, in order, through the very functions the
/// product uses. Needs no home, no network and no clock: every case brings its time. A case that does not read is
/// answered with `reject` and the reason. Exits 0 if every line was answered.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  echo '{\"id\":\"1\",\"leaf\":\"…\",\"anchors\":[\"…\"],\"at\":\"2026-06-01T12:00:00Z\"}' | bowline conformance chain")]
pub(crate) struct Conformance {
    /// What the cases are about
    #[arg(value_name = "KIND")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Certificate paths
    Chain,
    /// AWS4-HMAC signatures
    Sigv4,
    /// The authentication of CreateSession
    CreateSession,
    /// Policy decisions
    Policy,
}

impl Conformance {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let kind = match self.kind {
            Kind::Chain => ConformanceKind::Chain,
            Kind::Sigv4 => ConformanceKind::Sigv4,
            Kind::CreateSession => ConformanceKind::CreateSession,
            Kind::Policy => ConformanceKind::Policy,
        };
        let Environment { input, output, .. } = context.environment();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input
                .read_until(b'\n', &mut line)
                .map_err(|error| Error::file("read", "standard input".as_ref(), error))?;
            if read == 0 {
                return Ok(Exit::SUCCESS);
            }
            // What is no UTF-8 is no JSON either, and is answered as such.
            let case = String::from_utf8_lossy(&line);
            let case = case.trim_end_matches(['\n', '\r']);
            if case.trim().is_empty() {
                continue;
            }
            // Flushed a line at a time: a suite may wait for each answer before it sends the next case.
            writeln!(output, "{}", answer(kind, case))
                .and_then(|()| output.flush())
                .map_err(Error::output)?;
        }
    }
}
