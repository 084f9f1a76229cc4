//! `bowline restore`: a home out of a backup.

mod place;

use std::path::PathBuf;

use bowline_service::{
    Caller, FinishRestore, Operation, Progress, RestoredHome, Time, UnsealKey, format_time,
};
use bowline_store_sled::checkpoint::Summary;
use bowline_store_sled::{RestoreError, SledOptions, restore};
use chrono::DateTime;
use clap::Args;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;

use crate::backups::{BackupFile, Identities, identities_in};
use crate::caller::Local;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::{Home, Opened};
use crate::render::{Facts, shell_word};
use crate::times;

use place::{Place, Workshop};

pub(super) use place::leftovers;

/// Make a home out of a backup
///
/// The backup is read and checked completely before anything is written. The home is made beside its place and
/// put there in one step, so that it is there whole or not at all. It issues, revokes and verifies like the old
/// one, with CRL numbers beyond any that were published. Whatever was acknowledged after the backup is not in it:
/// give the CRLs published since then with --crl, so that what they revoke stays revoked.
///
/// The keys in a backup are sealed. What opens them is not in it: give the home's unseal.key with --unseal-key, or
/// its passphrase with --key-password-file. Without either the home verifies, and signs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline restore home.backup --home /var/lib/bowline --unseal-key unseal.key
  bowline restore home.backup --home restored --unseal-key unseal.key --crl issuing.crl --crl operators.crl
  bowline restore home.backup.age --identity key.txt --home restored --key-password-file passphrase.txt")]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The unseal.key of the home that was backed up; a copy is put into the new one
    #[arg(long, value_name = "FILE", conflicts_with = "key_password_file")]
    unseal_key: Option<PathBuf>,

    /// CRLs of this home's authorities that were published after the backup, PEM or DER
    #[arg(long = "crl", value_name = "FILE")]
    revocation_lists: Vec<PathBuf>,

    /// A file with the identity (AGE-SECRET-KEY-1…) that opens an encrypted backup
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,

    /// Move a home that is in the place aside, to HOME.replaced-TIME; it is not removed
    #[arg(long)]
    force: bool,

    /// Go on although the log of events in the backup is not the one that was signed. Somebody changed it: only for
    /// where there is no other backup. The log tells of it
    #[arg(long)]
    accept_rewritten_log: bool,
}

/// What was made of what.
#[derive(Serialize)]
struct Made {
    home: PathBuf,
    backup: PathBuf,
    last_commit: u64,
    last_written_at: Option<Time>,
    records: u64,
    #[serde(flatten)]
    restored: RestoredHome,
    /// Where the home went that was in the place.
    moved_aside: Option<PathBuf>,
}

impl Restore {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        if context.global().server.is_some() {
            return Err(Error::Usage(
                "restore makes a home on this machine: leave --server (BOWLINE_SERVER) out".into(),
            ));
        }
        // 1. Everything that is named, before anything is done.
        let place = Place::choose(context.named_place()?, self.force)?;
        let unseal = self.unseal_key(context)?;
        let revocation_lists = self.revocation_lists(context)?;
        let identities = self.identities(context)?;

        // 2. The whole backup, before anything is written.
        let file = context.path(&self.file);
        let mut backup = BackupFile::open(&file)?;
        let mut line = context.progress();
        let summary = backup.verify(&identities, "verifying the backup", &mut |progress| {
            line.show(progress);
        })?;
        drop(line);

        // 3. The home, where nobody looks for one.
        for left in place::remove_leftovers(place.path()) {
            context.hint(format_args!(
                "removed {}, which an interrupted restore left",
                left.display()
            ));
        }
        let workshop = Workshop::beside(place.path())?;
        let home = workshop.home();
        let mut line = context.progress();
        let total = backup.bytes();
        restore(
            home.path(),
            &mut backup.read(&identities)?,
            &mut |progress| {
                line.show(&Progress { total, ..progress });
            },
        )
        .map_err(|error| match error {
            RestoreError::Checkpoint(error) => Error::backup(&file)(error),
            error => Error::Restore(error),
        })?;
        drop(line);
        if let Some((_, bytes)) = &unseal {
            files::create_secret(&home.unseal_key_file(), bytes)?;
        }

        // 4. What it needs to go on.
        let restored = self.finish(context, &home, &summary, revocation_lists)?;

        // 5. Its place, in one step.
        let moved_aside = place.fill(workshop, context.now())?;
        let made = Made {
            home: place.path().to_owned(),
            backup: file,
            last_commit: summary.header.sequence,
            last_written_at: written_at(&summary),
            records: summary.records,
            restored,
            moved_aside,
        };
        let text = text(context, &made);
        context.print(&made, text)
    }

    /// The key file, and what is in it.
    fn unseal_key(&self, context: &Context<'_>) -> Result<Option<(PathBuf, Secret)>, Error> {
        let Some(file) = &self.unseal_key else {
            return Ok(None);
        };
        let file = context.path(file);
        let bytes = zeroize::Zeroizing::new(files::read(&file)?);
        UnsealKey::from_file_bytes(&bytes).map_err(Error::in_file(&file))?;
        Ok(Some((file, bytes)))
    }

    fn revocation_lists(&self, context: &mut Context<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let mut lists = Vec::new();
        for file in &self.revocation_lists {
            let bytes = context.read(file)?;
            lists.extend(lists_in(&bytes).map_err(Error::in_file(file))?);
        }
        Ok(lists)
    }

    fn identities(&self, context: &mut Context<'_>) -> Result<Identities, Error> {
        let mut identities = Identities::new();
        for file in &self.identities {
            let text = zeroize::Zeroizing::new(context.read(file)?);
            identities.extend(identities_in(file, &text)?);
        }
        Ok(identities)
    }

    /// Opens the home as it will be opened, and makes it ready to go on.
    fn finish(
        &self,
        context: &mut Context<'_>,
        home: &Home,
        summary: &Summary,
        revocation_lists: Vec<Vec<u8>>,
    ) -> Result<RestoredHome, Error> {
        let mut local: Local = context.local(home.clone());
        if self.unseal_key.is_some() {
            // A passphrase in the environment is another home's.
            local.password_file = None;
        }
        let mut line = context.progress();
        let opened = home.open(&SledOptions::one_shot(), &mut |progress| {
            line.show(&progress);
        })?;
        drop(line);
        let store = match opened {
            Opened::Here(store) => store,
            // Nobody else knows of it.
            Opened::Served(_) => {
                return Err(bowline_service::Error::internal("a new home is served").into());
            }
        };
        let service = local.service(store)?;
        // Whoever says what opens the keys wants a home that signs.
        let passphrase = context.global().key_password_file.as_deref();
        let given = self.unseal_key.as_deref().or(passphrase);
        if let Some(file) = given {
            service.ready().map_err(Error::in_file(file))?;
        }
        let finish = FinishRestore {
            last_written_at: written_at(summary),
            revocation_lists,
            accept_rewritten_log: self.accept_rewritten_log,
        };
        finish
            .run(&service, &Caller::Operator)
            .map_err(|error| match error {
                // It is the backup's fault, and no home is there to initialize.
                bowline_service::Error::NotInitialized => Error::in_file(&self.file)(error),
                error => error.into(),
            })
    }
}

type Secret = zeroize::Zeroizing<Vec<u8>>;

/// The CRLs of a file: one in DER, or those in PEM, at least one.
fn lists_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, bowline_service::Error> {
    if bytes.first() == Some(&DER_SEQUENCE) && !bytes.windows(PEM.len()).any(|text| text == PEM) {
        return Ok(vec![bytes.to_vec()]);
    }
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => {
            Ok(lists.iter().map(|list| list.as_ref().to_vec()).collect())
        }
        Ok(_) | Err(_) => Err(bowline_service::Error::NoCrl),
    }
}

fn written_at(summary: &Summary) -> Option<Time> {
    let seconds = i64::try_from(summary.header.written_at).ok()?;
    (seconds > 0).then(|| DateTime::from_timestamp(seconds, 0))?
}

fn text(context: &Context<'_>, made: &Made) -> String {
    let Made { restored, .. } = made;
    let last = match made.last_written_at {
        Some(at) => format!("{}, commit {}", format_time(at), made.last_commit),
        None => format!("commit {}", made.last_commit),
    };
    let gap = restored.gap_seconds.map(|seconds| {
        let length = std::time::Duration::from_secs(seconds.unsigned_abs());
        match seconds < 0 {
            true => format!("none: this clock is {} behind", times::in_words(length)),
            false => format!("{} before now", times::in_words(length)),
        }
    });
    let revocations = format!(
        "{} added from CRLs, {} of theirs known already",
        restored.revocations_added, restored.revocations_known
    );
    let numbers = restored
        .revocation_list_numbers
        .iter()
        .map(|(authority, number)| format!("{authority} goes on from {number}"));
    let facts = Facts::new()
        .fact("home", made.home.display())
        .fact("name", &restored.name)
        .fact("records", made.records)
        .fact("last change", last)
        .maybe("gap", gap)
        .fact("revocations", revocations)
        .each("CRL numbers", numbers)
        .maybe("accepted", restored.accepted_rewritten_log.as_ref())
        .fact(
            "keys",
            restored.locked.as_ref().map_or_else(
                || "open".to_owned(),
                |why| format!("closed, it verifies and signs nothing: {why}"),
            ),
        )
        .maybe(
            "moved aside",
            made.moved_aside.as_ref().map(|path| path.display()),
        );
    let since = match made.last_written_at {
        Some(at) => format_time(at),
        None => "its last change".into(),
    };
    let mut text = format!(
        "{facts}\nWhatever was acknowledged after {since} is not in it. Revocations since then are missing unless a CRL given\nwith --crl told them. Certificates issued since then are good for whoever verifies them, and get no credentials\nhere: issue them again.\n"
    );
    if restored.locked.is_some() {
        text.push_str(&format!(
            "\nTo open the keys: put the unseal.key of the home that was backed up into {}, or give its passphrase\nwith --key-password-file.\n",
            shell_word(&made.home.display().to_string())
        ));
    }
    if context.global().home.is_some() {
        text.push_str(&format!(
            "\nNext:\n  bowline doctor --home {}\n",
            shell_word(&made.home.display().to_string())
        ));
    }
    text
}

/// What a DER document of ours begins with (X.690 §8.9).
const DER_SEQUENCE: u8 = 0x30;
/// What a PEM block begins with (RFC 7468 §2).
const PEM: &[u8] = b"-----BEGIN ";
