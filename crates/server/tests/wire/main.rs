//! The wire itself: every dialect over real sockets, with clients that behave and clients that do not.

mod client;
mod endpoints;
mod lifecycle;
mod limits;
mod operations;
mod publication;
mod sessions;
mod smuggling;
mod sts;
mod tls;
mod world;
