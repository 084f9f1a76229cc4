//! `bowline issue` as a process that begins, commits to the disk and ends, beside openssl doing as much.

use crate::Arguments;
use crate::clock;
use crate::report::Report;
use crate::sample::{Sample, Samples};
use bowline_tests::{Home, run as run_command};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Runs of each program, one of the one after one of the other.
const RUNS: u32 = 25;

/// How much more CPU time than openssl we may take.
const BAR: f64 = 1.5;

pub fn run(arguments: &Arguments, report: &mut Report) {
    let work = "bowline issue, one process";
    let openssl = Path::new("openssl");
    if Command::new(openssl).arg("version").output().is_err() {
        return report.missing(work, "there is no openssl to compare with");
    }
    let home = Home::initialized();
    home.succeed([
        "role",
        "create",
        "web",
        "--allow",
        "s3:GetObject",
        "--on",
        "*",
    ]);
    make_authority(&home, openssl);
    let (mut theirs, mut ours) = (Samples::default(), Samples::default());
    for number in 0..RUNS * arguments.times {
        let name = format!("host-{number}");
        theirs.push(measure(&mut openssl_issue(&home, openssl, &name)));
        let issue = ["issue", &name, "--role", "web", "--san", "web.example"];
        ours.push(measure(&mut home.bowline(issue)));
    }
    let ratio = report.compare(work, &theirs, &ours);
    report.at_most(&format!("{work}, CPU"), 1.0 / ratio, BAR);
    report.note("primitive: openssl req -x509 -CA", &theirs);
}

/// An authority for openssl, on the curve of ours.
fn make_authority(home: &Home, openssl: &Path) {
    let mut make = home.command(openssl);
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Bench"])
        .args(["-keyout", "ca.key", "-out", "ca.crt"]);
    run_command(&mut make).expect_success();
}

/// The same work: a key, a certificate for it with a role and a name, both in files.
fn openssl_issue(home: &Home, openssl: &Path, name: &str) -> Command {
    let mut issue = home.command(openssl);
    issue
        .args(["req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args([
            "-nodes",
            "-days",
            "1",
            "-subj",
            &format!("/OU=web/CN={name}"),
        ])
        .args(["-addext", "subjectAltName=DNS:web.example"])
        .args(["-keyout", &format!("{name}.their.key")])
        .args(["-out", &format!("{name}.their.crt")]);
    issue
}

fn measure(command: &mut Command) -> Sample {
    let (cpu, begun) = (clock::of_children(), Instant::now());
    run_command(command).expect_success();
    let elapsed = begun.elapsed();
    Sample {
        cpu: clock::of_children() - cpu,
        elapsed,
        operations: 1,
        waits: vec![elapsed],
    }
}
