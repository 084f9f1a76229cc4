//! Keys as openssl writes them, used by the program under the name `aws_signing_helper`: openssl verifies what they sign,
//! and boto3 believes the credentials they get.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bowline_tests::{Finished, bowline_binary, run};

use crate::scene::{Credentials, Leaf, ROLE, Scene, openssl, python};

/// A scene with a certificate, and the program under the other name.
pub struct Host {
    pub scene: Scene,
    leaf: Leaf,
    openssl: &'static Path,
}

impl Host {
    /// A host with a certificate for this kind of key.
    pub fn new(openssl: &'static Path, key: &[&str]) -> Host {
        let scene = Scene::new();
        let leaf = scene.issue("web-1", key);
        symlink(bowline_binary(), scene.home.file("aws_signing_helper")).unwrap();
        scene.home.write("password", "a pass word\n");
        scene.home.write("wrong", "another\n");
        Host {
            scene,
            leaf,
            openssl,
        }
    }

    /// `openssl …`, with the certificate's files by their names in the work directory.
    #[track_caller]
    pub fn openssl(&self, line: &str) {
        self.scene.openssl(self.openssl, line.split(' '));
    }

    /// `aws_signing_helper …`
    pub fn helper(&self, arguments: &[&str]) -> Command {
        let helper = self.scene.home.file("aws_signing_helper");
        let mut command = self.scene.home.command(&helper);
        command.env("AWS_CA_BUNDLE", &self.scene.roots);
        command.args(arguments);
        command
    }

    /// `aws_signing_helper credential-process` with a key from here.
    pub fn trade(&self, source: &[&str]) -> Command {
        let names = self.scene.names();
        // Each source is to trade by itself, not to print what another one got.
        let mut command = self.helper(&["credential-process", "--no-cache"]);
        command
            .args(["--endpoint", self.scene.server.https()])
            .args(["--trust-anchor-arn", &names.anchor])
            .args(["--profile-arn", &names.profile])
            .args(["--role-arn", &names.role])
            .args(source);
        command
    }

    /// boto3 believes the credentials.
    #[track_caller]
    pub fn is_believed(&self, python: &Path, traded: Finished) {
        let credentials = Credentials::of(&traded.expect_success().json());
        let said = self.scene.python_whoami(python, &credentials);
        let said = said.expect_success().json();
        let expected = self.scene.session_arn(self.openssl, &self.leaf, ROLE);
        assert_eq!(said["Arn"], expected.as_str());
    }

    /// openssl verifies what a key signs, with each hash.
    #[track_caller]
    fn signs(&self, source: &[&str]) {
        let text = self.scene.home.file("text");
        if !text.exists() {
            self.write_text(&text);
        }
        for digest in ["SHA256", "SHA384", "SHA512"] {
            let mut command = self.helper(&["sign-string", "--format", "text", "--digest", digest]);
            let signed = run(command.args(source)).expect_success();
            let octets: Vec<u8> = (0..signed.stdout.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&signed.stdout[at..at + 2], 16).unwrap())
                .collect();
            std::fs::write(self.scene.home.file("signature"), octets).unwrap();
            self.openssl(&format!(
                "dgst -{digest} -verify public.pem -signature signature text"
            ));
        }
    }

    /// The text that `sign-string` signs, put together by openssl: its hash is over the public key as certificates
    /// carry it.
    fn write_text(&self, text: &Path) {
        self.openssl("x509 -in web-1.crt -noout -pubkey -out public.pem");
        self.openssl("pkey -pubin -in public.pem -outform DER -out public.der");
        let spki = std::fs::read(self.scene.home.file("public.der")).unwrap();
        // The BIT STRING is the last thing in there, and what is in it begins with 0x04 for a point of a curve, with a
        // SEQUENCE for PKCS#1.
        let bits = match spki.len() {
            91 => 65,
            120 => 97,
            158 => 133,
            294 => 270,
            other => panic!("a public key of {other} octets is of no kind tested here"),
        };
        let mut hashed = b"IAM RA".to_vec();
        hashed.extend(&spki[spki.len() - bits..]);
        std::fs::write(self.scene.home.file("hashed"), hashed).unwrap();
        self.openssl("dgst -SHA256 -binary -out hash hashed");
        let mut signed = b"AWS Roles Anywhere Credential Helper Signing Test1".to_vec();
        signed.extend(std::fs::read(self.scene.home.file("hash")).unwrap());
        std::fs::write(text, signed).unwrap();
    }

    /// It fails as that program does: with 1, after the time, for this reason.
    #[track_caller]
    fn fails(&self, arguments: &[&str], says: &str) {
        let refused = run(&mut self.helper(arguments));
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains(says), "{says}: {refused}");
        assert!(refused.stdout.is_empty(), "{refused}");
    }
}

/// Every kind of file openssl writes a key to.
#[track_caller]
fn check_containers(key: &[&str], traditional: &str) {
    let Some(openssl) = openssl() else { return };
    let host = Host::new(openssl, key);
    let with_password = ["--password-file", "password"];
    host.signs(&["--private-key", "web-1.key"]);

    // Unencrypted: PKCS#8 and the older form, PEM and DER.
    for form in ["PEM", "DER"] {
        host.openssl(&format!(
            "pkcs8 -topk8 -nocrypt -in web-1.key -outform {form} -out plain"
        ));
        host.signs(&["--private-key", "plain"]);
        host.openssl(&format!(
            "{traditional} -in web-1.key -outform {form} -out old"
        ));
        host.signs(&["--private-key", "old"]);
    }

    // Encrypted PKCS#8: every cipher with every way from a password to a key.
    let mut kinds = 0;
    for cipher in ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc"] {
        for derivation in [
            "-v2prf hmacWithSHA1",
            "-v2prf hmacWithSHA256",
            "-v2prf hmacWithSHA384",
            "-v2prf hmacWithSHA512",
            "-scrypt",
        ] {
            let form = if kinds % 2 == 0 { "PEM" } else { "DER" };
            kinds += 1;
            host.openssl(&format!(
                "pkcs8 -topk8 -v2 {cipher} {derivation} -passout file:password -in web-1.key -outform {form} -out encrypted"
            ));
            let signed = run(host
                .helper(&["sign-string", "--private-key", "encrypted"])
                .args(with_password));
            signed.expect_success();
        }
    }
    assert_eq!(kinds, 15);
    host.signs(&["--private-key", "encrypted", "--password-file", "password"]);
    host.signs(&[
        "--private-key",
        "encrypted",
        "--pkcs8-password",
        "a pass word",
    ]);

    // PKCS#12, as it is written today, for Windows of yesterday, and without a password.
    for how in [
        "-passout file:password",
        "-legacy -passout file:password",
        "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg SHA1 -passout file:password",
        "-keypbe AES-128-CBC -certpbe AES-192-CBC -macalg SHA512 -passout file:password",
    ] {
        host.openssl(&format!(
            "pkcs12 -export {how} -in web-1.crt -inkey web-1.key -out web-1.p12"
        ));
        host.signs(&["--certificate", "web-1.p12", "--password-file", "password"]);
    }
    for how in ["-passout pass:", "-legacy -passout pass:"] {
        host.openssl(&format!(
            "pkcs12 -export {how} -in web-1.crt -inkey web-1.key -out web-1.p12"
        ));
        host.signs(&["--certificate", "web-1.p12"]);
    }
}

#[test]
fn a_p256_key_signs_from_every_container() {
    check_containers(&[], "ec");
}

#[test]
fn a_p384_key_signs_from_every_container() {
    check_containers(&["--kty", "EC", "--crv", "P-384"], "ec");
}

#[test]
fn a_p521_key_signs_from_every_container() {
    check_containers(&["--kty", "EC", "--crv", "P-521"], "ec");
}

#[test]
fn an_rsa_key_signs_from_every_container() {
    check_containers(&["--kty", "RSA"], "rsa -traditional");
}

#[test]
fn every_source_of_files_gets_credentials_that_boto3_believes() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let host = Host::new(openssl, &[]);
    host.openssl("x509 -in web-1.crt -outform DER -out web-1.der");
    host.openssl("pkcs8 -topk8 -scrypt -passout file:password -in web-1.key -out encrypted");
    host.openssl(
        "pkcs12 -export -passout file:password -in web-1.crt -inkey web-1.key -certfile web-1.chain.crt -out web-1.p12",
    );
    let text = |name: &str| std::fs::read_to_string(host.scene.home.file(name)).unwrap();
    // The leaf last, and the key in the middle.
    let whole = text("web-1.chain.crt") + &text("web-1.key") + &text("web-1.crt");
    host.scene.home.write("whole.pem", &whole);
    for source in [
        &["--certificate", "web-1.crt", "--private-key", "web-1.key"][..],
        &["--certificate", "whole.pem"],
        &[
            "--certificate",
            "web-1.der",
            "--private-key",
            "web-1.key",
            "--intermediates",
            "web-1.chain.crt",
        ],
        &[
            "--certificate",
            "web-1.crt",
            "--private-key",
            "encrypted",
            "--password-file",
            "password",
        ],
        &["--certificate", "web-1.p12", "--password-file", "password"],
    ] {
        host.is_believed(python, run(&mut host.trade(source)));
    }
    // The environment is asked before the flag, as by that program.
    let elsewhere = [
        "--certificate",
        "web-1.crt",
        "--private-key",
        "web-1.key",
        "--endpoint",
        "http://127.0.0.1:9",
    ];
    let names = host.scene.names();
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ROLESANYWHERE"] {
        let mut command = host.helper(&["credential-process", "--no-cache"]);
        command
            .args(elsewhere)
            .args(["--trust-anchor-arn", &names.anchor])
            .args(["--profile-arn", &names.profile])
            .args(["--role-arn", &names.role])
            .env(variable, host.scene.server.https());
        host.is_believed(python, run(&mut command));
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let Some(openssl) = openssl() else { return };
    let host = Host::new(openssl, &["--kty", "RSA"]);
    host.scene.issue("web-2", &[]);
    host.openssl("pkcs8 -topk8 -passout file:password -in web-1.key -out encrypted");
    host.openssl("rsa -traditional -aes128 -passout file:password -in web-1.key -out old");
    host.openssl(
        "pkcs12 -export -passout file:password -in web-1.crt -inkey web-1.key -out web-1.p12",
    );
    host.openssl("pkcs12 -export -nokeys -passout file:password -in web-1.crt -out keyless.p12");
    host.scene.home.write(
        "tpm.pem",
        "-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n",
    );
    let damaged = std::fs::read(host.scene.home.file("web-1.p12")).unwrap();
    std::fs::write(
        host.scene.home.file("cut.p12"),
        &damaged[..damaged.len() / 2],
    )
    .unwrap();
    let sign = |arguments: &[&'static str], says: &str| {
        let line: Vec<&str> = ["sign-string"].iter().chain(arguments).copied().collect();
        host.fails(&line, says);
    };
    sign(&["--private-key", "encrypted"], "[private_key_encrypted]");
    sign(
        &["--private-key", "encrypted", "--password-file", "wrong"],
        "[private_key_password_wrong]",
    );
    sign(&["--certificate", "web-1.p12"], "[private_key_encrypted]");
    sign(
        &["--certificate", "web-1.p12", "--password-file", "wrong"],
        "[private_key_password_wrong]",
    );
    sign(
        &[
            "--certificate",
            "keyless.p12",
            "--password-file",
            "password",
        ],
        "no private key in it",
    );
    sign(
        &["--certificate", "cut.p12", "--password-file", "password"],
        "[pkcs12_unreadable]",
    );
    sign(
        &["--private-key", "old", "--password-file", "password"],
        "[private_key_encryption_old]",
    );
    sign(&["--private-key", "tpm.pem"], "[key_source_unsupported]");
    sign(
        &["--private-key", "handle:0x81000001"],
        "[key_source_unsupported]",
    );
    sign(
        &["--cert-selector", "Key=x509Subject,Value=CN=a"],
        "keys are read from files",
    );
    sign(
        &["--certificate", "web-2.crt", "--private-key", "web-1.key"],
        "[key_of_another]",
    );
    sign(&["--certificate", "web-1.crt"], "[private_key_missing]");
    sign(&["--certificate", "none.crt"], "[file]");
    sign(&[], "--private-key is needed");
    host.fails(&["no-such-command"], "no-such-command");
    // The time comes first, as Go's log has it.
    let refused = run(&mut host.helper(&["sign-string"])).stderr;
    let shape: String = refused[..20].replace(|c: char| c.is_ascii_digit(), "9");
    assert_eq!(shape, "9999/99/99 99:99:99 ");
}

#[test]
fn certificate_data_are_what_openssl_reads() {
    let Some(openssl) = openssl() else { return };
    let host = Host::new(openssl, &["--kty", "RSA"]);
    let told = run(&mut host.helper(&["read-certificate-data", "--certificate", "web-1.crt"]));
    let told = told.expect_success().json();
    host.openssl("x509 -in web-1.crt -outform DER -out web-1.der");
    host.openssl("base64 -A -in web-1.der -out web-1.base64");
    let encoded = std::fs::read_to_string(host.scene.home.file("web-1.base64")).unwrap();
    assert_eq!(told["certificateData"], encoded.trim());
    assert_eq!(told["keyType"], "RSA");
    assert_eq!(
        told["supportedAlgorithms"],
        serde_json::json!(["RSASHA256", "RSASHA384", "RSASHA512"])
    );
    let shown = host
        .scene
        .openssl(openssl, ["x509", "-in", "web-1.crt", "-noout", "-serial"]);
    let hexadecimal = shown.stdout.trim().trim_start_matches("serial=");
    let hexadecimal = hexadecimal.trim_start_matches('0');
    let decimal = told["serialNumber"].as_str().unwrap().to_owned();
    // openssl shows a number that was given in decimal digits in hexadecimal ones.
    let shown = host.scene.openssl(openssl, ["prime", &decimal]);
    assert!(
        shown.stdout.starts_with(&format!("{hexadecimal} ")),
        "{shown}"
    );
    let version = run(&mut host.helper(&["version"])).expect_success();
    assert_eq!(version.stdout, concat!(env!("CARGO_PKG_VERSION"), "\n"));
}

/// `aws_signing_helper update --once` writes credentials that boto3 believes.
#[test]
fn update_under_the_other_name_writes_what_boto3_believes() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let host = Host::new(openssl, &[]);
    let names = host.scene.names();
    let written = host.scene.home.file("credentials");
    let mut update = host.helper(&["update", "--once", "--profile", "web"]);
    update
        .args(["--endpoint", host.scene.server.https()])
        .args(["--trust-anchor-arn", &names.anchor])
        .args(["--profile-arn", &names.profile])
        .args(["--role-arn", &names.role])
        .args(["--certificate", "web-1.crt", "--private-key", "web-1.key"])
        .env("AWS_SHARED_CREDENTIALS_FILE", &written);
    run(&mut update).expect_success();
    let text = std::fs::read_to_string(&written).unwrap();
    assert!(text.contains("[web]"), "{text}");
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == name));
        line.map(|(_, value)| value.trim().to_owned())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let credentials = Credentials::of(&serde_json::json!({
        "AccessKeyId": value("aws_access_key_id"),
        "SecretAccessKey": value("aws_secret_access_key"),
        "SessionToken": value("aws_session_token"),
    }));
    let said = host
        .scene
        .python_whoami(python, &credentials)
        .expect_success()
        .json();
    assert_eq!(
        said["Arn"],
        host.scene.session_arn(openssl, &host.leaf, ROLE).as_str()
    );
}
