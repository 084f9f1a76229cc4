//! Where operations run: here, behind the control socket of the server that has the home, or at a server
//! somewhere else. Commands never know which.

mod connection;
mod receiver;
mod remote;

pub(crate) use connection::{Connection, Local, repairs};
pub(crate) use receiver::Receiver;
pub(crate) use remote::{ByCertificate, Server, choose, default_region, session_ask};
