//! Where a certificate and its key may be, without anything that others wrote.

use bowline_service::PrivateKey;

use super::*;

#[test]
fn a_certificate_and_its_key_may_be_in_one_file_in_any_order() {
    let bench = Bench::with_web();
    let whole = bench.read("web-1.chain.crt") + &bench.read("web-1.key") + &bench.read("web-1.crt");
    fs::write(bench.file("whole.pem"), whole).unwrap();
    let signed = bench.succeed("host sign-string --certificate whole.pem");
    assert!(
        signed.starts_with("\"30") && signed.ends_with('"'),
        "{signed}"
    );
    bench.refuse(
        "host sign-string --certificate web-1.crt",
        3,
        "private_key_missing",
    );
}

#[test]
fn a_password_may_come_from_standard_input() {
    let bench = Bench::with_web();
    fs::write(bench.file("password"), "secret\n").unwrap();
    let key = PrivateKey::from_pem(bench.read("web-1.key").as_bytes(), None).unwrap();
    let encrypted = key.to_encrypted_pem(b"secret", &SystemEntropy).unwrap();
    fs::write(bench.file("encrypted"), encrypted).unwrap();
    let line = "host sign-string --certificate web-1.crt --private-key encrypted --password-file";
    bench.succeed(&format!("{line} password"));
    let given = |input| bench.run_with_input(&format!("{line} -"), input);
    assert_eq!(given("secret\n").code, 0);
    assert_eq!(given("another\n").code, 4);
}

#[test]
fn a_password_on_the_command_line_is_taken_with_a_warning() {
    let bench = Bench::with_web();
    let told = bench.run("host sign-string --private-key web-1.key --pkcs8-password secret");
    assert_eq!(told.code, 0, "{}", told.messages);
    assert!(
        told.messages.contains("--password-file"),
        "{}",
        told.messages
    );
    assert!(!told.messages.contains("secret"), "{}", told.messages);
}

#[test]
fn certificate_data_have_the_members_of_the_other_program() {
    let bench = Bench::with_web();
    let told = bench.succeed("host read-certificate-data --certificate web-1.crt");
    let told: Value = serde_json::from_str(&told).unwrap();
    let members: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        [
            "certificateData",
            "keyType",
            "serialNumber",
            "supportedAlgorithms"
        ]
    );
    assert_eq!(told["keyType"], "EC");
    assert_eq!(told["supportedAlgorithms"][0], "ECSHA256");
    let digits = told["serialNumber"].as_str().unwrap();
    assert!(
        digits.bytes().all(|digit| digit.is_ascii_digit()),
        "{digits}"
    );
}
