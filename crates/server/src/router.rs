//! Which dialect a request speaks.

use std::borrow::Cow;
use std::sync::Arc;

use bowline_service::{Caller, Error, Kind, Service, WireRequest};
use http::Request;
use http::request::Parts;
use hyper::body::{Body, Bytes};
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};

use crate::commits::Commits;
use crate::limits::{CONTROL_BODY_MAX, DATA_BODY_MAX, Limits};
use crate::memory::Memory;
use crate::message::{self, Held, Response, Via};
use crate::pool::{Answer, Pool, Share};
use crate::rates::Rates;
use crate::replays::Replays;
use crate::{operations, proxies, publication, sessions, sts};

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) service: Arc<Service>,
    pub(crate) limits: Arc<Limits>,
    /// Whether the server stops.
    pub(crate) stopped: watch::Receiver<bool>,
    /// Whose turn it is to have a CRL signed for everybody.
    pub(crate) signing: Arc<Mutex<()>>,
    /// Whether the entries of the event log are published.
    pub(crate) publish_events: bool,
    /// Whether the store takes commits.
    pub(crate) commits: Arc<Commits>,
    /// How many requests a second one caller may send.
    pub(crate) rates: Arc<Rates>,
    /// The requests that were answered, where each is answered once only.
    pub(crate) replays: Option<Arc<Replays>>,
    pool: Pool,
    memory: Memory,
    answers: Memory,
}

/// The dialects, told apart by method and path alone. Paths are compared as sent: nothing is decoded, nothing
/// resolved, so no two spellings lead to one place.
#[derive(Debug, PartialEq, Eq)]
enum Dialect {
    Publication,
    CreateSession,
    Sts,
    Proxy,
    Operation(String),
}

impl Router {
    pub(crate) fn new(
        service: Arc<Service>,
        pool: Pool,
        limits: Limits,
        publish_events: bool,
        commits: Arc<Commits>,
        stopped: watch::Receiver<bool>,
    ) -> Router {
        Router {
            service,
            pool,
            stopped,
            signing: Arc::default(),
            publish_events,
            commits,
            rates: Arc::new(Rates::new(&limits)),
            replays: limits.refuse_replays.then(|| Arc::new(Replays::new())),
            memory: Memory::new(limits.request_bytes),
            answers: Memory::new(limits.answer_bytes),
            limits: Arc::new(limits),
        }
    }

    /// Answers one request.
    pub(crate) async fn handle<B>(self, request: Request<B>, via: Via) -> Response
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request_id = self.service.request_id();
        let (parts, body) = request.into_parts();
        let response = self.respond(parts, body, &via, &request_id).await;
        message::finish(response, &request_id)
    }

    async fn respond<B>(&self, parts: Parts, body: B, via: &Via, request_id: &str) -> Response
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some((status, text)) = message::malformed(&parts) {
            return publication::malformed(status, text, parts.version);
        }
        let path = parts.uri.path();
        let Some(dialect) = dialect(parts.method.as_str(), path) else {
            return publication::not_found(path);
        };
        if dialect != Dialect::Publication && !via.carries_everything() {
            return publication::needs_tls(path);
        }
        match dialect {
            Dialect::Publication => publication::serve(self, &parts, request_id).await,
            Dialect::CreateSession => match self.read(parts, body, DATA_BODY_MAX, via).await {
                Ok(held) => sessions::serve(self, held, via, request_id).await,
                Err(error) => sessions::refuse(&error, request_id),
            },
            Dialect::Sts => match self.read(parts, body, DATA_BODY_MAX, via).await {
                Ok(held) => sts::serve(self, held, via, request_id).await,
                Err(error) => sts::refuse(&error, request_id),
            },
            Dialect::Proxy => match self.read(parts, body, CONTROL_BODY_MAX, via).await {
                Ok(held) => proxies::serve(self, held, via, request_id).await,
                Err(error) => proxies::refuse(&error, request_id),
            },
            Dialect::Operation(name) => match self.read(parts, body, CONTROL_BODY_MAX, via).await {
                Ok(held) => operations::serve(self, &name, held, via, request_id).await,
                Err(error) => operations::refuse(&error, request_id),
            },
        }
    }

    async fn read<B>(
        &self,
        parts: Parts,
        body: B,
        body_max: usize,
        via: &Via,
    ) -> Result<Held, Error>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let patience = self.limits.body_time;
        let read = match self.rates.arrived(via) {
            Ok(()) => message::read(parts, body, body_max, patience, &self.memory).await,
            Err(refusal) => Err(refusal),
        };
        read.inspect_err(|refusal| note_refusal(&self.service, via, refusal))
    }

    /// Runs an operation where it may block.
    pub(crate) async fn run<T, F>(&self, via: &Via, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let service = self.service.clone();
        let work = move || work(&service);
        let answer = match via {
            Via::ControlSocket => self.pool.run_for_operator(share, work).await,
            Via::Tls(..) | Via::Plain(_) => self.pool.run(share, work).await,
        };
        self.commits.learn(share, &answer);
        answer
    }

    /// Has an operation begun whose answer comes when its commit is made; no thread waits for that.
    pub(crate) async fn begin<T, F>(&self, via: &Via, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Arc<Service>, Answer<T>) + Send + 'static,
        T: Send + 'static,
    {
        let service = self.service.clone();
        let work = move |answer| work(&service, answer);
        let answer = match via {
            Via::ControlSocket => self.pool.begin_for_operator(work).await,
            Via::Tls(..) | Via::Plain(_) => self.pool.begin(work).await,
        };
        self.commits.learn(Share::Write, &answer);
        answer
    }

    /// An answer's bytes, counted for as long as they wait to be sent: who asks much and reads nothing costs a bounded
    /// part of the memory.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> Result<Bytes, Error> {
        self.answers.hold(bytes)
    }

    /// A place for a transfer.
    pub(crate) fn transfer_place(&self, via: &Via) -> Result<OwnedSemaphorePermit, Error> {
        match via {
            Via::ControlSocket => self.pool.transfer_for_operator(),
            Via::Tls(..) | Via::Plain(_) => self.pool.transfer(),
        }
    }

    /// Runs what everybody may fetch.
    pub(crate) async fn publish<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let service = self.service.clone();
        let work = move || work(&service);
        let answer = self.pool.run(Share::Publication, work).await;
        self.commits.learn(Share::Publication, &answer);
        answer
    }
}

fn dialect(method: &str, path: &str) -> Option<Dialect> {
    match (method, path) {
        ("POST", sessions::PATH) => Some(Dialect::CreateSession),
        ("POST" | "GET", "/") => Some(Dialect::Sts),
        // A proxy may ask by the method of the request it asks about.
        (_, path) if proxies::serves(path) => Some(Dialect::Proxy),
        ("POST", _) => path
            .strip_prefix(operations::PREFIX)
            .map(|name| Dialect::Operation(name.into())),
        ("GET" | "HEAD", _) => publication::serves(path).then_some(Dialect::Publication),
        _ => None,
    }
}

/// Who asks on the control plane: the operator over the control socket, else whoever the signature proves.
pub(crate) fn caller(
    service: &Service,
    rates: &Rates,
    request: &WireRequest,
    via: &Via,
) -> Result<Caller, Error> {
    match via {
        Via::ControlSocket => Ok(Caller::Operator),
        Via::Tls(..) | Via::Plain(_) => {
            let caller = service.identify(request, &via.channel())?;
            rates.identified(via, &caller)?;
            Ok(caller)
        }
    }
}

/// Has the log count a refusal that came before the service: nobody in particular was refused. The operator on this
/// machine is somebody.
pub(crate) fn note_refusal(service: &Service, via: &Via, error: &Error) {
    let Some(source) = via.source() else {
        return;
    };
    match error.kind() {
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Denied
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Limit => {
            if let Cow::Borrowed(code) = error.code() {
                service.note_refusal(Some(source), code);
            }
        }
        // Says nothing about who asked.
        Kind::Internal | Kind::Unavailable => {}
    }
}

/// The same for a name that no operation has, of a caller who proved nothing. Operations tell of their refusals.
pub(crate) fn note_unread<T>(
    service: &Service,
    via: &Via,
    caller: &Caller,
    result: &Result<T, Error>,
) {
    if let Err(error @ Error::UnknownOperation { .. }) = result
        && let Caller::Nobody { .. } | Caller::Certificate { .. } = caller
    {
        note_refusal(service, via, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_spelling_of_a_path_is_served() {
        assert_eq!(dialect("POST", "/sessions"), Some(Dialect::CreateSession));
        assert_eq!(
            dialect("GET", "/crl/issuing.crl"),
            Some(Dialect::Publication)
        );
        for path in [
            "",
            "*",
            "/sessions/",
            "//sessions",
            "/./sessions",
            "/%73essions",
            "/Sessions",
            "/sessions;a",
            "/v1",
            "//v1/authorize",
            "//",
        ] {
            assert_eq!(dialect("POST", path), None, "{path}");
        }
        for path in [
            "/crl/../issuing.crl",
            "/crl/.crl",
            "/crl/a/b.crl",
            "//roots.pem",
            "/roots.pem/",
            "/ca/issuing.crt/",
            "/sessions",
            "/v1/authorize",
        ] {
            assert_eq!(dialect("GET", path), None, "{path}");
        }
    }

    #[test]
    fn a_path_that_climbs_is_an_operation_nobody_has() {
        for path in [
            "/v1/../sessions",
            "/v1//authorize",
            "/v1/authorize/",
            "/v1/%2e%2e",
        ] {
            let Some(Dialect::Operation(name)) = dialect("POST", path) else {
                panic!("{path}");
            };
            assert!(
                !bowline_service::OPERATIONS.contains(&name.as_str()),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_changed_is_posted() {
        for method in [
            "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "post",
        ] {
            assert_eq!(dialect(method, "/sessions"), None, "{method}");
            assert_eq!(dialect(method, "/v1/create-role"), None, "{method}");
        }
    }
}
