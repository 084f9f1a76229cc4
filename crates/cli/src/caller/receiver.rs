//! Takes what a transfer gives: bytes into a file or a stream, progress onto the terminal.

use std::io::{self, Write};

use bowline_service::{Error, Progress, Sink};

use crate::progress::ProgressLine;

/// Where a transfer goes.
pub(crate) struct Receiver<'w, 'm> {
    output: &'w mut dyn Write,
    progress: ProgressLine<'m>,
    failed: Option<io::Error>,
}

impl<'w, 'm> Receiver<'w, 'm> {
    /// Bytes go to `output`.
    pub(crate) fn new(output: &'w mut dyn Write, progress: ProgressLine<'m>) -> Receiver<'w, 'm> {
        Receiver {
            output,
            progress,
            failed: None,
        }
    }

    /// Why the output took no more, if that is what ended the transfer.
    pub(crate) fn failure(self) -> Option<io::Error> {
        self.failed
    }
}

impl Sink for Receiver<'_, '_> {
    fn progress(&mut self, progress: Progress) -> Result<(), Error> {
        self.progress.show(&progress);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.write_all(bytes).map_err(|error| {
            let reason = error.to_string();
            self.failed = Some(error);
            Error::ReceiverGone { reason }
        })
    }
}
