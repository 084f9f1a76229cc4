use super::*;

fn specifiers(mappings: &AttributeMappings) -> Vec<(&'static str, Vec<&str>)> {
    mappings
        .iter()
        .map(|mapping| {
            let rules = mapping
                .mapping_rules
                .iter()
                .map(|rule| rule.specifier.as_str())
                .collect();
            (mapping.certificate_field.as_str(), rules)
        })
        .collect()
}

#[test]
fn the_default_is_everything_in_the_order_of_the_wire() {
    let json = serde_json::to_string(&AttributeMappings::default()).unwrap();
    assert_eq!(
        json,
        r#"[{"certificateField":"x509Issuer","mappingRules":[{"specifier":"*"}]},{"certificateField":"x509SAN","mappingRules":[{"specifier":"DNS"},{"specifier":"URI"},{"specifier":"Name/*"}]},{"certificateField":"x509Subject","mappingRules":[{"specifier":"*"}]}]"#
    );
    assert_eq!(
        serde_json::from_str::<AttributeMappings>(&json).unwrap(),
        AttributeMappings::default()
    );
}

#[test]
fn name_is_kept_as_all_of_the_name() {
    let mut mappings = AttributeMappings::none();
    mappings
        .put(
            CertificateField::SubjectAlternativeName,
            &["Name", "Name/", "Name/*", "Name/CN"],
        )
        .unwrap();
    assert_eq!(
        specifiers(&mappings),
        [("x509SAN", vec!["Name/*", "Name/CN"])]
    );
}

#[test]
fn put_replaces_the_rules_of_one_field_and_keeps_the_order() {
    let mut mappings = AttributeMappings::none();
    mappings.put(CertificateField::Subject, &["*"]).unwrap();
    mappings.put(CertificateField::Issuer, &["CN"]).unwrap();
    mappings
        .put(CertificateField::Subject, &["CN", "OU", "CN"])
        .unwrap();
    assert_eq!(
        specifiers(&mappings),
        [
            ("x509Issuer", vec!["CN"]),
            ("x509Subject", vec!["CN", "OU"])
        ]
    );
}

#[test]
fn delete_removes_the_named_rules_or_the_whole_field() {
    let mut mappings = AttributeMappings::default();
    mappings
        .delete(CertificateField::SubjectAlternativeName, &["URI", "Name"])
        .unwrap();
    mappings.delete(CertificateField::Issuer, &[]).unwrap();
    mappings.delete(CertificateField::Subject, &["*"]).unwrap();
    assert_eq!(specifiers(&mappings), [("x509SAN", vec!["DNS"])]);
}

#[test]
fn specifiers_without_a_meaning_are_refused() {
    use CertificateField::{Issuer, Subject, SubjectAlternativeName};
    for (field, text) in [
        (Subject, ""),
        (Subject, "C N"),
        (Subject, "CN/*"),
        (Subject, "2..5"),
        (Subject, "1CN"),
        (Issuer, "**"),
        (SubjectAlternativeName, "*"),
        (SubjectAlternativeName, "DNS/*"),
        (SubjectAlternativeName, "URI/*"),
        (SubjectAlternativeName, "Email"),
        (SubjectAlternativeName, "Name/CN/O"),
        (
            Subject,
            "a23456789012345678901234567890123456789012345678901234567890x",
        ),
    ] {
        let mut mappings = AttributeMappings::default();
        assert!(mappings.put(field, &[text]).is_err(), "{field} {text}");
        assert_eq!(
            mappings,
            AttributeMappings::default(),
            "a refusal changes nothing"
        );
    }
    assert_eq!(
        AttributeMappings::default().put(Subject, &[]),
        Err(MappingError::NoRules { field: Subject })
    );
}

#[test]
fn fields_are_read_by_their_wire_names() {
    assert_eq!(
        "x509SAN".parse(),
        Ok(CertificateField::SubjectAlternativeName)
    );
    assert!("X509san".parse::<CertificateField>().is_err());
}
