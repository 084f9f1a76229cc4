//! STS: `GetCallerIdentity` by form and by presigned URL, its XML, and its errors.

use bowline_service::{Clock, SessionCredentials, WireRequest};
use bowline_sigv4::{Body, Credentials, SignedRequest, presign};

use crate::client::{Reply, send, send_http2};
use crate::sessions::assert_uuid;
use crate::world::{REGION, World, post};

const FORM: &str = "Action=GetCallerIdentity&Version=2011-06-15";

fn identity_request(world: &World, credentials: &SessionCredentials) -> WireRequest {
    let mut request = post("/", &world.plain(), FORM);
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    request.headers.push(("content-type".into(), form.into()));
    world.signed(request, credentials, "sts")
}

/// What stands between a tag's ends.
fn element<'a>(reply: &'a Reply, tag: &str) -> &'a str {
    let text = reply.text();
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let start = text
        .find(&open)
        .unwrap_or_else(|| panic!("no {open} in {text}"))
        + open.len();
    let end = text[start..]
        .find(&close)
        .unwrap_or_else(|| panic!("no {close} in {text}"));
    &text[start..start + end]
}

fn check_identity(reply: &Reply, serial: &str) {
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "text/xml"),
        "{reply:?}"
    );
    assert!(
        reply.text().starts_with(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
        ),
        "{reply:?}"
    );
    assert_eq!(
        element(reply, "Arn"),
        format!("arn:aws:sts::000000000000:assumed-role/reader/{serial}")
    );
    let user = element(reply, "UserId");
    assert!(
        user.starts_with("AROA") && user.ends_with(&format!(":{serial}")),
        "{user}"
    );
    assert_eq!(element(reply, "Account"), "000000000000");
    assert_uuid(element(reply, "RequestId"));
    assert_eq!(
        element(reply, "RequestId"),
        reply.header("x-amzn-requestid")
    );
}

fn check_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!(
        (reply.status, element(reply, "Code")),
        (status, code),
        "{reply:?}"
    );
    assert_eq!(
        element(reply, "Type"),
        if status < 500 { "Sender" } else { "Receiver" }
    );
    assert!(!element(reply, "Message").is_empty());
    assert_uuid(element(reply, "RequestId"));
}

#[test]
fn a_form_is_answered_with_who_signed_it() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let credentials = world.exchange(&holder, "reader");
    let reply = send(&world.plain(), &identity_request(&world, &credentials));
    check_identity(&reply, &holder.issued.serial);
    let over_http2 = send_http2(
        &world.plain(),
        None,
        &[identity_request(&world, &credentials)],
    );
    check_identity(&over_http2[0], &holder.issued.serial);
}

fn presigned(world: &World, credentials: &SessionCredentials) -> WireRequest {
    let mut request = post(&format!("/?{FORM}"), &world.plain(), "");
    request.method = "GET".into();
    let signing = Credentials {
        access_key_id: &credentials.access_key_id,
        secret: credentials.secret_access_key.reveal(),
        session_token: Some(credentials.session_token.reveal()),
    };
    let body = Body::Bytes(&request.body);
    let signed = SignedRequest::new(&request.method, &request.target, &request.headers, body);
    let (minute, now) = (chrono::TimeDelta::seconds(60), world.clock.now());
    request.target = presign(&signed, &signing, REGION, "sts", minute, now).unwrap();
    request
}

#[test]
fn a_presigned_url_is_answered_until_it_expires() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let credentials = world.exchange(&holder, "reader");
    let request = presigned(&world, &credentials);
    check_identity(&send(&world.plain(), &request), &holder.issued.serial);
    world.pass(61 + 300);
    check_refused(
        &send(&world.plain(), &request),
        403,
        "SignatureDoesNotMatch",
    );
}

#[test]
fn errors_have_the_codes_that_clients_know() {
    let world = World::new();
    let (holder, other) = (
        world.issue("web-1", "reader"),
        world.issue("web-2", "reader"),
    );
    let (credentials, others) = (
        world.exchange(&holder, "reader"),
        world.exchange(&other, "reader"),
    );
    let host = world.plain();
    let check =
        |request: &WireRequest, status, code| check_refused(&send(&host, request), status, code);

    check(&post("/", &host, FORM), 403, "MissingAuthenticationToken");

    let mut changed = identity_request(&world, &credentials);
    changed.body.extend_from_slice(b"&a=b");
    check(&changed, 403, "SignatureDoesNotMatch");

    let mut swapped = credentials.clone();
    swapped.session_token = others.session_token.clone();
    check(
        &identity_request(&world, &swapped),
        403,
        "InvalidClientTokenId",
    );

    let unknown = world.signed(
        post("/", &host, "Action=AssumeGod&Version=2011-06-15"),
        &credentials,
        "sts",
    );
    check(&unknown, 400, "InvalidAction");
    check(&post("/", &host, ""), 400, "MissingAction");
    check(
        &post("/", &host, "Action=GetCallerIdentity&Version=1999-01-01"),
        400,
        "InvalidAction",
    );
    check(
        &post("/?Action=AssumeRole", &host, FORM),
        400,
        "ValidationError",
    );
    check(
        &post("/", &host, vec![b'a'; 64 * 1024 + 1]),
        400,
        "ValidationError",
    );

    world.revoke("web-1");
    check(&identity_request(&world, &credentials), 403, "ExpiredToken");
    check_identity(
        &send(&host, &identity_request(&world, &others)),
        &other.issued.serial,
    );
    world.pass(3_601);
    check(&identity_request(&world, &others), 403, "ExpiredToken");
}

#[test]
fn a_signature_for_another_service_does_not_match() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let request = world.signed(post("/", &world.plain(), FORM), &credentials, "s3");
    check_refused(
        &send(&world.plain(), &request),
        403,
        "SignatureDoesNotMatch",
    );
}

#[test]
fn what_a_stranger_sends_cannot_leave_its_element() {
    let world = World::new();
    let host = world.plain();
    let reply = send(
        &host,
        &post("/", &host, "Action=%3C/Message%3E%00%1b[2J%26"),
    );
    check_refused(&reply, 400, "InvalidAction");
    let message = element(&reply, "Message");
    assert!(
        message.contains("&lt;/Message&gt;") && !message.contains('\u{1b}'),
        "{message:?}"
    );
}
