//! A checkpoint comes back as it was written, or not at all.

use super::{Entry, Header, ReadError, Reader, Summary, Writer};
use crate::{Key, Value};

fn header() -> Header {
    Header {
        sequence: 41,
        link: [9; 32],
        written_at: 1_700_000_000,
    }
}

fn record(name: &str, length: usize) -> Entry {
    let key = Key::new(name).unwrap();
    Entry::Record(key, Value::new(vec![7; length]).unwrap())
}

fn number(prefix: &str, number: u64) -> Entry {
    Entry::Number(Key::new(prefix).unwrap(), number)
}

/// Two blocks, and an append prefix that sorts before the records.
fn entries() -> Vec<Entry> {
    let records = (0..5).map(|n| record(&format!("r{n}"), 65_536));
    records
        .chain([record("s", 0), number("a/", 3), number("event/", u64::MAX)])
        .collect()
}

fn written(entries: &[Entry]) -> (Vec<u8>, Summary) {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    for entry in entries {
        writer.push(entry).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<(Vec<Entry>, Summary), ReadError> {
    let mut reader = Reader::open(bytes)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    let summary = reader.summary()?;
    Ok((entries, summary))
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    for entries in [entries(), Vec::new()] {
        let (bytes, summary) = written(&entries);
        assert_eq!(summary.bytes, bytes.len() as u64);
        assert_eq!(read(&bytes).unwrap(), (entries, summary));
    }
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let (whole, _) = written(&entries());
    for bit in (0..whole.len() * 8).step_by(997).chain(0..1_000) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_cut_off_checkpoint_is_told_by_where_it_ends() {
    let (whole, _) = written(&entries());
    for length in (0..whole.len()).step_by(1_009).chain([whole.len() - 1]) {
        match read(&whole[..length]) {
            Err(ReadError::Damaged { offset, .. }) => assert!(offset as usize <= length),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let (mut bytes, _) = written(&entries());
    bytes.push(0);
    let error = read(&bytes).unwrap_err();
    assert!(error.to_string().contains("follows"), "{error}");
}

#[test]
fn blocks_that_changed_places_are_noticed() {
    let many: Vec<Entry> = (0..9).map(|n| record(&format!("r{n}"), 65_536)).collect();
    let (whole, _) = written(&many);
    let marks: Vec<usize> = (0..whole.len() - 4)
        .filter(|at| &whole[*at..at + 4] == b"BLK\x01")
        .collect();
    let (first, second, third) = (marks[0], marks[1], marks[2]);
    let mut moved = whole[..first].to_vec();
    moved.extend_from_slice(&whole[second..third]);
    moved.extend_from_slice(&whole[first..second]);
    moved.extend_from_slice(&whole[third..]);
    assert!(matches!(
        read(&moved),
        Err(ReadError::Damaged { offset, .. }) if offset == first as u64
    ));
}

#[test]
fn entries_out_of_order_are_not_written() {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    writer.push(&number("b/", 1)).unwrap();
    for entry in [number("b/", 1), number("a/", 1), record("z", 1)] {
        let error = writer.push(&entry).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    use sha2::{Digest, Sha256};
    let (mut bytes, _) = written(&entries());
    bytes[8..12].copy_from_slice(&2u32.to_be_bytes());
    assert!(matches!(read(&bytes), Err(ReadError::Damaged { .. })));
    let checksum = Sha256::digest(&bytes[..60]);
    bytes[60..92].copy_from_slice(&checksum);
    assert!(matches!(
        read(&bytes),
        Err(ReadError::NewerFormat { found: 2 })
    ));
}
