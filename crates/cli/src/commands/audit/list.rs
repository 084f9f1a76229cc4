//! `bowline audit list`: what happened, narrowed to what somebody wants to know.

use std::io::Write;
use std::net::IpAddr;

use bowline_service::{ListEvents, Moment, Outcome, Time};
use clap::{Args, ValueEnum};

use super::rows::{Form, Rows};
use crate::arguments::OutputFormat;
use crate::caller::Receiver;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::times;

/// List events, as they happened or the last one first
///
/// The filters narrow each other. Events are streamed: a log of any length can be listed. A table cuts long details
/// off; JSON lines have every event as it lies in the log. In CSV, what a spreadsheet would take for a formula gets an
/// apostrophe in front.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline audit list --newest-first --limit 20
  bowline audit list --subject web-1 --from -24h
  bowline audit list --outcome refused --source 192.0.2.7 --format jsonl
  bowline audit list --event certificate_revoked --format csv > revoked.csv")]
pub(super) struct List {
    /// Only events from this time on: with its offset, or as a duration back from now, as in -24h
    #[arg(long, value_name = "TIME", value_parser = times::moment, allow_hyphen_values = true)]
    from: Option<Moment>,

    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = times::moment, allow_hyphen_values = true)]
    to: Option<Moment>,

    /// Only events about this subject: all of it, a value in it, or an alternative name; * stands for anything
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// Only events about the certificate with this serial number (0x… or with colons)
    #[arg(long, value_name = "SERIAL")]
    certificate: Option<String>,

    /// Only events about this role, by name or ARN: done to it, for it, or under it
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// Only what was done (succeeded), or only what was not (refused)
    #[arg(long, value_name = "OUTCOME", hide_possible_values = true)]
    outcome: Option<Ended>,

    /// Only events of this kind, as in certificate_issued, session_denied
    #[arg(long, value_name = "KIND")]
    event: Option<String>,

    /// Only what was asked from this address
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,

    /// How many at most [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Begin with the last one
    #[arg(long)]
    newest_first: bool,

    /// How to print them: table, jsonl or csv [default: table; jsonl with --output json]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    /// It was done.
    Succeeded,
    /// It was refused.
    Refused,
}

impl List {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let now = context.now();
        let ask = ListEvents {
            from: time(self.from, now)?,
            to: time(self.to, now)?,
            subject: self.subject,
            certificate: self.certificate,
            role: self.role,
            outcome: self.outcome.map(|outcome| match outcome {
                Ended::Succeeded => Outcome::Succeeded,
                Ended::Refused => Outcome::Refused,
            }),
            event: self.event,
            source: self.source,
            after: None,
            limit: self.limit,
            newest_first: self.newest_first,
        };
        let form = self.format.unwrap_or(match context.format() {
            OutputFormat::Text => Form::Table,
            OutputFormat::Json => Form::Jsonl,
        });
        let connection = context.connect()?;
        let (output, line) = context.streams();
        let mut rows = Rows::new(output, form);
        let mut receiver = Receiver::new(&mut rows, line);
        let answered = connection.transfer(ask, &mut receiver);
        let failure = receiver.failure();
        answered.map_err(|error| failure.map_or(error, Error::output))?;
        rows.flush().map_err(Error::output)?;
        Ok(Exit::SUCCESS)
    }
}

fn time(moment: Option<Moment>, now: Time) -> Result<Option<Time>, Error> {
    let time = moment.map(|moment| match moment {
        Moment::At(time) => Some(time),
        Moment::In(seconds) => now.checked_add_signed(chrono::TimeDelta::try_seconds(seconds)?),
    });
    match time {
        Some(None) => Err(bowline_service::Error::MomentOutOfRange.into()),
        found => Ok(found.flatten()),
    }
}
