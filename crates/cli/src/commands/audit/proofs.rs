//! The log's key, its checkpoints, and proofs that need nobody's word.

use bowline_service::{
    ConsistencyProof, EventProof, LogKey, ProveConsistency, ProveEvent, ShowLogKey,
    SignLogCheckpoint,
};
use clap::Args;

use crate::caller::Connection;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// Print the log's public key (C2SP signed-note), which verifies its checkpoints
#[derive(Debug, Args)]
pub(super) struct Key {}

impl Key {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let key = match connection.call(ShowLogKey {}) {
            // The log of an older home begins with its first checkpoint.
            Err(error) if error.code() == "log_not_begun" => begun(&connection)?,
            answered => answered?,
        };
        let text = format!("{}\n", key.vkey);
        context.print(&key, text)
    }
}

fn begun(connection: &Connection) -> Result<LogKey, Error> {
    connection.call(SignLogCheckpoint {})?;
    connection.call(ShowLogKey {})
}

/// Sign a checkpoint over all events, and print it (C2SP tlog-checkpoint)
///
/// Keep it somewhere else than the home. `audit verify --since` then tells whether anything before it was changed,
/// even by whoever holds the home and its keys.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline audit checkpoint > checkpoint-$(date +%F).txt")]
pub(super) struct Checkpoint {}

impl Checkpoint {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let checkpoint = context.connect()?.call(SignLogCheckpoint {})?;
        let text = checkpoint.note.clone();
        context.print(&checkpoint, text)
    }
}

/// Prove that an event is in the log (C2SP tlog-proof)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline audit prove 17 --output json")]
pub(super) struct Prove {
    /// Its number, as `audit list` shows it
    #[arg(value_name = "NUMBER")]
    number: u64,

    /// The size of the checkpoint to prove it under, one that was signed [default: the last one's]
    #[arg(long, value_name = "SIZE")]
    size: Option<u64>,
}

impl Prove {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let proof = context.connect()?.call(ProveEvent {
            number: self.number,
            size: self.size,
        })?;
        let EventProof {
            entry, proof: text, ..
        } = &proof;
        let text = format!("{entry}\n\n{text}");
        context.print(&proof, text)
    }
}

/// Prove that the log as it was is the beginning of the log as it is (RFC 6962 §2.1.2)
#[derive(Debug, Args)]
pub(super) struct Consistency {
    /// How many events it had
    #[arg(value_name = "FROM")]
    from: u64,

    /// How many it had later, at a checkpoint that was signed [default: the last one's]
    #[arg(value_name = "TO")]
    to: Option<u64>,
}

impl Consistency {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let proof = context.connect()?.call(ProveConsistency {
            from: self.from,
            to: self.to,
        })?;
        let ConsistencyProof { hashes, .. } = &proof;
        let text: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
        context.print(&proof, text)
    }
}
