//! The program: commands, wiring and rendering.
//!
//! [`run`] is the whole program but for the process around it: arguments, streams, environment variables,
//! clock and randomness come in as values. It decides nothing about certificates or credentials: a command
//! reads files, builds an operation of the service, has it run wherever the home is (here, behind the control
//! socket, or at a server), and writes what came back.
//!
//! Reading order: [`arguments`] (the options every command has, and the list of commands), [`context`] (what
//! a command works with), [`caller`] (where operations run), [`home`], [`files`], then the commands, one file
//! each.

mod arguments;
mod aws_files;
mod backups;
mod caller;
mod child;
mod commands;
mod context;
mod error;
mod exit;
mod files;
mod home;
mod keeper;
mod keys;
mod pair;
mod progress;
mod render;
mod signing_flags;
mod signing_helper;
mod times;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bowline_service::{Clock, Entropy};

use crate::arguments::Arguments;
use crate::context::Context;
pub use crate::exit::Exit;

/// Everything the program takes from the world around it.
pub struct Environment<'a> {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws serial numbers, nonces and key material of the home.
    pub entropy: Arc<dyn Entropy>,
    /// Standard input. Read only where an argument says so; nothing is ever asked.
    pub input: &'a mut dyn BufRead,
    /// Standard output: results, and nothing else.
    pub output: &'a mut dyn Write,
    /// Standard error: progress, hints and errors.
    pub messages: &'a mut dyn Write,
    /// Whether standard error is a terminal: only then is progress shown.
    pub messages_are_terminal: bool,
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
}

/// Runs one command line, the program's name first, and gives its exit code.
pub fn run<A>(arguments: impl IntoIterator<Item = A>, environment: Environment<'_>) -> Exit
where
    A: Into<OsString> + Clone,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let Environment {
        clock,
        entropy,
        input,
        output,
        messages,
        messages_are_terminal,
        variables,
        directory,
    } = environment;
    let as_helper = signing_helper::is_meant(&arguments);
    let parsed = match as_helper {
        true => signing_helper::parse(&arguments),
        false => arguments::parse(&arguments),
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return explain_usage(&error, &arguments, output, messages),
    };
    let told_at = clock.clone();
    let Arguments { global, command } = parsed;
    let format = global.output_format(&variables);
    // The writers are lent, so that they can still say how it ended.
    let lent = Environment {
        clock,
        entropy,
        input,
        output: &mut *output,
        messages: &mut *messages,
        messages_are_terminal,
        variables,
        directory,
    };
    let outcome = Context::new(global, lent).and_then(|mut context| command.run(&mut context));
    match outcome {
        // A reader that went away (`bowline cert list | head`) has all it wanted.
        Err(error) if error.is_broken_pipe() => Exit::SUCCESS,
        Err(error) if as_helper => {
            signing_helper::report(&error, told_at.now(), messages);
            Exit::SIGNING_HELPER_FAILED
        }
        Err(error) => error.report(format, messages),
        Ok(exit) => match output.flush() {
            Ok(()) => exit,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit,
            Err(error) => error::Error::output(error).report(format, messages),
        },
    }
}

/// Prints help and version to standard output, anything else to standard error.
fn explain_usage(
    error: &clap::Error,
    arguments: &[OsString],
    output: &mut dyn Write,
    messages: &mut dyn Write,
) -> Exit {
    let text = error.render();
    if !error.use_stderr() {
        // Nothing can be said about a standard output that takes no help text.
        let _ = write!(output, "{text}").and_then(|()| output.flush());
        return Exit::SUCCESS;
    }
    let _ = write!(messages, "{text}");
    if signing_helper::is_meant(arguments) {
        return Exit::SIGNING_HELPER_FAILED;
    }
    // There 2 means that the file is missing, and a script would issue another certificate.
    match arguments.iter().any(|argument| argument == "needs-renewal") {
        true => Exit::ERROR_OF_NEEDS_RENEWAL,
        false => Exit::USAGE,
    }
}

#[cfg(test)]
mod tests;
