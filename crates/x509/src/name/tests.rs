use proptest::prelude::*;

use super::*;
use crate::fixtures::{leaf, root};

fn check(text: &str, printed: &str) {
    let name: DistinguishedName = text
        .parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(name.to_string(), printed);
    assert_eq!(
        printed.parse::<DistinguishedName>().unwrap(),
        name,
        "{printed} read back"
    );
}

fn refuse(text: &str) -> String {
    text.parse::<DistinguishedName>().unwrap_err().to_string()
}

#[test]
fn text_is_in_reverse_order_of_the_certificate() {
    assert_eq!(
        root().subject().to_string(),
        "CN=Fixture Root,O=Fixture Trust\\, GmbH,C=DE"
    );
    let in_order: Vec<&str> = root()
        .subject()
        .attributes()
        .map(|it| it.short_name().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(in_order, ["C", "O", "CN"]);
}

#[test]
fn names_match_in_any_case_spacing_and_string_type_and_only_in_the_same_structure() {
    let name = |text: &str| text.parse::<DistinguishedName>().unwrap();
    let printed = |value: &[u8]| {
        let value = asn1::element(asn1::PRINTABLE_STRING, value);
        DistinguishedName::encode(&[vec![(oid::COMMON_NAME, value)]]).unwrap()
    };
    assert_ne!(name("CN=Issuing CA"), printed(b"Issuing CA"));
    for same in ["Issuing CA", " ISSUING   ca "] {
        assert!(name("CN=Issuing CA").matches(&printed(same.as_bytes())));
        assert!(printed(same.as_bytes()).matches(&name("CN=Issuing CA")));
    }
    assert!(name("CN=Straße").matches(&name("CN=STRASSE")));
    assert!(name("CN=a+OU=b,O=c").matches(&name("OU=B+CN=A,O=C")));
    for other in [
        "",
        "CN=IssuingCA",
        "OU=Issuing CA",
        "CN=Issuing CA,O=c",
        "CN=Issuing CA+CN=Issuing CA",
    ] {
        assert!(!name("CN=Issuing CA").matches(&name(other)), "{other}");
    }
    assert!(!name("CN=a,OU=b").matches(&name("OU=b,CN=a")));
    assert!(!name("CN=a,OU=b").matches(&name("CN=a+OU=b")));
    // What is no text matches itself only, and not a text that looks like its print.
    let number = DistinguishedName::encode(&[vec![(oid::COMMON_NAME, vec![2, 1, 5])]]).unwrap();
    assert!(number.matches(&number.clone()));
    assert!(!number.matches(&printed(b"#020105")));
}

#[test]
fn a_real_name_survives_its_text() {
    let leaf = leaf();
    let text = leaf.subject().to_string();
    assert_eq!(
        text,
        "CN=web,serialNumber=77,emailAddress=ops@fixture.example,DC=example,UID=u1,OU=a+OU=b,O=Fixture \\\"Q\\\"\\, Inc,ST=Baden-Württemberg,C=DE"
    );
    // OpenSSL chose the same string types, so that even the DER is the same.
    assert_eq!(text.parse::<DistinguishedName>().unwrap(), *leaf.subject());
}

#[test]
fn examples_of_rfc_4514_section_4_are_read_and_printed() {
    check(
        "UID=jsmith,DC=example,DC=net",
        "UID=jsmith,DC=example,DC=net",
    );
    check(
        "OU=Sales+CN=J.  Smith,DC=example,DC=net",
        "OU=Sales+CN=J.  Smith,DC=example,DC=net",
    );
    check(
        r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
        r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
    );
    check(
        r"CN=Before\0dAfter,DC=example,DC=net",
        r"CN=Before\0dAfter,DC=example,DC=net",
    );
    check(
        "1.3.6.1.4.1.1466.0=#04024869",
        "1.3.6.1.4.1.1466.0=#04024869",
    );
    check(r"CN=Lu\C4\8Di\C4\87", "CN=Lučić");
}

#[test]
fn spaces_and_the_hash_are_escaped_at_the_ends_only() {
    check(r"CN=\ a b\ ", r"CN=\ a b\ ");
    check(r"CN=\#a#b", r"CN=\#a#b");
    check(r"CN=\ ", r"CN=\ ");
    check("CN=a=b", "CN=a=b");
}

#[test]
fn unescaped_spaces_around_are_dropped() {
    check(" CN = web  , O =  Org ", "CN=web,O=Org");
}

#[test]
fn keywords_are_read_in_any_case_and_by_identifier() {
    check("cn=a,2.5.4.10=b,E=c@d", "CN=a,O=b,emailAddress=c@d");
}

#[test]
fn the_empty_text_is_the_empty_name() {
    let name: DistinguishedName = "".parse().unwrap();
    assert!(name.is_empty());
    assert_eq!(name.as_der(), [0x30, 0x00]);
}

#[test]
fn what_is_not_a_name_is_refused_with_the_place() {
    assert_eq!(
        refuse("CN"),
        "distinguished name, character 2: an attribute type and = are expected"
    );
    assert_eq!(
        refuse("FOO=x"),
        "\"FOO\" is no attribute type: write CN, O, OU, C, ST, L, DC, UID, serialNumber or a dotted identifier"
    );
    assert_eq!(
        refuse("CN=a;b"),
        "distinguished name, character 5: one of \" ; < > must be escaped with \\"
    );
    assert!(refuse(r"CN=\zz").contains("after \\"));
    assert!(refuse(r"CN=\").contains("after \\"));
    assert!(refuse(r"CN=\ff").contains("not UTF-8"));
    assert!(refuse("CN=#0c").contains("cut short"));
    assert!(refuse("CN=#0c0161ff").contains("follow"));
    assert!(refuse("CN=a,").contains("attribute type"));
}

#[test]
fn countries_serials_and_domains_get_the_string_type_they_must_have() {
    let name: DistinguishedName = "C=DE,serialNumber=7,dnQualifier=q,DC=a,emailAddress=a@b,CN=x"
        .parse()
        .unwrap();
    let tags: Vec<u8> = name
        .attributes()
        .map(|attribute| attribute.value_der()[0])
        .collect();
    assert_eq!(
        tags,
        [
            asn1::UTF8_STRING,
            asn1::IA5_STRING,
            asn1::IA5_STRING,
            0x13,
            0x13,
            0x13
        ]
    );
}

#[test]
fn every_string_type_is_decoded() {
    let value = |der: &str| {
        let pair = asn1::sequence(&[&asn1::oid(&oid::COMMON_NAME), &hex::decode(der).unwrap()]);
        let name = asn1::element(asn1::SEQUENCE, &asn1::element(asn1::SET, &pair));
        let name = DistinguishedName::from_der(&name).unwrap();
        let attribute = name.attributes().next().unwrap().clone();
        (attribute.value.clone(), attribute.is_text())
    };
    assert_eq!(value("0c03c3bc61"), ("üa".into(), true));
    assert_eq!(value("13026162"), ("ab".into(), true));
    assert_eq!(value("16026140"), ("a@".into(), true));
    assert_eq!(value("1402fc61"), ("üa".into(), true));
    assert_eq!(value("1e0400fc0061"), ("üa".into(), true));
    assert_eq!(value("1c04000000fc"), ("ü".into(), true));
    // Broken strings and other types are shown as the DER they are.
    assert_eq!(value("0c02c328"), ("#0c02c328".into(), false));
    assert_eq!(value("1e03006100"), ("#1e03006100".into(), false));
    assert_eq!(value("1e02d800"), ("#1e02d800".into(), false));
    assert_eq!(value("020101"), ("#020101".into(), false));
}

#[test]
fn a_value_that_is_no_string_survives_its_text() {
    check("CN=#0c02c328,O=a", "CN=#0c02c328,O=a");
}

#[test]
fn names_to_be_issued_are_held_to_the_rfc() {
    let make = |oid, value: &str| {
        DistinguishedName::from_attributes(&[(oid, value)]).map_err(|error| error.to_string())
    };
    assert!(make(oid::COMMON_NAME, &"a".repeat(64)).is_ok());
    assert_eq!(
        make(oid::COMMON_NAME, &"a".repeat(65)),
        Err("CN of 65 characters is over RFC 5280's 64".into())
    );
    assert_eq!(make(oid::COMMON_NAME, ""), Err("CN has no value".into()));
    assert_eq!(
        make(oid::COUNTRY, "Germany"),
        Err("country \"Germany\" is not an ISO 3166 code of two letters".into())
    );
    assert_eq!(
        make(oid::DOMAIN_COMPONENT, "bücher"),
        Err("DC \"bücher\" has characters outside IA5String".into())
    );
}

#[test]
fn the_common_name_is_the_most_specific() {
    let name: DistinguishedName = "CN=leaf,CN=branch,O=tree".parse().unwrap();
    assert_eq!(name.common_name(), Some("leaf"));
    assert_eq!(
        name.values(&oid::COMMON_NAME).collect::<Vec<_>>(),
        ["branch", "leaf"]
    );
    assert_eq!(
        "O=tree".parse::<DistinguishedName>().unwrap().common_name(),
        None
    );
}

#[test]
fn sizes_are_bounded() {
    let many = vec!["CN=a"; ATTRIBUTES_MAX + 1].join(",");
    assert!(refuse(&many).contains("at most 128"));
    assert!(refuse(&format!("CN={}", "a".repeat(NAME_OCTETS_MAX))).contains("octets"));
    assert!(refuse(&"a".repeat(48 * 1024 + 1)).contains("bytes of text"));
}

#[test]
fn names_that_are_not_der_are_refused() {
    for bytes in [
        "",
        "30",
        "3080",
        "300131",
        "30023100",
        "3000ff",
        "300b3109300706035504030c0161",
    ] {
        assert!(
            DistinguishedName::from_der(&hex::decode(bytes).unwrap()).is_err(),
            "{bytes}"
        );
    }
}

#[test]
fn a_name_is_text_in_json() {
    let name: DistinguishedName = "CN=a\\,b,O=c".parse().unwrap();
    let json = serde_json::to_string(&name).unwrap();
    assert_eq!(json, r#""CN=a\\,b,O=c""#);
    assert_eq!(
        serde_json::from_str::<DistinguishedName>(&json).unwrap(),
        name
    );
}

proptest! {
    #[test]
    fn any_value_survives_its_text(values in proptest::collection::vec("\\PC*|[\\x00-\\x7f]{0,8}", 1..5), plus in any::<bool>()) {
        let pairs: Vec<_> = values.iter().map(|value| (oid::ORGANIZATIONAL_UNIT, attribute_type::encode_value(&oid::ORGANIZATIONAL_UNIT, value))).collect();
        let rdns = if plus { vec![pairs] } else { pairs.into_iter().map(|pair| vec![pair]).collect() };
        let name = DistinguishedName::encode(&rdns).unwrap();
        let read: DistinguishedName = name.to_string().parse().unwrap();
        prop_assert_eq!(&read, &name);
        let mut expected = values.clone();
        let mut found: Vec<String> = read.attributes().map(|attribute| attribute.value.clone()).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}|[A-Z=,+#\\\\ 0-9a-f]{0,30}") {
        if let Ok(name) = text.parse::<DistinguishedName>() {
            let printed = name.to_string();
            prop_assert_eq!(printed.parse::<DistinguishedName>().unwrap(), name);
        }
    }
}
