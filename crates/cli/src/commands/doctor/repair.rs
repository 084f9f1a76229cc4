//! Putting right what is in a home, where nothing can be lost by it.

use std::fs;

use bowline_service::{
    AuthorityView, Finding, KeyLocation, ListAuthorities, Severity, ShowRevocationList,
};

use crate::caller::Connection;
use crate::error::Error;
use crate::home::Home;

use super::place;

/// Puts right what the findings tell of; says what was done. The connection is given up, because the index is made
/// again by who opens the home.
pub(super) fn inside(
    home: &Home,
    connection: Connection,
    findings: &[Finding],
) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    // 1. A CRL that lacks a revocation is signed again.
    if findings.iter().any(|finding| finding.code == NOT_LISTED) {
        for AuthorityView { id, key, .. } in connection.call(ListAuthorities {})? {
            if matches!(key, KeyLocation::Offline) {
                continue;
            }
            let list = connection.call(ShowRevocationList {
                authority: id,
                fresh: true,
            })?;
            done.push(format!(
                "signed CRL {} of {} with {} entries",
                list.number, list.authority, list.entries
            ));
        }
    }
    // 2. The index is never the only copy: the home opened, so checkpoint and journal are whole.
    let doubtful = findings.iter().any(|finding| {
        finding.severity == Severity::Critical && finding.code.starts_with(OF_THE_INDEX)
    });
    if doubtful {
        let served = connection.is_served();
        drop(connection);
        match served {
            true => done.push(
                "nothing about the index, because a server has the home: stop it and run this again"
                    .into(),
            ),
            false => done.extend(remove_index(home)?),
        }
    }
    Ok(done)
}

/// Removes the index; the next opening makes it again.
fn remove_index(home: &Home) -> Result<Option<String>, Error> {
    let index = home.path().join("index");
    let Some(_held) = place::hold(home) else {
        return Ok(None);
    };
    fs::remove_dir_all(&index).map_err(|error| Error::file("remove", &index, error))?;
    Ok(Some(
        "the index is made again from checkpoint and journal".into(),
    ))
}

/// The finding that a CRL signed anew puts right.
const NOT_LISTED: &str = "revocation_not_listed";
/// How findings about the index are called.
const OF_THE_INDEX: &str = "index_";
