//! SAML assertions: responses of the web browser SSO profile (SAML Profiles 2.0 §4.1.4), as
//! `AssumeRoleWithSAML` takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::{PublicKey, Time};
use uppsala::{Document, NodeId};

use super::CLOCK_SKEW_MAX;
use super::attributes::Attributes;
use super::provider::SamlProvider;
use super::refusal::AssertionRefusal;
use super::xml::{self, DS, SAML, SAMLP};
use super::xmldsig::verify_enveloped;
use crate::federated::{FederatedIdentity, FederationKind};
use crate::ids::excerpt;

/// For whom an assertion may be, and where it may be delivered.
#[derive(Debug, Clone)]
pub struct AcceptedEndpoints {
    /// Audiences; one of them must be in every restriction.
    pub audiences: Vec<String>,
    /// Recipients of a bearer confirmation.
    pub recipients: Vec<String>,
}

/// Whom a verified assertion speaks of, and what it lets them choose.
#[derive(Debug, Clone)]
pub struct SamlIdentity {
    /// Who it is.
    pub identity: FederatedIdentity,
    /// What the session is called.
    pub role_session_name: String,
    /// The longest session in seconds, where the assertion says so.
    pub session_duration: Option<u32>,
    /// The kind of the subject's name: `persistent`, `transient`, or the whole format.
    pub subject_type: String,
    /// Names the subject together with its issuer, account and provider.
    pub name_qualifier: String,
    /// The assertion's id. It is good for one session.
    pub assertion_id: String,
    /// From when on the assertion is not believed anyway.
    pub assertion_end: Time,
}

/// Verifies a response of a provider, base64 as it is posted, for a role that it must name.
pub fn verify_saml_assertion(
    encoded: &str,
    provider: &SamlProvider,
    partition: &str,
    role_arn: &str,
    accepted: &AcceptedEndpoints,
    now: Time,
) -> Result<SamlIdentity, AssertionRefusal> {
    // 1. Text, and a document of the shape that is read.
    if let Some(until) = provider.metadata.valid_until.filter(|until| *until <= now) {
        return Err(AssertionRefusal::MetadataEnded {
            provider: provider.name.clone(),
            until,
        });
    }
    let text = decode(encoded)?;
    let document = xml::parse(&text)?;
    let response = xml::root(&document, SAMLP, "Response")?;
    check_ids(&document)?;
    let assertion = only_assertion(&document, response)?;
    check_signature_places(&document, response, assertion)?;

    // 2. What was signed, by a key of the metadata. From here on nothing else is read.
    let keys: Vec<&PublicKey> = provider
        .metadata
        .certificates
        .iter()
        .filter_map(|certificate| certificate.public_key().ok())
        .collect();
    let signed = |element| match xml::children(&document, element, DS, "Signature").first() {
        Some(signature) => {
            verify_enveloped(&document, element, *signature, &keys, &provider.name).map(Some)
        }
        None => Ok(None),
    };
    let (signed_response, signed_assertion) = (signed(response)?, signed(assertion)?);
    // What an unsigned response says around a signed assertion can only have it refused.
    check_response(
        &xml::parse(signed_response.as_deref().unwrap_or(&text))?,
        accepted,
    )?;
    let read = signed_assertion
        .or(signed_response)
        .ok_or(AssertionRefusal::Unsigned)?;
    let document = xml::parse(&read)?;
    let assertion = match xml::root(&document, SAML, "Assertion") {
        Ok(assertion) => assertion,
        Err(_) => only_assertion(&document, xml::root(&document, SAMLP, "Response")?)?,
    };

    // 3. What it says.
    Reader {
        document: &document,
        assertion,
        provider,
        accepted,
        now,
    }
    .read(partition, role_arn)
}

/// Base64 of UTF-8 text, within the limits of STS.
fn decode(encoded: &str) -> Result<String, AssertionRefusal> {
    let characters = encoded.len();
    if !ASSERTION_CHARACTERS.contains(&characters) {
        return Err(AssertionRefusal::Length {
            characters,
            least: *ASSERTION_CHARACTERS.start(),
            most: *ASSERTION_CHARACTERS.end(),
        });
    }
    xml::base64(encoded)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(AssertionRefusal::Encoding)
}

/// No id stands twice, whatever the attribute is called: a reference must lead to one element.
fn check_ids(document: &Document<'_>) -> Result<(), AssertionRefusal> {
    let mut seen = BTreeSet::new();
    for id in document.descendants(document.root()) {
        let Some(element) = document.element(id) else {
            continue;
        };
        for attribute in &element.attributes {
            let is_id = attribute.name.local_name.eq_ignore_ascii_case("id")
                || attribute.name.local_name == "AssertionID";
            if is_id && !seen.insert(attribute.value.to_string()) {
                return Err(AssertionRefusal::IdTwice {
                    id: excerpt(&attribute.value),
                });
            }
        }
    }
    Ok(())
}

/// The assertion directly in the response, which must be the only one anywhere in it.
fn only_assertion(document: &Document<'_>, response: NodeId) -> Result<NodeId, AssertionRefusal> {
    let inside = document.descendants(response);
    let named = |name| {
        inside
            .iter()
            .filter(|id| xml::is(document, **id, SAML, name))
            .count()
    };
    if named("EncryptedAssertion") + named("EncryptedID") + named("EncryptedAttribute") > 0 {
        return Err(AssertionRefusal::Shape {
            element: "EncryptedAssertion",
            why: "encrypted parts are not read: have the provider send them in the clear, over TLS",
        });
    }
    if named("Assertion") > 1 {
        return Err(AssertionRefusal::Shape {
            element: "Assertion",
            why: "it stands more than once",
        });
    }
    xml::only(document, response, SAML, "Assertion")
}

/// Signatures stand directly in the response and in the assertion, one each, and nowhere else.
fn check_signature_places(
    document: &Document<'_>,
    response: NodeId,
    assertion: NodeId,
) -> Result<(), AssertionRefusal> {
    let everywhere = document
        .descendants(document.root())
        .into_iter()
        .filter(|id| xml::is(document, *id, DS, "Signature"))
        .count();
    let at = |element| xml::children(document, element, DS, "Signature").len();
    match (at(response), at(assertion)) {
        (0, 0) if everywhere == 0 => Err(AssertionRefusal::Unsigned),
        (of_response @ 0..=1, of_assertion @ 0..=1) if of_response + of_assertion == everywhere => {
            Ok(())
        }
        _ => Err(AssertionRefusal::SignatureForm {
            why: "signatures stand elsewhere than once in the response and once in the assertion",
        }),
    }
}

/// What the response says beside its assertion (SAML Core §3.2.2).
fn check_response(
    document: &Document<'_>,
    accepted: &AcceptedEndpoints,
) -> Result<(), AssertionRefusal> {
    let response = xml::root(document, SAMLP, "Response")?;
    let status = xml::only(document, response, SAMLP, "Status")?;
    let code = xml::only(document, status, SAMLP, "StatusCode")?;
    let value = xml::attribute(document, code, "Value").unwrap_or_default();
    if value != "urn:oasis:names:tc:SAML:2.0:status:Success" {
        return Err(AssertionRefusal::Status {
            status: excerpt(value),
        });
    }
    match xml::attribute(document, response, "Destination") {
        Some(found)
            if !found.is_empty() && !accepted.recipients.iter().any(|known| known == found) =>
        {
            Err(AssertionRefusal::Recipient {
                found: excerpt(found),
                accepted: accepted.recipients.join(", "),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Reads a signed assertion.
struct Reader<'a> {
    document: &'a Document<'a>,
    assertion: NodeId,
    provider: &'a SamlProvider,
    accepted: &'a AcceptedEndpoints,
    now: Time,
}

impl Reader<'_> {
    fn read(&self, partition: &str, role_arn: &str) -> Result<SamlIdentity, AssertionRefusal> {
        let (document, assertion) = (self.document, self.assertion);
        if xml::attribute(document, assertion, "Version") != Some("2.0") {
            return Err(shape("Assertion", "its version is not 2.0"));
        }
        let id = xml::attribute(document, assertion, "ID")
            .filter(|id| !id.is_empty())
            .ok_or(shape("Assertion", "its ID is missing"))?;
        self.begins("issue instant", self.time(assertion, "IssueInstant")?)?;
        let issuer = xml::only(document, assertion, SAML, "Issuer")?;
        let issuer = xml::text(document, issuer, "Issuer")?;
        if issuer != self.provider.metadata.entity_id {
            return Err(AssertionRefusal::Issuer {
                found: excerpt(&issuer),
                provider: self.provider.name.clone(),
                expected: self.provider.metadata.entity_id.clone(),
            });
        }
        let recipient = self.subject_confirmation()?;
        let confirmed_until = self.confirmable_until()?;
        let conditions_end = self.conditions()?;
        let session_end = self.authentication()?;
        let attributes = self.attributes()?;
        let provider_arn = self.provider.arn(partition);
        let roles = attributes.roles()?;
        if !roles
            .iter()
            .any(|(role, provider)| role == role_arn && *provider == provider_arn)
        {
            return Err(AssertionRefusal::RoleNotNamed {
                role: excerpt(role_arn),
                provider: provider_arn,
                named: roles.iter().map(|(role, _)| excerpt(role)).collect(),
            });
        }

        let (subject, subject_type) = self.name()?;
        let name_qualifier = self.name_qualifier(&issuer);
        let mut keys: BTreeMap<String, Vec<String>> = attributes.condition_keys().collect();
        let doc = format!("{}/{}", self.provider.account, self.provider.name);
        for (key, value) in [
            ("saml:aud", &recipient),
            ("saml:iss", &issuer),
            ("saml:sub", &subject),
            ("saml:sub_type", &subject_type),
            ("saml:namequalifier", &name_qualifier),
            ("saml:doc", &doc),
        ] {
            keys.insert(key.into(), vec![value.clone()]);
        }
        let tags = attributes.tags()?;
        Ok(SamlIdentity {
            role_session_name: attributes.session_name()?,
            session_duration: attributes.session_duration()?,
            subject_type,
            name_qualifier,
            assertion_id: id.to_owned(),
            assertion_end: conditions_end.map_or(confirmed_until, |end| end.min(confirmed_until)),
            identity: FederatedIdentity {
                kind: FederationKind::Saml,
                provider_arn,
                subject,
                issuer,
                audience: recipient,
                keys,
                tags: tags.tags,
                transitive_tag_keys: tags.transitive,
                source_identity: attributes.source_identity()?,
                not_after: session_end,
            },
        })
    }

    /// The subject's name, and of what kind it is.
    fn name(&self) -> Result<(String, String), AssertionRefusal> {
        let subject = xml::only(self.document, self.assertion, SAML, "Subject")?;
        let name = xml::only(self.document, subject, SAML, "NameID")?;
        let text = xml::text(self.document, name, "NameID")?;
        if text.is_empty() || text.chars().count() > SUBJECT_CHARACTERS_MAX {
            return Err(shape("NameID", "it is empty or over 256 characters"));
        }
        let format = xml::attribute(self.document, name, "Format");
        let format = format.unwrap_or("urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified");
        let short = format
            .strip_prefix("urn:oasis:names:tc:SAML:2.0:nameid-format:")
            .filter(|name| ["persistent", "transient"].contains(name));
        Ok((text, short.unwrap_or(format).to_owned()))
    }

    /// A bearer confirmation that is delivered here and in time (SAML Profiles 2.0 §4.1.4.2): where.
    fn subject_confirmation(&self) -> Result<String, AssertionRefusal> {
        let mut refusal = shape("SubjectConfirmation", "there is none for a bearer");
        for data in self.bearer_confirmations()? {
            match self.bearer(data) {
                Ok(recipient) => return Ok(recipient),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// When the last of the bearer confirmations ends. Until then the assertion could be brought again, though under
    /// another of them than now.
    fn confirmable_until(&self) -> Result<Time, AssertionRefusal> {
        let mut until = self.now;
        for data in self.bearer_confirmations()? {
            until = until.max(self.time(data, "NotOnOrAfter")?.unwrap_or(self.now));
        }
        Ok(until)
    }

    fn bearer_confirmations(&self) -> Result<Vec<NodeId>, AssertionRefusal> {
        let document = self.document;
        let subject = xml::only(document, self.assertion, SAML, "Subject")?;
        xml::children(document, subject, SAML, "SubjectConfirmation")
            .into_iter()
            .filter(|confirmation| {
                xml::attribute(document, *confirmation, "Method")
                    == Some("urn:oasis:names:tc:SAML:2.0:cm:bearer")
            })
            .map(|confirmation| xml::only(document, confirmation, SAML, "SubjectConfirmationData"))
            .collect()
    }

    fn bearer(&self, data: NodeId) -> Result<String, AssertionRefusal> {
        let recipient = xml::attribute(self.document, data, "Recipient").unwrap_or_default();
        if !self
            .accepted
            .recipients
            .iter()
            .any(|known| known == recipient)
        {
            return Err(AssertionRefusal::Recipient {
                found: excerpt(recipient),
                accepted: self.accepted.recipients.join(", "),
            });
        }
        self.begins("confirmation's beginning", self.time(data, "NotBefore")?)?;
        let end = self.time(data, "NotOnOrAfter")?.ok_or(shape(
            "SubjectConfirmationData",
            "its NotOnOrAfter is missing",
        ))?;
        self.ends("confirmation's end", Some(end))?;
        Ok(recipient.to_owned())
    }

    /// The conditions (SAML Core §2.5.1): one that is not understood makes the assertion unusable.
    fn conditions(&self) -> Result<Option<Time>, AssertionRefusal> {
        let document = self.document;
        let conditions = xml::only(document, self.assertion, SAML, "Conditions")?;
        self.begins("beginning", self.time(conditions, "NotBefore")?)?;
        let end = self.time(conditions, "NotOnOrAfter")?;
        self.ends("end", end)?;
        let mut restricted = false;
        for condition in xml::elements(document, conditions) {
            if xml::is(document, condition, SAML, "AudienceRestriction") {
                self.audience(condition)?;
                restricted = true;
            } else if !["OneTimeUse", "ProxyRestriction"]
                .iter()
                .any(|name| xml::is(document, condition, SAML, name))
            {
                return Err(shape("Conditions", "they hold one that is not understood"));
            }
        }
        if !restricted {
            return Err(shape("AudienceRestriction", "it is missing"));
        }
        Ok(end)
    }

    fn audience(&self, restriction: NodeId) -> Result<(), AssertionRefusal> {
        let audiences = xml::children(self.document, restriction, SAML, "Audience")
            .into_iter()
            .map(|audience| xml::text(self.document, audience, "Audience"))
            .collect::<Result<Vec<_>, _>>()?;
        if audiences
            .iter()
            .any(|audience| self.accepted.audiences.contains(audience))
        {
            return Ok(());
        }
        Err(AssertionRefusal::Audience {
            found: excerpt(&audiences.join(", ")),
            accepted: self.accepted.audiences.join(", "),
        })
    }

    /// That somebody was authenticated, and until when a session of it may last.
    fn authentication(&self) -> Result<Option<Time>, AssertionRefusal> {
        let statements = xml::children(self.document, self.assertion, SAML, "AuthnStatement");
        if statements.is_empty() {
            return Err(shape("AuthnStatement", "it is missing"));
        }
        let mut end: Option<Time> = None;
        for statement in statements {
            let this = self.time(statement, "SessionNotOnOrAfter")?;
            self.ends("session's end", this)?;
            end = end.into_iter().chain(this).min();
        }
        Ok(end)
    }

    fn attributes(&self) -> Result<Attributes, AssertionRefusal> {
        let document = self.document;
        let mut attributes = Attributes::default();
        for statement in xml::children(document, self.assertion, SAML, "AttributeStatement") {
            for attribute in xml::children(document, statement, SAML, "Attribute") {
                let name = xml::attribute(document, attribute, "Name")
                    .ok_or(shape("Attribute", "its Name is missing"))?;
                let values = attributes.0.entry(name.to_owned()).or_default();
                for value in xml::children(document, attribute, SAML, "AttributeValue") {
                    // A value may be a whole element (eduPersonTargetedID is a NameID): its text is what counts.
                    let text = document.text_content_deep(value);
                    values.push(xml::trimmed(&text).to_owned());
                }
            }
        }
        Ok(attributes)
    }

    /// As IAM makes it: base64 of SHA-1 over issuer, account and provider. A name, not a proof.
    fn name_qualifier(&self, issuer: &str) -> String {
        let text = format!("{issuer}{}/{}", self.provider.account, self.provider.name);
        STANDARD.encode(digest::digest(
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            text.as_bytes(),
        ))
    }

    fn time(&self, id: NodeId, name: &'static str) -> Result<Option<Time>, AssertionRefusal> {
        xml::time(self.document, id, name)
    }

    fn begins(&self, what: &'static str, at: Option<Time>) -> Result<(), AssertionRefusal> {
        match at {
            Some(at) if at > self.now + CLOCK_SKEW_MAX => Err(AssertionRefusal::Early {
                what,
                at,
                now: self.now,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn ends(&self, what: &'static str, at: Option<Time>) -> Result<(), AssertionRefusal> {
        match at {
            Some(at) if at <= self.now => Err(AssertionRefusal::Expired {
                what,
                at,
                now: self.now,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn shape(element: &'static str, why: &'static str) -> AssertionRefusal {
    AssertionRefusal::Shape { element, why }
}

/// How long a response in base64 is: the limits of STS.
pub const ASSERTION_CHARACTERS: RangeInclusive<usize> = 4..=100_000;
/// The audience that every identity provider's preset for AWS has.
pub const SAML_AUDIENCE: &str = "urn:amazon:webservices";
/// The recipient that every identity provider's preset for AWS has.
pub const SAML_RECIPIENT: &str = "https://signin.aws.amazon.com/saml";
/// The longest name of a subject (SAML Core §8.3.7 has 256 for persistent ones).
const SUBJECT_CHARACTERS_MAX: usize = 256;
