//! `bowline audit verify`: whether an exported log is the one that was signed. Needs no home.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bowline_service::{LogError, Progress, VerifiedLog, verify_log};
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Facts;

/// Verify an exported log with nothing but its key
///
/// Every change is named: events that were edited, removed, inserted, moved or cut off. Whoever holds the log's
/// private key could sign another log; hold it against a checkpoint that you kept with --since. Needs no home. Exits
/// 0 if the log is as it was signed, 4 if not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline audit verify log.jsonl --key 'example/01ab23cd+9f2c41aa+AZ…'
  bowline audit verify log.jsonl --key log.key --since checkpoint-2026-05-01.txt")]
pub(super) struct Verify {
    /// The exported log
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The log's key, as `audit key` prints it, or a file with it. Take it from where you trust it, not from beside
    /// the log
    #[arg(long, value_name = "KEY|FILE")]
    key: String,

    /// An earlier checkpoint of the same log, as `audit checkpoint` prints it
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let key = self.key(context)?;
        let since = self
            .since
            .as_deref()
            .map(|file| context.read_text(file))
            .transpose()?;
        let path = context.path(&self.file);
        let failed = |error| Error::file("read", &path, error);
        let file = File::open(&path).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        let mut line = context.progress();
        let verified = verify_log(
            &mut BufReader::new(file),
            &key,
            since.as_deref(),
            &mut |progress| line.show(&Progress { total, ..progress }),
        );
        drop(line);
        match verified {
            Ok(log) => print(context, &log),
            Err(LogError::Input(error)) => Err(failed(error)),
            Err(error) => {
                if let LogError::Tampered(tampering) = &error {
                    let text: String = tampering
                        .changes
                        .iter()
                        .map(|change| format!("{change}\n"))
                        .collect();
                    context.print(&json!({ "verified": false, "tampering": tampering }), text)?;
                }
                Err(Error::in_file(&path)(Error::Log(error)))
            }
        }
    }

    /// The key itself, or what is in the file of that name.
    fn key(&self, context: &mut Context<'_>) -> Result<String, Error> {
        let file = Path::new(&self.key);
        if self.key.contains('+') && !context.path(file).exists() {
            return Ok(self.key.clone());
        }
        Ok(context.read_text(file)?.trim().to_owned())
    }
}

fn print(context: &mut Context<'_>, log: &VerifiedLog) -> Result<Exit, Error> {
    let since = log
        .since
        .map(|size| format!("its first {size} events are those of the earlier checkpoint"));
    let facts = Facts::new()
        .fact("verified", "every event is as it was signed")
        .fact("name", &log.origin)
        .fact("events", log.size)
        .maybe("until", log.until.as_ref())
        .fact("root", &log.root)
        .maybe("since", since);
    context.print(
        &json!({
            "verified": true, "origin": log.origin, "size": log.size, "root": log.root,
            "until": log.until, "since": log.since,
        }),
        facts,
    )
}
