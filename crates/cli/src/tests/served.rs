//! Commands at servers: over the control socket, over TLS, and the whole story.

use super::*;

#[test]
fn flags_of_the_signing_helper_are_taken_or_refused_by_name() {
    let bench = Bench::with_web();
    let arns = "--trust-anchor-arn arn:aws:rolesanywhere:us-east-1:000000000000:trust-anchor/x --profile-arn arn:aws:rolesanywhere:us-east-1:000000000000:profile/x --role-arn r";
    let files = "--certificate web-1.crt --private-key web-1.key";
    for flag in [
        "--no-verify-ssl",
        "--cert-selector Key=x509Serial,Value=1",
        "--system-store-name MY",
        "--tpm-key-password p",
    ] {
        let name = flag.split(' ').next().unwrap();
        bench.refuse(
            &format!("credential-process {arns} {files} {flag}"),
            2,
            name,
        );
    }
    bench.refuse(
        &format!("credential-process {arns} --cert-selector x"),
        2,
        "--cert-selector",
    );
    bench.refuse(&format!("credential-process {arns}"), 2, "--certificate");
    bench.refuse(
        &format!(
            "credential-process {arns} {files} --no-verify-ssl=false --with-proxy --pkcs11-lib l --endpoint http://127.0.0.1:1"
        ),
        75,
        "127.0.0.1:1",
    );
    // A proxy is only in the way where one is named.
    let mut bench = bench;
    bench
        .variables
        .push(("HTTPS_PROXY".into(), "http://proxy:3128".into()));
    bench.refuse(
        &format!("credential-process {arns} {files} --with-proxy"),
        2,
        "HTTPS_PROXY",
    );
}

#[test]
fn nobody_gets_the_credentials_that_were_kept_for_the_operator() {
    let mut bench = Bench::with_web();
    let caches = bench.file("caches").display().to_string();
    bench.variables.push(("XDG_CACHE_HOME".into(), caches));
    let kept = bench.succeed("credential-process operator");
    assert_eq!(bench.succeed("credential-process operator"), kept);
    // As little a file as the operator's is that of a name with a slip in it, or on a disk that is not there.
    bench.refuse("credential-process web-2", 6, "web-2");
    fs::remove_file(bench.file("web-1.crt")).unwrap();
    bench.refuse("credential-process web-1 --role web", 6, "web-1");
}

/// A server of the bench's home in this process, on free ports.
fn serve(bench: &Bench) -> bowline_server::Running {
    let variables: std::collections::BTreeMap<_, _> = bench
        .variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let home = crate::home::Home::find(None, Path::new("/"), &variables).unwrap();
    let control_socket = Some(home.control_socket());
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let local = crate::caller::Local {
        home,
        clock,
        entropy,
        password_file: None,
        variables,
    };
    let (service, _) = crate::commands::serve::open(&local, &mut |_| {}).unwrap();
    let address = Some(([127, 0, 0, 1], 0).into());
    let names = crate::commands::serve::server_names(&service, &[], [address, None]);
    let config = bowline_server::Config {
        tls: address,
        plain: None,
        control_socket,
        names,
        publish_events: false,
    };
    bowline_server::serve(service, config).unwrap()
}

#[test]
fn operators_administer_from_elsewhere_and_workloads_do_not() {
    let mut bench = Bench::empty();
    // TLS looks at the machine's clock.
    *bench.clock.0.lock().unwrap() = SystemClock.now();
    bench.succeed("init");
    bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
    bench.succeed("issue web-1 --role web");
    bench.succeed("issue alice --certificate-profile operator --role administrator");
    let fingerprint = bench.json("ca bundle")["fingerprints"][0]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(bench.file("roots.pem"), bench.succeed("ca bundle")).unwrap();

    let server = serve(&bench);
    let url = format!("https://{}", server.tls.unwrap());
    // The server has the home, so this goes through its control socket.
    bench.succeed("role list");
    bench.refuse(
        "serve --listen 127.0.0.1:0 --plain-listen none",
        75,
        "is served already by process",
    );
    bench.refuse("init", 7, "initialized already");

    bench.variables.clear();
    let root = format!("--server {url} --root roots.pem");
    bench.succeed(&format!("ca bundle {root}"));
    bench.succeed(&format!(
        "ca bundle --server {url} --fingerprint {fingerprint}"
    ));
    bench.refuse(
        &format!("ca bundle --server {url} --fingerprint {}", "00".repeat(32)),
        4,
        "no root",
    );
    bench.refuse(&format!("ca bundle --server {url}"), 2, "--root");
    bench.refuse(&format!("role list {root}"), 5, "--as CERT");
    bench.succeed(&format!("role list {root} --as alice.crt"));
    bench.succeed(&format!("issue web-2 --role web {root} --as alice.crt"));
    bench.refuse(
        &format!("role list {root} --as web-1.crt"),
        5,
        "iam:ListRoles",
    );
    // The holder of a certificate asks for itself.
    bench.succeed(&format!("credentials web-2 {root}"));
    bench.succeed(&format!("cert renew web-2.crt web-2.key {root}"));
    bench.succeed(&format!("credentials web-2 {root}"));
    server.stop();
    bench.refuse(&format!("credentials web-2 {root}"), 75, "cannot reach");
}

#[test]
fn commands_at_the_same_time_take_turns() {
    let bench = Bench::with_home();
    bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
    std::thread::scope(|scope| {
        for name in 0..8 {
            let bench = &bench;
            scope.spawn(move || bench.succeed(&format!("issue web-{name} --role web")));
        }
    });
    assert_eq!(bench.succeed("cert list --output json").lines().count(), 8);
}

#[test]
fn the_quickstart_tells_the_whole_story_and_leaves_nothing() {
    let bench = Bench::empty();
    // TLS looks at the machine's clock, so the story runs by it.
    let told = bench.run_at(Arc::new(SystemClock), "quickstart", "");
    assert_eq!(told.code, 0, "{}{}", told.output, told.messages);
    for fact in [
        "1. bowline init",
        "ALLOWED",
        "statement Allowed of role/s3-reader/inline",
        "DENIED",
        "session",
        "REFUSED",
        "revoked",
        "bowline issue web-1",
        "Try next",
    ] {
        assert!(told.output.contains(fact), "{fact}: {}", told.output);
    }
    let directory = told
        .output
        .lines()
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    assert!(
        directory.contains("bowline-quickstart-") && !Path::new(directory).exists(),
        "{directory}"
    );
    assert!(told.messages.is_empty(), "{}", told.messages);
}

#[test]
fn the_quickstart_keeps_what_it_is_told_to() {
    let bench = Bench::empty();
    let told = bench.run_at(
        Arc::new(SystemClock),
        "quickstart --keep demo --output json",
        "",
    );
    assert_eq!(told.code, 0, "{}{}", told.output, told.messages);
    assert!(
        told.output
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{}",
        told.output
    );
    assert!(bench.file("demo/home/unseal.key").exists() && bench.file("demo/web-1.crt").exists());
    assert!(!bench.file("demo/home/control.sock").exists());
    assert_eq!(
        bench
            .run_at(Arc::new(SystemClock), "quickstart --keep demo", "")
            .code,
        7
    );
}

#[test]
fn transfers_go_through_a_server_too() {
    let mut bench = Bench::empty();
    // TLS looks at the machine's clock.
    *bench.clock.0.lock().unwrap() = SystemClock.now();
    bench.succeed("init");
    bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
    bench.succeed("issue web-1 --role web");
    bench.succeed("issue alice --certificate-profile operator --role administrator");
    fs::write(bench.file("roots.pem"), bench.succeed("ca bundle")).unwrap();
    fs::copy(bench.home().join("unseal.key"), bench.file("key")).unwrap();

    let server = serve(&bench);
    let url = format!("https://{}", server.tls.unwrap());
    // Through the control socket.
    bench.succeed("backup local.backup");
    bench.succeed("doctor");
    bench.succeed("doctor --repair");
    // The server has opened the keys and misses nothing; the next start would.
    fs::rename(bench.home().join("unseal.key"), bench.file("lost")).unwrap();
    let told = bench.run("doctor");
    assert_eq!(told.code, 4, "{}", told.output);
    assert!(
        told.output.contains("[unseal_key_missing]"),
        "{}",
        told.output
    );
    fs::rename(bench.file("lost"), bench.home().join("unseal.key")).unwrap();
    bench.succeed("doctor");
    bench.succeed("audit export local.jsonl");
    let local = bench.succeed("audit list --subject web-1 --format jsonl");
    assert_eq!(local.lines().count(), 1);
    let key = bench.succeed("audit key");
    bench.refuse(
        "restore local.backup --home ../home --force --unseal-key key",
        75,
        "in use",
    );
    // Over TLS.
    bench.variables.clear();
    let root = format!("--server {url} --root roots.pem");
    bench.refuse(&format!("backup remote.backup {root}"), 5, "--as CERT");
    bench.refuse(
        &format!("backup remote.backup {root} --as web-1.crt"),
        5,
        "bowline:Backup",
    );
    let root = format!("{root} --as alice.crt");
    bench.succeed(&format!("backup remote.backup {root}"));
    bench.succeed(&format!("doctor {root}"));
    bench.refuse(&format!("doctor --repair {root}"), 2, "--repair");
    bench.succeed(&format!("audit export remote.jsonl {root}"));
    let remote = bench.succeed(&format!("audit list --format csv {root}"));
    assert!(remote.contains("certificate_issued"), "{remote}");
    server.stop();

    for name in ["local", "remote"] {
        bench.succeed(&format!(
            "restore {name}.backup --home {name} --unseal-key key"
        ));
        bench.succeed(&format!("doctor --home {name}"));
        bench.succeed(&format!("audit verify {name}.jsonl --key {}", key.trim()));
    }
}
