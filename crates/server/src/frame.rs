//! The lines of JSON that answers of operations and transfers are made of.

use std::borrow::Cow;

use bowline_service::{Progress, PublicError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One line of an answer. An empty line stands for nothing but that the work goes on.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Frame<'a> {
    /// How far the work has come.
    #[serde(borrow)]
    Progress(Step<'a>),
    /// The next bytes of what is transferred, base64.
    #[serde(borrow)]
    Bytes(Cow<'a, str>),
    /// It succeeded; the last frame.
    #[serde(borrow)]
    Result(&'a RawValue),
    /// It was refused, or went wrong; the last frame.
    Error(PublicError),
}

/// A [`Progress`] as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Step<'a> {
    #[serde(borrow)]
    pub(crate) step: Cow<'a, str>,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl From<Progress> for Step<'_> {
    fn from(progress: Progress) -> Self {
        Step {
            step: progress.step.into(),
            done: progress.done,
            total: progress.total,
        }
    }
}

impl Frame<'_> {
    /// The frame with the end of its line.
    pub(crate) fn line(&self) -> Vec<u8> {
        // Cannot fail: texts and numbers only.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The last frame of what succeeded, around an answer that is JSON already.
pub(crate) fn result_line(answer: &[u8]) -> Vec<u8> {
    [b"{\"result\":", answer, b"}\n"].concat()
}

/// The content type of frames.
pub(crate) const FRAMES: &str = "application/x-ndjson";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Frame<'_> {
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn frames_are_written_as_documented_and_read_back() {
        let step = Step::from(Progress {
            step: "copying",
            done: 1,
            total: 9,
        });
        let line = Frame::Progress(step).line();
        assert_eq!(
            line,
            b"{\"progress\":{\"step\":\"copying\",\"done\":1,\"total\":9}}\n"
        );
        assert!(matches!(read(&line), Frame::Progress(step) if step.step == "copying"));
        let line = Frame::Bytes("AAEC".into()).line();
        assert_eq!(line, b"{\"bytes\":\"AAEC\"}\n");
        assert!(matches!(read(&line), Frame::Bytes(text) if text == "AAEC"));
        let line = result_line(b"{\"a\":1}");
        assert!(matches!(read(&line), Frame::Result(answer) if answer.get() == "{\"a\":1}"));
    }
}
