//! What is asked of a store in one atomic step, and what it answers.

use std::collections::HashSet;

use crate::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, KEY_BYTES_MAX, Key, LimitError, NUMBER_BYTES, Value,
};

/// One atomic step: if every expectation holds, every write is made.
///
/// ```
/// use bowline_store::{Commit, Key, MemoryStore, Store, Value};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let serial = Key::new("certificate/1f")?;
/// let committed = store.commit(
///     Commit::new()
///         .expect_absent(serial.clone())
///         .put(serial, Value::new("…")?)
///         .append(Key::new("event/")?, Value::new("issued 1f")?),
/// )?;
/// assert_eq!(committed.appended[0].number, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    expectations: Vec<Expectation>,
    writes: Vec<Write>,
    from_reserve: bool,
}

/// What a commit relies on. Values are compared, not an engine's revisions: a record that can change
/// carries a revision of its own, so that its bytes never repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// No record has this key.
    Absent(Key),
    /// The record has exactly this value.
    Equals(Key, Value),
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The record has this value from now on.
    Put(Key, Value),
    /// No record has this key from now on; none before is fine.
    Delete(Key),
    /// A new record under the prefix, with the prefix's next number.
    Append(Key, Value),
}

/// The answer to a commit that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// One for each append, in the order the commit held them.
    pub appended: Vec<Appended>,
}

/// Where an append ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The prefix, followed by the number as a big-endian `u64`.
    pub key: Key,
    /// The prefix's numbers are dense, start at 1 and follow the order of commits.
    pub number: u64,
}

impl Commit {
    /// Expects and writes nothing.
    pub fn new() -> Commit {
        Commit::default()
    }

    /// Fails the commit if a record has this key.
    #[must_use]
    pub fn expect_absent(self, key: Key) -> Commit {
        self.expect(Expectation::Absent(key))
    }

    /// Fails the commit unless the record has exactly this value.
    #[must_use]
    pub fn expect_equals(self, key: Key, value: Value) -> Commit {
        self.expect(Expectation::Equals(key, value))
    }

    /// Adds an expectation made elsewhere.
    #[must_use]
    pub fn expect(mut self, expectation: Expectation) -> Commit {
        self.expectations.push(expectation);
        self
    }

    /// Writes the record, whether it exists or not.
    #[must_use]
    pub fn put(self, key: Key, value: Value) -> Commit {
        self.write(Write::Put(key, value))
    }

    /// Removes the record, if it exists.
    #[must_use]
    pub fn delete(self, key: Key) -> Commit {
        self.write(Write::Delete(key))
    }

    /// Adds a record with the prefix's next number; several to one prefix are numbered in this order.
    ///
    /// Records under a prefix of appends are best left to appends: where a put was there first,
    /// the append's commit is a conflict that names the key.
    #[must_use]
    pub fn append(self, prefix: Key, value: Value) -> Commit {
        self.write(Write::Append(prefix, value))
    }

    /// Adds a write made elsewhere.
    #[must_use]
    pub fn write(mut self, write: Write) -> Commit {
        self.writes.push(write);
        self
    }

    /// Says that it takes away rights, or tells of rights taken away, and is small: an engine may write it from room
    /// that it keeps for such commits. Whoever can fill a disk must not go on because nothing can be written any more.
    /// What is kept of a commit does not change with it.
    #[must_use]
    pub fn from_reserve(mut self) -> Commit {
        self.from_reserve = true;
        self
    }

    /// Whether it may be written from the room kept for what takes away.
    pub fn is_from_reserve(&self) -> bool {
        self.from_reserve
    }

    /// What must hold.
    pub fn expectations(&self) -> &[Expectation] {
        &self.expectations
    }

    /// What is written, in the order it was added.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Expectations and writes together.
    pub fn operations(&self) -> usize {
        self.expectations.len() + self.writes.len()
    }

    /// The bytes of all keys and values, with the numbers that appends will add.
    pub fn bytes(&self) -> usize {
        let expected: usize = self.expectations.iter().map(Expectation::bytes).sum();
        let written: usize = self.writes.iter().map(Write::bytes).sum();
        expected + written
    }

    /// Whether any store would take this. Every engine asks before anything else; a caller that builds a
    /// commit of unknown size may ask earlier.
    pub fn check(&self) -> Result<(), LimitError> {
        if self.operations() > COMMIT_OPERATIONS_MAX {
            return Err(LimitError::TooManyOperations {
                operations: self.operations(),
            });
        }
        if self.bytes() > COMMIT_BYTES_MAX {
            return Err(LimitError::CommitTooLong {
                bytes: self.bytes(),
            });
        }
        let mut expected = HashSet::new();
        for expectation in &self.expectations {
            check_once(expectation.key(), &mut expected)?;
        }
        let mut written = HashSet::new();
        for write in &self.writes {
            match write {
                Write::Put(key, _) | Write::Delete(key) => check_once(key, &mut written)?,
                Write::Append(prefix, _) => {
                    if prefix.len() + NUMBER_BYTES > KEY_BYTES_MAX {
                        return Err(LimitError::PrefixTooLong {
                            bytes: prefix.len(),
                        });
                    }
                    if prefix.is_empty() {
                        return Err(LimitError::KeyEmpty);
                    }
                }
            }
        }
        Ok(())
    }

    /// Expectations and writes, given away.
    pub fn into_parts(self) -> (Vec<Expectation>, Vec<Write>) {
        (self.expectations, self.writes)
    }
}

fn check_once<'a>(key: &'a Key, seen: &mut HashSet<&'a Key>) -> Result<(), LimitError> {
    if key.is_empty() {
        return Err(LimitError::KeyEmpty);
    }
    if !seen.insert(key) {
        return Err(LimitError::DuplicateKey { key: key.clone() });
    }
    Ok(())
}

impl Expectation {
    /// The record it is about.
    pub fn key(&self) -> &Key {
        match self {
            Expectation::Absent(key) | Expectation::Equals(key, _) => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Expectation::Absent(key) => key.len(),
            Expectation::Equals(key, value) => key.len() + value.len(),
        }
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Write::Put(key, value) => key.len() + value.len(),
            Write::Delete(key) => key.len(),
            Write::Append(prefix, value) => prefix.len() + NUMBER_BYTES + value.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn value(length: usize) -> Value {
        Value::new(vec![7; length]).unwrap()
    }

    fn puts(count: usize) -> Commit {
        (0..count).fold(Commit::new(), |commit, n| {
            commit.put(key(&format!("{n:04}")), value(0))
        })
    }

    #[test]
    fn a_commit_holds_at_most_64_operations_expectations_included() {
        assert_eq!(puts(63).expect_absent(key("x")).check(), Ok(()));
        assert_eq!(
            puts(64).expect_absent(key("x")).check(),
            Err(LimitError::TooManyOperations { operations: 65 })
        );
    }

    #[test]
    fn a_commit_holds_at_most_1_mib_numbers_included() {
        let full = (0..16).fold(Commit::new(), |commit, n| {
            commit.put(key(&format!("{n:08}")), value(65_528))
        });
        assert_eq!(full.bytes(), COMMIT_BYTES_MAX);
        assert_eq!(full.check(), Ok(()));
        assert_eq!(
            full.append(key("e"), value(0)).check(),
            Err(LimitError::CommitTooLong {
                bytes: COMMIT_BYTES_MAX + 9
            })
        );
    }

    #[test]
    fn what_may_use_the_reserve_stays_so_with_what_is_added() {
        let commit = Commit::new().from_reserve();
        assert!(commit.put(key("a"), value(1)).is_from_reserve());
        assert!(!Commit::new().put(key("a"), value(1)).is_from_reserve());
    }

    #[test]
    fn a_record_is_written_once_and_expected_once() {
        let twice = LimitError::DuplicateKey { key: key("a") };
        let put = Commit::new().put(key("a"), value(1));
        assert_eq!(put.clone().delete(key("a")).check(), Err(twice.clone()));
        assert_eq!(
            put.clone().put(key("a"), value(1)).check(),
            Err(twice.clone())
        );
        assert_eq!(put.clone().expect_absent(key("a")).check(), Ok(()));
        assert_eq!(
            put.expect_absent(key("a"))
                .expect_equals(key("a"), value(1))
                .check(),
            Err(twice)
        );
    }

    #[test]
    fn one_prefix_takes_several_appends() {
        let commit = Commit::new()
            .append(key("e/"), value(1))
            .append(key("e/"), value(1));
        assert_eq!(commit.check(), Ok(()));
    }

    #[test]
    fn the_empty_key_names_no_record() {
        let empty = Key::empty;
        for commit in [
            Commit::new().put(empty(), value(0)),
            Commit::new().delete(empty()),
            Commit::new().append(empty(), value(0)),
            Commit::new().expect_absent(empty()),
            Commit::new().expect_equals(empty(), value(0)),
        ] {
            assert_eq!(commit.check(), Err(LimitError::KeyEmpty), "{commit:?}");
        }
    }

    #[test]
    fn an_append_prefix_leaves_room_for_the_number() {
        let long = |bytes| Commit::new().append(Key::new(vec![1; bytes]).unwrap(), value(0));
        assert_eq!(long(504).check(), Ok(()));
        assert_eq!(
            long(505).check(),
            Err(LimitError::PrefixTooLong { bytes: 505 })
        );
    }
}
