//! Looking for events, and what is never found in one.

use bowline_service::{
    Channel, Clock, KeySpec, ListEvents, Operation, Outcome, PrivateKey, ProveEvent, Transfer,
};
use bowline_store::Store;

use crate::OPERATOR;
use crate::log::{Taken, events, fill, key_of, list, story};
use crate::world::World;

#[test]
fn events_are_found_by_what_they_are_about() {
    let world = World::new();
    world.role("reader");
    world.pass(100);
    let (one, ten) = (
        world.issue("web-1", &["reader"]),
        world.issue("web-10", &[]),
    );
    let middle = world.clock.now();
    world.pass(100);
    world.exchange(&one, "reader").unwrap();
    world.exchange(&ten, "reader").unwrap_err();
    let find = |ask: ListEvents| -> Vec<String> {
        list(&world, ask)
            .iter()
            .map(|event| format!("{} {}", event["number"], event["event"].as_str().unwrap()))
            .collect()
    };
    let all = ListEvents::default;
    let issued = ["4 certificate_issued", "5 certificate_issued"];
    let (created, denied) = ("6 session_created", "7 session_denied");

    let subject = |text: &str| {
        find(ListEvents {
            subject: Some(text.into()),
            ..all()
        })
    };
    assert_eq!(subject("web-1"), [issued[0], created]);
    assert_eq!(subject("WEB-10"), [issued[1], denied]);
    assert_eq!(subject("web-*"), [issued[0], issued[1], created, denied]);
    assert_eq!(subject("web-1.test"), [issued[0]]);
    let serial = Some(format!("0x{}", one.issued.serial));
    assert_eq!(
        find(ListEvents {
            certificate: serial,
            ..all()
        }),
        [issued[0], created]
    );
    let bad = ListEvents {
        certificate: Some("0xzz".into()),
        ..all()
    };
    assert!(
        bad.run(&world.service, &OPERATOR, &mut Taken::default())
            .is_err()
    );
    let role = |text: &str| {
        find(ListEvents {
            role: Some(text.into()),
            ..all()
        })
    };
    let of_role = ["3 role_created", issued[0], created, denied];
    assert_eq!(role("reader"), of_role);
    assert_eq!(role("arn:aws:iam::000000000000:role/reader"), of_role);
    assert!(role("read").is_empty());
    let refused = ListEvents {
        outcome: Some(Outcome::Refused),
        ..all()
    };
    assert_eq!(find(refused), [denied]);
    let succeeded = ListEvents {
        outcome: Some(Outcome::Succeeded),
        ..all()
    };
    assert_eq!(find(succeeded).len(), 6);
    assert_eq!(
        find(ListEvents {
            from: Some(middle),
            ..all()
        })
        .len(),
        4
    );
    assert_eq!(
        find(ListEvents {
            to: Some(middle),
            ..all()
        })
        .len(),
        3
    );
    let between = ListEvents {
        from: Some(middle),
        to: Some(world.clock.now()),
        ..all()
    };
    assert_eq!(find(between), issued);
    let source = Some([127, 0, 0, 1].into());
    assert_eq!(find(ListEvents { source, ..all() }), [created, denied]);
    let last = ListEvents {
        newest_first: true,
        limit: Some(2),
        ..all()
    };
    assert_eq!(find(last), [denied, created]);
    assert_eq!(
        find(ListEvents {
            after: Some(5),
            ..all()
        }),
        [created, denied]
    );
    assert_eq!(
        find(ListEvents {
            limit: Some(0),
            ..all()
        })
        .len(),
        0
    );
    assert_eq!(
        find(ListEvents {
            after: Some(u64::MAX),
            ..all()
        })
        .len(),
        0
    );
}

#[test]
fn a_long_log_is_listed_whole_from_either_end() {
    let world = story();
    fill(&*world.store, 1_500);
    let numbers = |newest_first| -> Vec<u64> {
        let ask = ListEvents {
            newest_first,
            ..ListEvents::default()
        };
        list(&world, ask)
            .iter()
            .map(|event| event["number"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers(false), (1..=1_508).collect::<Vec<u64>>());
    assert_eq!(numbers(true), (1..=1_508).rev().collect::<Vec<u64>>());
    world.service.tick().unwrap();
    fill(&*world.store, 1);
    assert_eq!(numbers(true)[0], 1_509);
}

#[test]
fn a_listed_event_is_its_exact_text_behind_its_number() {
    let world = story();
    let mut taken = Taken::default();
    ListEvents::default()
        .run(&world.service, &OPERATOR, &mut taken)
        .unwrap();
    let text = String::from_utf8(taken.bytes).unwrap();
    for (number, line) in (1..).zip(text.lines()) {
        let ask = ProveEvent { number, size: None };
        let entry = ask.run(&world.service, &OPERATOR).unwrap().entry;
        assert_eq!(line, format!("{{\"number\":{number},{}", &entry[1..]));
    }
}

#[test]
fn no_secret_ever_enters_an_event() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let credentials = world.exchange(&holder, "reader").unwrap();
    let other = PrivateKey::generate(KeySpec::Rsa2048).unwrap();
    let mut secrets = vec![
        credentials.secret_access_key.reveal().to_owned(),
        credentials.session_token.reveal().to_owned(),
    ];
    for key in [&holder.key, &other] {
        secrets.extend(
            key.to_pem()
                .lines()
                .filter(|line| !line.starts_with("---"))
                .map(str::to_owned),
        );
    }
    // What a caller sends in the wrong place is not repeated.
    let request = world.signed_get(&credentials);
    assert!(
        world
            .service
            .identify(&request, &Channel::default())
            .is_err()
    );
    let secret = credentials.secret_access_key.reveal();
    for input in [
        format!("{{\"name\":\"x\",\"policy\":\"{secret}\"}}"),
        format!("{{\"name\":\"x\",\"policy\":{{\"{secret}\":1}}}}"),
        format!("{{\"{secret}\":1}}"),
    ] {
        let refused =
            bowline_service::dispatch("create-role", input.as_bytes(), &world.service, &OPERATOR);
        refused.unwrap_err();
    }
    world.pass(60);
    world.service.settle().unwrap();
    for record in world.store.scan(&key_of("event/"), None, 1_000).unwrap() {
        let text = String::from_utf8_lossy(record.1.as_bytes()).into_owned();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
    assert!(secrets.len() > 20 && events(&world).len() > 5);
}
