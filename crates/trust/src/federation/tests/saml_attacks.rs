//! SAML assertions that were changed, wrapped, signed by somebody else, or in a form that could mean two things.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::now;
use super::saml::{
    DS, Form, ROLE, Signer, accepted, assertion, canonical, form, insert, provider_of, response,
    signature, signed, signer, verify, verify_with,
};
use crate::federation::{AssertionRefusal, verify_saml_assertion};

#[test]
fn a_changed_assertion_is_refused() {
    let good = response(&signed(&assertion(), signer()));
    assert!(verify(&good).is_ok());
    for (from, to) in [
        (">anna<", ">root<"),
        ("role/analyst", "role/administrator"),
        ("12:04:00Z", "23:04:00Z"),
        ("<saml:AttributeStatement>", "<saml:AttributeStatement> "),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good);
        assert_eq!(
            verify(&changed).unwrap_err(),
            AssertionRefusal::Digest,
            "{from}"
        );
    }
    // The digest changed along with it.
    let other = assertion().replace(">anna<", ">root<");
    let old = STANDARD.encode(digest(&SHA256, &canonical(&assertion(), "a1")));
    let new = STANDARD.encode(digest(&SHA256, &canonical(&other, "a1")));
    let forged = good.replacen(">anna<", ">root<", 1).replace(&old, &new);
    assert!(matches!(
        verify(&forged).unwrap_err(),
        AssertionRefusal::Signature { .. }
    ));
    // The new digest in a comment beside the old one: what is read is what was signed.
    for both in [format!("<!--{new}-->{old}"), format!("{old}<!--{new}-->")] {
        let forged = good.replacen(">anna<", ">root<", 1).replace(&old, &both);
        assert_eq!(verify(&forged).unwrap_err(), AssertionRefusal::Digest);
    }
}

#[test]
fn a_comment_splits_no_text() {
    // The provider signed the whole name; a comment put into it later changes no canonical octet.
    let good = response(&signed(
        &assertion().replace(">anna<", ">anna.evil.example<"),
        signer(),
    ));
    let commented = good.replace("anna.evil.example", "anna<!-- -->.evil.example");
    assert_eq!(
        verify(&commented).unwrap().identity.subject,
        "anna.evil.example"
    );
}

#[test]
fn a_name_with_an_odd_space_is_another_name() {
    for space in ["\u{a0}", "\u{2003}", "\u{3000}"] {
        let other = assertion().replacen(">anna<", &format!(">anna{space}<"), 1);
        let identity = verify(&response(&signed(&other, signer())))
            .unwrap()
            .identity;
        assert_eq!(identity.subject, format!("anna{space}"));
    }
    let plain = assertion().replacen(">anna<", ">\n  anna\t<", 1);
    let identity = verify(&response(&signed(&plain, signer())))
        .unwrap()
        .identity;
    assert_eq!(identity.subject, "anna");
}

/// The eight ways of wrapping a signature (Somorovsky et al., "On Breaking SAML", 2012). Each holds the original with its
/// good signature somewhere, and a forged assertion where a careless reader looks.
#[test]
fn every_way_of_wrapping_is_refused() {
    let signer = signer();
    let plain = response(&assertion());
    let response_signature = signature(&plain, "r1", signer, &form(signer, "r1"));
    let signed_response = insert(&plain, &response_signature);
    let forged_response = plain
        .replace(">anna<", ">root<")
        .replace("ID=\"r1\"", "ID=\"r2\"");
    let object = |signature: &str, content: &str| {
        let end = "</ds:Signature>";
        signature.replace(end, &format!("<ds:Object>{content}</ds:Object>{end}"))
    };
    let assertion_signature = signature(&assertion(), "a1", signer, &form(signer, "a1"));
    let original = assertion();
    let signed_assertion = insert(&original, &assertion_signature);
    let forged = original
        .replace(">anna<", ">root<")
        .replace("ID=\"a1\"", "ID=\"a2\"");
    let inside = |outer: &str, inner: &str| {
        let end = "</saml:Assertion>";
        outer.replacen(end, &format!("{inner}{end}"), 1)
    };
    let cases = [
        // 1: the original response inside the signature of the forged one.
        insert(&forged_response, &object(&response_signature, &plain)),
        // 2: the original response beside the signature in the forged one.
        insert(&forged_response, &format!("{plain}{response_signature}")),
        // 3: the forged assertion before the signed one.
        response(&format!("{forged}{signed_assertion}")),
        // 4: the signed assertion inside the forged one.
        response(&inside(&forged, &signed_assertion)),
        // 5: the signature in the forged assertion, the original behind it.
        response(&format!(
            "{}{original}",
            insert(&forged, &assertion_signature)
        )),
        // 6: the original inside the signature of the forged assertion.
        response(&insert(&forged, &object(&assertion_signature, &original))),
        // 7: the forged assertion in an extension before the signed one.
        response(&format!(
            "<samlp:Extensions>{forged}</samlp:Extensions>{signed_assertion}"
        )),
        // 8: the original in an object of the signature in the forged assertion, with the forged id the signed one.
        response(&insert(
            &forged.replace("ID=\"a2\"", "ID=\"a1\""),
            &object(
                &assertion_signature,
                &original.replace("ID=\"a1\"", "ID=\"a3\""),
            ),
        )),
    ];
    assert!(verify(&signed_response).is_ok());
    assert!(verify(&response(&signed_assertion)).is_ok());
    for (number, case) in (1..).zip(cases) {
        let refused = verify(&case).unwrap_err();
        assert!(
            matches!(
                refused,
                AssertionRefusal::Shape { .. }
                    | AssertionRefusal::IdTwice { .. }
                    | AssertionRefusal::SignatureForm { .. }
            ),
            "{number}: {refused}"
        );
    }
    // Two elements with the signed id, and the original out of the namespace that is counted.
    let twice = response(&format!("<x ID=\"a1\"/>{signed_assertion}"));
    assert!(matches!(
        verify(&twice).unwrap_err(),
        AssertionRefusal::IdTwice { .. }
    ));
    // A signed response whose signature is carried over to a forged one.
    let carried = insert(&forged_response, &response_signature);
    assert!(verify(&carried).is_err());
}

#[test]
fn keys_that_the_message_brings_are_not_taken() {
    let own = Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut form = form(&own, "a1");
    form.key_info = format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        STANDARD.encode(&own.certificate)
    );
    let text = response(&insert(
        &assertion(),
        &signature(&assertion(), "a1", &own, &form),
    ));
    assert!(verify_with(&text, &provider_of(&own)).is_ok());
    assert!(matches!(
        verify(&text).unwrap_err(),
        AssertionRefusal::Signature { .. }
    ));
}

#[test]
fn signatures_of_another_form_are_refused() {
    let check = |change: &dyn Fn(&mut Form)| {
        let mut form = form(signer(), "a1");
        change(&mut form);
        let signature = signature(&assertion(), "a1", signer(), &form);
        verify(&response(&insert(&assertion(), &signature))).unwrap_err()
    };
    let xslt =
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"></ds:Transform>";
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let changes: [&dyn Fn(&mut Form); 12] = [
        &|form| form.method = format!("{DS}rsa-sha1"),
        &|form| form.method = format!("{DS}hmac-sha1"),
        &|form| form.method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256".into(),
        &|form| form.method = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256".into(),
        &|form| form.digest = format!("{DS}sha1"),
        &|form| form.canonicalization = inclusive.into(),
        &|form| {
            form.canonicalization = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments".into();
        },
        &|form| form.transforms = format!("{}{xslt}", form.transforms),
        &|form| form.transforms = xslt.repeat(2),
        &|form| form.uri = String::new(),
        &|form| form.uri = "#other".into(),
        &|form| form.more = "<ds:Reference URI=\"#r1\"></ds:Reference>".into(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let refused = check(change);
        assert!(
            matches!(
                refused,
                AssertionRefusal::Algorithm { .. }
                    | AssertionRefusal::SignatureForm { .. }
                    | AssertionRefusal::Signature { .. }
                    | AssertionRefusal::Shape { .. }
            ),
            "{at}: {refused}"
        );
    }
}

#[test]
fn documents_that_bring_their_own_definitions_are_refused() {
    let good = response(&signed(&assertion(), signer()));
    for prefix in [
        "<!DOCTYPE x>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]>",
        "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">",
    ] {
        let refused = verify(&format!("{prefix}{good}")).unwrap_err();
        assert!(matches!(refused, AssertionRefusal::Xml { .. }), "{refused}");
    }
    let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
    assert!(verify(&deep).is_err());
    assert!(matches!(
        verify("x").unwrap_err(),
        AssertionRefusal::Xml { .. }
    ));
    let crowd: String = (0..257).map(|number| format!(" a{number}=\"\"")).collect();
    let crowded = good.replacen("<samlp:Response", &format!("<samlp:Response{crowd}"), 1);
    let refused = verify(&crowded).unwrap_err().to_string();
    assert!(refused.ends_with("more than 256 attributes"), "{refused}");
    let provider = provider_of(signer());
    let raw = |text: &str| {
        verify_saml_assertion(text, &provider, "aws", ROLE, &accepted(), now()).unwrap_err()
    };
    assert_eq!(raw("????"), AssertionRefusal::Encoding);
    assert!(matches!(raw("AA"), AssertionRefusal::Length { .. }));
    assert!(matches!(
        raw(&"A".repeat(100_001)),
        AssertionRefusal::Length { .. }
    ));
}

/// Small messages that grow when they are canonicalized: a namespace's long name is said again by every element that uses
/// its prefix, and every prefix of a list is looked for at every element.
#[test]
fn a_signature_that_grows_is_refused_before_it_does() {
    let letters = || (b'a'..=b'z').map(char::from);
    let prefixes: Vec<String> = letters()
        .flat_map(|a| letters().map(move |b| format!("{a}{b}")))
        .flat_map(|two| letters().map(move |c| format!("{two}{c}")))
        .take(4_000)
        .collect();
    let listed = format!(
        "<e:InclusiveNamespaces xmlns:e=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{}\"/>",
        prefixes.join(" ")
    );
    let good = response(&signed(&assertion(), signer()));
    let method = "xml-exc-c14n#\"></ds:CanonicalizationMethod>";
    assert!(good.contains(method));
    let long = "u".repeat(14_000);
    let cases = [
        good.replacen(
            method,
            &format!(
                "xml-exc-c14n#\">{listed}</ds:CanonicalizationMethod>{}",
                "<a/>".repeat(5_000)
            ),
            1,
        ),
        good.replacen(
            method,
            &format!("xml-exc-c14n#\">{listed}</ds:CanonicalizationMethod>"),
            1,
        ),
        good.replacen(method, &format!("{method}{}", "<p:a/>".repeat(3_000)), 1)
            .replacen(
                "<samlp:Response",
                &format!("<samlp:Response xmlns:p=\"{long}\""),
                1,
            ),
        good.replacen(
            "<saml:AttributeStatement>",
            &format!("<saml:AttributeStatement>{}", "<p:a/>".repeat(3_000)),
            1,
        )
        .replacen(
            "<samlp:Response",
            &format!("<samlp:Response xmlns:p=\"{long}\""),
            1,
        ),
    ];
    for (at, case) in cases.iter().enumerate() {
        assert!(case.len() < 48 * 1024, "{at}: {}", case.len());
        let started = std::time::Instant::now();
        let refused = verify(case).unwrap_err();
        eprintln!(
            "{at}: {} bytes, {:?}, {refused}",
            case.len(),
            started.elapsed()
        );
        assert!(
            matches!(
                refused,
                AssertionRefusal::SignatureForm { .. } | AssertionRefusal::Xml { .. }
            ),
            "{at}: {refused}"
        );
    }
}

/// What costs most to read: many elements under many namespaces, deep, with nothing signed that could be refused earlier.
#[test]
fn the_largest_messages_are_refused_in_time() {
    let good = response(&signed(&assertion(), signer()));
    let declared: String = (0..200).map(|n| format!(" xmlns:n{n}=\"u\"")).collect();
    let deep = format!("<a{declared}>").repeat(8);
    let room = 48 * 1024 - good.len() - 2 * 8 * 1024;
    let put = |content: &str| {
        good.replacen(
            "<saml:AttributeStatement>",
            &format!("{content}<saml:AttributeStatement>"),
            1,
        )
    };
    let cases = [
        put(&"<a/>".repeat(11_000)),
        put(&format!(
            "{deep}{}{}",
            "<n0:a/>".repeat(room / 14),
            "</a>".repeat(8)
        )),
        put(&format!("{}{}", "<a>".repeat(56), "</a>".repeat(56)).repeat(100)),
        put(&"&lt;".repeat(11_000)),
        put(&format!("<!--{}-->", "x".repeat(40_000))),
        put(&format!(
            "<a {}/>",
            (0..200).map(|n| format!("a{n}=\"\" ")).collect::<String>()
        )
        .repeat(20)),
    ];
    for (at, case) in cases.iter().enumerate() {
        let started = std::time::Instant::now();
        let refused = verify(case).err().map(|refused| refused.to_string());
        let took = started.elapsed();
        eprintln!("{at}: {} bytes, {took:?}, {refused:?}", case.len());
        // Without optimization; a release is about ten times as fast.
        assert!(took.as_secs() < 5, "{at}: {took:?}");
    }
}
