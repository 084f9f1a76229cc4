//! Measures the engine beside its limit: group commit against plain append with one sync per group, and
//! opening, closing and rebuilding a home. Run with `cargo bench -p bowline-store-sled`; `SECONDS` sets how
//! long a part takes (0 leaves group commit out), `CALLERS` the numbers of callers (`1,64`). `RECORDS=5000000`
//! measures a home of a million certificates instead.

#[path = "engine/scale.rs"]
mod scale;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use bowline_store::{Commit, Key, Store, Value};
use bowline_store_sled::{SledOptions, SledStore};

/// What issuing a certificate commits: the certificate, four index entries and an event.
const CERTIFICATE_BYTES: usize = 1_200;
const INDEX_ENTRIES: u64 = 4;
const EVENT_BYTES: usize = 400;

fn main() {
    // `cargo test --benches` asks for a list or a quick run; neither is a measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = std::env::var("SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let part = Duration::from_secs(seconds.unwrap_or(3));
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if scale::run(root.path()) {
        return;
    }
    let callers = std::env::var("CALLERS").unwrap_or("1,8,64,128".into());
    for callers in callers.split(',').map(|text| text.parse().unwrap()) {
        if part.is_zero() {
            break;
        }
        let plain = plain_append(&root.path().join(format!("plain-{callers}")), callers, part);
        let engine = engine(&root.path().join(format!("home-{callers}")), callers, part);
        println!(
            "{callers:>4} callers: plain append {:>7.0}/s p99 {:>6.2} ms | engine {:>7.0}/s p50 {:>6.2} p99 {:>6.2} ms, {:>5.1} us CPU a commit | ratio {:.2}",
            plain.rate,
            plain.p99_ms,
            engine.rate,
            engine.p50_ms,
            engine.p99_ms,
            engine.cpu_us,
            engine.rate / plain.rate
        );
    }
    for records in [0u64, 100, 1_000, 10_000, 100_000] {
        let home = root.path().join(format!("open-{records}"));
        std::fs::create_dir(&home).unwrap();
        fill(&home, records);
        for (name, options) in [
            ("server", SledOptions::server()),
            ("one-shot", SledOptions::one_shot()),
        ] {
            open_and_close(&home, records, name, &options);
        }
        rebuild(&home, records);
    }
}

struct Measured {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

fn measure(callers: u64, part: Duration, commit: &(dyn Fn(u64) + Sync)) -> Measured {
    let next = AtomicU64::new(1);
    let stop = AtomicBool::new(false);
    let latencies = Mutex::new(Vec::new());
    let cpu = cpu_time();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                let mut mine = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    commit(next.fetch_add(1, Ordering::Relaxed));
                    mine.push(begun.elapsed());
                }
                latencies.lock().unwrap().extend(mine);
            });
        }
        std::thread::sleep(part);
        stop.store(true, Ordering::Relaxed);
    });
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = cpu_time() - cpu;
    let mut latencies = latencies.into_inner().unwrap();
    latencies.sort();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies[index.min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    Measured {
        rate: latencies.len() as f64 / elapsed,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        cpu_us: cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
    }
}

fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The limit: callers hand their bytes over, one of them writes all that is there and syncs once.
fn plain_append(path: &Path, callers: u64, part: Duration) -> Measured {
    struct Pending {
        bytes: Vec<u8>,
        /// The group being filled, and the last one that is durable.
        filling: u64,
        durable: u64,
        writing: bool,
    }
    let file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(path)
        .unwrap();
    let pending = Mutex::new(Pending {
        bytes: Vec::new(),
        filling: 1,
        durable: 0,
        writing: false,
    });
    let synced = Condvar::new();
    measure(callers, part, &|number| {
        let record = vec![number as u8; CERTIFICATE_BYTES + EVENT_BYTES + 6 * 40];
        let mut state = pending.lock().unwrap();
        state.bytes.extend_from_slice(&record);
        let mine = state.filling;
        while state.durable < mine {
            if state.writing {
                state = synced.wait(state).unwrap();
                continue;
            }
            state.writing = true;
            let group = state.filling;
            state.filling += 1;
            let bytes = std::mem::take(&mut state.bytes);
            drop(state);
            (&file).write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            state = pending.lock().unwrap();
            state.writing = false;
            state.durable = group;
            synced.notify_all();
        }
    })
}

fn engine(home: &Path, callers: u64, part: Duration) -> Measured {
    std::fs::create_dir(home).unwrap();
    let store = SledStore::open(home, &SledOptions::server()).unwrap();
    measure(callers, part, &|number| {
        store.commit(issue(number)).unwrap();
    })
}

/// Serial numbers are random, so keys arrive in no order.
fn issue(number: u64) -> Commit {
    let serial = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let key = |kind: &str| Key::new(format!("{kind}/{serial:032x}")).unwrap();
    let certificate = key("certificate");
    let body = Value::new(vec![number as u8; CERTIFICATE_BYTES]).unwrap();
    let commit = Commit::new()
        .expect_absent(certificate.clone())
        .put(certificate, body);
    let commit = (0..INDEX_ENTRIES).fold(commit, |commit, index| {
        commit.put(key(&format!("by-{index}")), Value::new("").unwrap())
    });
    let event = Value::new(vec![number as u8; EVENT_BYTES]).unwrap();
    commit.append(Key::new("event/").unwrap(), event)
}

fn fill(home: &Path, certificates: u64) {
    let store = SledStore::open(home, &SledOptions::server()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for number in (1..=certificates).filter(|number| number % 16 == thread) {
                    store.commit(issue(number)).unwrap();
                }
            });
        }
    });
}

fn open_and_close(home: &Path, certificates: u64, name: &str, options: &SledOptions) {
    let mut rounds = Vec::new();
    for _ in 0..9 {
        let cpu = cpu_time();
        let started = Instant::now();
        let store = SledStore::open(home, options).unwrap();
        let opened = started.elapsed();
        let number = 1_000_000 + store.opening().last_commit + 1;
        store.commit(issue(number)).unwrap();
        let committed = started.elapsed() - opened;
        drop(store);
        let total = started.elapsed();
        rounds.push((total, opened, committed, cpu_time() - cpu));
    }
    rounds.sort();
    let (total, opened, committed, cpu) = rounds[rounds.len() / 2];
    println!(
        "{certificates:>7} certificates, {name:<8}: open {opened:>9.1?} one commit {committed:>9.1?} close {:>9.1?} total {total:>9.1?} CPU {cpu:>9.1?}",
        total - opened - committed
    );
}

fn rebuild(home: &Path, certificates: u64) {
    std::fs::remove_dir_all(home.join("index")).unwrap();
    let started = Instant::now();
    let store = SledStore::open(home, &SledOptions::server()).unwrap();
    println!(
        "{certificates:>7} certificates, rebuilt in {:.1?}: {:?}",
        started.elapsed(),
        store.opening().actions
    );
}
