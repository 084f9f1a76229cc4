//! `bowline session key`: the keys that seal and open sessions.

use bowline_service::{
    ActivateSessionKey, KeyState, ListSessionKeys, PublishSessionKey, RetireSessionKey,
    SessionKeyView, Time, format_time,
};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table;

/// The keys that seal and open sessions: list, publish, activate, retire, drop
///
/// To change the key: publish one, make it active, and retire the one before it once its last session has ended.
#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys: what each does, and until when what it sealed may live
    List,
    /// Make a key that everybody knows and nobody uses yet
    Publish,
    /// Have a published key seal new sessions; the one before it opens what it sealed, and seals no more
    Activate(Activate),
    /// Take a key out whose last session has ended
    Retire(Which),
    /// Throw a key away now: every session that it sealed ends at once
    ///
    /// If it is the active one, a new key takes its place. For the day on which a copy of the home was stolen.
    Drop(Which),
}

#[derive(Debug, Args)]
struct Activate {
    /// The key [default: the one that was published first of those that wait]
    #[arg(value_name = "KEY")]
    key: Option<u8>,
}

#[derive(Debug, Args)]
struct Which {
    /// The key, by its number
    #[arg(value_name = "KEY")]
    key: u8,
}

impl Key {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let (done, changed) = match self.action {
            Action::List => {
                let list = connection.call(ListSessionKeys {})?;
                return context.print_list(&list.keys, rows(&list.keys));
            }
            Action::Publish => ("is published", connection.call(PublishSessionKey {})?),
            Action::Activate(Activate { key }) => {
                let activate = ActivateSessionKey { key };
                ("is active", connection.call(activate)?)
            }
            Action::Retire(Which { key }) => {
                let retire = RetireSessionKey { key, now: false };
                ("is retired", connection.call(retire)?)
            }
            Action::Drop(Which { key }) => {
                let drop = RetireSessionKey { key, now: true };
                (
                    "is gone, and every session that it sealed has ended",
                    connection.call(drop)?,
                )
            }
        };
        context.hint(format_args!("session key {} {done}", changed.key));
        context.print(&changed, rows(&changed.keys))
    }
}

fn rows(keys: &[SessionKeyView]) -> String {
    let time = |time: Option<Time>| time.map(format_time).unwrap_or_default();
    table(
        &["key", "state", "published", "active since", "retire after"],
        keys.iter().map(|key| {
            let published = match (key.published_at, key.state) {
                // The first key of a home that is older than this list.
                (None, KeyState::Active | KeyState::Retiring) => "with the home".into(),
                (published, _) => time(published),
            };
            vec![
                key.key.to_string(),
                key.state.as_str().into(),
                published,
                time(key.activated_at),
                time(key.sessions_until),
            ]
        }),
    )
}
