//! No secret is where it should not be: a run that makes every kind of secret, and a search of everything it wrote for
//! each of them, in every form that it could be written in.

mod calls;
mod host;
mod ledger;
mod story;
mod traces;

use ledger::{Kind, Ledger, Secret};
use traces::{Finding, Traces};

/// Where a kind of secret may stand; `*` is any number of characters. Everything else is a leak.
const ALLOWED: [(Kind, &str, &str); 35] = [
    (
        Kind::PrivateKey,
        "file work/*.key",
        "issue was asked to make it",
    ),
    (
        Kind::PrivateKey,
        "file root/root_ca_key",
        "init --offline-root was asked to",
    ),
    (Kind::UnsealKey, "file home/unseal.key", "its own file"),
    (
        Kind::UnsealKey,
        "file work/sandbox/home/unseal.key",
        "its own file, copied by the test",
    ),
    (
        Kind::UnsealKey,
        "file restored/unseal.key",
        "restore was given it",
    ),
    (
        Kind::UnsealKey,
        "file again/unseal.key",
        "restore was given it",
    ),
    (
        Kind::Passphrase,
        "file work/*.passphrase",
        "the file it was given in",
    ),
    (Kind::SecretAccessKey, "stdout of credentials", "asked for"),
    (
        Kind::SecretAccessKey,
        "stdout of credential-process",
        "asked for",
    ),
    (Kind::SecretAccessKey, "stdout of boto3", "its caller's"),
    (
        Kind::SecretAccessKey,
        "file .cache/bowline/credentials/*",
        "the private cache of credential-process",
    ),
    (
        Kind::SecretAccessKey,
        "file .aws/credentials",
        "host update was asked to",
    ),
    (
        Kind::SecretAccessKey,
        "file work/sandbox.env",
        "the command of a sandbox has it in its environment",
    ),
    (Kind::SecretAccessKey, "answer exchange", "asked for"),
    (Kind::SecretAccessKey, "answer AssumeRole", "asked for"),
    (
        Kind::SecretAccessKey,
        "answer AssumeRoleWithWebIdentity",
        "asked for",
    ),
    (
        Kind::SecretAccessKey,
        "answer container",
        "asked for, with the token",
    ),
    (
        Kind::SecretAccessKey,
        "environment of aws-config",
        "left there by the test",
    ),
    (Kind::SessionToken, "stdout of credentials", "asked for"),
    (
        Kind::SessionToken,
        "stdout of credential-process",
        "asked for",
    ),
    (
        Kind::SessionToken,
        "stdout of presign",
        "a part of every presigned URL",
    ),
    (Kind::SessionToken, "stdout of boto3", "its caller's"),
    (
        Kind::SessionToken,
        "file .cache/bowline/credentials/*",
        "the private cache of credential-process",
    ),
    (
        Kind::SessionToken,
        "file .aws/credentials",
        "host update was asked to",
    ),
    (
        Kind::SessionToken,
        "file work/sandbox.env",
        "the command of a sandbox has it in its environment",
    ),
    (Kind::SessionToken, "answer exchange", "asked for"),
    (Kind::SessionToken, "answer AssumeRole", "asked for"),
    (
        Kind::SessionToken,
        "answer AssumeRoleWithWebIdentity",
        "asked for",
    ),
    (
        Kind::SessionToken,
        "answer container",
        "asked for, with the token",
    ),
    (Kind::Authenticator, "stdout of mfa enable", "shown once"),
    (
        Kind::ContainerToken,
        "file work/exec.token",
        "written by the command under exec, which has it",
    ),
    (
        Kind::ContainerToken,
        "file work/host.token",
        "host serve was asked to",
    ),
    (Kind::SigningKey, "answer get-signing-key", "asked for"),
    (
        Kind::IdentityToken,
        "answer GetWebIdentityToken",
        "asked for",
    ),
    (
        Kind::BackupIdentity,
        "file work/identity.age",
        "its own file",
    ),
];

/// Secrets that are handed out nowhere in the run as they are looked for.
const MADE_ELSEWHERE: [&str; 2] = ["left over", "mfa enable, decoded"];

fn allowed(kind: Kind, place: &str) -> bool {
    ALLOWED
        .iter()
        .any(|(known, pattern, _)| *known == kind && fits(pattern, place))
}

fn fits(pattern: &str, place: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            place.len() >= before.len() + after.len()
                && place.starts_with(before)
                && place.ends_with(after)
        }
        None => pattern == place,
    }
}

#[test]
fn every_secret_of_a_run_stays_where_it_belongs() {
    let story = story::told();
    let (ledger, traces) = (&story.ledger, &story.traces);

    // 1. There was something to look for, and somewhere to look.
    let bytes = traces.bytes();
    println!(
        "{} secrets in {} forms, looked for in {} places of {bytes} bytes",
        ledger.secrets.len(),
        ledger
            .secrets
            .iter()
            .map(|secret| secret.forms.len())
            .sum::<usize>(),
        traces.all.len(),
    );
    for (kind, least) in [
        (Kind::PrivateKey, 7),
        (Kind::UnsealKey, 2),
        (Kind::Passphrase, 1),
        (Kind::SecretAccessKey, 12),
        (Kind::SessionToken, 12),
        (Kind::Authenticator, 2),
        (Kind::ContainerToken, 2),
        (Kind::SigningKey, 1),
        (Kind::IdentityToken, 2),
    ] {
        let count = ledger.count(kind);
        assert!(count >= least, "{kind:?}: {count} instead of {least}");
    }
    assert!(bytes > 500_000, "only {bytes} bytes");
    for (words, least) in [
        ("log of serve", 2),
        ("stderr of", 100),
        ("refusal", 25),
        ("arguments of", 40),
        ("environment of serve", 2),
        ("file home/journal", 1),
        ("file home/index", 1),
        ("file second/journal", 1),
        ("file work/copy.bowline", 1),
        ("ready file of serve", 2),
    ] {
        let count = traces.count(words);
        assert!(count >= least, "{words}: {count} instead of {least}");
    }
    // What is no secret can be read there, so a secret could be too.
    for place in [
        "file home/journal",
        "file work/log.jsonl",
        "file work/copy.bowline",
    ] {
        assert!(traces.has(place, b"s3-reader"), "{place}");
    }

    // 2. Nothing is elsewhere.
    let found = traces.search(ledger);
    let leaks: Vec<String> = found
        .iter()
        .filter(|finding| !allowed(ledger.secrets[finding.secret].kind, &finding.place))
        .map(|finding| {
            let secret = &ledger.secrets[finding.secret];
            format!("{:?} of {} in {}", secret.kind, secret.name, finding.place)
        })
        .collect();
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );

    // 3. And everything is where it was handed out: a search that finds nothing proves nothing.
    for secret in 0..ledger.secrets.len() {
        let Secret { kind, name, .. } = &ledger.secrets[secret];
        let seen = found.iter().any(|finding| finding.secret == secret);
        assert!(
            seen || MADE_ELSEWHERE.contains(&name.as_str()),
            "{kind:?} of {name} was found nowhere"
        );
    }
    planted(ledger);
}

/// A secret that is planted is found, whichever it is and in whatever form.
#[track_caller]
fn planted(ledger: &Ledger) {
    for (secret, known) in ledger.secrets.iter().enumerate() {
        for form in &known.forms {
            let mut traces = Traces::default();
            let place = "stderr of serve";
            traces.add(
                place,
                [b"before \xff{\"", form.as_slice(), b"\"} after"].concat(),
            );
            let finding = Finding {
                place: place.into(),
                secret,
            };
            assert!(traces.search(ledger).contains(&finding), "{}", known.name);
            assert!(!allowed(known.kind, place));
        }
    }
}
