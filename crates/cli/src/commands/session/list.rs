//! `bowline session list` and `session show`: which sessions there are.

use std::io::{self, Write};

use bowline_service::{ListSessions, SessionState, SessionView, ShowSession, format_time};
use clap::Args;

use super::revoke::without_colons;
use crate::arguments::OutputFormat;
use crate::caller::Receiver;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Facts;

/// List the sessions that live, the oldest first
///
/// Nothing is stored for a session: they are read from the log of the last 37 hours, and held against what has ended
/// sessions since. The filters narrow each other.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline session list --role s3-reader
  bowline session list --subject 'web-*' --all
  bowline session list --output json | jq -r .session")]
pub(super) struct List {
    /// Only those of this role, by name or ARN; one that was deleted, by its ARN
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// Only those that this profile allowed, by name, id or ARN
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// Only those whose certificate this trust anchor vouched for, by name, id or ARN
    #[arg(long, value_name = "ANCHOR")]
    anchor: Option<String>,

    /// Only those of this subject: all of it or a value in it; * stands for anything
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// Only those of this certificate: a serial number (0x… or with colons), a name, or a SHA-256 fingerprint
    #[arg(long, value_name = "CERTIFICATE")]
    certificate: Option<String>,

    /// Only those with this source identity
    #[arg(long, value_name = "IDENTITY")]
    source_identity: Option<String>,

    /// Only those that this identity provider vouched for, by name or ARN; one that was deleted, by its ARN
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,

    /// Only those that began this way: create-session, assume-role, web-identity, saml or session-token
    #[arg(long, value_name = "WAY")]
    via: Option<String>,

    /// Also those that are over
    #[arg(long)]
    all: bool,

    /// How many at most [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

impl List {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let ask = ListSessions {
            role: self.role,
            profile: self.profile,
            trust_anchor: self.anchor,
            subject: self.subject,
            certificate: self.certificate.map(without_colons),
            source_identity: self.source_identity,
            provider: self.provider,
            via: self.via,
            all: self.all,
            limit: self.limit,
        };
        let table = context.format() == OutputFormat::Text;
        let connection = context.connect()?;
        let (output, line) = context.streams();
        let mut rows = Rows {
            output,
            table,
            begun: Vec::new(),
            any: false,
        };
        let mut receiver = Receiver::new(&mut rows, line);
        let answered = connection.transfer(ask, &mut receiver);
        let failure = receiver.failure();
        let listed = answered.map_err(|error| failure.map_or(error, Error::output))?;
        rows.flush().map_err(Error::output)?;
        if listed.listed == 0 && table {
            context.hint("no sessions");
        }
        if listed.uncertain {
            context.hint(
                "so many sessions were ended that some which were assumed from them may be listed as live",
            );
        }
        Ok(Exit::SUCCESS)
    }
}

/// Takes lines of JSON, in whatever pieces they come, and writes them as they are, or as rows.
struct Rows<'w> {
    output: &'w mut dyn Write,
    table: bool,
    /// A line of which the end has not come.
    begun: Vec<u8>,
    /// Whether there was a row.
    any: bool,
}

impl Rows<'_> {
    fn row(&mut self, line: &[u8]) -> io::Result<()> {
        let view: SessionView = serde_json::from_slice(line).map_err(io::Error::other)?;
        if !std::mem::replace(&mut self.any, true) {
            self.line(["SESSION", "STATE", "EXPIRES", "ROLE", "SUBJECT"])?;
        }
        let state = match &view.ended_by {
            Some(by) if view.state == SessionState::Revoked => format!("revoked: {by}"),
            Some(_) | None => view.state.as_str().into(),
        };
        let expires = format_time(view.expires);
        let (_, role) = view.role.split_once(":role/").unwrap_or(("", &view.role));
        let who = view.subject.as_deref().or(view.provider.as_deref());
        self.line([
            view.session.as_str(),
            &state,
            &expires,
            role,
            who.unwrap_or(""),
        ])
    }

    fn line(&mut self, [session, state, expires, role, who]: [&str; 5]) -> io::Result<()> {
        let text = format!("{session:32}  {state:17}  {expires:20}  {role:20}  {who}");
        // A control character in a subject must not move the cursor.
        let text: String = text
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        writeln!(self.output, "{text}")
    }
}

impl Write for Rows<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.table {
            return self.output.write(bytes);
        }
        self.begun.extend_from_slice(bytes);
        let begun = std::mem::take(&mut self.begun);
        let mut rest = begun.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.row(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        self.begun = rest.to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Show a session: whose it is, how it began, whether it lives
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The session, by its id or its access key id
    #[arg(value_name = "SESSION")]
    session: String,
}

impl Show {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let view = connection.call(ShowSession {
            session: self.session,
        })?;
        let facts = Facts::new()
            .fact("session", &view.session)
            .fact("access key", &view.access_key_id)
            .fact("state", view.state.as_str())
            .maybe("ended by", view.ended_by.as_ref())
            .time("issued", view.issued)
            .time("expires", view.expires)
            .fact("role", &view.role)
            .fact("via", &view.via)
            .maybe("assumed from", view.parent.as_ref())
            .maybe("subject", view.subject.as_ref())
            .maybe(
                "certificate",
                view.serial.as_ref().map(|serial| format!("0x{serial}")),
            )
            .maybe("provider", view.provider.as_ref())
            .maybe("source identity", view.source_identity.as_ref())
            .maybe("trust anchor", view.trust_anchor.as_ref())
            .maybe("profile", view.profile.as_ref())
            .maybe("from", view.source)
            .fact("event", view.event);
        context.print(&view, facts)
    }
}
