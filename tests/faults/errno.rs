//! The system refuses: no space, a failing disk, no more files, a disk that can only be read. Each call is
//! refused in its turn, once or from then on; what meets it must work or say so, and lie neither then nor
//! afterwards.

use crate::dice::{size, spread};
use crate::interposer::{Action, Fault, Lab, kind};
use crate::model::{Model, Wrong, sentence, worked, worked_or_refused};
use crate::operations::{OPERATIONS, Operation, again, held, indexed, issue, issued, small};
use crate::report::Report;
use bowline_tests::Finished;
use std::net::TcpStream;

/// Calls of each kind and operation that a normal run refuses.
const POINTS: usize = 3;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// A refusal of the system: its name and number, and which calls it meets.
const REFUSALS: [(&str, i32, u64); 5] = [
    ("no space", ENOSPC, kind::GROWTH),
    ("bad disk", EIO, kind::WRITE | kind::SYNC | kind::TRUNCATE),
    (
        "bad directory",
        EIO,
        kind::OPEN | kind::RENAME | kind::REMOVE,
    ),
    ("too many files", EMFILE, kind::OPEN),
    (
        "read-only",
        EROFS,
        kind::MUTATION & !kind::SYNC & !kind::RANGE,
    ),
];

#[test]
fn a_call_that_the_system_refuses_loses_nothing() {
    let points = size("ERRNO_POINTS", POINTS);
    let mut report = Report::default();
    for operation in &OPERATIONS {
        let (base, model) = (operation.scene)();
        for refusal in REFUSALS {
            refuse(operation, (&base, &model), refusal, points, &mut report);
        }
    }
    report.finish("refused calls");
}

fn refuse(
    operation: &Operation,
    (base, model): (&Lab, &Model),
    (text, errno, kinds): (&str, i32, u64),
    points: usize,
    report: &mut Report,
) {
    let counted = base.copy_with_boot();
    counted.count_only(kinds);
    drop((operation.run)(&counted, &mut model.clone(), "counted"));
    let calls = counted.counts().0;
    for k in spread(calls, points) {
        for last in [k, u64::MAX] {
            let times = if last == k { "once" } else { "from then on" };
            let label = format!("{}: {text} at call {k} of {calls}, {times}", operation.name);
            let (lab, mut model) = (base.copy_with_boot(), model.clone());
            report.rounds += 1;
            lab.arm(Fault::fail(kinds, errno, k, last));
            let said = (operation.run)(&lab, &mut model, "refused");
            report.faults += usize::try_from(lab.counts().1).expect("not that many");
            lab.disarm();
            for finished in &said {
                let worked = report.hold(&label, worked_or_refused(finished));
                report.refused += usize::from(worked == Some(false));
            }
            let held = held(operation, &lab, &model);
            report.hold(&format!("{label}, afterwards"), held);
            let again = again(operation, &lab, &mut model);
            report.hold(&format!("{label}, tried again"), again);
            report.acknowledged += model.acknowledged();
        }
    }
}

/// How a disk gets full.
type Fill = fn(&Lab);

#[test]
fn a_full_disk_stops_signing_and_says_so() {
    let full: [(&str, Fill); 3] = [
        ("writes fail", |lab| {
            lab.arm(Fault::fail(kind::GROWTH, ENOSPC, 1, u64::MAX));
        }),
        ("writes are cut short", |lab| {
            lab.arm(Fault {
                action: Action::FailShort,
                ..Fault::fail(kind::GROWTH, ENOSPC, 1, u64::MAX)
            });
        }),
        ("little is free", |lab| lab.set_space(Some(1024 * 1024))),
    ];
    let mut report = Report::default();
    for (text, fill) in full {
        for served in [true, false] {
            let label = format!("{text}, {}", if served { "served" } else { "alone" });
            let (lab, mut model) = indexed();
            let lab = lab.only_journal();
            report.rounds += 1;
            let server = served.then(|| lab.serve().expect("a whole home is served"));
            for round in 0..2 {
                // 1. Full: nothing is signed, and what is there can be read.
                fill(&lab);
                report.faults += 1;
                let done = issue_where(served, &lab, &mut model, &format!("full-{round}"));
                report.hold(&label, refused_as(&done, "store_unavailable", 75));
                report.refused += 1;
                report.hold(
                    &format!("{label}, reading"),
                    match served {
                        true => model.check(&lab),
                        // A process alone must note in the home that it has it.
                        false => Ok(0),
                    },
                );
                // 2. Room again: as if nothing had been.
                lab.disarm();
                lab.set_space(None);
                let done = issue_where(served, &lab, &mut model, &format!("room-{round}"));
                report.hold(&format!("{label}, room again"), worked(&done));
                report.hold(&format!("{label}, room again"), model.check_whole(&lab));
                report.acknowledged += model.acknowledged();
            }
            if let Some(server) = server {
                let ended = lab.stop(server);
                report.hold(&format!("{label}, stopping"), worked(&ended));
                report.hold(&format!("{label}, at last"), model.check_whole(&lab));
            }
        }
    }
    report.finish("full disk");
}

#[test]
fn after_a_failed_sync_nothing_is_signed_until_a_new_start() {
    let (lab, mut model) = indexed();
    let mut report = Report::default();
    let lab = lab.only_journal();
    for round in 0..3 {
        report.rounds += 1;
        let server = lab.serve().expect("a whole home is served");
        // One failure is enough: the next sync would succeed, and the data may be gone all the same.
        lab.arm(Fault::fail(kind::SYNC, EIO, 1, 1));
        report.faults += 1;
        let name = format!("unknown-{round}");
        let done = lab.outside(["issue", &name, "--output", "json"]);
        report.hold("the failing sync", refused_as(&done, "outcome_unknown", 75));
        let name = format!("stopped-{round}");
        let done = lab.outside(["issue", &name, "--output", "json"]);
        issued(&mut model, &name, &done);
        report.hold("after it", refused_as(&done, "store_unavailable", 75));
        report.refused += 2;
        drop(lab.stop(server));
        report.hold("started again", model.check_whole(&lab));
        let done = issue(&lab, &mut model, &format!("again-{round}"));
        report.hold("started again", worked(&done));
        report.acknowledged += model.acknowledged();
    }
    report.finish("failed sync");
}

#[test]
fn too_few_files_are_said() {
    let (base, model) = indexed();
    let mut report = Report::default();
    for files in 3..size("FILE_LIMITS", 28) as u64 {
        let (mut lab, mut model) = (base.copy(), model.clone());
        report.rounds += 1;
        report.faults += 1;
        lab.set_files(Some(files));
        let label = format!("{files} files");
        let done = issue(&lab, &mut model, "alone");
        let worked_alone = report.hold(&label, worked_or_refused(&done));
        match lab.serve() {
            Ok(server) => {
                let done = lab.outside(["issue", "served", "--output", "json"]);
                issued(&mut model, "served", &done);
                report.hold(&format!("{label}, served"), worked_or_refused(&done));
                let ended = lab.stop(server);
                report.hold(&format!("{label}, stopping"), worked_or_refused(&ended));
            }
            Err(ended) => {
                report.refused += 1;
                report.hold(&format!("{label}, serving"), sentence(&ended));
            }
        }
        report.refused += usize::from(worked_alone == Some(false));
        lab.set_files(None);
        report.hold(&format!("{label}, afterwards"), model.check(&lab));
        let done = issue(&lab, &mut model, "afterwards");
        report.hold(&format!("{label}, afterwards"), worked(&done));
        report.acknowledged += model.acknowledged();
    }
    report.finish("few files");
}

#[test]
fn a_server_without_files_left_goes_on_when_they_are_back() {
    let (mut lab, mut model) = small();
    let mut report = Report::default();
    lab.set_files(Some(64));
    let server = lab.serve().expect("64 files are enough for a few callers");
    let address = server.http().trim_start_matches("http://").to_owned();
    for round in 0..3 {
        report.rounds += 1;
        let idle: Vec<TcpStream> = (0..100)
            .filter_map(|_| TcpStream::connect(&address).ok())
            .collect();
        report.faults += idle.len();
        drop(idle);
        let name = format!("room-{round}");
        let done = lab.outside(["issue", &name, "--output", "json"]);
        issued(&mut model, &name, &done);
        report.hold("connections closed", worked(&done));
    }
    report.acknowledged += model.acknowledged();
    let ended = lab.stop(server);
    report.hold("stopping", worked(&ended));
    report.hold("afterwards", model.check_whole(&lab));
    report.finish("idle connections");
}

fn issue_where(served: bool, lab: &Lab, model: &mut Model, name: &str) -> Finished {
    match served {
        false => issue(lab, model, name),
        true => {
            let done = lab.outside(["issue", name, "--output", "json"]);
            issued(model, name, &done);
            done
        }
    }
}

fn refused_as(finished: &Finished, code: &str, exit: i32) -> Result<(), Wrong> {
    let found = sentence(finished)?;
    match found == code && finished.code == Some(exit) {
        true => Ok(()),
        false => Err(format!(
            "refused as {found}, and not as {code} with exit code {exit}\n{finished}"
        )),
    }
}
