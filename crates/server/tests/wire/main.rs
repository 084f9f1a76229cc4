//! The wire itself: every dialect over real sockets, with clients that behave and clients that do not.

mod client;
mod commits;
mod crowd;
mod endpoints;
mod lifecycle;
mod limits;
mod load;
mod log;
mod operations;
mod proxies;
mod publication;
mod rates;
mod sessions;
mod smuggling;
mod stage;
mod sts;
mod tls;
mod transfers;
mod world;
