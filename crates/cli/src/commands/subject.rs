//! `bowline subject`: who traded certificates for credentials.

use bowline_service::{
    ListSubjects, ShowSubject, SubjectCredential, SubjectPage, SubjectView, format_time,
};
use clap::{Args, Subcommand};

use crate::arguments::OutputFormat;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Facts, table, yes_no};

/// Subjects: who traded certificates for credentials, when last, and with which
#[derive(Debug, Args)]
pub(crate) struct Subject {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
}

impl Subject {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
        }
    }
}

/// List the subjects that were seen; a certificate is seen once its path was found good
#[derive(Debug, Args)]
struct List {
    /// How many at most [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut after = None;
        let mut found: Vec<SubjectView> = Vec::new();
        while left > 0 {
            let page = ListSubjects {
                limit: Some(left.min(PAGE)),
                after,
            };
            let SubjectPage { subjects, next } = connection.call(page)?;
            left -= subjects.len().min(left);
            // For programs nothing is held back.
            match context.format() {
                OutputFormat::Json => {
                    context.print_list(&subjects, "")?;
                }
                OutputFormat::Text => found.extend(subjects),
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if context.format() == OutputFormat::Json {
            return Ok(Exit::SUCCESS);
        }
        let rows = found.iter().map(|subject| {
            vec![
                subject.x509_subject.clone(),
                format_time(subject.last_seen_at),
                subject.subject_id.clone(),
            ]
        });
        context.print_list(&found, table(&["subject", "last seen", "id"], rows))
    }
}

/// Show a subject with the certificates it was seen with
#[derive(Debug, Args)]
struct Show {
    /// Its id or ARN
    #[arg(value_name = "SUBJECT")]
    subject: String,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let subject = context.connect()?.call(ShowSubject {
            subject: self.subject,
        })?;
        let facts = Facts::new()
            .fact("subject", &subject.x509_subject)
            .fact("id", &subject.subject_id)
            .fact("arn", &subject.arn)
            .fact("enabled", yes_no(subject.enabled))
            .time("first seen", subject.created_at)
            .time("last seen", subject.last_seen_at);
        let rows = subject.credentials.iter().map(|credential| {
            let SubjectCredential {
                serial,
                issuer,
                failed,
                seen_at,
                not_after,
                ..
            } = credential;
            vec![
                format!("0x{serial}"),
                format_time(*seen_at),
                if *failed { "refused" } else { "accepted" }.into(),
                format_time(*not_after),
                issuer.clone(),
            ]
        });
        let headings = ["certificate", "seen", "and", "until", "issuer"];
        let text = format!("{facts}\n{}", table(&headings, rows));
        context.print(&subject, text)
    }
}

/// How many are asked for at once: the most a page has.
const PAGE: usize = 1_000;
