//! What the test files share: the program, built once; a throw-away home to run it in; a server
//! that ends with its test; and the clients other people wrote.

mod binary;
mod clients;
mod command;
mod home;
mod server;

pub use binary::{bowline_binary, storage_server, target_directory, workspace_root};
pub use clients::{Client, Clients, clients};
pub use command::{Finished, clean, run, run_within, with_usual_signals};
pub use home::Home;
pub use server::Server;
