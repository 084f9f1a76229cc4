//! One server with a role, and the clients' command lines.

use bowline_tests::{Clients, Finished, Home, Server, clients, run};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The role every scene has, and the OU that lets a certificate have it.
pub const ROLE: &str = "s3-reader";

/// The account of a home whose `init` named none.
pub const ACCOUNT: &str = "000000000000";

/// The three names an exchange takes.
pub struct Names {
    pub anchor: String,
    pub profile: String,
    pub role: String,
}

/// A home with the role, a running server and the roots its clients trust.
pub struct Scene {
    pub home: Home,
    pub server: Server,
    pub roots: PathBuf,
}

impl Scene {
    pub fn new() -> Scene {
        let home = Home::initialized();
        home.succeed([
            "role",
            "create",
            ROLE,
            "--allow",
            "s3:GetObject",
            "--on",
            "arn:aws:s3:::data/*",
        ]);
        let roots = home.write("roots.pem", &home.succeed(["ca", "bundle"]));
        let server = Server::start(&home);
        Scene {
            home,
            server,
            roots,
        }
    }

    /// The same home under a server that was stopped in good order and started again.
    pub fn restarted(self) -> Scene {
        let Scene {
            home,
            server,
            roots,
        } = self;
        let status = server.stop();
        assert!(status.success(), "the server ended with {status}");
        let server = Server::start(&home);
        Scene {
            home,
            server,
            roots,
        }
    }

    /// `bowline issue NAME --role s3-reader …` into the work directory.
    #[track_caller]
    pub fn issue(&self, name: &str, key: &[&str]) -> Leaf {
        let arguments = ["issue", name, "--role", ROLE];
        self.home.succeed(arguments.iter().chain(key));
        Leaf::at(&self.home.work(), name)
    }

    /// The names `init` and `role create` made.
    pub fn names(&self) -> Names {
        Names {
            anchor: self.home.arn("anchor", "default"),
            profile: self.home.arn("profile", "default"),
            role: self.home.arn("role", ROLE),
        }
    }

    /// The Python session library trades the certificate over TLS; boto3 then asks who it is.
    pub fn python_exchange(
        &self,
        python: &Path,
        leaf: &Leaf,
        chain: Option<&Path>,
        names: &Names,
    ) -> Finished {
        let mut command = self.python(python, "exchange");
        command
            .args(["--endpoint", self.server.authority()])
            .args(["--anchor", &names.anchor])
            .args(["--profile", &names.profile])
            .args(["--role", &names.role])
            .arg("--certificate")
            .arg(&leaf.certificate)
            .arg("--private-key")
            .arg(&leaf.key);
        if let Some(chain) = chain {
            command.arg("--chain").arg(chain);
        }
        run(&mut command)
    }

    /// boto3 asks STS who the credentials belong to.
    pub fn python_whoami(&self, python: &Path, credentials: &Credentials) -> Finished {
        run(credentials.hand_to(&mut self.python(python, "whoami")))
    }

    /// boto3 signs a GetCallerIdentity URL.
    pub fn python_presign(&self, python: &Path, credentials: &Credentials) -> Finished {
        run(credentials.hand_to(&mut self.python(python, "presign")))
    }

    /// Python itself, without the script.
    pub fn python_line(&self, python: &Path, program: &str, arguments: &[&str]) -> Finished {
        let mut command = self.home.command(python);
        run(command.args(["-c", program]).args(arguments))
    }

    fn python(&self, python: &Path, subcommand: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/roles_anywhere.py");
        let mut command = self.home.command(python);
        without_outside_aws(&mut command)
            .arg(script)
            .args([subcommand, "--sts", self.server.https()])
            .arg("--verify")
            .arg(&self.roots);
        command
    }

    /// `aws sts get-caller-identity --endpoint-url …`
    pub fn aws_whoami(&self, aws: &Path, credentials: &Credentials) -> Finished {
        let mut command = self.home.command(aws);
        without_outside_aws(credentials.hand_to(&mut command))
            .args(["sts", "get-caller-identity", "--output", "json"])
            .args([
                "--region",
                "us-east-1",
                "--endpoint-url",
                self.server.https(),
            ])
            .arg("--ca-bundle")
            .arg(&self.roots);
        run(&mut command)
    }

    /// `aws_signing_helper credential-process` against this endpoint.
    pub fn helper_exchange(
        &self,
        helper: &Path,
        endpoint: &str,
        leaf: &Leaf,
        intermediates: Option<&Path>,
        names: &Names,
    ) -> Finished {
        let mut command = self.home.command(helper);
        without_outside_aws(&mut command)
            // Its TLS takes the roots of the system, which for Go is this variable; newer versions
            // read the AWS one.
            .env("SSL_CERT_FILE", &self.roots)
            .env("AWS_CA_BUNDLE", &self.roots)
            .args(["credential-process", "--endpoint", endpoint])
            .args(["--trust-anchor-arn", &names.anchor])
            .args(["--profile-arn", &names.profile])
            .args(["--role-arn", &names.role])
            .args(["--session-duration", "900", "--certificate"])
            .arg(&leaf.certificate)
            .arg("--private-key")
            .arg(&leaf.key);
        if let Some(intermediates) = intermediates {
            command.arg("--intermediates").arg(intermediates);
        }
        run(&mut command)
    }

    /// `openssl …` in the work directory; it must succeed.
    #[track_caller]
    pub fn openssl<A: AsRef<OsStr>>(
        &self,
        openssl: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Finished {
        run(self.home.command(openssl).args(arguments)).expect_success()
    }

    /// The identity that credentials of `leaf` for `role` must have.
    pub fn session_arn(&self, openssl: &Path, leaf: &Leaf, role: &str) -> String {
        let serial = leaf.serial(self, openssl);
        format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{serial}")
    }
}

/// The message of a refused exchange. A refusal by STS afterwards has a code and does not count.
#[track_caller]
pub fn exchange_refusal(finished: Finished) -> String {
    let refused = finished.expect_failure();
    let error = &refused.json()["Refused"];
    let by_exchange = error["Status"] == 403 && error.get("Code").is_none();
    assert!(
        by_exchange,
        "the exchange should have been refused\n{refused}"
    );
    error["Message"].as_str().unwrap_or_default().to_string()
}

/// The files of one certificate.
pub struct Leaf {
    pub certificate: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Leaf {
    pub fn at(folder: &Path, name: &str) -> Leaf {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        Leaf {
            certificate: file("crt"),
            chain: file("chain.crt"),
            key: file("key"),
        }
    }

    /// The serial as openssl reads it, in lower-case hex: the default session name.
    fn serial(&self, scene: &Scene, openssl: &Path) -> String {
        let mut arguments = vec![
            OsStr::new("x509"),
            OsStr::new("-noout"),
            OsStr::new("-serial"),
        ];
        arguments.extend([OsStr::new("-in"), self.certificate.as_os_str()]);
        let said = scene.openssl(openssl, arguments).stdout;
        said.trim().trim_start_matches("serial=").to_lowercase()
    }
}

/// What an exchange gives.
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl Credentials {
    /// Reads the three members, as both clients name them.
    #[track_caller]
    pub fn of(answer: &Value) -> Credentials {
        let text = |name: &str| {
            let member = answer[name].as_str().filter(|text| !text.is_empty());
            member
                .unwrap_or_else(|| panic!("no {name} in {answer}"))
                .to_string()
        };
        Credentials {
            access_key_id: text("AccessKeyId"),
            secret_access_key: text("SecretAccessKey"),
            session_token: text("SessionToken"),
        }
    }

    /// What names them in every request.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub fn hand_to<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", &self.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_access_key)
            .env("AWS_SESSION_TOKEN", &self.session_token)
    }
}

/// Keeps AWS clients from asking this machine's metadata service and files, and from repeating what
/// was refused.
pub fn without_outside_aws(command: &mut Command) -> &mut Command {
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "no-such-file")
        .env("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
}

/// Python with the clients in it.
pub fn python() -> Option<&'static Path> {
    Clients::need(&clients().python)
}

/// The AWS command line.
pub fn aws() -> Option<&'static Path> {
    Clients::need(&clients().aws)
}

/// AWS's credential helper.
pub fn signing_helper() -> Option<&'static Path> {
    Clients::need(&clients().signing_helper)
}

/// `age`; `age-keygen` lies beside it.
pub fn age() -> Option<&'static Path> {
    Clients::need(&clients().age)
}

/// Go's packages for transparency logs.
pub fn log_judge() -> Option<&'static Path> {
    Clients::need(&clients().log_judge)
}

/// nginx.
pub fn nginx() -> Option<&'static Path> {
    Clients::need(&clients().nginx)
}

/// openssl.
pub fn openssl() -> Option<&'static Path> {
    Clients::need(&clients().openssl)
}
