//! Credentials between two runs of `credential-process`: a private file for each thing that can be asked.
//!
//! The files are as secret as those in `~/.aws/cli/cache`: readable by their owner only, and good for the hours that
//! the credentials last. A file or directory that others own or may read is not used, and a damaged file is as none.
//! One process trades at a time, and those that waited for it take what it got.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bowline_service::{Kind, SessionCredentials, Time, format_time};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Draw, good_until};
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::variable;

/// Where credentials lie between two runs.
pub(crate) struct Cache {
    directory: PathBuf,
    /// Of the file, without its end: a hash of everything the credentials depend on.
    name: String,
}

/// Why what lies there is not used.
#[derive(Debug, thiserror::Error)]
enum Unused {
    #[error("{} belongs to user {owner} and this process runs as {user}: remove it", path.display())]
    Owner {
        path: PathBuf,
        owner: u32,
        user: u32,
    },
    #[error("{} has mode {mode:04o}, and nobody but its owner may read it: `chmod go= {}`", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("{} is no {expected}: remove it", path.display())]
    Kind {
        path: PathBuf,
        expected: &'static str,
    },
    #[error("{} does not read as credentials", path.display())]
    Damaged { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: u32,
    obtained_at: Time,
    credentials: SessionCredentials,
}

impl Cache {
    /// The place for what depends on `parts`. Nothing where no directory for caches is known.
    pub(crate) fn of(variables: &BTreeMap<OsString, OsString>, parts: &[&[u8]]) -> Option<Cache> {
        let below = match variable(variables, "XDG_CACHE_HOME").map(Path::new) {
            // XDG Base Directory Specification: what is not absolute does not count.
            Some(caches) if caches.is_absolute() => caches.to_owned(),
            Some(_) | None => Path::new(variable(variables, "HOME")?).join(".cache"),
        };
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, so that no two lists of parts run into the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(Cache {
            directory: below.join("bowline").join("credentials"),
            name: hex(&hash.finalize()),
        })
    }

    /// Gives the credentials that lie there, or has new ones traded and puts them there. What keeps the cache from
    /// being used is told, and is no reason to fail.
    pub(crate) fn through(
        &self,
        now: Time,
        draw: Draw,
        trade: impl FnOnce() -> Result<SessionCredentials, Error>,
        tell: &mut dyn FnMut(String),
    ) -> Result<SessionCredentials, Error> {
        let mut complain = |unused: &Unused| tell(format!("the cache is not used: {unused}"));
        // 1. A place of our own.
        if let Err(unused) = self.prepare() {
            complain(&unused);
            return trade();
        }
        // 2. What lies there, if it is good for long enough.
        let is_good = |entry: &Entry| {
            // From the future is a clock that was set back: nothing is known about the end then.
            entry.obtained_at <= now + CLOCKS_DIFFER
                && now < good_until(entry.obtained_at, entry.credentials.expiration, draw)
        };
        match self.read() {
            Ok(Some(entry)) if is_good(&entry) => return Ok(entry.credentials),
            Ok(_) => {}
            Err(unused) => complain(&unused),
        }
        // 3. One trades, and the others take what it got.
        let begun = Instant::now();
        let turn = loop {
            match self.take_turn() {
                Ok(Some(turn)) => break Some(turn),
                Ok(None) if begun.elapsed() < TURN_MAX => std::thread::sleep(TURN_POLL),
                Ok(None) => break None,
                Err(unused) => {
                    complain(&unused);
                    break None;
                }
            }
            if let Ok(Some(entry)) = self.read()
                && is_good(&entry)
            {
                return Ok(entry.credentials);
            }
        };
        let lying = self.read().ok().flatten();
        if let Some(entry) = lying {
            if is_good(&entry) {
                return Ok(entry.credentials);
            }
            // 4. What is due but good serves where nobody can be asked.
            return match trade() {
                Ok(credentials) => Ok(self.put(credentials, now, turn, tell)),
                Err(error)
                    if error.exit() == Exit::from(Kind::Unavailable)
                        && entry.credentials.expiration > now + LEFT_MIN =>
                {
                    let until = format_time(entry.credentials.expiration);
                    tell(format!(
                        "{error}; the credentials there are go on until {until}"
                    ));
                    Ok(entry.credentials)
                }
                Err(error) => Err(error),
            };
        }
        let credentials = trade()?;
        Ok(self.put(credentials, now, turn, tell))
    }

    fn put(
        &self,
        credentials: SessionCredentials,
        now: Time,
        turn: Option<File>,
        tell: &mut dyn FnMut(String),
    ) -> SessionCredentials {
        let entry = Entry {
            version: VERSION,
            obtained_at: now,
            credentials,
        };
        if let Err(unused) = self.write(&entry) {
            tell(format!("the credentials are not kept: {unused}"));
        }
        self.sweep();
        drop(turn);
        entry.credentials
    }

    /// Makes the directory, and sees to it that it is ours alone.
    fn prepare(&self) -> Result<(), Unused> {
        use std::os::unix::fs::DirBuilderExt;
        let path = &self.directory;
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(path);
                made.map_err(in_file(path))?;
                fs::symlink_metadata(path)
            }
            found => found,
        };
        let metadata = metadata.map_err(in_file(path))?;
        if !metadata.is_dir() {
            return Err(Unused::Kind {
                path: path.clone(),
                expected: "directory",
            });
        }
        check_private(path, &metadata)
    }

    /// What lies there; nothing if nothing does.
    fn read(&self) -> Result<Option<Entry>, Unused> {
        let path = self.file();
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(NO_FOLLOW)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Unused::Io { path, source }),
        };
        let metadata = file.metadata().map_err(in_file(&path))?;
        if !metadata.is_file() {
            return Err(Unused::Kind {
                path,
                expected: "file",
            });
        }
        check_private(&path, &metadata)?;
        // Whole from the start: growing would leave copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENTRY_BYTES_MAX + 1));
        file.take(ENTRY_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(in_file(&path))?;
        parse(&bytes).map(Some).ok_or(Unused::Damaged { path })
    }

    /// Puts credentials there. Not synced: a torn file has another checksum and is as none.
    fn write(&self, entry: &Entry) -> Result<(), Unused> {
        let path = self.file();
        let failed = in_file(&path);
        let bytes = render(entry).map_err(|error| Unused::Io {
            path: path.clone(),
            source: error.into(),
        })?;
        let write = || -> io::Result<()> {
            let mut file = files::unfinished(&path, TEMPORARY_PREFIX)?;
            file.write_all(&bytes)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(failed)
    }

    /// The turn to trade; nothing if another process has it. Given back when dropped.
    fn take_turn(&self) -> Result<Option<File>, Unused> {
        let path = self.directory.join(format!("{}.lock", self.name));
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(&path);
        let file = opened.map_err(in_file(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some file systems have no locks. Nobody has this one then, and to wait for it would take its time at
            // every call.
            Err(TryLockError::Error(source)) => return Err(Unused::Io { path, source }),
        }
        // One that was swept away in this instant keeps nobody out any more.
        let held = file.metadata().map_err(in_file(&path))?;
        match fs::metadata(&path) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => Ok(Some(file)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Removes what is too old to be good. What cannot be removed is no trouble.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten().take(SWEPT_MAX) {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| written.elapsed().ok());
            if age.is_some_and(|age| age > LIFE_MAX) {
                // Held is a turn to trade that somebody has.
                if let Some(_held) = files::take_unheld(&entry.path()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.join(format!("{}.json", self.name))
    }
}

/// A line of JSON, and a line with its checksum.
fn render(entry: &Entry) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(ENTRY_BYTES_MAX));
    serde_json::to_writer(&mut *bytes, entry)?;
    let checksum = hex(&Sha256::digest(&*bytes));
    bytes.push(b'\n');
    bytes.extend_from_slice(checksum.as_bytes());
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (document, checksum) = text.strip_suffix('\n')?.split_once('\n')?;
    if hex(&Sha256::digest(document)) != checksum {
        return None;
    }
    let entry: Entry = serde_json::from_str(document).ok()?;
    (entry.version == VERSION).then_some(entry)
}

fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), Unused> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Unused::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(Unused::Mode {
            path: path.to_owned(),
            mode,
        }),
    }
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> Unused {
    let path = path.to_owned();
    move |source| Unused::Io {
        path: path.clone(),
        source,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The format of the files; others are as none.
const VERSION: u32 = 1;
/// A link in the place of a file is not followed.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
/// How the names of files begin that are not whole yet.
const TEMPORARY_PREFIX: &str = ".bowline-";
/// The most bytes of a file: a session token has at most 4 KiB.
const ENTRY_BYTES_MAX: usize = 32 * 1024;
/// How long one process waits for another's trade, which gives up within a minute.
const TURN_MAX: Duration = Duration::from_secs(65);
/// How often a process that waits looks.
const TURN_POLL: Duration = Duration::from_millis(10);
/// No credentials last longer than 12 hours.
const LIFE_MAX: Duration = Duration::from_secs(13 * 60 * 60);
/// The most files looked at for sweeping in one run.
const SWEPT_MAX: usize = 1_000;
/// How far in the future a file may have been written.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(60);
/// The least that must be left of credentials that are given for lack of new ones.
const LEFT_MIN: TimeDelta = TimeDelta::seconds(60);

#[cfg(test)]
mod tests;
