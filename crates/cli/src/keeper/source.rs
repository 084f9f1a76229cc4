//! What is traded, as a command line says it: a certificate by its name, for one of the roles it can have, or with the
//! flags of `aws_signing_helper`, which name everything.

use std::path::{Path, PathBuf};

use bowline_service::SessionCredentials;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{Keeper, Trading, World};
use crate::commands::credentials::{Traded, Whose};
use crate::context::Context;
use crate::error::Error;
use crate::files;
use crate::home::variable;
use crate::keys::{KeySource, Pkcs11Uri};
use crate::pair::PairFiles;
use crate::signing_flags::TradeFlags;

/// What is traded.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A certificate by its name.
    Named(Named),
    /// Everything named with the flags of `aws_signing_helper`.
    Flags(Box<TradeFlags>),
}

/// A certificate by its name, traded as `bowline credentials NAME` does.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// Whose certificate, and for what role.
    pub(crate) whose: Whose,
    /// How long the credentials shall last, in seconds.
    pub(crate) duration: Option<u32>,
}

impl Source {
    /// Trades once.
    pub(crate) fn trade(&self, context: &mut Context<'_>) -> Result<SessionCredentials, Error> {
        match self {
            Source::Named(Named { whose, duration }) => {
                Ok(whose.trade(context, *duration)?.credentials)
            }
            Source::Flags(flags) => flags.trade(context)?.credentials(context.now()),
        }
    }

    /// A keeper that trades this, again and again.
    pub(crate) fn keeper(self, context: &mut Context<'_>) -> Result<Keeper, Error> {
        let world = World::of(context);
        let trading: Box<dyn Trading> = match self {
            Source::Named(named) => return named.keeper(context),
            Source::Flags(flags) => Box::new(ByFlags {
                // Once: a password may come from standard input.
                source: flags.trade(context)?.source,
                flags,
                world,
            }),
        };
        Ok(Keeper::new(trading, context.clock(), context.entropy()))
    }

    /// Everything that the credentials depend on, the certificate's file among it. Reads nothing else: this is asked
    /// before every call of a client.
    pub(crate) fn parts(&self, context: &mut Context<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        Ok(match self {
            Source::Named(Named { whose, duration }) => {
                let file = PairFiles::of(&whose.name, context.directory()).certificate;
                let certificate = match file.exists() {
                    true => files::read(&file)?,
                    false => Vec::new(),
                };
                let place = match &context.global().server {
                    Some(server) => server.clone(),
                    None => context.home()?.path().display().to_string(),
                };
                vec![
                    b"named".to_vec(),
                    // The operator's is in no file, and then only the name tells it from a file that is missing.
                    whose.name.clone().into(),
                    certificate,
                    text(&whose.role),
                    text(&whose.session_name),
                    duration.unwrap_or_default().to_string().into(),
                    place.into(),
                ]
            }
            Source::Flags(flags) => {
                let certificate = match &flags.keys.certificate {
                    // What no file is goes by its name: a token is not asked only to know whether to ask it.
                    Some(place) if is_elsewhere(place) => place.clone().into_bytes(),
                    Some(file) => files::read(&context.path(Path::new(file)))?,
                    None => Vec::new(),
                };
                let module = flags.keys.pkcs11_lib.clone().unwrap_or_default();
                let variables = &context.environment().variables;
                let chosen = ["AWS_ENDPOINT_URL_ROLESANYWHERE", "AWS_ENDPOINT_URL"]
                    .map(|name| {
                        variable(variables, name).map(|url| url.as_encoded_bytes().to_vec())
                    })
                    .map(Option::unwrap_or_default);
                let [endpoint_of_service, endpoint_of_all] = chosen;
                vec![
                    b"flags".to_vec(),
                    certificate,
                    module.into_os_string().into_encoded_bytes(),
                    flags.role_arn.clone().into(),
                    flags.profile_arn.clone().into(),
                    flags.trust_anchor_arn.clone().into(),
                    flags.session_duration.to_string().into(),
                    text(&flags.role_session_name),
                    text(&flags.region),
                    text(&flags.endpoint),
                    endpoint_of_service,
                    endpoint_of_all,
                ]
            }
        })
    }
}

/// Whether the place of a certificate is no file.
fn is_elsewhere(place: &str) -> bool {
    Pkcs11Uri::is_meant(place) || place.starts_with("handle:")
}

impl Named {
    /// A keeper that trades this, again and again. Standard input ends before the second trade, so nothing may come
    /// from there.
    pub(crate) fn keeper(self, context: &mut Context<'_>) -> Result<Keeper, Error> {
        if self.whose.password_file.as_deref() == Some(Path::new("-")) {
            return Err(Error::Usage(
                "--password-file -: the password is needed again for every trade, so name a file"
                    .into(),
            ));
        }
        let trading = ByName {
            named: self,
            world: World::of(context),
        };
        Ok(Keeper::new(
            Box::new(trading),
            context.clock(),
            context.entropy(),
        ))
    }
}

/// Trades a certificate by its name.
struct ByName {
    named: Named,
    world: World,
}

impl Trading for ByName {
    fn trade(&self) -> Result<Traded, Error> {
        let Named { whose, duration } = &self.named;
        self.world.run(|context| whose.trade(context, *duration))
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = PairFiles::of(&self.named.whose.name, self.world.directory());
        vec![files.certificate, files.key]
    }
}

/// Trades what flags say.
struct ByFlags {
    source: KeySource,
    flags: Box<TradeFlags>,
    world: World,
}

impl Trading for ByFlags {
    fn trade(&self) -> Result<Traded, Error> {
        self.world.run(|context| {
            let mut trade = self.flags.trade(context)?;
            trade.source = self.source.clone();
            Ok(Traded {
                credentials: trade.credentials(context.now())?,
                region: trade.region,
            })
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        self.source.files()
    }
}

/// By hand, because the flags that are needed are not where there is a name.
impl Args for Source {
    fn augment_args(command: Command) -> Command {
        let mut command = TradeFlags::augment_args(command);
        for id in NEEDED {
            command = command.mut_arg(id, |argument| {
                argument.required(false).required_unless_present(NAME)
            });
        }
        command
            .arg(
                Arg::new(NAME)
                    .value_name("NAME")
                    .help("The certificate by its name, as for `bowline credentials`: its role, profile and trust anchor are found by asking the home or --server")
                    .conflicts_with_all(WITHOUT_NAME),
            )
            .arg(
                Arg::new(ROLE)
                    .long("role")
                    .value_name("ROLE")
                    .help("With NAME: the role, by name or ARN")
                    .requires(NAME),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Source::augment_args(command)
    }
}

impl FromArgMatches for Source {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Source, clap::Error> {
        let text = |id| matches.get_one::<String>(id).cloned();
        let Some(name) = text(NAME) else {
            let flags = TradeFlags::from_arg_matches(matches)?;
            return Ok(Source::Flags(Box::new(flags)));
        };
        let told = matches.value_source("session_duration") == Some(ValueSource::CommandLine);
        Ok(Source::Named(Named {
            whose: Whose {
                name,
                role: text(ROLE),
                password_file: matches.get_one::<PathBuf>("password_file").cloned(),
                session_name: text("role_session_name"),
            },
            duration: matches
                .get_one::<u32>("session_duration")
                .copied()
                .filter(|_| told),
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Source::from_arg_matches(matches)?;
        Ok(())
    }
}

const NAME: &str = "name";
const ROLE: &str = "role";
/// What is needed where there is no name.
const NEEDED: [&str; 3] = ["trust_anchor_arn", "profile_arn", "role_arn"];
/// What a name finds by itself.
const WITHOUT_NAME: [&str; 8] = [
    "trust_anchor_arn",
    "profile_arn",
    "role_arn",
    "certificate",
    "private_key",
    "intermediates",
    "region",
    "endpoint",
];
