//! What a command works with: its options, the world it was given, and a way to print.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_server::{Endpoint, Trust};
use bowline_service::{Clock, Entropy, Time};
use bowline_store_sled::SledOptions;
use serde::Serialize;

use crate::Environment;
use crate::arguments::{Global, OutputFormat};
use crate::caller::{ByCertificate, Connection, Local, Server, default_region};
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::{Home, variable};
use crate::pair::{Pair, PairFiles, certificates_in, read_certificates};
use crate::progress::ProgressLine;

/// What a command works with.
pub(crate) struct Context<'a> {
    global: Global,
    environment: Environment<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(global: Global, environment: Environment<'a>) -> Result<Context<'a>, Error> {
        let global = global.with_environment(&environment.variables)?;
        Ok(Context {
            global,
            environment,
        })
    }

    /// The options every command has, the environment's share included.
    pub(crate) fn global(&self) -> &Global {
        &self.global
    }

    /// The world.
    pub(crate) fn environment(&mut self) -> &mut Environment<'a> {
        &mut self.environment
    }

    /// The current time.
    pub(crate) fn now(&self) -> Time {
        self.environment.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.environment.clock.clone()
    }

    pub(crate) fn entropy(&self) -> Arc<dyn Entropy> {
        self.environment.entropy.clone()
    }

    /// The region to sign for before a server has told its own.
    pub(crate) fn region(&self) -> String {
        default_region(&self.environment.variables)
    }

    /// A path as it was meant where the command was typed.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let joined = self.environment.directory.join(path);
        // Without the dots of `.` and `./web-1`: paths are shown.
        joined.components().collect()
    }

    /// The directory the command was typed in.
    pub(crate) fn directory(&self) -> &Path {
        &self.environment.directory
    }

    /// Reads a file that an argument names; `-` is standard input.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, Error> {
        if path != Path::new("-") {
            return files::read(&self.path(path));
        }
        let mut bytes = Vec::new();
        self.environment
            .input
            .read_to_end(&mut bytes)
            .map_err(|error| Error::file("read", Path::new("standard input"), error))?;
        Ok(bytes)
    }

    /// Reads a text file that an argument names.
    pub(crate) fn read_text(&mut self, path: &Path) -> Result<String, Error> {
        String::from_utf8(self.read(path)?).map_err(|_| {
            let reason = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8");
            Error::file("read", path, reason)
        })
    }

    /// Reads the password of a key file from the file that an argument names.
    pub(crate) fn password(
        &mut self,
        file: Option<&Path>,
    ) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, Error> {
        let Some(file) = file else { return Ok(None) };
        let bytes = zeroize::Zeroizing::new(self.read(file)?);
        Ok(Some(files::first_line(&bytes)))
    }

    /// Reads the certificates of a file that an argument names, PEM or DER: at least one.
    pub(crate) fn read_certificates(&mut self, path: &Path) -> Result<Vec<Vec<u8>>, Error> {
        let bytes = self.read(path)?;
        certificates_in(path, &bytes)
    }

    /// The home on this machine.
    pub(crate) fn home(&self) -> Result<Home, Error> {
        let variables = &self.environment.variables;
        Home::find(
            self.global.home.as_deref(),
            &self.environment.directory,
            variables,
        )
    }

    /// The place for a new home.
    pub(crate) fn place_for_home(&self) -> Result<Home, Error> {
        let variables = &self.environment.variables;
        Home::choose(
            self.global.home.as_deref(),
            &self.environment.directory,
            variables,
        )
    }

    /// The place for a home that is named: with --home, or in the environment.
    pub(crate) fn named_place(&self) -> Result<PathBuf, Error> {
        let named = self.global.home.clone();
        let named = named
            .or_else(|| variable(&self.environment.variables, "BOWLINE_HOME").map(PathBuf::from));
        match named {
            Some(path) => Ok(self.path(&path)),
            None => Err(Error::Usage(
                "say where the home shall be: --home DIR, a directory that does not exist or is empty"
                    .into(),
            )),
        }
    }

    /// What it takes to open a home.
    pub(crate) fn local(&self, home: Home) -> Local {
        Local {
            home,
            clock: self.clock(),
            entropy: self.entropy(),
            password_file: self
                .global
                .key_password_file
                .as_deref()
                .map(|file| self.path(file)),
            variables: self.environment.variables.clone(),
        }
    }

    /// Where operations run: the home on this machine, or the server that was named.
    pub(crate) fn connect(&mut self) -> Result<Connection, Error> {
        let Some(endpoint) = self.endpoint()? else {
            return self.connect_locally();
        };
        let server = match self.global.as_certificate.clone() {
            None => Server::new(endpoint),
            Some(certificate) => {
                let pair = PairFiles::around(&self.path(&certificate)).load(None)?;
                Server::as_operator(endpoint, self.signing(pair), self.global.as_role.as_deref())?
            }
        };
        Ok(Connection::remote(server))
    }

    /// Where operations about a certificate run that its holder may ask for himself: at a server that was named,
    /// he asks with its key, unless an operator's is given.
    pub(crate) fn connect_as(&mut self, pair: &Arc<Pair>) -> Result<Connection, Error> {
        match self.endpoint()? {
            Some(endpoint) if self.global.as_certificate.is_none() => {
                let signing = self.signing(pair.clone());
                Ok(Connection::remote(Server::as_certificate(
                    endpoint, signing,
                )))
            }
            Some(_) | None => self.connect(),
        }
    }

    fn signing(&self, pair: impl Into<Arc<Pair>>) -> ByCertificate {
        ByCertificate {
            pair: pair.into(),
            region: self.region(),
            clock: self.clock(),
        }
    }

    fn connect_locally(&mut self) -> Result<Connection, Error> {
        let local = self.local(self.home()?);
        let (connection, notes) = {
            let mut line = self.progress();
            Connection::local(local, &SledOptions::one_shot(), &mut |progress| {
                line.show(&progress);
            })?
        };
        for note in notes {
            self.hint(format_args!("the home was repaired: {note}"));
        }
        Ok(connection)
    }

    /// The server that was named.
    fn endpoint(&self) -> Result<Option<Endpoint>, Error> {
        match &self.global.server {
            Some(url) => {
                let trust = self.trust()?;
                if trust.is_none() && url.starts_with("https://") {
                    return Err(Error::Usage(format!(
                        "--server {url} is believed by its root: give --root FILE (`bowline ca bundle` prints it) or --fingerprint HASH"
                    )));
                }
                Ok(Some(Endpoint::parse(url, trust)?))
            }
            None => Ok(None),
        }
    }

    /// Whose certificates a server is believed by, if any were named.
    pub(crate) fn trust(&self) -> Result<Option<Trust>, Error> {
        if let Some(root) = &self.global.root {
            return Ok(Some(Trust::Roots(read_certificates(&self.path(root))?)));
        }
        self.global
            .fingerprint
            .as_deref()
            .map(fingerprint)
            .transpose()
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> OutputFormat {
        self.global.output_format(&self.environment.variables)
    }

    /// Prints a result: the text for people, the value for programs.
    pub(crate) fn print(
        &mut self,
        value: &impl Serialize,
        text: impl Display,
    ) -> Result<Exit, Error> {
        match self.format() {
            OutputFormat::Text => self.write(text)?,
            OutputFormat::Json => self.write(format_args!("{}\n", json(value)?))?,
        }
        Ok(Exit::SUCCESS)
    }

    /// Prints a list: the text for people, a line for each value for programs.
    pub(crate) fn print_list(
        &mut self,
        values: &[impl Serialize],
        text: impl Display,
    ) -> Result<Exit, Error> {
        match self.format() {
            OutputFormat::Text => self.write(text)?,
            OutputFormat::Json => {
                for value in values {
                    self.write(format_args!("{}\n", json(value)?))?;
                }
            }
        }
        Ok(Exit::SUCCESS)
    }

    /// Writes to standard output as it is.
    pub(crate) fn write(&mut self, text: impl Display) -> Result<(), Error> {
        write!(self.environment.output, "{text}").map_err(Error::output)
    }

    /// The line that tells how far long work has come.
    pub(crate) fn progress(&mut self) -> ProgressLine<'_> {
        self.streams().1
    }

    /// Standard output, and the line that tells how far long work has come.
    pub(crate) fn streams(&mut self) -> (&mut dyn Write, ProgressLine<'_>) {
        let visible = self.environment.messages_are_terminal && self.format() == OutputFormat::Text;
        let Environment {
            output, messages, ..
        } = &mut self.environment;
        (&mut **output, ProgressLine::new(&mut **messages, visible))
    }

    /// Tells something beside the result. What cannot be told is not worth failing for.
    pub(crate) fn hint(&mut self, text: impl Display) {
        let _ = writeln!(self.environment.messages, "{text}");
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        bowline_service::Error::internal(format!("a result could not be encoded: {error}")).into()
    })
}

/// Reads a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons.
fn fingerprint(text: &str) -> Result<Trust, Error> {
    let refuse = || {
        Error::Usage(format!(
            "--fingerprint {text}: it is a SHA-256 in 64 hexadecimal digits"
        ))
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return Err(refuse());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else {
            return Err(refuse());
        };
        // Cannot overflow: two digits below 16.
        *byte = (high * 16 + low) as u8;
    }
    Ok(Trust::Fingerprint(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_with_and_without_colons() {
        let plain = "0aff".repeat(16);
        let colons: Vec<&str> = (0..32)
            .map(|index| &plain[2 * index..2 * index + 2])
            .collect();
        for text in [plain.clone(), colons.join(":"), plain.to_uppercase()] {
            assert!(
                matches!(fingerprint(&text), Ok(Trust::Fingerprint(bytes)) if bytes[..2] == [0x0a, 0xff]),
                "{text}"
            );
        }
    }

    #[test]
    fn a_short_fingerprint_is_none() {
        for text in ["", "0aff", &"zz".repeat(32)] {
            assert!(matches!(fingerprint(text), Err(Error::Usage(_))), "{text}");
        }
    }
}
