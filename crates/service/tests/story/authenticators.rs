//! MFA devices: how a subject gets one, and what proves that it has it.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use bowline_service::{
    Caller, Clock, ConfirmMfa, DisableMfa, EnableMfa, EnabledMfa, ListMfa, Operation,
};

use crate::OPERATOR;
use crate::log::{events, events_of};
use crate::world::{Holder, World};

/// The code that an authenticator with a secret shows, some steps away from now.
pub fn code(world: &World, secret: &str, steps: i64) -> String {
    let mut bits = 0u64;
    let mut bytes = Vec::new();
    for (place, c) in secret.chars().enumerate() {
        let digit = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap();
        bits = bits << 5 | digit as u64;
        if place % 8 == 7 {
            bytes.extend_from_slice(&bits.to_be_bytes()[3..]);
            bits = 0;
        }
    }
    let step = world.clock.now().timestamp() / 30 + steps;
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = sign(&key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// A code that is shown at no time around now.
pub fn wrong_code(world: &World, secret: &str) -> String {
    let right: Vec<String> = (-3..=3).map(|steps| code(world, secret, steps)).collect();
    (0..)
        .map(|number| format!("{number:06}"))
        .find(|code| !right.contains(code))
        .unwrap()
}

fn enable(holder: &Holder) -> EnableMfa {
    EnableMfa {
        certificate: holder.issued.certificate.clone(),
        ..EnableMfa::default()
    }
}

fn confirm(world: &World, made: &EnabledMfa, steps: [i64; 2]) -> ConfirmMfa {
    ConfirmMfa {
        subject: made.device.serial_number.clone(),
        codes: steps.map(|steps| code(world, made.secret.reveal(), steps)),
    }
}

/// A device of the holder's subject that counts.
pub fn device(world: &World, holder: &Holder) -> EnabledMfa {
    let made = enable(holder).run(&world.service, &OPERATOR).unwrap();
    let confirm = confirm(world, &made, [-1, 0]);
    let device = confirm.run(&world.service, &OPERATOR).unwrap();
    assert!(device.confirmed);
    made
}

fn refusal(world: &World, operation: impl Operation) -> String {
    match operation.run(&world.service, &OPERATOR) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.code().into_owned(),
    }
}

#[test]
fn an_authenticator_is_given_a_link_and_counts_once_two_codes_prove_it() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let made = enable(&alice).run(&world.service, &OPERATOR).unwrap();
    assert!(!made.device.confirmed);
    assert_eq!(made.secret.reveal().len(), 32);
    let expected = format!(
        "otpauth://totp/Test:CN%3Dalice?secret={}&issuer=Test&algorithm=SHA1&digits=6&period=30",
        made.secret.reveal()
    );
    assert_eq!(made.uri.reveal(), expected);
    let serial = format!("arn:aws:iam::000000000000:mfa/{}", made.device.subject_id);
    assert_eq!(made.device.serial_number, serial);

    for steps in [[0, -1], [0, 0], [-1, 1], [-4, -3], [2, 3]] {
        assert_eq!(
            refusal(&world, confirm(&world, &made, steps)),
            "mfa_codes_wrong"
        );
    }
    let mut short = confirm(&world, &made, [-1, 0]);
    short.codes[0].pop();
    assert_eq!(refusal(&world, short), "mfa_code_malformed");
    confirm(&world, &made, [-1, 0])
        .run(&world.service, &OPERATOR)
        .unwrap();
    let listed = ListMfa {}.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].confirmed);
    assert_eq!(listed[0].subject, "CN=alice");
    // The codes that proved it are used.
    let again = confirm(&world, &made, [-1, 0]);
    assert_eq!(refusal(&world, again), "mfa_codes_wrong");
}

#[test]
fn a_subject_has_one_authenticator_and_is_named_as_it_is_listed() {
    let world = World::new();
    world.role("reader");
    let alice = world.issue("alice", &["reader"]);
    let by_name = |subject: &str| EnableMfa {
        subject: Some(subject.into()),
        ..EnableMfa::default()
    };
    let name = alice.issued.subject.clone();
    assert_eq!(refusal(&world, by_name(&name)), "subject_unknown");
    world.exchange(&alice, "reader").unwrap();
    let first = by_name(&name).run(&world.service, &OPERATOR).unwrap();
    // One that was never confirmed can be lost, and is made again.
    let second = by_name(&first.device.subject_id)
        .run(&world.service, &OPERATOR)
        .unwrap();
    assert_ne!(first.secret.reveal(), second.secret.reveal());
    assert_eq!(
        refusal(&world, confirm(&world, &first, [-1, 0])),
        "mfa_codes_wrong"
    );
    confirm(&world, &second, [-1, 0])
        .run(&world.service, &OPERATOR)
        .unwrap();
    assert_eq!(refusal(&world, by_name(&name)), "exists");

    let disable = |subject: &str| DisableMfa {
        subject: subject.into(),
    };
    assert_eq!(refusal(&world, disable("CN=bob")), "mfa_unknown");
    let elsewhere = second.device.serial_number.replace("::0", "::1");
    assert_eq!(refusal(&world, disable(&elsewhere)), "mfa_unknown");
    disable(&name).run(&world.service, &OPERATOR).unwrap();
    assert!(
        ListMfa {}
            .run(&world.service, &OPERATOR)
            .unwrap()
            .is_empty()
    );
    by_name(&name).run(&world.service, &OPERATOR).unwrap();
    let changes: Vec<_> = events_of(&world, "mfa_device_changed")
        .iter()
        .map(|event| event["change"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        changes,
        ["created", "created", "confirmed", "deleted", "created"]
    );
}

#[test]
fn the_secret_is_in_no_event_and_in_no_record_as_it_is() {
    use bowline_service::Store;
    let world = World::new();
    let made = device(&world, &world.issue("alice", &[]));
    let secret = made.secret.reveal();
    assert!(!format!("{made:?}").contains(secret));
    assert!(
        events(&world)
            .iter()
            .all(|event| !event.to_string().contains(secret))
    );
    let prefix = bowline_store::Key::new("mfa-device/").unwrap();
    let found = world.store.scan(&prefix, None, 10).unwrap();
    assert_eq!(found.len(), 1);
    let record = String::from_utf8_lossy(found[0].1.as_bytes()).into_owned();
    assert!(
        record.contains("sealed") && !record.contains(secret),
        "{record}"
    );
}

#[test]
fn strangers_have_no_say_in_authenticators() {
    let world = World::new();
    let alice = world.issue("alice", &[]);
    let made = device(&world, &alice);
    let nobody = Caller::Nobody { source: None };
    assert!(enable(&alice).run(&world.service, &nobody).is_err());
    assert!(
        confirm(&world, &made, [0, 1])
            .run(&world.service, &nobody)
            .is_err()
    );
    assert!(ListMfa {}.run(&world.service, &nobody).is_err());
    let disable = DisableMfa {
        subject: made.device.serial_number,
    };
    assert!(disable.run(&world.service, &nobody).is_err());
}
