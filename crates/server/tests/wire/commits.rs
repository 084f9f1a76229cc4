//! A store that takes no commits: it is said, and taken back, where who balances load and who reads the log see it.

use std::time::{Duration, Instant};

use bowline_server::Limits;

use crate::client::{get, send};
use crate::world::World;

/// The tick is longer than the test, so that nothing but an answer tells.
fn never_ticking() -> Limits {
    Limits {
        tick: Duration::from_secs(600),
        ..Limits::default()
    }
}

fn wait_until_ready(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(&world.plain(), "/readyz").status != 200 {
        assert!(Instant::now() < deadline, "it is never ready again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn exchange(world: &World) -> u16 {
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    world.stage.writers_fail(true);
    send(&host, &request).status
}

#[test]
fn a_server_whose_commits_are_refused_is_not_ready_and_still_alive() {
    let world = World::within(never_ticking());
    let host = world.plain();
    assert_eq!(get(&host, "/readyz").status, 200);
    assert_eq!(exchange(&world), 503);
    let reply = get(&host, "/readyz");
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(reply.text(), "commits are refused [store_unavailable]\n");
    assert_eq!(get(&host, "/healthz").status, 200);
    assert_eq!(get(&host, "/roots.pem").status, 200, "reads go on");
    assert_eq!(get(&host, "/readyz").status, 503, "a read proves nothing");
}

#[test]
fn one_commit_that_succeeds_makes_it_ready_again() {
    let world = World::within(never_ticking());
    let host = world.plain();
    assert_eq!(exchange(&world), 503);
    assert_eq!(get(&host, "/readyz").status, 503);
    world.stage.writers_fail(false);
    let holder = world.issue("web-2", "reader");
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &request).status, 201);
    wait_until_ready(&world);
}

#[test]
fn a_server_that_nobody_asks_finds_out_by_itself() {
    let world = World::within(Limits {
        tick: Duration::from_millis(30),
        ..Limits::default()
    });
    let host = world.plain();
    assert_eq!(exchange(&world), 503);
    // Ticks that are refused too do not take it back.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(get(&host, "/readyz").status, 503);
    world.stage.writers_fail(false);
    wait_until_ready(&world);
}
