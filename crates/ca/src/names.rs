//! Which subject alternative names a profile allows, each judged by itself (RFC 5280 §4.2.1.6).

use std::fmt;

use bowline_x509::{GeneralName, GeneralNameError};
use serde::{Serialize, Serializer};

use crate::error::{ProfileError, shown};
use crate::profile::joined;

/// A kind of subject alternative name that a profile can allow (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NameKind {
    /// dNSName.
    #[serde(rename = "DNS")]
    Dns,
    /// iPAddress.
    #[serde(rename = "IP")]
    Ip,
    /// uniformResourceIdentifier.
    #[serde(rename = "URI")]
    Uri,
    /// rfc822Name.
    #[serde(rename = "email")]
    Email,
    /// directoryName.
    #[serde(rename = "dirName")]
    DirectoryName,
}

impl NameKind {
    /// The kind of a name; none for those that no profile can allow.
    fn of(name: &GeneralName) -> Option<NameKind> {
        match name {
            GeneralName::Dns(_) => Some(NameKind::Dns),
            GeneralName::Ip(_) => Some(NameKind::Ip),
            GeneralName::Uri(_) => Some(NameKind::Uri),
            GeneralName::Email(_) => Some(NameKind::Email),
            GeneralName::DirectoryName(_) => Some(NameKind::DirectoryName),
            GeneralName::Other(_) => None,
        }
    }

    /// The word in front of the colon where such names are shown.
    pub fn label(self) -> &'static str {
        match self {
            NameKind::Dns => "DNS",
            NameKind::Ip => "IP",
            NameKind::Uri => "URI",
            NameKind::Email => "email",
            NameKind::DirectoryName => "dirName",
        }
    }
}

/// A pattern over names of one kind, written as names are shown: `DNS:*.web.example`, `URI:spiffe://example/*`.
///
/// A star stands for any characters, dots and slashes included. DNS names and email addresses match in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    kind: NameKind,
    pattern: String,
}

impl NamePattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<NamePattern, ProfileError> {
        let kinds = [NameKind::Dns, NameKind::Ip, NameKind::Uri, NameKind::Email];
        let (label, pattern) = text.split_once(':').unwrap_or(("", text));
        let kind = kinds
            .into_iter()
            .find(|kind| kind.label().eq_ignore_ascii_case(label));
        match kind {
            Some(kind) if !pattern.is_empty() => Ok(NamePattern {
                kind,
                pattern: pattern.to_owned(),
            }),
            _ => Err(ProfileError::NamePatternSyntax {
                pattern: shown(text),
            }),
        }
    }

    /// Whether a name is of this kind and fits.
    pub fn matches(&self, name: &GeneralName) -> bool {
        let fold = |text: &str| text.to_ascii_lowercase();
        match (self.kind, name) {
            (NameKind::Dns, GeneralName::Dns(text))
            | (NameKind::Email, GeneralName::Email(text)) => {
                glob(fold(&self.pattern).as_bytes(), fold(text).as_bytes())
            }
            (NameKind::Uri, GeneralName::Uri(text)) => {
                glob(self.pattern.as_bytes(), text.as_bytes())
            }
            (NameKind::Ip, GeneralName::Ip(address)) => {
                glob(self.pattern.as_bytes(), address.to_string().as_bytes())
            }
            _ => false,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.label(), self.pattern)
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A profile's rules for subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameRules {
    kinds: Vec<NameKind>,
    wildcards: bool,
    permitted: Option<Vec<NamePattern>>,
}

impl NameRules {
    /// Any well-formed name of these kinds, wildcards excepted.
    pub(crate) fn new(kinds: &[NameKind]) -> NameRules {
        NameRules {
            kinds: kinds.to_vec(),
            wildcards: false,
            permitted: None,
        }
    }

    /// The same, with `*.name.example` allowed.
    pub(crate) fn with_wildcards(self) -> NameRules {
        NameRules {
            wildcards: true,
            ..self
        }
    }

    /// The same, with every name held against these patterns.
    pub(crate) fn restricted_to(self, permitted: Vec<NamePattern>) -> NameRules {
        NameRules {
            permitted: Some(permitted),
            ..self
        }
    }

    /// The kinds that are allowed.
    pub fn kinds(&self) -> &[NameKind] {
        &self.kinds
    }

    /// Whether `*.name.example` is allowed.
    pub fn wildcards(&self) -> bool {
        self.wildcards
    }

    /// The patterns, one of which every name must match; absent means that any name will do.
    pub fn permitted(&self) -> Option<&[NamePattern]> {
        self.permitted.as_deref()
    }

    /// Judges one name.
    pub(crate) fn check(&self, profile: &str, name: &GeneralName) -> Result<(), ProfileError> {
        if !NameKind::of(name).is_some_and(|kind| self.kinds.contains(&kind)) {
            return Err(ProfileError::NameKind {
                profile: profile.to_owned(),
                name: name.to_string(),
                allowed: joined(self.kinds.iter().map(|kind| kind.label())),
            });
        }
        match name {
            GeneralName::Dns(text) => {
                GeneralName::dns(text)?;
                if let Some(parent) = text.strip_prefix("*.") {
                    self.check_wildcard(profile, text, parent)?;
                }
            }
            GeneralName::Email(text) => drop(GeneralName::email(text)?),
            GeneralName::Uri(text) => drop(GeneralName::uri(text)?),
            GeneralName::Ip(_) | GeneralName::DirectoryName(_) | GeneralName::Other(_) => {}
        }
        match &self.permitted {
            Some(permitted) if !permitted.iter().any(|pattern| pattern.matches(name)) => {
                Err(ProfileError::NameNotPermitted {
                    profile: profile.to_owned(),
                    name: name.to_string(),
                    permitted: permitted
                        .iter()
                        .map(NamePattern::to_string)
                        .collect::<Vec<_>>()
                        .join(", "),
                })
            }
            _ => Ok(()),
        }
    }

    /// Judges `*.parent`: the profile must say so, and a whole top-level domain is never meant.
    fn check_wildcard(&self, profile: &str, name: &str, parent: &str) -> Result<(), ProfileError> {
        if !self.wildcards {
            return Err(ProfileError::Wildcard {
                profile: profile.to_owned(),
                name: name.to_owned(),
            });
        }
        if !parent.contains('.') {
            let rule = "a wildcard stands under at least two labels";
            return Err(GeneralNameError::Dns {
                name: name.to_owned(),
                rule,
            }
            .into());
        }
        Ok(())
    }
}

/// Whether the text fits the pattern, where a star stands for any bytes. Costs at most pattern × text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The last star, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rules: &NameRules, name: GeneralName) -> &'static str {
        rules
            .check("test", &name)
            .map_or_else(|error| error.code(), |()| "ok")
    }

    fn dns(text: &str) -> GeneralName {
        GeneralName::Dns(text.to_owned())
    }

    #[test]
    fn dns_names_have_letters_digits_and_inner_hyphens() {
        let rules = NameRules::new(&[NameKind::Dns]);
        let long = format!("{}.example", "a".repeat(64));
        let too_long = vec!["a"; 128].join(".");
        for good in [
            "web-1",
            "web.example",
            "WEB.example",
            "1.2.3.web",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(code(&rules, dns(good)), "ok", "{good}");
        }
        for bad in [
            "",
            ".",
            "web.",
            ".web",
            "a..b",
            "-web",
            "web-",
            "we b",
            "web_1",
            "bücher.example",
            "10.0.0.1",
            "a\0b",
            "web,DNS:evil",
            "ẃeb",
            &long,
            &too_long,
        ] {
            assert_eq!(code(&rules, dns(bad)), "malformed_name", "{bad:?}");
        }
    }

    #[test]
    fn wildcards_need_a_profile_that_says_so_and_stand_alone_in_front() {
        let plain = NameRules::new(&[NameKind::Dns]);
        let wild = plain.clone().with_wildcards();
        assert_eq!(code(&plain, dns("*.web.example")), "wildcard_not_allowed");
        assert_eq!(code(&wild, dns("*.web.example")), "ok");
        for bad in [
            "*", "*.", "*.x", "a*.x.y", "x.*", "x.*.y", "*.*.x.y", "**.x.y", "＊.x.y", "∗.x.y",
            "*x.y.z",
        ] {
            assert_ne!(code(&plain, dns(bad)), "ok", "{bad}");
            assert_eq!(code(&wild, dns(bad)), "malformed_name", "{bad}");
        }
    }

    #[test]
    fn kinds_outside_the_profile_are_refused_with_the_list_of_allowed_ones() {
        let rules = NameRules::new(&[NameKind::Dns, NameKind::Email]);
        let error = rules
            .check("test", &GeneralName::Ip([10, 0, 0, 1].into()))
            .unwrap_err();
        assert_eq!(error.code(), "name_kind_not_allowed");
        assert!(
            error.to_string().contains("10.0.0.1") && error.to_string().contains("DNS, email"),
            "{error}"
        );
    }

    #[test]
    fn emails_and_uris_are_plain() {
        let rules = NameRules::new(&[NameKind::Email, NameKind::Uri]);
        for good in ["ann@web.example", "a.b+c@x"] {
            assert_eq!(
                code(&rules, GeneralName::Email(good.into())),
                "ok",
                "{good}"
            );
        }
        for bad in [
            "ann",
            "@x",
            "ann@",
            "a b@x",
            "\"a\"@x",
            "ann@x@y",
            "Ann <ann@x>",
            "änn@x",
            "ann@x.",
        ] {
            assert_eq!(
                code(&rules, GeneralName::Email(bad.into())),
                "malformed_name",
                "{bad}"
            );
        }
        for good in [
            "spiffe://example/web",
            "urn:uuid:1",
            "https://web.example/?a=b#c",
        ] {
            assert_eq!(code(&rules, GeneralName::Uri(good.into())), "ok", "{good}");
        }
        for bad in [
            "", "web", ":x", "a:", "1a:b", "a b:c", "urn:a b", "urn:ä", "urn:a\nb", "urn:<a>",
        ] {
            assert_eq!(
                code(&rules, GeneralName::Uri(bad.into())),
                "malformed_name",
                "{bad:?}"
            );
        }
    }

    #[test]
    fn patterns_bind_every_name() {
        let patterns = ["DNS:*.web.example", "uri:spiffe://example/*", "IP:10.0.*"];
        let patterns = patterns
            .map(|text| NamePattern::parse(text).unwrap())
            .to_vec();
        let rules =
            NameRules::new(&[NameKind::Dns, NameKind::Ip, NameKind::Uri]).restricted_to(patterns);
        assert_eq!(code(&rules, dns("a.web.example")), "ok");
        assert_eq!(code(&rules, dns("A.B.Web.Example")), "ok");
        assert_eq!(code(&rules, dns("web.example")), "name_not_permitted");
        assert_eq!(
            code(&rules, dns("a.web.example.evil")),
            "name_not_permitted"
        );
        assert_eq!(
            code(&rules, GeneralName::Uri("spiffe://example/web".into())),
            "ok"
        );
        assert_eq!(
            code(&rules, GeneralName::Uri("spiffe://other/web".into())),
            "name_not_permitted"
        );
        assert_eq!(code(&rules, GeneralName::Ip([10, 0, 7, 1].into())), "ok");
        assert_eq!(
            code(&rules, GeneralName::Ip([10, 1, 7, 1].into())),
            "name_not_permitted"
        );
        let nothing = NameRules::new(&[NameKind::Dns]).restricted_to(Vec::new());
        assert_eq!(code(&nothing, dns("web.example")), "name_not_permitted");
    }

    #[test]
    fn a_pattern_names_its_kind() {
        for bad in ["*.web.example", "DNS:", "DNSX:a", "", ":", "dirName:CN=a"] {
            assert_eq!(
                NamePattern::parse(bad).unwrap_err().code(),
                "malformed_name_pattern",
                "{bad}"
            );
        }
        assert_eq!(
            NamePattern::parse("dns:*.x").unwrap().to_string(),
            "DNS:*.x"
        );
    }

    #[test]
    fn stars_match_any_run_and_only_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*c", "abbbc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("a**b", "ab", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
