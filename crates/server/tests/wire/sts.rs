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
        &post(
            "/",
            &host,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/r\
             &WebIdentityToken=a.b.c&RoleSessionName=%3C/Message%3E%00%1b[2J%26",
        ),
    );
    check_refused(&reply, 400, "ValidationError");
    let message = element(&reply, "Message");
    assert!(
        message.contains("&lt;/Message&gt;") && !message.contains('\u{1b}'),
        "{message:?}"
    );
}

#[test]
fn what_is_no_name_of_an_action_is_not_told_back() {
    let world = World::new();
    let host = world.plain();
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    for form in [
        format!("Action={}", secret.replace('+', "%2B")),
        format!("Action=AssumeRole&Version={secret}"),
    ] {
        let reply = send(&host, &post("/", &host, form));
        check_refused(&reply, 400, "InvalidAction");
        let message = element(&reply, "Message");
        assert!(!message.contains("wJalrXUtnFEMI"), "{message}");
    }
}

/// The header of a request changed, and what it is refused with.
type Change = (
    &'static str,
    fn(&mut String),
    u16,
    &'static str,
    &'static str,
);

#[test]
fn a_bad_signature_is_told_in_the_words_of_aws() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let host = world.plain();
    let changes: [Change; 8] = [
        (
            "authorization",
            |it| *it = it.replace("Signature=", "Sig="),
            400,
            "IncompleteSignature",
            "malformed",
        ),
        (
            "authorization",
            |it| *it = it.rsplit_once(", Sig").unwrap().0.to_owned(),
            400,
            "IncompleteSignature",
            "Authorization header requires &apos;Signature&apos; parameter",
        ),
        (
            "authorization",
            |it| *it = it.replace("AWS4-HMAC", "AWS5-HMAC"),
            400,
            "IncompleteSignature",
            "Unsupported AWS",
        ),
        (
            "authorization",
            |it| *it = it.replace("AWS4-HMAC-SHA256", "AWS4-X509-RSA-SHA256"),
            400,
            "IncompleteSignature",
            "",
        ),
        (
            "authorization",
            |it| *it = it.replace("/sts/", "/s3/"),
            403,
            "SignatureDoesNotMatch",
            "correct service",
        ),
        (
            "authorization",
            |it| *it = it.replace("host;", ""),
            403,
            "SignatureDoesNotMatch",
            ":authority",
        ),
        (
            "x-amz-date",
            |it| *it = "today".to_owned(),
            400,
            "IncompleteSignature",
            "ISO-8601",
        ),
        (
            "x-amz-security-token",
            |it| it.push('A'),
            403,
            "InvalidClientTokenId",
            "is invalid",
        ),
    ];
    for (header, change, status, code, words) in changes {
        let mut request = identity_request(&world, &credentials);
        let mut headers = request.headers.iter_mut();
        let (_, value) = headers
            .find(|(name, _)| name.eq_ignore_ascii_case(header))
            .unwrap();
        change(value);
        let reply = send(&host, &request);
        check_refused(&reply, status, code);
        let words = words.replace("&apos;", "'");
        assert!(
            element(&reply, "Message").contains(&words),
            "{words}: {reply:?}"
        );
        // By which SDKs correct their clocks.
        assert!(reply.header("date").ends_with(" GMT"), "{reply:?}");
    }
    let mut twice = identity_request(&world, &credentials);
    let date = twice.header("x-amz-date").unwrap().to_owned();
    twice.headers.push(("X-Amz-Date".into(), date));
    check_refused(&send(&host, &twice), 400, "IncompleteSignature");
    let mut both = identity_request(&world, &credentials);
    both.target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256".into();
    check_refused(&send(&host, &both), 403, "SignatureDoesNotMatch");
    let mut unsigned = identity_request(&world, &credentials);
    unsigned.headers.push(("x-amz-meta-a".into(), "b".into()));
    check_refused(&send(&host, &unsigned), 403, "SignatureDoesNotMatch");
}

#[test]
fn an_old_request_and_one_of_the_future_are_told_how_far_clocks_may_differ() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let request = identity_request(&world, &credentials);
    world.pass(301);
    let old = send(&world.plain(), &request);
    check_refused(&old, 403, "SignatureDoesNotMatch");
    assert!(
        element(&old, "Message").starts_with("Signature expired: "),
        "{old:?}"
    );
    assert!(element(&old, "Message").contains("- 5 min.)"), "{old:?}");
    world.pass(-301 - 301);
    let early = send(&world.plain(), &request);
    check_refused(&early, 403, "SignatureDoesNotMatch");
    assert!(
        element(&early, "Message").starts_with("Signature not yet current: "),
        "{early:?}"
    );
}

#[test]
fn operations_without_meaning_here_say_what_to_take_instead() {
    let world = World::new();
    for (action, instead) in [
        ("GetFederationToken", "AssumeRole"),
        ("AssumeRoot", "operator"),
        ("GetDelegatedAccessToken", "AssumeRoleWithWebIdentity"),
    ] {
        let body = format!("Action={action}&Version=2011-06-15");
        let reply = send(&world.plain(), &post("/", &world.plain(), body));
        check_refused(&reply, 400, "InvalidAction");
        assert!(element(&reply, "Message").contains(instead), "{reply:?}");
    }
}

#[test]
fn parameters_that_do_not_read_are_told_by_their_name() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let ask = |more: &str| {
        let body =
            format!("Action=AssumeRole&Version=2011-06-15&RoleArn=r&RoleSessionName=s{more}");
        let mut request = post("/", &world.plain(), body);
        let form = "application/x-www-form-urlencoded";
        request.headers.push(("content-type".into(), form.into()));
        send(&world.plain(), &world.signed(request, &credentials, "sts"))
    };
    for (more, name) in [
        ("&DurationSeconds=soon", "DurationSeconds"),
        ("&RoleArn=other", "RoleArn"),
        ("&PolicyArns.member.1.ARN=x", "PolicyArns"),
        ("&Tags.member.1.Key=x", "Tags"),
        (
            "&ProvidedContexts.member.1.ProviderArn=x",
            "ProvidedContexts",
        ),
    ] {
        let reply = ask(more);
        check_refused(&reply, 400, "ValidationError");
        assert!(element(&reply, "Message").contains(name), "{reply:?}");
    }
    // Unknown ones are let go, and an empty list is none: here the role is what is wrong.
    let reply = ask("&Unknown=1&Tags=&PolicyArns=");
    check_refused(&reply, 400, "ValidationError");
    assert!(element(&reply, "Message").contains("roleArn"), "{reply:?}");
}

#[test]
fn who_we_are_for_others_may_be_fetched_by_anybody() {
    let world = World::new();
    let configuration = crate::client::get(&world.plain(), "/.well-known/openid-configuration");
    assert_eq!(
        (configuration.status, configuration.header("content-type")),
        (200, "application/json"),
        "{configuration:?}"
    );
    assert_eq!(configuration.json()["issuer"], "http://ca.test");
    let keys = crate::client::get(&world.plain(), "/.well-known/jwks.json");
    assert_eq!(
        (
            keys.status,
            keys.header("content-type"),
            keys.header("cache-control")
        ),
        (200, "application/jwk-set+json", "public, max-age=60"),
        "{keys:?}"
    );
    assert!(keys.json()["keys"].is_array());
}
