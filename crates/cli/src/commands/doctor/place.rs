//! The directory of a home: who may enter and read, what lies about, how much room is left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use bowline_service::{Finding, Severity};
use bowline_store_sled::{SledOptions, holder};

use crate::commands::restore;
use crate::error::Error;
use crate::files;
use crate::home::{Home, credential_file};
use crate::progress::bytes;

/// Something about the place, and how it can be put right.
pub(super) struct Problem {
    pub(super) finding: Finding,
    cure: Option<Cure>,
}

enum Cure {
    /// Close it to others.
    Close(PathBuf, u32),
    /// Remove the socket.
    RemoveSocket(PathBuf),
    /// Remove a directory that an interrupted restore left.
    RemoveWorkshop(PathBuf),
}

impl Problem {
    /// Puts it right if that is wanted and can be; says what was done.
    pub(super) fn put_right(&self, home: &Home, wanted: bool) -> Option<String> {
        let cure = self.cure.as_ref().filter(|_| wanted)?;
        match cure {
            Cure::Close(path, mode) => {
                fs::set_permissions(path, Permissions::from_mode(*mode)).ok()?;
                Some(format!("{} has mode {mode:04o} now", path.display()))
            }
            Cure::RemoveSocket(path) => {
                // A server that starts removes it itself, and then listens at its own.
                let _held = hold(home)?;
                refuses(path).then(|| fs::remove_file(path).ok())??;
                Some(format!("removed {}", path.display()))
            }
            Cure::RemoveWorkshop(path) => {
                let _held = files::take_unheld(path)?;
                fs::remove_dir_all(path).ok()?;
                Some(format!("removed {}", path.display()))
            }
        }
    }
}

/// Takes a home that nobody has open, so that nobody can open it meanwhile.
pub(super) fn hold(home: &Home) -> Option<fs::File> {
    match holder(home.path()) {
        Ok(None) => files::take_unheld(home.path()),
        Ok(Some(_)) | Err(_) => None,
    }
}

/// Looks at a home from outside.
pub(super) fn inspect(home: &Home, variables: &BTreeMap<OsString, OsString>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let user = rustix::process::geteuid().as_raw();
    for (path, metadata, allowed) in files_of(home) {
        problems.extend(owner(&path, &metadata, user));
        problems.extend(mode(&path, &metadata, allowed));
    }
    problems.extend(key_file(home, variables));
    problems.extend(socket(home));
    problems.extend(
        restore::leftovers(home.path())
            .into_iter()
            .map(interrupted_restore),
    );
    problems.extend(room(home));
    problems
}

/// The home, what is in it, and what is in the directories that are the truth; each with the widest mode it may
/// have. What sled keeps in its index is closed to others by the directory alone.
fn files_of(home: &Home) -> Vec<(PathBuf, Metadata, u32)> {
    let mut found = Vec::new();
    let mut pending = vec![(home.path().to_owned(), true)];
    while let Some((path, enter)) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let kind = metadata.file_type();
        if kind.is_dir() && enter {
            let top = path == home.path();
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            pending.extend(entries.map(|entry| {
                let ours = !["index", "index.discarded"]
                    .iter()
                    .any(|sleds| entry.file_name() == *sleds);
                let enter = top && ours;
                (entry.path(), enter)
            }));
        }
        let allowed = match kind.is_dir() {
            true => files::private().mode(),
            false => files::secret().mode(),
        };
        if kind.is_dir() || kind.is_file() || kind.is_socket() {
            found.push((path, metadata, allowed));
        }
    }
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    found
}

fn interrupted_restore(path: PathBuf) -> Problem {
    // One that was interrupted at its very end left nothing in it.
    let empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
    let (severity, holds) = match empty {
        true => (Severity::Info, "it is empty"),
        false => (
            Severity::Warning,
            "a part of a home, maybe with a copy of its unseal.key",
        ),
    };
    let what = format!(
        "{} was left by an interrupted restore: {holds}",
        path.display()
    );
    let fix = "remove it: `bowline doctor --repair`, or the next restore does";
    let cure = Some(Cure::RemoveWorkshop(path));
    problem(severity, "restore_interrupted", what, fix, cure)
}

fn owner(path: &Path, metadata: &Metadata, user: u32) -> Option<Problem> {
    let owner = metadata.uid();
    (owner != user).then(|| {
        let error = Error::OwnerDiffers {
            path: path.to_owned(),
            owner,
            user,
        };
        let fix = "give the whole home to the user who serves it: `chown -R`";
        problem(
            Severity::Critical,
            "owner_differs",
            error.to_string(),
            fix,
            None,
        )
    })
}

fn mode(path: &Path, metadata: &Metadata, allowed: u32) -> Option<Problem> {
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & !allowed & 0o777 != 0).then(|| {
        let error = Error::ModeTooOpen {
            path: path.to_owned(),
            mode,
            allowed,
        };
        problem(
            Severity::Critical,
            "mode_too_open",
            error.to_string(),
            "close it, and think of who may have read it: `bowline doctor --repair`",
            Some(Cure::Close(path.to_owned(), mode & allowed)),
        )
    })
}

/// A home has a key file or a passphrase. That one opens the keys is found out by opening them.
fn key_file(home: &Home, variables: &BTreeMap<OsString, OsString>) -> Option<Problem> {
    let file = home.unseal_key_file();
    let beside = credential_file(variables).filter(|_| file.exists())?;
    let what = format!(
        "{} opens the keys, and there is a passphrase in {} too, which is not used",
        file.display(),
        beside.display()
    );
    let fix = "keep the one that opens the keys, and remove the other";
    Some(problem(
        Severity::Info,
        "passphrase_not_used",
        what,
        fix,
        None,
    ))
}

/// A home under a key file without that file. A server that runs holds what it opened and goes on, which hides it
/// until the next start.
pub(super) fn key_file_missing(home: &Home, under_key_file: bool) -> Option<Finding> {
    let file = home.unseal_key_file();
    // What cannot be looked at may be there.
    if !under_key_file || !matches!(file.try_exists(), Ok(false)) {
        return None;
    }
    let what = format!(
        "{} is missing: nothing else opens the keys, and without it nothing can be signed after the next start",
        file.display()
    );
    let fix = "put it back from where its copy is kept; while a server runs, do not stop it: it holds the opened keys";
    Some(problem(Severity::Critical, "unseal_key_missing", what, fix, None).finding)
}

fn socket(home: &Home) -> Option<Problem> {
    let path = home.control_socket();
    let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
    // Whoever holds the home may be a server about to listen.
    if !is_socket || !refuses(&path) || !matches!(holder(home.path()), Ok(None)) {
        return None;
    }
    let what = format!("{} is there and nobody listens at it", path.display());
    let fix =
        "nothing: it is in nobody's way; `bowline doctor --repair` removes it, or the next server";
    let cure = Some(Cure::RemoveSocket(path));
    Some(problem(
        Severity::Info,
        "control_socket_stale",
        what,
        fix,
        cure,
    ))
}

fn refuses(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// How much room is left on the file system.
fn room(home: &Home) -> Option<Problem> {
    let system = rustix::fs::statvfs(home.path()).ok()?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let all = system.f_blocks.saturating_mul(system.f_frsize);
    let reserve = SledOptions::one_shot().reserve_bytes;
    let told = |limit: &str| {
        format!(
            "{} of {} are free where the home is, {limit}",
            bytes(free as f64),
            bytes(all as f64)
        )
    };
    if free < reserve {
        let what = told(&format!(
            "and below {} nothing is committed but what takes away",
            bytes(reserve as f64)
        ));
        let fix = "make room on that file system: nothing can be issued until there is some, and with a quarter of that left nothing revoked either";
        return Some(problem(
            Severity::Critical,
            "space_exhausted",
            what,
            fix,
            None,
        ));
    }
    let low = free < all / LOW_SHARE && free < LOW_BYTES;
    low.then(|| {
        let what = told("which is under a tenth");
        let fix = "make room on that file system before it is full";
        problem(Severity::Warning, "space_low", what, fix, None)
    })
}

fn problem(severity: Severity, code: &str, what: String, fix: &str, cure: Option<Cure>) -> Problem {
    Problem {
        finding: Finding {
            severity,
            code: code.into(),
            what,
            fix: fix.into(),
        },
        cure,
    }
}

/// The share of a file system, as the divisor, that shall be free: it fills faster towards its end.
const LOW_SHARE: u64 = 10;
/// With so much left, no share of a large disk is little: about a million certificates.
const LOW_BYTES: u64 = 2 * 1024 * 1024 * 1024;
