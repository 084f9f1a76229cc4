//! What the attributes of an assertion mean: those for the session, and those that a trust policy may test.

use std::collections::BTreeMap;

use super::refusal::AssertionRefusal;
use super::tags::{SessionTags, source_identity};
use crate::ids::excerpt;
use crate::record::SESSION_NAME;

/// Attributes by their names; the values of one that stands twice are joined.
#[derive(Debug, Default)]
pub(crate) struct Attributes(pub(crate) BTreeMap<String, Vec<String>>);

impl Attributes {
    /// The pairs of role and provider that the subject may choose from, either way round.
    pub(crate) fn roles(&self) -> Result<Vec<(String, String)>, AssertionRefusal> {
        let values = self
            .0
            .get(&of_aws("Role"))
            .ok_or_else(|| refuse("Role", "it is missing: it names `role ARN,provider ARN`"))?;
        values
            .iter()
            .map(|value| {
                let halves: Vec<&str> = value.split(',').map(str::trim).collect();
                match halves[..] {
                    [one, other] if other.contains(":saml-provider/") => {
                        Ok((one.to_owned(), other.to_owned()))
                    }
                    [one, other] if one.contains(":saml-provider/") => {
                        Ok((other.to_owned(), one.to_owned()))
                    }
                    _ => Err(refuse(
                        "Role",
                        format!("`{}` is not `role ARN,provider ARN`", excerpt(value)),
                    )),
                }
            })
            .collect()
    }

    /// The name of the session.
    pub(crate) fn session_name(&self) -> Result<String, AssertionRefusal> {
        let name = self.single("RoleSessionName")?;
        let name = name.ok_or_else(|| refuse("RoleSessionName", "it is missing"))?;
        SESSION_NAME
            .check("session name", name)
            .map_err(|error| refuse("RoleSessionName", error.to_string()))?;
        Ok(name.to_owned())
    }

    /// How long a session may last, in seconds, where it says so.
    pub(crate) fn session_duration(&self) -> Result<Option<u32>, AssertionRefusal> {
        self.single("SessionDuration")?
            .map(|text| {
                let seconds = text.parse().ok();
                seconds
                    .filter(|seconds| crate::profile::DURATION_SECONDS.contains(seconds))
                    .ok_or_else(|| {
                        refuse(
                            "SessionDuration",
                            format!("`{}` is not 900 to 43200 seconds", excerpt(text)),
                        )
                    })
            })
            .transpose()
    }

    /// Who is behind the session, where it says so.
    pub(crate) fn source_identity(&self) -> Result<Option<String>, AssertionRefusal> {
        self.single("SourceIdentity")?
            .map(|text| source_identity(text).map_err(|why| refuse("SourceIdentity", why)))
            .transpose()
    }

    /// The session tags.
    pub(crate) fn tags(&self) -> Result<SessionTags, AssertionRefusal> {
        let mut tags = SessionTags::default();
        let prefix = of_aws("PrincipalTag:");
        for (name, values) in &self.0 {
            let Some(key) = name.strip_prefix(&prefix) else {
                continue;
            };
            let [value] = &values[..] else {
                return Err(refuse(
                    "PrincipalTag",
                    format!("tag {key} has not one value"),
                ));
            };
            tags.add(key, value)
                .map_err(|why| refuse("PrincipalTag", why))?;
        }
        let transitive = self.0.get(&of_aws("TransitiveTagKeys"));
        tags.set_transitive(transitive.cloned().unwrap_or_default())
            .map_err(|why| refuse("TransitiveTagKeys", why))?;
        Ok(tags)
    }

    /// The attributes that are condition keys, as IAM has them.
    pub(crate) fn condition_keys(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        CONDITION_KEYS.iter().filter_map(|(name, key)| {
            let values = self.0.get(*name)?;
            Some((format!("saml:{key}"), values.clone()))
        })
    }

    fn single(&self, name: &'static str) -> Result<Option<&str>, AssertionRefusal> {
        match self.0.get(&of_aws(name)).map(Vec::as_slice) {
            None => Ok(None),
            Some([one]) => Ok(Some(one)),
            Some(_) => Err(refuse(name, "it has not one value")),
        }
    }
}

fn of_aws(name: &str) -> String {
    format!("https://aws.amazon.com/SAML/Attributes/{name}")
}

fn refuse(attribute: &str, why: impl Into<String>) -> AssertionRefusal {
    AssertionRefusal::Attribute {
        attribute: attribute.into(),
        why: why.into(),
    }
}

/// Attributes by the names that identity providers give them, and the keys of IAM (without `saml:`).
const CONDITION_KEYS: [(&str, &str); 29] = [
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "edupersonaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.2", "edupersonnickname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.3", "edupersonorgdn"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.4", "edupersonorgunitdn"),
    (
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.5",
        "edupersonprimaryaffiliation",
    ),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "edupersonprincipalname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.7", "edupersonentitlement"),
    (
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.8",
        "edupersonprimaryorgunitdn",
    ),
    (
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.9",
        "edupersonscopedaffiliation",
    ),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.10", "edupersontargetedid"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.11", "edupersonassurance"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.2", "eduorghomepageuri"),
    (
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.3",
        "eduorgidentityauthnpolicyuri",
    ),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.4", "eduorglegalname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.5", "eduorgsuperioruri"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.6", "eduorgwhitepagesuri"),
    ("urn:oid:2.5.4.3", "cn"),
    ("http://schemas.xmlsoap.org/claims/CommonName", "commonName"),
    (
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
        "givenName",
    ),
    ("urn:oid:2.5.4.42", "givenName"),
    (
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "mail",
    ),
    ("urn:oid:0.9.2342.19200300.100.1.3", "mail"),
    (
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
        "name",
    ),
    ("urn:oid:2.5.4.41", "name"),
    (
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid",
        "primaryGroupSID",
    ),
    (
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
        "surname",
    ),
    ("urn:oid:2.5.4.4", "surname"),
    ("urn:oid:0.9.2342.19200300.100.1.1", "uid"),
    ("urn:oid:2.5.4.45", "x500UniqueIdentifier"),
];
