//! The home: where it is, whether it may be opened, and opening it.
//!
//! A home is one directory of mode 0700 that belongs to whoever ran `init`: the lock and the journal of the
//! store, `unseal.key`, and while a server runs its control socket.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_service::{Progress, Store, UnsealKey};
use bowline_store_sled::{OpenError, SledOptions, SledStore};

use crate::error::Error;
use crate::files;

/// A directory that is, or will be, a home.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    path: PathBuf,
}

/// How a home was reached.
pub(crate) enum Opened {
    /// Its store is open here, and nowhere else.
    Here(Arc<SledStore>),
    /// A server has it, and listens at this control socket.
    Served(PathBuf),
}

/// A place where a home may be, and why there.
struct Candidate {
    path: PathBuf,
    because: &'static str,
}

impl Home {
    /// The home to work with.
    pub(crate) fn find(
        named: Option<&Path>,
        directory: &Path,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Result<Home, Error> {
        let candidates = candidates(named, directory, variables);
        if candidates.is_empty() {
            return Err(Error::HomeUnknown);
        }
        let mut tried = Vec::new();
        let mut closed = None;
        for Candidate { path, because } in candidates {
            let home = Home { path };
            match Sight::of(fs::metadata(home.lock_file())) {
                Sight::There => return Ok(home),
                Sight::Missing => tried.push(format!("{} ({because})", home.path.display())),
                // The next place may be this user's own.
                Sight::Closed(error) => closed = Some((home.path, error)),
            }
        }
        Err(match closed {
            Some((path, error)) => Error::file("look into", &path, error),
            None => Error::HomeMissing { tried },
        })
    }

    /// The place to make a home in: the first one that is there, else the last one.
    pub(crate) fn choose(
        named: Option<&Path>,
        directory: &Path,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Result<Home, Error> {
        let mut candidates = candidates(named, directory, variables);
        let present = candidates
            .iter()
            .position(|candidate| candidate.path.exists());
        let chosen = match present {
            Some(index) => Some(candidates.swap_remove(index)),
            None => candidates.pop(),
        };
        chosen
            .map(|candidate| Home {
                path: candidate.path,
            })
            .ok_or(Error::HomeUnknown)
    }

    /// The home in this directory.
    pub(crate) fn at(path: PathBuf) -> Home {
        Home { path }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a server listens for this machine's commands.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Where the key is that opens the sealed keys.
    pub(crate) fn unseal_key_file(&self) -> PathBuf {
        self.path.join("unseal.key")
    }

    /// Whether there is one: the lock is the first thing a home gets.
    pub(crate) fn exists(&self) -> bool {
        self.lock_file().exists()
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Takes the store, or finds the server that has it. Tries both in turn for a bounded time, because other
    /// commands hold the store for an instant, and a server does while it starts. Where the index has to be made
    /// again, that takes long, and `watch` is told how far it is.
    pub(crate) fn open(
        &self,
        options: &SledOptions,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Opened, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let socket = self.control_socket();
            // Who may connect, the socket's mode says; a socket that nobody listens at refuses.
            if UnixStream::connect(&socket).is_ok() {
                return Ok(Opened::Served(socket));
            }
            self.check()?;
            match SledStore::open_watched(&self.path, options, watch) {
                Ok(store) => return Ok(Opened::Here(Arc::new(store))),
                Err(OpenError::Locked { .. } | OpenError::IndexBusy { .. })
                    if Instant::now() < deadline =>
                {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Refuses a home that others can enter, or that is somebody else's: what is in it is the CA.
    fn check(&self) -> Result<(), Error> {
        check(&self.path, DIRECTORY_MODE)
    }

    /// What opens the sealed keys: `unseal.key`, or the passphrase in a file. None where there is neither.
    pub(crate) fn unseal_key(
        &self,
        password_file: Option<&Path>,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Result<Option<UnsealKey>, Error> {
        let key_file = self.unseal_key_file();
        // One that is named is meant, even where unseal.key is: the service then says what is wrong with that.
        if password_file.is_none() && key_file.exists() {
            check(&key_file, KEY_MODE)?;
            let bytes = zeroize::Zeroizing::new(files::read(&key_file)?);
            return Ok(Some(UnsealKey::from_file_bytes(&bytes)?));
        }
        let credential = credential_file(variables);
        let Some(file) = password_file.or(credential.as_deref()) else {
            return Ok(None);
        };
        let bytes = zeroize::Zeroizing::new(files::read(file)?);
        Ok(Some(UnsealKey::from_passphrase(&bytes)?))
    }
}

/// What can be seen of a home from outside.
enum Sight {
    There,
    Missing,
    /// There may be one: this user cannot tell.
    Closed(std::io::Error),
}

impl Sight {
    fn of(looked: std::io::Result<fs::Metadata>) -> Sight {
        match looked {
            Ok(_) => Sight::There,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Sight::Closed(error)
            }
            Err(_) => Sight::Missing,
        }
    }
}

/// The passphrase that a service manager put beside this process, if it did.
pub(crate) fn credential_file(variables: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let directory = variable(variables, "CREDENTIALS_DIRECTORY")?;
    let file = Path::new(directory).join("bowline-key-password");
    file.exists().then_some(file)
}

/// An environment variable that says something.
pub(crate) fn variable<'a>(
    variables: &'a BTreeMap<OsString, OsString>,
    name: &str,
) -> Option<&'a OsStr> {
    variables
        .get(OsStr::new(name))
        .map(OsString::as_os_str)
        .filter(|value| !value.is_empty())
}

/// Where a home may be, best first. One that is named is the only one.
fn candidates(
    named: Option<&Path>,
    directory: &Path,
    variables: &BTreeMap<OsString, OsString>,
) -> Vec<Candidate> {
    let candidate = |path: PathBuf, because| Candidate {
        path: directory.join(path),
        because,
    };
    if let Some(path) = named {
        return vec![candidate(path.into(), "--home")];
    }
    if let Some(path) = variable(variables, "BOWLINE_HOME") {
        return vec![candidate(path.into(), "BOWLINE_HOME")];
    }
    let mut found = vec![candidate(SYSTEM_HOME.into(), "the system's home")];
    if let Some(data) = variable(variables, "XDG_DATA_HOME") {
        found.push(candidate(Path::new(data).join("bowline"), "XDG_DATA_HOME"));
    } else if let Some(home) = variable(variables, "HOME") {
        found.push(candidate(
            Path::new(home).join(".local/share/bowline"),
            "HOME",
        ));
    }
    found
}

fn check(path: &Path, allowed: u32) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(|error| Error::file("look at", path, error))?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(Error::OwnerDiffers {
            path: path.to_owned(),
            owner,
            user,
        });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & !allowed & 0o777 != 0 {
        return Err(Error::ModeTooOpen {
            path: path.to_owned(),
            mode,
            allowed,
        });
    }
    Ok(())
}

/// A directory on its way to become a home. Dropped before it is done, it takes away what it made, and only that:
/// nothing is removed but by who holds the store and found no home in it.
pub(crate) struct NewHome {
    home: Home,
    /// Whether the directory itself is new.
    created: bool,
    /// Whether nothing was in it.
    empty: bool,
    /// The store, from when it was found to hold no home.
    claimed: Option<Arc<dyn Store>>,
    made: Vec<PathBuf>,
    done: bool,
}

impl NewHome {
    /// Makes the directory, or takes an empty one, or one that an interrupted `init` left.
    pub(crate) fn begin(home: Home) -> Result<NewHome, Error> {
        let created = !home.path.exists();
        let empty = created || !home.exists();
        if created {
            files::create_directory(&home.path)?;
        } else if empty {
            let failed = |error| Error::file("read", &home.path, error);
            let mut entries = fs::read_dir(&home.path).map_err(failed)?;
            if entries.next().is_some() {
                return Err(Error::HomeOccupied { home: home.path });
            }
            let private = fs::Permissions::from_mode(DIRECTORY_MODE);
            fs::set_permissions(&home.path, private)
                .map_err(|error| Error::file("close to others", &home.path, error))?;
        }
        Ok(NewHome {
            home,
            created,
            empty,
            claimed: None,
            made: Vec::new(),
            done: false,
        })
    }

    /// The home that is being made.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The store is open here and holds no home: from now on it is ours to make, and to take away.
    pub(crate) fn claim(&mut self, store: Arc<dyn Store>) {
        self.claimed = Some(store);
    }

    /// Another file that goes if this comes to nothing.
    pub(crate) fn made(&mut self, file: PathBuf) {
        self.made.push(file);
    }

    /// It is a home now, or may be one.
    pub(crate) fn keep(mut self) {
        self.done = true;
    }
}

impl Drop for NewHome {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // What cannot be removed holds no CA: nothing was committed.
        if self.claimed.is_some() {
            for path in &self.made {
                let _ = fs::remove_file(path);
            }
            if self.empty {
                let _ = fs::remove_dir_all(self.home.path.join("journal"));
                let _ = fs::remove_dir_all(self.home.path.join("index"));
            }
            // In a directory that stays, the lock stays: another process may be waiting at it. And beside what could
            // not be removed it tells the next `init` that this is one cut off, not somebody's directory.
            let kept = ["journal", "index"].map(|name| self.home.path.join(name));
            if self.created && !kept.iter().any(|path| path.exists()) {
                let _ = fs::remove_file(self.home.path.join("lock"));
            }
        }
        if self.created {
            // Goes only if it is empty. The store is let go after this.
            let _ = fs::remove_dir(&self.home.path);
        }
    }
}

/// The home of a machine-wide installation.
const SYSTEM_HOME: &str = "/var/lib/bowline";
/// The widest mode of a home.
const DIRECTORY_MODE: u32 = 0o700;
/// The widest mode of `unseal.key`.
const KEY_MODE: u32 = 0o600;
/// How long a home that is busy is tried: a server that rebuilds its index takes seconds to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait between two tries: about what a command holds the store for.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn tried(named: Option<&Path>, pairs: &[(&str, &str)]) -> Vec<String> {
        candidates(named, Path::new("/base"), &variables(pairs))
            .iter()
            .map(|candidate| candidate.path.display().to_string())
            .collect()
    }

    #[test]
    fn a_home_that_is_named_is_the_only_one() {
        let all = [
            ("BOWLINE_HOME", "/b"),
            ("XDG_DATA_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(tried(Some(Path::new("sub/home")), &all), ["/base/sub/home"]);
        assert_eq!(tried(None, &all), ["/b"]);
    }

    #[test]
    fn without_a_name_the_system_comes_before_the_user() {
        assert_eq!(
            tried(None, &[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]),
            [SYSTEM_HOME, "/x/bowline"]
        );
        assert_eq!(
            tried(None, &[("BOWLINE_HOME", ""), ("HOME", "/h")]),
            [SYSTEM_HOME, "/h/.local/share/bowline"]
        );
        assert_eq!(tried(None, &[]), [SYSTEM_HOME]);
    }

    #[test]
    fn a_missing_home_is_an_error_that_lists_what_was_tried() {
        let directory = tempfile::tempdir().unwrap();
        let named = directory.path().join("home");
        let error = Home::find(Some(&named), Path::new("/"), &variables(&[])).unwrap_err();
        assert!(
            error.to_string().contains(&named.display().to_string()),
            "{error}"
        );
        assert!(!named.exists());
    }

    #[test]
    fn a_home_that_is_closed_to_this_user_does_not_count_as_missing() {
        let denied = std::io::ErrorKind::PermissionDenied.into();
        assert!(matches!(Sight::of(Err(denied)), Sight::Closed(_)));
        for kind in [
            std::io::ErrorKind::NotFound,
            std::io::ErrorKind::NotADirectory,
        ] {
            assert!(matches!(Sight::of(Err(kind.into())), Sight::Missing));
        }
        assert!(matches!(Sight::of(fs::metadata("/")), Sight::There));
    }

    #[test]
    fn a_home_that_others_can_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let home = Home {
            path: directory.path().to_owned(),
        };
        let error = home.check().unwrap_err();
        assert!(
            matches!(
                error,
                Error::ModeTooOpen {
                    mode: 0o750,
                    allowed: 0o700,
                    ..
                }
            ),
            "{error}"
        );
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        home.check().unwrap();
    }

    #[test]
    fn an_unseal_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home {
            path: directory.path().to_owned(),
        };
        files::write(&home.unseal_key_file(), &[7; 32]).unwrap();
        let error = home.unseal_key(None, &variables(&[])).unwrap_err();
        assert!(
            matches!(error, Error::ModeTooOpen { mode: 0o644, .. }),
            "{error}"
        );
    }

    fn open_here(home: &Home) -> Arc<dyn Store> {
        match home.open(&SledOptions::one_shot(), &mut |_| {}).unwrap() {
            Opened::Here(store) => store,
            Opened::Served(socket) => panic!("served at {}", socket.display()),
        }
    }

    #[test]
    fn a_new_home_that_comes_to_nothing_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        let mut new = NewHome::begin(Home { path: path.clone() }).unwrap();
        new.claim(open_here(new.home()));
        let key = new.home().unseal_key_file();
        files::create_secret(&key, &[7; 32]).unwrap();
        new.made(key);
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn a_home_that_another_process_made_meanwhile_is_not_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        let late = NewHome::begin(Home { path: path.clone() }).unwrap();
        let other = NewHome::begin(Home { path: path.clone() }).unwrap();
        let _store = open_here(other.home());
        other.keep();
        drop(late);
        assert!(path.join("lock").exists() && path.join("journal").exists());
    }

    #[test]
    fn a_directory_with_other_files_never_becomes_a_home() {
        let directory = tempfile::tempdir().unwrap();
        files::write(&directory.path().join("letter.txt"), b"dear").unwrap();
        let begun = NewHome::begin(Home {
            path: directory.path().to_owned(),
        });
        assert!(matches!(begun, Err(Error::HomeOccupied { .. })));
        assert!(directory.path().join("letter.txt").exists());
    }

    #[test]
    fn a_passphrase_comes_from_the_service_manager_too() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home {
            path: directory.path().join("home"),
        };
        let place = directory.path().display().to_string();
        let variables = variables(&[("CREDENTIALS_DIRECTORY", &place)]);
        assert!(home.unseal_key(None, &variables).unwrap().is_none());
        files::write(
            &directory.path().join("bowline-key-password"),
            b"correct horse\n",
        )
        .unwrap();
        let found = home.unseal_key(None, &variables).unwrap();
        assert!(matches!(found, Some(UnsealKey::Passphrase(_))));
    }
}
