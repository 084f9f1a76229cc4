//! One flipped bit in one file of a home. Either everything is answered as it was, or the program refuses with a
//! sentence; it never panics, and never says anything wrong.

use crate::dice::{Dice, size};
use crate::interposer::Lab;
use crate::large::lengthen_journal;
use crate::model::{Model, certificates, sentence, worked_or_refused};
use crate::operations::{indexed, issue, issued, restored};
use crate::report::Report;
use bowline_tests::Finished;
use std::fs::{read, read_dir, write};
use std::path::{Path, PathBuf};

/// Flips of a normal run.
const FLIPS: usize = 100;

/// Flips in the index of a home with a long journal.
const FLIPS_LARGE: usize = 15;

/// Certificates in the homes whose bits are flipped.
const CERTIFICATES: usize = 12;

/// The journal of a large home: longer than what a start would read for its own sake.
const LARGE_JOURNAL_BYTES: u64 = 17 * 1024 * 1024;

/// One home was closed in good order, another's server was killed, and one begins with a checkpoint.
struct Scene {
    text: &'static str,
    lab: Lab,
    model: Model,
}

fn scenes() -> [Scene; 3] {
    let (lab, mut model) = indexed();
    let server = lab.serve().expect("a whole home is served");
    fill(&lab, &mut model);
    assert_eq!(lab.stop(server).code, Some(0));
    let closed = Scene {
        text: "closed",
        lab: lab.copy(),
        model: model.clone(),
    };
    let server = lab.serve().expect("a whole home is served");
    for number in 0..3 {
        issue_outside(&lab, &mut model, &format!("late-{number}"));
    }
    server.kill();
    let killed = Scene {
        text: "killed",
        lab,
        model,
    };
    let (lab, model) = restored();
    let begun = Scene {
        text: "restored",
        lab,
        model,
    };
    [closed, killed, begun]
}

fn fill(lab: &Lab, model: &mut Model) {
    for number in 0..CERTIFICATES {
        issue_outside(lab, model, &format!("filler-{number}"));
    }
}

fn issue_outside(lab: &Lab, model: &mut Model, name: &str) {
    let done = lab.outside(["issue", name, "--output", "json"]);
    issued(model, name, &done);
    assert_eq!(done.code, Some(0), "{done}");
}

#[test]
fn a_flipped_bit_is_harmless_or_refused() {
    let flips = size("BIT_FLIPS", FLIPS);
    let mut dice = Dice::new(5);
    let mut report = Report::default();
    let scenes = scenes();
    let mut met = std::collections::BTreeMap::new();
    for flip in 0..flips {
        let scene = &scenes[flip % scenes.len()];
        let lab = scene.lab.copy();
        // Every file has its turn; else nearly all flips would be in the largest.
        let files = files_of(&lab.home.path());
        let file = &files[dice.index(files.len())];
        let bit = flip_bit(file, &mut dice);
        let name = file
            .strip_prefix(lab.home.path())
            .expect("it is in the home")
            .to_owned();
        let label = format!("{} home, bit {bit} of {}", scene.text, name.display());
        report.rounds += 1;
        report.faults += 1;
        let (good, refused) = met.entry(name.clone()).or_insert((0, 0));
        // By a server, which uses the index; or by commands alone, which read the journal.
        match report.hold(
            &label,
            try_home(&lab, scene.model.clone(), dice.percent(70)),
        ) {
            Some(Answer::Right) => *good += 1,
            Some(Answer::Refused) => {
                *refused += 1;
                report.refused += 1;
            }
            None => {}
        }
        report.acknowledged += scene.model.acknowledged();
    }
    for (file, (good, refused)) in met {
        println!("  {}: {good} harmless, {refused} refused", file.display());
    }
    report.finish("flipped bits");
}

#[derive(Clone, Copy)]
enum Answer {
    Right,
    Refused,
}

fn try_home(lab: &Lab, mut model: Model, served: bool) -> Result<Answer, String> {
    if served {
        match lab.serve() {
            Ok(server) => {
                let answer = ask(lab, &mut model);
                let ended = lab.stop(server);
                lab.panicked()?;
                worked_or_refused(&ended)?;
                return answer;
            }
            Err(ended) => return refusal(lab, &ended),
        }
    }
    ask(lab, &mut model)
}

/// A list, and a certificate more.
fn ask(lab: &Lab, model: &mut Model) -> Result<Answer, String> {
    match certificates(lab) {
        Ok(found) => model.judge(&found)?,
        Err(refused) => return refusal(lab, &refused),
    }
    let done = issue(lab, model, "afterwards");
    if done.code != Some(0) {
        return refusal(lab, &done);
    }
    model.check_whole(lab)?;
    Ok(Answer::Right)
}

fn refusal(lab: &Lab, refused: &Finished) -> Result<Answer, String> {
    lab.panicked()?;
    sentence(refused)?;
    Ok(Answer::Refused)
}

#[test]
fn a_record_that_the_index_lost_is_missed() {
    let (lab, mut model) = indexed();
    lengthen_journal(&lab, LARGE_JOURNAL_BYTES);
    let server = lab.serve().expect("a whole home is served");
    fill(&lab, &mut model);
    // sled hands over what it has twice a second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    server.kill();
    let mut dice = Dice::new(6);
    let mut report = Report::default();
    for _ in 0..size("BIT_FLIPS_LARGE", FLIPS_LARGE) {
        let lab = lab.copy();
        let bit = flip_bit(&lab.home.path().join("index/db"), &mut dice);
        let label = format!("killed home, bit {bit} of its index");
        report.rounds += 1;
        report.faults += 1;
        if let Some(Answer::Refused) = report.hold(&label, try_home(&lab, model.clone(), true)) {
            report.refused += 1;
        }
        report.acknowledged += model.acknowledged();
    }
    report.finish("flipped bits in the index");
}

/// Every file below, except sockets.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in read_dir(folder).expect("the home is readable") {
        let entry = entry.expect("a directory entry is readable");
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            found.extend(files_of(&entry.path()));
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() > 0) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Flips one bit, and says which.
fn flip_bit(file: &Path, dice: &mut Dice) -> usize {
    let mut bytes = read(file).expect("the file is readable");
    let bit = dice.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    write(file, &bytes).expect("the file is writable");
    bit
}
