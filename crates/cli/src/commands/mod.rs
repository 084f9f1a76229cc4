//! The commands, one file each.

pub(crate) mod anchor;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod ca;
pub(crate) mod cert;
pub(crate) mod conformance;
pub(crate) mod credential_process;
pub(crate) mod credentials;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod issue;
pub(crate) mod profile;
pub(crate) mod quickstart;
pub(crate) mod restore;
pub(crate) mod role;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod subject;
pub(crate) mod verify;
