//! Credentials in the hands of boto3 while their sessions are revoked and the session keys change.

use crate::scene::{Credentials, Leaf, Names, ROLE, Scene, python};
use std::path::Path;

struct Story<'a> {
    scene: Scene,
    python: &'a Path,
    leaf: Leaf,
    names: Names,
}

impl<'a> Story<'a> {
    fn new(python: &'a Path) -> Story<'a> {
        let scene = Scene::new();
        let leaf = scene.issue("web-1", &[]);
        let names = scene.names();
        Story {
            scene,
            python,
            leaf,
            names,
        }
    }

    #[track_caller]
    fn trade(&self) -> Credentials {
        let traded = self
            .scene
            .python_exchange(self.python, &self.leaf, None, &self.names);
        Credentials::of(&traded.expect_success().json())
    }

    #[track_caller]
    fn works(&self, credentials: &Credentials) {
        self.scene
            .python_whoami(self.python, credentials)
            .expect_success();
    }

    /// The code that boto3 got for its question.
    #[track_caller]
    fn refusal(&self, credentials: &Credentials) -> String {
        let refused = self.scene.python_whoami(self.python, credentials);
        refused.expect_failure().stdout
    }

    fn session(&self, arguments: &[&str]) -> String {
        let all = ["session"].iter().chain(arguments);
        self.scene.home.succeed(all)
    }

    /// Sessions begin in whole seconds, and a mark ends those of its own second too.
    fn next_second(&self) {
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
}

#[test]
fn credentials_stop_at_once_whatever_their_session_is_revoked_by() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let shown = story.scene.home.json(["cert", "show", "web-1"]);
    let serial = format!("0x{}", shown["serial"].as_str().unwrap());
    for what in [
        &["--role", ROLE][..],
        &["--profile", "default"],
        &["--anchor", "default"],
        &["--subject", &format!("CN=web-1,OU={ROLE}")],
        &["--certificate", &serial],
        &["--certificate", "web-1"],
        &["--all"],
    ] {
        let credentials = story.trade();
        story.works(&credentials);
        story.session(&[&["revoke"], what].concat());
        let refusal = story.refusal(&credentials);
        assert!(refusal.contains("ExpiredToken"), "{what:?}: {refusal}");
        story.next_second();
    }
    let (first, second) = (story.trade(), story.trade());
    story.session(&["revoke", first.access_key_id()]);
    let refusal = story.refusal(&first);
    assert!(refusal.contains("ExpiredToken"), "{refusal}");
    story.works(&second);
}

#[test]
fn a_new_session_key_ends_nothing_and_a_dropped_one_everything() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let old = story.trade();
    story.session(&["key", "publish"]);
    story.works(&old);
    story.session(&["key", "activate"]);
    story.works(&old);
    let new = story.trade();
    story.works(&new);
    story.session(&["key", "drop", "1"]);
    let refusal = story.refusal(&old);
    assert!(refusal.contains("InvalidClientTokenId"), "{refusal}");
    story.works(&new);
    story.session(&["key", "drop", "2"]);
    let refusal = story.refusal(&new);
    assert!(refusal.contains("InvalidClientTokenId"), "{refusal}");
    story.works(&story.trade());
}

#[test]
fn the_list_shows_what_boto3_holds() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let credentials = story.trade();
    // The library traded twice, as it does.
    let listed = story.session(&["list", "--output", "json"]);
    let held = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|view| view["access_key_id"] == credentials.access_key_id());
    assert_eq!(held.expect("the session is listed")["state"], "live");
    let shown = story.session(&["show", credentials.access_key_id()]);
    assert!(shown.contains("via              create-session"), "{shown}");
}
