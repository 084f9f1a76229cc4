//! A large home: opening it, making its index again, a checkpoint of it, comparing and examining it.
//!
//! Each step runs in a process of its own, so that its peak of resident memory is its own too.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bowline_store::{Commit, Key, Store, Value};
use bowline_store_sled::{SledOptions, SledStore};

use super::{CERTIFICATE_BYTES, EVENT_BYTES};

/// The records of a certificate: itself, three names it is found by, and an event.
const RECORDS_PER_CERTIFICATE: u64 = 5;

/// Enough that groups are full.
const CALLERS: u64 = 96;

const STEP: &str = "SCALE_STEP";
const HOME: &str = "SCALE_HOME";
const RECORDS: &str = "RECORDS";

/// Runs the part if it was asked for; in a child process, one step of it. Whether that is all there is to do.
pub(crate) fn run(root: &Path) -> bool {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let Some(records): Option<u64> = number(RECORDS) else {
        return false;
    };
    let certificates = records / RECORDS_PER_CERTIFICATE;
    if let Ok(step) = std::env::var(STEP) {
        let home = std::env::var(HOME).unwrap();
        child(Path::new(&home), &step, certificates);
        return true;
    }
    let home = root.join("scale");
    std::fs::create_dir(&home).unwrap();
    println!("{certificates} certificates, {records} records:");
    for step in [
        "fill",
        "open",
        "open",
        "checkpoint",
        "examine",
        "rebuild",
        "open",
        "stop",
        "compare",
    ] {
        let status = Command::new(std::env::current_exe().unwrap())
            .arg("--bench")
            .env(STEP, step)
            .env(HOME, &home)
            .status()
            .unwrap();
        assert!(status.success(), "{step}");
    }
    true
}

fn child(home: &Path, step: &str, certificates: u64) {
    if step == "rebuild" {
        std::fs::remove_dir_all(home.join("index")).unwrap();
    }
    let started = Instant::now();
    let mut options = SledOptions::server();
    if let Ok(mib) = std::env::var("CACHE_MIB") {
        options.cache_bytes = mib.parse::<u64>().unwrap() * 1024 * 1024;
    }
    let store = SledStore::open(home, &options).unwrap();
    let opened = started.elapsed();
    let mut work = opened;
    let records = certificates * RECORDS_PER_CERTIFICATE;
    let timed = |work: &mut Duration, run: &dyn Fn()| {
        let started = Instant::now();
        run();
        *work = started.elapsed();
    };
    match step {
        "fill" => timed(&mut work, &|| fill(&store, certificates)),
        "checkpoint" => timed(&mut work, &|| {
            let file = std::fs::File::create(home.with_extension("backup")).unwrap();
            let summary = store.checkpoint(&mut &file, &mut |_| {}).unwrap();
            assert_eq!(summary.records, records);
            file.sync_all().unwrap();
        }),
        "examine" => timed(&mut work, &|| {
            assert_eq!(store.examine(&mut |_| {}).unwrap(), []);
        }),
        "stop" => {
            // One that is not there yet, however often this was run.
            let number = certificates + store.opening().last_commit;
            store.commit(issue(number)).unwrap();
            report(step, work, records, home, &store);
            // As if killed: nothing is closed.
            std::process::exit(0);
        }
        _ => {}
    }
    report(step, work, records, home, &store);
    let started = Instant::now();
    drop(store);
    let closed = started.elapsed();
    if closed > Duration::from_secs(1) {
        println!("{:>12} closed in {closed:.1?}", "");
    }
}

fn report(step: &str, work: Duration, records: u64, home: &Path, store: &SledStore) {
    let mib = |bytes: u64| bytes / 1024 / 1024;
    let size = |name: &str| {
        let files = std::fs::read_dir(home.join(name)).into_iter().flatten();
        let sizes = files.map(|file| file.unwrap().metadata().map_or(0, |found| found.len()));
        mib(sizes.sum())
    };
    println!(
        "{step:>12} {:>7.2} s {:>8.0} records/s, peak {:>4} MiB; index {} journal {} checkpoints {} MiB {:?} {:?}",
        work.as_secs_f64(),
        records as f64 / work.as_secs_f64(),
        mib(peak_bytes()),
        size("index"),
        size("journal"),
        size("checkpoint"),
        store.opening().actions,
        store.checkpoint_failure(),
    );
}

/// The most memory this process has held at a time.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn fill(store: &SledStore, certificates: u64) {
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > certificates {
                        return;
                    }
                    store.commit(issue(number)).unwrap();
                }
            });
        }
    });
}

/// Serial numbers are random, so keys arrive in no order.
fn issue(number: u64) -> Commit {
    let serial = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let key = |kind: &str| Key::new(format!("{kind}/{serial:032x}")).unwrap();
    let mut body = vec![0; CERTIFICATE_BYTES];
    let mut state = serial;
    // Half of it looks random, as keys and signatures do.
    for byte in &mut body[..CERTIFICATE_BYTES / 2] {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    let certificate = key("certificate");
    let commit = Commit::new()
        .expect_absent(certificate.clone())
        .put(certificate, Value::new(body).unwrap());
    let names = ["by-expiry", "by-subject", "by-name"];
    let commit = names.into_iter().fold(commit, |commit, name| {
        commit.put(key(name), Value::new("1").unwrap())
    });
    let event = Value::new(vec![number as u8; EVENT_BYTES]).unwrap();
    commit.append(Key::new("event/").unwrap(), event)
}
