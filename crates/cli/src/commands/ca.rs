//! `bowline ca`: the authorities of the home, their certificates and CRLs.

use bowline_service::{
    AuthorityKind, AuthorityView, KeyLocation, ListAuthorities, RevocationList, ShowAuthority,
    ShowBundle, ShowRevocationList, crl_pem, format_time,
};
use clap::{Args, Subcommand};

use crate::arguments::OutputFormat;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Facts, table};

/// Certificate authorities: their certificates and CRLs
#[derive(Debug, Args)]
pub(crate) struct Ca {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Bundle(Bundle),
    Crl(Crl),
}

impl Ca {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Bundle(bundle) => bundle.run(context),
            Action::Crl(crl) => crl.run(context),
        }
    }
}

/// List the authorities, the root first
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let authorities = context.connect()?.call(ListAuthorities {})?;
        let rows = authorities.iter().map(|authority| {
            let AuthorityView {
                id,
                subject,
                key_algorithm,
                not_after,
                ..
            } = authority;
            vec![
                id.clone(),
                subject.clone(),
                key_algorithm.clone(),
                key(authority).into(),
                format_time(*not_after),
            ]
        });
        let text = table(&["id", "subject", "algorithm", "key", "until"], rows);
        context.print_list(&authorities, text)
    }
}

/// Show an authority
#[derive(Debug, Args)]
struct Show {
    /// Its id, as `bowline ca list` shows it
    #[arg(value_name = "AUTHORITY", default_value = "issuing")]
    authority: String,

    /// Print its certificate as PEM instead
    #[arg(long)]
    pem: bool,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let authority = context.connect()?.call(ShowAuthority {
            authority: self.authority,
        })?;
        if self.pem {
            context.write(authority.pem())?;
            return Ok(Exit::SUCCESS);
        }
        let text = facts(&authority);
        context.print(&authority, text)
    }
}

fn facts(authority: &AuthorityView) -> Facts {
    let kind = match authority.kind {
        AuthorityKind::Root => "root",
        AuthorityKind::Subordinate => "subordinate",
    };
    Facts::new()
        .fact("id", &authority.id)
        .fact("kind", kind)
        .fact("subject", &authority.subject)
        .fact("issuer", &authority.issuer)
        .fact("serial", format_args!("0x{}", authority.serial))
        .fact("algorithm", &authority.key_algorithm)
        .fact("key", key(authority))
        .time("from", authority.not_before)
        .time("until", authority.not_after)
        .fact("fingerprint", &authority.fingerprint)
        .maybe("CRL at", authority.crl_url.as_ref())
        .maybe("certificate at", authority.certificate_url.as_ref())
}

fn key(authority: &AuthorityView) -> &'static str {
    match authority.key {
        KeyLocation::Sealed => "in this home",
        KeyLocation::Offline => "offline",
    }
}

/// Print the roots as PEM: what clients are told to trust
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline ca bundle > roots.pem")]
struct Bundle {}

impl Bundle {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let bundle = context.connect()?.call(ShowBundle {})?;
        context.print(&bundle, &bundle.pem)
    }
}

/// Print a fresh CRL as PEM
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  bowline ca crl --all > crls.pem
  openssl verify -crl_check_all -CAfile roots.pem -CRLfile crls.pem -untrusted web-1.chain.crt web-1.crt")]
struct Crl {
    /// The authority's id
    #[arg(
        value_name = "AUTHORITY",
        default_value = "issuing",
        conflicts_with = "all"
    )]
    authority: String,

    /// The CRLs of all authorities, one after the other; one that cannot be signed here is left out, and told
    #[arg(long)]
    all: bool,
}

impl Crl {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let wanted = match self.all {
            true => connection
                .call(ListAuthorities {})?
                .into_iter()
                .map(|authority| authority.id)
                .collect(),
            false => vec![self.authority],
        };
        let mut lists: Vec<RevocationList> = Vec::new();
        for authority in wanted {
            let show = ShowRevocationList {
                authority: authority.clone(),
                fresh: false,
            };
            match connection.call(show) {
                Ok(list) => lists.push(list),
                // The others are asked for too, and theirs can be signed.
                Err(error) if self.all && error.code() == KEY_OFFLINE => {
                    context.hint(format_args!("left out the CRL of {authority}: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        match (context.format(), lists.as_slice()) {
            (OutputFormat::Json, [list]) if !self.all => context.print(list, ""),
            (OutputFormat::Json | OutputFormat::Text, lists) => {
                let text: String = lists.iter().map(|list| crl_pem(&list.der)).collect();
                context.print_list(lists, text)
            }
        }
    }
}

/// The code of an authority whose CRL cannot be signed here.
const KEY_OFFLINE: &str = "authority_key_offline";
