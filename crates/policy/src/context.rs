//! What a request says about itself: condition keys and their values.

use std::fmt;
use std::sync::Arc;

/// Condition keys with their values. Keys compare without regard to (ASCII) case; setting one
/// again, in whatever case, replaces it.
///
/// A key is single-valued or multivalued by how it was set, not by how many values it holds: a
/// multivalued key needs `ForAllValues` or `ForAnyValue` and cannot be a policy variable. A
/// multivalued key without values is the same as an absent key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Sorted by `folded`. Shared: a session's keys are taken over for each of its requests.
    entries: Vec<Arc<Entry>>,
}

#[derive(PartialEq, Eq)]
pub(crate) struct Entry {
    folded: String,
    pub(crate) name: Box<str>,
    pub(crate) values: Vec<String>,
    pub(crate) multivalued: bool,
}

impl Context {
    /// A context without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a single-valued key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds a multivalued key.
    #[must_use]
    pub fn with_many<I>(mut self, key: &str, values: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.set_many(key, values);
        self
    }

    /// Sets a single-valued key.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.insert(key, vec![value.into()], false);
    }

    /// Sets a multivalued key; no values means the key becomes absent.
    pub fn set_many<I>(&mut self, key: &str, values: I)
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            self.remove(key);
        } else {
            self.insert(key, values, true);
        }
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        if let Ok(at) = self.place(&fold(key)) {
            self.entries.remove(at);
        }
    }

    /// The values of a key, in any case; `None` where it is absent.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.entry(&fold(key)).map(|entry| entry.values.as_slice())
    }

    /// Every key, as it was written, with its values, in the order of the folded keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.entries
            .iter()
            .map(|entry| (&*entry.name, entry.values.as_slice()))
    }

    /// The entry of an already folded key.
    pub(crate) fn entry(&self, folded: &str) -> Option<&Entry> {
        self.place(folded).ok().map(|at| &*self.entries[at])
    }

    fn insert(&mut self, key: &str, values: Vec<String>, multivalued: bool) {
        let folded = fold(key);
        let place = self.place(&folded);
        let entry = Arc::new(Entry {
            folded,
            name: key.into(),
            values,
            multivalued,
        });
        match place {
            Ok(at) => self.entries[at] = entry,
            Err(at) => self.entries.insert(at, entry),
        }
    }

    fn place(&self, folded: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| entry.folded.as_str().cmp(folded))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Condition keys are ASCII names; the tag part folds the same way.
pub(crate) fn fold(key: &str) -> String {
    key.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_without_case_and_the_last_one_stays() {
        let context = Context::new()
            .with("aws:PrincipalTag/Dept", "a")
            .with("AWS:principaltag/DEPT", "b");
        assert_eq!(
            context.get("aws:principaltag/dept"),
            Some(&["b".to_owned()][..])
        );
        assert_eq!(context.iter().count(), 1);
    }

    #[test]
    fn an_empty_list_is_an_absent_key() {
        let context = Context::new()
            .with_many("aws:TagKeys", ["a"])
            .with_many("aws:TagKeys", Vec::<String>::new());
        assert_eq!(context.get("aws:TagKeys"), None);
    }

    #[test]
    fn many_keys_are_all_found() {
        let mut context = Context::new();
        for n in 0..200 {
            context.set(&format!("x:K{}", n * 7 % 200), n.to_string());
        }
        assert!((0..200).all(|n| context.get(&format!("X:k{n}")).is_some()));
        context.remove("x:k7");
        assert_eq!(context.get("x:k7"), None);
    }
}
