//! The question of a relying service, and the three ways to its answer.

use std::sync::Arc;
use std::time::Duration;

use bowline_service::{
    Authorization, Authorize, Caller, Clock, Error, GetSigningKey, Operation, Service, Signatory,
    SignedPayload, SigningKeyAnswer, SystemClock, Time,
};
use bowline_sigv4::hmac::Presented;

use crate::keys::{self, KeptKey, Keys};
use crate::refused::Refused;
use crate::remote::Remote;

/// What came, and what is known of it.
///
/// `Authorize::s3` makes one of a request of S3, which tells itself what it asks for; for every other service the
/// members `action` and `resource` say it.
pub type GuardRequest = Authorize;

/// A request that may go on.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Who signed.
    pub who: Signatory,
    /// The operation of S3, where the request itself said what it asks for.
    pub operation: Option<String>,
    /// The bucket of S3, as the decision understood it.
    pub bucket: Option<String>,
    /// The key of S3, decoded, as the decision understood it.
    pub key: Option<String>,
    /// What the signature says of the body. [`crate::GuardLayer`] holds the body to it.
    pub payload: SignedPayload,
    /// From when on this very request would be refused.
    pub valid_until: Time,
}

/// Verifies requests and decides on them. One a process; shared between threads.
pub struct Guard {
    way: Way,
    clock: Arc<dyn Clock>,
}

enum Way {
    InProcess(Arc<Service>),
    Asking(Remote),
    WithKeys { remote: Remote, keys: Keys },
}

impl Guard {
    /// On the home itself, in this process. It holds every key of the home.
    pub fn in_process(service: Arc<Service>) -> Guard {
        Guard::going(Way::InProcess(service))
    }

    /// By asking a server for each request. It holds no secret, and cannot check streams of signed chunks.
    pub fn asking(remote: Remote) -> Guard {
        Guard::going(Way::Asking(remote))
    }

    /// By itself, with keys that a server gives and that are kept for at most `longest`, and never over a minute: so
    /// long it takes to notice a revocation.
    pub fn with_keys(remote: Remote, longest: Duration) -> Guard {
        let keys = Keys::new(longest.min(KEPT_MAX));
        Guard::going(Way::WithKeys { remote, keys })
    }

    fn going(way: Way) -> Guard {
        Guard {
            way,
            clock: Arc::new(SystemClock),
        }
    }

    /// Goes by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Guard {
        self.clock = clock;
        self
    }

    /// May whoever signed this request do what it asks for. Blocks where a server is asked.
    ///
    /// What the signature says of the body is part of the answer, and whoever acts on the body holds it to that.
    pub fn check(&self, request: &GuardRequest) -> Result<Allowed, Refused> {
        self.answer(request).map(|answer| answer.allowed)
    }

    /// The same where it can be said without waiting: in process, or with a key that is kept.
    pub fn check_at_once(&self, request: &GuardRequest) -> Option<Result<Allowed, Refused>> {
        let answer = self.answer_at_once(request)?;
        Some(answer.map(|answer| answer.allowed))
    }

    /// The same for tasks: what has to wait waits on a thread of its own.
    pub async fn check_async(
        self: &Arc<Guard>,
        request: Arc<GuardRequest>,
    ) -> Result<Allowed, Refused> {
        let answer = self.answer_async(request).await;
        answer.map(|answer| answer.allowed)
    }

    /// [`Guard::check_async`], with what verifies the rest of the request.
    pub(crate) async fn answer_async(
        self: &Arc<Guard>,
        request: Arc<GuardRequest>,
    ) -> Result<Answer, Refused> {
        if let Some(answer) = self.answer_at_once(&request) {
            return answer;
        }
        let guard = self.clone();
        tokio::task::spawn_blocking(move || guard.answer(&request))
            .await
            .unwrap_or_else(|error| Err(Refused::unavailable(error)))
    }

    fn answer(&self, request: &GuardRequest) -> Result<Answer, Refused> {
        if let Some(answer) = self.answer_at_once(request) {
            return answer;
        }
        match &self.way {
            Way::InProcess(service) => in_process(service, request),
            Way::Asking(remote) => Ok(Answer::without_key(allowed(remote.call(request)?)?)),
            Way::WithKeys { remote, keys } => {
                let presented = present(request).map_err(|error| of_error(&error))?;
                let now = self.clock.now();
                let name = name_of(&presented, request).map_err(|error| of_error(&error))?;
                let key = ask_for_key(remote, keys, name, request, now)?;
                decide(presented, &key, request, now)
            }
        }
    }

    fn answer_at_once(&self, request: &GuardRequest) -> Option<Result<Answer, Refused>> {
        match &self.way {
            Way::InProcess(service) => Some(in_process(service, request)),
            Way::Asking(_) => None,
            Way::WithKeys { keys, .. } => {
                let now = self.clock.now();
                let found = present(request).and_then(|presented| {
                    let name = name_of(&presented, request)?;
                    Ok((presented, keys.get(&name, now)))
                });
                match found {
                    Ok((presented, key)) => Some(decide(presented, &key?, request, now)),
                    Err(error) => Some(Err(of_error(&error))),
                }
            }
        }
    }

    /// The key that signs the chunks of a streamed body, for a request that was answered just now.
    pub(crate) fn chunk_key(
        &self,
        request: &GuardRequest,
        answer: &Answer,
    ) -> Result<[u8; 32], Refused> {
        if let Some(key) = &answer.key {
            return Ok(*key.key.as_bytes());
        }
        let Way::InProcess(service) = &self.way else {
            return Err(Refused::new(
                "NotImplemented",
                "Streams of signed chunks are not checked here: sign the whole payload, \
                 or leave it to TLS with UNSIGNED-PAYLOAD.",
                501,
            ));
        };
        let asked = key_request(request).run(service, &Caller::Operator);
        match asked.map_err(|error| of_error(&error))? {
            SigningKeyAnswer::Key(derived) => derived
                .key()
                .map(|key| *key)
                .ok_or_else(|| Refused::unavailable("a derived key does not read")),
            SigningKeyAnswer::Refused(answer) => Err(Refused::of(*answer)),
        }
    }
}

/// A request that may go on, and the key that it was verified with where that is at hand.
pub(crate) struct Answer {
    pub(crate) allowed: Allowed,
    key: Option<Arc<KeptKey>>,
}

impl Answer {
    fn without_key(allowed: Allowed) -> Answer {
        Answer { allowed, key: None }
    }
}

fn in_process(service: &Service, request: &GuardRequest) -> Result<Answer, Refused> {
    let answer = request
        .ask(service, &Caller::Operator)
        .map_err(|error| of_error(&error))?;
    Ok(Answer::without_key(allowed(answer)?))
}

fn present(request: &GuardRequest) -> Result<Presented, Error> {
    // The partition stands in resources only, which no rule of a signature looks at.
    let rules = request.rules(NO_PARTITION)?;
    Ok(Presented::parse(&request.signed()?, &rules)?)
}

/// The name that the key for a request has.
fn name_of(presented: &Presented, request: &GuardRequest) -> Result<[u8; 32], Error> {
    let token = presented
        .session_token()
        .ok_or(Error::SessionTokenMissing)?;
    Ok(keys::name(
        presented.access_key_id(),
        token,
        presented.scope(),
        request.client_certificate_sha256.as_deref(),
    ))
}

fn key_request(request: &GuardRequest) -> GetSigningKey {
    let service = match (&request.service, &request.action) {
        (Some(service), _) => service.clone(),
        (None, Some(action)) => action
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase(),
        (None, None) => "s3".into(),
    };
    GetSigningKey {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        payload_sha256: request.payload_sha256.clone(),
        body: request.body.clone(),
        service,
        client_certificate_sha256: request.client_certificate_sha256.clone(),
    }
}

fn ask_for_key(
    remote: &Remote,
    keys: &Keys,
    name: [u8; 32],
    request: &GuardRequest,
    now: Time,
) -> Result<Arc<KeptKey>, Refused> {
    match remote.call(&key_request(request))? {
        SigningKeyAnswer::Key(derived) => {
            let kept = KeptKey::of(*derived, now, keys.longest).map_err(Refused::unavailable)?;
            let kept = Arc::new(kept);
            keys.keep(name, kept.clone(), now);
            Ok(kept)
        }
        SigningKeyAnswer::Refused(answer) => Err(Refused::of(*answer)),
    }
}

/// Verifies and decides with a key.
fn decide(
    presented: Presented,
    key: &Arc<KeptKey>,
    request: &GuardRequest,
    now: Time,
) -> Result<Answer, Refused> {
    let verified = presented
        .verify_with_key(&key.key, now)
        .map_err(|error| of_error(&error.into()))?;
    let who = &key.derived.who;
    if who.expires <= now {
        return Err(Refused::new(
            "ExpiredToken",
            "The provided token has expired.",
            400,
        ));
    }
    let bound = key.derived.at(key.bound.clone(), now);
    let partition = &key.derived.partition;
    let answer = request.decide_verified(&verified, &bound, who.clone(), partition, now);
    let allowed = allowed(answer.map_err(|error| of_error(&error))?)?;
    Ok(Answer {
        allowed,
        key: Some(key.clone()),
    })
}

fn allowed(answer: Authorization) -> Result<Allowed, Refused> {
    if !answer.allowed() {
        return Err(Refused::of(answer));
    }
    match (answer.who, answer.payload, answer.valid_until) {
        (Some(who), Some(payload), Some(valid_until)) => Ok(Allowed {
            who,
            operation: answer.operation,
            bucket: answer.bucket,
            key: answer.key,
            payload,
            valid_until,
        }),
        _ => Err(Refused::unavailable("the answer does not say who signed")),
    }
}

fn of_error(error: &Error) -> Refused {
    let public = error.public();
    Refused {
        error: error.s3_error(),
        code: Some(public.code.into_owned()),
        reason: public.message,
    }
}

/// Stands for a partition where none is looked at.
const NO_PARTITION: &str = "aws";

/// The longest that a key is kept, whatever is asked for.
const KEPT_MAX: Duration = Duration::from_secs(60);
