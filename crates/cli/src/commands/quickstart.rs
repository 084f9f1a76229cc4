//! `bowline quickstart`: the whole story, told by really running it.
//!
//! Every command goes through [`crate::run`], as if it had been typed, with a home and a directory of its own;
//! what is told of it comes from its JSON.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_server::{Config, Endpoint, Running, operations};
use bowline_service::{
    Authorization, Authorize, Clock, Entropy, Secret, SessionCredentials, WireRequest, parse_time,
    sign_request,
};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Environment;
use crate::arguments::OutputFormat;
use crate::caller::Local;
use crate::commands::serve;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::Home;
use crate::render::shell_word;

/// Tell the whole story on a throw-away home: from an empty directory to credentials, and back
///
/// Makes a home, a role and a certificate, serves them, trades the certificate over TLS, uses the credentials for
/// something allowed and something not, narrows them with a session policy, revokes the certificate, and shows what
/// no longer works. Nothing is asked, nothing is left behind.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Keep everything in this directory, which must be new or empty: the home is DIR/home
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Quickstart {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let began = Instant::now();
        // Goes away when dropped, whatever happens before.
        let (directory, throw_away) = match &self.keep {
            Some(directory) => (kept(&context.path(directory))?, None),
            None => {
                let directory = tempfile::Builder::new()
                    .prefix("bowline-quickstart-")
                    .tempdir();
                let directory = directory.map_err(|error| {
                    Error::file("create a directory in", &std::env::temp_dir(), error)
                })?;
                (directory.path().to_owned(), Some(directory))
            }
        };
        let mut story = Story {
            context,
            directory: directory.clone(),
            told: 0,
        };
        story.say(format_args!("Bowline, from an empty directory to temporary credentials and back, really run in {}\n", directory.display()))?;
        tell(&mut story)?;
        let seconds = began.elapsed().as_secs_f64();
        let end = match &self.keep {
            Some(directory) => format!("Kept in {}; the server has ended.", directory.display()),
            None => "Nothing is left of it.".into(),
        };
        story.say(format_args!("\nTold in {seconds:.2} s. {end} Try next:\n"))?;
        for command in next_commands(self.keep.as_deref()) {
            story.say(format_args!("  {command}"))?;
        }
        drop(throw_away);
        Ok(Exit::SUCCESS)
    }
}

fn kept(directory: &Path) -> Result<PathBuf, Error> {
    files::create_directory(directory)?;
    let mut entries =
        fs::read_dir(directory).map_err(|error| Error::file("read", directory, error))?;
    match entries.next() {
        Some(_) => Err(Error::HomeOccupied {
            home: directory.to_owned(),
        }),
        None => Ok(directory.to_owned()),
    }
}

fn next_commands(kept: Option<&Path>) -> Vec<String> {
    match kept {
        None => vec![
            "bowline quickstart --keep demo      the same, to look around in".into(),
            "bowline init                        a home of your own".into(),
            "bowline --help                      everything else".into(),
        ],
        Some(directory) => vec![
            format!(
                "cd {} && export BOWLINE_HOME=home",
                shell_word(&directory.display().to_string())
            ),
            "bowline session explain web-1 --role s3-reader".into(),
            "bowline issue web-1 --role s3-reader --force && bowline credentials web-1".into(),
        ],
    }
}

/// The steps, in order.
fn tell(story: &mut Story<'_, '_>) -> Result<(), Error> {
    // 1. An authority, a role, a certificate.
    let init = story.command("bowline init")?;
    let (subjects, keys) = (
        texts(&init["authorities"], "subject"),
        texts(&init["authorities"], "key_algorithm"),
    );
    let authorities: Vec<String> = subjects
        .iter()
        .zip(keys)
        .map(|(subject, key)| format!("{subject} ({key})"))
        .collect();
    let authorities = authorities.join(", ");
    story.made(format_args!(
        "{authorities}; trust anchor and profile `default`; keys sealed under home/unseal.key"
    ))?;

    let role = story
        .command("bowline role create s3-reader --allow s3:GetObject --on arn:aws:s3:::data/*")?;
    story.made(format_args!(
        "{}, for certificates whose OU names it",
        text(&role, "arn")
    ))?;

    let issued = story.command("bowline issue web-1 --role s3-reader")?;
    story.made(format_args!(
        "web-1.crt, web-1.chain.crt, web-1.key: {}, until {}",
        text(&issued, "subject"),
        text(&issued, "not_after")
    ))?;

    // 2. A server, and credentials over real TLS.
    let bundle = story.command("bowline ca bundle > roots.pem")?;
    story.write("roots.pem", text(&bundle, "pem"))?;
    story.made(format_args!(
        "the root, SHA-256 {}",
        texts(&bundle["fingerprints"], "").join(", ")
    ))?;

    let server = story.serve()?;
    let url = server
        .tls
        .map(|address| format!("https://{address}"))
        .unwrap_or_default();
    let plain = server
        .plain
        .map(|address| address.to_string())
        .unwrap_or_default();

    let trade = format!("bowline credentials web-1 --server {url} --root roots.pem");
    let first = credentials(&story.command(&trade)?)?;
    story.made(format_args!(
        "{}, until {}: web-1.key signed POST /sessions (AWS4-X509) over TLS",
        first.access_key_id,
        bowline_service::format_time(first.expiration)
    ))?;

    // 3. What they are good for, and what not.
    let endpoint = Endpoint::Plain { authority: plain };
    let read = "arn:aws:s3:::data/report.csv";
    let allowed = story.authorize(&endpoint, "read.json", &first, "s3:GetObject", read)?;
    story.verdict("allow", &allowed, "ALLOWED")?;
    let denied = story.authorize(&endpoint, "write.json", &first, "s3:PutObject", read)?;
    story.verdict("implicit_deny", &denied, "DENIED")?;

    // 4. A session policy narrows every session from now on.
    story.write("public-only.json", PUBLIC_ONLY)?;
    story.command("bowline profile update default --session-policy-file public-only.json")?;
    story.made("sessions from now on may s3:GetObject on arn:aws:s3:::data/public/* at most")?;
    let narrowed = credentials(&story.command(&trade)?)?;
    story.made(format_args!("{}, a fresh session", narrowed.access_key_id))?;
    let denied = story.authorize(
        &endpoint,
        "read-again.json",
        &narrowed,
        "s3:GetObject",
        read,
    )?;
    story.verdict("implicit_deny", &denied, "DENIED")?;

    // 5. The end of it.
    let revoked = story.command("bowline cert revoke web-1 --reason keyCompromise")?;
    let serials: Vec<String> = texts(&revoked["revoked"], "serial")
        .iter()
        .map(|serial| format!("0x{serial}"))
        .collect();
    story.made(format_args!(
        "{} is revoked, and the sessions it was traded for end with it",
        serials.join(", ")
    ))?;
    for (file, session) in [("first.json", &first), ("narrowed.json", &narrowed)] {
        let refused = story.authorize(&endpoint, file, session, "s3:GetObject", read)?;
        story.verdict("unauthenticated", &refused, "REFUSED")?;
    }
    let refused = story.refused_command(&trade)?;
    story.made(format_args!("REFUSED: {refused}"))?;
    story.made("a new certificate: bowline issue web-1 --role s3-reader --force")?;
    server.stop();
    Ok(())
}

/// Runs the steps, and tells them.
struct Story<'s, 'a> {
    context: &'s mut Context<'a>,
    directory: PathBuf,
    told: usize,
}

/// A step for programs.
#[derive(Serialize)]
struct Step<'t> {
    step: usize,
    command: &'t str,
    milliseconds: u128,
}

impl Story<'_, '_> {
    /// Runs a command line, which must succeed, and gives its JSON.
    fn command(&mut self, line: &str) -> Result<Value, Error> {
        let (exit, output, messages, took) = self.run(line);
        self.step(line, took)?;
        if exit != Exit::SUCCESS {
            return Err(Error::Story {
                step: line.into(),
                what: messages.trim().into(),
            });
        }
        serde_json::from_str(&output).map_err(|error| Error::Story {
            step: line.into(),
            what: error.to_string(),
        })
    }

    /// Runs a command line, which must be refused, and gives the message.
    fn refused_command(&mut self, line: &str) -> Result<String, Error> {
        let (exit, _, messages, took) = self.run(line);
        self.step(line, took)?;
        let error: Value = serde_json::from_str(&messages).unwrap_or_default();
        match (exit == Exit::SUCCESS, error["error"]["message"].as_str()) {
            (false, Some(message)) => Ok(format!("{message} (exit {})", exit.code())),
            (true | false, _) => Err(Error::Story {
                step: line.into(),
                what: "it should have been refused".into(),
            }),
        }
    }

    fn run(&mut self, line: &str) -> (Exit, String, String, Duration) {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let environment = Environment {
            clock: self.context.clock(),
            entropy: self.context.entropy(),
            input: &mut std::io::empty(),
            output: &mut output,
            messages: &mut messages,
            messages_are_terminal: false,
            variables: self.variables(),
            directory: self.directory.clone(),
        };
        // A redirection is the shell's; what it would write, the story writes.
        let command = line.split(" > ").next().unwrap_or(line);
        let began = Instant::now();
        let exit = crate::run(command.split(' '), environment);
        let took = began.elapsed();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (exit, text(output), text(messages), took)
    }

    fn variables(&self) -> BTreeMap<OsString, OsString> {
        let home = self.directory.join("home");
        BTreeMap::from([
            ("BOWLINE_HOME".into(), home.into()),
            ("BOWLINE_OUTPUT".into(), "json".into()),
        ])
    }

    /// Serves the home in this process, on free ports of this machine.
    fn serve(&mut self) -> Result<Running, Error> {
        let began = Instant::now();
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (self.context.clock(), self.context.entropy());
        let variables = self.variables();
        let home = Home::find(None, &self.directory, &variables)?;
        let control_socket = Some(home.control_socket());
        let local = Local {
            home,
            clock,
            entropy,
            password_file: None,
            variables,
        };
        let (service, _) = serve::open(&local, &mut |_| {})?;
        let loopback = Some(([127, 0, 0, 1], 0).into());
        let names = serve::server_names(&service, &[], [loopback, None]);
        let running = bowline_server::serve(
            service,
            Config {
                tls: loopback,
                plain: loopback,
                control_socket,
                names,
                publish_events: false,
            },
        )?;
        self.step(
            "bowline serve --listen 127.0.0.1:0 --plain-listen 127.0.0.1:0 &",
            began.elapsed(),
        )?;
        let (tls, plain) = (
            running.tls.map(|at| format!("https://{at}")),
            running.plain.map(|at| format!("http://{at}")),
        );
        let urls: Vec<String> = tls.into_iter().chain(plain).collect();
        self.made(format_args!(
            "{}, with a certificate of its own CA",
            urls.join(" and ")
        ))?;
        Ok(running)
    }

    /// Has the server decide about a request that is really signed with credentials, as a relying service would.
    fn authorize(
        &mut self,
        endpoint: &Endpoint,
        file: &str,
        credentials: &SessionCredentials,
        action: &str,
        resource: &str,
    ) -> Result<Authorization, Error> {
        let mut request = WireRequest {
            method: if action == "s3:GetObject" {
                "GET"
            } else {
                "PUT"
            }
            .into(),
            target: format!("/{}", resource.trim_start_matches("arn:aws:s3:::")),
            headers: vec![("host".into(), "s3.example".into())],
            body: Vec::new(),
        };
        sign_request(
            &mut request,
            credentials,
            "us-east-1",
            "s3",
            self.context.now(),
        )?;
        let question = Authorize {
            method: request.method,
            target: request.target,
            headers: request.headers,
            payload_sha256: Some(SHA256_OF_NOTHING.into()),
            action: Some(action.into()),
            resource: Some(resource.into()),
            tls: true,
            // A denial says which policy came nearest to allowing.
            explain: true,
            ..Authorize::default()
        };
        let document = serde_json::to_string(&question).map_err(|error| Error::Story {
            step: file.into(),
            what: error.to_string(),
        })?;
        files::create_secret(&self.directory.join(file), document.as_bytes())?;
        let began = Instant::now();
        let answer = operations::call(endpoint, None, &question)?;
        let line = format!(
            "curl -d @{file} http://{}/v1/authorize",
            endpoint.authority()
        );
        self.step(&line, began.elapsed())?;
        self.made(format_args!(
            "may whoever signed this {action} on {resource}?"
        ))?;
        Ok(answer)
    }

    /// Tells a decision, which must be the one the story is about.
    fn verdict(&mut self, expected: &str, answer: &Authorization, word: &str) -> Result<(), Error> {
        if answer.decision != expected {
            let what = format!(
                "decided {}, not {expected}: {}",
                answer.decision, answer.reason
            );
            return Err(Error::Story {
                step: "authorize".into(),
                what,
            });
        }
        let by: Vec<String> = answer
            .matched
            .iter()
            .map(|matched| format!("statement {} of {}", matched.statement, matched.policy))
            .collect();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" [{}]", by.join(", "))
        };
        self.made(format_args!("{word}: {}{by}", answer.reason))?;
        // Which policy came nearest, and the test that failed.
        let explained = answer.explain.as_deref().unwrap_or_default();
        for line in explained.lines().map(str::trim) {
            if line.starts_with("nearest ") {
                self.made(line)?;
            }
        }
        Ok(())
    }

    /// Tells a step: its number, its command, its time.
    fn step(&mut self, command: &str, took: Duration) -> Result<(), Error> {
        self.told += 1;
        let step = Step {
            step: self.told,
            command,
            milliseconds: took.as_millis(),
        };
        let line = match command.split_once(" --on ") {
            // The shell must not look for files of that name.
            Some((before, resource)) => format!("{before} --on {}", shell_word(resource)),
            None => command.into(),
        };
        let text = format!("{:2}. {line}  ({} ms)\n", self.told, took.as_millis());
        self.context.print(&step, text).map(drop)
    }

    /// Tells what a step made.
    fn made(&mut self, text: impl std::fmt::Display) -> Result<(), Error> {
        match self.context.format() {
            OutputFormat::Text => self.context.write(format_args!("      {text}\n")),
            OutputFormat::Json => self
                .context
                .print(&json!({ "step": self.told, "made": text.to_string() }), "")
                .map(drop),
        }
    }

    /// Tells something that belongs to no step, to people.
    fn say(&mut self, text: impl std::fmt::Display) -> Result<(), Error> {
        match self.context.format() {
            OutputFormat::Text => self.context.write(format_args!("{text}\n")),
            OutputFormat::Json => Ok(()),
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        files::write(&self.directory.join(name), text.as_bytes())
    }
}

/// The credentials that `bowline credentials` printed; what only the exchange tells stays empty.
fn credentials(printed: &Value) -> Result<SessionCredentials, Error> {
    let expiration = parse_time(text(printed, "Expiration"));
    let expiration = expiration.ok_or_else(|| Error::Story {
        step: "credentials".into(),
        what: "no expiration".into(),
    })?;
    Ok(SessionCredentials {
        access_key_id: text(printed, "AccessKeyId").into(),
        secret_access_key: Secret::from(text(printed, "SecretAccessKey").to_owned()),
        session_token: Secret::from(text(printed, "SessionToken").to_owned()),
        expiration,
        assumed_role_arn: String::new(),
        assumed_role_id: String::new(),
        role_arn: String::new(),
        source_identity: String::new(),
        subject_arn: String::new(),
        packed_policy_size: 0,
    })
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

/// A member of every entry of a list; the entries themselves where no member is named.
fn texts<'v>(list: &'v Value, member: &str) -> Vec<&'v str> {
    let entries = list.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            if member.is_empty() {
                entry.as_str()
            } else {
                entry[member].as_str()
            }
        })
        .collect()
}

/// A session policy: reading what is public, and nothing else.
const PUBLIC_ONLY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [{ "Sid": "PublicOnly", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/public/*" }]
}
"#;

/// The hash of a body that is not there.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
