//! `bowline audit export`: the log in a file that verifies without the home.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bowline_service::{ExportLog, ExportedLog};
use clap::Args;
use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::caller::{Connection, Receiver};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::render::{Facts, shell_word};

/// Write the whole log into a file that verifies without the home
///
/// The file has every event with its exact text, the hashes over them and the signed checkpoint, as JSON lines.
/// Events since the last checkpoint are signed first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline audit export log.jsonl
  bowline audit verify log.jsonl --key \"$(bowline audit key)\"")]
pub(super) struct Export {
    /// The file to write, mode 0600, since events name subjects and addresses; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Made {
    file: PathBuf,
    #[serde(flatten)]
    exported: ExportedLog,
}

impl Export {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let to_output = self.file == Path::new("-");
        let exported = match to_output {
            true => {
                let connection = context.connect()?;
                let (output, line) = context.streams();
                let mut receiver = Receiver::new(output, line);
                let answered = connection.transfer(ExportLog {}, &mut receiver);
                let failure = receiver.failure();
                answered.map_err(|error| failure.map_or(error, Error::output))?
            }
            false => self.to_file(context)?,
        };
        let file = match to_output {
            true => self.file.clone(),
            false => context.path(&self.file),
        };
        let facts = Facts::new()
            .fact("log", file.display())
            .fact("name", &exported.origin)
            .fact("events", exported.size)
            .fact("root", &exported.root)
            .fact("key", &exported.vkey);
        let text = format!(
            "{facts}\nTo verify it anywhere:\n  bowline audit verify {} --key '{}'\n",
            shell_word(&file.display().to_string()),
            exported.vkey
        );
        let made = Made { file, exported };
        if !to_output {
            return context.print(&made, text);
        }
        // Standard output is the log.
        match context.format() {
            OutputFormat::Text => context.hint(facts.to_string().trim_end()),
            // Cannot fail: numbers and texts.
            OutputFormat::Json => context.hint(serde_json::to_string(&made).unwrap_or_default()),
        }
        Ok(Exit::SUCCESS)
    }

    fn to_file(&self, context: &mut Context<'_>) -> Result<ExportedLog, Error> {
        let path = context.path(&self.file);
        files::refuse_existing(&[&path], self.force)?;
        let connection = context.connect()?;
        let failed = |error| Error::file("write", &path, error);
        let file = files::unfinished(&path, UNFINISHED).map_err(failed)?;
        let mut writing = io::BufWriter::new(file.as_file());
        let exported = receive(context, &connection, &mut writing, &failed)?;
        writing.flush().map_err(failed)?;
        drop(writing);
        file.as_file().sync_all().map_err(failed)?;
        files::persist(file, &path, self.force)?;
        Ok(exported)
    }
}

fn receive(
    context: &mut Context<'_>,
    connection: &Connection,
    writing: &mut dyn Write,
    failed: &dyn Fn(io::Error) -> Error,
) -> Result<ExportedLog, Error> {
    let mut receiver = Receiver::new(writing, context.progress());
    let answered = connection.transfer(ExportLog {}, &mut receiver);
    let failure = receiver.failure();
    answered.map_err(|error| failure.map_or(error, failed))
}

/// How the name of an export begins that is not finished.
const UNFINISHED: &str = ".bowline-log-";
