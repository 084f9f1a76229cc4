//! A home in memory, credentials of a batch host, and a service that remembers what came to it.

use std::sync::{Arc, Mutex};

use bowline_guard::{Allowed, BodyRefused, GuardLayer, GuardedBody, Identity};
use bowline_server::{Config, Running};
use bowline_service::{
    Caller, Clock, CreateRole, CreateSession, Initialize, IssueCertificate, KeySpec, Operation,
    PrivateKey, Service, SessionAsk, SessionCredentials, SystemClock, SystemEntropy, UnsealKey,
    WireRequest, certification_request, pem_of, presigned_url, session_request, sign_request,
};
use bowline_sigv4::{Body, Credentials, SignedRequest, sign_hmac, signing_key};
use bowline_store::MemoryStore;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tower::{Layer, Service as _};

pub struct World {
    pub service: Arc<Service>,
    credentials: SessionCredentials,
    running: Option<Running>,
}

const BATCH: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/batch/*"},
    {"Effect":"Allow","Action":"jobs:Start","Resource":"*"}]}"#;

const STORAGE: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"bowline:GetSigningKey","Resource":"*"}]}"#;

impl World {
    pub fn new() -> World {
        let entropy = Arc::new(SystemEntropy);
        let (unseal, _) = UnsealKey::generate(&*entropy);
        let store = Arc::new(MemoryStore::new());
        let service = Service::new(store, Arc::new(SystemClock), entropy, Some(unseal));
        let initialize = Initialize {
            name: "Test".into(),
            url: None,
            account: "000000000000".into(),
            region: "us-east-1".into(),
            issuing_p384: false,
            offline_root: None,
        };
        initialize.run(&service, &Caller::Operator).unwrap();
        for (name, policy) in [("batch", BATCH), ("storage", STORAGE)] {
            let role = CreateRole {
                name: name.into(),
                policy: Some(policy.into()),
                ..CreateRole::default()
            };
            role.run(&service, &Caller::Operator).unwrap();
        }
        let (issued, key) = issue(&service, "batch-1", "batch");
        let ask = SessionAsk {
            role_arn: "arn:aws:iam::000000000000:role/batch".into(),
            profile_arn: issued.profile,
            trust_anchor_arn: issued.trust_anchor,
            duration_seconds: None,
            role_session_name: None,
        };
        let mut certificates = vec![issued.certificate];
        certificates.extend(issued.chain);
        let now = SystemClock.now();
        let request = session_request(&ask, "ca.test", &certificates, &key, "us-east-1", now);
        let exchange = CreateSession {
            request: request.unwrap(),
        };
        let credentials = exchange.run(&service, &Caller::Nobody { source: None });
        World {
            credentials: credentials.unwrap(),
            service: Arc::new(service),
            running: None,
        }
    }

    /// The same behind a server on this machine.
    pub fn served() -> World {
        let mut world = World::new();
        let any = Some(([127, 0, 0, 1], 0).into());
        let config = Config {
            tls: None,
            plain: any,
            control_socket: None,
            names: vec!["127.0.0.1".into()],
            publish_events: false,
        };
        world.running = Some(bowline_server::serve(world.service.clone(), config).unwrap());
        world
    }

    pub fn url(&self) -> String {
        let running = self.running.as_ref().expect("it is served");
        format!("http://{}", running.plain.expect("plain HTTP is served"))
    }

    /// A certificate of a relying service.
    pub fn identity(&self, name: &str) -> Identity {
        let (issued, key) = issue(&self.service, name, "storage");
        let mut certificates = vec![issued.certificate];
        certificates.extend(issued.chain);
        let certificates = pem_of(&certificates);
        Identity::from_pem(certificates.as_bytes(), key.to_pem().as_bytes(), None).unwrap()
    }

    pub fn signed(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Request<Full<Bytes>> {
        self.signed_as(("s3", "s3.test"), method, target, headers, body)
    }

    #[cfg(feature = "s3s")]
    pub fn signed_at(&self, host: &str, method: &str, target: &str) -> Request<Full<Bytes>> {
        self.signed_as(("s3", host), method, target, &[], b"")
    }

    pub fn signed_for(
        &self,
        service: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Request<Full<Bytes>> {
        self.signed_as((service, "jobs.test"), method, target, &[], body)
    }

    fn signed_as(
        &self,
        (service, host): (&str, &str),
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Request<Full<Bytes>> {
        let mut request = WireRequest {
            method: method.into(),
            target: target.into(),
            headers: vec![("host".into(), host.into())],
            body: body.to_vec(),
        };
        for (name, value) in headers {
            request.headers.push(((*name).into(), (*value).into()));
        }
        let now = SystemClock.now();
        sign_request(&mut request, &self.credentials, "us-east-1", service, now).unwrap();
        of(&request.method, &request.target, &request.headers, body)
    }

    pub fn presigned(&self, method: &str, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
        let now = SystemClock.now();
        let url = format!("https://s3.test{path}");
        let minute = chrono::TimeDelta::minutes(1);
        let url = presigned_url(
            method,
            &url,
            &self.credentials,
            "us-east-1",
            "s3",
            minute,
            now,
        );
        let url = url.unwrap();
        let target = url.strip_prefix("https://s3.test").unwrap();
        of(method, target, &[("host".into(), "s3.test".into())], body)
    }
}

fn issue(
    service: &Service,
    name: &str,
    role: &str,
) -> (bowline_service::IssuedCertificate, PrivateKey) {
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let issue = IssueCertificate {
        name: name.into(),
        names: Vec::new(),
        roles: vec![role.into()],
        not_before: None,
        not_after: None,
        certificate_profile: "workload".into(),
        csr: certification_request(&key).unwrap(),
    };
    (issue.run(service, &Caller::Operator).unwrap(), key)
}

fn of(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    bytes: &[u8],
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body(bytes)).unwrap()
}

pub fn body(bytes: &[u8]) -> Full<Bytes> {
    Full::from(bytes.to_vec())
}

/// An upload in signed chunks, changed on its way.
pub fn chunked(
    world: &World,
    chunks: &[&[u8]],
    change: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> Request<Full<Bytes>> {
    let credentials = &world.credentials;
    let length = chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
    let mut headers: Vec<(String, String)> = vec![
        ("host".into(), "s3.test".into()),
        ("content-encoding".into(), "aws-chunked,gzip".into()),
        (
            "x-amz-content-sha256".into(),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into(),
        ),
        ("x-amz-decoded-content-length".into(), length.to_string()),
    ];
    let now = SystemClock.now();
    let secret = credentials.secret_access_key.reveal();
    let signing = Credentials {
        access_key_id: &credentials.access_key_id,
        secret,
        session_token: Some(credentials.session_token.reveal()),
    };
    let request = SignedRequest::new("PUT", "/data/batch/a", &headers, Body::Unknown);
    let added = sign_hmac(&request, &signing, "us-east-1", "s3", now).unwrap();
    headers.extend(added);
    let value = |name: &str| {
        let mut found = headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().expect("the signature added it").1.clone()
    };
    let date = value("x-amz-date");
    let authorization = value("authorization");
    let mut seed = authorization
        .rsplit_once("Signature=")
        .unwrap()
        .1
        .to_owned();
    let day = &date[..8];
    let key = signing_key(secret, day, "us-east-1", "s3");
    let hash =
        |bytes: &[u8]| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes));
    let mut body = Vec::new();
    for chunk in chunks.iter().chain([&&b""[..]]) {
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{day}/us-east-1/s3/aws4_request\n{seed}\n{}\n{}",
            hash(b""),
            hash(chunk)
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        seed = hex::encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()));
        body.extend(format!("{:x};chunk-signature={seed}\r\n", chunk.len()).bytes());
        body.extend(*chunk);
        body.extend(b"\r\n");
    }
    of("PUT", "/data/batch/a", &headers, &change(body))
}

/// What the service behind saw.
pub struct Seen {
    pub uri: String,
    pub headers: HeaderMap,
    pub allowed: Option<Allowed>,
    /// As far as it came.
    pub body: Vec<u8>,
}

/// What became of a request.
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
    pub seen: Option<Seen>,
}

/// A service that reads what it gets, and says so.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Option<Seen>>>);

impl tower::Service<Request<GuardedBody<Full<Bytes>>>> for Memory {
    type Response = Response<Full<Bytes>>;
    type Error = std::convert::Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<GuardedBody<Full<Bytes>>>) -> Self::Future {
        let memory = self.0.clone();
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            let mut seen = Seen {
                uri: parts.uri.to_string(),
                headers: parts.headers,
                allowed: parts.extensions.get::<Allowed>().cloned(),
                body: Vec::new(),
            };
            let mut status = StatusCode::OK;
            while let Some(frame) = body.frame().await {
                let frame: Result<_, BodyRefused> = frame;
                match frame {
                    Ok(frame) => seen.body.extend(frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        status = StatusCode::INTERNAL_SERVER_ERROR;
                        break;
                    }
                }
            }
            *memory.lock().unwrap() = Some(seen);
            let mut response = Response::new(Full::from("the service's own words"));
            *response.status_mut() = status;
            Ok(response)
        })
    }
}

/// Sends a request through a layer to such a service.
pub async fn send(layer: &GuardLayer, request: Request<Full<Bytes>>) -> Answer {
    let memory = Memory::default();
    let answer = layer.layer(memory.clone()).call(request).await;
    let (parts, body) = answer.unwrap().into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    let seen = memory.0.lock().unwrap().take();
    Answer {
        status: parts.status,
        text: String::from_utf8_lossy(&text).into_owned(),
        seen,
    }
}
