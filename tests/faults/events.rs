//! The log of events against the certificates, and against the checkpoints that were given out: what happened
//! has its event, what has an event happened, and what was signed once stays the beginning of the log.

use crate::interposer::Lab;
use crate::model::{Certificate, Model, Wrong};
use bowline_tests::Finished;
use serde_json::Value;
use std::collections::BTreeMap;

/// Holds the events against the certificates there are: each was issued once, and revoked if it is revoked.
pub fn check(lab: &Lab, found: &[Certificate]) -> Result<(), Wrong> {
    let listed = succeed(lab.run(["audit", "list", "--output", "json"]))?;
    let (mut issued, mut revoked) = (BTreeMap::new(), BTreeMap::new());
    for (at, line) in listed.stdout.lines().enumerate() {
        let event = serde_json::from_str::<Value>(line).unwrap_or_default();
        if event["number"].as_u64() != Some(at as u64 + 1) {
            return Err(format!(
                "event {} is not where it should be\n{line}",
                at + 1
            ));
        }
        let serial = event["serial"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str() {
            Some("certificate_issued") => *issued.entry(serial).or_insert(0) += 1,
            Some("certificate_revoked") => *revoked.entry(serial).or_insert(0) += 1,
            Some(_) => {}
            None => return Err(format!("not an event: {line}")),
        }
    }
    for certificate in found {
        if issued.remove(&certificate.serial) != Some(1) {
            return Err(format!(
                "{certificate:?} has not one event of its issue\n{listed}"
            ));
        }
        let is_revoked = certificate.status == "revoked";
        if revoked.contains_key(&certificate.serial) != is_revoked {
            return Err(format!(
                "{certificate:?}, and the events of revocation are {revoked:?}"
            ));
        }
    }
    match issued.keys().next() {
        Some(serial) => Err(format!("{serial} was issued, by the log, and is not there")),
        None => Ok(()),
    }
}

/// `audit checkpoint`; one that was given out is kept in the model for good.
pub fn sign(lab: &Lab, model: &mut Model) -> Finished {
    let done = lab.run(["audit", "checkpoint", "--output", "json"]);
    let answer = serde_json::from_str::<Value>(&done.stdout).unwrap_or_default();
    if let Some(note) = answer["note"].as_str() {
        model.checkpoints.push(note.to_owned());
    }
    done
}

/// Exports the log and verifies the export, on its own and against every checkpoint that was given out.
pub fn verify(lab: &Lab, model: &Model) -> Result<(), Wrong> {
    let file = lab.home.file("check.log");
    let file = file.to_string_lossy();
    let key = succeed(lab.run(["audit", "key"]))?.stdout;
    succeed(lab.run(["audit", "export", &file, "--force"]))?;
    succeed(lab.run(["audit", "verify", "--key", key.trim(), &file]))?;
    for note in &model.checkpoints {
        let since = lab.home.write("check.note", note);
        let since = since.to_string_lossy();
        succeed(lab.run([
            "audit",
            "verify",
            "--key",
            key.trim(),
            "--since",
            &since,
            &file,
        ]))?;
    }
    Ok(())
}

fn succeed(done: Finished) -> Result<Finished, Wrong> {
    match done.code {
        Some(0) => Ok(done),
        _ => Err(format!("should have succeeded\n{done}")),
    }
}
