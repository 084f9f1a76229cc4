//! What a trade needs of the world when it comes long after the command line was read, and on another thread.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_service::{Clock, Entropy};

use crate::Environment;
use crate::arguments::Global;
use crate::context::Context;
use crate::error::Error;

/// Options, variables, clock and randomness of a command, without its streams.
#[derive(Clone)]
pub(crate) struct World {
    global: Global,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    variables: BTreeMap<OsString, OsString>,
    directory: PathBuf,
}

impl World {
    /// The world of a command.
    pub(crate) fn of(context: &mut Context<'_>) -> World {
        World {
            global: context.global().clone(),
            clock: context.clock(),
            entropy: context.entropy(),
            variables: context.environment().variables.clone(),
            directory: context.directory().to_owned(),
        }
    }

    /// Does what a command does. There is no standard input and no output; messages go to the log.
    pub(crate) fn run<T>(
        &self,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut messages = Vec::new();
        let environment = Environment {
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            input: &mut io::empty(),
            output: &mut io::sink(),
            messages: &mut messages,
            messages_are_terminal: false,
            variables: self.variables.clone(),
            directory: self.directory.clone(),
        };
        let outcome = Context::new(self.global.clone(), environment)
            .and_then(|mut context| work(&mut context));
        for line in String::from_utf8_lossy(&messages).lines() {
            tracing::info!("{line}");
        }
        outcome
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Which files these were, and when they were written: what tells a replaced file from the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    written: (i64, i64),
}

impl Stamps {
    pub(super) fn of(files: &[PathBuf]) -> Stamps {
        let stamp = |path: &PathBuf| {
            // Follows links: orchestrators replace the directory behind one.
            let metadata = std::fs::metadata(path).ok()?;
            Some(Stamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                bytes: metadata.size(),
                written: (metadata.mtime(), metadata.mtime_nsec()),
            })
        };
        Stamps(files.iter().map(stamp).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web-1.crt");
        let files = [file.clone()];
        let missing = Stamps::of(&files);
        crate::files::write(&file, b"one").unwrap();
        let one = Stamps::of(&files);
        assert_eq!(one, Stamps::of(&files));
        crate::files::write(&file, b"two").unwrap();
        let two = Stamps::of(&files);
        assert!(missing != one && one != two);
    }
}
