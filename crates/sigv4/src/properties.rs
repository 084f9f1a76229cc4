//! Properties over generated requests: what is signed verifies, and nothing panics.

use crate::fixtures::{
    Capture, P256, P384, RSA, Sent, SentBody, TestKey, Vector, captures, noon, vectors,
};
use crate::{Credentials, Rules, hmac, presign, sign_hmac, sign_x509, x509};
use chrono::TimeDelta;
use proptest::prelude::*;

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._~-]{0,6}",
        Just("..".to_owned()),
        "(%[2-7][0-9A-Fa-f]|[ +!*'();:@&=$,é]){1,4}",
    ]
}

fn target() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(segment(), 0..5);
    let query = prop::collection::vec(("[a-zA-Z%20+é]{0,5}", "[a-z=%3D+ ]{0,5}"), 0..5);
    (path, query).prop_filter_map("an escape is broken", |(path, query)| {
        let path = path.join("/");
        let query: Vec<_> = query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let target = match query.is_empty() {
            true => format!("/{path}"),
            false => format!("/{path}?{}", query.join("&")),
        };
        let parts = crate::uri::split(&target).ok()?;
        crate::uri::Query::parse(parts.query, 256).ok()?;
        crate::uri::encoded_again(parts.path).ok()?;
        crate::uri::normalised(parts.path).ok()?;
        Some(target)
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let header = ("(x-amz-meta-|x-|X-Amz-)[a-f]{1,3}", "[ -~\t]{0,12}");
    (
        "(GET|PUT|POST|DELETE)",
        target(),
        prop::collection::vec(header, 0..4),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(method, target, headers, body)| {
            let mut sent = Sent::new(&method, &target, &[("Host", "h.example:8443")], "");
            sent.headers
                .extend(headers.into_iter().map(|(n, v)| (n, v.into_bytes())));
            sent.body = SentBody::Bytes(body);
            sent
        })
}

fn service() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("s3"), Just("sts"), Just("execute-api")]
}

fn credentials(token: Option<&str>) -> Credentials<'_> {
    Credentials {
        access_key_id: "ASIATESTTESTTESTTEST",
        secret: "secret",
        session_token: token,
    }
}

fn verify_hmac(sent: &Sent) -> Result<hmac::Verified, crate::SignatureError> {
    hmac::Presented::parse(&sent.request(), &Rules::for_relying_services())?
        .verify("secret", noon())
}

fn verify_x509(sent: &Sent) -> Result<x509::Authenticated, crate::SignatureError> {
    x509::Presented::parse(&sent.request(), &Rules::default())?.verify(noon())
}

proptest! {
    #[test]
    fn what_is_signed_in_the_header_verifies(
        sent in sent(),
        service in service(),
        token in prop::option::of("[!-~]{1,20}"),
    ) {
        let credentials = credentials(token.as_deref());
        let added = sign_hmac(&sent.request(), &credentials, "eu-west-1", service, noon()).unwrap();
        let mut sent = sent.with(added);
        let proof = verify_hmac(&sent).unwrap();
        prop_assert_eq!(proof.session_token(), token.as_deref());
        prop_assert_eq!(proof.payload(), crate::Payload::Verified);
        // The order of different headers means nothing.
        sent.headers.sort_by_key(|(name, _)| name.to_lowercase());
        prop_assert!(verify_hmac(&sent).is_ok());
        let SentBody::Bytes(body) = &mut sent.body else { unreachable!("set above") };
        body.push(0);
        prop_assert!(verify_hmac(&sent).is_err());
    }

    #[test]
    fn what_is_presigned_verifies(
        sent in sent(),
        service in service(),
        token in prop::option::of("[!-~]{1,20}"),
    ) {
        let credentials = credentials(token.as_deref());
        let life = TimeDelta::seconds(60);
        let request = sent.request();
        let target = presign(&request, &credentials, "eu-west-1", service, life, noon()).unwrap();
        let sent = Sent { target, ..sent.clone() };
        let proof = verify_hmac(&sent).unwrap();
        prop_assert_eq!(proof.form(), hmac::Form::Query);
        prop_assert_eq!(proof.session_token(), token.as_deref());
        let shorter = Sent { target: sent.target.replace("Expires=60", "Expires=59"), ..sent };
        prop_assert!(verify_hmac(&shorter).is_err());
    }

    #[test]
    fn what_a_certificate_signs_verifies(sent in sent(), which in 0..3_usize) {
        let key: &TestKey = [&*P256, &*P384, &*RSA][which];
        let leaf = &key.certificate;
        let added = sign_x509(&sent.request(), leaf, &[], key, "eu-west-1", noon()).unwrap();
        let mut sent = sent.with(added);
        let proof = verify_x509(&sent).unwrap();
        prop_assert_eq!(proof.leaf().der(), leaf.der());
        sent.method.push('X');
        prop_assert!(verify_x509(&sent).is_err());
    }

    /// Whatever a real request is changed into, the answer is a value.
    #[test]
    fn no_changed_request_panics(
        which in 0..24_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..6),
    ) {
        let mut all: Vec<Sent> = captures().iter().map(Capture::sent).collect();
        all.extend(vectors().iter().map(Vector::sent));
        prop_assert_eq!(all.len(), 24);
        let mut sent = all.swap_remove(which);
        for (place, to) in changes {
            match place.index(3) {
                0 => {
                    let mut target: Vec<char> = sent.target.chars().collect();
                    let at = place.index(target.len());
                    target[at] = to;
                    sent.target = target.into_iter().collect();
                }
                1 => {
                    let index = place.index(sent.headers.len());
                    let value = &mut sent.headers[index].1;
                    let at = place.index(value.len() + 1);
                    value.insert(at, to as u8);
                }
                _ => {
                    let index = place.index(sent.headers.len());
                    let name = sent.headers[index].0.clone();
                    sent.headers.push((name, to.to_string().into_bytes()));
                }
            }
        }
        let _ = verify_hmac(&sent);
        let _ = verify_x509(&sent);
    }

    #[test]
    fn no_text_in_the_place_of_an_authentication_panics(
        target in "(/|https?://)?\\PC{0,40}",
        authorization in "(AWS4-HMAC-SHA256|AWS4-X509-RSA-SHA256)? ?(Credential=|SignedHeaders=|Signature=|[ -~]|,|/|;){0,30}",
        date in "[0-9TZ]{0,18}",
        value in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut sent = Sent::new("GET", &target, &[("host", "h")], "");
        sent.set("authorization", &authorization);
        sent.set("x-amz-date", &date);
        sent.headers.push(("x-amz-x509".to_owned(), value));
        let _ = verify_hmac(&sent);
        let _ = verify_x509(&sent);
    }
}
