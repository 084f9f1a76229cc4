//! Keys in PKCS#11 tokens: SoftHSM holds them, OpenSC's tool puts them there, and boto3 believes the credentials that the
//! program gets with them under the name `aws_signing_helper`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bowline_tests::{Clients, clients, run};

use crate::keys::Host;
use crate::scene::{openssl, python};

/// SoftHSM with one token, filled by OpenSC's tool.
struct Token {
    root: &'static Path,
    module: PathBuf,
    configuration: PathBuf,
}

impl Token {
    fn new(host: &Host) -> Option<Token> {
        let root = Clients::need(&clients().tokens)?;
        let folder = host.scene.home.file("tokens");
        std::fs::create_dir(&folder).unwrap();
        let configuration = format!("directories.tokendir = {}\n", folder.display());
        let token = Token {
            root,
            module: root.join("usr/lib/softhsm/libsofthsm2.so"),
            configuration: host.scene.home.write("softhsm2.conf", &configuration),
        };
        token.tool(
            host,
            &[
                "--init-token",
                "--slot-index",
                "0",
                "--label",
                "host",
                "--so-pin",
                "5678",
            ],
        );
        let pins = [
            "--login",
            "--login-type",
            "so",
            "--so-pin",
            "5678",
            "--new-pin",
            "1234",
        ];
        token.tool(
            host,
            &[&["--token-label", "host", "--init-pin"][..], &pins].concat(),
        );
        Some(token)
    }

    /// Puts an object of the certificate `web-1` there.
    fn put(&self, host: &Host, file: &str, more: &[&str]) {
        let login = ["--token-label", "host", "--login", "--pin", "1234"];
        self.tool(
            host,
            &[&login[..], &["--write-object", file], more].concat(),
        );
    }

    #[track_caller]
    fn tool(&self, host: &Host, arguments: &[&str]) {
        let mut command = host
            .scene
            .home
            .command(&self.root.join("usr/bin/pkcs11-tool"));
        command
            .env(
                "LD_LIBRARY_PATH",
                self.root.join("usr/lib/x86_64-linux-gnu"),
            )
            .env("SOFTHSM2_CONF", &self.configuration)
            .arg("--module")
            .arg(&self.module)
            .args(arguments);
        run(&mut command).expect_success();
    }

    fn lend<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("SOFTHSM2_CONF", &self.configuration)
            .arg("--pkcs11-lib")
            .arg(&self.module)
    }
}

#[track_caller]
fn check_token(key: &[&str]) {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let host = Host::new(openssl, key);
    let Some(token) = Token::new(&host) else {
        return;
    };
    host.scene.home.write("pin", "1234\n");
    host.openssl("x509 -in web-1.crt -outform DER -out web-1.der");
    token.put(
        &host,
        "web-1.der",
        &["--type", "cert", "--label", "web", "--id", "07"],
    );
    token.put(
        &host,
        "web-1.key",
        &["--type", "privkey", "--label", "web", "--id", "07"],
    );

    let listed =
        run(token.lend(&mut host.helper(&["read-certificate-data", "--certificate", "pkcs11:"])));
    let listed = listed.expect_success().stdout;
    assert!(listed.starts_with("Matching identities\n1) "), "{listed}");
    let uri = listed
        .lines()
        .find_map(|line| line.trim().strip_prefix("URI: "))
        .unwrap_or_else(|| panic!("{listed}"));
    let pin = host.scene.home.file("pin");
    let with_pin = format!("{uri}?pin-source={}", pin.display());
    for source in [
        // Both from the token, by the URI that was listed.
        &[
            "--certificate",
            &with_pin,
            "--intermediates",
            "web-1.chain.crt",
        ][..],
        // The certificate from its file, with the chain behind it.
        &[
            "--certificate",
            "web-1.crt",
            "--private-key",
            "pkcs11:token=host;object=web?pin-value=1234",
        ],
        &[
            "--certificate",
            "web-1.crt",
            "--private-key",
            "pkcs11:id=%07;type=private",
            "--password-file",
            "pin",
        ],
        // The key beside it from a file.
        &[
            "--certificate",
            uri,
            "--private-key",
            "web-1.key",
            "--intermediates",
            "web-1.chain.crt",
        ],
    ] {
        host.is_believed(python, run(token.lend(&mut host.trade(source))));
    }
}

#[test]
fn an_rsa_key_in_a_token_gets_credentials() {
    check_token(&["--kty", "RSA"]);
}

#[test]
fn a_p256_key_in_a_token_gets_credentials() {
    check_token(&[]);
}

#[test]
fn a_p384_key_in_a_token_gets_credentials() {
    check_token(&["--kty", "EC", "--crv", "P-384"]);
}

#[test]
fn a_token_says_what_is_wrong_and_is_not_locked_by_it() {
    let Some(openssl) = openssl() else { return };
    let host = Host::new(openssl, &["--kty", "RSA"]);
    let Some(token) = Token::new(&host) else {
        return;
    };
    let other = host.scene.issue("web-2", &["--kty", "RSA"]);
    host.openssl("x509 -in web-1.crt -outform DER -out web-1.der");
    token.put(
        &host,
        "web-1.der",
        &["--type", "cert", "--label", "web", "--id", "07"],
    );
    token.put(
        &host,
        "web-1.key",
        &["--type", "privkey", "--label", "web", "--id", "07"],
    );
    token.put(
        &host,
        "web-1.key",
        &[
            "--type",
            "privkey",
            "--label",
            "again",
            "--id",
            "08",
            "--always-auth",
        ],
    );
    token.put(
        &host,
        "web-2.key",
        &["--type", "privkey", "--label", "other", "--id", "09"],
    );
    let sign = |arguments: &[&str]| {
        let mut command = host.helper(&["sign-string"]);
        run(token.lend(&mut command).args(arguments))
    };
    let uri = |rest: &str| format!("pkcs11:{rest}");
    for (certificate, key, says) in [
        (
            "web-1.crt",
            uri("token=host;object=web?pin-value=9999"),
            "[pkcs11_pin]",
        ),
        ("web-1.crt", uri("token=host;object=web"), "[pkcs11_pin]"),
        (
            "web-1.crt",
            uri("token=another?pin-value=1234"),
            "[pkcs11_not_found]",
        ),
        (
            "web-1.crt",
            uri("object=none?pin-value=1234"),
            "[pkcs11_not_found]",
        ),
        (
            "web-1.crt",
            uri("token=host?pin-value=1234"),
            "[pkcs11_ambiguous]",
        ),
        (
            "web-1.crt",
            uri("object=other?pin-value=1234"),
            "[key_of_another]",
        ),
        ("web-1.crt", uri("pin-value=1234"), "[pkcs11_uri_invalid]"),
        (
            "web-1.crt",
            uri("object=again?pin-value=1234"),
            "--reuse-pin",
        ),
    ] {
        let refused = sign(&["--certificate", certificate, "--private-key", &key]);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains(says), "{says}: {refused}");
        let words: String = refused.stderr.clone() + &refused.stdout;
        assert!(
            !words.contains("1234") && !words.contains("9999"),
            "a PIN is shown: {refused}"
        );
    }
    let certificate = other.certificate.display().to_string();
    let right = uri("object=other?pin-value=1234");
    sign(&["--certificate", &certificate, "--private-key", &right]).expect_success();
    let again = uri("object=again?pin-value=1234");
    sign(&[
        "--certificate",
        "web-1.crt",
        "--private-key",
        &again,
        "--reuse-pin",
    ])
    .expect_success();

    let mut without_module = host.helper(&["sign-string", "--private-key", &again]);
    without_module.args([OsStr::new("--pkcs11-lib"), OsStr::new("/no/such/module.so")]);
    let refused = run(&mut without_module).expect_failure();
    assert!(refused.stderr.contains("[pkcs11_module]"), "{refused}");
}
