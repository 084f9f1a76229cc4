//! Backup files: a checkpoint as it is, or the same inside an age file (age-encryption.org/v1).
//!
//! A checkpoint's own checksums tell whether it is whole; age's tell it too, and keep it from other eyes.

mod age_keys;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient};
use bowline_service::Progress;
use bowline_store_sled::checkpoint::{ReadError, Reader, Summary};

use crate::error::Error;

pub(crate) use age_keys::{Identities, Recipients, identities_in, passing_identity};

/// Where a backup is written to, encrypted or not.
pub(crate) enum Writing<W: Write> {
    Plain(BufWriter<W>),
    Sealed(Box<StreamWriter<BufWriter<W>>>),
}

impl<W: Write> Writing<W> {
    /// Writes to `output`; to recipients, encrypted for each of them.
    pub(crate) fn begin(output: W, recipients: &[&dyn Recipient]) -> io::Result<Writing<W>> {
        let output = BufWriter::with_capacity(BUFFER_BYTES, output);
        if recipients.is_empty() {
            return Ok(Writing::Plain(output));
        }
        let encryptor = Encryptor::with_recipients(recipients.iter().copied());
        let sealed = encryptor.map_err(io::Error::other)?.wrap_output(output)?;
        Ok(Writing::Sealed(Box::new(sealed)))
    }

    /// Writes what is left. Without this, what was written does not read.
    pub(crate) fn finish(self) -> io::Result<W> {
        let output = match self {
            Writing::Plain(output) => output,
            Writing::Sealed(sealed) => sealed.finish()?,
        };
        output.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl<W: Write> Write for Writing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writing::Plain(output) => output.write(bytes),
            Writing::Sealed(sealed) => sealed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Writing::Plain(output) => output.flush(),
            Writing::Sealed(sealed) => sealed.flush(),
        }
    }
}

/// A backup file that is open. What is read twice is the same file, whatever happens to its name meanwhile.
pub(crate) struct BackupFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Reads what is in a backup file.
pub(crate) type Content<'f> = Box<dyn Read + 'f>;

impl BackupFile {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> Result<BackupFile, Error> {
        let failed = |error| Error::file("read", path, error);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(BackupFile {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    /// Its length as it lies there, encryption included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads it from its begin.
    pub(crate) fn read<'f>(
        &'f mut self,
        identities: &[Box<dyn Identity>],
    ) -> Result<Reader<Content<'f>>, Error> {
        let path = self.path.clone();
        let failed = |error| Error::file("read", &path, error);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut input = BufReader::with_capacity(BUFFER_BYTES, &self.file);
        let sealed = input.fill_buf().map_err(failed)?.starts_with(AGE_MAGIC);
        let content: Content<'f> = match sealed {
            false => Box::new(input),
            true => Box::new(decrypted(&path, input, identities)?),
        };
        Reader::open(content).map_err(Error::backup(&path))
    }

    /// Reads all of it, and so checks all of it.
    pub(crate) fn verify(
        &mut self,
        identities: &[Box<dyn Identity>],
        step: &'static str,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Summary, Error> {
        let (path, total) = (self.path.clone(), self.bytes);
        let mut reader = self.read(identities)?;
        let mut told = 0;
        while reader.next().map_err(Error::backup(&path))?.is_some() {
            if reader.offset() != told {
                told = reader.offset();
                watch(&Progress {
                    step,
                    done: told,
                    total,
                });
            }
        }
        reader.summary().map_err(Error::backup(&path))
    }
}

fn decrypted<R: BufRead>(
    path: &Path,
    input: R,
    identities: &[Box<dyn Identity>],
) -> Result<StreamReader<R>, Error> {
    if identities.is_empty() {
        return Err(Error::BackupEncrypted {
            path: path.to_owned(),
        });
    }
    let damaged = |why: &'static str| Error::backup(path)(ReadError::Damaged { offset: 0, why });
    let identities = identities
        .iter()
        .map(|identity| &**identity as &dyn Identity);
    Decryptor::new_buffered(input)
        .and_then(|decryptor| decryptor.decrypt(identities))
        .map_err(|error| match error {
            DecryptError::NoMatchingKeys => Error::BackupIdentity {
                path: path.to_owned(),
            },
            DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                damaged("the header of its encryption is cut off")
            }
            DecryptError::Io(error) => Error::file("read", path, error),
            _ => damaged("the header of its encryption does not hold"),
        })
}

/// How an age file begins.
const AGE_MAGIC: &[u8] = b"age-encryption.org/";
/// How much is read and written at once: about a block of a checkpoint.
const BUFFER_BYTES: usize = 128 * 1024;
