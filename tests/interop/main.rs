//! Clients that other people wrote, unmodified, against the program as it ships: the Python session
//! library, boto3, the AWS command line, AWS's credential helper, openssl, age, and Go's packages for transparency
//! logs.

mod assume_role;
mod backup;
mod door;
mod federation;
mod foreign_authority;
mod host;
mod keys;
mod nginx;
mod openssl;
mod python_client;
mod revocation;
mod scene;
mod session_life;
mod session_token;
mod signing_helper;
mod storage;
mod sts;
mod tokens;
mod transparency_log;
mod using;
