//! A storage server on a folder that honours temporary credentials and the policies behind them.
//!
//! ```text
//! s3_server --root DATA --server https://ca.example:8443 --roots roots.pem \
//!     --identity storage.crt --identity-key storage.key \
//!     --certificate storage.crt --key storage.key --listen 127.0.0.1:9000
//! ```
//!
//! It holds no secret but the key of its own certificate: keys for its clients' sessions come from the Bowline server,
//! each for one session, one day and S3 alone.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline_guard::{
    Endpoint, Guard, GuardAccess, GuardAuth, GuardLayer, GuardService, Identity, Peer, Remote,
    Trust,
};
use bowline_service::certificates_from_pem;
use clap::Parser;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use s3s::host::MultiDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Layer, Service};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A storage server on a folder.
#[derive(Parser)]
struct Arguments {
    /// Where to listen. Port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The folder; its folders are the buckets.
    #[arg(long)]
    root: PathBuf,
    /// The Bowline server.
    #[arg(long)]
    server: String,
    /// Its roots, PEM.
    #[arg(long)]
    roots: PathBuf,
    /// The certificate, with its chain, that this server asks with.
    #[arg(long)]
    identity: PathBuf,
    /// The key of that certificate.
    #[arg(long)]
    identity_key: PathBuf,
    /// The certificate, with its chain, that clients see. Without one it speaks plain HTTP.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Names under which `bucket.NAME` is a bucket.
    #[arg(long)]
    virtual_host: Vec<String>,
    /// For how long a session's key is kept: so long a revocation may take.
    #[arg(long, default_value_t = 60)]
    keep_seconds: u64,
    /// Where to write the URL once it answers.
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<(), Fault> {
    // 1. Whom to ask, and as whom.
    let roots = certificates_from_pem(&std::fs::read(&arguments.roots)?)?;
    let endpoint = Endpoint::parse(&arguments.server, Some(Trust::Roots(roots)))?;
    let identity = Identity::from_pem(
        &std::fs::read(&arguments.identity)?,
        &std::fs::read(&arguments.identity_key)?,
        None,
    )?;
    let remote = Remote::new(endpoint).with_identity(identity);
    let kept = Duration::from_secs(arguments.keep_seconds);
    let guard = Arc::new(Guard::with_keys(remote, kept));
    // 2. The storage, behind the guard.
    let layer = GuardLayer::s3(guard, arguments.virtual_host.clone());
    let service = layer.layer(storage(&arguments)?);
    // 3. The door.
    let listener = TcpListener::bind(arguments.listen).await?;
    let tls = match (&arguments.certificate, &arguments.key) {
        (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr()?);
    println!("{url}");
    if let Some(file) = &arguments.ready_file {
        // Whole or not at all: whoever waits for the file reads it at once.
        let draft = file.with_extension("draft");
        std::fs::write(&draft, &url)?;
        std::fs::rename(&draft, file)?;
    }
    loop {
        let (stream, address) = listener.accept().await?;
        let (service, tls) = (service.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, address.ip(), true, service).await;
                    }
                }
                None => serve(stream, address.ip(), false, service).await,
            }
        });
    }
}

fn storage(arguments: &Arguments) -> Result<S3Service, Fault> {
    let folder = s3s_fs::FileSystem::new(&arguments.root).map_err(|error| format!("{error:?}"))?;
    let mut builder = S3ServiceBuilder::new(folder);
    builder.set_auth(GuardAuth);
    builder.set_access(GuardAccess);
    if !arguments.virtual_host.is_empty() {
        builder.set_host(MultiDomain::new(&arguments.virtual_host)?);
    }
    Ok(builder.build())
}

async fn serve<T>(stream: T, address: IpAddr, tls: bool, service: GuardService<S3Service>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer {
            address: Some(address),
            tls,
            certificate_sha256: None,
        });
        let mut service = service.clone();
        async move {
            let response = service.call(request).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|error| {
                eprintln!("a request failed: {error:?}");
                broken()
            }))
        }
    });
    // A client that goes away in the middle is nobody's fault here.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

fn broken<A, B>() -> Response<http_body_util::Either<A, B>>
where
    A: Body,
    B: Body + Default,
{
    let mut response = Response::new(http_body_util::Either::Right(B::default()));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Fault> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
