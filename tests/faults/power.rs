//! Power cuts: a traced run of everything, and at many points of it the disks that a cut there could leave.
//! Each is opened as after a new start of the machine, and held against what had been acknowledged by then.

use crate::dice::{Dice, size};
use crate::events;
use crate::interposer::Lab;
use crate::model::Model;
use crate::operations::{
    back_up, create_role, init, issue, issue_for, issued, restore, revoke, serial_of,
};
use crate::report::Report;
use crate::trace::{Disk, Names, Step, mark, read};
use bowline_tests::Home;
use std::path::Path;
use std::sync::Mutex;

/// States that a normal run opens.
const STATES: usize = 300;

/// One state of so many is opened by a server, which uses the index; the others by a command, which reads the
/// journal.
const SERVED: usize = 4;

/// One state of so many is asked in every way there is.
const WHOLE: usize = 10;

/// Callers at once against the traced server.
const CALLERS: usize = 3;

/// How much of what was not synced a cut may leave, in percent.
const KEEP: [u64; 5] = [0, 20, 50, 80, 100];

/// The backup of the traced home.
const BACKUP: &str = "traced.backup";

/// What was acknowledged and tried, at every mark in the trace.
struct History<'a> {
    trace: &'a Path,
    models: Vec<Model>,
}

impl History<'_> {
    /// From here on this holds.
    fn note(&mut self, model: &Model) {
        mark(self.trace, self.models.len() as u64);
        self.models.push(model.clone());
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    let home = Home::empty();
    // The directory is there before, as a service manager makes it.
    std::fs::create_dir(home.path()).expect("a new directory is writable");
    let root = home.directory().to_owned();
    let there = [home.work(), home.path()];
    let trace = root.join("trace");
    let mut lab = Lab::around(home).traced(trace.clone());
    let mut history = History {
        trace: &trace,
        models: vec![Model::default()],
    };
    live(&mut lab, &mut history);

    let steps = read(&trace);
    let mut dice = Dice::new(11);
    let states = size("POWER_STATES", STATES);
    let mut points: Vec<usize> = (0..states).map(|_| dice.index(steps.len())).collect();
    points.sort_unstable();
    let mut disk = Disk::new(&root, &[&there[0], &there[1]]);
    let (mut report, mut done, mut model) = (Report::default(), 0, 0);
    for (state, point) in points.into_iter().enumerate() {
        for step in &steps[done..point] {
            disk.step(step);
            if let Step::Mark(number) = step {
                model = usize::try_from(*number).expect("a small number");
            }
        }
        done = point;
        report.rounds += 1;
        report.faults += disk.at_stake();
        report.acknowledged += history.models[model].acknowledged();
        let keep = KEEP[dice.index(KEEP.len())];
        let label = format!(
            "state {state}, cut at step {point} of {}, {keep} % kept",
            steps.len()
        );
        let opened = open(&disk, &history.models[model], &mut dice, keep, state);
        match report.hold(&label, opened) {
            Some(Opened::Refused) => report.refused += 1,
            Some(Opened::Good) | None => {}
        }
    }
    println!(
        "power: {} steps traced, {} marks",
        steps.len(),
        history.models.len()
    );
    report.finish("power cuts");
}

#[test]
fn a_home_that_init_made_keeps_its_name_when_the_power_fails() {
    let (home, mut model) = (Home::empty(), Model::default());
    let (root, work) = (home.directory().to_owned(), home.work());
    let trace = root.join("trace");
    let lab = Lab::around(home).traced(trace.clone());
    init(&lab, &mut model).expect_success();
    let steps = read(&trace);
    let mut disk = Disk::new(&root, &[&work]);
    for step in &steps {
        disk.step(step);
    }
    let mut report = Report::default();
    for names in [Names::InOrder, Names::WithDirectory] {
        let home = Home::empty();
        disk.cut(home.directory(), &mut Dice::new(1), 0, names);
        report.rounds += 1;
        report.faults += disk.at_stake();
        report.acknowledged += model.acknowledged();
        report.hold(
            &format!("names durable {names:?}"),
            open_as(home, &model, 0).map(drop),
        );
    }
    report.finish("power cut after init");
}

#[test]
fn a_backup_and_what_is_made_of_it_are_there_when_the_power_fails() {
    // 1. A traced backup and a traced restore; then every disk that could be left.
    let (home, mut model) = (Home::empty(), Model::default());
    let (root, work) = (home.directory().to_owned(), home.work());
    std::fs::create_dir(home.path()).expect("a new directory is writable");
    let trace = root.join("trace");
    let lab = Lab::around(home).traced(trace.clone());
    init(&lab, &mut model).expect_success();
    for name in ["kept", "revoked"] {
        issue(&lab, &mut model, name).expect_success();
    }
    let serial = serial_of(&model, "revoked");
    revoke(&lab, &mut model, &serial).expect_success();
    mark(&trace, 1);
    back_up(&lab, BACKUP).expect_success();
    mark(&trace, 2);
    let key = lab.home.path().join("unseal.key");
    std::fs::copy(&key, lab.home.file("unseal.key")).expect("a home has its key");
    let (place, backup) = (root.join("restored"), lab.home.file(BACKUP));
    restore(&lab, &backup, &place, false).expect_success();
    mark(&trace, 3);
    let steps = read(&trace);
    let mut disk = Disk::new(&root, &[&work, &lab.home.path()]);
    let mut acknowledged = 0;
    let mut dice = Dice::new(12);
    let mut report = Report::default();
    for (point, step) in steps.iter().enumerate() {
        disk.step(step);
        if let Step::Mark(number) = step {
            acknowledged = *number;
        }
        if acknowledged == 0 {
            continue;
        }
        for names in [Names::InOrder, Names::WithDirectory] {
            let home = Home::empty();
            let keep = KEEP[dice.index(KEEP.len())];
            disk.cut(home.directory(), &mut dice, keep, names);
            let label = format!(
                "cut at step {} of {}, {keep} % kept, {names:?}",
                point + 1,
                steps.len()
            );
            report.rounds += 1;
            report.faults += disk.at_stake();
            report.acknowledged += model.acknowledged();
            // 2. What has its name is whole; what was acknowledged has its name.
            let mut left = Lab::around(home);
            let made = left.home.directory().join("restored");
            let there = made.exists();
            left.set_place(made);
            match there {
                true => drop(report.hold(&label, model.check(&left))),
                false if acknowledged == 3 => report.wrong(&label, "no home"),
                false => {}
            }
            let backup = left.home.file(BACKUP);
            let other = Lab::empty();
            std::fs::copy(&key, other.home.file("unseal.key")).expect("a home has its key");
            match backup.exists() {
                true => {
                    let done = restore(&other, &backup, &other.home.path(), false);
                    let checked = match done.code {
                        Some(0) => model.check(&other).map(drop),
                        _ => Err(format!("a backup that is not whole\n{done}")),
                    };
                    report.hold(&label, checked);
                }
                false if acknowledged >= 2 => report.wrong(&label, "no backup"),
                false => {}
            }
        }
    }
    report.finish("power cuts of backup and restore");
}

enum Opened {
    Good,
    /// Before `init` was acknowledged.
    Refused,
}

/// Cuts here, and opens what is left.
fn open(
    disk: &Disk<'_>,
    model: &Model,
    dice: &mut Dice,
    keep: u64,
    state: usize,
) -> Result<Opened, String> {
    let home = Home::empty();
    let names = match dice.percent(50) {
        true => Names::WithDirectory,
        false => Names::InOrder,
    };
    disk.cut(home.directory(), dice, keep, names);
    open_as(home, model, state).map_err(|wrong| format!("names durable {names:?}: {wrong}"))
}

fn open_as(home: Home, model: &Model, state: usize) -> Result<Opened, String> {
    let mut lab = Lab::around(home);
    lab.set_boot("22222222-0000-4000-8000-000000000000");
    let mut model = model.clone();
    if !model.initialized && !lab.home.path().exists() {
        return Ok(Opened::Refused);
    }
    // Every path of the text below starts here; a second start finds what the first one left.
    if state.is_multiple_of(SERVED) {
        model.check_served(&lab)?;
    }
    match state.is_multiple_of(WHOLE) {
        true => model.check_whole(&lab)?,
        false => model.check(&lab)?,
    };
    if !model.initialized {
        return Ok(Opened::Refused);
    }
    let done = issue(&lab, &mut model, "afterwards");
    if done.code != Some(0) {
        return Err(format!("no certificate afterwards\n{done}"));
    }
    model.check(&lab)?;
    let lost = |name: &&String| {
        let key = std::fs::read_to_string(lab.home.file(&format!("{name}.key")));
        !key.is_ok_and(|key| key.trim_end().ends_with("-----END PRIVATE KEY-----"))
    };
    match model.issued.values().find(lost) {
        Some(name) => Err(format!("the key of {name} is lost")),
        None => Ok(Opened::Good),
    }
}

/// Everything that a home goes through: alone, served, killed, started again.
fn live(lab: &mut Lab, history: &mut History<'_>) {
    let mut model = Model::default();
    init(lab, &mut model).expect_success();
    history.note(&model);
    create_role(lab, &mut model, "reader").expect_success();
    history.note(&model);
    for name in ["alone-1", "alone-2", "alone-3"] {
        issue_for(lab, &mut model, name, "reader").expect_success();
        history.note(&model);
    }
    revoke_noted(lab, history, &mut model, "alone-1");
    sign_noted(lab, history, &mut model);

    // A server that makes an index, and ends in good order.
    let server = lab.serve().expect("a whole home is served");
    call(lab, history, &mut model, "first");
    revoke_noted(lab, history, &mut model, "alone-2");
    sign_noted(lab, history, &mut model);
    assert!(server.stop().success());
    issue(lab, &mut model, "between").expect_success();
    history.note(&model);

    // One that is killed, and what comes after it.
    let server = lab.serve().expect("a whole home is served");
    call(lab, history, &mut model, "killed");
    server.kill();
    issue(lab, &mut model, "after-the-kill").expect_success();
    history.note(&model);
    let server = lab.serve().expect("a killed home is served");
    create_role(lab, &mut model, "writer").expect_success();
    history.note(&model);
    call(lab, history, &mut model, "last");
    assert!(server.stop().success());

    // One after a new start of the machine, which does not believe the index and makes another.
    lab.serve().expect("a whole home is served").kill();
    lab.set_boot("11111111-0000-4000-8000-000000000000");
    let server = lab.serve().expect("a home without an index is served");
    call(lab, history, &mut model, "rebuilt");
    assert!(server.stop().success());
    issue(lab, &mut model, "at-last").expect_success();
    history.note(&model);
}

/// A checkpoint of the log, which whoever has it will hold against every later log.
fn sign_noted(lab: &Lab, history: &mut History<'_>, model: &mut Model) {
    events::sign(lab, model).expect_success();
    history.note(model);
}

fn revoke_noted(lab: &Lab, history: &mut History<'_>, model: &mut Model, name: &str) {
    let serial = serial_of(model, name);
    model.revoking.insert(serial.clone());
    history.note(model);
    revoke(lab, model, &serial).expect_success();
    history.note(model);
}

/// Several callers at once.
fn call(lab: &Lab, history: &mut History<'_>, model: &mut Model, text: &str) {
    let shared = Mutex::new((history, model));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (shared, name) = (&shared, format!("{text}-{caller}"));
            scope.spawn(move || {
                let done = lab
                    .run(["issue", &name, "--output", "json"])
                    .expect_success();
                let mut shared = shared.lock().expect("no caller panics in here");
                let (history, model) = &mut *shared;
                issued(model, &name, &done);
                history.note(model);
            });
        }
    });
}
