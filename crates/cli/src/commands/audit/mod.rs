//! `bowline audit`: the log of everything that happened, and proofs that it was not rewritten.

mod export;
mod list;
mod proofs;
mod rows;
mod verify;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// The log of events: list it, export it, prove that nothing in it was changed
///
/// Everything that changes something, and every refusal of someone known, is an event in the same commit as its
/// effect. The events are the leaves of a tree as certificate transparency has it (RFC 6962, C2SP tlog-checkpoint):
/// whoever keeps a signed checkpoint can tell later whether an event before it was edited, removed, inserted or moved.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::List),
    Export(export::Export),
    Verify(verify::Verify),
    Key(proofs::Key),
    Checkpoint(proofs::Checkpoint),
    Prove(proofs::Prove),
    Consistency(proofs::Consistency),
}

impl Audit {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::List(list) => list.run(context),
            Action::Export(export) => export.run(context),
            Action::Verify(verify) => verify.run(context),
            Action::Key(key) => key.run(context),
            Action::Checkpoint(checkpoint) => checkpoint.run(context),
            Action::Prove(prove) => prove.run(context),
            Action::Consistency(consistency) => consistency.run(context),
        }
    }
}
