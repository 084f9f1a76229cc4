//! A slow disk, many callers, two processes at one home, and the end of a server with work in flight.

use crate::dice::size;
use crate::interposer::{Fault, Lab, kind};
use crate::model::{sentence, worked, worked_or_refused};
use crate::operations::{indexed, issued, small};
use crate::report::Report;
use bowline_tests::Finished;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How long each sync of the slow disk takes.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// How long a reader may wait while writers wait for the disk.
const READ_MAX: Duration = Duration::from_millis(900);

/// The stated time in which a server ends after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(10);

const ENOSPC: i32 = 28;

/// Writers at once, and how many certificates each wants.
const WRITERS: usize = 8;
const EACH: usize = 3;

#[test]
fn a_slow_disk_slows_writers_and_nobody_else() {
    let (lab, mut model) = indexed();
    let server = lab.serve().expect("a whole home is served");
    lab.set_sync_delay(SLOW_SYNC);
    let writing = AtomicBool::new(true);
    let started = Instant::now();
    let (written, reads) = scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let lab = &lab;
                scope.spawn(move || {
                    let one = |number| {
                        let name = format!("slow-{writer}-{number}");
                        let done = lab.outside(["issue", &name, "--output", "json"]);
                        (name, done)
                    };
                    (0..EACH).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut reads = Vec::new();
            while writing.load(Ordering::Relaxed) {
                let started = Instant::now();
                let done = lab.outside(["cert", "list", "--expired", "--output", "json"]);
                reads.push((started.elapsed(), done.code));
            }
            reads
        });
        let written: Vec<_> = writers
            .into_iter()
            .flat_map(|w| w.join().expect("a writer ends"))
            .collect();
        writing.store(false, Ordering::Relaxed);
        (written, reader.join().expect("the reader ends"))
    });
    let took = started.elapsed();
    let mut report = Report::default();
    report.rounds = written.len();
    for (name, done) in &written {
        issued(&mut model, name, done);
        report.hold(name, worked(done));
    }
    lab.set_sync_delay(Duration::ZERO);
    report.faults = usize::try_from(took.as_secs()).expect("a short time");
    report.hold("after the slow disk", model.check_whole(&lab));
    report.hold("stopping", worked(&lab.stop(server)));
    report.hold("started again", model.check_whole(&lab));
    report.acknowledged = model.acknowledged();
    let slowest = reads
        .iter()
        .map(|(took, _)| *took)
        .max()
        .unwrap_or_default();
    let failed = reads.iter().filter(|(_, code)| *code != Some(0)).count();
    println!(
        "  {} certificates in {took:.1?}, {} reads beside, the slowest {slowest:.0?}, {failed} failed",
        written.len(),
        reads.len()
    );
    report.finish("slow disk");
    assert!(
        reads.len() > WRITERS && failed == 0 && slowest < READ_MAX,
        "readers waited"
    );
    // Groups share a sync: every writer alone would take as long as all together.
    assert!(
        took < SLOW_SYNC * u32::try_from(WRITERS * EACH).expect("a small number") / 2,
        "{took:?}"
    );
    assert!(
        took > SLOW_SYNC * u32::try_from(EACH).expect("a small number"),
        "the disk was not slow: {took:?}"
    );
}

#[test]
fn a_server_told_to_end_finishes_what_it_was_asked() {
    let mut report = Report::default();
    for round in 0..size("DRAIN_ROUNDS", 3) {
        let (lab, mut model) = small();
        let server = lab.serve().expect("a whole home is served");
        lab.set_sync_delay(SLOW_SYNC);
        let (ended, took, answers) = scope(|scope| {
            let callers: Vec<_> = (0..WRITERS)
                .map(|caller| {
                    let lab = &lab;
                    scope.spawn(move || {
                        let name = format!("draining-{caller}");
                        let done = lab.outside(["issue", &name, "--output", "json"]);
                        (name, done)
                    })
                })
                .collect();
            sleep(Duration::from_millis(300 * (1 + round as u64)));
            let started = Instant::now();
            let ended = lab.stop(server);
            let took = started.elapsed();
            let answers: Vec<_> = callers
                .into_iter()
                .map(|c| c.join().expect("a caller ends"))
                .collect();
            (ended, took, answers)
        });
        lab.set_sync_delay(Duration::ZERO);
        report.rounds += 1;
        report.faults += answers.len();
        for (name, done) in &answers {
            issued(&mut model, name, done);
            let worked = report.hold(name, worked_or_refused(done));
            report.refused += usize::from(worked == Some(false));
        }
        report.hold("the server's end", worked(&ended));
        let late = (took > DRAIN_MAX).then(|| format!("it took {took:?}"));
        report.hold("the server's end", late.map_or(Ok(()), Err));
        report.hold("afterwards", model.check_whole(&lab));
        report.acknowledged += model.acknowledged();
        println!(
            "  round {round}: ended in {took:.1?}, {} acknowledged in flight",
            model.issued.len() - 3
        );
    }
    report.finish("SIGTERM");
}

#[test]
fn a_server_told_to_end_as_soon_as_it_is_ready_ends_in_good_order() {
    let (lab, model) = small();
    let mut report = Report::default();
    for round in 0..size("DRAIN_ROUNDS", 3) * 4 {
        let server = lab.serve().expect("a whole home is served");
        report.rounds += 1;
        report.faults += 1;
        report.hold(&format!("round {round}"), worked(&lab.stop(server)));
    }
    report.hold("afterwards", model.check(&lab));
    report.acknowledged = model.acknowledged();
    report.finish("SIGTERM at once");
}

#[test]
fn two_processes_at_one_home_take_turns() {
    let (lab, mut model) = small();
    let mut report = Report::default();
    // 1. Commands alone, all at once: each waits for its turn or says who has the home.
    for round in 0..size("TURN_ROUNDS", 5) {
        for (name, done) in all_at_once(&lab, &format!("turn-{round}")) {
            issued(&mut model, &name, &done);
            report.rounds += 1;
            report.faults += 1;
            let worked = report.hold(&name, worked_or_refused(&done));
            report.refused += usize::from(worked == Some(false));
        }
        report.hold("after all at once", model.check(&lab));
    }
    // 2. A second server is refused, and the first one does not mind.
    let server = lab.serve().expect("a whole home is served");
    let second = lab.run([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--plain-listen",
        "127.0.0.1:0",
    ]);
    report.hold("a second server", sentence(&second));
    for (name, done) in all_at_once(&lab, "served") {
        issued(&mut model, &name, &done);
        report.hold(&name, worked(&done));
    }
    // 3. Callers while it is killed and another one starts.
    let answers = scope(|scope| {
        let callers = scope.spawn(|| all_at_once(&lab, "changing"));
        sleep(Duration::from_millis(30));
        server.kill();
        let next = lab.serve();
        let answers = callers.join().expect("the callers end");
        if let Ok(next) = next {
            report.hold("the next server", worked(&lab.stop(next)));
        }
        answers
    });
    for (name, done) in answers {
        issued(&mut model, &name, &done);
        // One that lost its server in the middle does not know what became of its request.
        let worked = report.hold(&name, worked_or_refused(&done));
        report.refused += usize::from(worked == Some(false));
    }
    report.hold("at last", model.check_whole(&lab));
    report.acknowledged = model.acknowledged();
    report.finish("two processes");
}

fn all_at_once(lab: &Lab, text: &str) -> Vec<(String, Finished)> {
    scope(|scope| {
        let callers: Vec<_> = (0..WRITERS)
            .map(|caller| {
                let name = format!("{text}-{caller}");
                scope.spawn(move || {
                    let done = lab.run(["issue", &name, "--output", "json"]);
                    (name, done)
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|c| c.join().expect("a caller ends"))
            .collect()
    })
}

/// A log that cannot be written is a pity. It must not end the server.
#[test]
fn a_full_disk_under_the_log_stops_nobody() {
    let (lab, mut model) = small();
    let lab = lab.only_log().with_streams();
    let mut report = Report::default();
    let server = lab.serve().expect("a whole home is served");
    lab.arm(Fault::fail(kind::WRITE, ENOSPC, 1, u64::MAX));
    for (name, done) in all_at_once_outside(&lab) {
        report.rounds += 1;
        issued(&mut model, &name, &done);
        report.hold(&name, worked(&done));
    }
    let ended = lab.stop(server);
    report.faults = usize::try_from(lab.counts().1).expect("not that many");
    lab.disarm();
    report.hold("the server's end", worked(&ended));
    report.hold("afterwards", model.check_whole(&lab));
    report.acknowledged = model.acknowledged();
    report.finish("full disk under the log");
}

fn all_at_once_outside(lab: &Lab) -> Vec<(String, Finished)> {
    (0..WRITERS)
        .map(|caller| {
            let name = format!("logged-{caller}");
            let done = lab.outside(["issue", &name, "--output", "json"]);
            (name, done)
        })
        .collect()
}
