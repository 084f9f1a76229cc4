//! The cache against a trade that counts.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_service::{Secret, SystemEntropy, parse_time};

use super::*;

fn noon() -> Time {
    parse_time("2026-06-01T12:00:00Z").unwrap()
}

fn credentials(key: &str, expiration: Time) -> SessionCredentials {
    let secret = |text: &str| Secret::from(text.to_owned());
    SessionCredentials {
        access_key_id: key.into(),
        secret_access_key: secret("the secret"),
        session_token: secret("the token"),
        expiration,
        assumed_role_arn: String::new(),
        assumed_role_id: String::new(),
        role_arn: "arn:aws:iam::000000000000:role/web".into(),
        source_identity: String::new(),
        subject_arn: String::new(),
        packed_policy_size: 0,
    }
}

struct Bench {
    directory: tempfile::TempDir,
    trades: Cell<usize>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            directory: tempfile::tempdir().unwrap(),
            trades: Cell::new(0),
        }
    }

    fn cache(&self) -> Cache {
        let home = self.directory.path().as_os_str().to_owned();
        let variables = BTreeMap::from([("XDG_CACHE_HOME".into(), home)]);
        Cache::of(&variables, &[b"web-1", b"role"]).unwrap()
    }

    fn draw(&self) -> Draw {
        Draw::from(&SystemEntropy as &dyn bowline_service::Entropy)
    }

    /// The key given at this time, and what was told.
    fn ask(&self, now: Time) -> (String, String) {
        let mut told = String::new();
        let given = self.cache().through(
            now,
            self.draw(),
            || {
                self.trades.set(self.trades.get() + 1);
                let key = format!("ASIA{}", self.trades.get());
                Ok(credentials(&key, now + TimeDelta::hours(1)))
            },
            &mut |text| told.push_str(&text),
        );
        (given.unwrap().access_key_id, told)
    }

    #[track_caller]
    fn check(&self, now: Time, key: &str, says: &str) {
        let (given, told) = self.ask(now);
        assert_eq!(given, key);
        match says {
            "" => assert_eq!(told, ""),
            says => assert!(told.contains(says), "{told}"),
        }
    }

    fn set_mode(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn what_was_traded_is_given_until_it_is_due() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    bench.check(noon() + TimeDelta::minutes(50), "ASIA1", "");
    bench.check(noon() + TimeDelta::minutes(55), "ASIA2", "");
    bench.check(noon() + TimeDelta::minutes(55), "ASIA2", "");
}

#[test]
fn files_are_their_owners_only() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    let cache = bench.cache();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache.directory), 0o700);
    for entry in fs::read_dir(&cache.directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn another_question_has_another_file() {
    let variables = BTreeMap::from([("HOME".into(), "/home/web".into())]);
    let name = |parts: &[&[u8]]| Cache::of(&variables, parts).unwrap().name;
    let names = [
        name(&[b"ab", b"c"]),
        name(&[b"a", b"bc"]),
        name(&[b"abc"]),
        name(&[b"abc", b""]),
    ];
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    let cache = Cache::of(&variables, &[]).unwrap();
    assert_eq!(
        cache.directory,
        Path::new("/home/web/.cache/bowline/credentials")
    );
    assert!(Cache::of(&BTreeMap::new(), &[]).is_none());
}

#[test]
fn a_damaged_file_is_as_none_and_replaced() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    let file = bench.cache().file();
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (number, damaged) in [&flipped[..], &whole[..10], b"", &[0xff; 40]]
        .into_iter()
        .enumerate()
    {
        fs::write(&file, damaged).unwrap();
        let key = format!("ASIA{}", number + 2);
        bench.check(noon(), &key, "does not read");
        bench.check(noon(), &key, "");
    }
}

#[test]
fn a_file_that_others_may_read_is_not_used_and_replaced() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    bench.set_mode(&bench.cache().file(), 0o644);
    bench.check(noon(), "ASIA2", "mode 0644");
    bench.check(noon(), "ASIA2", "");
}

#[test]
fn a_directory_that_others_may_read_is_not_used() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    bench.set_mode(&bench.cache().directory, 0o755);
    bench.check(noon(), "ASIA2", "mode 0755");
    bench.check(noon(), "ASIA3", "mode 0755");
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    let file = bench.cache().file();
    let elsewhere = bench.directory.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    bench.check(noon(), "ASIA2", "not used");
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    bench.check(noon(), "ASIA2", "");
}

#[test]
fn a_file_from_the_future_is_not_used() {
    let bench = Bench::new();
    bench.check(noon() + TimeDelta::hours(5), "ASIA1", "");
    bench.check(noon(), "ASIA2", "");
}

#[test]
fn good_ones_serve_where_nobody_can_be_asked_and_not_where_somebody_refuses() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    let later = noon() + TimeDelta::minutes(56);
    let ask = |now, error| {
        let mut told = String::new();
        let given = bench
            .cache()
            .through(now, bench.draw(), || Err(error), &mut |text| {
                told.push_str(&text);
            });
        (given.map(|given| given.access_key_id), told)
    };
    let away = || {
        Error::Transport(bowline_server::TransportError::Connect {
            authority: "ca.test".into(),
            reason: "refused".into(),
        })
    };
    let (given, told) = ask(later, away());
    assert_eq!(given.unwrap(), "ASIA1");
    assert!(
        told.contains("ca.test") && told.contains("go on until"),
        "{told}"
    );
    assert!(ask(later, Error::HomeUnknown).0.is_err());
    assert!(ask(noon() + TimeDelta::hours(1), away()).0.is_err());
}

#[test]
fn many_at_once_trade_once() {
    let bench = Bench::new();
    let (cache, draw) = (bench.cache(), bench.draw());
    let trades = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let trade = || {
                    trades.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                    Ok(credentials("ASIA1", noon() + TimeDelta::hours(1)))
                };
                cache.through(noon(), draw, trade, &mut |_| {}).unwrap();
            });
        }
    });
    assert_eq!(trades.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_too_old_is_swept_away() {
    let bench = Bench::new();
    bench.check(noon(), "ASIA1", "");
    let cache = bench.cache();
    let old = cache.directory.join("old.json");
    let file = File::create(&old).unwrap();
    let long_ago = std::time::SystemTime::now() - LIFE_MAX - Duration::from_secs(60);
    file.set_modified(long_ago).unwrap();
    bench.check(noon() + TimeDelta::hours(1), "ASIA2", "");
    assert!(!old.exists() && cache.file().exists());
}
