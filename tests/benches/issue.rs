//! Issuing from a certification request, 64 callers at once, each answered when it is on the disk.

use crate::Arguments;
use crate::primitive::{P256, encode_leaf};
use crate::report::Report;
use crate::sample::{Samples, concurrently, repeat, timed};
use crate::scene::{Scene, request};
use bowline_service::{Caller, KeySpec, Operation, PrivateKey, certification_request};
use std::time::Duration;

const CALLERS: usize = 64;

/// Certificates each caller asks for in a round.
const EACH: u32 = 40;

const ROUNDS: u32 = 5;

/// The share of our CPU time that must be the primitive's.
const BAR: f64 = 0.5;

pub fn run(arguments: &Arguments, report: &mut Report) {
    let scene = Scene::durable();
    // A server that has been up for a moment: the authority is read, its key opened.
    scene.leaf("first");
    let requests: Vec<Vec<u8>> = (0..CALLERS).map(|_| fresh_request()).collect();
    let p256 = P256::new();
    let (mut verify, mut sign) = (Samples::default(), Samples::default());
    let (mut encode, mut ours) = (Samples::default(), Samples::default());
    let budget = Duration::from_millis(100);
    for round in 0..ROUNDS {
        verify.extend(repeat(1, budget, || p256.verify()));
        sign.extend(repeat(1, budget, || p256.sign()));
        encode.extend(repeat(1, budget, encode_leaf));
        let callers = requests.iter().enumerate();
        let callers = callers.map(|(caller, csr)| {
            let name = format!("host-{round}-{caller}");
            let each = EACH * arguments.times;
            let scene = &scene;
            move || issue(scene, &name, csr, each)
        });
        ours.push(concurrently(callers.collect()));
    }
    let primitive = verify.cost() + sign.cost() + encode.cost();
    let work = "issue, durable, 64 callers";
    let ratio = report.compare_costs(work, primitive, &ours);
    report.part("primitive: CSR verify (P-256)", &verify);
    report.part("primitive: CA sign (P-256)", &sign);
    report.part("primitive: encode (rcgen)", &encode);
    report.at_least(work, ratio, BAR);
}

fn fresh_request() -> Vec<u8> {
    let key = PrivateKey::generate(KeySpec::P256).expect("a key can be generated");
    certification_request(&key).expect("a fresh key signs")
}

fn issue(scene: &Scene, name: &str, csr: &[u8], each: u32) -> Vec<Duration> {
    let mut waits = Vec::with_capacity(each as usize);
    for _ in 0..each {
        let operation = request(name, csr);
        let issued = timed(&mut waits, || {
            operation.run(&scene.service, &Caller::Operator)
        });
        issued.expect("the operator may issue");
    }
    waits
}
