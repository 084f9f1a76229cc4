//! `bowline aws-config`: the lines that make AWS's tools take their credentials from a certificate, and a look at what
//! would win over them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bowline_service::ListAssumableRoles;
use clap::Args;
use serde::Serialize;

use crate::aws_files::{AwsFile, Sections};
use crate::caller::choose;
use crate::commands::credentials::Whose;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::variable;
use crate::pair::PairFiles;

/// Write the profile by which AWS's tools take credentials from a certificate, and check that nothing wins over it
///
/// Prints the lines for ~/.aws/config; --write puts them there and leaves everything else in the file alone. With
/// --server the profile trades at that server, else at the home on this machine.
///
/// --check looks for what SDKs prefer without saying so: long-term keys left over in the environment, in the same
/// profile of ~/.aws/credentials or in the profile itself. It exits 0 where nothing wins over the certificate, 3 where
/// something does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline aws-config web-1
  bowline aws-config web-1 --write --profile-name web --server https://ca.example:8443 --root roots.pem
  bowline aws-config web-1 --check && aws --profile web-1 sts get-caller-identity")]
pub(crate) struct AwsConfig {
    #[command(flatten)]
    whose: Whose,

    /// What the profile is called [default: NAME without its directory]
    #[arg(long, value_name = "PROFILE")]
    profile_name: Option<String>,

    /// Put the lines into ~/.aws/config (AWS_CONFIG_FILE); a profile of that name is replaced with --force only
    #[arg(long)]
    write: bool,

    /// Replace a profile that is there
    #[arg(long, requires = "write")]
    force: bool,

    /// Only look whether something would win over the certificate
    #[arg(long, conflicts_with = "write")]
    check: bool,
}

/// One section of the file.
#[derive(Debug, Serialize)]
struct Section {
    name: String,
    lines: Vec<String>,
}

/// What is written, for programs.
#[derive(Serialize)]
struct Written<'a> {
    profile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    sections: &'a [Section],
    wins: &'a [Rival],
}

/// Something that an SDK prefers to the profile's certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Rival {
    /// Where it is.
    place: String,
    /// What it is.
    what: String,
    /// What to do about it.
    fix: String,
}

impl AwsConfig {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let profile = self.profile()?;
        let config_file = self.file(context, AwsFile::Config)?;
        let mut config = AwsFile::read(&config_file)?;
        if self.check {
            let rivals = self.rivals(context, &profile, &config)?;
            return report(context, &profile, &config, &rivals);
        }
        let sections = self.sections(context, &profile)?;
        for section in &sections {
            if self.write && config.has(&section.name) && !self.force {
                return Err(Error::Exists {
                    path: config_file,
                    fix: "it has the profile already: give --force to replace it",
                });
            }
            config.put(&section.name, &section.lines);
        }
        if self.write {
            make_directory(files::directory_of(&config_file))?;
            files::write(&config_file, config.text().as_bytes())?;
        }
        let rivals = self.rivals(context, &profile, &config)?;
        for rival in &rivals {
            context.hint(warning(rival));
        }
        let mut text = String::new();
        for Section { name, lines } in sections.iter().filter(|_| !self.write) {
            // Cannot fail: writing to a text does not.
            let _ = writeln!(text, "[{name}]\n{}\n", lines.join("\n"));
        }
        if self.write {
            text = format!(
                "profile {profile} is in {}: use it with --profile {profile} or AWS_PROFILE={profile}\n",
                config_file.display()
            );
        }
        let written = Written {
            profile: &profile,
            file: self.write.then(|| config_file.display().to_string()),
            sections: &sections,
            wins: &rivals,
        };
        context.print(&written, text.replace("\n\n\n", "\n\n"))
    }

    fn profile(&self) -> Result<String, Error> {
        let named = self.profile_name.clone().unwrap_or_else(|| {
            let stem = self.whose.name.trim_end_matches(".crt");
            let name = Path::new(stem).file_name();
            name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        });
        let fits = !named.is_empty()
            && named.len() <= PROFILE_NAME_MAX
            && named
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+@".contains(&byte));
        match fits {
            true => Ok(named),
            false => Err(Error::Usage(format!(
                "{named:?} cannot name a profile: it takes 1 to {PROFILE_NAME_MAX} letters, digits and -_.+@; give --profile-name"
            ))),
        }
    }

    fn file(&self, context: &mut Context<'_>, file: AwsFile) -> Result<PathBuf, Error> {
        let directory = context.directory().to_owned();
        file.path(&context.environment().variables, &directory)
    }

    /// The lines: a command that AWS's tools run, and where our STS answers.
    fn sections(&self, context: &mut Context<'_>, profile: &str) -> Result<Vec<Section>, Error> {
        let (pair, connection) = self.whose.open(context)?;
        let offered = connection.call(ListAssumableRoles {
            certificate: pair.leaf().to_vec(),
            chain: pair.chain().to_vec(),
        })?;
        let because = offered.nearest_refusal.as_ref();
        let role = choose(
            &self.whose.name,
            self.whose.role.as_deref(),
            &offered.roles,
            because,
        )?;
        let pair_files = PairFiles::of(&self.whose.name, context.directory());
        let program = std::env::current_exe()
            .map_err(|error| Error::file("find", Path::new("bowline"), error))?;
        let stem = text_of(&pair_files.certificate)?;
        let stem = stem.strip_suffix(".crt").unwrap_or(&stem).to_owned();
        let mut command = vec![text_of(&program)?, "credential-process".into(), stem];
        let mut lines = vec![format!("region = {}", offered.region)];
        let mut sections = Vec::new();
        match context.global().server.clone() {
            Some(server) => {
                command.extend(["--server".into(), server.clone()]);
                if let Some(root) = context.global().root.clone() {
                    let root = text_of(&context.path(&root))?;
                    command.extend(["--root".into(), root.clone()]);
                    lines.push(format!("ca_bundle = {root}"));
                }
                if let Some(fingerprint) = context.global().fingerprint.clone() {
                    command.extend(["--fingerprint".into(), fingerprint]);
                }
                lines.push(format!("services = bowline-{profile}"));
                sections.push(Section {
                    name: format!("services bowline-{profile}"),
                    lines: vec!["sts =".into(), format!("  endpoint_url = {server}")],
                });
            }
            None => command.extend(["--home".into(), text_of(context.home()?.path())?]),
        }
        command.extend(["--role".into(), role.role_arn.clone()]);
        if let Some(name) = &self.whose.session_name {
            command.extend(["--role-session-name".into(), name.clone()]);
        }
        if let Some(file) = &self.whose.password_file {
            command.extend(["--password-file".into(), text_of(&context.path(file))?]);
        }
        let command: Result<Vec<String>, Error> = command.iter().map(|word| quoted(word)).collect();
        lines.push(format!("credential_process = {}", command?.join(" ")));
        let name = AwsFile::Config.section(profile);
        sections.insert(0, Section { name, lines });
        Ok(sections)
    }

    fn rivals(
        &self,
        context: &mut Context<'_>,
        profile: &str,
        config: &Sections,
    ) -> Result<Vec<Rival>, Error> {
        let credentials_file = self.file(context, AwsFile::Credentials)?;
        let config_file = self.file(context, AwsFile::Config)?;
        let credentials = AwsFile::read(&credentials_file)?;
        let variables = &context.environment().variables;
        Ok(rivals(
            profile,
            variables,
            (&config_file, config),
            (&credentials_file, &credentials),
        ))
    }
}

/// Tells what was found, loudly.
fn report(
    context: &mut Context<'_>,
    profile: &str,
    config: &Sections,
    rivals: &[Rival],
) -> Result<Exit, Error> {
    let section = AwsFile::Config.section(profile);
    if config.value(&section, "credential_process").is_none() {
        return Err(Error::Usage(format!(
            "the AWS config has no profile {profile} with a credential_process: write it with `bowline aws-config … --write`"
        )));
    }
    let written = Written {
        profile,
        file: None,
        sections: &[],
        wins: rivals,
    };
    if rivals.is_empty() {
        return context.print(
            &written,
            format_args!("profile {profile} takes its credentials from the certificate: nothing wins over it\n"),
        );
    }
    let text: String = rivals
        .iter()
        .map(|rival| format!("{}\n", warning(rival)))
        .collect();
    context.print(&written, text)?;
    Ok(Exit::from(bowline_service::Kind::Invalid))
}

fn warning(rival: &Rival) -> String {
    let Rival { place, what, fix } = rival;
    format!("WARNING: {what} in {place} wins over the certificate, silently: {fix}")
}

/// What SDKs prefer to a profile's `credential_process`: environment first, then the credentials file, then what else
/// the profile says.
fn rivals(
    profile: &str,
    variables: &BTreeMap<OsString, OsString>,
    (config_file, config): (&Path, &Sections),
    (credentials_file, credentials): (&Path, &Sections),
) -> Vec<Rival> {
    let mut found = Vec::new();
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ] {
        if variable(variables, name).is_some() {
            found.push(Rival {
                place: "the environment".into(),
                what: name.into(),
                fix: format!("unset {name}"),
            });
        }
    }
    let other = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
        .iter()
        .find_map(|name| Some((name, variable(variables, name)?)));
    if let Some((name, value)) = other.filter(|(_, value)| *value != profile) {
        found.push(Rival {
            place: "the environment".into(),
            what: format!("{name}={}", value.to_string_lossy()),
            fix: format!("set it to {profile}, or give --profile {profile}"),
        });
    }
    let section = AwsFile::Credentials.section(profile);
    if credentials.value(&section, "aws_access_key_id").is_some() {
        found.push(Rival {
            place: format!("{} [{section}]", credentials_file.display()),
            what: "aws_access_key_id".into(),
            fix: "remove the key from that section, and disable it where it was made".into(),
        });
    }
    if credentials.value(&section, "credential_process").is_some() {
        found.push(Rival {
            place: format!("{} [{section}]", credentials_file.display()),
            what: "another credential_process".into(),
            fix: "remove it from that section".into(),
        });
    }
    // SDKs read both files as one: what names somebody else wins from either.
    let files = [
        (config_file, config, AwsFile::Config.section(profile)),
        (
            credentials_file,
            credentials,
            AwsFile::Credentials.section(profile),
        ),
    ];
    for (file, sections, section) in files {
        for setting in OTHER_SOURCES {
            if sections.value(&section, setting).is_some() {
                found.push(Rival {
                    place: format!("{} [{section}]", file.display()),
                    what: setting.into(),
                    fix: "remove it from the profile".into(),
                });
            }
        }
    }
    let section = AwsFile::Config.section(profile);
    if config.value(&section, "aws_access_key_id").is_some() {
        found.push(Rival {
            place: format!("{} [{section}]", config_file.display()),
            what: "aws_access_key_id".into(),
            fix: "remove it from the profile".into(),
        });
    }
    found
}

/// A word of a `credential_process` line: SDKs split it at spaces outside double quotes.
fn quoted(word: &str) -> Result<String, Error> {
    if word.contains(['"', '\\', '\n', '\r', '\'']) {
        return Err(Error::Usage(format!(
            "{word:?} cannot be written into a credential_process line: it has quotes, backslashes or line ends"
        )));
    }
    Ok(match word.contains(char::is_whitespace) {
        true => format!("\"{word}\""),
        false => word.to_owned(),
    })
}

fn text_of(path: &Path) -> Result<String, Error> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::Usage(format!(
            "{} is not UTF-8 and cannot be written into the file",
            path.display()
        ))),
    }
}

/// `~/.aws`, for its owner only as the AWS command line makes it.
fn make_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::file("make the directory", path, error))
}

/// What a profile can name in place of its own credentials, and SDKs ask before a `credential_process`.
const OTHER_SOURCES: [&str; 5] = [
    "role_arn",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "login_session",
];
/// The longest name of a profile that is taken: it becomes part of file names in caches of the tools.
const PROFILE_NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], config: &str, credentials: &str) -> Vec<String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let sections = |lines: &str, name: &str| {
            let mut sections = Sections::default();
            let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
            sections.put(name, &lines);
            sections
        };
        let (config, credentials) = (
            sections(config, "profile web"),
            sections(credentials, "web"),
        );
        let places = (Path::new("config"), Path::new("credentials"));
        rivals(
            "web",
            &variables,
            (places.0, &config),
            (places.1, &credentials),
        )
        .into_iter()
        .map(|rival| rival.what)
        .collect()
    }

    #[test]
    fn a_profile_with_nothing_but_its_process_wins() {
        let config = "credential_process = bowline\nregion = r";
        assert_eq!(
            found(&[("AWS_PROFILE", "web")], config, ""),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_key_left_over_is_found_wherever_it_is() {
        let check = |variables: &[(&str, &str)], config, credentials, what: &str| {
            assert_eq!(found(variables, config, credentials), [what]);
        };
        check(
            &[("AWS_ACCESS_KEY_ID", "AKIA")],
            "",
            "",
            "AWS_ACCESS_KEY_ID",
        );
        check(&[("AWS_PROFILE", "other")], "", "", "AWS_PROFILE=other");
        check(&[], "aws_access_key_id = AKIA", "", "aws_access_key_id");
        check(&[], "", "aws_access_key_id = AKIA", "aws_access_key_id");
        check(&[], "role_arn = x", "", "role_arn");
        check(&[], "", "role_arn = x", "role_arn");
        check(
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")],
            "",
            "",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        );
        check(
            &[],
            "",
            "credential_process = x",
            "another credential_process",
        );
    }

    #[test]
    fn an_empty_variable_wins_over_nothing() {
        assert!(found(&[("AWS_ACCESS_KEY_ID", "")], "", "").is_empty());
    }

    #[test]
    fn a_word_with_a_space_is_quoted_and_one_with_a_quote_refused() {
        assert_eq!(quoted("/etc/web 1/x").unwrap(), "\"/etc/web 1/x\"");
        assert_eq!(quoted("/etc/web/x").unwrap(), "/etc/web/x");
        assert!(quoted("a\"b").is_err());
    }
}
