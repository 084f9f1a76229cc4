//! What an identity provider may give a session: tags, which of them stay, and who is behind it.

use bowline_policy::{SESSION_TAGS_MAX, Tag};

use crate::record::SESSION_NAME;

/// Tags as they come, with the refusal in words.
#[derive(Debug, Default)]
pub(crate) struct SessionTags {
    pub(crate) tags: Vec<Tag>,
    pub(crate) transitive: Vec<String>,
}

impl SessionTags {
    /// Adds a tag; a key stands once, in whatever case.
    pub(crate) fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        let tag = Tag::new(key, value).map_err(|error| error.to_string())?;
        // What policies read as a certificate's subject only a certificate says.
        if is_certificate_tag(key) {
            return Err(format!("tag {key} is one of certificates"));
        }
        if self.position(key).is_some() {
            return Err(format!("tag {key} is there twice"));
        }
        if self.tags.len() == SESSION_TAGS_MAX {
            return Err(format!("more than {SESSION_TAGS_MAX} tags"));
        }
        self.tags.push(tag);
        Ok(())
    }

    /// Makes the tags with these keys stay with every session assumed further. Call it after the last tag.
    pub(crate) fn set_transitive(&mut self, keys: Vec<String>) -> Result<(), String> {
        for key in keys {
            let Some(at) = self.position(&key) else {
                return Err(format!("tag {key} is to be transitive and is not there"));
            };
            let key = self.tags[at].key().to_owned();
            if !self.transitive.contains(&key) {
                self.transitive.push(key);
            }
        }
        Ok(())
    }

    fn position(&self, key: &str) -> Option<usize> {
        let folded = key.to_lowercase();
        self.tags
            .iter()
            .position(|tag| tag.key().to_lowercase() == folded)
    }
}

/// Whether a tag with this key is one that only certificates give a session: a policy that tests it asks what a
/// certificate says.
pub fn is_certificate_tag(key: &str) -> bool {
    let folded = key.to_ascii_lowercase();
    OF_CERTIFICATES.iter().any(|own| folded.starts_with(own))
}

/// What the tags begin with that certificates give a session, in lower case.
const OF_CERTIFICATES: [&str; 3] = ["x509subject/", "x509issuer/", "x509san/"];

/// A source identity as STS takes it.
pub(crate) fn source_identity(text: &str) -> Result<String, String> {
    if text.to_ascii_lowercase().starts_with("aws:") {
        return Err("a source identity does not begin with aws:".into());
    }
    SESSION_NAME
        .check("source identity", text)
        .map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}
