//! Signed requests that were answered, so that none of them is answered twice. Only where the operator asks for it.
//!
//! It is not asked for by default, because honest clients send one request twice: a retry after a lost answer, or two
//! calls within one second, which an HMAC signs alike. Without it, who can read a request off the wire can have it
//! answered again for five minutes; but who can read the request can read the answer too.
//!
//! Presigned URLs are made to be used more than once, and are not remembered; nor is what nobody signed.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bowline_service::{DoorError, Error, WireRequest};

use crate::sts::form;

/// The requests of the last minutes.
pub(crate) struct Replays {
    /// With keys of this process: nobody can look for two requests that are taken for one.
    hashers: [RandomState; 2],
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: HashSet<u128>,
    /// The same in the order they came, with the time.
    order: VecDeque<(Instant, u128)>,
}

/// A request that is being answered. It is forgotten again, unless it was answered with what it asked for.
pub(crate) struct Turn {
    replays: Arc<Replays>,
    request: Option<u128>,
}

impl Replays {
    pub(crate) fn new() -> Replays {
        Replays {
            hashers: [RandomState::new(), RandomState::new()],
            seen: Mutex::default(),
        }
    }

    /// Notes a request, or refuses it because it is known.
    pub(crate) fn begin(self: &Arc<Self>, request: &WireRequest) -> Result<Turn, Error> {
        self.begin_at(request, Instant::now())
    }

    fn begin_at(self: &Arc<Self>, request: &WireRequest, now: Instant) -> Result<Turn, Error> {
        let request = fingerprint(request, &self.hashers);
        if let Some(request) = request {
            let mut seen = self.lock();
            while let Some((came, old)) = seen.order.front().copied()
                && now.saturating_duration_since(came) > REMEMBERED
            {
                seen.order.pop_front();
                seen.requests.remove(&old);
            }
            if seen.requests.contains(&request) {
                return Err(DoorError::Replayed.into());
            }
            if seen.order.len() >= REPLAYS_MAX {
                return Err(DoorError::ReplaysForgotten {
                    limit: REPLAYS_MAX,
                    minutes: REMEMBERED.as_secs() / 60,
                }
                .into());
            }
            seen.requests.insert(request);
        }
        Ok(Turn {
            replays: self.clone(),
            request,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The request was answered.
    pub(crate) fn keep(mut self) {
        self.keep_at(Instant::now());
    }

    fn keep_at(&mut self, now: Instant) {
        if let Some(request) = self.request.take() {
            self.replays.lock().order.push_back((now, request));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.replays.lock().requests.remove(&request);
        }
    }
}

/// What two requests have in common that one signature can stand for. Nothing for a request without a signature in its
/// header, or of no form; such are refused elsewhere, or may be repeated.
///
/// An HMAC is one for one request, so it is the signature itself. ECDSA has many signatures of one request, and who
/// knows one can make another; so there it is what was signed: certificate, time, query, body.
fn fingerprint(request: &WireRequest, hashers: &[RandomState; 2]) -> Option<u128> {
    let authorization = request.header("authorization")?;
    let field = |name: &str| {
        let mut fields = authorization.split([',', ' ', '\t']);
        fields.find_map(|field| field.strip_prefix(name))
    };
    let of = |part: &dyn Fn(&mut dyn Hasher)| {
        let [high, low] = hashers.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            part(&mut hasher);
            u128::from(hasher.finish())
        });
        high << 64 | low
    };
    if !authorization.starts_with("AWS4-X509-") {
        let signature = field("Signature=")?;
        return Some(of(&|mut hasher| signature.hash(&mut hasher)));
    }
    let certificate = field("Credential=")?;
    let date = request.header("x-amz-date")?.trim();
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let mut query = form::pairs(query.as_bytes(), b'+')?;
    query.sort();
    Some(of(&|mut hasher| {
        (certificate, date, &query, &request.body).hash(&mut hasher);
    }))
}

/// How long a request is remembered: it may be dated five minutes ahead, and is taken until five minutes after.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// The most requests that are remembered, under 32 MiB: over 400 a second all the time.
const REPLAYS_MAX: usize = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, authorization: &str, body: &str) -> WireRequest {
        WireRequest {
            method: "POST".into(),
            target: target.into(),
            headers: vec![
                ("authorization".into(), authorization.into()),
                ("x-amz-date".into(), "20260601T120000Z".into()),
            ],
            body: body.into(),
        }
    }

    fn taken(replays: &Arc<Replays>, request: &WireRequest) -> bool {
        let turn = replays.begin(request);
        turn.map(Turn::keep).is_ok()
    }

    #[test]
    fn what_was_answered_is_not_answered_again() {
        let replays = Arc::new(Replays::new());
        let first = request("/", "AWS4-HMAC-SHA256 Credential=a, Signature=1", "");
        let same = request("/", "AWS4-HMAC-SHA256 Signature=1,Credential=a", "");
        let other = request("/", "AWS4-HMAC-SHA256 Credential=a, Signature=2", "");
        assert!(taken(&replays, &first));
        assert!(!taken(&replays, &first));
        assert!(!taken(&replays, &same));
        assert!(taken(&replays, &other));
    }

    #[test]
    fn another_signature_of_the_same_exchange_is_the_same() {
        let replays = Arc::new(Replays::new());
        let signed = |target: &str, signature: &str, body: &str| {
            let field = format!("AWS4-X509-ECDSA-SHA256 Credential=7/x, Signature={signature}");
            request(target, &field, body)
        };
        assert!(taken(
            &replays,
            &signed("/sessions?a=%7e&b=1", "30aa", "{}")
        ));
        assert!(!taken(&replays, &signed("/sessions?b=1&a=~", "30bb", "{}")));
        assert!(taken(&replays, &signed("/sessions?b=1&a=~", "30aa", "{ }")));
        assert!(taken(&replays, &signed("/sessions?b=2&a=~", "30aa", "{}")));
    }

    #[test]
    fn what_was_refused_may_be_tried_again_and_what_is_being_answered_may_not() {
        let replays = Arc::new(Replays::new());
        let request = request("/", "AWS4-HMAC-SHA256 Signature=1", "");
        let turn = replays.begin(&request).unwrap();
        assert!(replays.begin(&request).is_err());
        drop(turn);
        assert!(taken(&replays, &request));
    }

    #[test]
    fn after_ten_minutes_a_request_is_forgotten() {
        let replays = Arc::new(Replays::new());
        let now = Instant::now();
        let request = request("/", "AWS4-HMAC-SHA256 Signature=1", "");
        replays.begin_at(&request, now).unwrap().keep_at(now);
        assert!(replays.begin_at(&request, now + REMEMBERED).is_err());
        let later = now + REMEMBERED + Duration::from_secs(1);
        assert!(replays.begin_at(&request, later).is_ok());
        assert!(replays.lock().order.is_empty());
    }

    #[test]
    fn what_nobody_signed_is_not_remembered() {
        let replays = Arc::new(Replays::new());
        let unsigned = WireRequest {
            headers: Vec::new(),
            ..request("/", "", "")
        };
        assert!(taken(&replays, &unsigned) && taken(&replays, &unsigned));
    }
}
