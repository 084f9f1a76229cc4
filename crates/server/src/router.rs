//! Which dialect a request speaks.

use std::sync::Arc;

use bowline_service::{Caller, Error, Service, WireRequest};
use http::Request;
use http::request::Parts;
use hyper::body::{Body, Bytes};

use crate::limits::{CONTROL_BODY_MAX, DATA_BODY_MAX, Limits};
use crate::memory::Memory;
use crate::message::{self, Held, Response, Via};
use crate::pool::{Pool, Share};
use crate::{operations, publication, sessions, sts};

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) service: Arc<Service>,
    pub(crate) limits: Arc<Limits>,
    pool: Pool,
    memory: Memory,
}

/// The dialects, told apart by method and path alone. Paths are compared as sent: nothing is decoded, nothing
/// resolved, so no two spellings lead to one place.
#[derive(Debug, PartialEq, Eq)]
enum Dialect {
    Publication,
    CreateSession,
    Sts,
    Operation(String),
}

impl Router {
    pub(crate) fn new(service: Arc<Service>, pool: Pool, limits: Limits) -> Router {
        Router {
            service,
            pool,
            memory: Memory::new(limits.request_bytes),
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
        let response = self.respond(parts, body, via, &request_id).await;
        message::finish(response, &request_id)
    }

    async fn respond<B>(&self, parts: Parts, body: B, via: Via, request_id: &str) -> Response
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
            Dialect::CreateSession => match self.read(parts, body, DATA_BODY_MAX).await {
                Ok(held) => sessions::serve(self, held, via, request_id).await,
                Err(error) => sessions::refuse(&error, request_id),
            },
            Dialect::Sts => match self.read(parts, body, DATA_BODY_MAX).await {
                Ok(held) => sts::serve(self, held, via, request_id).await,
                Err(error) => sts::refuse(&error, request_id),
            },
            Dialect::Operation(name) => match self.read(parts, body, CONTROL_BODY_MAX).await {
                Ok(held) => operations::serve(self, &name, held, via, request_id).await,
                Err(error) => operations::refuse(&error, request_id),
            },
        }
    }

    async fn read<B>(&self, parts: Parts, body: B, body_max: usize) -> Result<Held, Error>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        message::read(parts, body, body_max, self.limits.body_time, &self.memory).await
    }

    /// Runs an operation where it may block.
    pub(crate) async fn run<T, F>(&self, via: Via, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let service = self.service.clone();
        let work = move || work(&service);
        match via {
            Via::ControlSocket => self.pool.run_for_operator(share, work).await,
            Via::Tls(_) | Via::Plain(_) => self.pool.run(share, work).await,
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
        self.pool.run(Share::Publication, work).await
    }
}

fn dialect(method: &str, path: &str) -> Option<Dialect> {
    match (method, path) {
        ("POST", sessions::PATH) => Some(Dialect::CreateSession),
        ("POST" | "GET", "/") => Some(Dialect::Sts),
        ("POST", _) => path
            .strip_prefix(operations::PREFIX)
            .map(|name| Dialect::Operation(name.into())),
        ("GET" | "HEAD", _) => publication::serves(path).then_some(Dialect::Publication),
        _ => None,
    }
}

/// Who asks on the control plane: the operator over the control socket, else whoever the signature proves.
pub(crate) fn caller(service: &Service, request: &WireRequest, via: Via) -> Result<Caller, Error> {
    match via {
        Via::ControlSocket => Ok(Caller::Operator),
        Via::Tls(address) | Via::Plain(address) => service.identify(request, Some(address)),
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
