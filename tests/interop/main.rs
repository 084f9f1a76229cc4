//! Clients that other people wrote, unmodified, against the program as it ships: the Python session
//! library, boto3, the AWS command line, AWS's credential helper, openssl, age, and Go's packages for transparency
//! logs.

mod backup;
mod foreign_authority;
mod openssl;
mod python_client;
mod revocation;
mod scene;
mod signing_helper;
mod transparency_log;
