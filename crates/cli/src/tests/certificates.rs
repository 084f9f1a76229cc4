//! From a role to credentials, and what ends them.

use super::*;

#[test]
fn issue_writes_three_files_and_tells_how_to_use_them() {
    let bench = Bench::with_home();
    bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
    let told = bench.succeed("issue web-1 --role web --san web-1.example");
    for fact in [
        "aws_signing_helper credential-process",
        "--region us-east-1",
        "--certificate web-1.crt",
        "IAMRolesAnywhereSession(",
        "role/web",
        "2026-06-02T11:5",
    ] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert_eq!(
        bench.read("web-1.crt").matches("BEGIN CERTIFICATE").count(),
        2
    );
    assert_eq!(
        bench
            .read("web-1.chain.crt")
            .matches("BEGIN CERTIFICATE")
            .count(),
        1
    );
    assert!(bench.read("web-1.key").contains("BEGIN PRIVATE KEY"));
    assert_eq!(
        (
            mode(&bench.file("web-1.key")),
            mode(&bench.file("web-1.crt"))
        ),
        (0o600, 0o644)
    );
}

#[test]
fn files_are_replaced_only_by_force() {
    let bench = Bench::with_web();
    let before = (bench.read("web-1.crt"), bench.read("web-1.key"));
    bench.refuse("issue web-1 --role web", 7, "--force");
    bench.succeed("issue web-1 --role web --if-missing");
    assert_eq!((bench.read("web-1.crt"), bench.read("web-1.key")), before);
    bench.succeed("issue web-1 --role web --force");
    assert!(bench.read("web-1.crt") != before.0 && bench.read("web-1.key") != before.1);
    assert!(!bench.file("web-1.key.new").exists());
    bench.succeed("credentials web-1");
    // Expired, it is as good as missing.
    bench.wait(TimeDelta::days(2));
    bench.succeed("issue web-1 --role web --if-missing");
    bench.succeed("credentials web-1");
}

#[test]
fn a_refused_certificate_leaves_no_files() {
    let bench = Bench::with_home();
    bench.refuse("issue web-1 --role nobody", 6, "nobody");
    assert_eq!(fs::read_dir(bench.file("")).unwrap().count(), 0);
    bench.refuse("issue ../web-1", 2, "`/`");
}

#[test]
fn every_kind_of_key_is_made() {
    let bench = Bench::with_home();
    for (name, kind, key) in [
        ("a", "--kty EC --crv P-384", "P-384"),
        ("b", "--crv P-521", "P-521"),
        ("c", "--kty RSA --size 3072", "RSA"),
        ("d", "--kty OKP", "Ed25519"),
    ] {
        bench.succeed(&format!("issue {name} {kind}"));
        let leaf = bench.succeed(&format!("cert inspect {name}.crt"));
        let told = leaf.lines().find(|line| line.starts_with("key  ")).unwrap();
        assert!(told.contains(key), "{told}");
    }
}

#[test]
fn credentials_are_what_credential_process_expects() {
    let bench = Bench::with_web();
    let document: Value = serde_json::from_str(&bench.succeed("credentials web-1")).unwrap();
    let members: Vec<&str> = document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "AccessKeyId",
            "Expiration",
            "SecretAccessKey",
            "SessionToken",
            "Version"
        ]
    );
    assert_eq!(document["Version"], 1);
    assert_eq!(document["Expiration"], "2026-06-01T13:00:00Z");
    let lines = bench.succeed("credentials web-1 --format env --duration 30m");
    assert!(lines.starts_with("export AWS_ACCESS_KEY_ID="), "{lines}");
    assert!(
        lines.contains("AWS_CREDENTIAL_EXPIRATION=2026-06-01T12:30:00Z"),
        "{lines}"
    );
}

#[test]
fn several_roles_are_listed_and_one_is_chosen() {
    let bench = Bench::with_web();
    bench.succeed("role create batch --allow s3:* --on *");
    bench.succeed("issue both --role web --role batch");
    bench.refuse("credentials both", 3, "--role: batch, web");
    bench.succeed("credentials both --role batch");
    bench.refuse("credentials web-1 --role batch", 5, "web");
    bench.refuse("credentials nobody", 6, "bowline issue nobody");
}

#[test]
fn an_operator_needs_no_files() {
    let bench = Bench::with_home();
    bench.succeed("credentials operator");
    assert_eq!(fs::read_dir(bench.file("")).unwrap().count(), 0);
}

#[test]
fn a_revocation_ends_what_the_certificate_could_do() {
    let bench = Bench::with_web();
    let before = bench.succeed("ca crl");
    let answer = bench.json("cert revoke web-1 --reason keyCompromise");
    assert_eq!(answer["revoked"].as_array().unwrap().len(), 1);
    bench.refuse(
        "credentials web-1",
        4,
        "was revoked at 2026-06-01T12:00:00Z (keyCompromise)",
    );
    assert_ne!(bench.succeed("ca crl"), before);
    assert!(bench.succeed("cert list").contains("revoked"));
    bench.refuse("cert renew web-1.crt web-1.key", 4, "revoked");
    bench.refuse("cert revoke nobody", 6, "nobody");
}

#[test]
fn a_renewal_replaces_both_files() {
    let bench = Bench::with_web();
    let before = (bench.read("web-1.crt"), bench.read("web-1.key"));
    assert_eq!(bench.run("cert needs-renewal web-1.crt").code, 1);
    bench.wait(TimeDelta::hours(20));
    assert_eq!(bench.run("cert needs-renewal web-1.crt").code, 0);
    assert_eq!(
        bench
            .run("cert needs-renewal web-1.crt --expires-in 1h")
            .code,
        1
    );
    assert_eq!(bench.run("cert needs-renewal nobody.crt").code, 2);
    assert_eq!(bench.run("cert needs-renewal web-1.key").code, 255);
    bench.succeed("cert renew web-1.crt web-1.key");
    assert!(bench.read("web-1.crt") != before.0 && bench.read("web-1.key") != before.1);
    let key = bench.read("web-1.key");
    bench.succeed("cert renew web-1.crt web-1.key --keep-key");
    assert_eq!(bench.read("web-1.key"), key);
    bench.wait(TimeDelta::hours(12));
    bench.succeed("credentials web-1");
}

#[test]
fn a_renewal_cut_off_between_its_files_still_has_its_key() {
    let bench = Bench::with_web();
    let old = bench.read("web-1.key");
    bench.succeed("cert renew web-1.crt web-1.key");
    // As it lies there when the process ends after the certificate and before the key.
    fs::rename(bench.file("web-1.key"), bench.file("web-1.key.new")).unwrap();
    crate::files::create_secret(&bench.file("web-1.key"), old.as_bytes()).unwrap();
    bench.succeed("credentials web-1");
    let told = bench.run("cert renew web-1.crt web-1.key");
    assert!(
        told.code == 0 && told.messages.contains("cut off"),
        "{}",
        told.messages
    );
    assert!(!bench.file("web-1.key.new").exists());
    bench.succeed("credentials web-1");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let bench = Bench::with_web();
    bench.succeed("issue web-2 --role web");
    fs::copy(bench.file("web-2.key"), bench.file("web-1.key")).unwrap();
    bench.refuse("credentials web-1", 3, "is not the key of");
}

#[test]
fn a_certificate_that_was_there_is_told_as_a_new_one_is() {
    let bench = Bench::with_web();
    let issued = bench.json("issue web-2 --role web");
    let kept = bench.json("issue web-2 --role web --if-missing");
    let members = kept.as_object().unwrap();
    assert!(members.len() >= 9, "{kept}");
    for (name, value) in members {
        assert_eq!(value, &issued[name], "{name}");
    }
}

#[test]
fn a_key_that_no_client_signs_with_comes_without_lines_for_clients() {
    let bench = Bench::with_web();
    let told = bench.succeed("issue web-2 --role web --kty OKP");
    assert!(told.contains("cannot be traded"), "{told}");
    assert!(!told.contains("aws_signing_helper"), "{told}");
    bench.refuse("credentials web-2", 4, "Ed25519");
}

#[test]
fn an_encrypted_key_is_traded_with_its_password() {
    let bench = Bench::with_web();
    let key = bowline_service::PrivateKey::from_pem(bench.read("web-1.key").as_bytes(), None);
    let key = key
        .unwrap()
        .to_encrypted_pem(b"open sesame", &SystemEntropy);
    fs::write(bench.file("web-1.key"), key.unwrap()).unwrap();
    fs::write(bench.file("password"), "open sesame\n").unwrap();
    fs::write(bench.file("other"), "open barley\n").unwrap();
    bench.refuse(
        "credentials web-1",
        3,
        "web-1.key: the private key is encrypted",
    );
    bench.refuse("credentials web-1 --password-file other", 4, "web-1.key: ");
    bench.succeed("credentials web-1 --password-file password");
}
