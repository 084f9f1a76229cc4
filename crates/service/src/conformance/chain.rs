//! `chain`: certificate paths.

use bowline_x509::path::{self, PathRules, Purpose};
use bowline_x509::{Certificate, GeneralName, Time, pem};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Rejection, certificates, crls, reject};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainCase {
    #[serde(rename = "id")]
    _id: Value,
    leaf: String,
    #[serde(default)]
    intermediates: Vec<String>,
    anchors: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    at: Time,
    #[serde(default)]
    purpose: PurposeName,
    #[serde(default)]
    names: Vec<NameCase>,
    #[serde(default)]
    max_intermediates: Option<usize>,
    #[serde(default = "yes")]
    strict: bool,
    #[serde(default)]
    require_crl: bool,
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PurposeName {
    #[default]
    Any,
    Client,
    Server,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameCase {
    kind: NameKind,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NameKind {
    Dns,
    Ip,
    Email,
}

impl NameCase {
    fn name(&self) -> Result<GeneralName, Rejection> {
        Ok(match self.kind {
            NameKind::Dns => GeneralName::Dns(self.value.clone()),
            NameKind::Email => GeneralName::Email(self.value.clone()),
            NameKind::Ip => {
                let address = self.value.parse();
                GeneralName::Ip(address.map_err(|_| {
                    reject("case_malformed", format!("{:?} is no address", self.value))
                })?)
            }
        })
    }
}

impl ChainCase {
    pub(super) fn answer(&self) -> Result<Value, Rejection> {
        let leaf = one_certificate(&self.leaf)?;
        let intermediates = certificates(&self.intermediates)?;
        let anchors = certificates(&self.anchors)?;
        let crls = crls(&self.crls)?;
        let mut rules = if self.strict {
            PathRules::strict()
        } else {
            PathRules::authentication()
        };
        rules.require_crl = self.require_crl;
        rules.names = self
            .names
            .iter()
            .map(NameCase::name)
            .collect::<Result<_, _>>()?;
        rules.purpose = match self.purpose {
            PurposeName::Any => Purpose::Any,
            PurposeName::Client => Purpose::Client,
            PurposeName::Server => Purpose::Server,
        };
        if let Some(most) = self.max_intermediates {
            rules.max_intermediates = most;
        }
        let path = path::verify(&leaf, &intermediates, &anchors, &crls, &rules, self.at)?;
        let subjects: Vec<String> = path
            .certificates()
            .iter()
            .map(|certificate| certificate.subject().to_string())
            .collect();
        Ok(json!({ "path": subjects }))
    }
}

fn one_certificate(text: &str) -> Result<Certificate, Rejection> {
    let mut all = pem::certificates(text.as_bytes())?;
    match (all.pop(), all.len()) {
        (Some(certificate), 0) => Ok(certificate),
        (Some(_) | None, others) => Err(reject(
            "case_malformed",
            format!("the leaf is one certificate, not {}", others + 1),
        )),
    }
}
