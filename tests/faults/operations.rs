//! The operations that meet faults: how each is run, and what the model takes from its answer. A new command
//! is a line in [`OPERATIONS`].

use crate::events;
use crate::interposer::Lab;
use crate::model::{Model, Wrong, certificates, parse, sentence};
use bowline_tests::Finished;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An operation, and the home it is tried on.
pub struct Operation {
    pub name: &'static str,
    /// Makes the home.
    pub scene: fn() -> (Lab, Model),
    /// Does it once, behind the interposer; the text tells one try from another. Gives what every command
    /// said; a refusal is nothing bad.
    pub run: fn(&Lab, &mut Model, &str) -> Vec<Finished>,
    /// What the process after a kill does first, which can be killed in its turn.
    pub recover: fn(&Lab),
    /// Whether a server is to be asked as well, which reads the index: commands alone read a short journal.
    pub served: bool,
    /// What else must hold afterwards, beside the home itself.
    pub hold: fn(&Lab, &Model) -> Result<(), Wrong>,
}

/// Everything that is swept.
pub const OPERATIONS: [Operation; 14] = [
    Operation {
        name: "init",
        scene: nothing,
        run: |lab, model, _| vec![init(lab, model)],
        recover: list,
        served: false,
        hold: nothing_else,
    },
    Operation {
        name: "issue",
        scene: small,
        run: |lab, model, text| vec![issue(lab, model, &format!("swept-{text}"))],
        recover: list,
        served: false,
        hold: nothing_else,
    },
    Operation {
        name: "cert revoke",
        scene: small,
        run: |lab, model, _| {
            let serial = model
                .issued
                .keys()
                .find(|serial| !model.revoking.contains(*serial));
            let serial = serial.or_else(|| model.revoking.first()).cloned();
            let serial = serial.expect("the scene has certificates");
            vec![revoke(lab, model, &serial)]
        },
        recover: list,
        served: false,
        hold: nothing_else,
    },
    Operation {
        name: "role create",
        scene: small,
        run: |lab, model, text| vec![create_role(lab, model, &format!("swept-{text}"))],
        recover: list,
        served: false,
        hold: nothing_else,
    },
    Operation {
        name: "serve, without an index",
        scene: small,
        run: serve_and_issue,
        recover: serve_and_stop,
        served: true,
        hold: nothing_else,
    },
    Operation {
        name: "serve, with an index",
        scene: indexed,
        run: serve_and_issue,
        recover: serve_and_stop,
        served: true,
        hold: nothing_else,
    },
    Operation {
        name: "rebuild of the index",
        scene: doubtful,
        run: serve_and_issue,
        recover: serve_and_stop,
        served: true,
        hold: nothing_else,
    },
    Operation {
        name: "serve, on a checkpoint",
        scene: restored,
        run: serve_and_issue,
        recover: serve_and_stop,
        served: true,
        hold: nothing_else,
    },
    Operation {
        name: "backup",
        scene: small,
        run: |lab, _, text| vec![back_up(lab, &format!("{text}{BACKUP}"))],
        recover: list,
        served: false,
        hold: backups_are_whole,
    },
    Operation {
        name: "restore",
        scene: backed_up,
        run: |lab, _, _| {
            vec![restore(
                lab,
                &first_backup(lab),
                &lab.home.directory().join(RESTORED),
                false,
            )]
        },
        recover: list,
        served: false,
        hold: restored_is_whole,
    },
    Operation {
        name: "restore in the place of a home",
        scene: backed_up,
        run: |lab, _, _| vec![restore(lab, &first_backup(lab), &lab.home.path(), true)],
        recover: list,
        served: false,
        hold: nothing_else,
    },
    Operation {
        name: "audit checkpoint",
        scene: signed,
        run: |lab, model, _| vec![events::sign(lab, model)],
        recover: list,
        served: false,
        hold: events::verify,
    },
    Operation {
        name: "audit export",
        scene: signed,
        run: |lab, _, text| vec![lab.run(["audit", "export", text])],
        recover: list,
        served: false,
        hold: events::verify,
    },
    Operation {
        name: "doctor --repair",
        scene: doubtful,
        run: |lab, _, _| vec![doctor(lab, true)],
        recover: |lab| drop(doctor(lab, true)),
        served: true,
        hold: |lab, _| healthy(lab),
    },
];

/// An empty directory.
pub fn nothing() -> (Lab, Model) {
    (Lab::empty(), Model::default())
}

/// A home with a role and a few certificates, one of them revoked.
pub fn small() -> (Lab, Model) {
    let (lab, mut model) = nothing();
    init(&lab, &mut model).expect_success();
    create_role(&lab, &mut model, "reader").expect_success();
    for name in ["first", "second", "third"] {
        issue_for(&lab, &mut model, name, "reader").expect_success();
    }
    let first = serial_of(&model, "first");
    revoke(&lab, &mut model, &first).expect_success();
    (lab, model)
}

/// The same after a server has made an index and closed it.
pub fn indexed() -> (Lab, Model) {
    let (lab, mut model) = small();
    serve_and_issue(&lab, &mut model, "indexed");
    (lab, model)
}

/// The same after a server was killed and the machine started anew, so that the index is not believed.
pub fn doubtful() -> (Lab, Model) {
    let (mut lab, model) = indexed();
    lab.serve().expect("a whole home is served").kill();
    lab.set_boot("8b1c1a5e-0000-4000-8000-000000000000");
    (lab, model)
}

/// A home whose log has given out a checkpoint, with events since.
fn signed() -> (Lab, Model) {
    let (lab, mut model) = small();
    events::sign(&lab, &mut model).expect_success();
    issue(&lab, &mut model, "since-the-checkpoint").expect_success();
    (lab, model)
}

/// The backup that the scenes begin with.
fn first_backup(lab: &Lab) -> PathBuf {
    lab.home.file(&format!("first{BACKUP}"))
}

/// What backups are called, and where a second home is made.
const BACKUP: &str = ".backup";
const RESTORED: &str = "restored";

/// A home, a backup of it, and the key for it beside both.
pub fn backed_up() -> (Lab, Model) {
    let (lab, model) = small();
    back_up(&lab, &format!("first{BACKUP}")).expect_success();
    let key = std::fs::copy(
        lab.home.path().join("unseal.key"),
        lab.home.file("unseal.key"),
    );
    key.expect("a home has its key");
    (lab, model)
}

/// A home that was made of a backup, so that it begins with a checkpoint.
pub fn restored() -> (Lab, Model) {
    let (lab, mut model) = backed_up();
    std::fs::remove_dir_all(lab.home.path()).expect("our own home");
    restore(&lab, &first_backup(&lab), &lab.home.path(), false).expect_success();
    issue_for(&lab, &mut model, "after-the-restore", "reader").expect_success();
    (lab, model)
}

/// `backup FILE`.
pub fn back_up(lab: &Lab, file: &str) -> Finished {
    lab.run(["backup", file, "--output", "json"])
}

/// `restore FILE --home NEW`, with the key that lies where commands run.
pub fn restore(lab: &Lab, backup: &Path, home: &Path, force: bool) -> Finished {
    let mut command = lab.command(["restore", "--unseal-key", "unseal.key", "--output", "json"]);
    command.arg(backup).arg("--home").arg(home);
    if force {
        command.arg("--force");
    }
    lab.finish(&mut command)
}

/// `doctor`, whose exit codes are findings and no failures.
pub fn doctor(lab: &Lab, repair: bool) -> Finished {
    let done = match repair {
        true => lab.run(["doctor", "--repair", "--output", "json"]),
        false => lab.run(["doctor", "--output", "json"]),
    };
    let code = match done.code {
        Some(0..=4) if is_whole(&done) => Some(0),
        other => other,
    };
    Finished { code, ..done }
}

/// Beside the home there is nothing.
pub fn nothing_else(_: &Lab, _: &Model) -> Result<(), Wrong> {
    Ok(())
}

/// No finding of `doctor` is worse than good to know.
fn healthy(lab: &Lab) -> Result<(), Wrong> {
    let done = lab.run(["doctor", "--output", "json"]);
    match done.code {
        Some(0 | 2) => Ok(()),
        _ => Err(format!("the doctor finds more than good to know\n{done}")),
    }
}

/// A backup that has its name is whole: a home can be made of it that says the same.
fn backups_are_whole(lab: &Lab, model: &Model) -> Result<(), Wrong> {
    for entry in std::fs::read_dir(lab.home.work()).expect("our own directory") {
        let path = entry.expect("a directory entry is readable").path();
        if path.to_string_lossy().ends_with(BACKUP) {
            let other = Lab::empty();
            let mut command = other.command(["restore", "--unseal-key"]);
            command.arg(lab.home.path().join("unseal.key")).arg(&path);
            let done = other.finish(&mut command);
            if done.code != Some(0) {
                return Err(format!("a backup that is not whole\n{done}"));
            }
            model.check(&other)?;
        }
    }
    Ok(())
}

/// The second home is there as a whole, or not at all.
fn restored_is_whole(lab: &Lab, model: &Model) -> Result<(), Wrong> {
    let home = lab.home.directory().join(RESTORED);
    if !home.exists() {
        return Ok(());
    }
    let mut command = lab.command(["cert", "list", "--expired", "--output", "json"]);
    let done = lab.finish(command.env("BOWLINE_HOME", home));
    match done.code {
        Some(0) => model.judge(&parse(&done)?),
        _ => Err(format!("half a home was put in place\n{done}")),
    }
}

/// The same once more, undisturbed: it works, or is there already.
pub fn again(operation: &Operation, lab: &Lab, model: &mut Model) -> Result<(), Wrong> {
    for finished in (operation.run)(lab, model, "again") {
        if finished.code != Some(0) && !is_done_already(&finished) {
            return Err(format!("refused without any fault\n{finished}"));
        }
    }
    model.initialized = true;
    let shown = lab.run(["ca", "list", "--output", "json"]);
    if shown.code != Some(0) || !shown.stdout.contains("issuing") {
        return Err(format!("no home\n{shown}"));
    }
    held(operation, lab, model)
}

/// Whether the refusal says that there is one already. What is half-made is not there.
fn is_done_already(refused: &Finished) -> bool {
    sentence(refused).is_ok_and(|code| match code.as_str() {
        "already_initialized" | "exists" => true,
        "home_occupied" => refused.stderr.contains("there is a home"),
        _ => false,
    })
}

/// Whether everything holds, asked in the way that the operation may have spoilt.
pub fn held(operation: &Operation, lab: &Lab, model: &Model) -> Result<(), Wrong> {
    match operation.served {
        true => model.check_served(lab)?,
        false => model.check(lab)?,
    };
    if model.initialized {
        let found = certificates(lab).map_err(|refused| refused.to_string())?;
        events::check(lab, &found)?;
    }
    (operation.hold)(lab, model)
}

/// The serial number of the certificate with this name.
pub fn serial_of(model: &Model, name: &str) -> String {
    let mut issued = model.issued.iter();
    let found = issued.find(|(_, issued)| *issued == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {model:?}"))
        .0
        .clone()
}

/// `init`.
pub fn init(lab: &Lab, model: &mut Model) -> Finished {
    let done = lab.run(["init", "--output", "json"]);
    model.initialized |= done.code == Some(0) || is_whole(&done);
    done
}

/// `issue NAME`.
pub fn issue(lab: &Lab, model: &mut Model, name: &str) -> Finished {
    let done = lab.run(["issue", name, "--output", "json"]);
    issued(model, name, &done);
    done
}

/// `issue NAME --role ROLE`.
pub fn issue_for(lab: &Lab, model: &mut Model, name: &str, role: &str) -> Finished {
    let done = lab.run(["issue", name, "--role", role, "--output", "json"]);
    issued(model, name, &done);
    done
}

/// Takes the answer of `issue` into the model. A whole answer counts, however the process ended behind it.
pub fn issued(model: &mut Model, name: &str, done: &Finished) {
    let answer = serde_json::from_str::<Value>(&done.stdout).unwrap_or_default();
    match answer["serial"].as_str() {
        Some(serial) => {
            model.refused.remove(name);
            let earlier = model.issued.insert(serial.to_owned(), name.to_owned());
            assert!(
                earlier.is_none(),
                "serial number {serial} was given twice\n{done}"
            );
        }
        None if nothing_written(done) => drop(model.refused.insert(name.to_owned())),
        None => {}
    }
}

/// `cert revoke 0xSERIAL`.
pub fn revoke(lab: &Lab, model: &mut Model, serial: &str) -> Finished {
    model.revoking.insert(serial.to_owned());
    let done = lab.run(["cert", "revoke", &format!("0x{serial}"), "--output", "json"]);
    if is_whole(&done) {
        model.revoked.insert(serial.to_owned());
    }
    done
}

/// `role create NAME`.
pub fn create_role(lab: &Lab, model: &mut Model, name: &str) -> Finished {
    let create = [
        "role",
        "create",
        name,
        "--allow",
        "s3:GetObject",
        "--on",
        "*",
        "--output",
        "json",
    ];
    let done = lab.run(create);
    if is_whole(&done) {
        model.roles.insert(name.to_owned());
    }
    done
}

/// Whether the process said everything that it says when it has succeeded.
fn is_whole(done: &Finished) -> bool {
    serde_json::from_str::<Value>(&done.stdout).is_ok_and(|answer| answer.is_object())
}

/// Whether the refusal promises that nothing was written.
pub fn nothing_written(done: &Finished) -> bool {
    let promised = ["store_unavailable", "changed_meanwhile", "store_limit"];
    sentence(done).is_ok_and(|code| promised.contains(&code.as_str()))
}

/// A server's whole life: start, a certificate, a revocation, SIGTERM. Faults meet the server, not its callers.
pub fn serve_and_issue(lab: &Lab, model: &mut Model, text: &str) -> Vec<Finished> {
    let server = match lab.serve() {
        Ok(server) => server,
        Err(ended) => return vec![ended],
    };
    // A caller that finds the server dead works on the home itself, which counts as well.
    let name = format!("served-{text}");
    let mut said = vec![lab.outside(["issue", &name, "--output", "json"])];
    issued(model, &name, &said[0]);
    let unrevoked = model
        .issued
        .keys()
        .find(|serial| !model.revoking.contains(*serial));
    if let Some(serial) = unrevoked.cloned() {
        model.revoking.insert(serial.clone());
        let revoked = lab.outside(["cert", "revoke", &format!("0x{serial}"), "--output", "json"]);
        if is_whole(&revoked) {
            model.revoked.insert(serial);
        }
        said.push(revoked);
    }
    said.push(lab.stop(server));
    said
}

fn list(lab: &Lab) {
    drop(lab.run(["cert", "list", "--expired", "--output", "json"]));
}

/// A server that is asked nothing.
pub fn serve_and_stop(lab: &Lab) {
    if let Ok(server) = lab.serve() {
        drop(lab.stop(server));
    }
}
