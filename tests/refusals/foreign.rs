//! Certificates that we would never issue, from a CA that openssl made.

use crate::refusal::{refusal, refused};
use crate::scene::{Exchange, Foreign, HOUR, LEAF, RSA_1024, Scene, Wanted, moment, now, openssl};
use bowline_tests::Home;
use serde_json::json;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// The foreign CA, its anchor, profile and role.
const PARTNER: &str = "partner";

/// A scene whose anchor `partner` believes the CA, and whose role `partner` its leaf `guest` may take.
fn partner(openssl: &Path, authority: &Wanted<'_>) -> Scene {
    partner_of(Scene::new(), openssl, authority)
}

fn partner_of(scene: Scene, openssl: &Path, authority: &Wanted<'_>) -> Scene {
    Foreign::new(&scene.home, openssl).make(PARTNER, PARTNER, authority);
    scene
        .home
        .succeed(["anchor", "create", PARTNER, "--bundle", "partner.crt"]);
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "rolesanywhere.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {
            "ArnEquals": {"aws:SourceArn": scene.home.arn("anchor", PARTNER)},
            "StringEquals": {"aws:PrincipalTag/x509Subject/CN": "guest"}
        }
    }]});
    scene.home.write("trust.json", &trust.to_string());
    scene.home.succeed(["profile", "create", PARTNER]);
    let role = ["role", "create", PARTNER, "--allow", "s3:*", "--on", "*"];
    let trusted = ["--trust-policy-file", "trust.json", "--profile", PARTNER];
    scene.home.succeed(role.iter().chain(&trusted));
    scene
}

/// A leaf of the CA, and the exchange with it.
fn leaf(scene: &Scene, openssl: &Path, wanted: &Wanted<'_>) -> Exchange {
    Foreign::new(&scene.home, openssl).make("guest", PARTNER, wanted);
    exchange(scene, "guest")
}

fn exchange(scene: &Scene, name: &str) -> Exchange {
    scene.exchange_of(name, [PARTNER, PARTNER, PARTNER])
}

#[track_caller]
fn leaf_is_refused(wanted: &Wanted<'_>, code: &str, says: &[&str]) {
    let Some(openssl) = openssl() else { return };
    let scene = partner(openssl, &Wanted::authority());
    let exchange = leaf(&scene, openssl, wanted);
    scene.refuses(&exchange, 403, code, says);
}

#[test]
fn a_leaf_without_fault_gets_credentials() {
    let Some(openssl) = openssl() else { return };
    let scene = partner(openssl, &Wanted::authority());
    scene.accepted(&leaf(&scene, openssl, &Wanted::leaf()));
}

#[test]
fn an_expired_leaf_is_refused() {
    let until = now() - Duration::from_secs(60);
    leaf_is_refused(
        &Wanted {
            until: moment(until),
            ..Wanted::leaf()
        },
        "leaf_expired",
        &[
            "CN=guest",
            &until.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "now",
        ],
    );
}

#[test]
fn a_leaf_that_is_not_valid_yet_is_refused() {
    let from = now() + HOUR / 2;
    leaf_is_refused(
        &Wanted {
            from: moment(from),
            ..Wanted::leaf()
        },
        "leaf_not_yet_valid",
        &["CN=guest", &from.format("%Y-%m-%dT%H:%M:%SZ").to_string()],
    );
}

#[test]
fn a_ca_certificate_is_no_leaf() {
    leaf_is_refused(
        &Wanted {
            extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign\n",
            ..Wanted::leaf()
        },
        "leaf_is_ca",
        &["CN=guest"],
    );
}

#[test]
fn a_leaf_without_digital_signature_is_refused() {
    leaf_is_refused(
        &Wanted {
            extensions: "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyEncipherment\n",
            ..Wanted::leaf()
        },
        "missing_digital_signature",
        &["CN=guest", "digitalSignature"],
    );
}

#[test]
fn a_leaf_signed_with_sha1_is_refused() {
    leaf_is_refused(
        &Wanted {
            digest: "sha1",
            ..Wanted::leaf()
        },
        "weak_signature_algorithm",
        &["CN=guest", "SHA-1"],
    );
}

/// Our own signer refuses such a key, so the request is another leaf's but for the certificate.
#[test]
fn a_leaf_with_a_short_rsa_key_is_refused() {
    let Some(openssl) = openssl() else { return };
    let scene = partner(openssl, &Wanted::authority());
    let long = Wanted {
        key: "-newkey rsa:2048",
        ..Wanted::leaf()
    };
    let mut request = scene.sign(&leaf(&scene, openssl, &long));
    let foreign = Foreign::new(&scene.home, openssl);
    let short = Wanted {
        key: RSA_1024,
        ..Wanted::leaf()
    };
    foreign.make("short", PARTNER, &short);
    let pem = std::fs::read_to_string(scene.home.file("short.crt")).expect("just made");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let serial = |name: &str| {
        let shown = scene.home.json(["cert", "inspect", name]);
        shown["serial_decimal"].as_str().expect("a text").to_owned()
    };
    let (old, new) = (serial("guest.crt"), serial("short.crt"));
    for (name, value) in &mut request.headers {
        match name.as_str() {
            "x-amz-x509" => *value = base64.clone(),
            "authorization" => *value = value.replace(&old, &new),
            _ => {}
        }
    }
    scene.refused(&request, 403, "key_not_accepted", &["1024", "2048"]);
}

#[test]
fn a_leaf_of_one_anchor_is_a_stranger_to_another() {
    let Some(openssl) = openssl() else { return };
    let scene = partner(openssl, &Wanted::authority());
    let mut theirs = leaf(&scene, openssl, &Wanted::leaf());
    theirs.anchor = scene.home.arn("anchor", "default");
    scene.refuses(
        &theirs,
        403,
        "untrusted_issuer",
        &["CN=guest", "CN=partner"],
    );
    let ours = scene.exchange_of(LEAF, [PARTNER, PARTNER, PARTNER]);
    scene.refuses(&ours, 403, "untrusted_issuer", &["Bowline"]);
}

#[test]
fn an_anchor_that_has_expired_since_vouches_for_nobody() {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    // Long enough to become an anchor, on a machine that is busy compiling.
    let until = now() + Duration::from_secs(8);
    let scene = partner_of(
        scene,
        openssl,
        &Wanted {
            until: moment(until),
            ..Wanted::authority()
        },
    );
    let exchange = leaf(&scene, openssl, &Wanted::leaf());
    while now() <= until {
        sleep(Duration::from_millis(100));
    }
    let exchange = Exchange {
        at: now(),
        ..exchange
    };
    scene.refuses(&exchange, 403, "anchor_expired", &["CN=partner"]);
}

#[test]
fn an_anchor_that_is_not_valid_yet_vouches_for_nobody() {
    let Some(openssl) = openssl() else { return };
    let scene = partner(
        openssl,
        &Wanted {
            from: moment(now() + HOUR / 2),
            ..Wanted::authority()
        },
    );
    let exchange = leaf(&scene, openssl, &Wanted::leaf());
    scene.refuses(&exchange, 403, "anchor_not_yet_valid", &["CN=partner"]);
}

#[test]
fn what_cannot_vouch_becomes_no_anchor() {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    let foreign = Foreign::new(&home, openssl);
    let over = moment(now() - Duration::from_secs(60));
    let make = |name: &str, wanted: Wanted<'_>| foreign.make(name, name, &wanted);
    make(
        "old",
        Wanted {
            until: over,
            ..Wanted::authority()
        },
    );
    make(
        "short",
        Wanted {
            key: RSA_1024,
            ..Wanted::authority()
        },
    );
    make(
        "sha1",
        Wanted {
            digest: "sha1",
            ..Wanted::authority()
        },
    );
    make("leaf", Wanted::leaf());
    let create = |file: &'static str| ["anchor", "create", PARTNER, "--bundle", file];
    refused(
        &home,
        &[
            (
                &create("old.crt"),
                refusal(3, "anchor_expired", &["CN=old", "expired at"]),
            ),
            (
                &create("short.crt"),
                refusal(3, "anchor_key_refused", &["CN=short", "1024", "2048"]),
            ),
            (
                &create("sha1.crt"),
                refusal(3, "anchor_signature_algorithm", &["CN=sha1", "SHA-1"]),
            ),
            (
                &create("leaf.crt"),
                refusal(3, "not_a_certificate_authority", &["CN=leaf"]),
            ),
        ],
    );
}

/// `bowline verify` says the same of the same certificates, without any home.
#[test]
fn verify_says_which_certificate_broke_which_rule() {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    let foreign = Foreign::new(&home, openssl);
    foreign.make(PARTNER, PARTNER, &Wanted::authority());
    foreign.make("other", "other", &Wanted::authority());
    foreign.make("good", PARTNER, &Wanted::leaf());
    let verify = |leaf: &'static str, anchor: &'static str| ["verify", leaf, "--anchor", anchor];
    let leaf = |name: &str, wanted: Wanted<'_>| foreign.make(name, PARTNER, &wanted);
    leaf(
        "sha1",
        Wanted {
            digest: "sha1",
            ..Wanted::leaf()
        },
    );
    leaf(
        "short",
        Wanted {
            key: RSA_1024,
            ..Wanted::leaf()
        },
    );
    leaf(
        "over",
        Wanted {
            until: moment(now() - Duration::from_secs(60)),
            ..Wanted::leaf()
        },
    );
    refused(
        &home,
        &[
            (
                &verify("good.crt", "other.crt"),
                refusal(4, "untrusted_issuer", &["CN=good", "CN=partner"]),
            ),
            (
                &verify("sha1.crt", "partner.crt"),
                refusal(4, "weak_signature_algorithm", &["CN=sha1", "SHA-1"]),
            ),
            (
                &verify("short.crt", "partner.crt"),
                refusal(4, "weak_key", &["CN=short", "1024", "2048"]),
            ),
            (
                &verify("over.crt", "partner.crt"),
                refusal(4, "leaf_expired", &["CN=over"]),
            ),
        ],
    );
}
