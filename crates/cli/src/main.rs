//! The `bowline` program: hands the process's arguments, streams and clock to [`bowline_cli::run`].

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use bowline_cli::{Environment, run};
use bowline_service::{SystemClock, SystemEntropy};

/// The system's allocator keeps what a checkpoint needed for a moment, once for each; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    be_quiet_about_sled();
    let environment = Environment {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        input: &mut io::stdin().lock(),
        output: &mut io::stdout().lock(),
        messages: &mut io::stderr(),
        messages_are_terminal: io::stderr().is_terminal(),
        variables: std::env::vars_os().collect(),
        directory: std::env::current_dir().unwrap_or_else(|_| ".".into()),
    };
    run(std::env::args_os(), environment).into()
}

/// sled panics over an index that is damaged. The store expects that, makes a new one, and says so in its own words.
fn be_quiet_about_sled() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |place| place.file());
        if !place.contains("/sled-") {
            usual(panic);
        }
    }));
}
