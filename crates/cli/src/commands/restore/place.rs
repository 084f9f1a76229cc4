//! Where a restored home goes: made in a directory beside its place, then moved there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bowline_service::Time;
use bowline_store_sled::{OpenError, holder};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::Error;
use crate::files;
use crate::home::Home;

/// The place of a home, and what is in it.
pub(super) struct Place {
    path: PathBuf,
    /// The home there, closed to others until it is moved aside.
    old: Option<File>,
}

impl Place {
    /// A place where nothing is, or an empty directory. With `force` also one where a home is, unless somebody has
    /// it open.
    pub(super) fn choose(path: PathBuf, force: bool) -> Result<Place, Error> {
        // What a link points to is the place, or the link would be replaced.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let failed = |error| Error::file("read", &path, error);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Place { path, old: None });
            }
            Err(error) => return Err(failed(error)),
            Ok(metadata) => {
                let around = fs::metadata(files::directory_of(&path)).map_err(failed)?;
                if metadata.is_dir() && metadata.dev() != around.dev() {
                    return Err(Error::MountPoint { path });
                }
            }
        }
        if fs::read_dir(&path).map_err(failed)?.next().is_none() {
            return Ok(Place { path, old: None });
        }
        let home = Home::at(path.clone());
        if !home.exists() {
            return Err(Error::HomeOccupied { home: path });
        }
        if !force {
            return Err(Error::HomeInTheWay { home: path });
        }
        let old = hold(&path)?;
        Ok(Place {
            path,
            old: Some(old),
        })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the home of a workshop here. The old one is moved aside, and told where.
    pub(super) fn fill(&self, workshop: Workshop, now: Time) -> Result<Option<PathBuf>, Error> {
        let home = workshop.home();
        let failed = |error: io::Error| match error.kind() {
            // Somebody was faster.
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                Error::HomeInTheWay {
                    home: self.path.clone(),
                }
            }
            _ => Error::file("move the restored home to", &self.path, error),
        };
        // Whoever finds it must find all of it, also after the power failed.
        files::sync_directory(&home.path().join("lock"))?;
        if self.old.is_none() {
            fs::rename(home.path(), &self.path).map_err(failed)?;
            files::sync_directory(&self.path)?;
            workshop.done();
            return Ok(None);
        }
        // Out of the workshop, which is removed with all that is in it, before the old home is touched; and under the
        // name that the old home shall have, so that one exchange puts both where they belong.
        let aside = self.aside(now);
        fs::rename(home.path(), &aside)
            .map_err(|error| Error::file("move the restored home to", &aside, error))?;
        files::sync_directory(&aside)?;
        if let Err(error) = self.exchange(&aside) {
            // The restored home can be made again. Nothing is removed that may be the old one, whatever the file system
            // says that it did.
            if !self.is_old(&aside) {
                let _ = fs::remove_dir_all(&aside);
            }
            return Err(error);
        }
        files::sync_directory(&self.path)?;
        workshop.done();
        Ok(Some(aside))
    }

    /// Whether a directory is the old home, or may be.
    fn is_old(&self, path: &Path) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let old = self.old.as_ref().map(|old| old.metadata().map(identity));
        match (old, fs::metadata(path).map(identity)) {
            (Some(Ok(old)), Ok(found)) => old == found,
            (None, _) => false,
            _ => true,
        }
    }

    /// Changes the old home and the restored one, in one step where the file system can: at no instant is there none.
    fn exchange(&self, restored: &Path) -> Result<(), Error> {
        let failed = |error| Error::file("move the restored home to", &self.path, error);
        match renameat_with(CWD, restored, CWD, &self.path, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let between = files::beside(restored, ".old");
        fs::rename(&self.path, &between)
            .map_err(|error| Error::file("move aside", &self.path, error))?;
        if let Err(error) = fs::rename(restored, &self.path) {
            // The old one is as good as it was.
            let _ = fs::rename(&between, &self.path);
            return Err(failed(error));
        }
        // Where this fails it has another name than it was to have, and is all there.
        fs::rename(&between, restored).map_err(|error| Error::file("rename", &between, error))
    }

    /// A name for the old home that nothing has.
    fn aside(&self, now: Time) -> PathBuf {
        let plain = files::beside(
            &self.path,
            &format!(".replaced-{}", now.format("%Y%m%dT%H%M%SZ")),
        );
        let mut path = plain.clone();
        let mut count = 1;
        while path.symlink_metadata().is_ok() {
            count += 1;
            path = files::beside(&plain, &format!("-{count}"));
        }
        path
    }
}

/// Keeps others from opening a home, or says who has it open.
fn hold(path: &Path) -> Result<File, Error> {
    let busy = |pid| {
        Error::from(OpenError::Locked {
            home: path.to_owned(),
            pid,
        })
    };
    if let Some(holder) = holder(path).map_err(|error| Error::file("look at", path, error))? {
        return Err(busy(holder.pid));
    }
    let directory = File::open(path).map_err(|error| Error::file("open", path, error))?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => Err(busy(None)),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", path, error)),
    }
}

/// A private directory beside a place, in which a home is made. Dropped before it is done, it goes with all that is
/// in it.
pub(super) struct Workshop {
    directory: tempfile::TempDir,
    /// Held, so that others see that it is in use.
    _held: File,
}

impl Workshop {
    /// Makes one, and an empty home in it.
    pub(super) fn beside(place: &Path) -> Result<Workshop, Error> {
        let around = files::directory_of(place);
        files::create_directory(around)?;
        let failed = |error| Error::file("create a directory in", around, error);
        let workshop = loop {
            let directory = tempfile::Builder::new()
                .prefix(&prefix(place))
                .permissions(files::private())
                .tempdir_in(around)
                .map_err(failed)?;
            let held = match File::open(directory.path()) {
                // Taken for something left behind, before it could be held.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            if files::hold(&held, directory.path()).map_err(failed)? {
                break Workshop {
                    directory,
                    _held: held,
                };
            }
        };
        files::create_directory(workshop.home().path())?;
        Ok(workshop)
    }

    /// The home that is made in it.
    pub(super) fn home(&self) -> Home {
        Home::at(self.directory.path().join("home"))
    }

    /// The home has left it.
    fn done(self) {
        // Empty, and whoever comes next removes it if this does not.
        let _ = self.directory.close();
    }
}

/// What interrupted restores left beside a place.
pub(in crate::commands) fn leftovers(place: &Path) -> Vec<PathBuf> {
    let prefix = prefix(place);
    let entries = fs::read_dir(files::directory_of(place));
    let ours = entries.into_iter().flatten().flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(&prefix)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    ours.map(|entry| entry.path())
        .filter(|path| files::take_unheld(path).is_some())
        .collect()
}

/// Removes it, and tells what it was.
pub(super) fn remove_leftovers(place: &Path) -> Vec<PathBuf> {
    let found = leftovers(place).into_iter();
    found
        .filter(|path| {
            files::take_unheld(path).is_some_and(|_held| fs::remove_dir_all(path).is_ok())
        })
        .collect()
}

/// How the name of a workshop begins.
fn prefix(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}.restoring-")
}
