//! What was done to a log, named event by event.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::tree::Hash;

/// One thing that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// An event has another text.
    Edited {
        /// Its number.
        number: u64,
    },
    /// An event is not there.
    Removed {
        /// Its number.
        number: u64,
    },
    /// An event is there that never was.
    Inserted {
        /// The number of the event before it; 0 at the beginning.
        after: u64,
    },
    /// An event stands at another place.
    Reordered {
        /// Its number.
        number: u64,
    },
    /// An event has another number than its place gives it.
    Renumbered {
        /// The number of its place.
        number: u64,
        /// The number it has.
        says: u64,
    },
    /// The log ends early.
    Truncated {
        /// The number of the last event that is there.
        after: u64,
    },
    /// Events and hashes fit each other, and not what was signed over them.
    Recomputed {
        /// The first event it can be.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The log says of its first events something else than it once signed.
    Rewritten {
        /// How many events that earlier checkpoint is over.
        size: u64,
    },
    /// The log is older than the checkpoint it is held against.
    Older {
        /// How many events it has.
        size: u64,
        /// How many it had before.
        since: u64,
    },
    /// A tile is missing, does not read, or is not what stands in the tiles around it.
    Tile {
        /// Which, as C2SP tlog-tiles writes it.
        tile: String,
    },
    /// A line is nothing that belongs there.
    Line {
        /// Its number, from 1.
        line: u64,
    },
    /// The header says something else than the log.
    Header {
        /// The member of it.
        member: String,
    },
    /// The checkpoint is not one of this log's key.
    Checkpoint {
        /// Why.
        reason: String,
    },
}

impl Change {
    /// The number of the event it is about, or comes after; what is about no event comes last.
    fn place(&self) -> u64 {
        match self {
            Change::Edited { number }
            | Change::Removed { number }
            | Change::Reordered { number }
            | Change::Renumbered { number, .. } => *number,
            Change::Inserted { after } | Change::Truncated { after } => *after,
            Change::Recomputed { first, .. } => *first,
            Change::Rewritten { .. }
            | Change::Older { .. }
            | Change::Tile { .. }
            | Change::Line { .. }
            | Change::Header { .. }
            | Change::Checkpoint { .. } => u64::MAX,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Edited { number } => write!(f, "event {number} was edited"),
            Change::Removed { number } => write!(f, "event {number} was removed"),
            Change::Inserted { after } => write!(f, "an event was inserted after event {after}"),
            Change::Reordered { number } => write!(f, "event {number} was moved to another place"),
            Change::Renumbered { number, says } => {
                write!(f, "event {number} was given the number {says}")
            }
            Change::Truncated { after } => write!(f, "the log was cut off after event {after}"),
            Change::Recomputed { first, last } => write!(
                f,
                "events {first} to {last} are not those that were signed, and their hashes were computed anew"
            ),
            Change::Rewritten { size } => write!(
                f,
                "the first {size} events are not those of the earlier checkpoint: the log was rewritten and signed again"
            ),
            Change::Older { size, since } => write!(
                f,
                "the log has {size} events and had {since} at the earlier checkpoint: events were taken away"
            ),
            Change::Tile { tile } => write!(f, "tile {tile} was changed"),
            Change::Line { line } => write!(f, "line {line} does not belong there"),
            Change::Header { member } => {
                write!(f, "the {member} in the header is not that of the log")
            }
            Change::Checkpoint { reason } => write!(f, "the checkpoint was changed: {reason}"),
        }
    }
}

/// Gathers changes while a log is read, and decides at its end what they are. Bounded, whatever the log is like.
#[derive(Default)]
pub(super) struct Changes {
    certain: Vec<Change>,
    missing: Vec<Missing>,
    extra: Vec<Extra>,
    ranges: Vec<Range<u64>>,
    /// Tiles that are not what the events in the file hash to.
    differing: BTreeSet<String>,
    /// Tiles that are not what the tiles above them say.
    disputed: BTreeSet<String>,
    renumbered: Option<(u64, u64)>,
    gaps: u64,
    more: u64,
}

struct Missing {
    number: u64,
    hash: Hash,
    gap: u64,
}

struct Extra {
    hash: Option<Hash>,
    after: u64,
    line: u64,
    gap: u64,
}

/// An event as a line has it.
pub(super) struct Found {
    /// The number it says.
    pub(super) number: u64,
    /// The hash of its text; none where the line does not read.
    pub(super) hash: Option<Hash>,
    /// The number of the line.
    pub(super) line: u64,
}

impl Changes {
    /// Something that stays true whatever comes.
    pub(super) fn certain(&mut self, change: Change) {
        if self.certain.len() < CHANGES_MAX {
            self.certain.push(change);
        } else {
            self.more += 1;
        }
    }

    /// Holds the events of a tile against its hashes, the first of which is that of event `first`. Where the log ends
    /// within the tile, what is missing at its end is not told; the number of the last event that is there is returned.
    pub(super) fn compare(
        &mut self,
        tile: &str,
        first: u64,
        expected: &[Hash],
        found: &[Found],
        ends: bool,
    ) -> u64 {
        let mut last = (first + expected.len() as u64).saturating_sub(1);
        let hashes: Vec<Option<Hash>> = found.iter().map(|found| found.hash).collect();
        let alignment = align(expected, &hashes);
        for &(place, at) in &alignment.same {
            let (number, says) = (first + place as u64, found[at].number);
            if number != says {
                self.renumbered.get_or_insert((number, says));
            }
        }
        for gap in alignment.gaps {
            self.gaps += 1;
            let mut missing = gap.missing;
            if ends && missing.end == expected.len() && missing.len() > gap.extra.len() {
                missing.end = missing.start + gap.extra.len();
                last = (first + missing.end as u64).saturating_sub(1);
            }
            if !missing.is_empty()
                || found[gap.extra.clone()]
                    .iter()
                    .any(|found| found.hash.is_some())
            {
                self.differs(tile);
            }
            let after = (first + missing.start as u64).saturating_sub(1);
            for place in missing {
                self.missing(first + place as u64, expected[place]);
            }
            for found in &found[gap.extra] {
                self.extra(found, after);
            }
        }
        last
    }

    /// A tile that is not what the events hash to: if those were signed, it was changed.
    pub(super) fn differs(&mut self, tile: &str) {
        if self.differing.len() < CHANGES_MAX {
            self.differing.insert(tile.into());
        }
    }

    /// A tile that is not what the one above says: it was changed, unless the events are those that were signed.
    pub(super) fn disputed(&mut self, tile: &str) {
        if self.disputed.len() < CHANGES_MAX {
            self.disputed.insert(tile.into());
        }
    }

    /// An event that belongs nowhere.
    pub(super) fn surplus(&mut self, found: &Found, after: u64) {
        self.gaps += 1;
        self.extra(found, after);
    }

    /// Events that do not hash to what stands above them.
    pub(super) fn range(&mut self, events: Range<u64>) {
        if self.ranges.len() < CHANGES_MAX {
            self.ranges.push(events);
        } else {
            self.more += 1;
        }
    }

    /// Whether anything is known to be wrong with the events up to one.
    pub(super) fn touches(&self, last: u64) -> bool {
        self.missing.iter().any(|missing| missing.number <= last)
            || self.extra.iter().any(|extra| extra.after < last)
            || self.ranges.iter().any(|range| range.start <= last)
    }

    /// Whether anything is known to be wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.certain.is_empty()
            && self.missing.is_empty()
            && self.extra.is_empty()
            && self.ranges.is_empty()
            && self.differing.is_empty()
            && self.disputed.is_empty()
            && self.renumbered.is_none()
    }

    /// The changes in the order of the log. Where the events are the very ones that were signed, only tiles and lines
    /// can be wrong.
    pub(super) fn decide(mut self, events_are_signed: bool) -> (Vec<Change>, u64) {
        let tiles = match events_are_signed {
            true => std::mem::take(&mut self.differing),
            false => std::mem::take(&mut self.disputed),
        };
        for tile in tiles {
            self.certain(Change::Tile { tile });
        }
        if events_are_signed {
            let lines: Vec<u64> = self
                .extra
                .iter()
                .filter(|extra| extra.hash.is_none())
                .map(|extra| extra.line)
                .collect();
            for line in lines {
                self.certain(Change::Line { line });
            }
        } else {
            for range in std::mem::take(&mut self.ranges) {
                self.certain(Change::Recomputed {
                    first: range.start,
                    last: range.end.saturating_sub(1),
                });
            }
            self.decide_events();
        }
        if let Some((number, says)) = self.renumbered {
            let moved = self.certain.iter().any(|change| {
                matches!(
                    change,
                    Change::Removed { .. } | Change::Inserted { .. } | Change::Reordered { .. }
                )
            });
            // Whoever takes an event out and counts anew did one thing, not thousands.
            if !moved {
                self.certain(Change::Renumbered { number, says });
            }
        }
        self.certain
            .sort_by(|one, other| (one.place(), one).cmp(&(other.place(), other)));
        self.certain.dedup();
        (self.certain, self.more)
    }

    fn decide_events(&mut self) {
        let mut places: HashMap<Hash, Vec<usize>> = HashMap::new();
        for (index, missing) in self.missing.iter().enumerate().rev() {
            places.entry(missing.hash).or_default().push(index);
        }
        // 1. What is missing at one place and too many at another was moved.
        let mut gone = vec![false; self.missing.len()];
        let mut moved = vec![false; self.extra.len()];
        let mut decided = Vec::new();
        for (index, extra) in self.extra.iter().enumerate() {
            let Some(place) = extra
                .hash
                .and_then(|hash| places.get_mut(&hash))
                .and_then(Vec::pop)
            else {
                continue;
            };
            (moved[index], gone[place]) = (true, true);
            decided.push(Change::Reordered {
                number: self.missing[place].number,
            });
        }
        // 2. In the same gap, something else instead of what was there: edited.
        let mut instead: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, extra) in self.extra.iter().enumerate().rev() {
            if !moved[index] {
                instead.entry(extra.gap).or_default().push(index);
            }
        }
        for (index, missing) in self.missing.iter().enumerate() {
            if gone[index] {
                continue;
            }
            let number = missing.number;
            decided.push(match instead.get_mut(&missing.gap).and_then(Vec::pop) {
                Some(extra) => {
                    moved[extra] = true;
                    Change::Edited { number }
                }
                None => Change::Removed { number },
            });
        }
        // 3. What is left was put in.
        for (extra, _) in self.extra.iter().zip(&moved).filter(|(_, moved)| !**moved) {
            decided.push(match extra.hash {
                Some(_) => Change::Inserted { after: extra.after },
                None => Change::Line { line: extra.line },
            });
        }
        for change in decided {
            self.certain(change);
        }
    }

    fn missing(&mut self, number: u64, hash: Hash) {
        if self.missing.len() < CHANGES_MAX {
            let gap = self.gaps;
            self.missing.push(Missing { number, hash, gap });
        } else {
            self.more += 1;
        }
    }

    fn extra(&mut self, found: &Found, after: u64) {
        if self.extra.len() < CHANGES_MAX {
            self.extra.push(Extra {
                hash: found.hash,
                after,
                line: found.line,
                gap: self.gaps,
            });
        } else {
            self.more += 1;
        }
    }
}

/// Which of the expected hashes were found, in order, and what lies between.
struct Alignment {
    same: Vec<(usize, usize)>,
    gaps: Vec<Gap>,
}

struct Gap {
    missing: Range<usize>,
    extra: Range<usize>,
}

/// The longest common subsequence of a tile and what stands in its place.
fn align(expected: &[Hash], found: &[Option<Hash>]) -> Alignment {
    let agrees = |place: usize, at: usize| found[at] == Some(expected[place]);
    let shorter = expected.len().min(found.len());
    let head = (0..shorter).take_while(|&n| agrees(n, n)).count();
    let tail = (0..shorter - head)
        .take_while(|&n| agrees(expected.len() - 1 - n, found.len() - 1 - n))
        .count();
    let (rows, columns) = (expected.len() - head - tail, found.len() - head - tail);

    // The length of the longest common subsequence of what follows each pair of places.
    let width = columns + 1;
    let mut lengths = vec![0_u16; (rows + 1) * width];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            lengths[row * width + column] = if agrees(head + row, head + column) {
                lengths[(row + 1) * width + column + 1] + 1
            } else {
                lengths[(row + 1) * width + column].max(lengths[row * width + column + 1])
            };
        }
    }
    let mut same: Vec<(usize, usize)> = (0..head).map(|n| (n, n)).collect();
    let (mut row, mut column) = (0, 0);
    while row < rows && column < columns {
        if agrees(head + row, head + column) {
            same.push((head + row, head + column));
            row += 1;
            column += 1;
        } else if lengths[(row + 1) * width + column] >= lengths[row * width + column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    same.extend(
        (0..tail)
            .rev()
            .map(|n| (expected.len() - 1 - n, found.len() - 1 - n)),
    );

    let mut gaps = Vec::new();
    let (mut place, mut at) = (0, 0);
    for &(next_place, next_at) in same.iter().chain([&(expected.len(), found.len())]) {
        if place < next_place || at < next_at {
            gaps.push(Gap {
                missing: place..next_place,
                extra: at..next_at,
            });
        }
        (place, at) = (next_place + 1, next_at + 1);
    }
    Alignment { same, gaps }
}

/// How many changes of a kind are kept; the rest are counted. A log that differs in more is another log.
const CHANGES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(text: &str) -> Vec<Hash> {
        text.bytes().map(|byte| [byte; 32]).collect()
    }

    /// Each letter is an event; `?` does not read, and `!` at the end says that the log ends there.
    fn changes(expected: &str, found: &str) -> String {
        let (found, ends) = match found.strip_suffix('!') {
            Some(found) => (found, true),
            None => (found, false),
        };
        let found: Vec<Found> = (0..)
            .zip(found.bytes())
            .map(|(at, byte)| Found {
                number: at + 1,
                hash: (byte != b'?').then_some([byte; 32]),
                line: at + 1,
            })
            .collect();
        let mut changes = Changes::default();
        let last = changes.compare("0/000", 1, &hashes(expected), &found, ends);
        if ends {
            changes.certain(Change::Truncated { after: last });
        }
        let (changes, more) = changes.decide(false);
        assert_eq!(more, 0);
        let texts: Vec<String> = changes.iter().map(ToString::to_string).collect();
        texts.join("; ")
    }

    #[test]
    fn every_plain_change_has_its_name() {
        assert_eq!(changes("abcde", "abcde"), "");
        assert_eq!(changes("abcde", "abXde"), "event 3 was edited");
        assert_eq!(changes("abcde", "ab?de"), "event 3 was edited");
        assert_eq!(changes("abcde", "abde"), "event 3 was removed");
        assert_eq!(changes("abcde", "bcde"), "event 1 was removed");
        assert_eq!(changes("abcde", "abcd"), "event 5 was removed");
        assert_eq!(
            changes("abcde", "abXcde"),
            "an event was inserted after event 2"
        );
        assert_eq!(
            changes("abcde", "Xabcde"),
            "an event was inserted after event 0"
        );
        assert_eq!(
            changes("abcde", "abcdec"),
            "an event was inserted after event 5"
        );
        assert_eq!(
            changes("abcde", "abc!"),
            "the log was cut off after event 3"
        );
        assert_eq!(
            changes("abcde", "aXc!"),
            "event 2 was edited; the log was cut off after event 3"
        );
        let swapped = changes("abcde", "abdce");
        assert!(
            [
                "event 3 was moved to another place",
                "event 4 was moved to another place"
            ]
            .contains(&&*swapped),
            "{swapped}"
        );
        assert_eq!(
            changes("abcde", "ebcda"),
            "event 1 was moved to another place; event 5 was moved to another place"
        );
    }

    #[test]
    fn two_changes_at_once_are_told_apart() {
        assert_eq!(
            changes("abcdefgh", "aXcdegh"),
            "event 2 was edited; event 6 was removed"
        );
        assert_eq!(
            changes("abcdefgh", "aXYcdefgh"),
            "an event was inserted after event 1; event 2 was edited"
        );
    }

    #[test]
    fn other_numbers_alone_are_told_and_those_that_follow_a_removal_are_not() {
        let found = |numbers: [u64; 3]| {
            let hashes = hashes("abc");
            let found: Vec<Found> = (0..3)
                .map(|at| Found {
                    number: numbers[at],
                    hash: Some(hashes[at]),
                    line: 1,
                })
                .collect();
            let mut changes = Changes::default();
            changes.compare("0/000", 1, &hashes, &found, false);
            changes.decide(true).0
        };
        assert_eq!(found([1, 2, 3]), []);
        assert_eq!(
            found([1, 7, 3]),
            [Change::Renumbered { number: 2, says: 7 }]
        );
    }
}
