//! `POST /sessions`: what goes in, field by field what comes out, and what each refusal says.

use bowline_service::{
    Caller, CreateTrustAnchor, Operation, PrivateKey, SessionAsk, UpdateProfile, WireRequest,
    sign_request_with_certificate,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use crate::client::{Raw, Reply, chunked, send, send_http2};
use crate::world::{Holder, REGION, World, flat, post, role_arn};

fn exchange(world: &World, holder: &Holder, role: &str) -> Reply {
    let host = world.plain();
    send(
        &host,
        &world.session_request(holder, &world.ask(holder, role), &host),
    )
}

/// Status, error type, and how the message begins and ends.
fn check_refused(reply: &Reply, status: u16, kind: &str, start: &str, code: &str) {
    assert_eq!(
        (reply.status, reply.header("x-amzn-errortype")),
        (status, kind),
        "{reply:?}"
    );
    assert_eq!(reply.header("content-type"), "application/json");
    assert_uuid(reply.header("x-amzn-requestid"));
    let body = reply.json();
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with(start),
        "{message:?} does not start with {start:?}"
    );
    assert!(
        message.ends_with(&format!("[{code}]")),
        "{message:?} does not end with {code}"
    );
    assert_eq!(body["error"]["code"], code);
}

pub fn assert_uuid(text: &str) {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{text:?} is no UUID");
    assert!(
        text.bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
    );
}

#[test]
fn the_answer_has_every_field_that_clients_read() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let reply = exchange(&world, &holder, "reader");

    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_uuid(reply.header("x-amzn-requestid"));
    let serial = &holder.issued.serial;
    let mut fields = flat(&reply.json());
    let mut take = |path: &str| match fields.remove(path) {
        Some(value) => value,
        None => panic!("{path} is missing in {reply:?}"),
    };
    let set = "credentialSet.0";
    assert_eq!(
        take(&format!("{set}.assumedRoleUser.arn")),
        json!(format!(
            "arn:aws:sts::000000000000:assumed-role/reader/{serial}"
        ))
    );
    let role_id = take(&format!("{set}.assumedRoleUser.assumedRoleId"));
    let role_id = role_id.as_str().unwrap();
    assert!(
        role_id.starts_with("AROA") && role_id.ends_with(&format!(":{serial}")),
        "{role_id}"
    );
    let credential = |name: &str| format!("{set}.credentials.{name}");
    let access_key_id = take(&credential("accessKeyId"));
    let access_key_id = access_key_id.as_str().unwrap().to_owned();
    assert!(
        access_key_id.starts_with("ASIA") && access_key_id.len() == 20,
        "{access_key_id}"
    );
    assert_eq!(
        take(&credential("secretAccessKey")).as_str().unwrap().len(),
        40
    );
    assert!(
        !take(&credential("sessionToken"))
            .as_str()
            .unwrap()
            .is_empty()
    );
    let expiration = take(&credential("expiration"));
    let expiration = expiration.as_str().unwrap();
    assert!(
        expiration.len() == 20 && expiration.ends_with('Z'),
        "{expiration}"
    );
    assert!(take(&format!("{set}.packedPolicySize")).is_u64());
    assert_eq!(take(&format!("{set}.roleArn")), json!(role_arn("reader")));
    assert_eq!(take(&format!("{set}.sourceIdentity")), json!("CN=web-1"));
    let subject = take("subjectArn");
    let subject = subject.as_str().unwrap();
    assert!(
        subject.starts_with("arn:aws:rolesanywhere:us-east-1:000000000000:subject/"),
        "{subject}"
    );
    assert!(fields.is_empty(), "nobody asked for {fields:?}");
}

#[test]
fn every_transport_carries_the_exchange() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let ask = world.ask(&holder, "reader");
    let (plain, tls, root) = (world.plain(), world.tls(), world.root());
    let request = |host: &str| world.session_request(&holder, &ask, host);

    assert_eq!(send(&plain, &request(&plain)).status, 201, "http, HTTP/1.1");
    assert_eq!(
        Raw::tls(&tls, &root).send(&request(&tls)).status,
        201,
        "https, HTTP/1.1"
    );
    let over_http2 = send_http2(&tls, Some(&root), &[request(&tls), request(&tls)]);
    assert!(
        over_http2.iter().all(|reply| reply.status == 201),
        "https, HTTP/2: {over_http2:?}"
    );
    let over_http2 = send_http2(&plain, None, &[request(&plain)]);
    assert_eq!(over_http2[0].status, 201, "http, HTTP/2 by prior knowledge");
    let mut raw = Raw::plain(&plain);
    raw.write(&chunked(&request(&plain)));
    assert_eq!(raw.read().status, 201, "chunked");
    // The connection is kept.
    assert_eq!(
        raw.send(&request(&plain)).status,
        201,
        "a second one on the same connection"
    );
    let mut control = Raw::unix(&world.socket());
    assert_eq!(
        control.send(&request("localhost")).status,
        201,
        "control socket"
    );
}

/// As the Go helper does it: what is asked in the query, the duration in the body.
fn in_query(world: &World, holder: &Holder, ask: &SessionAsk, body: &str) -> WireRequest {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let target = format!(
        "/sessions?profileArn={}&roleArn={}&trustAnchorArn={}",
        encode(&ask.profile_arn),
        encode(&ask.role_arn),
        encode(&ask.trust_anchor_arn)
    );
    let mut request = post(&target, &world.plain(), body);
    sign(world, holder, &mut request);
    request
}

fn sign(world: &World, holder: &Holder, request: &mut WireRequest) {
    use bowline_service::Clock;
    let now = world.clock.now();
    sign_request_with_certificate(request, &holder.certificates(), &holder.key, REGION, now)
        .unwrap();
}

#[test]
fn what_is_asked_may_stand_in_the_query() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let ask = world.ask(&holder, "reader");
    for body in [
        "{\"durationSeconds\":900}",
        "{}",
        "",
        "{\"durationSeconds\":null,\"sessionName\":null}",
    ] {
        let reply = send(&world.plain(), &in_query(&world, &holder, &ask, body));
        assert_eq!(reply.status, 201, "{body:?}: {reply:?}");
    }
    let request = in_query(
        &world,
        &holder,
        &ask,
        "{\"roleArn\":\"arn:aws:iam::000000000000:role/other\"}",
    );
    check_refused(
        &send(&world.plain(), &request),
        400,
        "ValidationException",
        "roleArn is ",
        "session_parameter_twice",
    );
}

#[test]
fn a_signed_header_in_utf_8_is_verified_byte_for_byte_and_others_are_left_alone() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let mut request = post("/sessions", &world.plain(), "");
    request.headers.push(("x-amz-meta".into(), "Grüße".into()));
    let ask = world.ask(&holder, "reader");
    request.body = json!({
        "profileArn": ask.profile_arn, "roleArn": ask.role_arn, "trustAnchorArn": ask.trust_anchor_arn
    })
    .to_string()
    .into_bytes();
    sign(&world, &holder, &mut request);
    assert_eq!(send(&world.plain(), &request).status, 201);

    // An unsigned header in Latin-1 is nobody's business.
    let mut bytes = crate::client::bytes_of(&request);
    let place = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    bytes.splice(place..place, *b"user-agent: Gr\xfc\xdfe\r\n");
    let mut raw = Raw::plain(&world.plain());
    assert_eq!(raw.write(&bytes).read().status, 201);
}

#[test]
fn a_revoked_certificate_is_told_so() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    assert_eq!(exchange(&world, &holder, "reader").status, 201);
    world.revoke("web-1");
    let reply = exchange(&world, &holder, "reader");
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        "Certificate revoked",
        "certificate_revoked",
    );
}

#[test]
fn a_changed_body_is_an_invalid_signature() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let mut request = world.session_request(&holder, &world.ask(&holder, "reader"), &world.plain());
    let last = request.body.len() - 3;
    request.body[last] ^= 1;
    let reply = send(&world.plain(), &request);
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        "Invalid signature",
        "signature_mismatch",
    );
}

#[test]
fn an_unsigned_request_is_refused_before_anything_is_looked_up() {
    let world = World::new();
    let reply = send(&world.plain(), &post("/sessions", &world.plain(), "{}"));
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        "Invalid signature",
        "missing_authentication",
    );
}

#[test]
fn a_role_that_is_not_offered_cannot_be_assumed() {
    let world = World::new();
    world.role("writer");
    let holder = world.issue("web-1", "reader");
    let start = format!("Unable to assume role for {}", role_arn("writer"));
    let reply = exchange(&world, &holder, "writer");
    check_refused(&reply, 403, "AccessDeniedException", &start, "trust_policy");

    let take_out = UpdateProfile {
        profile: "default".into(),
        remove_roles: vec!["reader".into()],
        ..UpdateProfile::default()
    };
    take_out.run(&world.service, &Caller::Operator).unwrap();
    let start = format!("Unable to assume role for {}", role_arn("reader"));
    let reply = exchange(&world, &holder, "reader");
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        &start,
        "role_not_in_profile",
    );

    let start = format!("Unable to assume role for {}", role_arn("nothing"));
    let reply = exchange(&world, &holder, "nothing");
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        &start,
        "session_role_unknown",
    );
}

#[test]
fn an_unknown_anchor_or_profile_is_not_found_and_the_others_are_not_told() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let host = world.plain();
    for (field, code) in [
        ("trust-anchor", "session_trust_anchor_unknown"),
        ("profile", "session_profile_unknown"),
    ] {
        let mut ask = world.ask(&holder, "reader");
        let unknown = format!(
            "arn:aws:rolesanywhere:us-east-1:000000000000:{field}/00000000-0000-4000-8000-000000000000"
        );
        match field {
            "profile" => ask.profile_arn = unknown,
            _ => ask.trust_anchor_arn = unknown,
        }
        let reply = send(&host, &world.session_request(&holder, &ask, &host));
        check_refused(
            &reply,
            404,
            "ResourceNotFoundException",
            "there is no ",
            code,
        );
        assert!(!reply.text().contains("operators"), "{}", reply.text());
    }
}

#[test]
fn a_duration_out_of_range_is_a_validation_error_in_the_usual_words() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let host = world.plain();
    for (seconds, end) in [
        (899, "greater than or equal to 900"),
        (43_201, "less than or equal to 43200"),
    ] {
        let mut ask = world.ask(&holder, "reader");
        ask.duration_seconds = Some(seconds);
        let reply = send(&host, &world.session_request(&holder, &ask, &host));
        let start = format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value {end}"
        );
        check_refused(
            &reply,
            400,
            "ValidationException",
            &start,
            "duration_out_of_range",
        );
    }
    let mut request = post("/sessions", &host, "{\"durationSeconds\":\"long\"}");
    sign(&world, &holder, &mut request);
    check_refused(
        &send(&host, &request),
        400,
        "ValidationException",
        "the body does not read",
        "session_body_malformed",
    );
}

/// A CA of somebody else, with a leaf made by `adjust`, as a trust anchor and a holder.
fn foreign(world: &World, adjust: impl FnOnce(&mut CertificateParams)) -> Holder {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Foreign CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "web-1");
    leaf.distinguished_name
        .push(DnType::OrganizationalUnitName, "reader");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.use_authority_key_identifier_extension = true;
    adjust(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let anchor = json!({ "name": "foreign", "bundle": ca.pem() });
    let anchor: CreateTrustAnchor = serde_json::from_value(anchor).unwrap();
    let anchor = anchor.run(&world.service, &Caller::Operator).unwrap();
    let mut issued = world.issue("model", "reader").issued;
    issued.certificate = leaf.der().to_vec();
    issued.chain = Vec::new();
    issued.trust_anchor = anchor.arn;
    Holder {
        key: PrivateKey::from_der(&key.serialize_der()).unwrap(),
        issued,
    }
}

#[test]
fn a_foreign_leaf_that_is_no_end_entity_is_an_insufficient_certificate() {
    let start = "Untrusted certificate. Insufficient certificate";
    let world = World::new();
    let ca = foreign(&world, |leaf| {
        leaf.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let reply = exchange(&world, &ca, "reader");
    check_refused(&reply, 403, "AccessDeniedException", start, "leaf_is_ca");

    let world = World::new();
    let unusable = foreign(&world, |leaf| {
        leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    });
    let reply = exchange(&world, &unusable, "reader");
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        start,
        "missing_digital_signature",
    );
}

#[test]
fn a_certificate_of_another_authority_is_an_untrusted_signer() {
    let world = World::new();
    let mut stranger = foreign(&world, |_| {});
    stranger.issued.trust_anchor = world.issue("web-2", "reader").issued.trust_anchor;
    let reply = exchange(&world, &stranger, "reader");
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        "Untrusted signing certificate",
        "untrusted_issuer",
    );
}

#[test]
fn a_body_over_64_kib_is_told_its_limit() {
    let world = World::new();
    let host = world.plain();
    // One more than is taken, announced and in chunks; and far more, of which much is still on its way.
    for length in [64 * 1024 + 1, 1024 * 1024] {
        let request = post("/sessions", &host, vec![b' '; length]);
        let reply = send(&host, &request);
        check_refused(
            &reply,
            400,
            "ValidationException",
            "the body is over the limit of 65536 bytes",
            "body_too_long",
        );
    }
    let request = post("/sessions", &host, vec![b' '; 64 * 1024 + 1]);
    let mut raw = Raw::plain(&host);
    let reply = raw.write(&chunked(&request)).read();
    check_refused(
        &reply,
        400,
        "ValidationException",
        "the body is over the limit of 65536 bytes",
        "body_too_long",
    );
    let reply = send(&host, &post("/sessions", &host, vec![b' '; 64 * 1024]));
    check_refused(
        &reply,
        403,
        "AccessDeniedException",
        "Invalid signature",
        "missing_authentication",
    );
}
