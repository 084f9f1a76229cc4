//! `bowline provider`: identity providers, whose word about others is believed, and our own keys for theirs.

use std::fs;
use std::path::PathBuf;

use bowline_service::{
    CreateProvider, DeleteProvider, ListProviders, ProviderView, RotateIdentityKeys, ShowJwks,
    ShowOpenIdConfiguration, ShowProvider, TokenAlgorithm, UpdateProvider, format_time, pem_of,
};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::render::{Facts, table};

/// Identity providers: whose tokens and assertions can be traded for credentials
#[derive(Debug, Args)]
pub(crate) struct Provider {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Box<Create>),
    List(List),
    /// Show an identity provider
    Show(Named),
    Update(Box<Update>),
    /// Believe an identity provider no longer: nobody gets credentials by its word any more
    ///
    /// Sessions that it vouched for end at once.
    Delete(Named),
    ExportKeys(ExportKeys),
    RotateKeys(RotateKeys),
}

impl Provider {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Create(create) => create.run(context),
            Action::List(list) => list.run(context),
            Action::Show(Named { provider }) => {
                let provider = context.connect()?.call(ShowProvider { provider })?;
                print(context, &provider)
            }
            Action::Update(update) => update.run(context),
            Action::Delete(Named { provider }) => {
                let provider = context.connect()?.call(DeleteProvider { provider })?;
                let text = format!("{} is deleted\n", provider.arn);
                context.print(&provider, text)
            }
            Action::ExportKeys(export) => export.run(context),
            Action::RotateKeys(rotate) => rotate.run(context),
        }
    }
}

#[derive(Debug, Args)]
struct Named {
    /// Its name or ARN
    #[arg(value_name = "PROVIDER")]
    provider: String,
}

/// What tokens are signed with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "ES384")]
    Es384,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl From<Algorithm> for TokenAlgorithm {
    fn from(algorithm: Algorithm) -> TokenAlgorithm {
        match algorithm {
            Algorithm::Rs256 => TokenAlgorithm::Rs256,
            Algorithm::Es256 => TokenAlgorithm::Es256,
            Algorithm::Es384 => TokenAlgorithm::Es384,
            Algorithm::EdDsa => TokenAlgorithm::EdDsa,
        }
    }
}

/// Create an identity provider: an issuer of tokens (OpenID Connect), or SAML metadata
///
/// The keys of an issuer come from a file, from a URL, or from where its own discovery document says; the server
/// fetches them when a token comes. Roles name the provider's ARN as `Federated` principal of their trust policies.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("source").required(true).args(["issuer", "saml_metadata"]),
    group = ArgGroup::new("keys").args(["jwks_file", "jwks_url"]),
    after_help = "\
Examples:
  bowline provider create github --issuer https://token.actions.githubusercontent.com --audience bowline
  bowline provider create cluster --issuer https://kubernetes.default.svc --audience bowline --jwks-file jwks.json
  bowline provider create corp --saml-metadata metadata.xml"
)]
struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// The issuer's URL, exactly as its tokens name it (iss)
    #[arg(long, value_name = "URL", requires = "audiences")]
    issuer: Option<String>,

    /// For whom its tokens may be (aud); may be given more than once
    #[arg(
        long = "audience",
        value_name = "AUDIENCE",
        id = "audiences",
        conflicts_with = "saml_metadata"
    )]
    audiences: Vec<String>,

    /// Its keys, a JSON Web Key Set; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "saml_metadata")]
    jwks_file: Option<PathBuf>,

    /// Where its keys are
    #[arg(long, value_name = "URL", conflicts_with = "saml_metadata")]
    jwks_url: Option<String>,

    /// Roots that its server is believed by, PEM or DER; those of the system if not given
    #[arg(long, value_name = "FILE", conflicts_with_all = ["saml_metadata", "jwks_file"])]
    roots: Option<PathBuf>,

    /// What its tokens may be signed with, separated by commas: RS256, ES256, ES384, EdDSA; all if not given
    #[arg(
        long,
        value_name = "ALGORITHMS",
        value_delimiter = ',',
        hide_possible_values = true,
        conflicts_with = "saml_metadata"
    )]
    algorithms: Vec<Algorithm>,

    /// The metadata of a SAML identity provider, XML; - is standard input
    #[arg(long, value_name = "FILE")]
    saml_metadata: Option<PathBuf>,

    /// Be content with a provider of that name as it is
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let create = CreateProvider {
            name: self.name,
            issuer: self.issuer,
            audiences: self.audiences,
            jwks: text(context, self.jwks_file)?,
            jwks_url: self.jwks_url,
            roots: roots(context, self.roots)?,
            algorithms: self.algorithms.into_iter().map(Into::into).collect(),
            saml_metadata: text(context, self.saml_metadata)?,
            if_missing: self.if_missing,
        };
        let provider = context.connect()?.call(create)?;
        print(context, &provider)
    }
}

/// Change an identity provider: what is not named stays
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("keys").args(["jwks_file", "jwks_url", "discovery"]),
    group = ArgGroup::new("trusted").args(["roots", "system_roots"]),
    after_help = "\
Examples:
  bowline provider update github --audience bowline --audience bowline-staging
  bowline provider update corp --saml-metadata metadata.xml"
)]
struct Update {
    /// Its name or ARN
    #[arg(value_name = "PROVIDER")]
    provider: String,

    /// For whom its tokens may be from now on, all of them; may be given more than once
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,

    /// Its keys, a JSON Web Key Set; - is standard input
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,

    /// Where its keys are
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,

    /// Ask the issuer where its keys are
    #[arg(long)]
    discovery: bool,

    /// Roots that its server is believed by, PEM or DER
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,

    /// Believe its server by the roots of the system
    #[arg(long)]
    system_roots: bool,

    /// What its tokens may be signed with, separated by commas
    #[arg(
        long,
        value_name = "ALGORITHMS",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    algorithms: Vec<Algorithm>,

    /// New metadata of a SAML identity provider, XML; - is standard input
    #[arg(long, value_name = "FILE")]
    saml_metadata: Option<PathBuf>,
}

impl Update {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let algorithms: Vec<TokenAlgorithm> = self.algorithms.into_iter().map(Into::into).collect();
        let update = UpdateProvider {
            provider: self.provider,
            audiences: (!self.audiences.is_empty()).then_some(self.audiences),
            jwks: text(context, self.jwks_file)?,
            jwks_url: self.jwks_url,
            discovery: self.discovery,
            roots: match self.system_roots {
                true => Some(String::new()),
                false => roots(context, self.roots)?,
            },
            algorithms: (!algorithms.is_empty()).then_some(algorithms),
            saml_metadata: text(context, self.saml_metadata)?,
        };
        let provider = context.connect()?.call(update)?;
        print(context, &provider)
    }
}

/// List the identity providers
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let providers = context.connect()?.call(ListProviders {})?;
        let rows = providers.iter().map(|provider| {
            let ProviderView {
                name,
                kind,
                issuer,
                arn,
                ..
            } = provider;
            [name, kind, issuer, arn].map(Clone::clone).to_vec()
        });
        let text = table(&["name", "kind", "issuer", "arn"], rows);
        context.print_list(&providers, text)
    }
}

/// Write the discovery document and the public keys of our own tokens, for any web server
///
/// Other systems fetch both from below the home's URL (`bowline settings set url URL`). Whatever serves that URL serves
/// these files, and the home itself need not be reached by anybody. Write them again after `rotate-keys`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline provider export-keys /var/www/identity")]
struct ExportKeys {
    /// The directory that is served as the URL
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// What was written.
#[derive(Serialize)]
struct Exported {
    issuer: String,
    files: Vec<PathBuf>,
    keys: usize,
}

impl ExportKeys {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let directory = context.path(&self.directory).join(".well-known");
        let connection = context.connect()?;
        let configuration = connection.call(ShowOpenIdConfiguration {})?;
        let mut keys = connection.call(ShowJwks {})?;
        if count(&keys) == 0 {
            // The first token makes the first key, and a file that was written before would not have it.
            connection.call(RotateIdentityKeys::default())?;
            keys = connection.call(ShowJwks {})?;
        }
        fs::create_dir_all(&directory).map_err(|error| Error::file("create", &directory, error))?;
        let documents = [
            ("openid-configuration", &configuration),
            ("jwks.json", &keys),
        ];
        let mut written = Vec::new();
        for (name, document) in documents {
            let path = directory.join(name);
            files::write(&path, format!("{document:#}\n").as_bytes())?;
            written.push(path);
        }
        let exported = Exported {
            issuer: configuration["issuer"].as_str().unwrap_or_default().into(),
            keys: count(&keys),
            files: written,
        };
        let facts = Facts::new()
            .fact("issuer", &exported.issuer)
            .fact("keys", exported.keys)
            .fact("directory", directory.display());
        context.print(&exported, facts)
    }
}

fn count(keys: &serde_json::Value) -> usize {
    keys["keys"].as_array().map_or(0, Vec::len)
}

/// Make new keys for our own tokens
///
/// The keys before them sign nothing more. They are published for 25 hours, until the last token they signed has ended
/// and nobody has the key set of before, or with --withdraw no longer at all.
#[derive(Debug, Args)]
struct RotateKeys {
    /// Publish the keys before them no longer: somebody else may have one, and no token that they signed is good any more
    #[arg(long)]
    withdraw: bool,
}

impl RotateKeys {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let keys = context.connect()?.call(RotateIdentityKeys {
            withdraw: self.withdraw,
        })?;
        let rows = keys.keys.iter().map(|key| {
            let state = match key.published_until {
                Some(until) => format!("published until {}", format_time(until)),
                None => "signs".into(),
            };
            vec![key.id.clone(), key.algorithm.clone(), state]
        });
        let text = table(&["id", "algorithm", "state"], rows);
        context.print(&keys, text)
    }
}

fn text(context: &mut Context<'_>, file: Option<PathBuf>) -> Result<Option<String>, Error> {
    file.map(|file| context.read_text(&file)).transpose()
}

/// The certificates of a file as one PEM text.
fn roots(context: &mut Context<'_>, file: Option<PathBuf>) -> Result<Option<String>, Error> {
    let certificates = file
        .map(|file| context.read_certificates(&file))
        .transpose()?;
    Ok(certificates.map(|certificates| pem_of(&certificates)))
}

fn print(context: &mut Context<'_>, provider: &ProviderView) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("name", &provider.name)
        .fact("arn", &provider.arn)
        .fact("kind", &provider.kind)
        .fact("issuer", &provider.issuer)
        .each("audience", &provider.audiences)
        .each("algorithm", &provider.algorithms)
        .maybe("keys", provider.keys.as_ref())
        .each("certificate", &provider.certificates)
        .maybe("valid until", provider.valid_until.map(format_time))
        .time("created", provider.created)
        .time("updated", provider.updated);
    context.print(provider, facts)
}
