//! The clock jumps, under one command and under a server that runs. No certificate gets a wrong time, nothing
//! revoked is good at any time, and when the clock is right again everything goes on.

use crate::interposer::Lab;
use crate::model::{Model, Wrong, certificates, sentence, worked_or_refused};
use crate::operations::{create_role, init, issue, issue_for, issued, revoke, serial_of};
use crate::report::Report;
use bowline_tests::Finished;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// How long a certificate is good for unless told otherwise, and how much earlier it begins.
const VALIDITY: i64 = DAY;
const BACKDATED: i64 = 300;

/// How far the clock may be behind the last commit of the home, which clocks of good machines may be too.
const BEHIND_MAX: i64 = 5 * 60;

/// How far a certificate's times may be from what the clock said: the test takes a while itself.
const TOLERANCE: i64 = 30;

/// How far the clock jumps, or where to.
enum Jump {
    By(i64),
    To(i64),
}

const JUMPS: [(&str, Jump); 9] = [
    ("a second back", Jump::By(-1)),
    ("an hour ahead", Jump::By(HOUR)),
    ("an hour back", Jump::By(-HOUR)),
    ("a year ahead", Jump::By(365 * DAY)),
    ("a year back", Jump::By(-365 * DAY)),
    ("1970", Jump::To(DAY)),
    // 32 bits of seconds end in the night to this day.
    ("2038", Jump::To(2_147_472_000 + DAY)),
    // From here on times are written another way (RFC 5280 §4.1.2.5).
    ("2050", Jump::To(2_524_608_000 + DAY)),
    ("2100", Jump::To(4_102_444_800 + DAY)),
];

/// A home that was made a month ago, so that an hour back is still in the time of its authorities, and that
/// has been used right now.
fn month_old() -> (Lab, Model) {
    let (lab, mut model) = (Lab::empty(), Model::default());
    lab.set_clock(-30 * DAY);
    init(&lab, &mut model).expect_success();
    create_role(&lab, &mut model, "reader").expect_success();
    issue_for(&lab, &mut model, "old", "reader").expect_success();
    lab.set_clock(0);
    for name in ["good", "bad"] {
        issue_for(&lab, &mut model, name, "reader").expect_success();
    }
    let serial = serial_of(&model, "bad");
    revoke(&lab, &mut model, &serial).expect_success();
    (lab, model)
}

fn real_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("a time of this age")
}

fn offset(jump: &Jump) -> i64 {
    match jump {
        Jump::By(seconds) => *seconds,
        Jump::To(time) => time - real_now(),
    }
}

#[test]
fn no_certificate_has_a_wrong_time_and_nothing_revoked_is_good() {
    let (base, model) = month_old();
    let mut report = Report::default();
    for (text, jump) in &JUMPS {
        for served in [false, true] {
            let label = format!("{text}, {}", if served { "served" } else { "alone" });
            let (lab, mut model) = (base.copy(), model.clone());
            report.rounds += 1;
            report.faults += 1;
            let server = served.then(|| lab.serve().expect("a whole home is served"));
            lab.set_clock(offset(jump));
            let worked = report.hold(&label, under_jump(&lab, &mut model, offset(jump)));
            report.refused += usize::from(worked == Some(false));
            // A second process starts while the clock is wrong.
            if let Some(server) = server {
                report.hold(&label, worked_or_refused(&lab.stop(server)));
                match lab.serve() {
                    Ok(server) => {
                        report.hold(
                            &format!("{label}, started so"),
                            under_jump(&lab, &mut model, offset(jump)),
                        );
                        report.hold(&label, worked_or_refused(&lab.stop(server)));
                    }
                    Err(ended) => {
                        report.refused += 1;
                        report.hold(&format!("{label}, started so"), sentence(&ended));
                    }
                }
            }
            // Right again.
            lab.set_clock(0);
            report.hold(
                &format!("{label}, right again"),
                right_again(&lab, &mut model, offset(jump)),
            );
            report.acknowledged += model.acknowledged();
        }
    }
    report.finish("clock jumps");
}

/// Issues, reads and trades while the clock is so many seconds ahead; whether it issued.
fn under_jump(lab: &Lab, model: &mut Model, ahead: i64) -> Result<bool, Wrong> {
    let name = format!("jumped-{}", model.issued.len());
    let before = real_now() + ahead;
    let done = lab.run(["issue", &name, "--role", "reader", "--output", "json"]);
    issued(model, &name, &done);
    let worked = worked_or_refused(&done)?;
    if worked && ahead < -BEHIND_MAX {
        return Err(format!(
            "signed although the clock is {} s behind the last commit\n{done}",
            -ahead
        ));
    }
    if worked {
        let answer = done.json();
        let (begin, end) = (time(&answer, "not_before")?, time(&answer, "not_after")?);
        if (begin - (before - BACKDATED)).abs() > TOLERANCE {
            return Err(format!(
                "it is {before}, and the certificate begins at {begin}\n{done}"
            ));
        }
        if (end - (before + VALIDITY)).abs() > BACKDATED + TOLERANCE {
            return Err(format!(
                "it is {before}, and the certificate ends at {end}\n{done}"
            ));
        }
        // What is in the certificate itself, read back.
        let leaf = lab.home.file(&format!("{name}.crt"));
        let leaf = leaf.to_string_lossy();
        let inspected = lab.run(["cert", "inspect", &leaf, "--output", "json"]);
        let first = inspected.stdout.lines().next().unwrap_or_default();
        let inside = serde_json::from_str::<Value>(first).unwrap_or_default();
        if (time(&inside, "not_before")?, time(&inside, "not_after")?) != (begin, end) {
            return Err(format!(
                "the certificate says other times than the answer\n{done}\n{inspected}"
            ));
        }
    }
    match certificates(lab) {
        Ok(found) => model.judge(&found)?,
        Err(refused) => drop(sentence(&refused)?),
    }
    nothing_revoked_is_good(lab, model)?;
    Ok(worked)
}

fn nothing_revoked_is_good(lab: &Lab, model: &Model) -> Result<(), Wrong> {
    for serial in &model.revoked {
        let name = &model.issued[serial];
        let traded = lab.run(["credentials", name, "--output", "json"]);
        if traded.code == Some(0) {
            return Err(format!("revoked {name} was traded\n{traded}"));
        }
        sentence(&traded)?;
    }
    Ok(())
}

fn right_again(lab: &Lab, model: &mut Model, was_ahead: i64) -> Result<(), Wrong> {
    // A clock that is behind what was done before is doubted until somebody says that it is right.
    if was_ahead > BEHIND_MAX {
        let doubted = lab.run(["issue", "doubted", "--output", "json"]);
        if !doubted.stderr.contains("clock_behind") {
            return Err(format!("signed by a clock behind the home\n{doubted}"));
        }
        accept_clock(lab)?;
    }
    model.check_whole(lab)?;
    let done = issue_for(lab, model, "right-again", "reader");
    if !worked_or_refused(&done)? {
        return Err(format!("refused with the right clock\n{done}"));
    }
    let traded = lab.run(["credentials", "right-again", "--output", "json"]);
    if traded.code != Some(0) {
        return Err(format!("not traded with the right clock\n{traded}"));
    }
    model.check(lab).map(|_| ())
}

/// Says that the clock is right now, as an operator does who has set it.
fn accept_clock(lab: &Lab) -> Result<(), Wrong> {
    let accepted = lab.run(["doctor", "--accept-clock", "--output", "json"]);
    match accepted.stdout.contains("goes by the clock as it is") {
        true => Ok(()),
        false => Err(format!("the clock was not accepted\n{accepted}")),
    }
}

#[test]
fn a_certificate_ends_when_its_time_is_over() {
    let (lab, mut model) = month_old();
    let mut report = Report::default();
    issue_for(&lab, &mut model, "mortal", "reader").expect_success();
    let traded = |lab: &Lab| lab.run(["credentials", "mortal", "--output", "json"]);
    let refused = |done: &Finished, report: &mut Report, label: &str| {
        report.refused += 1;
        report.hold(label, sentence(done));
        let good = (done.code == Some(0)).then(|| format!("traded\n{done}"));
        report.hold(label, good.map_or(Ok(()), Err));
    };
    for (label, ahead, good) in [
        ("now", 0, true),
        ("before its last half hour", VALIDITY - HOUR / 2, true),
        ("after its end", VALIDITY + TOLERANCE, false),
        ("before its beginning", -BACKDATED - TOLERANCE, false),
        ("now again", 0, true),
    ] {
        report.rounds += 1;
        report.faults += usize::from(ahead != 0);
        lab.set_clock(ahead);
        if label == "now again" {
            report.hold(label, accept_clock(&lab));
        }
        let done = traded(&lab);
        match good {
            true => drop(report.hold(
                label,
                worked_or_refused(&done).and_then(|worked| match worked {
                    true => Ok(()),
                    false => Err(format!("not traded\n{done}")),
                }),
            )),
            false => refused(&done, &mut report, label),
        }
    }
    issue(&lab, &mut model, "at-last").expect_success();
    report.acknowledged = model.acknowledged();
    report.finish("the end of a certificate");
}

/// A time of an answer, in seconds since 1970.
fn time(answer: &Value, member: &str) -> Result<i64, Wrong> {
    let text = answer[member].as_str().unwrap_or_default();
    let number =
        |at: std::ops::Range<usize>| text.get(at).and_then(|part| part.parse::<i64>().ok());
    let parts = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].map(number);
    let [
        Some(year),
        Some(month),
        Some(day),
        Some(hour),
        Some(minute),
        Some(second),
    ] = parts
    else {
        return Err(format!("no {member} in {answer}"));
    };
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    Ok(days * DAY + hour * HOUR + minute * 60 + second)
}
