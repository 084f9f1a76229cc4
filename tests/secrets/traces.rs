//! Everything the run wrote, by place: what came out of processes, what they were started with, answers, and files.

use crate::ledger::{FORM_BYTES_MIN, Ledger};
use bowline_tests::{Finished, bowline_binary};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{read, read_dir, read_link};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// What was written at one place.
pub struct Trace {
    /// `stderr of issue`, `file home/unseal.key`, `refusal AssumeRole`, …
    pub place: String,
    pub bytes: Vec<u8>,
}

/// A secret, and where it stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub place: String,
    /// Its number in the ledger.
    pub secret: usize,
}

/// All places.
#[derive(Default)]
pub struct Traces {
    pub all: Vec<Trace>,
}

impl Traces {
    pub fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.all.push(Trace {
            place: place.into(),
            bytes: bytes.into(),
        });
    }

    /// What a command printed, and what it complained of.
    pub fn add_finished(&mut self, name: &str, finished: &Finished) {
        self.add(format!("stdout of {name}"), finished.stdout.as_bytes());
        self.add(format!("stderr of {name}"), finished.stderr.as_bytes());
    }

    /// Every file below a directory.
    pub fn add_files(&mut self, root: &Path) {
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in read_dir(folder).expect("a directory of ours can be read") {
                let entry = entry.expect("a directory of ours can be read");
                let kind = entry.file_type().expect("a file has a type");
                let name = entry.path();
                let name = name.strip_prefix(root).expect("it is below").display();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let bytes = read(entry.path()).expect("a file of ours can be read");
                    self.add(format!("file {name}"), bytes);
                }
            }
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.all.iter().map(|trace| trace.bytes.len()).sum()
    }

    /// How many places begin with these words.
    pub fn count(&self, words: &str) -> usize {
        let named = self.all.iter().filter(|it| it.place.starts_with(words));
        named.count()
    }

    /// Whether some place of this name has these bytes.
    pub fn has(&self, place: &str, bytes: &[u8]) -> bool {
        let named = self.all.iter().filter(|it| it.place.starts_with(place));
        named
            .flat_map(|trace| trace.bytes.windows(bytes.len()))
            .any(|window| window == bytes)
    }

    /// Every place of every secret.
    pub fn search(&self, ledger: &Ledger) -> BTreeSet<Finding> {
        let mut by_head: HashMap<[u8; HEAD], Vec<(usize, &[u8])>> = HashMap::new();
        // Most positions are ruled out by their first two bytes.
        let mut begins = vec![false; 1 << 16];
        for (secret, known) in ledger.secrets.iter().enumerate() {
            for form in &known.forms {
                assert!(form.len() >= FORM_BYTES_MIN, "{}", known.name);
                let head = head(form).expect("longer than a head");
                begins[first_two(head)] = true;
                by_head.entry(head).or_default().push((secret, form));
            }
        }
        let mut found = BTreeSet::new();
        for trace in &self.all {
            for at in 0..trace.bytes.len() {
                let rest = &trace.bytes[at..];
                let Some(head) = head(rest) else { break };
                if !begins[first_two(head)] {
                    continue;
                }
                for (secret, form) in by_head.get(&head).into_iter().flatten() {
                    if rest.starts_with(form) {
                        found.insert(Finding {
                            place: trace.place.clone(),
                            secret: *secret,
                        });
                    }
                }
            }
        }
        found
    }
}

fn head(bytes: &[u8]) -> Option<[u8; HEAD]> {
    bytes.first_chunk().copied()
}

fn first_two(head: [u8; HEAD]) -> usize {
    usize::from(head[0]) << 8 | usize::from(head[1])
}

/// By so many bytes the forms are told apart at first.
const HEAD: usize = 8;

/// Looks at the arguments and the environment of our processes for as long as the run lasts: anybody, and the same
/// user, can read them there.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// Arguments, then environment, both as they lie in `/proc`.
type Seen = BTreeMap<Vec<u8>, Vec<u8>>;

impl Watch {
    /// Over the processes of this program that know of this directory.
    pub fn over(directory: &Path) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, directory) = (
            stop.clone(),
            directory.as_os_str().as_encoded_bytes().to_vec(),
        );
        let program = bowline_binary()
            .canonicalize()
            .expect("the program is there");
        let thread = spawn(move || {
            let mut seen = Seen::new();
            while !stopped.load(Ordering::Relaxed) {
                look(&program, &directory, &mut seen);
                sleep(PAUSE);
            }
            seen
        });
        Watch { stop, thread }
    }

    /// Ends, and adds what was seen.
    pub fn into_traces(self, traces: &mut Traces) {
        self.stop.store(true, Ordering::Relaxed);
        for (arguments, environment) in self.thread.join().expect("the watch ends") {
            let words = arguments.split(|byte| *byte == 0).skip(1);
            let word = words
                .map(String::from_utf8_lossy)
                .find(|it| !it.starts_with('-'));
            let name = word.unwrap_or_default().into_owned();
            traces.add(format!("arguments of {name}"), arguments);
            traces.add(format!("environment of {name}"), environment);
        }
    }
}

fn look(program: &Path, directory: &[u8], seen: &mut Seen) {
    let processes = read_dir("/proc").expect("Linux has /proc");
    for process in processes.flatten() {
        let folder = process.path();
        let runs = read_link(folder.join("exe")).unwrap_or_else(|_| PathBuf::new());
        if runs != program {
            continue;
        }
        // A process may end at any moment.
        let (Ok(arguments), Ok(environment)) =
            (read(folder.join("cmdline")), read(folder.join("environ")))
        else {
            continue;
        };
        let ours = environment
            .windows(directory.len())
            .any(|it| it == directory);
        if ours && !arguments.is_empty() {
            seen.insert(arguments, environment);
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);
