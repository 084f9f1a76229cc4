//! Changing the session keys: publish, make active, retire, drop.

use bowline_store::{Commit, Value};
use bowline_trust::ROOT_LEN;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key_ring::{KeyState, SessionKeys};
use crate::audit::Event;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::service::Service;

/// The session keys of a home, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKeyList {
    /// The keys.
    pub keys: Vec<SessionKeyView>,
}

/// A session key as it is shown: everything but the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKeyView {
    /// Its id, which every access key id that it made carries.
    pub key: u8,
    /// What it does.
    pub state: KeyState,
    /// When it was made; unknown of the first key of an old home.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published_at: Option<Time>,
    /// Since when, or from when, it sealed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub activated_at: Option<Time>,
    /// Since when it only opens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retiring_since: Option<Time>,
    /// When the last session that it sealed has ended: from then on it may be retired.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sessions_until: Option<Time>,
}

impl SessionKeyList {
    fn of(keys: &SessionKeys) -> SessionKeyList {
        let view = |key: &super::key_ring::SessionKey| SessionKeyView {
            key: key.id,
            state: key.state,
            published_at: key.published,
            activated_at: key.activated,
            retiring_since: key.retiring,
            sessions_until: key.sessions_until(),
        };
        SessionKeyList {
            keys: keys.keys().iter().map(view).collect(),
        }
    }
}

/// Lists the session keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSessionKeys {}

impl Operation for ListSessionKeys {
    const NAME: &'static str = "list-session-keys";
    type Answer = SessionKeyList;

    fn run(self, service: &Service, caller: &Caller) -> Result<SessionKeyList, Error> {
        service.authorize(caller, "bowline:ListSessionKeys", "*")?;
        Ok(SessionKeyList::of(&service.session_keys()?.0))
    }
}

/// Makes a session key that is known and seals nothing yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishSessionKey {}

/// The keys after a change, and the key it was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedSessionKeys {
    /// The key that was published, made active, retired or dropped.
    pub key: u8,
    /// Those there are now.
    pub keys: Vec<SessionKeyView>,
}

impl Operation for PublishSessionKey {
    const NAME: &'static str = "publish-session-key";
    type Answer = ChangedSessionKeys;

    fn run(self, service: &Service, caller: &Caller) -> Result<ChangedSessionKeys, Error> {
        service.authorize(caller, "bowline:PublishSessionKey", "*")?;
        let (mut keys, before) = service.session_keys()?;
        let now = service.now();
        let key = keys.publish(service.fresh_root(), now)?;
        let event = Event::SessionKeyPublished { key };
        service.put_session_keys(keys, before, key, caller, now, event)
    }
}

/// Makes a published key the one that seals new sessions. The one before it opens what it sealed, and seals no more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivateSessionKey {
    /// The key; the one that was published first of those that wait, if not given.
    pub key: Option<u8>,
}

impl Operation for ActivateSessionKey {
    const NAME: &'static str = "activate-session-key";
    type Answer = ChangedSessionKeys;

    fn run(self, service: &Service, caller: &Caller) -> Result<ChangedSessionKeys, Error> {
        service.authorize(caller, "bowline:ActivateSessionKey", "*")?;
        let (mut keys, before) = service.session_keys()?;
        let now = service.now();
        // By a clock that is behind, the key before it would seem to have sealed its last session long ago.
        service.check_clock(now)?;
        let key = match self.key {
            Some(key) => key,
            None => keys.waiting()?,
        };
        let retiring = keys.activate(key, now)?;
        let event = Event::SessionKeyActivated { key, retiring };
        service.put_session_keys(keys, before, key, caller, now, event)
    }
}

/// Takes a key out. That is refused while sessions which it sealed may live, unless they shall end at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireSessionKey {
    /// The key.
    pub key: u8,
    /// Whether the sessions that it sealed end now. Where it is the active one, a new one takes its place.
    #[serde(default)]
    pub now: bool,
}

impl Operation for RetireSessionKey {
    const NAME: &'static str = "retire-session-key";
    type Answer = ChangedSessionKeys;

    fn run(self, service: &Service, caller: &Caller) -> Result<ChangedSessionKeys, Error> {
        service.authorize(caller, "bowline:RetireSessionKey", "*")?;
        let (mut keys, before) = service.session_keys()?;
        let now = service.now();
        let key = self.key;
        let event = if self.now {
            let replaced_by = keys.drop_now(key, service.fresh_root(), now)?;
            Event::SessionKeyDropped { key, replaced_by }
        } else {
            keys.retire(key, now)?;
            Event::SessionKeyRetired { key }
        };
        service.put_session_keys(keys, before, key, caller, now, event)
    }
}

impl Service {
    /// Adds to a commit that every session of this home is over, whatever time it says it began: no key that sealed one
    /// is kept.
    pub(crate) fn renew_session_keys(&self, commit: Commit, now: Time) -> Result<Commit, Error> {
        let (mut keys, before) = self.session_keys()?;
        keys.renew(self.fresh_root(), now)?;
        let place = keyspace::key_ring();
        Ok(commit
            .expect_equals(place.clone(), before)
            .put(place, self.sealed_session_keys(&keys)?))
    }

    fn fresh_root(&self) -> Zeroizing<[u8; ROOT_LEN]> {
        Zeroizing::new(draw(&*self.entropy))
    }

    /// Writes changed keys, unless somebody else changed them meanwhile.
    fn put_session_keys(
        &self,
        keys: SessionKeys,
        before: Value,
        key: u8,
        caller: &Caller,
        now: Time,
        event: Event,
    ) -> Result<ChangedSessionKeys, Error> {
        let place = keyspace::key_ring();
        let mut commit = Commit::new()
            .expect_equals(place.clone(), before)
            .put(place, self.sealed_session_keys(&keys)?);
        if matches!(event, Event::SessionKeyDropped { .. }) {
            commit = commit.from_reserve();
        }
        self.commit(commit, caller, now, event)?;
        Ok(ChangedSessionKeys {
            key,
            keys: SessionKeyList::of(&keys).keys,
        })
    }
}
