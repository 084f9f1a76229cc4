//! The `bowline` program: hands the process's arguments, streams and clock to [`bowline_cli::run`].

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use bowline_cli::{Environment, run};
use bowline_service::{SystemClock, SystemEntropy};

fn main() -> ExitCode {
    let environment = Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        input: &mut io::stdin().lock(),
        output: &mut io::stdout().lock(),
        messages: &mut io::stderr(),
        variables: std::env::vars_os().collect(),
        directory: std::env::current_dir().unwrap_or_else(|_| ".".into()),
    };
    run(std::env::args_os(), environment).into()
}
