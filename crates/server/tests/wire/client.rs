//! A client without mercy: writes bytes as they are, reads answers as they come.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline_service::WireRequest;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

pub trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

/// A connection that speaks HTTP/1.1, or anything else.
pub struct Raw {
    stream: Box<dyn Duplex>,
    unread: Vec<u8>,
}

/// How long a test waits for a byte before it calls the server dead.
const PATIENCE: Duration = Duration::from_secs(10);

impl Raw {
    pub fn plain(address: &str) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw::over(stream)
    }

    pub fn unix(path: &Path) -> Raw {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw::over(stream)
    }

    pub fn tls(address: &str, root: &[u8]) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw::over(handshake(stream, "127.0.0.1", tls_config(root, &[])).unwrap())
    }

    pub fn over(stream: impl Read + Write + 'static) -> Raw {
        Raw {
            stream: Box::new(stream),
            unread: Vec::new(),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> &mut Raw {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
        self
    }

    /// Writes what the server takes; it may have hung up.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next answer, if there is one.
    pub fn try_read(&mut self) -> io::Result<Reply> {
        self.try_read_of("POST")
    }

    pub fn try_read_of(&mut self, method: &str) -> io::Result<Reply> {
        let head = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break self.unread.drain(..end + 4).collect::<Vec<u8>>();
            }
            self.fill()?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply {
            status: status.parse().unwrap(),
            headers,
            body: Vec::new(),
        };
        let length = match method {
            "HEAD" => 0,
            _ => reply.header("content-length").parse().unwrap_or(0),
        };
        while self.unread.len() < length {
            self.fill()?;
        }
        reply.body = self.unread.drain(..length).collect();
        Ok(reply)
    }

    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap()
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    /// Everything up to where the server hung up.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok() {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the server has hung up, nothing more being said.
    pub fn ended(&mut self) -> bool {
        match self.fill() {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Sends a request with its length and reads the answer.
    pub fn send(&mut self, request: &WireRequest) -> Reply {
        self.write(&bytes_of(request));
        self.try_read_of(&request.method).unwrap()
    }
}

/// A request as HTTP/1.1 writes it.
pub fn bytes_of(request: &WireRequest) -> Vec<u8> {
    let mut bytes = head_of(request);
    bytes.extend(format!("content-length: {}\r\n\r\n", request.body.len()).bytes());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// The same in chunks of a few bytes.
pub fn chunked(request: &WireRequest) -> Vec<u8> {
    let mut bytes = head_of(request);
    bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    for chunk in request.body.chunks(7) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

pub fn head_of(request: &WireRequest) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

pub fn get(address: &str, target: &str) -> Reply {
    request(address, "GET", target)
}

pub fn request(address: &str, method: &str, target: &str) -> Reply {
    let mut raw = Raw::plain(address);
    raw.write(format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes());
    raw.try_read_of(method).unwrap()
}

pub fn send(address: &str, request: &WireRequest) -> Reply {
    Raw::plain(address).send(request)
}

pub fn tls_config(root: &[u8], protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

pub fn handshake(
    mut stream: TcpStream,
    name: &str,
    config: ClientConfig,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Sends requests over one HTTP/2 connection, TLS where there is a root.
pub fn send_http2(address: &str, root: Option<&[u8]>, requests: &[WireRequest]) -> Vec<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        match root {
            None => http2(TokioIo::new(tcp), "http", address, requests).await,
            Some(root) => {
                let config = Arc::new(tls_config(root, &[b"h2"]));
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let connector = tokio_rustls::TlsConnector::from(config);
                let stream = connector.connect(name, tcp).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                http2(TokioIo::new(stream), "https", address, requests).await
            }
        }
    })
}

async fn http2<T>(io: T, scheme: &str, address: &str, requests: &[WireRequest]) -> Vec<Reply>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let mut replies = Vec::new();
    for request in requests {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{scheme}://{address}{}", request.target));
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
            builder = builder.header(name, value);
        }
        let message = builder.body(Full::new(Bytes::from(request.body.clone())));
        let response = sender.send_request(message.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        replies.push(Reply {
            status: parts.status.as_u16(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        });
    }
    drop(sender);
    driver.abort();
    replies
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
