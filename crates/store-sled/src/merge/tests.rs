//! The merge against a plain map, with chunks of every size.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bowline_store::checkpoint::Entry;
use bowline_store::{Effect, Key, Value};

use super::overlay::Overlay;
use super::{MergeError, Workshop};
use crate::journal::SystemDisk;

fn workshop(directory: &Path, chunk_bytes: usize) -> Workshop {
    Workshop {
        directory: directory.join("checkpoint"),
        disk: Arc::new(SystemDisk),
        reserve_bytes: 0,
        chunk_bytes,
    }
}

fn key(number: u64) -> Key {
    Key::new(format!("k{:03}", number % 500)).unwrap()
}

/// Changes that overwrite and delete each other, and what they leave.
fn history(steps: u64) -> (Vec<Effect>, Vec<Entry>) {
    let (mut effects, mut records) = (Vec::new(), BTreeMap::new());
    let mut dice = 1u64;
    for step in 1..=steps {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let name = key(dice >> 33);
        let value = match dice >> 20 & 3 {
            0 => None,
            _ => Some(Value::new(step.to_string().repeat(step as usize % 40)).unwrap()),
        };
        records.insert(name.clone(), value.clone());
        effects.push(Effect {
            records: vec![(name, value)],
            numbers: vec![(Key::new("e/").unwrap(), step)],
            ..Effect::default()
        });
    }
    let left = records.into_iter();
    let mut left: Vec<Entry> = left
        .filter_map(|(key, value)| Some(Entry::Record(key, value?)))
        .collect();
    left.push(Entry::Number(Key::new("e/").unwrap(), steps));
    (effects, left)
}

#[test]
fn any_number_of_chunks_merges_to_what_the_history_leaves() {
    let (effects, left) = history(3_000);
    // In memory; a few runs; more runs than are kept apart.
    for (chunk_bytes, runs) in [(1 << 30, 0..=0), (100_000, 2..=10), (2_000, 2..=63)] {
        let home = tempfile::tempdir().unwrap();
        let workshop = workshop(home.path(), chunk_bytes);
        let mut overlay = Overlay::new(workshop.clone());
        for effect in effects.clone() {
            overlay.add(effect).unwrap();
        }
        assert!(runs.contains(&overlay.runs()), "{}", overlay.runs());
        let mut merge = overlay.over(None, "merging").unwrap();
        let mut found = Vec::new();
        while let Some(entry) = merge.next_entry(&mut |_| Ok(())).unwrap() {
            found.push(entry);
        }
        assert!(found == left, "{chunk_bytes}");
        drop(merge);
        if let Ok(mut left) = std::fs::read_dir(&workshop.directory) {
            assert!(left.next().is_none(), "no run stays");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_run_is_noticed() {
    let (effects, _) = history(2_000);
    let home = tempfile::tempdir().unwrap();
    let workshop = workshop(home.path(), 50_000);
    for flip in 0..40 {
        let mut overlay = Overlay::new(workshop.clone());
        for effect in effects.clone() {
            overlay.add(effect).unwrap();
        }
        let run = std::fs::read_dir(&workshop.directory).unwrap().next();
        let run = run.unwrap().unwrap().path();
        let mut bytes = std::fs::read(&run).unwrap();
        let at = flip * bytes.len() / 40;
        bytes[at] ^= 1 << (flip % 8);
        std::fs::write(&run, bytes).unwrap();
        let read = overlay.over(None, "merging").and_then(|mut merge| {
            while merge.next_entry(&mut |_| Ok(()))?.is_some() {}
            Ok(())
        });
        assert!(matches!(read, Err(MergeError::Home(_))), "{at}");
    }
}

#[test]
fn work_that_nobody_wants_any_more_ends() {
    let (effects, _) = history(3_000);
    let home = tempfile::tempdir().unwrap();
    let mut overlay = Overlay::new(workshop(home.path(), 1 << 30));
    for effect in effects {
        overlay.add(effect).unwrap();
    }
    let mut merge = overlay.over(None, "merging").unwrap();
    // A word is had every MiB.
    merge.pace.told = u64::MAX / 2;
    merge.pace.done = u64::MAX / 2 + (1 << 20);
    let stopped = merge.next_entry(&mut |_| Err(MergeError::Stopped));
    assert!(matches!(stopped, Err(MergeError::Stopped)));
}
