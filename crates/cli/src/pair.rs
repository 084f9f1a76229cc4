//! A certificate and its key, as two files beside each other: `web-1.crt` and `web-1.key`.

use std::fs::File;
use std::path::{Path, PathBuf};

use bowline_service::{PrivateKey, certificates_from_pem, pem_of};

use crate::error::Error;
use crate::files;
use crate::keys::{Key, KeySource};

/// A certificate with the chain it came with, and its private key.
pub(crate) struct Pair {
    /// The name it goes by: the certificate's file name without its end.
    pub(crate) name: String,
    /// The leaf, then what was in the file behind it. Never empty.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// The leaf's key.
    pub(crate) key: Key,
}

/// Where the files of a certificate are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PairFiles {
    /// The leaf, then the intermediates.
    pub(crate) certificate: PathBuf,
    /// The intermediates alone.
    pub(crate) chain: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

impl PairFiles {
    /// The files of a name in a directory. The name may come with a directory of its own, or with `.crt`.
    pub(crate) fn of(name: &str, directory: &Path) -> PairFiles {
        let stem = directory.join(name.strip_suffix(".crt").unwrap_or(name));
        PairFiles {
            certificate: files::beside(&stem, ".crt"),
            chain: files::beside(&stem, ".chain.crt"),
            key: files::beside(&stem, ".key"),
        }
    }

    /// The files around a certificate's own.
    pub(crate) fn around(certificate: &Path) -> PairFiles {
        PairFiles {
            certificate: certificate.to_owned(),
            chain: certificate.with_extension("chain.crt"),
            key: certificate.with_extension("key"),
        }
    }

    /// Reads certificate and key.
    pub(crate) fn load(&self, password: Option<&[u8]>) -> Result<Pair, Error> {
        Pair::load(&self.certificate, &self.key, password)
    }
}

impl Pair {
    /// Reads a certificate and its key, and checks that they belong together.
    pub(crate) fn load(
        certificate: &Path,
        key: &Path,
        password: Option<&[u8]>,
    ) -> Result<Pair, Error> {
        let password = password.map(|password| password.to_vec().into());
        KeySource::of_files(certificate, key, password).load()
    }

    /// The end entity certificate.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.certificates[0]
    }

    /// What goes with it.
    pub(crate) fn chain(&self) -> &[Vec<u8>] {
        &self.certificates[1..]
    }
}

/// New files for a certificate, on their way to their names.
///
/// Two files cannot be replaced in one step, so the order decides what a crash leaves:
///
/// 1. The key is written beside its place (`web-1.key.new`) and synced, before the certificate is asked for.
/// 2. The certificate comes, and replaces the old one.
/// 3. The key moves to its place.
///
/// Cut off before 2, the old pair is whole. Cut off between 2 and 3, the new certificate has its key at
/// `.key.new`, where [`Pair::load`] finds it and the next renewal moves it. The other way round, the old
/// certificate would have lost its key, and the new one would be nowhere but in the store.
pub(crate) struct NewPair {
    files: PairFiles,
    /// Where the new key is; none if the old key stays, or if it is elsewhere.
    key: Option<PathBuf>,
    /// Nobody else replaces files here meanwhile.
    _lock: Option<File>,
}

impl NewPair {
    /// Writes a key that takes its name at once, where no file has it.
    pub(crate) fn fresh(files: PairFiles, key: &[u8]) -> Result<NewPair, Error> {
        files::create_secret(&files.key, key)?;
        let key = Some(files.key.clone());
        Ok(NewPair {
            files,
            key,
            _lock: None,
        })
    }

    /// Writes a key beside the one it shall replace.
    pub(crate) fn replacing(files: PairFiles, key: &[u8], lock: File) -> Result<NewPair, Error> {
        let beside = new_key_file(&files.key);
        // The rest of a renewal whose certificate never came: the old pair is whole without it.
        files::remove(&beside)?;
        files::create_secret(&beside, key)?;
        Ok(NewPair {
            files,
            key: Some(beside),
            _lock: Some(lock),
        })
    }

    /// Only the certificate is new.
    pub(crate) fn keeping_key(files: PairFiles, lock: Option<File>) -> NewPair {
        NewPair {
            files,
            key: None,
            _lock: lock,
        }
    }

    /// Puts the certificate to its name, then the key.
    pub(crate) fn finish(self, certificate: &[u8], chain: &[Vec<u8>]) -> Result<PairFiles, Error> {
        let NewPair { files, key, _lock } = self;
        let chain_pem = pem_of(chain);
        files::write(&files.chain, chain_pem.as_bytes())?;
        let leaf_and_chain = pem_of(&[certificate.to_vec()]) + &chain_pem;
        files::write(&files.certificate, leaf_and_chain.as_bytes())?;
        if let Some(key) = key
            && key != files.key
        {
            files::replace(&key, &files.key)?;
        }
        Ok(files)
    }

    /// Takes the key away again: no certificate came. Where one may have been made all the same, the key stays.
    pub(crate) fn abandon(self, because: &Error) {
        if let Some(key) = self.key
            && !because.leaves_doubt()
        {
            // The error that led here is what the caller needs to hear.
            let _ = files::remove(&key);
        }
    }
}

/// Keeps others from replacing files in the directory of `path` meanwhile; waits for them first.
pub(crate) fn lock_directory(path: &Path) -> Result<File, Error> {
    let directory = files::directory_of(path);
    let locked = File::open(directory).and_then(|opened| opened.lock().map(|()| opened));
    locked.map_err(|error| Error::file("lock", directory, error))
}

/// Moves the key of a renewal that was cut off to its place. `true` if there was one.
pub(crate) fn finish_interrupted(
    files: &PairFiles,
    password: Option<&[u8]>,
) -> Result<bool, Error> {
    let beside = new_key_file(&files.key);
    let leaf = read_certificates(&files.certificate)?.swap_remove(0);
    match renewed_key(&beside, password) {
        Some(key) if key.is_key_of(&leaf)? => files::replace(&beside, &files.key).map(|()| true),
        Some(_) | None => Ok(false),
    }
}

/// Where the key of a renewal is until its certificate is in place.
pub(crate) fn new_key_file(key: &Path) -> PathBuf {
    files::beside(key, ".new")
}

fn renewed_key(path: &Path, password: Option<&[u8]>) -> Option<PrivateKey> {
    let text = zeroize::Zeroizing::new(files::read(path).ok()?);
    PrivateKey::from_pem(&text, password).ok()
}

/// The certificates of a file, at least one.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    certificates_in(path, &files::read(path)?)
}

/// The certificates in what a file holds, at least one.
pub(crate) fn certificates_in(path: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let certificates = certificates_from_pem(bytes).map_err(Error::in_file(path))?;
    match certificates.is_empty() {
        true => Err(Error::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_stem_with_or_without_its_directory_and_end() {
        for name in ["web-1", "web-1.crt"] {
            let files = PairFiles::of(name, Path::new("/base"));
            assert_eq!(files.certificate, Path::new("/base/web-1.crt"));
            assert_eq!(files.chain, Path::new("/base/web-1.chain.crt"));
            assert_eq!(files.key, Path::new("/base/web-1.key"));
        }
        assert_eq!(
            PairFiles::of("certs/web.example", Path::new("/base")).key,
            Path::new("/base/certs/web.example.key")
        );
        assert_eq!(
            PairFiles::around(Path::new("/etc/web.example.crt")).key,
            Path::new("/etc/web.example.key")
        );
    }
}
