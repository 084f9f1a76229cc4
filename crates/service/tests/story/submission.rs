//! Credentials that nobody waits for: nothing of them is answered before the store has taken their event.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};

use bowline_service::{
    Caller, Clock, CreateSession, Error, Service, SessionCredentials, StoreError, session_request,
};
use bowline_store::checkpoint::Summary;
use bowline_store::{
    Answered, CheckpointError, Commit, Committed, Finding, Key, MemoryStore, Progress, Store, Value,
};

use crate::log::events;
use crate::world::World;

/// A store that takes the commits nobody waits for when the test says so.
struct Slow {
    store: Arc<MemoryStore>,
    submitted: Mutex<Vec<(Commit, Answered)>>,
}

impl Store for Slow {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.store.commit(commit)
    }

    fn submit(&self, commit: Commit, answered: Answered) {
        self.submitted.lock().unwrap().push((commit, answered));
    }

    fn checkpoint(
        &self,
        output: &mut dyn io::Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, CheckpointError> {
        self.store.checkpoint(output, progress)
    }

    fn examine(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        self.store.examine(progress)
    }
}

/// An exchange that is submitted, the store it waits for, and where its answer comes.
struct Scene {
    world: World,
    store: Arc<Slow>,
    answers: Receiver<Result<SessionCredentials, Error>>,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        world.role("reader");
        let holder = world.issue("web-1", &["reader"]);
        let store = Arc::new(Slow {
            store: world.store.clone(),
            submitted: Mutex::default(),
        });
        let service: Arc<Service> = Arc::new(world.service_on(store.clone()));
        let request = session_request(
            &world.session_ask(&holder, "reader"),
            "ca.test",
            &holder.certificates(),
            &holder.key,
            "us-east-1",
            world.clock.now(),
        )
        .unwrap();
        let caller = Caller::Nobody { source: None };
        let pending = CreateSession { request }.begin(&service, &caller).unwrap();
        let (answered, answers) = channel();
        service.submit(pending, move |answer| answered.send(answer).unwrap());
        assert!(matches!(answers.try_recv(), Err(TryRecvError::Empty)));
        Scene {
            world,
            store,
            answers,
        }
    }

    fn submitted(&self) -> (Commit, Answered) {
        self.store.submitted.lock().unwrap().pop().unwrap()
    }

    fn sessions(&self) -> usize {
        let created = |event: &&serde_json::Value| event["event"] == "session_created";
        events(&self.world).iter().filter(created).count()
    }
}

#[test]
fn credentials_are_answered_once_their_event_is_in_the_store() {
    let scene = Scene::new();
    assert_eq!(scene.sessions(), 0);
    let (commit, answered) = scene.submitted();
    let committed = scene.store.commit(commit);
    assert!(matches!(scene.answers.try_recv(), Err(TryRecvError::Empty)));
    answered(committed);
    assert!(scene.answers.try_recv().unwrap().is_ok());
    assert_eq!(scene.sessions(), 1);
}

#[test]
fn a_commit_that_is_refused_gives_no_credentials() {
    let scene = Scene::new();
    let (_, answered) = scene.submitted();
    let reason = "the disk is full".to_owned();
    answered(Err(StoreError::Unavailable { reason }));
    let answer = scene.answers.try_recv().unwrap();
    assert!(
        matches!(answer, Err(Error::Store(StoreError::Unavailable { .. }))),
        "{answer:?}"
    );
    assert_eq!(scene.sessions(), 0);
}

#[test]
fn where_the_store_ends_without_an_answer_the_outcome_is_unknown() {
    let scene = Scene::new();
    drop(scene.submitted());
    let answer = scene.answers.try_recv().unwrap();
    assert!(
        matches!(answer, Err(Error::Store(StoreError::Unknown { .. }))),
        "{answer:?}"
    );
}
