//! `bowline backup`: everything in the home, in one file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bowline_service::{Backup as BackupHome, BackupSummary, format_time};
use clap::Args;
use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::backups::{BackupFile, Recipients, Writing, passing_identity};
use crate::caller::{Connection, Receiver};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::progress::bytes;
use crate::render::Facts;

/// Copy everything in the home into one file, while the home goes on
///
/// The file holds every record as of one moment, checksummed throughout; it is read back completely before it gets
/// its name. Private keys in it stay sealed, and what opens them is not in it: keep unseal.key, or the passphrase,
/// somewhere else. `bowline restore` makes a home of it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline backup home.backup
  bowline backup home.backup.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  bowline backup - --recipient operators.txt | ssh safe 'cat > home.backup.age'
  bowline backup home.backup --server https://ca.example:8443 --root roots.pem --as alice.crt")]
pub(crate) struct Backup {
    /// The file to write, mode 0600; - is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Encrypt the whole file for this recipient (age1…), or for those in a file, one a line. Whoever has the
    /// identity of any of them can restore it
    #[arg(long = "recipient", value_name = "age1…|FILE")]
    recipients: Vec<String>,

    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// What was written, and what is not in it.
#[derive(Serialize)]
struct Made {
    file: PathBuf,
    #[serde(flatten)]
    summary: BackupSummary,
    /// The file's length; more than what is in it where it is encrypted.
    file_bytes: u64,
    /// For how many recipients it is encrypted.
    recipients: usize,
    /// Where what opens the keys is, if it is a file of the home.
    unseal_key: Option<PathBuf>,
}

impl Backup {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let recipients = Recipients::read(&self.recipients, |file| context.read_text(file))?;
        let made = match self.file == Path::new("-") {
            true => to_output(context, &recipients)?,
            false => self.to_file(context, &recipients)?,
        };
        let text = text(&made);
        if self.file != Path::new("-") {
            return context.print(&made, text);
        }
        // Standard output is the backup.
        match context.format() {
            OutputFormat::Text => context.hint(text.trim_end()),
            // Cannot fail: numbers and texts.
            OutputFormat::Json => context.hint(serde_json::to_string(&made).unwrap_or_default()),
        }
        Ok(Exit::SUCCESS)
    }

    fn to_file(&self, context: &mut Context<'_>, recipients: &Recipients) -> Result<Made, Error> {
        let path = context.path(&self.file);
        files::refuse_existing(&[&path], self.force)?;
        let connection = context.connect()?;
        for left in remove_leftovers(files::directory_of(&path)) {
            context.hint(format_args!(
                "removed {}, which an interrupted backup left",
                left.display()
            ));
        }
        // 1. All of it into a file that nobody else looks at.
        let failed = |error| Error::file("write", &path, error);
        let file = files::unfinished(&path, UNFINISHED).map_err(failed)?;
        let (passing, identities) = passing_identity();
        let sealed_for: Vec<&dyn age::Recipient> = match recipients.count() {
            0 => Vec::new(),
            _ => recipients
                .each()
                .chain([&passing as &dyn age::Recipient])
                .collect(),
        };
        let writing = Writing::begin(file.as_file(), &sealed_for).map_err(failed)?;
        let summary = receive(context, &connection, writing, &|error| failed(error))?;
        file.as_file().sync_all().map_err(failed)?;

        // 2. Read back, as a restore will.
        let mut written = BackupFile::open(file.path())?;
        let mut line = context.progress();
        let read = written
            .verify(&identities, "verifying the backup", &mut |progress| {
                line.show(progress);
            })
            .map_err(|error| match error {
                Error::Backup { source, .. } => Error::backup(&path)(source),
                error => error,
            })?;
        drop(line);
        let said = (summary.last_commit, summary.records, summary.bytes);
        if (read.header.sequence, read.records, read.bytes) != said {
            return Err(Error::BackupDiffers { path });
        }

        // 3. Its name, in one step.
        let file_bytes = written.bytes();
        files::persist(file, &path, self.force)?;
        Ok(Made {
            file: path,
            summary,
            file_bytes,
            recipients: recipients.count(),
            unseal_key: unseal_key(context),
        })
    }
}

fn to_output(context: &mut Context<'_>, recipients: &Recipients) -> Result<Made, Error> {
    let connection = context.connect()?;
    let sealed_for: Vec<&dyn age::Recipient> = recipients.each().collect();
    let (output, line) = context.streams();
    let counted = Counted { output, bytes: 0 };
    let mut writing = Writing::begin(counted, &sealed_for).map_err(Error::output)?;
    let mut receiver = Receiver::new(&mut writing, line);
    let answered = connection.transfer(BackupHome {}, &mut receiver);
    let failure = receiver.failure();
    let summary = answered.map_err(|error| failure.map_or(error, Error::output))?;
    let Counted {
        bytes: file_bytes, ..
    } = writing.finish().map_err(Error::output)?;
    Ok(Made {
        file: "-".into(),
        summary,
        file_bytes,
        recipients: recipients.count(),
        unseal_key: unseal_key(context),
    })
}

/// Has the backup made, into a file.
fn receive(
    context: &mut Context<'_>,
    connection: &Connection,
    mut writing: Writing<&File>,
    failed: &dyn Fn(io::Error) -> Error,
) -> Result<BackupSummary, Error> {
    let mut receiver = Receiver::new(&mut writing, context.progress());
    let answered = connection.transfer(BackupHome {}, &mut receiver);
    let failure = receiver.failure();
    let summary = answered.map_err(|error| failure.map_or(error, failed))?;
    writing.finish().map_err(failed)?;
    Ok(summary)
}

/// Where what opens the keys is, if the home is on this machine and a file opens it.
fn unseal_key(context: &Context<'_>) -> Option<PathBuf> {
    match context.global().server {
        Some(_) => None,
        None => Some(context.home().ok()?.unseal_key_file()).filter(|file| file.exists()),
    }
}

fn text(made: &Made) -> String {
    let Made { summary, .. } = made;
    let encryption = match (made.recipients, made.file_bytes) {
        (0, _) => None,
        (1, length) => Some(format!("for 1 recipient, {} in all", bytes(length as f64))),
        (count, length) => Some(format!(
            "for {count} recipients, {} in all",
            bytes(length as f64)
        )),
    };
    let written = summary.written_at.map(format_time);
    let facts = Facts::new()
        .fact("backup", made.file.display())
        .fact(
            "last commit",
            match &written {
                Some(at) => format!("{}, written at {at}", summary.last_commit),
                None => summary.last_commit.to_string(),
            },
        )
        .fact("records", summary.records)
        .fact("bytes", summary.bytes)
        .maybe("encrypted", encryption);
    let keys = match &made.unseal_key {
        Some(file) => format!(
            "Not in it: {}, which opens the keys. Keep a copy of that somewhere else than the backups.",
            file.display()
        ),
        None => "Not in it: what opens the keys, which is the home's unseal.key or its passphrase. Keep that somewhere else than the backups.".into(),
    };
    format!("{facts}\n{keys}\n")
}

/// Counts what goes through it.
struct Counted<'w> {
    output: &'w mut dyn io::Write,
    bytes: u64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Removes what interrupted backups left in a directory: files of ours that no process holds.
fn remove_leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(UNFINISHED)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    ours.map(|entry| entry.path())
        .filter(|path| files::take_unheld(path).is_some_and(|_held| fs::remove_file(path).is_ok()))
        .collect()
}

/// How the name of a backup begins that is not finished.
const UNFINISHED: &str = ".bowline-backup-";
