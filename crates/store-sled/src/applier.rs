//! The thread that brings the index on disk up to what the journal has, while commits go on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::index::{Changes, Damage, Found, Index, SledIndex};
use crate::journal::Position;
use crate::store::Shared;

/// Writes changes to the index, so that a test can let that fail.
pub(crate) type Apply =
    Box<dyn Fn(&SledIndex, &Changes, &Position, &dyn Fn(usize)) -> Found<()> + Send>;

/// Applies what waits until no more is coming, or the index cannot be used any more. Then the store is closed:
/// what was answered meanwhile is in the journal, from which the next opening makes the index again.
pub(crate) fn run(shared: &Shared, apply: &Apply) {
    let Index::Sled(index) = &shared.index else {
        return;
    };
    let ran = catch_unwind(AssertUnwindSafe(|| {
        while let Some((changes, position)) = shared.pending.take() {
            // After a failed read nothing is asked of sled any more: it might never return.
            shared.check_open().map_err(drop)?;
            let progress = |bytes| shared.pending.progressed(bytes);
            apply(index, &changes, &position, &progress)
                .map_err(|damage| drop(shared.close(damage)))?;
            shared.pending.applied();
            shared.tail.applied(position.sequence);
        }
        Ok::<(), ()>(())
    }));
    if ran.is_err() {
        let reason = "the thread that writes the index has panicked";
        shared.close(Damage::Wrong(reason.to_owned()));
    }
    shared.pending.stop();
}
