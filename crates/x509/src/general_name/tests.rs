use proptest::prelude::*;

use super::*;
use crate::fixtures::leaf;

fn detected(text: &str) -> String {
    GeneralName::detect(text).map_or_else(|error| error.to_string(), |name| name.to_string())
}

#[test]
fn the_kind_is_told_from_the_look() {
    for (text, name) in [
        ("web", "DNS:web"),
        ("Web.Example", "DNS:web.example"),
        ("*.example", "DNS:*.example"),
        ("xn--bcher-kva.example", "DNS:xn--bcher-kva.example"),
        ("10.0.0.1", "IP:10.0.0.1"),
        ("::1", "IP:::1"),
        ("[2001:db8::1]", "IP:2001:db8::1"),
        ("spiffe://example/web", "URI:spiffe://example/web"),
        (
            "https://user@host.example/",
            "URI:https://user@host.example/",
        ),
        ("file:///etc/hosts", "URI:file:///etc/hosts"),
        ("ops@web.example", "email:ops@web.example"),
        ("URI:urn:uuid:1", "URI:urn:uuid:1"),
        ("dns:WEB", "DNS:web"),
        ("dirName:CN=a,O=b", "dirName:CN=a,O=b"),
    ] {
        assert_eq!(detected(text), name, "{text}");
    }
}

#[test]
fn what_is_no_name_is_refused_with_the_rule() {
    for (text, rule) in [
        ("", "it is empty"),
        ("*", "a wildcard needs a name to its right"),
        (
            "a.*.example",
            "a wildcard may only be the whole of the first label",
        ),
        (
            "w*.example",
            "a wildcard may only be the whole of the first label",
        ),
        (
            "*.*.example",
            "a wildcard may only be the whole of the first label",
        ),
        ("bücher.example", "write it in punycode"),
        ("a b", "labels are letters, digits and hyphens"),
        ("a_b.example", "labels are letters, digits and hyphens"),
        ("-a.example", "may not begin or end with a hyphen"),
        ("a-.example", "may not begin or end with a hyphen"),
        ("a..example", "a label between dots is empty"),
        ("example.", "a label between dots is empty"),
        ("1.2.3.999", "like an IP address"),
        ("@example", "the part before @"),
        ("a@", "it is empty"),
        ("a@b@c", "labels are letters"),
        (".a@b", "a dot may not begin"),
        ("ü@example", "internationalised"),
        ("a@ü.example", "punycode"),
        ("1x://host", "a scheme is a letter"),
        ("https://", "nothing follows the scheme"),
        ("https://a b", "printable ASCII"),
        ("IP:300.1.1.1", "is not an IP address"),
        ("DNS:", "it is empty"),
        ("other:00", "hexadecimal of a DER GeneralName"),
    ] {
        let error = detected(text);
        assert!(error.contains(rule), "{text:?}: {error}");
    }
    assert!(detected(&"a".repeat(64)).contains("longer than 63"));
    assert!(detected(&vec!["a".repeat(60); 5].join(".")).contains("too long"));
}

#[test]
fn every_kind_survives_der_and_text() {
    let leaf = leaf();
    let names = leaf.subject_alt_names();
    let kinds: Vec<&str> = names.iter().map(GeneralName::kind).collect();
    assert_eq!(
        kinds,
        [
            "DNS", "DNS", "IP", "IP", "URI", "email", "dirName", "other", "other"
        ]
    );
    for name in names {
        assert_eq!(GeneralName::from_der(&name.to_der()), Ok(name.clone()));
        if !matches!(name, GeneralName::DirectoryName(_)) {
            assert_eq!(name.to_string().parse(), Ok(name.clone()));
        }
        assert_eq!(serde_json::to_string(name).unwrap(), format!("\"{name}\""));
    }
    assert_eq!(
        GeneralName::list_from_der(&GeneralName::list_to_der(names)).unwrap(),
        names
    );
}

#[test]
fn names_that_cannot_be_are_refused() {
    assert!(GeneralName::from_der(&[DNS, 1, 0xff]).is_err());
    assert!(GeneralName::from_der(&[IP, 3, 1, 2, 3]).is_err());
    assert!(GeneralName::from_der(&[0x04, 1, 0]).is_err());
    assert!(GeneralName::from_der(&[DNS, 1, b'a', 0]).is_err());
    assert!(GeneralName::list_from_der(&[0x30, 0]).is_err());
}

#[test]
fn foreign_names_are_kept_as_they_are() {
    let odd = "DNS:_not.LDH..";
    assert_eq!(odd.parse::<GeneralName>().unwrap().to_string(), odd);
    assert!(GeneralName::detect(odd).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_name_that_survives_or_is_refused(text in "\\PC{0,40}|[a-zA-Z:./@*\\-0-9]{0,40}") {
        if let Ok(name) = GeneralName::detect(&text) {
            prop_assert_eq!(name.to_string().parse::<GeneralName>(), Ok(name.clone()));
            prop_assert_eq!(GeneralName::from_der(&name.to_der()), Ok(name));
        }
    }

    #[test]
    fn any_bytes_are_names_that_survive_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(name) = GeneralName::from_der(&bytes) {
            prop_assert_eq!(name.to_der(), bytes);
        }
    }
}
