//! Installs the real clients, once per machine, below the target directory.

use crate::binary::{target_directory, workspace_root};
use crate::command::run;
use std::fs::{File, create_dir_all, read_to_string, remove_dir_all, rename, write};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// AWS's credential helper, as `go install` takes it.
const SIGNING_HELPER: &str = "github.com/aws/rolesanywhere-credential-helper@v1.8.0";

/// The last part of that module's path: the name `go install` gives the program.
const SIGNING_HELPER_BUILT: &str = "rolesanywhere-credential-helper";

/// The file encryption tool whose format backups have, and the maker of its keys.
const AGE: &str = "filippo.io/age/cmd/...@v1.2.1";

/// A PKCS#11 token in software and the tool that fills it, as Debian packages them. They are unpacked, not installed.
const TOKEN_PACKAGES: [&str; 3] = ["libsofthsm2", "opensc", "opensc-pkcs11"];

/// A client that other people wrote: where it is, or why it is not here.
pub type Client = Result<PathBuf, Missing>;

/// Why a client is not here.
#[derive(Clone, Debug)]
pub enum Missing {
    /// Something that this machine or its configuration lacks.
    Here(String),
    /// Its registry answered that it does not hand the package out. No machine behind that registry
    /// can do anything about it.
    Refused(String),
}

/// The clients, each installed or with the reason why not.
pub struct Clients {
    /// Python with `iam-rolesanywhere-session` and `boto3`.
    pub python: Client,
    /// The AWS command line.
    pub aws: Client,
    /// AWS's `aws_signing_helper`.
    pub signing_helper: Client,
    /// `age`; `age-keygen` lies beside it.
    pub age: Client,
    /// Our few lines around Go's own packages for transparency logs.
    pub log_judge: Client,
    /// `openssl` of this machine.
    pub openssl: Client,
    /// The folder with SoftHSM's module, `usr/lib/softhsm/libsofthsm2.so`, and OpenSC's `usr/bin/pkcs11-tool`.
    pub tokens: Client,
    /// nginx, whose `auth_request` asks us.
    pub nginx: Client,
    /// `s3cmd`, beside the Python it runs on.
    pub s3cmd: Client,
    /// Debian's `rclone`.
    pub rclone: Client,
}

impl Clients {
    /// The client's path. Where it is missing: a failure when `CI=true`, because there nobody reads
    /// what was skipped; otherwise a count on standard error, past the test runner's capture, and
    /// `None`. A client that its own registry refuses is skipped under CI too, and written to
    /// `interop/not-run` below the target directory, which `.ci/run` prints last.
    #[track_caller]
    pub fn need(client: &Client) -> Option<&Path> {
        static SKIPPED: AtomicUsize = AtomicUsize::new(0);
        let why = match client {
            Ok(path) => return Some(path),
            Err(Missing::Here(why)) => {
                assert!(!in_ci(), "a client is missing, and CI=true: {why}");
                why
            }
            Err(Missing::Refused(why)) => {
                note_not_run(why);
                why
            }
        };
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        // A full terminal is no reason to fail a test that was skipped anyway.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED (no. {count} of this run): {why}\n"
        );
        None
    }
}

/// Adds a line to the list of what did not run.
fn note_not_run(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let file = target_directory().join("interop/not-run");
    let mut list = File::options()
        .create(true)
        .append(true)
        .open(file)
        .expect("the target directory is writable");
    writeln!(list, "{name}: {why}").expect("the target directory is writable");
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The clients, installed on first use. A second run only compares stamps.
pub fn clients() -> &'static Clients {
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    CLIENTS.get_or_init(|| {
        let folder = target_directory().join("interop");
        create_dir_all(&folder).expect("the target directory is writable");
        // Two test runs may meet here; the second finds everything installed.
        let lock = File::create(folder.join("lock")).expect("the target directory is writable");
        lock.lock().expect("a lock file of our own can be locked");
        let python = install_python(&folder);
        Clients {
            aws: python.clone().map(|path| path.with_file_name("aws")),
            s3cmd: python.clone().map(|path| path.with_file_name("s3cmd")),
            python,
            signing_helper: install_signing_helper(&folder),
            age: install_age(&folder),
            log_judge: build_log_judge(&folder),
            openssl: find_openssl(),
            tokens: unpack_tokens(&folder),
            nginx: unpack_nginx(&folder),
            rclone: unpack_packages(&folder, "rclone", &["rclone"])
                .map(|root| root.join("usr/bin/rclone")),
        }
    })
}

/// A virtual environment with exactly the packages listed in `interop/requirements.txt`.
fn install_python(folder: &Path) -> Client {
    install_environment(folder).map_err(Missing::Here)
}

fn install_environment(folder: &Path) -> Result<PathBuf, String> {
    let list = workspace_root().join("tests/interop/requirements.txt");
    let wanted = read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?;
    let version = output(Command::new("python3").arg("--version"))?;
    let environment = folder.join("python");
    let python = environment.join("bin/python");
    let stamp = Stamp::new(&environment, &format!("{version}\n{wanted}"));
    if stamp.holds() {
        return Ok(python);
    }
    let _ = remove_dir_all(&environment);
    output(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ]);
    output(pip.arg(&list))?;
    stamp.set();
    Ok(python)
}

/// Builds AWS's helper with the machine's Go, under the name that configuration files use.
fn install_signing_helper(folder: &Path) -> Client {
    let version = go_version()?;
    let programs = folder.join("go");
    let helper = programs.join("aws_signing_helper");
    let stamp = Stamp::new(&programs, &format!("{version}\n{SIGNING_HELPER}"));
    if stamp.holds() {
        return Ok(helper);
    }
    let _ = remove_dir_all(&programs);
    create_dir_all(&programs).expect("the target directory is writable");
    let mut go = Command::new("go");
    // Its PKCS#11 part is C.
    go.env("GOBIN", &programs).env("CGO_ENABLED", "1");
    build_with(go.args(["install", SIGNING_HELPER]).current_dir(folder))?;
    rename(programs.join(SIGNING_HELPER_BUILT), &helper)
        .map_err(|e| Missing::Here(format!("go install made no {SIGNING_HELPER_BUILT}: {e}")))?;
    stamp.set();
    Ok(helper)
}

/// Builds `age` and `age-keygen` with the machine's Go.
fn install_age(folder: &Path) -> Client {
    let version = go_version()?;
    let programs = folder.join("age");
    let age = programs.join("age");
    let stamp = Stamp::new(&programs, &format!("{version}\n{AGE}"));
    if stamp.holds() {
        return Ok(age);
    }
    let _ = remove_dir_all(&programs);
    create_dir_all(&programs).expect("the target directory is writable");
    let mut go = Command::new("go");
    go.env("GOBIN", &programs);
    build_with(go.args(["install", AGE]).current_dir(folder))?;
    stamp.set();
    Ok(age)
}

/// Builds `interop/log_judge`. Its `go.sum` says what the packages it uses must be.
fn build_log_judge(folder: &Path) -> Client {
    let mut wanted = go_version()?;
    let sources = workspace_root().join("tests/interop/log_judge");
    for name in ["go.mod", "go.sum", "main.go"] {
        let file = sources.join(name);
        // Cannot fail in a whole checkout.
        wanted += &read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    let programs = folder.join("log-judge");
    let judge = programs.join("log_judge");
    let stamp = Stamp::new(&programs, &wanted);
    if stamp.holds() {
        return Ok(judge);
    }
    let _ = remove_dir_all(&programs);
    create_dir_all(&programs).expect("the target directory is writable");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-o"]);
    build_with(go.arg(&judge).arg(".").current_dir(sources))?;
    stamp.set();
    Ok(judge)
}

/// Unpacks SoftHSM and OpenSC. Nobody needs to be root for that.
fn unpack_tokens(folder: &Path) -> Client {
    unpack_packages(folder, "tokens", &TOKEN_PACKAGES)
}

/// Debian's nginx.
fn unpack_nginx(folder: &Path) -> Client {
    let root = unpack_packages(folder, "nginx", &["nginx"])?;
    let nginx = root.join("usr/sbin/nginx");
    // Its libraries are those of this machine, or it does not start.
    output(Command::new(&nginx).arg("-v")).map_err(Missing::Here)?;
    Ok(nginx)
}

/// Debian's packages, unpacked into a folder of their own. Needs no rights on this machine.
fn unpack_packages(folder: &Path, name: &str, wanted: &[&str]) -> Client {
    let root = folder.join(name);
    let stamp = Stamp::new(&root, &wanted.join(" "));
    if stamp.holds() {
        return Ok(root);
    }
    let _ = remove_dir_all(&root);
    create_dir_all(&root).expect("the target directory is writable");
    let mut download = Command::new("apt-get");
    download.args(["-qq", "download"]).args(wanted);
    output(download.current_dir(&root)).map_err(Missing::Here)?;
    let packages = std::fs::read_dir(&root).expect("the folder was just made");
    for package in packages.flatten().map(|entry| entry.path()) {
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(&package).arg(&root);
        output(&mut unpack).map_err(Missing::Here)?;
    }
    stamp.set();
    Ok(root)
}

fn go_version() -> Result<String, Missing> {
    output(Command::new("go").arg("version")).map_err(Missing::Here)
}

/// Runs `go`, and tells a module that the proxy does not hand out from what this machine lacks.
fn build_with(go: &mut Command) -> Result<(), Missing> {
    match output(go) {
        Ok(_) => Ok(()),
        // The module proxy's word for a module it does not hand out; time-outs and compile errors are ours.
        Err(why) if why.contains("403 Forbidden") || why.contains("410 Gone") => {
            Err(Missing::Refused(why))
        }
        Err(why) => Err(Missing::Here(why)),
    }
}

fn find_openssl() -> Client {
    output(Command::new("openssl").arg("version")).map_err(Missing::Here)?;
    Ok(PathBuf::from("openssl"))
}

/// Standard output of a command that succeeds; otherwise what went wrong, in one line.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    if !program.contains('/') && !on_path(&program) {
        return Err(format!("`{program}` is not installed"));
    }
    let finished = run(command);
    if finished.code == Some(0) {
        return Ok(finished.stdout.trim().to_string());
    }
    let said = finished.stderr.trim().replace('\n', " / ");
    Err(format!("{}: {said}", finished.line))
}

fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Says that a folder holds what was asked for; written last, so a broken installation has none.
struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    fn new(folder: &Path, wanted: &str) -> Stamp {
        // A virtual environment knows its own path, so a moved one is a broken one.
        Stamp {
            file: folder.join("installed"),
            wanted: format!("{}\n{wanted}", folder.display()),
        }
    }

    fn holds(&self) -> bool {
        read_to_string(&self.file).is_ok_and(|found| found == self.wanted)
    }

    fn set(&self) {
        write(&self.file, &self.wanted).expect("the folder was just filled");
    }
}
