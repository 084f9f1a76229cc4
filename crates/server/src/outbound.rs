//! The way out: one GET at a time, for what identity providers publish.
//!
//! Believes the roots it is given, or those of the system, which its owner keeps up to date and adds the roots of their
//! own house to. Follows no redirect, speaks plain HTTP to this machine only, and is done within [`TIMEOUT`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bowline_service::{Fetch, Outbound, OutboundError};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::roots::system_roots;

/// Fetches over the network of this machine.
#[derive(Debug, Default)]
pub struct HttpOutbound {}

impl Outbound for HttpOutbound {
    /// Blocks, for [`TIMEOUT`] at most. Not to be called on a thread of a runtime.
    fn get(&self, fetch: &Fetch) -> Result<Vec<u8>, OutboundError> {
        let address = Address::parse(&fetch.url).ok_or_else(|| OutboundError::Url {
            url: fetch.url.clone(),
        })?;
        let config = match address.tls {
            true => Some(client_config(fetch.roots_pem.as_deref())?),
            false => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(fetch, &error.to_string()))?;
        // Inside the runtime, which the timer belongs to.
        let done = runtime.block_on(async {
            tokio::time::timeout(TIMEOUT, exchange(fetch, &address, config)).await
        });
        // A name that takes long to resolve holds a thread of its own, which nobody waits for.
        runtime.shutdown_background();
        done.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", TIMEOUT.as_secs());
            Err(unreachable(fetch, &why))
        })
    }
}

/// Where a URL leads.
struct Address<'a> {
    tls: bool,
    /// As in the URL, for the `Host` header.
    authority: &'a str,
    host: &'a str,
    port: u16,
    /// Path and query.
    target: &'a str,
}

impl<'a> Address<'a> {
    fn parse(url: &'a str) -> Option<Address<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, target) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, port) = inside.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let tls = match scheme {
            "https" => true,
            "http" if is_loopback(host) => false,
            _ => return None,
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if tls => 443,
            None => 80,
        };
        (!host.is_empty() && !authority.contains('@')).then_some(Address {
            tls,
            authority,
            host,
            port,
            target,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn exchange(
    fetch: &Fetch,
    address: &Address<'_>,
    config: Option<ClientConfig>,
) -> Result<Vec<u8>, OutboundError> {
    let refuse = |error: &dyn std::fmt::Display| unreachable(fetch, &error.to_string());
    let stream = TcpStream::connect((address.host, address.port))
        .await
        .map_err(|error| refuse(&error))?;
    match config {
        None => over(stream, fetch, address).await,
        Some(config) => {
            let name =
                ServerName::try_from(address.host.to_owned()).map_err(|error| refuse(&error))?;
            let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
                .map_err(|error| refuse(&error))?;
            over(stream, fetch, address).await
        }
    }
}

async fn over<S>(stream: S, fetch: &Fetch, address: &Address<'_>) -> Result<Vec<u8>, OutboundError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refuse = |error: &dyn std::fmt::Display| unreachable(fetch, &error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| refuse(&error))?;
    // Ends with the connection, or with the runtime, which serves one request.
    tokio::spawn(connection);
    let request = http::Request::get(address.target)
        .header("host", address.authority)
        .header("accept", "application/json")
        .header("user-agent", concat!("bowline/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| refuse(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| refuse(&error))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(OutboundError::Status {
            url: fetch.url.clone(),
            status,
        });
    }
    collect(response, fetch).await
}

async fn collect(
    response: http::Response<Incoming>,
    fetch: &Fetch,
) -> Result<Vec<u8>, OutboundError> {
    let body = Limited::new(response.into_body(), fetch.bytes_max);
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(OutboundError::TooLong {
            url: fetch.url.clone(),
            limit: fetch.bytes_max,
        }),
        Err(error) => Err(unreachable(fetch, &error.to_string())),
    }
}

/// TLS that believes these roots, or those of the system.
fn client_config(roots_pem: Option<&str>) -> Result<ClientConfig, OutboundError> {
    let refuse = |reason: String| OutboundError::Roots { reason };
    let mut store = RootCertStore::empty();
    match roots_pem {
        Some(text) => {
            for root in CertificateDer::pem_slice_iter(text.as_bytes()) {
                let root = root.map_err(|error| refuse(error.to_string()))?;
                store.add(root).map_err(|error| refuse(error.to_string()))?;
            }
        }
        None => {
            store.add_parsable_certificates(system_roots().into_iter().map(CertificateDer::from));
        }
    }
    if store.is_empty() {
        return Err(refuse(match roots_pem {
            Some(_) => "the provider's roots hold no certificate".into(),
            None => "this system has none: give the provider roots of its own".into(),
        }));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(error.to_string()))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

fn unreachable(fetch: &Fetch, reason: &str) -> OutboundError {
    OutboundError::Unreachable {
        url: fetch.url.clone(),
        reason: reason.into(),
    }
}

/// How long a fetch takes at most, from the name to the last byte. Somebody waits for it with a request of their own.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer, and the URL of a document on it.
    fn answering(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys?v=1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    fn get(url: &str, roots_pem: Option<String>) -> Result<Vec<u8>, OutboundError> {
        let url = url.to_owned();
        HttpOutbound::default().get(&Fetch {
            url,
            roots_pem,
            bytes_max: 8,
        })
    }

    #[test]
    fn a_document_is_fetched_up_to_its_limit() {
        let answer = |body: &str| {
            answering(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
        };
        assert_eq!(get(&answer("12345678"), None).unwrap(), b"12345678");
        let refused = get(&answer("123456789"), None).unwrap_err();
        assert!(
            matches!(refused, OutboundError::TooLong { limit: 8, .. }),
            "{refused}"
        );
    }

    #[test]
    fn redirects_and_errors_are_no_documents() {
        for status in [
            "302 Found\r\nlocation: http://127.0.0.1:1/",
            "404 Not Found",
        ] {
            let url = answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
            let refused = get(&url, None).unwrap_err();
            assert!(matches!(refused, OutboundError::Status { .. }), "{refused}");
        }
        let nobody = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/keys", listener.local_addr().unwrap())
        };
        let refused = get(&nobody, None).unwrap_err();
        assert!(
            matches!(refused, OutboundError::Unreachable { .. }),
            "{refused}"
        );
    }

    #[test]
    fn plain_http_goes_no_further_than_this_machine() {
        for url in [
            "http://keys.example/",
            "http://192.0.2.1/",
            "http://localhost.example/",
            "http://user@127.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "keys",
        ] {
            let refused = get(url, None).unwrap_err();
            assert!(
                matches!(refused, OutboundError::Url { .. }),
                "{url} {refused}"
            );
        }
    }

    #[test]
    fn a_provider_with_roots_that_are_none_is_not_believed_by_others() {
        for roots in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let refused = get("https://127.0.0.1:1/", Some(roots.into())).unwrap_err();
            assert!(matches!(refused, OutboundError::Roots { .. }), "{refused}");
        }
    }
}
