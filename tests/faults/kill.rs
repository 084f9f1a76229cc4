//! The program killed with SIGKILL at random moments while it issues and revokes, as one process a
//! command and as a server. Whatever was acknowledged must be there afterwards, every certificate
//! that is on disk must have its key, and every start must work.
//!
//! `KILL_ROUNDS` says how many.

use crate::dice::{Dice, size};
use bowline_tests::{Home, Server, run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many rounds a normal run has, half of them of each kind.
const ROUNDS: usize = 200;

/// How many rounds a home goes through.
const ROUNDS_OF_A_HOME: usize = 100;

/// The longest a server lives before it is killed.
const SERVER_LIFE_MAX: Duration = Duration::from_millis(250);

/// Commands at once against a server.
const CALLERS: usize = 3;

/// What was acknowledged, and counts for the report.
#[derive(Default)]
struct Model {
    issued: BTreeSet<String>,
    revoked: BTreeSet<String>,
    killed: usize,
    found: usize,
}

impl Model {
    /// Holds the home against everything acknowledged so far.
    fn check(&mut self, home: &Home, round: usize) {
        let status = statuses(home);
        for serial in &self.issued {
            assert!(
                status.contains_key(serial),
                "round {round}: certificate {serial} was acknowledged and is lost"
            );
        }
        for serial in &self.revoked {
            assert_eq!(
                status.get(serial).map(String::as_str),
                Some("revoked"),
                "round {round}: {serial} was revoked"
            );
        }
        self.found = status.len();
    }
}

/// Every certificate of the home, by serial number.
fn statuses(home: &Home) -> BTreeMap<String, String> {
    let listed = home
        .run(["cert", "list", "--expired", "--output", "json"])
        .expect_success();
    listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of the list is JSON"))
        .map(|line| (text(&line, "serial"), text(&line, "status")))
        .collect()
}

fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {value}"))
        .to_owned()
}

/// The rounds, in parts that each have a home of their own: a home that grows without end slows every check.
fn homes() -> impl Iterator<Item = Range<usize>> {
    let rounds = size("KILL_ROUNDS", ROUNDS) / 2;
    (0..rounds)
        .step_by(ROUNDS_OF_A_HOME)
        .map(move |first| first..rounds.min(first + ROUNDS_OF_A_HOME))
}

#[test]
fn nothing_acknowledged_is_lost_when_one_shot_processes_are_killed() {
    let mut total = Totals::default();
    let mut dice = Dice::new(1);
    for rounds in homes() {
        one_shot(rounds, &mut dice, &mut total);
    }
    report("one-shot", &total);
}

fn one_shot(rounds: Range<usize>, dice: &mut Dice, total: &mut Totals) {
    let home = Home::initialized();
    let mut model = Model::default();
    // Half as long again as an undisturbed command takes on this machine: so some are killed at every step, some end.
    let started = Instant::now();
    home.succeed(["issue", "undisturbed"]);
    let life_max = started.elapsed() * 3 / 2;
    for round in rounds {
        let name = format!("w-{round}");
        let revoke = model
            .issued
            .difference(&model.revoked)
            .next()
            .filter(|_| round % 3 == 2)
            .cloned();
        let mut command = match &revoke {
            Some(serial) => {
                home.bowline(["cert", "revoke", &format!("0x{serial}"), "--output", "json"])
            }
            None => home.bowline(["issue", &name, "--output", "json"]),
        };
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        sleep(dice.time(life_max));
        child.kill().expect("our own child can be killed");
        let output = child
            .wait_with_output()
            .expect("our own child can be waited for");
        match (output.status.success(), revoke) {
            (true, Some(serial)) => {
                model.revoked.insert(serial);
            }
            (true, None) => {
                let issued: Value =
                    serde_json::from_slice(&output.stdout).expect("the answer is JSON");
                model.issued.insert(text(&issued, "serial"));
            }
            (false, _) => model.killed += 1,
        }
        // A certificate without its key would be of no use to anybody.
        if home.file(&format!("{name}.crt")).exists() {
            assert!(
                home.file(&format!("{name}.key")).exists(),
                "round {round}: {name}.crt stands without its key"
            );
        }
        model.check(&home, round);
    }
    total.add(&model);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let mut total = Totals::default();
    let mut dice = Dice::new(2);
    for rounds in homes() {
        served(rounds, &mut dice, &mut total);
    }
    report("server", &total);
}

fn served(rounds: Range<usize>, dice: &mut Dice, total: &mut Totals) {
    let home = Home::initialized();
    let mut model = Model::default();
    for round in rounds {
        let server = Server::start(&home);
        let life = dice.time(SERVER_LIFE_MAX);
        let to_revoke: Vec<String> = model
            .issued
            .difference(&model.revoked)
            .take(CALLERS)
            .cloned()
            .collect();
        let answers = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let (home, serial) = (&home, to_revoke.get(caller).cloned());
                    scope.spawn(move || call_until_it_fails(home, round, caller, serial))
                })
                .collect();
            sleep(life);
            server.kill();
            callers
                .into_iter()
                .map(|caller| caller.join().expect("a caller ends"))
                .collect::<Vec<_>>()
        });
        for (issued, revoked) in answers {
            model.issued.extend(issued);
            model.revoked.extend(revoked);
        }
        model.killed += 1;
        model.check(&home, round);
    }
    total.add(&model);
}

/// One revocation, then certificates, for as long as there is a server. A command that found the server dead
/// works on the home itself, which counts as well.
fn call_until_it_fails(
    home: &Home,
    round: usize,
    caller: usize,
    revoke: Option<String>,
) -> (Vec<String>, Vec<String>) {
    let (mut issued, mut revoked) = (Vec::new(), Vec::new());
    if let Some(serial) = revoke {
        let done =
            run(&mut home.bowline(["cert", "revoke", &format!("0x{serial}"), "--output", "json"]));
        if done.code == Some(0) {
            revoked.push(serial);
        }
    }
    for count in 0..4 {
        let name = format!("s-{round}-{caller}-{count}");
        let done = run(&mut home.bowline(["issue", &name, "--output", "json"]));
        if done.code != Some(0) {
            break;
        }
        issued.push(text(&done.json(), "serial"));
    }
    (issued, revoked)
}

/// The counts of all homes.
#[derive(Default)]
struct Totals {
    killed: usize,
    issued: usize,
    revoked: usize,
    more: usize,
}

impl Totals {
    fn add(&mut self, model: &Model) {
        self.killed += model.killed;
        self.issued += model.issued.len();
        self.revoked += model.revoked.len();
        self.more += model.found - model.issued.len();
    }
}

fn report(kind: &str, total: &Totals) {
    println!(
        "{kind}: {} kills, {} certificates and {} revocations acknowledged, 0 lost, {} more found",
        total.killed, total.issued, total.revoked, total.more
    );
    assert!(
        total.killed > 0 && total.issued > 0 && total.revoked > 0,
        "the rounds exercised nothing"
    );
}
