//! `interpose.c` from this side: built once, told what to do, asked what it did; and the laboratory, a home
//! whose processes run behind it.

use bowline_tests::{Finished, Home, Server, run, run_within};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, copy, create_dir_all, read_dir, rename};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Kinds of calls, as `interpose.c` numbers them.
pub mod kind {
    pub const OPEN_READ: u64 = 1;
    pub const OPEN_WRITE: u64 = 2;
    pub const WRITE: u64 = 4;
    pub const TRUNCATE: u64 = 8;
    pub const SYNC: u64 = 16;
    pub const RANGE: u64 = 32;
    pub const RENAME: u64 = 64;
    pub const REMOVE: u64 = 128;
    pub const CHANGE: u64 = 256;
    pub const CREATE: u64 = 1024;
    /// Every call that changes something or makes it durable.
    pub const MUTATION: u64 =
        OPEN_WRITE | CREATE | WRITE | TRUNCATE | SYNC | RANGE | RENAME | REMOVE | CHANGE;
    /// What a full disk refuses.
    pub const GROWTH: u64 = WRITE | CREATE | RENAME | CHANGE;
    /// Every way to open a file.
    pub const OPEN: u64 = OPEN_READ | OPEN_WRITE | CREATE;
}

/// What happens to a call, as `interpose.c` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Count = 0,
    KillBefore = 1,
    /// Half of a write is done; any other call is not.
    KillMiddle = 2,
    Fail = 4,
    /// The first write is cut short, as at the end of a disk; what follows fails.
    FailShort = 5,
}

/// Which calls meet what.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kinds: u64,
    pub action: Action,
    /// The first that is meant, counted from 1.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// For [`Action::Fail`].
    pub errno: i32,
}

impl Fault {
    /// Kills at the k-th change.
    pub fn kill(action: Action, k: u64) -> Fault {
        Fault {
            kinds: kind::MUTATION,
            action,
            first: k,
            last: k,
            errno: 0,
        }
    }

    /// Fails calls of these kinds from the k-th to the last one named.
    pub fn fail(kinds: u64, errno: i32, first: u64, last: u64) -> Fault {
        Fault {
            kinds,
            action: Action::Fail,
            first,
            last,
            errno,
        }
    }
}

/// Where the numbers lie in the file that is shared with the interposer.
mod offset {
    pub const FAULT: u64 = 0;
    pub const DELAY: u64 = 40;
    pub const CLOCK: u64 = 48;
    pub const SPACE: u64 = 56;
    pub const COUNTS: u64 = 64;
    pub const END: u64 = 80;
}

/// The file that tells the interposer what to do, and one that never tells it anything.
const CONTROL: &str = "control";
const CALM: &str = "calm";

/// How long a command may take. Far more than any needs on a busy machine: what is still running then hangs.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A home whose processes run behind the interposer.
pub struct Lab {
    /// The home.
    pub home: Home,
    control: File,
    prefix: PathBuf,
    trace: Option<PathBuf>,
    boot_id: Option<PathBuf>,
    files: Option<u64>,
    streams: bool,
    place: Option<PathBuf>,
    panics: Mutex<Vec<String>>,
}

impl Lab {
    /// No home yet, only the directory for it.
    pub fn empty() -> Lab {
        Lab::around(Home::empty())
    }

    /// Nothing is armed. Everything in the home and where commands run is under test.
    pub fn around(home: Home) -> Lab {
        let make = |name| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(home.directory().join(name))
                .expect("a new directory is writable");
            let sized = file.set_len(offset::END);
            sized.expect("a new file can be made longer");
            file
        };
        make(CALM);
        let control = make(CONTROL);
        Lab {
            prefix: home.directory().to_owned(),
            home,
            control,
            trace: None,
            boot_id: None,
            files: None,
            streams: false,
            place: None,
            panics: Mutex::default(),
        }
    }

    /// Another home with the same files, nothing armed.
    pub fn copy(&self) -> Lab {
        let home = Home::empty();
        copy_tree(&self.home.work(), &home.work());
        if self.home.path().exists() {
            copy_tree(&self.home.path(), &home.path());
        }
        Lab::around(home)
    }

    /// The same under the boot that this one has.
    pub fn copy_with_boot(&self) -> Lab {
        let mut lab = self.copy();
        if let Some(file) = &self.boot_id {
            let id = std::fs::read_to_string(file).expect("it was written with the boot");
            lab.set_boot(id.trim());
        }
        lab
    }

    /// The home is in another place.
    pub fn set_place(&mut self, place: PathBuf) {
        self.place = Some(place);
    }

    /// Faults meet the journal and nothing else.
    pub fn only_journal(mut self) -> Lab {
        self.prefix = self.home.path().join("journal");
        self
    }

    /// Faults meet what a server logs and nothing else.
    pub fn only_log(mut self) -> Lab {
        self.prefix = self.home.file("serve.log");
        self
    }

    /// Every change is appended to this file.
    pub fn traced(mut self, trace: PathBuf) -> Lab {
        self.trace = Some(trace);
        self
    }

    /// The machine has been started anew, or so it seems.
    pub fn set_boot(&mut self, id: &str) {
        let file = self.home.directory().join("boot_id");
        std::fs::write(&file, format!("{id}\n")).expect("the directory is writable");
        self.boot_id = Some(file);
    }

    /// No more files may be open at once; none takes the limit away.
    pub fn set_files(&mut self, files: Option<u64>) {
        self.files = files;
    }

    /// What is written to standard error meets faults too.
    pub fn with_streams(mut self) -> Lab {
        self.streams = true;
        self
    }

    /// The program behind the interposer.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.home.bowline(arguments);
        self.interpose(&mut command, CONTROL);
        command
    }

    fn interpose(&self, command: &mut Command, control: &str) {
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_CONTROL", self.home.directory().join(control))
            .env("FAULTS_PREFIX", &self.prefix);
        let paths = [
            ("FAULTS_TRACE", &self.trace),
            ("FAULTS_BOOT_ID", &self.boot_id),
        ];
        for (name, path) in paths {
            if let Some(path) = path {
                command.env(name, path);
            }
        }
        if let Some(place) = &self.place {
            command.env("BOWLINE_HOME", place);
        }
        if self.streams {
            command.env("FAULTS_STREAMS", "1");
        }
        if let Some(files) = self.files {
            command.env("FAULTS_FILES", files.to_string());
        }
    }

    /// Runs the program behind the interposer. It must not hang, whatever happens.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        self.finish(&mut self.command(arguments))
    }

    /// Runs one of [`command`](Lab::command) to its end.
    #[track_caller]
    pub fn finish(&self, command: &mut Command) -> Finished {
        let finished = run_within(command, COMMAND_MAX);
        self.watch(&finished);
        finished
    }

    /// Runs the program under the same boot, and traced as well, but out of reach of any fault.
    #[track_caller]
    pub fn outside<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Finished {
        let mut command = self.home.bowline(arguments);
        self.interpose(&mut command, CALM);
        self.finish(&mut command)
    }

    /// Ends a server in good order, wherever it is by now; with what it logged.
    #[track_caller]
    pub fn stop(&self, server: Server) -> Finished {
        let status = server.stop();
        let finished = Finished {
            line: "bowline serve, until SIGTERM".to_owned(),
            code: status.code(),
            stdout: String::new(),
            stderr: std::fs::read_to_string(self.home.file("serve.log")).unwrap_or_default(),
        };
        self.watch(&finished);
        finished
    }

    /// Starts a server behind the interposer; or what one that ended instead left.
    #[track_caller]
    pub fn serve(&self) -> Result<Server, Finished> {
        let started = Server::attempt(&self.home, |command| self.interpose(command, CONTROL));
        if let Err(ended) = &started {
            self.watch(ended);
        }
        started
    }

    /// Panics are for bugs; a fault is none.
    fn watch(&self, finished: &Finished) {
        if finished.stderr.contains("panicked") {
            let mut panics = self.panics.lock().expect("nobody panics in here");
            panics.push(finished.to_string());
        }
    }

    /// The first process that panicked since this was last asked.
    pub fn panicked(&self) -> Result<(), String> {
        let mut panics = self.panics.lock().expect("nobody panics in here");
        match panics.drain(..).next() {
            Some(first) => Err(format!("the program panicked\n{first}")),
            None => Ok(()),
        }
    }

    /// From now on this happens, also to what runs already.
    pub fn arm(&self, fault: Fault) {
        // Off first: the parts of it are not written at once.
        self.put(offset::FAULT, &[0; 5]);
        self.put(offset::COUNTS, &[0; 2]);
        let action = fault.action as u64;
        // An errno is a small positive number.
        let errno = u64::from(fault.errno.unsigned_abs());
        self.put(offset::FAULT + 8, &[action, fault.first, fault.last, errno]);
        self.put(offset::FAULT, &[fault.kinds]);
    }

    /// From now on nothing happens; the counts stay.
    pub fn disarm(&self) {
        self.put(offset::FAULT, &[0; 5]);
    }

    /// Counts the calls of these kinds.
    pub fn count_only(&self, kinds: u64) {
        self.arm(Fault {
            kinds,
            action: Action::Count,
            first: 0,
            last: 0,
            errno: 0,
        });
    }

    /// How long the journal is.
    pub fn journal_bytes(&self) -> u64 {
        let segments = read_dir(self.home.path().join("journal"))
            .into_iter()
            .flatten();
        let bytes = segments.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        bytes.sum()
    }

    /// How many calls were counted, and to how many something happened.
    pub fn counts(&self) -> (u64, u64) {
        let mut bytes = [0; 16];
        let read = self.control.read_exact_at(&mut bytes, offset::COUNTS);
        read.expect("the control file is as long as it was made");
        let number = |at: usize| {
            // Cannot fail: eight bytes.
            u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
        };
        (number(0), number(8))
    }

    /// Every sync takes so much longer.
    pub fn set_sync_delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).expect("a short time");
        self.put(offset::DELAY, &[micros]);
    }

    /// The clock is so many seconds ahead of the real one.
    pub fn set_clock(&self, seconds: i64) {
        self.put(offset::CLOCK, &[seconds.cast_unsigned()]);
    }

    /// The disk has so many free bytes, or so it says; none tells the truth.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.put(offset::SPACE, &[bytes.map_or(0, |bytes| bytes + 1)]);
    }

    fn put(&self, at: u64, numbers: &[u64]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        let written = self.control.write_all_at(&bytes, at);
        written.expect("the control file is writable");
    }
}

/// The library, built on first use for this run's machine.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/interpose.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        create_dir_all(&folder).expect("the target directory is writable");
        // Two test runs may build at once: each under its own name, then into place in one step.
        let fresh = folder.join(format!("interpose-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler.args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
        ]);
        run(compiler.arg("-o").arg(&fresh).arg(&source)).expect_success();
        let built = folder.join("interpose.so");
        rename(&fresh, &built).expect("the target directory is writable");
        built
    })
}

/// Copies files and directories; sockets stay behind.
pub fn copy_tree(from: &Path, to: &Path) {
    create_dir_all(to).expect("a directory of ours is writable");
    let mode = std::fs::metadata(from).expect("a directory of ours is there");
    std::fs::set_permissions(to, mode.permissions()).expect("our own directory");
    for entry in read_dir(from).expect("a directory of ours is readable") {
        let entry = entry.expect("a directory entry is readable");
        let (kind, target) = (
            entry.file_type().expect("it is there"),
            to.join(entry.file_name()),
        );
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_file() {
            copy(entry.path(), &target).expect("a file of ours can be copied");
        }
    }
}
