//! A home in memory with a clock that the test moves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bowline_service::{
    Caller, Clock, CreateRole, CreateSession, Entropy, Error, Initialize, Initialized,
    IssueCertificate, IssuedCertificate, KeySpec, OfflineRoot, Operation, PrivateKey, Service,
    SessionAsk, SessionCredentials, Time, UnsealKey, WireRequest, certification_request,
    session_request, sign_request,
};
use bowline_store::{MemoryStore, Store};

/// A clock that stands still until it is moved.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn at(seconds: i64) -> TestClock {
        TestClock(AtomicI64::new(seconds))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        chrono::DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
    }
}

/// Bytes that repeat from run to run and never within one.
struct TestEntropy(Mutex<u64>);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut counter = self.0.lock().unwrap();
        for chunk in bytes.chunks_mut(32) {
            *counter += 1;
            let digest =
                aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &counter.to_be_bytes());
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    }
}

/// A home, its clock, and what `init` said.
pub struct World {
    pub service: Service,
    pub store: Arc<MemoryStore>,
    pub clock: Arc<TestClock>,
    pub made: Initialized,
    entropy: Arc<TestEntropy>,
    unseal: UnsealKey,
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

pub fn initialize() -> Initialize {
    Initialize {
        name: "Test".into(),
        url: Some("http://ca.test".into()),
        account: "000000000000".into(),
        region: "us-east-1".into(),
        issuing_p384: false,
        offline_root: None,
    }
}

impl World {
    pub fn new() -> World {
        World::made_by(initialize())
    }

    pub fn new_with_offline_root() -> World {
        let key = PrivateKey::generate(KeySpec::P384).unwrap();
        World::made_by(Initialize {
            offline_root: Some(OfflineRoot { key }),
            ..initialize()
        })
    }

    fn made_by(initialize: Initialize) -> World {
        let clock = Arc::new(TestClock::at(1_790_000_000));
        let entropy = Arc::new(TestEntropy(Mutex::new(0)));
        let (unseal, _) = UnsealKey::generate(&*entropy);
        let store = Arc::new(MemoryStore::new());
        let service = Service::new(
            store.clone(),
            clock.clone(),
            entropy.clone(),
            Some(unseal.clone()),
        );
        let made = initialize.run(&service, &Caller::Operator).unwrap();
        World {
            service,
            store,
            clock,
            made,
            entropy,
            unseal,
        }
    }

    /// The same home, which fetches what identity providers publish.
    pub fn with_outbound(self, outbound: Arc<dyn bowline_service::Outbound>) -> World {
        World {
            service: self.service.with_outbound(outbound),
            ..self
        }
    }

    /// A new process on some store, which remembers nothing.
    pub fn service_on(&self, store: Arc<dyn Store>) -> Service {
        Service::new(
            store,
            self.clock.clone(),
            self.entropy.clone(),
            Some(self.unseal.clone()),
        )
    }

    /// The same home on another store: a new process, which remembers nothing.
    pub fn on(&self, store: Arc<MemoryStore>) -> World {
        let service = self.service_on(store.clone());
        World {
            service,
            store,
            clock: self.clock.clone(),
            made: self.made.clone(),
            entropy: self.entropy.clone(),
            unseal: self.unseal.clone(),
        }
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
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

    pub fn ask_for(&self, name: &str, roles: &[&str], key: &PrivateKey) -> IssueCertificate {
        IssueCertificate {
            name: name.into(),
            names: vec![format!("{name}.test")],
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            not_before: None,
            not_after: None,
            certificate_profile: "workload".into(),
            csr: certification_request(key).unwrap(),
        }
    }

    pub fn issue(&self, name: &str, roles: &[&str]) -> Holder {
        let key = PrivateKey::generate(KeySpec::P256).unwrap();
        let issued = self
            .ask_for(name, roles, &key)
            .run(&self.service, &Caller::Operator)
            .unwrap();
        Holder { key, issued }
    }

    pub fn session_ask(&self, holder: &Holder, role: &str) -> SessionAsk {
        SessionAsk {
            role_arn: format!("arn:aws:iam::000000000000:role/{role}"),
            profile_arn: holder.issued.profile.clone(),
            trust_anchor_arn: holder.issued.trust_anchor.clone(),
            duration_seconds: None,
            role_session_name: None,
        }
    }

    pub fn exchange(&self, holder: &Holder, role: &str) -> Result<SessionCredentials, Error> {
        self.exchange_as(holder, &self.session_ask(holder, role))
    }

    pub fn exchange_as(
        &self,
        holder: &Holder,
        ask: &SessionAsk,
    ) -> Result<SessionCredentials, Error> {
        let request = session_request(
            ask,
            "ca.test",
            &holder.certificates(),
            &holder.key,
            "us-east-1",
            self.clock.now(),
        )?;
        self.send(request)
    }

    pub fn send(&self, request: WireRequest) -> Result<SessionCredentials, Error> {
        CreateSession { request }.run(
            &self.service,
            &Caller::Nobody {
                source: Some([127, 0, 0, 1].into()),
            },
        )
    }

    /// A GET of an object, signed with credentials.
    pub fn signed_get(&self, credentials: &SessionCredentials) -> WireRequest {
        let mut request = WireRequest {
            method: "GET".into(),
            target: "/data/report.csv".into(),
            headers: vec![("host".into(), "s3.test".into())],
            body: Vec::new(),
        };
        sign_request(
            &mut request,
            credentials,
            "us-east-1",
            "s3",
            self.clock.now(),
        )
        .unwrap();
        request
    }

    /// A request to the control plane, signed with credentials.
    pub fn signed_call(&self, credentials: &SessionCredentials) -> WireRequest {
        let mut request = WireRequest {
            method: "POST".into(),
            target: "/v1/list-certificates".into(),
            headers: vec![("host".into(), "ca.test".into())],
            body: b"{}".to_vec(),
        };
        sign_request(
            &mut request,
            credentials,
            "us-east-1",
            "bowline",
            self.clock.now(),
        )
        .unwrap();
        request
    }
}
