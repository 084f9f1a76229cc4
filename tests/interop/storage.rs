//! A batch host with nothing but its certificate, and a storage server that honours our credentials: the AWS command
//! line, boto3, rclone and s3cmd write and read, a session policy keeps them to one prefix, and revoking the
//! certificate ends it all in the middle of an upload.

use crate::scene::{Credentials, aws, python, without_outside_aws};
use bowline_tests::{
    Clients, Finished, Home, Server, bowline_binary, clients, run, storage_server,
};
use std::fs::{create_dir_all, read, read_to_string, remove_file, write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// For how long the storage server keeps a session's key: so long a revocation may take.
const KEEP_SECONDS: u64 = 2;

/// How long the storage server may take to listen, on a machine that is busy compiling.
const START_MAX: Duration = Duration::from_secs(30);

/// What a session of the profile may do, whatever its role may: everything below one prefix.
const NARROW: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::data",
     "Condition": {"StringLike": {"s3:prefix": "batch/*"}}},
    {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::data/batch/*"}]}"#;

/// A Bowline server, a storage server, and the files of the batch host.
struct Storage {
    home: Home,
    roots: PathBuf,
    url: String,
    child: Child,
    server: Server,
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Storage {
    fn new() -> Storage {
        let home = Home::initialized();
        home.write("narrow.json", NARROW);
        home.succeed([
            "profile",
            "create",
            "night",
            "--session-policy-file",
            "narrow.json",
        ]);
        let everything = ["--allow", "s3:*", "--on", "*"];
        let batch = ["role", "create", "batch", "--profile", "night"];
        home.succeed(batch.iter().chain(&everything));
        let keys = ["--allow", "bowline:GetSigningKey", "--on", "*"];
        home.succeed(["role", "create", "storage"].iter().chain(&keys));
        let roots = home.write("roots.pem", &home.succeed(["ca", "bundle"]));
        home.succeed(["issue", "batch-1", "--role", "batch"]);
        home.succeed([
            "issue",
            "storage",
            "--role",
            "storage",
            "--san",
            "localhost",
        ]);
        let server = Server::start(&home);

        // What others keep there.
        create_dir_all(home.file("buckets/data/other")).expect("the work directory is writable");
        write(home.file("buckets/data/other/secret"), "theirs").expect("it is");
        let ready = home.file("storage.ready");
        let mut command = home.command(storage_server());
        command
            .args(["--listen", "127.0.0.1:0", "--root", "buckets"])
            .args(["--server", server.https(), "--roots", "roots.pem"])
            .args(["--identity", "storage.crt", "--identity-key", "storage.key"])
            .args(["--certificate", "storage.crt", "--key", "storage.key"])
            .args(["--keep-seconds", &KEEP_SECONDS.to_string()])
            .args(["--ready-file".as_ref(), ready.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("the example starts");
        let url = wait_for(&ready, &mut child);
        let storage = Storage {
            home,
            roots,
            // Its certificate is for the name.
            url: url.replace("127.0.0.1", "localhost"),
            child,
            server,
        };
        storage.write_config();
        storage
    }

    /// The line that every AWS client on the host reads.
    fn write_config(&self) {
        let home = &self.home;
        let process = format!(
            "{} credential-process --endpoint {} --root {} --certificate {} --private-key {} \
             --trust-anchor-arn {} --profile-arn {} --role-arn {}",
            bowline_binary().display(),
            self.server.https(),
            self.roots.display(),
            home.file("batch-1.crt").display(),
            home.file("batch-1.key").display(),
            home.arn("anchor", "default"),
            home.arn("profile", "night"),
            home.arn("role", "batch"),
        );
        home.write("process", &process);
        home.write(
            "aws.conf",
            &format!("[default]\nregion = us-east-1\ncredential_process = {process}\n"),
        );
    }

    /// A client that gets its credentials by itself, with the host's certificate.
    fn client(&self, program: &Path) -> Command {
        let mut command = self.home.command(program);
        without_outside_aws(&mut command)
            .env("AWS_CONFIG_FILE", self.home.file("aws.conf"))
            .env("AWS_CA_BUNDLE", &self.roots)
            .env("AWS_ENDPOINT_URL_S3", &self.url);
        command
    }

    #[track_caller]
    fn aws(&self, program: &Path, arguments: &[&str]) -> Finished {
        run(self.client(program).arg("s3").args(arguments))
    }

    /// Credentials for the clients that take them ready-made.
    #[track_caller]
    fn credentials(&self) -> Credentials {
        let line = read_to_string(self.home.file("process")).expect("it was just written");
        let mut words = line.split(' ');
        let program = Path::new(words.next().expect("a line has a first word"));
        let traded = run(self.home.command(program).args(words));
        Credentials::of(&traded.expect_success().json())
    }

    #[track_caller]
    fn rclone(&self, program: &Path, arguments: &[&str]) -> Finished {
        let mut command = self.home.command(program);
        self.credentials().hand_to(&mut command);
        command
            .arg("--config")
            .arg(self.home.write("rclone.conf", ""))
            .arg("--ca-cert")
            .arg(&self.roots)
            .args(["--retries", "1", "--low-level-retries", "1"])
            .args([
                "--s3-provider",
                "Other",
                "--s3-env-auth",
                "--s3-region",
                "us-east-1",
            ])
            .args([
                "--s3-upload-cutoff",
                "6M",
                "--s3-chunk-size",
                "5M",
                "--s3-no-check-bucket",
            ])
            .args(["--s3-endpoint", &self.url])
            .args(arguments);
        run(&mut command)
    }

    #[track_caller]
    fn s3cmd(&self, program: &Path, arguments: &[&str]) -> Finished {
        let host = self.url.trim_start_matches("https://");
        let config = format!(
            "[default]\nhost_base = {host}\nhost_bucket = {host}\nuse_https = True\n\
             ca_certs_file = {}\nbucket_location = us-east-1\nmultipart_chunk_size_mb = 5\n\
             max_retries = 1\n{}",
            self.roots.display(),
            s3cmd_lines(&self.credentials()),
        );
        let config = self.home.write("s3cfg", &config);
        let mut command = self.home.command(program);
        run(command
            .arg("-c")
            .arg(config)
            .arg("--no-progress")
            .args(arguments))
    }

    /// A file of two parts and a bit.
    fn large(&self) -> Vec<u8> {
        let bytes: Vec<u8> = (0..11_000_000_u32).map(|at| (at / 3 % 251) as u8).collect();
        write(self.home.file("large"), &bytes).expect("the work directory is writable");
        write(self.home.file("small"), "a few words\n").expect("it is");
        bytes
    }

    fn boto3(&self, python: &Path, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/storage.py");
        let mut command = self.client(python);
        command
            .arg(script)
            .args(arguments)
            .arg("--roots")
            .arg(&self.roots);
        command
    }
}

/// Credentials as s3cmd's file has them.
fn s3cmd_lines(credentials: &Credentials) -> String {
    let mut command = Command::new("none");
    credentials.hand_to(&mut command);
    let value = |name: &str| {
        let mut variables = command.get_envs();
        let found = variables.find(|(known, _)| *known == name);
        let found = found.and_then(|(_, value)| value?.to_str());
        found.expect("the variable was just set").to_owned()
    };
    format!(
        "access_key = {}\nsecret_key = {}\naccess_token = {}\n",
        value("AWS_ACCESS_KEY_ID"),
        value("AWS_SECRET_ACCESS_KEY"),
        value("AWS_SESSION_TOKEN")
    )
}

fn wait_for(ready: &Path, child: &mut Child) -> String {
    let deadline = Instant::now() + START_MAX;
    loop {
        if let Ok(url) = read_to_string(ready) {
            return url;
        }
        let ended = child.try_wait().expect("our own child can be waited for");
        assert!(ended.is_none(), "the storage server ended: {ended:?}");
        assert!(
            Instant::now() < deadline,
            "it does not listen after {START_MAX:?}"
        );
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_aws_command_line_writes_and_reads_below_its_prefix_only() {
    let Some(aws) = aws() else { return };
    let storage = Storage::new();
    let large = storage.large();
    storage
        .aws(aws, &["cp", "large", "s3://data/batch/large"])
        .expect_success();
    storage
        .aws(aws, &["cp", "s3://data/batch/large", "back"])
        .expect_success();
    assert!(read(storage.home.file("back")).expect("it came back") == large);
    let listed = storage
        .aws(aws, &["ls", "s3://data/batch/"])
        .expect_success();
    assert!(listed.stdout.contains("11000000 large"), "{listed}");
    storage
        .aws(aws, &["rm", "s3://data/batch/large"])
        .expect_success();
    for elsewhere in [
        &["cp", "small", "s3://data/other/mine"][..],
        &["ls", "s3://data/"],
        &["rm", "s3://data/other/secret"],
        &["mb", "s3://another"],
    ] {
        let refused = storage.aws(aws, elsewhere).expect_failure();
        assert!(refused.stderr.contains("AccessDenied"), "{refused}");
        assert!(
            refused.stderr.contains("because no session policy allows"),
            "{refused}"
        );
    }
    assert!(storage.home.file("buckets/data/other/secret").exists());
    assert!(!storage.home.file("buckets/data/other/mine").exists());
}

#[test]
fn boto3_uses_parts_streams_and_presigned_urls() {
    let Some(python) = python() else { return };
    let storage = Storage::new();
    let done = run(&mut storage.boto3(python, &["work"]))
        .expect_success()
        .json();
    assert_eq!(done["same"], true);
    assert_eq!(done["large"], 10_485_830);
    assert_eq!(done["listed"], 6);
    assert_eq!(done["deleted"][0]["Key"], "batch/copy");
    assert!(storage.home.file("buckets/data/batch/a b+c.txt").exists());

    assert_eq!(done["presigned_put"][0], 200);
    assert_eq!(done["presigned_get"][1], "by URL");
    for (refused, says) in [
        (
            "presigned_late",
            "<Code>AccessDenied</Code><Message>Request has expired</Message>",
        ),
        (
            "presigned_elsewhere",
            "because no session policy allows the s3:GetObject action",
        ),
    ] {
        assert_eq!(done[refused][0], 403, "{refused}");
        let text = done[refused][1].as_str().unwrap_or_default();
        assert!(text.contains(says), "{refused}: {text}");
    }
    for refused in [
        "delete_both",
        "read_elsewhere",
        "copy_elsewhere",
        "list_elsewhere",
    ] {
        assert_eq!(done[refused][0], "AccessDenied", "{refused}: {done}");
    }
    assert!(!storage.home.file("buckets/data/batch/stolen").exists());
}

#[test]
fn rclone_writes_and_reads_below_its_prefix_only() {
    let Some(rclone) = Clients::need(&clients().rclone) else {
        return;
    };
    let storage = Storage::new();
    let large = storage.large();
    storage
        .rclone(rclone, &["copyto", "large", ":s3:data/batch/large"])
        .expect_success();
    storage
        .rclone(rclone, &["copyto", ":s3:data/batch/large", "back"])
        .expect_success();
    assert!(read(storage.home.file("back")).expect("it came back") == large);
    let listed = storage
        .rclone(rclone, &["lsf", ":s3:data/batch/"])
        .expect_success();
    assert_eq!(listed.stdout, "large\n");
    let refused = storage.rclone(rclone, &["copyto", "small", ":s3:data/other/mine"]);
    assert!(refused.expect_failure().stderr.contains("403"));
    assert!(!storage.home.file("buckets/data/other/mine").exists());
}

#[test]
fn s3cmd_writes_and_reads_below_its_prefix_only() {
    let Some(s3cmd) = Clients::need(&clients().s3cmd) else {
        return;
    };
    let storage = Storage::new();
    let large = storage.large();
    storage
        .s3cmd(s3cmd, &["put", "large", "s3://data/batch/large"])
        .expect_success();
    storage
        .s3cmd(s3cmd, &["get", "s3://data/batch/large", "back"])
        .expect_success();
    assert!(read(storage.home.file("back")).expect("it came back") == large);
    let listed = storage
        .s3cmd(s3cmd, &["ls", "s3://data/batch/"])
        .expect_success();
    assert!(listed.stdout.contains("s3://data/batch/large"), "{listed}");
    let refused = storage.s3cmd(s3cmd, &["put", "small", "s3://data/other/mine"]);
    assert!(
        refused
            .expect_failure()
            .stderr
            .contains("403 (AccessDenied)")
    );
    assert!(!storage.home.file("buckets/data/other/mine").exists());
}

#[test]
fn revoking_the_certificate_ends_an_upload_in_its_middle() {
    let Some(python) = python() else { return };
    let storage = Storage::new();
    let (go, gone) = (storage.home.file("go"), storage.home.file("gone"));
    let mut upload = storage.boto3(python, &["cut-off"]);
    upload.arg("--go").arg(&go).arg("--gone").arg(&gone);
    std::thread::scope(|scope| {
        let uploading = scope.spawn(|| run(&mut upload));
        let deadline = Instant::now() + START_MAX * 2;
        while !go.exists() {
            assert!(
                !uploading.is_finished() && Instant::now() < deadline,
                "no part was taken"
            );
            sleep(Duration::from_millis(20));
        }
        storage.home.succeed(["cert", "revoke", "batch-1"]);
        write(&gone, "").expect("the work directory is writable");
        let ended = uploading
            .join()
            .expect("the upload ends")
            .expect_success()
            .json();
        assert_eq!(ended["refusal"][0], "ExpiredToken", "{ended}");
        let why = ended["refusal"][1].as_str().unwrap_or_default();
        assert!(why.contains("was revoked"), "{ended}");
        let seconds = ended["seconds"].as_f64().expect("a number");
        // Kept keys live for so long, and a part takes a moment.
        assert!(seconds < KEEP_SECONDS as f64 + 10.0, "{ended}");
    });
    assert!(!storage.home.file("buckets/data/batch/endless").exists());
    // The certificate is good for nothing any more.
    let Some(aws) = aws() else { return };
    let _ = remove_file(&go);
    storage
        .aws(aws, &["ls", "s3://data/batch/"])
        .expect_failure();
}
