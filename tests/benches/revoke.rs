//! Revoking when much is revoked already: it should not matter.

use crate::Arguments;
use crate::report::Report;
use crate::sample::{Sample, Samples, concurrently, timed};
use crate::scene::{Scene, request};
use bowline_service::{
    Caller, KeySpec, Operation, PrivateKey, RevocationReason, RevokeCertificate,
    ShowRevocationList, certification_request,
};
use std::time::Duration;

/// How many certificates are revoked where little is.
const FEW: usize = 10;

/// Revocations a round, and rounds.
const EACH: usize = 50;
const ROUNDS: usize = 5;

/// Callers that fill the store, so that they share syncs.
const FILLERS: usize = 64;

/// How much more a revocation may cost where many are revoked.
const BAR: f64 = 2.0;

pub fn run(arguments: &Arguments, report: &mut Report) {
    let (few, many) = (Home::with(FEW), Home::with(arguments.revoked));
    let (mut with_few, mut with_many) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        with_few.push(few.revoke(round));
        with_many.push(many.revoke(round));
    }
    let work = format!("revoke with {} revoked, beside {FEW}", arguments.revoked);
    let ratio = report.compare(&work, &with_few, &with_many);
    report.at_most(&format!("{work}, CPU"), 1.0 / ratio, BAR);
    let wait = |samples: &Samples| samples.percentile(0.5).unwrap_or_default().as_secs_f64();
    let times = wait(&with_many) / wait(&with_few);
    report.at_most(&format!("{work}, time"), times, BAR);

    let (mut few_listed, mut many_listed) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        few_listed.push(few.list());
        many_listed.push(many.list());
    }
    let work = format!("CRL with {} entries, beside {FEW}", arguments.revoked);
    report.compare(&work, &few_listed, &many_listed);
}

/// A home with certificates to revoke, and some that are.
struct Home {
    scene: Scene,
    /// For every round, the serials to revoke.
    waiting: Vec<Vec<String>>,
}

impl Home {
    fn with(revoked: usize) -> Home {
        let scene = Scene::durable();
        let key = PrivateKey::generate(KeySpec::P256).expect("a key can be generated");
        let csr = certification_request(&key).expect("a fresh key signs");
        let issue = |name: &str| {
            let issued = request(name, &csr).run(&scene.service, &Caller::Operator);
            issued.expect("the operator may issue").serial
        };
        let fillers = (0..FILLERS.min(revoked)).map(|filler| {
            let (scene, issue) = (&scene, &issue);
            move || {
                let mine = (filler..revoked).step_by(FILLERS);
                mine.map(|number| {
                    revoke(scene, &issue(&format!("old-{number}")));
                    Duration::ZERO
                })
                .collect::<Vec<_>>()
            }
        });
        concurrently(fillers.collect());
        let waiting = (0..ROUNDS).map(|round| {
            let names = (0..EACH).map(|number| format!("new-{round}-{number}"));
            names.map(|name| issue(&name)).collect()
        });
        let waiting = waiting.collect();
        Home { scene, waiting }
    }

    fn revoke(&self, round: usize) -> Sample {
        let one_caller = || {
            let mut waits = Vec::with_capacity(EACH);
            for serial in &self.waiting[round] {
                timed(&mut waits, || revoke(&self.scene, serial));
            }
            waits
        };
        concurrently(vec![one_caller])
    }

    /// Signs a fresh CRL.
    fn list(&self) -> Sample {
        let one_caller = || {
            let mut waits = Vec::new();
            let operation = ShowRevocationList {
                authority: "issuing".into(),
                fresh: true,
            };
            let list = timed(&mut waits, || {
                operation.run(&self.scene.service, &Caller::Operator)
            });
            let listed = list.expect("the operator may sign a CRL").entries;
            assert!(listed >= ROUNDS * EACH, "only {listed} entries");
            waits
        };
        concurrently(vec![one_caller])
    }
}

fn revoke(scene: &Scene, serial: &str) {
    let operation = RevokeCertificate {
        certificate: format!("0x{serial}"),
        reason: RevocationReason::Superseded,
    };
    let revoked = operation.run(&scene.service, &Caller::Operator);
    let revoked = revoked.expect("the operator may revoke").revoked;
    assert_eq!(revoked.len(), 1);
}
