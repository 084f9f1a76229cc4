//! Exit codes: one for each kind of failure, the same for every command.

use std::process::ExitCode;

use bowline_service::Kind;

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// It worked.
    pub const SUCCESS: Exit = Exit(0);
    /// The command line does not read.
    pub const USAGE: Exit = Exit(2);
    /// `aws_signing_helper` has one code for whatever goes wrong.
    pub(crate) const SIGNING_HELPER_FAILED: Exit = Exit(1);
    /// `exec`: the command is not found.
    pub(crate) const COMMAND_NOT_FOUND: Exit = Exit(127);
    /// `exec`: the command is there, and cannot be run.
    pub(crate) const COMMAND_NOT_RUN: Exit = Exit(126);
    /// `doctor`: there is something good to know.
    pub(crate) const INFO: Exit = Exit(2);
    /// `doctor`: something will be trouble.
    pub(crate) const WARNING: Exit = Exit(3);
    /// `doctor`: something is trouble.
    pub(crate) const CRITICAL: Exit = Exit(4);
    /// `cert needs-renewal`: the certificate is not due.
    pub(crate) const NOT_DUE: Exit = Exit(1);
    /// `cert needs-renewal`: there is no such file.
    pub(crate) const FILE_MISSING: Exit = Exit(2);
    /// `cert needs-renewal`: anything else went wrong.
    pub(crate) const ERROR_OF_NEEDS_RENEWAL: Exit = Exit(255);

    /// `exec`: what the command ended with.
    pub(crate) fn of_command(code: u8) -> Exit {
        Exit(code)
    }

    /// The code as a number.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Exit {
        Exit(match kind {
            Kind::Invalid => 3,
            Kind::Unauthenticated => 4,
            Kind::Denied => 5,
            Kind::NotFound => 6,
            Kind::Conflict => 7,
            Kind::Limit => 8,
            Kind::Internal => 70,
            Kind::Unavailable => 75,
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
    }
}
