//! Killed at every step: each operation is counted once undisturbed, then killed at its k-th change, before it
//! and in the middle of it, then its recovery is killed twice, and then everything must be there and go on.

use crate::dice::{Dice, size, spread};
use crate::interposer::{Action, Fault, Lab, kind};
use crate::large::CHECKPOINT;
use crate::operations::{OPERATIONS, Operation, again, held};
use crate::report::Report;

/// Steps of each operation that a normal run kills at.
const POINTS: usize = 10;

/// The same for a checkpoint, whose home is large.
const CHECKPOINT_POINTS: usize = 4;

/// Kills of the process that recovers, one after the other.
const RECOVERIES: usize = 2;

#[test]
fn nothing_acknowledged_is_lost_wherever_a_process_is_killed() {
    let points = size("KILL_POINTS", POINTS);
    let mut report = Report::default();
    for operation in &OPERATIONS {
        let faults = report.faults;
        sweep(operation, points, &mut report);
        assert!(
            report.faults > faults,
            "{}: nothing was killed",
            operation.name
        );
    }
    report.finish("kill sweep");
}

#[test]
fn nothing_is_lost_wherever_a_checkpoint_is_killed() {
    let mut report = Report::default();
    sweep(
        &CHECKPOINT,
        size("KILL_CHECKPOINT_POINTS", CHECKPOINT_POINTS),
        &mut report,
    );
    report.finish("kill sweep of a checkpoint");
}

fn sweep(operation: &Operation, points: usize, report: &mut Report) {
    let (base, model) = (operation.scene)();
    let steps = count(&base, |lab| {
        drop((operation.run)(lab, &mut model.clone(), "counted"));
    });
    let recovery = count(&base, operation.recover);
    let mut dice = Dice::new(steps);
    let before = report.faults;
    for k in spread(steps, points) {
        for action in [Action::KillBefore, Action::KillMiddle] {
            let label = format!("{}, {action:?} of change {k} of {steps}", operation.name);
            let (lab, mut model) = (base.copy_with_boot(), model.clone());
            report.rounds += 1;

            // 1. The kill.
            lab.arm(Fault::kill(action, k));
            drop((operation.run)(&lab, &mut model, "killed"));
            report.faults += usize::from(lab.counts().1 > 0);

            // 2. Kills of what comes after it.
            for _ in 0..RECOVERIES {
                lab.arm(Fault::kill(action, 1 + dice.below(recovery)));
                (operation.recover)(&lab);
                report.faults += usize::from(lab.counts().1 > 0);
            }

            // 3. All is there, and goes on.
            lab.disarm();
            report.hold(
                &format!("{label}, after the kills"),
                held(operation, &lab, &model),
            );
            let again = again(operation, &lab, &mut model);
            report.hold(&format!("{label}, tried again"), again);
            report.acknowledged += model.acknowledged();
        }
    }
    println!(
        "  {}: {steps} steps, {recovery} to recover, {} kills",
        operation.name,
        report.faults - before
    );
}

/// How many changes the work makes when nothing disturbs it.
fn count(base: &Lab, work: impl FnOnce(&Lab)) -> u64 {
    let lab = base.copy_with_boot();
    lab.count_only(kind::MUTATION);
    work(&lab);
    lab.counts().0
}
