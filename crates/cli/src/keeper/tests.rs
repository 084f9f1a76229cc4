//! The keeper against a trade whose end a test holds.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::time::Duration;

use bowline_service::{Secret, SystemEntropy, parse_time};
use chrono::TimeDelta;

use super::*;

struct Hand(Mutex<Time>);

impl Clock for Hand {
    fn now(&self) -> Time {
        *self.0.lock().unwrap()
    }
}

/// Trades that work, fail, or take until they are let go.
struct Counter {
    clock: Arc<Hand>,
    trades: AtomicUsize,
    broken: AtomicBool,
    lasts: TimeDelta,
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    file: PathBuf,
}

impl Trading for Arc<Counter> {
    fn trade(&self) -> Result<Traded, Error> {
        if let Some(gate) = &*self.gate.lock().unwrap() {
            let _ = gate.recv();
        }
        let number = self.trades.fetch_add(1, Ordering::SeqCst) + 1;
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::Usage("the server is away".into()));
        }
        let text = |text: &str| Secret::from(text.to_owned());
        let credentials = SessionCredentials {
            access_key_id: format!("ASIA{number}"),
            secret_access_key: text("secret"),
            session_token: text("token"),
            expiration: self.clock.now() + self.lasts,
            assumed_role_arn: String::new(),
            assumed_role_id: String::new(),
            role_arn: "arn:aws:iam::000000000000:role/team/web".into(),
            source_identity: String::new(),
            subject_arn: String::new(),
            packed_policy_size: 0,
        };
        Ok(Traded {
            credentials,
            region: "us-east-1".into(),
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }
}

struct Scene {
    keeper: Keeper,
    counter: Arc<Counter>,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let noon = parse_time("2026-06-01T12:00:00Z").unwrap();
        let clock = Arc::new(Hand(Mutex::new(noon)));
        let counter = Arc::new(Counter {
            clock: clock.clone(),
            trades: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            lasts: TimeDelta::hours(1),
            gate: Mutex::new(None),
            file: directory.path().join("web-1.crt"),
        });
        let trade = Box::new(counter.clone());
        Scene {
            keeper: Keeper::new(trade, clock, Arc::new(SystemEntropy)),
            counter,
            directory,
        }
    }

    fn wait(&self, length: TimeDelta) {
        *self.counter.clock.0.lock().unwrap() += length;
    }

    fn trades(&self) -> usize {
        self.counter.trades.load(Ordering::SeqCst)
    }

    /// Waits for the thread behind the last answer.
    fn settle(&self) {
        for _ in 0..2000 {
            if !self.keeper.kept.behind.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("a trade does not end");
    }

    #[track_caller]
    fn gives(&self, key: &str) {
        assert_eq!(
            self.keeper
                .current()
                .map(|given| given.access_key_id)
                .as_deref(),
            Ok(key)
        );
        self.settle();
    }

    fn break_it(&self, broken: bool) {
        self.counter.broken.store(broken, Ordering::SeqCst);
    }
}

#[test]
fn good_credentials_are_given_again_without_a_trade() {
    let scene = Scene::new();
    scene.gives("ASIA1");
    scene.wait(TimeDelta::minutes(50));
    scene.gives("ASIA1");
    assert_eq!(scene.trades(), 1);
    assert_eq!(scene.keeper.current().unwrap().role_name, "web");
}

#[test]
fn due_ones_are_given_while_new_ones_are_traded() {
    let scene = Scene::new();
    scene.gives("ASIA1");
    scene.wait(TimeDelta::minutes(55));
    scene.gives("ASIA1");
    scene.gives("ASIA2");
    assert_eq!(scene.trades(), 2);
}

#[test]
fn a_trade_that_hangs_keeps_nobody_waiting_who_has_good_ones() {
    let scene = Scene::new();
    scene.gives("ASIA1");
    let (let_go, gate) = mpsc::channel();
    *scene.counter.gate.lock().unwrap() = Some(gate);
    scene.wait(TimeDelta::minutes(55));
    for _ in 0..3 {
        assert_eq!(scene.keeper.current().unwrap().access_key_id, "ASIA1");
    }
    let_go.send(()).unwrap();
    scene.settle();
    scene.gives("ASIA2");
    assert_eq!(scene.trades(), 2);
}

#[test]
fn a_failed_trade_leaves_good_ones_until_they_expire() {
    let scene = Scene::new();
    scene.gives("ASIA1");
    scene.break_it(true);
    scene.wait(TimeDelta::minutes(55));
    scene.gives("ASIA1");
    scene.wait(TimeDelta::minutes(4));
    scene.gives("ASIA1");
    // Expired ones are never given.
    scene.wait(TimeDelta::minutes(1));
    let refused = scene.keeper.current().err();
    assert_eq!(refused.as_deref(), Some("the server is away"));
    scene.break_it(false);
    scene.wait(TimeDelta::minutes(2));
    let mended = scene.keeper.current().unwrap();
    assert_ne!(mended.access_key_id, "ASIA1");
}

#[test]
fn failures_are_followed_by_a_pause() {
    let scene = Scene::new();
    scene.break_it(true);
    for _ in 0..10 {
        assert!(scene.keeper.current().is_err());
    }
    assert_eq!(scene.trades(), 1);
    scene.wait(TimeDelta::minutes(1));
    assert!(scene.keeper.current().is_err());
    assert_eq!(scene.trades(), 2);
}

#[test]
fn replaced_files_are_traded_at_once() {
    let scene = Scene::new();
    scene.gives("ASIA1");
    crate::files::write(&scene.directory.path().join("web-1.crt"), b"new").unwrap();
    scene.gives("ASIA1");
    scene.gives("ASIA2");
    scene.gives("ASIA2");
    assert_eq!(scene.trades(), 2);
}

#[test]
fn many_who_wait_for_the_first_ones_make_one_trade() {
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(scene.keeper.current().unwrap().access_key_id, "ASIA1"));
        }
    });
    assert_eq!(scene.trades(), 1);
}
