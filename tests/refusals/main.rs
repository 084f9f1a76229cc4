//! Bad input: what is refused, with which exit code or status, under which stable code, in which words,
//! and that nothing in the store has changed by it.

mod commands;
mod exchange;
mod foreign;
mod limits;
mod refusal;
mod requests;
mod scene;
