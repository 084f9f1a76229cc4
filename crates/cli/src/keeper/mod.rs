//! Credentials that stay good: traded when they are needed, again ahead of their end, and kept meanwhile.
//!
//! [`Keeper`] is what `exec`, `host serve` and `host update` hand credentials out of. It never gives ones that have
//! expired. Good ones it gives at once, and trades behind the caller's back when they are due, because the SDKs that ask
//! wait for a second only. A trade that fails leaves the good ones as they are and is tried again after a pause.
//! [`cache`] is the same for `credential-process`, whose process ends after each answer.

pub(crate) mod cache;
mod freshness;
mod source;
mod world;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_server::metadata::{CredentialSource, Provided};
use bowline_service::{Clock, Entropy, Kind, SessionCredentials, Time, format_time};

use crate::commands::credentials::Traded;
use crate::error::Error;
use crate::exit::Exit;
pub(crate) use freshness::{Draw, good_until, retry_after};
pub(crate) use source::{Named, Source};
use world::Stamps;
pub(crate) use world::World;

/// A way to get new credentials, that may be gone again and again.
pub(crate) trait Trading: Send + Sync {
    /// Trades the certificate, as it lies on the disk now.
    fn trade(&self) -> Result<Traded, Error>;

    /// The files that are traded. When one of them is replaced, the credentials are due.
    fn files(&self) -> Vec<PathBuf>;
}

/// Keeps credentials good.
#[derive(Clone)]
pub(crate) struct Keeper {
    kept: Arc<Kept>,
}

struct Kept {
    trade: Box<dyn Trading>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<State>,
    /// Held while a trade runs: one at a time.
    turn: Mutex<()>,
    /// Whether a thread trades behind its caller's back.
    behind: AtomicBool,
}

#[derive(Default)]
struct State {
    good: Option<Good>,
    /// Since the last trade that worked.
    failure: Option<Failure>,
}

struct Good {
    provided: Provided,
    /// From when on they are due.
    due: Time,
    /// The files as they were before the trade.
    stamps: Stamps,
}

struct Failure {
    why: String,
    count: u32,
    /// Until when nothing is tried.
    pause: Time,
}

/// What is to be done for a caller.
enum Next {
    /// These are good.
    Give(Provided),
    /// These are good and due.
    GiveAndTrade(Provided),
    /// There are none.
    Trade,
    /// There are none, and the last trade failed just now.
    Refuse(String),
}

impl Keeper {
    pub(crate) fn new(
        trade: Box<dyn Trading>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Keeper {
        Keeper {
            kept: Arc::new(Kept {
                trade,
                clock,
                entropy,
                state: Mutex::default(),
                turn: Mutex::default(),
                behind: AtomicBool::new(false),
            }),
        }
    }

    /// Trades now. What went wrong is for the caller to tell.
    pub(crate) fn first(&self) -> Result<Traded, Error> {
        let _turn = lock(&self.kept.turn);
        self.kept.trade()
    }

    /// The same for what shall run for long: a server that cannot be reached is told and tried again later, anything
    /// else is for whoever starts it to mend.
    pub(crate) fn first_if_reachable(&self) -> Result<Option<Traded>, Error> {
        match self.first() {
            Ok(traded) => Ok(Some(traded)),
            Err(error) if error.exit() == Exit::from(Kind::Unavailable) => {
                tracing::warn!("no credentials yet: {error} [{}]", error.code());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl CredentialSource for Keeper {
    fn current(&self) -> Result<Provided, String> {
        match self.kept.next() {
            Next::Give(provided) => Ok(provided),
            Next::GiveAndTrade(provided) => {
                self.kept.clone().trade_behind();
                Ok(provided)
            }
            Next::Refuse(why) => Err(why),
            Next::Trade => {
                let _turn = lock(&self.kept.turn);
                // Others may have waited for the same; one trade serves them all.
                match self.kept.next() {
                    Next::Give(provided) | Next::GiveAndTrade(provided) => Ok(provided),
                    Next::Refuse(why) => Err(why),
                    Next::Trade => match self.kept.trade_and_tell() {
                        Ok(traded) => Ok(provided(&traded.credentials, self.kept.clock.now())),
                        Err(error) => Err(error.to_string()),
                    },
                }
            }
        }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn next(&self) -> Next {
        let now = self.clock.now();
        let state = self.state();
        let paused = state
            .failure
            .as_ref()
            .filter(|failure| now < failure.pause)
            .map(|failure| failure.why.clone());
        let good = state
            .good
            .as_ref()
            .filter(|good| good.provided.expiration > now);
        match (good, paused) {
            (Some(good), Some(_)) => Next::Give(good.provided.clone()),
            (Some(good), None) => {
                let due = now >= good.due || Stamps::of(&self.trade.files()) != good.stamps;
                match due {
                    true => Next::GiveAndTrade(good.provided.clone()),
                    false => Next::Give(good.provided.clone()),
                }
            }
            (None, Some(why)) => Next::Refuse(why),
            (None, None) => Next::Trade,
        }
    }

    /// Trades on a thread of its own, unless one does already.
    fn trade_behind(self: Arc<Kept>) {
        if self.behind.swap(true, Ordering::AcqRel) {
            return;
        }
        let kept = self.clone();
        let work = move || {
            {
                let _turn = lock(&kept.turn);
                // Between the question and this turn somebody else may have traded.
                if let Next::GiveAndTrade(_) | Next::Trade = kept.next() {
                    // What went wrong was told and noted.
                    let _ = kept.trade_and_tell();
                }
            }
            kept.behind.store(false, Ordering::Release);
        };
        let thread = std::thread::Builder::new().name("trade".into());
        if let Err(error) = thread.spawn(work) {
            tracing::warn!("credentials are due, and no thread starts to trade them: {error}");
            self.behind.store(false, Ordering::Release);
        }
    }

    /// Trades, notes how it went, and tells the log if it failed. To be called in turn.
    fn trade_and_tell(&self) -> Result<Traded, Error> {
        let traded = self.trade();
        let Err(error) = &traded else {
            return traded;
        };
        let (code, now) = (error.code(), self.clock.now());
        let state = self.state();
        let pause = state
            .failure
            .as_ref()
            .map_or(0, |failure| (failure.pause - now).num_seconds());
        let until = state
            .good
            .as_ref()
            .map(|good| good.provided.expiration)
            .filter(|end| *end > now);
        match until.map(format_time) {
            Some(until) => tracing::warn!(
                "no new credentials: {error} [{code}]; those there are go on until {until}; tried again in {pause} s"
            ),
            None => tracing::warn!("no credentials: {error} [{code}]; tried again in {pause} s"),
        }
        drop(state);
        traded
    }

    /// Trades, and notes how it went. To be called in turn.
    fn trade(&self) -> Result<Traded, Error> {
        // Before the trade: what is replaced meanwhile is looked at again.
        let stamps = Stamps::of(&self.trade.files());
        let traded = self.trade.trade();
        let now = self.clock.now();
        let draw = Draw::from(&*self.entropy);
        let mut state = self.state();
        match &traded {
            Ok(Traded { credentials, .. }) => {
                if state.failure.take().is_some() {
                    tracing::info!("credentials are traded again");
                }
                state.good = Some(Good {
                    provided: provided(credentials, now),
                    due: good_until(now, credentials.expiration, draw),
                    stamps,
                });
            }
            Err(error) => {
                let count = state.failure.as_ref().map_or(0, |failure| failure.count) + 1;
                state.failure = Some(Failure {
                    why: error.to_string(),
                    count,
                    pause: now + retry_after(count, draw),
                });
            }
        }
        traded
    }
}

fn provided(credentials: &SessionCredentials, obtained_at: Time) -> Provided {
    let name = credentials.role_arn.rsplit('/').next();
    Provided {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        session_token: credentials.session_token.clone(),
        expiration: credentials.expiration,
        obtained_at,
        // Cannot be nothing: the last part of a split.
        role_name: name.unwrap_or_default().to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is replaced whole, so that a thread that panicked left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
