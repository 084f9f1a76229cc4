//! What a home remembers of the time.

use bowline_service::{AcceptClock, Caller, Channel, Error, Operation};

use crate::world::World;

#[test]
fn a_home_that_is_never_idle_still_remembers_how_late_it_was() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    for _ in 0..60 {
        world.pass(20);
        world.exchange(&holder, "reader").unwrap();
    }
    // A process that remembers nothing has what was written down, less than a minute behind.
    world.pass(-600);
    let world = world.on(world.store.clone());
    let refused = world.exchange(&holder, "reader");
    let Err(Error::ClockBehind { latest, now }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        (541..=600).contains(&(latest - now).num_seconds()),
        "{latest}"
    );
}

#[test]
fn a_session_from_a_clock_that_was_ahead_never_begins() {
    const AHEAD: i64 = 3_600;
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    world.pass(AHEAD);
    let early = world.exchange(&holder, "reader").unwrap();
    world.pass(-AHEAD);
    AcceptClock {}
        .run(&world.service, &Caller::Operator)
        .unwrap();
    // The time comes in which it says that it begins.
    world.pass(AHEAD + 1);
    let request = world.signed_call(&early);
    let caller = world.service.identify(&request, &Channel::default());
    assert!(caller.is_err());
}
