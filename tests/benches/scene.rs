//! A home in this process: a service on a store, with a role that certificates can be traded for.

use bowline_service::{
    Caller, Clock, CreateRole, Entropy, Initialize, IssueCertificate, IssuedCertificate, KeySpec,
    Operation, PrivateKey, Service, SessionAsk, Store, SystemClock, SystemEntropy, Time, UnsealKey,
    certification_request,
};
use bowline_store::MemoryStore;
use bowline_store_sled::{SledOptions, SledStore};
use std::sync::Arc;
use tempfile::TempDir;

/// The role in the certificates.
pub const ROLE: &str = "s3-reader";

/// An initialized home. The directory, if there is one, goes with it.
pub struct Scene {
    pub service: Arc<Service>,
    pub role_arn: String,
    // Last: the store closes before its directory goes.
    _directory: Option<TempDir>,
}

/// A certificate with its key.
pub struct Leaf {
    pub key: PrivateKey,
    pub issued: IssuedCertificate,
}

impl Scene {
    /// On the embedded engine, in a directory of this disk.
    pub fn durable() -> Scene {
        let directory = directory();
        let store = SledStore::open(directory.path(), &SledOptions::server());
        let store = store.expect("an empty directory becomes a store");
        Scene::on(Arc::new(store), Some(directory))
    }

    /// On the memory engine.
    pub fn in_memory() -> Scene {
        Scene::on(Arc::new(MemoryStore::new()), None)
    }

    /// On any engine.
    pub fn on(store: Arc<dyn Store>, directory: Option<TempDir>) -> Scene {
        let entropy = SystemEntropy;
        let (unseal, _) = UnsealKey::generate(&entropy as &dyn Entropy);
        let service = Service::new(
            store,
            Arc::new(SystemClock),
            Arc::new(entropy),
            Some(unseal),
        );
        let initialize = Initialize {
            name: "Bench".into(),
            url: None,
            account: "123456789012".into(),
            region: "us-east-1".into(),
            issuing_p384: false,
            offline_root: None,
        };
        let role = CreateRole {
            name: ROLE.into(),
            allow: vec!["s3:GetObject".into(), "s3:ListBucket".into()],
            on: vec!["arn:aws:s3:::data".into(), "arn:aws:s3:::data/*".into()],
            ..CreateRole::default()
        };
        let made = initialize.run(&service, &Caller::Operator);
        made.expect("an empty store becomes a home");
        let role = role.run(&service, &Caller::Operator);
        let role_arn = role.expect("the role is new").arn;
        Scene {
            service: Arc::new(service),
            role_arn,
            _directory: directory,
        }
    }

    /// Issues a workload certificate with the role.
    pub fn leaf(&self, name: &str) -> Leaf {
        let key = PrivateKey::generate(KeySpec::P256).expect("a key can be generated");
        let csr = certification_request(&key).expect("a fresh key signs");
        let issued = request(name, &csr).run(&self.service, &Caller::Operator);
        Leaf {
            key,
            issued: issued.expect("the operator may issue"),
        }
    }

    /// The question of an exchange for the role.
    pub fn ask(&self, leaf: &Leaf) -> SessionAsk {
        SessionAsk {
            role_arn: self.role_arn.clone(),
            profile_arn: leaf.issued.profile.clone(),
            trust_anchor_arn: leaf.issued.trust_anchor.clone(),
            duration_seconds: None,
            role_session_name: None,
        }
    }
}

/// A request for a workload certificate with the role and one name.
pub fn request(name: &str, csr: &[u8]) -> IssueCertificate {
    IssueCertificate {
        name: name.into(),
        names: vec![format!("{name}.internal.example")],
        roles: vec![ROLE.into()],
        not_before: None,
        not_after: None,
        certificate_profile: "workload".into(),
        csr: csr.to_vec(),
    }
}

/// A directory on the disk of the build, which unlike `/tmp` is never memory.
pub fn directory() -> TempDir {
    let beside = bowline_tests::target_directory().join("tmp");
    let made = std::fs::create_dir_all(&beside).and_then(|()| TempDir::new_in(&beside));
    made.expect("the build directory is writable")
}

/// The clock everything here goes by.
pub fn now() -> Time {
    SystemClock.now()
}
