//! Object identifiers this project names: attribute types, extensions, key purposes.

pub use der::asn1::ObjectIdentifier;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($value);)*
    };
}

identifiers! {
    /// commonName, CN (RFC 4519 §2.3).
    COMMON_NAME = "2.5.4.3";
    /// surname, SN (RFC 4519 §2.32).
    SURNAME = "2.5.4.4";
    /// serialNumber of a device or person (RFC 4519 §2.31); not a certificate's.
    SERIAL_NUMBER_ATTRIBUTE = "2.5.4.5";
    /// countryName, C (RFC 4519 §2.2).
    COUNTRY = "2.5.4.6";
    /// localityName, L (RFC 4519 §2.16).
    LOCALITY = "2.5.4.7";
    /// stateOrProvinceName, ST (RFC 4519 §2.33).
    STATE = "2.5.4.8";
    /// streetAddress, STREET (RFC 4519 §2.34).
    STREET = "2.5.4.9";
    /// organizationName, O (RFC 4519 §2.19).
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName, OU (RFC 4519 §2.20).
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// title (RFC 4519 §2.38).
    TITLE = "2.5.4.12";
    /// description (RFC 4519 §2.5).
    DESCRIPTION = "2.5.4.13";
    /// businessCategory (RFC 4519 §2.1).
    BUSINESS_CATEGORY = "2.5.4.15";
    /// postalCode (RFC 4519 §2.23).
    POSTAL_CODE = "2.5.4.17";
    /// name (RFC 4519 §2.18).
    NAME = "2.5.4.41";
    /// givenName, GN (RFC 4519 §2.12).
    GIVEN_NAME = "2.5.4.42";
    /// initials (RFC 4519 §2.14).
    INITIALS = "2.5.4.43";
    /// generationQualifier (RFC 4519 §2.11).
    GENERATION_QUALIFIER = "2.5.4.44";
    /// dnQualifier (RFC 4519 §2.8).
    DN_QUALIFIER = "2.5.4.46";
    /// pseudonym (RFC 3039 §3.1.2).
    PSEUDONYM = "2.5.4.65";
    /// organizationIdentifier (X.520 §6.4.4).
    ORGANIZATION_IDENTIFIER = "2.5.4.97";
    /// userId, UID (RFC 4519 §2.39).
    USER_ID = "0.9.2342.19200300.100.1.1";
    /// domainComponent, DC (RFC 4519 §2.4).
    DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25";
    /// emailAddress (RFC 2985 §5.2.1).
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";

    /// subjectKeyIdentifier (RFC 5280 §4.2.1.2).
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// keyUsage (RFC 5280 §4.2.1.3).
    KEY_USAGE = "2.5.29.15";
    /// subjectAltName (RFC 5280 §4.2.1.6).
    SUBJECT_ALT_NAME = "2.5.29.17";
    /// issuerAltName (RFC 5280 §4.2.1.7).
    ISSUER_ALT_NAME = "2.5.29.18";
    /// basicConstraints (RFC 5280 §4.2.1.9).
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// cRLNumber (RFC 5280 §5.2.3).
    CRL_NUMBER = "2.5.29.20";
    /// reasonCode of a CRL entry (RFC 5280 §5.3.1).
    REASON_CODE = "2.5.29.21";
    /// invalidityDate of a CRL entry (RFC 5280 §5.3.2).
    INVALIDITY_DATE = "2.5.29.24";
    /// deltaCRLIndicator (RFC 5280 §5.2.4).
    DELTA_CRL_INDICATOR = "2.5.29.27";
    /// issuingDistributionPoint (RFC 5280 §5.2.5).
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    /// certificateIssuer of a CRL entry (RFC 5280 §5.3.3).
    CERTIFICATE_ISSUER = "2.5.29.29";
    /// nameConstraints (RFC 5280 §4.2.1.10).
    NAME_CONSTRAINTS = "2.5.29.30";
    /// cRLDistributionPoints (RFC 5280 §4.2.1.13).
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// certificatePolicies (RFC 5280 §4.2.1.4).
    CERTIFICATE_POLICIES = "2.5.29.32";
    /// policyMappings (RFC 5280 §4.2.1.5).
    POLICY_MAPPINGS = "2.5.29.33";
    /// authorityKeyIdentifier (RFC 5280 §4.2.1.1).
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// policyConstraints (RFC 5280 §4.2.1.11).
    POLICY_CONSTRAINTS = "2.5.29.36";
    /// extKeyUsage (RFC 5280 §4.2.1.12).
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// freshestCRL (RFC 5280 §4.2.1.15).
    FRESHEST_CRL = "2.5.29.46";
    /// inhibitAnyPolicy (RFC 5280 §4.2.1.14).
    INHIBIT_ANY_POLICY = "2.5.29.54";
    /// authorityInfoAccess (RFC 5280 §4.2.2.1).
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    /// subjectInfoAccess (RFC 5280 §4.2.2.2).
    SUBJECT_INFO_ACCESS = "1.3.6.1.5.5.7.1.11";
    /// extensionRequest, the attribute of a CSR (RFC 2985 §5.4.2).
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

    /// anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    /// id-kp-serverAuth (RFC 5280 §4.2.1.12).
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth (RFC 5280 §4.2.1.12).
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// id-kp-codeSigning (RFC 5280 §4.2.1.12).
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// id-kp-emailProtection (RFC 5280 §4.2.1.12).
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
    /// id-kp-timeStamping (RFC 5280 §4.2.1.12).
    TIME_STAMPING = "1.3.6.1.5.5.7.3.8";
    /// id-kp-OCSPSigning (RFC 5280 §4.2.1.12).
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
}
