//! The endpoint as its clients meet it: over sockets, byte for byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use bowline_service::{SystemClock, SystemEntropy};
use chrono::TimeDelta;

use super::*;

/// What a source gives, as a test sets it.
struct Given(Mutex<Result<Provided, String>>);

impl CredentialSource for Given {
    fn current(&self) -> Result<Provided, String> {
        self.0.lock().unwrap().clone()
    }
}

struct Scene {
    running: RunningMetadata,
    source: Arc<Given>,
}

fn provided(lasts: TimeDelta) -> Provided {
    let now = SystemClock.now();
    Provided {
        access_key_id: "ASIAEXAMPLE".into(),
        secret_access_key: Secret::from("the secret".to_owned()),
        session_token: Secret::from("the token".to_owned()),
        expiration: now + lasts,
        obtained_at: now,
        role_name: "web".into(),
    }
}

fn config() -> MetadataConfig {
    MetadataConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        imds: true,
        container_token: Some(Secret::from("let me in".to_owned())),
        container_path: CONTAINER_PATH.into(),
        hop_limit: 64,
        region: Some("eu-west-1".into()),
        names: Vec::new(),
    }
}

impl Scene {
    fn new() -> Scene {
        Scene::with(config())
    }

    fn with(config: MetadataConfig) -> Scene {
        let source = Arc::new(Given(Mutex::new(Ok(provided(TimeDelta::hours(1))))));
        let running = serve_metadata(
            config,
            source.clone(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        );
        Scene {
            running: running.unwrap(),
            source,
        }
    }

    /// Sends a request and gives status, head and body.
    fn ask(&self, line: &str, headers: &[&str]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.running.address).unwrap();
        let mut request = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.running.address);
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += "Connection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.into())
    }

    fn status(&self, line: &str, headers: &[&str]) -> u16 {
        self.ask(line, headers).0
    }

    fn token(&self) -> String {
        let (status, _, token) = self.ask("PUT /latest/api/token", &[]);
        assert_eq!(status, 200);
        format!("X-aws-ec2-metadata-token: {token}")
    }
}

#[test]
fn the_instance_form_gives_the_role_and_its_credentials() {
    let scene = Scene::new();
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60";
    let (status, head, token) = scene.ask("PUT /latest/api/token", &[ttl]);
    assert_eq!(status, 200);
    assert!(head.contains(&ttl.to_lowercase()), "{head}");
    assert!(token.len() >= 43, "{token}");

    let token = format!("X-aws-ec2-metadata-token: {token}");
    let at = "GET /latest/meta-data/iam/security-credentials/";
    let (status, _, role) = scene.ask(at, &[&token]);
    assert_eq!((status, role.as_str()), (200, "web"));
    let (status, head, body) = scene.ask(&format!("{at}web"), &[&token]);
    assert_eq!(status, 200);
    assert!(head.contains("cache-control: no-store"), "{head}");
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    for (name, value) in [
        ("Code", "Success"),
        ("Type", "AWS-HMAC"),
        ("AccessKeyId", "ASIAEXAMPLE"),
        ("SecretAccessKey", "the secret"),
        ("Token", "the token"),
    ] {
        assert_eq!(document[name], value, "{body}");
    }
    for name in ["Expiration", "LastUpdated"] {
        let time = document[name].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{body}");
    }
    assert_eq!(scene.status(&format!("{at}other"), &[&token]), 404);
    assert_eq!(scene.status("GET /latest/meta-data/", &[&token]), 404);
}

#[test]
fn the_region_is_told_in_the_three_places_it_is_looked_for() {
    let scene = Scene::new();
    let token = scene.token();
    let placement = "GET /latest/meta-data/placement";
    let (_, _, zone) = scene.ask(&format!("{placement}/availability-zone/"), &[&token]);
    let (_, _, region) = scene.ask(&format!("{placement}/region"), &[&token]);
    let (_, _, document) = scene.ask("GET /latest/dynamic/instance-identity/document", &[&token]);
    assert_eq!(
        (zone.as_str(), region.as_str()),
        ("eu-west-1a", "eu-west-1")
    );
    assert!(document.contains("\"region\":\"eu-west-1\""), "{document}");
}

#[test]
fn without_a_token_the_instance_form_gives_nothing() {
    let scene = Scene::new();
    for path in [
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/iam/security-credentials/web",
        "/latest/meta-data/placement/region",
        "/nothing",
    ] {
        let line = format!("GET {path}");
        assert_eq!(scene.status(&line, &[]), 401, "{path}");
        let wrong = "X-aws-ec2-metadata-token: AAAA";
        assert_eq!(scene.status(&line, &[wrong]), 401, "{path}");
    }
}

#[test]
fn a_token_is_put_by_who_asks_himself() {
    let scene = Scene::new();
    let line = "PUT /latest/api/token";
    assert_eq!(scene.status(line, &["X-Forwarded-For: 192.0.2.1"]), 400);
    assert_eq!(scene.status(line, &["Forwarded: for=192.0.2.1"]), 400);
    for seconds in ["0", "21601", "-1", "many", ""] {
        let ttl = format!("X-aws-ec2-metadata-token-ttl-seconds: {seconds}");
        assert_eq!(scene.status(line, &[&ttl]), 400, "{seconds}");
    }
    assert_eq!(scene.status("GET /latest/api/token", &[]), 405);
    let token = scene.token();
    let role = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(scene.status(&format!("POST {role}"), &[&token]), 405);
}

#[test]
fn the_container_form_asks_for_its_token() {
    let scene = Scene::new();
    let line = "GET /credentials";
    let good = "Authorization: let me in";
    let (status, _, body) = scene.ask(line, &[good]);
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["SecretAccessKey"], "the secret");
    assert_eq!(document["Token"], "the token");
    assert!(document["Expiration"].as_str().unwrap().ends_with('Z'));
    for headers in [
        &[][..],
        &["Authorization: let me i"],
        &["Authorization: Bearer let me in"],
        &[good, good],
    ] {
        let (status, _, body) = scene.ask(line, headers);
        assert_eq!(status, 401, "{headers:?}");
        assert!(!body.contains("secret"), "{body}");
    }
    assert_eq!(scene.status("POST /credentials", &[good]), 405);
}

#[test]
fn a_web_page_gets_nothing() {
    let scene = Scene::new();
    let token = scene.token();
    for page in [
        "Origin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Host: evil.example",
    ] {
        let put = scene.ask("PUT /latest/api/token", &[page]);
        assert_eq!(put.0, 403, "{page}");
        let role = "GET /latest/meta-data/iam/security-credentials/";
        assert_eq!(scene.status(role, &[page, &token]), 403, "{page}");
        let container = [page, "Authorization: let me in"];
        assert_eq!(scene.status("GET /credentials", &container), 403, "{page}");
        assert_eq!(scene.status("OPTIONS /credentials", &[page]), 403, "{page}");
    }
}

#[test]
fn without_good_credentials_none_are_served() {
    let scene = Scene::new();
    let token = scene.token();
    let role = "GET /latest/meta-data/iam/security-credentials/web";
    for bad in [
        Err("the server does not answer".to_owned()),
        Ok(provided(TimeDelta::zero())),
    ] {
        *scene.source.0.lock().unwrap() = bad;
        let (status, _, body) = scene.ask(role, &[&token]);
        assert_eq!(status, 503);
        assert!(!body.contains("the secret"), "{body}");
        let (status, _, body) = scene.ask("GET /credentials", &["Authorization: let me in"]);
        assert_eq!(status, 503);
        assert!(
            body.contains("\"code\":") && !body.contains("the secret"),
            "{body}"
        );
    }
}

#[test]
fn elsewhere_than_on_loopback_only_the_container_form_is_served() {
    let serve = |config| {
        let source = Arc::new(Given(Mutex::new(Err("none".into()))));
        serve_metadata(
            config,
            source,
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )
    };
    let everywhere = MetadataConfig {
        listen: ([0, 0, 0, 0], 0).into(),
        ..config()
    };
    let refused = serve(everywhere.clone()).err().unwrap().to_string();
    assert!(refused.contains("loopback only"), "{refused}");
    let container = MetadataConfig {
        imds: false,
        ..everywhere
    };
    assert!(serve(container.clone()).is_ok());
    let nothing = MetadataConfig {
        container_token: None,
        ..container
    };
    assert!(serve(nothing).is_err());
}

#[test]
fn a_form_that_is_off_is_not_there() {
    let container = Scene::with(MetadataConfig {
        imds: false,
        ..config()
    });
    assert_eq!(container.status("PUT /latest/api/token", &[]), 404);
    let instance = Scene::with(MetadataConfig {
        container_token: None,
        ..config()
    });
    let token = "Authorization: let me in";
    assert_ne!(instance.status("GET /credentials", &[token]), 200);
}

#[test]
fn a_neighbour_is_reached_with_the_smallest_hop_limit() {
    let scene = Scene::with(MetadataConfig {
        hop_limit: 1,
        ..config()
    });
    assert_eq!(scene.status("PUT /latest/api/token", &[]), 200);
}

#[test]
fn a_client_that_says_nothing_costs_one_place_and_no_stop() {
    let scene = Scene::new();
    let _silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(scene.running.address).unwrap())
        .collect();
    assert_eq!(scene.status("PUT /latest/api/token", &[]), 200);
    let begun = std::time::Instant::now();
    scene.running.stop();
    assert!(begun.elapsed().as_secs() < 5);
}
