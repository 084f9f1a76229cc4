//! The keys of issuers, as they come and go.

use std::sync::atomic::AtomicI64;

use super::*;
use crate::federation::OutboundError;

/// A web that answers with one key set, or with nothing, and counts who asks.
struct Web {
    keys: Mutex<Result<&'static str, OutboundError>>,
    asked: AtomicI64,
}

impl Outbound for Web {
    fn get(&self, fetch: &Fetch) -> Result<Vec<u8>, OutboundError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(fetch.bytes_max > 0);
        if fetch.url.ends_with("/.well-known/openid-configuration") {
            return Ok(
                br#"{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/"}"#
                    .to_vec(),
            );
        }
        self.keys
            .lock()
            .unwrap()
            .clone()
            .map(|id| {
                format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#)
                    .into_bytes()
            })
    }
}

fn web() -> Web {
    Web {
        keys: Mutex::new(Ok("a")),
        asked: AtomicI64::new(0),
    }
}

impl Web {
    fn serve(&self, keys: &'static str) {
        *self.keys.lock().unwrap() = Ok(keys);
    }

    fn fail(&self) {
        *self.keys.lock().unwrap() = Err(OutboundError::Status {
            url: "https://keys.example/".into(),
            status: 500,
        });
    }

    fn asked(&self) -> i64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn at(seconds: i64) -> Time {
    chrono::DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

fn provider(keys: KeySource) -> OidcProvider {
    OidcProvider {
        name: "ci".into(),
        account: "000000000000".parse().unwrap(),
        issuer: "https://issuer.example".into(),
        audiences: vec!["bowline".into()],
        algorithms: bowline_trust::TokenAlgorithm::ALL.to_vec(),
        keys,
        roots: None,
        revision: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn by_url() -> OidcProvider {
    provider(KeySource::Url("https://keys.example/".into()))
}

/// The ids of the keys that are found where the key with an id is sought.
fn ids(sets: &KeySets, web: &Web, seconds: i64, id: &str) -> Result<Vec<String>, String> {
    ids_of(sets, &by_url(), web, seconds, id)
}

fn ids_of(
    sets: &KeySets,
    provider: &OidcProvider,
    web: &Web,
    seconds: i64,
    id: &str,
) -> Result<Vec<String>, String> {
    sets.keys(provider, Some(web), at(seconds), |keys| {
        keys.key_ids().iter().any(|known| known == id)
    })
    .map(|keys| keys.key_ids())
    .map_err(|error| error.to_string())
}

#[test]
fn keys_are_fetched_once_while_they_are_young() {
    let (sets, web) = (KeySets::default(), web());
    for seconds in [0, 1, 599] {
        assert_eq!(ids(&sets, &web, seconds, "a").unwrap(), ["a"]);
    }
    assert_eq!(web.asked(), 1);
    assert_eq!(ids(&sets, &web, 600, "a").unwrap(), ["a"]);
    assert_eq!(web.asked(), 2);
}

#[test]
fn a_new_key_is_asked_for_at_most_once_a_minute() {
    let (sets, web) = (KeySets::default(), web());
    ids(&sets, &web, 0, "a").unwrap();
    web.serve("b");
    for seconds in [1, 30, 59] {
        assert_eq!(ids(&sets, &web, seconds, "b").unwrap(), ["a"]);
    }
    assert_eq!(web.asked(), 1);
    assert_eq!(ids(&sets, &web, 60, "b").unwrap(), ["b"]);
    // Whoever makes up ids finds nothing, and knocks no more.
    for seconds in [61, 90, 119] {
        assert_eq!(ids(&sets, &web, seconds, "made up").unwrap(), ["b"]);
    }
    assert_eq!(web.asked(), 2);
}

#[test]
fn old_keys_do_while_the_issuer_is_down_and_not_for_ever() {
    let (sets, web) = (KeySets::default(), web());
    ids(&sets, &web, 0, "a").unwrap();
    web.fail();
    assert_eq!(ids(&sets, &web, 600, "a").unwrap(), ["a"]);
    assert_eq!(ids(&sets, &web, 605, "a").unwrap(), ["a"]);
    assert_eq!(web.asked(), 2);
    assert_eq!(ids(&sets, &web, 3_599, "a").unwrap(), ["a"]);
    let refused = ids(&sets, &web, 3_600, "a").unwrap_err();
    assert!(refused.contains("status 500"), "{refused}");
    web.serve("a");
    assert!(ids(&sets, &web, 3_608, "a").is_err());
    assert_eq!(ids(&sets, &web, 3_609, "a").unwrap(), ["a"]);
}

#[test]
fn a_changed_provider_is_asked_anew() {
    let (sets, web) = (KeySets::default(), web());
    ids(&sets, &web, 0, "a").unwrap();
    web.serve("b");
    let mut changed = by_url();
    changed.revision = 2;
    assert_eq!(ids_of(&sets, &changed, &web, 1, "b").unwrap(), ["b"]);
    // A clock that went back makes what is kept useless, not eternal.
    assert_eq!(ids_of(&sets, &changed, &web, -1_000, "b").unwrap(), ["b"]);
    assert_eq!(web.asked(), 3);
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let (sets, web) = (KeySets::default(), web());
    let discovered = provider(KeySource::Discovery);
    assert_eq!(ids_of(&sets, &discovered, &web, 0, "a").unwrap(), ["a"]);
    assert_eq!(web.asked(), 2);
    let mut other = discovered.clone();
    other.issuer = "https://other.example".into();
    let refused = ids_of(&sets, &other, &web, 0, "a").unwrap_err();
    assert!(refused.contains("does not tell of issuer"), "{refused}");
}

#[test]
fn a_document_needs_no_web_and_a_url_does() {
    let sets = KeySets::default();
    let keys = |provider: &OidcProvider| sets.keys(provider, None, at(0), |_| true);
    let refused = keys(&by_url()).err().unwrap();
    assert_eq!(refused.code(), "identity_provider_unreachable");
    assert_eq!(refused.sts_code(), Some("IDPCommunicationError"));
    let document = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let document = provider(KeySource::Document(document.into()));
    assert_eq!(keys(&document).unwrap().key_ids(), ["(no id)"]);
}

/// A web that answers once it is let.
struct Slow {
    web: Web,
    gate: std::sync::Barrier,
}

impl Outbound for Slow {
    fn get(&self, fetch: &Fetch) -> Result<Vec<u8>, OutboundError> {
        self.gate.wait();
        self.web.get(fetch)
    }
}

#[test]
fn one_fetches_for_all_and_no_more_than_a_few_wait() {
    let sets = KeySets::default();
    let slow = Slow {
        web: web(),
        gate: std::sync::Barrier::new(2),
    };
    let ask = || {
        sets.keys(&by_url(), Some(&slow), at(0), |_| true)
            .map(|_| ())
    };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..HELD_MAX).map(|_| scope.spawn(ask)).collect();
        while sets.held.load(Ordering::SeqCst) < HELD_MAX {
            std::thread::yield_now();
        }
        // One too many, while the fetch is under way.
        let refused = ask().unwrap_err().to_string();
        assert!(refused.contains("many are being fetched"), "{refused}");
        slow.gate.wait();
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
    assert_eq!(slow.web.asked(), 1);
    assert_eq!(sets.held.load(Ordering::SeqCst), 0);
}

#[test]
fn a_provider_that_is_made_anew_has_none_of_the_keys_of_before() {
    let (sets, web) = (KeySets::default(), web());
    ids(&sets, &web, 0, "a").unwrap();
    web.serve("b");
    // Deleted, and made again: in the same second from elsewhere, or later from the same place. Both begin at revision 1.
    let elsewhere = provider(KeySource::Url("https://else.example/".into()));
    assert_eq!(ids_of(&sets, &elsewhere, &web, 0, "a").unwrap(), ["b"]);
    web.serve("c");
    let later = OidcProvider {
        created_at: at(5),
        ..elsewhere.clone()
    };
    assert_eq!(ids_of(&sets, &later, &web, 5, "b").unwrap(), ["c"]);
    web.serve("d");
    let own_roots = OidcProvider {
        roots: Some("other roots".into()),
        ..later
    };
    assert_eq!(ids_of(&sets, &own_roots, &web, 6, "c").unwrap(), ["d"]);
}
