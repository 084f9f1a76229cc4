//! `bowline host update`: keeps the credentials of one profile in AWS's credentials file good.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_server::metadata::{CredentialSource, Provided};
use bowline_service::format_time;
use clap::Args;

use crate::aws_files::AwsFile;
use crate::commands::serve::{LogFormat, start_log};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::keeper::{Keeper, Source};
use crate::pair::lock_directory;

/// Keep the credentials of a profile in the credentials file good
///
/// Writes $AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials: in one step, readable by its owner only, and every other
/// profile, setting and comment stays as it is. Trades again ahead of the end, and at once when the certificate is
/// replaced; a trade that fails is told on standard error and tried again. Ends only when it is told to, or after one
/// trade with --once.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  bowline host update /etc/web/web-1 --server https://ca.example:8443 --root /etc/web/roots.pem --profile web")]
pub(crate) struct Update {
    #[command(flatten)]
    source: Source,

    /// The profile in the file
    #[arg(long, value_name = "PROFILE", default_value = "default", value_parser = profile, help_heading = "File")]
    profile: String,

    /// Trade and write once
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", default_value = "false", default_missing_value = "true", hide_default_value = true, help_heading = "File")]
    once: bool,

    /// How to log to standard error: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        help_heading = "File"
    )]
    log_format: LogFormat,
}

fn profile(text: &str) -> Result<String, String> {
    let fits = |character: char| !character.is_control() && !"[]".contains(character);
    match !text.trim().is_empty() && text.trim() == text && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a profile's name")),
    }
}

impl Update {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let directory = context.directory().to_owned();
        let variables = &context.environment().variables;
        let file = AwsFile::Credentials.path(variables, &directory)?;
        let keeper = self.source.keeper(context)?;
        if self.once {
            keeper.first()?;
            let provided = current(&keeper)?;
            write(&file, &self.profile, &provided)?;
            return Ok(Exit::SUCCESS);
        }
        start_log(self.log_format);
        keeper.first_if_reachable()?;
        let mut written: Option<String> = None;
        loop {
            // What went wrong was told by the keeper.
            if let Ok(provided) = keeper.current()
                && written.as_ref() != Some(&provided.access_key_id)
            {
                match write(&file, &self.profile, &provided) {
                    Ok(()) => {
                        tracing::info!(
                            "wrote credentials of {} into {}, good until {}",
                            provided.role_name,
                            file.display(),
                            format_time(provided.expiration)
                        );
                        written = Some(provided.access_key_id);
                    }
                    Err(error) => tracing::warn!("{error} [{}]", error.code()),
                }
            }
            std::thread::sleep(LOOKED_AT_EVERY);
        }
    }
}

fn current(keeper: &Keeper) -> Result<Provided, Error> {
    keeper.current().map_err(|why| {
        bowline_service::Error::internal(format!("credentials just traded are gone: {why}")).into()
    })
}

/// Puts credentials into a profile of the file.
fn write(file: &Path, profile: &str, provided: &Provided) -> Result<(), Error> {
    // Behind a link is the file that is meant; a file in the place of the link would be another one.
    let file: PathBuf = match fs::canonicalize(file) {
        Ok(file) => file,
        Err(_) => {
            files::create_directory(files::directory_of(file))?;
            file.to_owned()
        }
    };
    // Others of us, for other profiles, wait for each other.
    let _turn = lock_directory(&file)?;
    let sections = AwsFile::read(&file)?;
    let settings = [
        ("aws_access_key_id", provided.access_key_id.as_str()),
        ("aws_secret_access_key", provided.secret_access_key.reveal()),
        ("aws_session_token", provided.session_token.reveal()),
    ];
    let text = zeroize::Zeroizing::new(with_settings(sections.text(), profile, &settings));
    let failed = |error| Error::file("write", &file, error);
    let mut unfinished = files::unfinished(&file, TEMPORARY_PREFIX).map_err(failed)?;
    keep_owner(unfinished.as_file(), &file).map_err(failed)?;
    unfinished.write_all(text.as_bytes()).map_err(failed)?;
    unfinished.as_file().sync_all().map_err(failed)?;
    files::persist(unfinished, &file, true)
}

/// Gives a new file to the owner of the one it replaces, before there is anything in it: where root keeps the
/// credentials of somebody else good, he shall go on reading them.
fn keep_owner(new: &File, old: &Path) -> io::Result<()> {
    let Ok(old) = fs::metadata(old) else {
        return Ok(());
    };
    if new.metadata()?.uid() != old.uid() {
        // Nobody but root may, and to others it is as if the file were new.
        let _ = std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()));
    }
    Ok(())
}

/// The text with these settings in the section of this name. Every other line stays, byte for byte.
fn with_settings(text: &str, section: &str, settings: &[(&str, &str)]) -> String {
    let end = match text.contains("\r\n") {
        true => "\r\n",
        false => "\n",
    };
    let new: String = settings
        .iter()
        .map(|(name, value)| format!("{name} = {value}{end}"))
        .collect();
    let mut written = String::with_capacity(text.len() + new.len());
    let (mut inside, mut done) = (false, false);
    // How far the setting was set in that is replaced; lines set in further belong to it.
    let mut replaced: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let set_in = line.len() - line.trim_start().len();
        if replaced.is_some_and(|depth| set_in > depth && !bare.is_empty()) {
            continue;
        }
        replaced = None;
        if let Some(name) = heading(bare) {
            inside = name == section;
            written.push_str(line);
            if inside && !done {
                if !line.ends_with('\n') {
                    written.push_str(end);
                }
                written.push_str(&new);
                done = true;
            }
            continue;
        }
        let name = bare.split(['=', ':']).next().unwrap_or_default().trim();
        let is_setting = settings
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        if inside && is_setting && !bare.starts_with(['#', ';']) {
            replaced = Some(set_in);
            continue;
        }
        written.push_str(line);
    }
    if !done {
        if !written.is_empty() && !written.ends_with('\n') {
            written.push_str(end);
        }
        if !written.is_empty() && !written.ends_with("\n\n") && !written.ends_with("\r\n\r\n") {
            written.push_str(end);
        }
        written.push_str(&format!("[{section}]{end}{new}"));
    }
    written
}

fn heading(bare: &str) -> Option<&str> {
    Some(bare.strip_prefix('[')?.split_once(']')?.0.trim())
}

/// How the names of files begin that are not whole yet.
const TEMPORARY_PREFIX: &str = ".bowline-";
/// Often enough that credentials traded behind the last look are written well before the old ones end.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_service::{Secret, parse_time};
    use std::os::unix::fs::PermissionsExt;

    const NEW: [(&str, &str); 2] = [("aws_access_key_id", "NEW"), ("aws_session_token", "T")];

    #[track_caller]
    fn check(before: &str, after: &str) {
        assert_eq!(with_settings(before, "web", &NEW), after);
        // Once more changes nothing.
        assert_eq!(with_settings(after, "web", &NEW), after);
    }

    #[test]
    fn an_empty_file_gets_the_profile() {
        check(
            "",
            "[web]\naws_access_key_id = NEW\naws_session_token = T\n",
        );
    }

    #[test]
    fn a_new_profile_comes_last() {
        check(
            "# mine\n[other]\naws_access_key_id=OLD",
            "# mine\n[other]\naws_access_key_id=OLD\n\n[web]\naws_access_key_id = NEW\naws_session_token = T\n",
        );
    }

    #[test]
    fn settings_are_replaced_and_all_else_stays() {
        check(
            "[default]\naws_access_key_id = A\n\n# for the web\n[web]\n# old\nAWS_ACCESS_KEY_ID=OLD\n  and more\nregion = r\n#aws_session_token = kept\naws_session_token : OLD\n\n[other]\naws_session_token = B\n",
            "[default]\naws_access_key_id = A\n\n# for the web\n[web]\naws_access_key_id = NEW\naws_session_token = T\n# old\nregion = r\n#aws_session_token = kept\n\n[other]\naws_session_token = B\n",
        );
    }

    #[test]
    fn line_ends_of_another_system_stay() {
        check(
            "[web]\r\nregion = r\r\naws_session_token = OLD\r\n[other]\r\n",
            "[web]\r\naws_access_key_id = NEW\r\naws_session_token = T\r\nregion = r\r\n[other]\r\n",
        );
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        assert!(profile("web").is_ok() && profile("my web").is_ok());
        for name in ["", " web", "web]", "a\nb"] {
            assert!(profile(name).is_err(), "{name:?}");
        }
    }

    fn provided() -> Provided {
        let noon = parse_time("2026-06-01T12:00:00Z").unwrap();
        Provided {
            access_key_id: "ASIA1".into(),
            secret_access_key: Secret::from("the secret".to_owned()),
            session_token: Secret::from("the token".to_owned()),
            expiration: noon,
            obtained_at: noon,
            role_name: "web".into(),
        }
    }

    #[test]
    fn a_file_of_somebody_else_stays_his() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials");
        fs::write(&file, "").unwrap();
        // Only root may give files away.
        if std::os::unix::fs::chown(&file, Some(12_345), Some(12_346)).is_err() {
            return;
        }
        write(&file, "web", &provided()).unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 12_346));
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_file_is_its_owners_and_a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new/.aws/credentials");
        write(&file, "web", &provided()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);

        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        write(&link, "other", &provided()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("[web]") && text.contains("[other]"), "{text}");
        assert_eq!(mode(&file), 0o600);
    }
}
