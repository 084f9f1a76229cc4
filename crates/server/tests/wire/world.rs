//! A home in memory behind a server on real sockets, with a clock and a store that the test holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bowline_server::{Config, Endpoint, Limits, Running, Signing, TransportError, Trust};
use bowline_service::{
    CONTROL_SERVICE, Caller, Clock, CreateRole, Initialize, Initialized, IssueCertificate,
    IssuedCertificate, KeySpec, Operation, PrivateKey, RevocationReason, RevokeCertificate,
    Service, SessionAsk, SessionCredentials, SystemClock, SystemEntropy, Time, UnsealKey,
    WireRequest, certification_request, session_request, sign_request,
};

use crate::stage::Stage;

pub const REGION: &str = "us-east-1";

/// The system's clock, moved.
pub struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> Time {
        SystemClock.now() + chrono::TimeDelta::seconds(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub service: Arc<Service>,
    pub clock: Arc<MovedClock>,
    pub stage: Arc<Stage>,
    pub made: Initialized,
    pub running: Option<Running>,
    pub folder: tempfile::TempDir,
}

/// A certificate with its key.
pub struct Holder {
    pub key: PrivateKey,
    pub issued: IssuedCertificate,
}

impl Holder {
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        let mut all = vec![self.issued.certificate.clone()];
        all.extend(self.issued.chain.clone());
        all
    }
}

/// Limits that a test does not wait long for.
pub fn short() -> Limits {
    Limits {
        header_time: Duration::from_millis(400),
        body_time: Duration::from_millis(400),
        idle_time: Duration::from_millis(600),
        drain_time: Duration::from_secs(2),
        leave_time: Duration::from_secs(1),
        ..Limits::default()
    }
}

impl World {
    pub fn new() -> World {
        World::within(Limits::default())
    }

    pub fn within(limits: Limits) -> World {
        let mut world = World::silent();
        world.serve(limits);
        world
    }

    /// A home that is not served yet.
    pub fn silent() -> World {
        World::made(0)
    }

    /// A home that was made so many seconds ago, and lives then.
    pub fn made(ago: i64) -> World {
        let clock = Arc::new(MovedClock(AtomicI64::new(-ago)));
        let stage = Arc::new(Stage::default());
        let entropy = Arc::new(SystemEntropy);
        let (unseal, _) = UnsealKey::generate(&*entropy);
        let service = Arc::new(Service::new(
            stage.clone(),
            clock.clone(),
            entropy,
            Some(unseal),
        ));
        let made = Initialize {
            name: "Test".into(),
            url: Some("http://ca.test".into()),
            account: "000000000000".into(),
            region: REGION.into(),
            issuing_p384: false,
            offline_root: None,
        }
        .run(&service, &Caller::Operator)
        .unwrap();
        let world = World {
            service,
            clock,
            stage,
            made,
            running: None,
            folder: tempfile::tempdir().unwrap(),
        };
        world.role("reader");
        world
    }

    pub fn config(&self) -> Config {
        let any = Some(([127, 0, 0, 1], 0).into());
        Config {
            tls: any,
            plain: any,
            control_socket: Some(self.socket()),
            names: vec!["127.0.0.1".into(), "localhost".into()],
            publish_events: false,
        }
    }

    pub fn serve(&mut self, limits: Limits) {
        let running = bowline_server::serve_within(self.service.clone(), self.config(), limits);
        self.running = Some(running.unwrap());
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// `127.0.0.1:PORT` of plain HTTP.
    pub fn plain(&self) -> String {
        self.running.as_ref().unwrap().plain.unwrap().to_string()
    }

    /// `127.0.0.1:PORT` of TLS.
    pub fn tls(&self) -> String {
        self.running.as_ref().unwrap().tls.unwrap().to_string()
    }

    pub fn root(&self) -> Vec<u8> {
        self.made.authorities[0].certificate.clone()
    }

    pub fn control(&self) -> Endpoint {
        Endpoint::ControlSocket(self.socket())
    }

    pub fn endpoint(&self) -> Endpoint {
        let trust = Trust::Roots(vec![self.root()]);
        Endpoint::parse(&format!("https://{}", self.tls()), Some(trust)).unwrap()
    }

    pub fn role(&self, name: &str) {
        let role = CreateRole {
            name: name.into(),
            allow: vec!["s3:GetObject".into()],
            on: vec!["arn:aws:s3:::data/*".into()],
            ..CreateRole::default()
        };
        role.run(&self.service, &Caller::Operator).unwrap();
    }

    pub fn issue(&self, name: &str, role: &str) -> Holder {
        self.issue_as(name, role, "workload")
    }

    pub fn issue_as(&self, name: &str, role: &str, certificate_profile: &str) -> Holder {
        let key = PrivateKey::generate(KeySpec::P256).unwrap();
        let issued = IssueCertificate {
            name: name.into(),
            names: Vec::new(),
            roles: vec![role.into()],
            not_before: None,
            not_after: None,
            certificate_profile: certificate_profile.into(),
            csr: certification_request(&key).unwrap(),
        }
        .run(&self.service, &Caller::Operator)
        .unwrap();
        Holder { key, issued }
    }

    pub fn revoke(&self, name: &str) {
        let revoke = RevokeCertificate {
            certificate: name.into(),
            reason: RevocationReason::KeyCompromise,
        };
        let revoked = revoke.run(&self.service, &Caller::Operator).unwrap();
        assert_eq!(revoked.revoked.len(), 1);
    }

    pub fn ask(&self, holder: &Holder, role: &str) -> SessionAsk {
        SessionAsk {
            role_arn: role_arn(role),
            profile_arn: holder.issued.profile.clone(),
            trust_anchor_arn: holder.issued.trust_anchor.clone(),
            duration_seconds: None,
            role_session_name: None,
        }
    }

    /// A signed CreateSession for a server at `host`.
    pub fn session_request(&self, holder: &Holder, ask: &SessionAsk, host: &str) -> WireRequest {
        let certificates = holder.certificates();
        session_request(
            ask,
            host,
            &certificates,
            &holder.key,
            REGION,
            self.clock.now(),
        )
        .unwrap()
    }

    /// Credentials, without the wire.
    pub fn exchange(&self, holder: &Holder, role: &str) -> SessionCredentials {
        let request = self.session_request(holder, &self.ask(holder, role), "ca.test");
        let caller = Caller::Nobody { source: None };
        bowline_service::CreateSession { request }
            .run(&self.service, &caller)
            .unwrap()
    }

    /// What an administrator signs with.
    pub fn administrator(&self) -> ByCredentials<'_> {
        let holder = self.issue_as("boss", "administrator", "operator");
        let credentials = self.exchange(&holder, "administrator");
        ByCredentials(self, credentials)
    }

    /// A request with credentials' signature.
    pub fn signed(
        &self,
        request: WireRequest,
        credentials: &SessionCredentials,
        service: &str,
    ) -> WireRequest {
        let mut request = request;
        sign_request(&mut request, credentials, REGION, service, self.clock.now()).unwrap();
        request
    }
}

pub fn role_arn(role: &str) -> String {
    format!("arn:aws:iam::000000000000:role/{role}")
}

pub fn post(target: &str, host: &str, body: impl Into<Vec<u8>>) -> WireRequest {
    WireRequest {
        method: "POST".into(),
        target: target.into(),
        headers: vec![("host".into(), host.into())],
        body: body.into(),
    }
}

/// Signs with temporary credentials, as the command line does.
pub struct ByCredentials<'a>(pub &'a World, pub SessionCredentials);

impl Signing for ByCredentials<'_> {
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError> {
        let ByCredentials(world, credentials) = self;
        sign_request(
            request,
            credentials,
            REGION,
            CONTROL_SERVICE,
            world.clock.now(),
        )
        .map_err(|error| TransportError::Signing {
            reason: error.to_string(),
        })
    }
}

/// The values of a JSON object, by their dotted paths.
pub fn flat(value: &serde_json::Value) -> BTreeMap<String, serde_json::Value> {
    fn walk(
        path: String,
        value: &serde_json::Value,
        into: &mut BTreeMap<String, serde_json::Value>,
    ) {
        let join = |name: &str| format!("{path}.{name}").trim_start_matches('.').to_owned();
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    walk(join(name), value, into);
                }
            }
            serde_json::Value::Array(items) => {
                for (place, value) in items.iter().enumerate() {
                    walk(join(&place.to_string()), value, into);
                }
            }
            value => {
                into.insert(path, value.clone());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(String::new(), value, &mut into);
    into
}
