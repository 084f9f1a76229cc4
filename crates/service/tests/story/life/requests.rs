//! What one request is told, and what it costs.

use super::*;

#[test]
fn what_is_wrong_is_told_in_the_order_of_aws() {
    let world = World::new();
    let (holder, credentials) = reader(&world);
    let neighbour = world.exchange(&holder, "reader").unwrap();
    type Headers = Vec<(String, String)>;
    let ask = |credentials: &SessionCredentials, spoil: &dyn Fn(&mut Headers)| {
        let mut request = world.signed_call(credentials);
        spoil(&mut request.headers);
        let caller = world.service.identify(&request, &Channel::default());
        code(caller.err().expect("a refusal"))
    };
    let spoil_signature = |headers: &mut Headers| {
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("authorization") {
                let end = if value.ends_with('0') { "1" } else { "0" };
                value.replace_range(value.len() - 1.., end);
            }
        }
    };
    // The signature alone.
    assert_eq!(ask(&credentials, &spoil_signature), "signature_mismatch");
    // A token of another session comes before the signature.
    let swapped = SessionCredentials {
        session_token: neighbour.session_token.clone(),
        ..credentials.clone()
    };
    assert_eq!(
        ask(&swapped, &spoil_signature),
        "session_token_not_authentic"
    );
    // So does a key that there never was.
    let unknown = SessionCredentials {
        access_key_id: "ASIA7777777777777777".into(),
        ..credentials.clone()
    };
    assert_eq!(ask(&unknown, &spoil_signature), "unknown_session_key");
    // Whether it was revoked is told only to who signs rightly.
    let by_role = RevokeSessions {
        role: Some("reader".into()),
        ..RevokeSessions::default()
    };
    revoke(&world, by_role).unwrap();
    assert_eq!(ask(&credentials, &spoil_signature), "signature_mismatch");
    assert_eq!(ask(&credentials, &|_| {}), "session_revoked");
    // The date comes before everything.
    let request = world.signed_call(&swapped);
    world.pass(3_600);
    let late = world.service.identify(&request, &Channel::default());
    assert_eq!(code(late.err().unwrap()), "request_expired");
    // An expired token comes before the signature.
    assert_eq!(ask(&credentials, &spoil_signature), "session_expired");
}

#[test]
fn a_certificate_that_is_only_shown_is_somebody_to_sts_and_nobody_else() {
    let world = World::new();
    let (holder, _) = reader(&world);
    let channel = Channel {
        source: None,
        client_certificates: holder.certificates(),
    };
    let request = WireRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("host".into(), "sts.test".into())],
        body: b"Action=GetSessionToken&Version=2011-06-15".to_vec(),
    };
    let caller = world.service.identify(&request, &channel).unwrap();
    assert!(matches!(caller, Caller::Nobody { .. }));
    match world.service.identify_for_sts(&request, &channel).unwrap() {
        Caller::Certificate { leaf, .. } => assert_eq!(leaf.der(), holder.issued.certificate),
        _ => panic!("a certificate"),
    }
    let nobody = world
        .service
        .identify_for_sts(&request, &Channel::default());
    assert!(matches!(nobody, Ok(Caller::Nobody { .. })));
}

#[test]
fn bound_credentials_count_beside_their_certificate_only() {
    let world = World::new();
    let (holder, before) = reader(&world);
    let other = world.issue("web-2", &["reader"]);
    let update = UpdateProfile {
        profile: "default".into(),
        sender_constrained: Some(true),
        ..UpdateProfile::default()
    };
    update.run(&world.service, &OPERATOR).unwrap();
    let bound = world.exchange(&holder, "reader").unwrap();
    let over = |holder: &Holder| Channel {
        source: None,
        client_certificates: holder.certificates(),
    };
    accepted_over(&world, &bound, &over(&holder)).unwrap();
    let refusal = refused("session_certificate_not_shown");
    assert_eq!(accepted(&world, &bound), refusal);
    assert_eq!(accepted_over(&world, &bound, &over(&other)), refusal);
    // Those from before are free, and the certificate of somebody else does no harm to them.
    accepted(&world, &before).unwrap();
    accepted_over(&world, &before, &over(&other)).unwrap();
}

/// Counts the reads.
struct Counted {
    store: Arc<MemoryStore>,
    gets: AtomicUsize,
    scans: AtomicUsize,
}

impl Store for Counted {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.store.scan(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.store.commit(commit)
    }

    fn checkpoint(
        &self,
        output: &mut dyn std::io::Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bowline_store::checkpoint::Summary, bowline_store::CheckpointError> {
        self.store.checkpoint(output, progress)
    }

    fn examine(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<bowline_store::Finding>, StoreError> {
        self.store.examine(progress)
    }
}

#[test]
fn a_request_costs_four_reads_however_many_sessions_were_ended() {
    let world = World::new();
    let (holder, _) = reader(&world);
    for _ in 0..3 {
        let ended = world.exchange(&holder, "reader").unwrap();
        let ask = RevokeSessions {
            sessions: vec![ended.access_key_id],
            ..RevokeSessions::default()
        };
        revoke(&world, ask).unwrap();
    }
    let credentials = world.exchange(&holder, "reader").unwrap();
    let counted = Arc::new(Counted {
        store: world.store.clone(),
        gets: AtomicUsize::new(0),
        scans: AtomicUsize::new(0),
    });
    let service = world.service_on(counted.clone());
    let ask = || {
        let request = world.signed_call(&credentials);
        service.identify(&request, &Channel::default()).map(drop)
    };
    ask().unwrap();
    let before = counted.gets.swap(0, Ordering::SeqCst);
    assert!(before > 4 && counted.scans.swap(0, Ordering::SeqCst) > 0);
    ask().unwrap();
    // The session keys, whether sessions were ended, the certificate, the trust anchor.
    assert_eq!(counted.gets.load(Ordering::SeqCst), 4);
    assert_eq!(counted.scans.load(Ordering::SeqCst), 0);
}

#[test]
fn the_log_is_not_read_for_whoever_may_not_end_sessions() {
    let world = World::new();
    let (_, credentials) = reader(&world);
    let counted = Arc::new(Counted {
        store: world.store.clone(),
        gets: AtomicUsize::new(0),
        scans: AtomicUsize::new(0),
    });
    let service = world.service_on(counted.clone());
    let request = world.signed_call(&credentials);
    let caller = service.identify(&request, &Channel::default()).unwrap();
    counted.scans.store(0, Ordering::SeqCst);
    let named = [
        RevokeSessions {
            sessions: vec!["ASIAAAAAAAAAAAAAAAAA".into()],
            ..RevokeSessions::default()
        },
        RevokeSessions {
            certificate: Some("ab".repeat(32)),
            ..RevokeSessions::default()
        },
    ];
    for ask in named {
        let ask = RevokeSessions {
            reason: "test".into(),
            ..ask
        };
        assert_eq!(
            code(ask.run(&service, &caller).unwrap_err()),
            "not_authorized"
        );
    }
    assert_eq!(counted.scans.load(Ordering::SeqCst), 0);
}
