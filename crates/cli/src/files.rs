//! Files as they are written here: whole or not at all, durable before anyone is told, keys for their owner only.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Reads a file of a size that certificates, keys and policies have.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::file("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    // Whole from the start: growing would leave copies of a key behind, which nobody wipes.
    let mut bytes = Vec::with_capacity(length.min(FILE_BYTES_MAX) as usize + 1);
    let read = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        let limit = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, limit)));
    }
    Ok(bytes)
}

/// Writes a file that must not exist yet, readable by its owner only, and makes it durable. It has its name only once
/// it is whole: half a key would be taken for one.
pub(crate) fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error| Error::file("create", path, error);
    let mut file = unfinished(path, TEMPORARY_PREFIX).map_err(failed)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.as_file().sync_all());
    written.map_err(|error| Error::file("write", path, error))?;
    persist(file, path, false)
}

/// Writes a file in one step: whoever looks sees the old one or the new one. Durable when this returns.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error| Error::file("write", path, error);
    // Otherwise a missing directory would be told by the temporary file's name.
    fs::metadata(directory_of(path)).map_err(failed)?;
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(fs::Permissions::from_mode(PUBLIC_MODE))
        .tempfile_in(directory_of(path))
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_directory(path)
}

/// The mode of what is for its owner only.
pub(crate) fn secret() -> fs::Permissions {
    fs::Permissions::from_mode(SECRET_MODE)
}

/// The mode of homes, and of directories that keys are made in.
pub(crate) fn private() -> fs::Permissions {
    fs::Permissions::from_mode(DIRECTORY_MODE)
}

/// Makes a file for its owner only beside `path`, held by this process for as long as it is written.
pub(crate) fn unfinished(path: &Path, prefix: &str) -> io::Result<tempfile::NamedTempFile> {
    let directory = directory_of(path);
    // Otherwise a missing directory would be told by the temporary file's name.
    fs::metadata(directory)?;
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(secret())
            .tempfile_in(directory)?;
        if hold(file.as_file(), file.path())? {
            return Ok(file);
        }
    }
}

/// Gives a file that is written and synced its name, durably. Without `force`, a file that has the name keeps it.
pub(crate) fn persist(
    file: tempfile::NamedTempFile,
    path: &Path,
    force: bool,
) -> Result<(), Error> {
    let named = match force {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    named.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists {
            path: path.to_owned(),
            fix: FORCE,
        },
        _ => Error::file("write", path, error.error),
    })?;
    sync_directory(path)
}

/// Takes a file or directory that no process holds, so that none can while it is removed.
pub(crate) fn take_unheld(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Holds a file or directory that was just made for as long as it is needed. False if it was taken for something
/// left behind in the instant before, and removed.
pub(crate) fn hold(file: &File, path: &Path) -> io::Result<bool> {
    file.lock()?;
    match fs::metadata(path) {
        Ok(named) => {
            let held = file.metadata()?;
            Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a file over another in the same directory, durably.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|error| Error::file("replace", to, error))?;
    sync_directory(to)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a directory for its owner only, and those above it, durably.
pub(crate) fn create_directory(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let made: Vec<&Path> = path.ancestors().take_while(missing).collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|error| Error::file("create", path, error))?;
    // The highest first: a name in a directory lasts as long as the directory's own.
    made.into_iter().rev().try_for_each(sync_directory)
}

/// A passphrase as it is typed into a file: the line end does not count.
pub(crate) fn first_line(bytes: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    zeroize::Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// Refuses to go on where a file is in the way.
pub(crate) fn refuse_existing(paths: &[&Path], force: bool) -> Result<(), Error> {
    match paths
        .iter()
        .find(|path| !force && path.symlink_metadata().is_ok())
    {
        Some(path) => Err(Error::Exists {
            path: path.to_path_buf(),
            fix: FORCE,
        }),
        None => Ok(()),
    }
}

/// The same file name with something behind it: `web-1.key.new`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The directory a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Without this a power cut can take back the name of a file that was synced.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| Error::file("sync", directory, error))
}

/// What to do about a file that is in the way.
const FORCE: &str = "give --force to replace it";
/// How the names of files begin that are not whole yet.
const TEMPORARY_PREFIX: &str = ".bowline-";
/// Keys and whatever opens them: nobody but the owner.
const SECRET_MODE: u32 = 0o600;
/// Certificates: everybody may read them.
const PUBLIC_MODE: u32 = 0o644;
/// Homes, and what is made for keys.
const DIRECTORY_MODE: u32 = 0o700;
/// The largest file read: a CRL of 100,000 entries has about 4 MB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_secret_is_its_owners_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web-1.key");
        create_secret(&path, b"first").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(matches!(
            create_secret(&path, b"second"),
            Err(Error::Exists { .. })
        ));
        let bytes = read(&path).unwrap();
        assert_eq!(bytes, b"first");
        assert_eq!(bytes.capacity(), bytes.len() + 1, "it was never moved");
    }

    #[test]
    fn a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web-1.crt");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap(), b"second");
        assert_eq!(mode(&path), 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_way_is_refused_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web-1.crt");
        refuse_existing(&[&path], false).unwrap();
        // A dangling link is in the way too: writing would follow it.
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(matches!(
            refuse_existing(&[&path], false),
            Err(Error::Exists { .. })
        ));
        refuse_existing(&[&path], true).unwrap();
    }

    #[test]
    fn a_missing_file_is_told_by_its_name() {
        let error = read(Path::new("/no/such/file")).unwrap_err();
        assert!(
            error.is_missing_file() && error.to_string().contains("/no/such/file"),
            "{error}"
        );
    }
}
