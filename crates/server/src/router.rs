//! Which dialect a request speaks.

use std::sync::Arc;

use bowline_service::{Caller, Error, Service, WireRequest};
use http::Request;
use hyper::body::{Body, Bytes};

use crate::message::{self, CONTROL_BODY_MAX, DATA_BODY_MAX, Response, Via};
use crate::pool::{Pool, Share};
use crate::{operations, publication, sessions, sts};

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) service: Arc<Service>,
    pub(crate) pool: Pool,
}

/// The dialects, told apart by method and path alone.
enum Dialect {
    Publication,
    CreateSession,
    Sts,
    Operation(String),
}

impl Router {
    /// Answers one request.
    pub(crate) async fn handle<B>(self, request: Request<B>, via: Via) -> Response
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let Some(dialect) = dialect(parts.method.as_str(), parts.uri.path()) else {
            return publication::not_found(parts.uri.path());
        };
        if let Dialect::Publication = dialect {
            return publication::serve(&self, &parts).await;
        }
        if !via.carries_everything() {
            return publication::needs_tls(parts.uri.path());
        }
        match dialect {
            Dialect::Publication => publication::serve(&self, &parts).await,
            Dialect::CreateSession => match message::read(parts, body, DATA_BODY_MAX).await {
                Ok(request) => sessions::serve(&self, request, via).await,
                Err(error) => sessions::refuse(&self, &error),
            },
            Dialect::Sts => match message::read(parts, body, DATA_BODY_MAX).await {
                Ok(request) => sts::serve(&self, request, via).await,
                Err(error) => sts::refuse(&self, &error),
            },
            Dialect::Operation(name) => match message::read(parts, body, CONTROL_BODY_MAX).await {
                Ok(request) => operations::serve(&self, &name, request, via).await,
                Err(error) => operations::refuse(&error),
            },
        }
    }

    /// Runs an operation where it may block.
    pub(crate) async fn run<T, F>(&self, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Service) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let service = self.service.clone();
        self.pool.run(share, move || work(&service)).await
    }
}

fn dialect(method: &str, path: &str) -> Option<Dialect> {
    match (method, path) {
        ("POST", _) if path == sessions::PATH => Some(Dialect::CreateSession),
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
