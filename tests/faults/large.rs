//! A home with a long journal, and the checkpoint that a server makes because of it.

use crate::interposer::Lab;
use crate::model::Model;
use crate::operations::{Operation, issued, nothing_else, serve_and_stop, small};
use bowline_store::{COMMIT_BYTES_MAX, Commit, Key, Store, VALUE_BYTES_MAX, Value};
use bowline_store_sled::{SledOptions, SledStore};
use bowline_tests::Finished;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a checkpoint of a small home may take.
const CHECKPOINT_MAX: Duration = Duration::from_secs(20);

/// How much a journal must grow before a server makes a checkpoint of its own accord; and a little more.
const CHECKPOINT_DUE_BYTES: u64 = 65 * 1024 * 1024;

/// The checkpoint that a server makes by itself, once the journal is long enough.
pub const CHECKPOINT: Operation = Operation {
    name: "checkpoint",
    scene: checkpoint_due,
    run: serve_until_checkpoint,
    recover: serve_and_stop,
    served: true,
    hold: nothing_else,
};

/// A home with a journal so long that the next server makes a checkpoint at once.
fn checkpoint_due() -> (Lab, Model) {
    let (lab, model) = small();
    lengthen_journal(&lab, CHECKPOINT_DUE_BYTES);
    (lab, model)
}

/// Makes the journal longer by so many bytes: the same few records, written again and again. The engine alone
/// does this, because a command takes as long for a thousandth of it. Its index is there and closed afterwards.
pub fn lengthen_journal(lab: &Lab, bytes: u64) {
    let options = SledOptions {
        checkpoint_bytes: u64::MAX,
        ..SledOptions::server()
    };
    let store = SledStore::open(&lab.home.path(), &options).expect("a whole home opens");
    let mut written = 0;
    while written < bytes {
        let mut commit = Commit::new();
        // As much as one commit takes.
        for record in 0..(COMMIT_BYTES_MAX / VALUE_BYTES_MAX - 1) as u64 {
            let key = Key::new("ballast/").and_then(|key| key.numbered(record));
            let value = Value::new(vec![(written % 251) as u8; VALUE_BYTES_MAX]);
            let (key, value) = (
                key.expect("a short key"),
                value.expect("a value of the largest size"),
            );
            commit = commit.put(key, value);
            written += VALUE_BYTES_MAX as u64;
        }
        store.commit(commit).expect("the home takes a commit");
    }
}

/// A server until it has made its checkpoint, with a certificate meanwhile.
fn serve_until_checkpoint(lab: &Lab, model: &mut Model, text: &str) -> Vec<Finished> {
    let server = match lab.serve() {
        Ok(server) => server,
        Err(ended) => return vec![ended],
    };
    let name = format!("checkpointed-{text}");
    let done = lab.outside(["issue", &name, "--output", "json"]);
    issued(model, &name, &done);
    let started = Instant::now();
    let made = || lab.journal_bytes() < CHECKPOINT_DUE_BYTES / 2;
    while !made() && lab.counts().1 == 0 && started.elapsed() < CHECKPOINT_MAX {
        sleep(Duration::from_millis(10));
    }
    vec![done, lab.stop(server)]
}
