//! The two files of AWS's tools, `config` and `credentials`: where they are, and changing one section of one of them
//! while every other byte stays.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use crate::home::variable;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AwsFile {
    /// `~/.aws/config`: its sections are called `profile NAME`, but for `default`.
    Config,
    /// `~/.aws/credentials`: its sections are called as the profile is.
    Credentials,
}

impl AwsFile {
    /// Where the SDKs look for it.
    pub(crate) fn path(
        self,
        variables: &BTreeMap<OsString, OsString>,
        directory: &Path,
    ) -> Result<PathBuf, Error> {
        let (name, file) = match self {
            AwsFile::Config => ("AWS_CONFIG_FILE", ".aws/config"),
            AwsFile::Credentials => ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        };
        if let Some(path) = variable(variables, name) {
            return Ok(directory.join(path));
        }
        match variable(variables, "HOME") {
            Some(home) => Ok(Path::new(home).join(file)),
            None => Err(Error::Usage(format!(
                "neither HOME nor {name} is set: say with {name} where the file shall be"
            ))),
        }
    }

    /// What the section of a profile is called.
    pub(crate) fn section(self, profile: &str) -> String {
        match self {
            AwsFile::Config if profile != "default" => format!("profile {profile}"),
            AwsFile::Config | AwsFile::Credentials => profile.to_owned(),
        }
    }

    /// The file as it is; empty if there is none.
    pub(crate) fn read(path: &Path) -> Result<Sections, Error> {
        if !path.exists() {
            return Ok(Sections::default());
        }
        let text = String::from_utf8(files::read(path)?).map_err(|_| {
            let reason = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8");
            Error::file("read", path, reason)
        })?;
        Ok(Sections { text })
    }
}

/// The text of one of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sections {
    text: String,
}

impl Sections {
    /// The text as it is to be written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a section of this name.
    pub(crate) fn has(&self, section: &str) -> bool {
        !self.places(section).is_empty()
    }

    /// A setting in the sections of this name: the last one counts, as for the SDKs.
    pub(crate) fn value(&self, section: &str, setting: &str) -> Option<&str> {
        let settings = self.places(section).into_iter().flat_map(|place| {
            self.text[place]
                .lines()
                .skip(1)
                // Lines that are set in belong to the setting above them.
                .filter(|line| !line.starts_with([' ', '\t', '#', ';']))
                .filter_map(|line| line.split_once('='))
        });
        settings
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case(setting))
            .map(|(_, value)| value.trim())
            .last()
    }

    /// Puts a section of these lines in the place of the one of this name, or behind all others.
    pub(crate) fn put(&mut self, section: &str, lines: &[String]) {
        let mut whole = format!("[{section}]\n");
        for line in lines {
            whole.push_str(line);
            whole.push('\n');
        }
        let places = self.places(section);
        let Some((first, others)) = places.split_first() else {
            if !self.text.is_empty() && !self.text.ends_with('\n') {
                self.text.push('\n');
            }
            if !self.text.is_empty() && !self.text.ends_with("\n\n") {
                self.text.push('\n');
            }
            self.text.push_str(&whole);
            return;
        };
        for place in others.iter().rev() {
            self.text.replace_range(place.clone(), "");
        }
        let kept = trailing(&self.text[first.clone()]).to_owned();
        self.text.replace_range(first.clone(), &(whole + &kept));
    }

    /// Where the sections of this name are, each from its heading to the next one.
    fn places(&self, section: &str) -> Vec<Range<usize>> {
        let mut headings = Vec::new();
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some(name) = heading(line) {
                headings.push((at, words(name) == words(section)));
            }
            at += line.len();
        }
        let ends = headings.iter().skip(1).map(|(at, _)| *at).chain([at]);
        let places = headings.iter().zip(ends);
        places
            .filter(|((_, named), _)| *named)
            .map(|((begin, _), end)| *begin..end)
            .collect()
    }
}

/// The name in a heading line, if it is one.
fn heading(line: &str) -> Option<&str> {
    Some(line.strip_prefix('[')?.split_once(']')?.0)
}

/// A name as it is compared: `profile  web` and `profile "web"` are `profile web`.
fn words(name: &str) -> Vec<&str> {
    name.split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']))
        .collect()
}

/// The empty lines and comments at the end of a section: they are about the next one.
fn trailing(section: &str) -> &str {
    let mut rest = section;
    let mut at = section.len();
    while let Some(line) = rest.split_inclusive('\n').next_back() {
        let bare = line.trim();
        if !(bare.is_empty() || bare.starts_with(['#', ';'])) {
            break;
        }
        at -= line.len();
        rest = &section[..at];
    }
    &section[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Sections {
        Sections { text: text.into() }
    }

    const FILE: &str = "# mine\n[default]\nregion = us-east-1\n\n# web servers\n[profile web]\nregion=eu-west-1\ns3 =\n  region = none\n\n# the last\n[profile batch]\nrole_arn = x\n";

    #[test]
    fn a_setting_is_found_in_its_section_only() {
        let file = sections(FILE);
        assert_eq!(file.value("profile web", "region"), Some("eu-west-1"));
        assert_eq!(file.value("profile  \"web\"", "REGION"), Some("eu-west-1"));
        assert_eq!(file.value("profile batch", "region"), None);
        assert_eq!(file.value("web", "region"), None);
        assert!(file.has("default") && !file.has("profile none"));
    }

    #[test]
    fn a_section_is_replaced_and_every_other_byte_stays() {
        let mut file = sections(FILE);
        file.put("profile web", &["a = 1".into()]);
        assert_eq!(
            file.text(),
            "# mine\n[default]\nregion = us-east-1\n\n# web servers\n[profile web]\na = 1\n\n# the last\n[profile batch]\nrole_arn = x\n"
        );
    }

    #[test]
    fn a_new_section_comes_last_behind_an_empty_line() {
        let mut file = sections("[default]\nregion = r");
        file.put("profile web", &["a = 1".into(), "b = 2".into()]);
        assert_eq!(
            file.text(),
            "[default]\nregion = r\n\n[profile web]\na = 1\nb = 2\n"
        );
        let mut empty = Sections::default();
        empty.put("default", &[]);
        assert_eq!(empty.text(), "[default]\n");
    }

    #[test]
    fn a_section_that_is_there_twice_becomes_one() {
        let mut file = sections("[web]\na = 1\n[other]\nb = 2\n[web]\nc = 3\n");
        assert_eq!(file.value("web", "c"), Some("3"));
        file.put("web", &["d = 4".into()]);
        assert_eq!(file.text(), "[web]\nd = 4\n[other]\nb = 2\n");
    }
}
