//! The door of the program as it ships: client certificates by openssl and curl, rates and replays against SDKs that
//! try again.

use crate::scene::{Credentials, ROLE, Scene, openssl, python, without_outside_aws};
use bowline_tests::{Finished, Home, Server, run};
use std::path::Path;
use std::process::Command;

/// A home with a role and a server that is started in this way.
fn served(arguments: &[&str]) -> (Home, Server) {
    let home = Home::initialized();
    home.succeed(["role", "create", ROLE, "--allow", "sts:*", "--on", "*"]);
    home.succeed(["issue", "web-1", "--role", ROLE]);
    home.write("roots.pem", &home.succeed(["ca", "bundle"]));
    let server = Server::attempt(&home, |command| {
        command.args(arguments);
    });
    let server = server.unwrap_or_else(|ended| panic!("the server ended at once\n{ended}"));
    (home, server)
}

fn credentials(home: &Home) -> Credentials {
    let given = home.succeed(["credentials", "web-1", "--format", "json"]);
    Credentials::of(&serde_json::from_str(&given).expect("JSON"))
}

/// So many calls of GetCallerIdentity by one boto3 client, which tries each so often.
fn calls(home: &Home, server: &Server, python: &Path, count: u32, attempts: u32) -> Finished {
    let program = "import sys, boto3\n\
        from botocore.config import Config\n\
        _, url, count, attempts = sys.argv\n\
        once = Config(retries={'total_max_attempts': int(attempts), 'mode': 'standard'})\n\
        sts = boto3.client('sts', region_name='us-east-1', endpoint_url=url, config=once)\n\
        for _ in range(int(count)): sts.get_caller_identity()\n\
        print('done')";
    let mut command: Command = home.command(python);
    without_outside_aws(credentials(home).hand_to(&mut command)).env_remove("AWS_MAX_ATTEMPTS");
    command.args(["-c", program, server.http()]);
    run(command.args([count.to_string(), attempts.to_string()]))
}

#[test]
fn openssl_shows_a_certificate_and_curl_gets_credentials_for_it() {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let shown = |key: &Path, version: &str| {
        let program = format!(
            "printf 'GET /healthz HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\n\\r\\n' | {} s_client -quiet \
             {version} -connect {} -CAfile roots.pem -cert {} -key {} 2>&1",
            openssl.display(),
            scene.server.authority(),
            leaf.certificate.display(),
            key.display()
        );
        run(scene.home.command(Path::new("sh")).args(["-c", &program])).stdout
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let said = shown(&leaf.key, version);
        assert!(said.contains("200 OK"), "{version}: {said}");
    }

    // As the document writes it, over both versions of HTTP.
    let url = scene.server.https();
    let curl = |arguments: &[&str]| {
        let mut command = scene.home.command(Path::new("curl"));
        command.args(["--silent", "--show-error", "--cacert", "roots.pem"]);
        command.args(["--write-out", "%{http_version} %{http_code}"]);
        command.args(["-d", "Action=GetSessionToken&Version=2011-06-15"]);
        run(command.args(arguments).arg(url))
            .expect_success()
            .stdout
    };
    let certificate = leaf.certificate.display().to_string();
    let key = leaf.key.display().to_string();
    for (version, spoken) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let said = curl(&[version, "--cert", &certificate, "--key", &key]);
        assert!(
            said.ends_with(spoken) && said.contains("<AccessKeyId>ASIA"),
            "{said}"
        );
        // A browser shows the certificate for every page that asks.
        for header in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
            let page = curl(&[version, "--cert", &certificate, "--key", &key, "-H", header]);
            assert!(page.contains("request_of_page"), "{page}");
        }
        let nobody = curl(&[version]);
        assert!(nobody.contains("MissingAuthenticationToken"), "{nobody}");
    }
}

#[test]
fn an_sdk_that_is_slowed_down_tries_again_and_gets_through() {
    let Some(python) = python() else { return };
    let (home, server) = served(&["--rate-per-key", "3/s"]);
    let impatient = calls(&home, &server, python, 12, 1).expect_failure();
    assert!(impatient.stderr.contains("Throttling"), "{impatient}");
    let patient = calls(&home, &server, python, 12, 8).expect_success();
    assert_eq!(patient.stdout.trim(), "done");
}

#[test]
fn without_being_asked_the_server_slows_down_nobody_on_this_machine() {
    let Some(python) = python() else { return };
    let (home, server) = served(&[]);
    calls(&home, &server, python, 60, 1).expect_success();
}

#[test]
fn a_call_within_the_same_second_is_a_replay_where_those_are_refused() {
    let Some(python) = python() else { return };
    let (home, server) = served(&["--refuse-replays"]);
    let refused = calls(&home, &server, python, 8, 1).expect_failure();
    assert!(refused.stderr.contains("request_replayed"), "{refused}");
    calls(&home, &server, python, 1, 1).expect_success();
}

#[test]
fn a_rate_that_is_none_is_refused_by_name() {
    let home = Home::initialized();
    for rate in ["0/s", "-1", "fast", "1.5/s"] {
        let argument = format!("--rate-per-key={rate}");
        let refused = run(&mut home.bowline(["serve", &argument])).expect_failure();
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(refused.stderr.contains("requests a second"), "{refused}");
    }
}
