//! What the home must say, by everything that was acknowledged; and holding it against what it says.

use crate::events;
use crate::interposer::Lab;
use bowline_tests::Finished;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was acknowledged, tried and refused.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Whether `init` was acknowledged.
    pub initialized: bool,
    /// Certificates by serial number, with their names.
    pub issued: BTreeMap<String, String>,
    /// Serial numbers.
    pub revoked: BTreeSet<String>,
    /// Serial numbers whose revocation was begun: they may be revoked.
    pub revoking: BTreeSet<String>,
    /// Names of roles.
    pub roles: BTreeSet<String>,
    /// Checkpoints of the log that were given out.
    pub checkpoints: Vec<String>,
    /// Names that were refused with the word that nothing was written: they must not be there.
    pub refused: BTreeSet<String>,
}

/// What the home says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub serial: String,
    pub name: String,
    pub status: String,
}

/// A check that failed, in a sentence.
pub type Wrong = String;

impl Model {
    /// How many operations were acknowledged.
    pub fn acknowledged(&self) -> usize {
        usize::from(self.initialized)
            + self.issued.len()
            + self.revoked.len()
            + self.roles.len()
            + self.checkpoints.len()
    }

    /// Holds a list of certificates against the model.
    pub fn judge(&self, found: &[Certificate]) -> Result<(), Wrong> {
        let mut by_serial = BTreeMap::new();
        for certificate in found {
            if by_serial.insert(&certificate.serial, certificate).is_some() {
                return Err(format!(
                    "serial number {} is there twice",
                    certificate.serial
                ));
            }
            if self.refused.contains(&certificate.name) {
                return Err(format!("{certificate:?} was refused, and is there"));
            }
            let revoked = certificate.status == "revoked";
            if revoked && !self.revoking.contains(&certificate.serial) {
                return Err(format!("nobody revoked {certificate:?}"));
            }
        }
        for (serial, name) in &self.issued {
            match by_serial.get(serial) {
                None => return Err(format!("certificate {serial} of {name} is lost")),
                Some(found) if found.name != *name => {
                    return Err(format!("{found:?} was issued for {name}"));
                }
                Some(_) => {}
            }
        }
        for serial in &self.revoked {
            let status = by_serial.get(serial).map(|found| found.status.as_str());
            if status != Some("revoked") {
                return Err(format!("{serial} was revoked, and is {status:?} now"));
            }
        }
        Ok(())
    }

    /// Holds the home against the model, with as few commands as tell most. Before `init` was acknowledged a
    /// home may refuse. Gives how many certificates there are.
    pub fn check(&self, lab: &Lab) -> Result<usize, Wrong> {
        lab.panicked()?;
        let found = match certificates(lab) {
            Ok(found) => found,
            Err(refusal) if !self.initialized => {
                sentence(&refusal)?;
                return Ok(0);
            }
            Err(refusal) => return Err(format!("the home does not answer\n{refusal}")),
        };
        self.judge(&found)?;
        // What nobody was told of must be whole, or not there at all.
        for extra in found
            .iter()
            .filter(|c| !self.issued.contains_key(&c.serial))
        {
            let named = lab.run([
                "cert",
                "list",
                "--name",
                &extra.name,
                "--expired",
                "--output",
                "json",
            ]);
            if named.code != Some(0) || !parse(&named)?.contains(extra) {
                return Err(format!("{extra:?} is not found under its name\n{named}"));
            }
        }
        Ok(found.len())
    }

    /// Holds the home against the model through a server, which must start and end in good order.
    pub fn check_served(&self, lab: &Lab) -> Result<usize, Wrong> {
        let server = match lab.serve() {
            Ok(server) => server,
            Err(ended) if !self.initialized => return sentence(&ended).map(|_| 0),
            Err(ended) => return Err(format!("no server\n{ended}")),
        };
        let checked = self.check(lab);
        let ended = lab.stop(server);
        match ended.code {
            Some(0) => checked,
            _ => Err(format!("the server should have ended well\n{ended}")),
        }
    }

    /// All that [`check`](Model::check) does, and every other way to ask: by name, by serial number, the
    /// roles, the log of events, the revocation list, and trading a revoked certificate for credentials.
    pub fn check_whole(&self, lab: &Lab) -> Result<usize, Wrong> {
        let count = self.check(lab)?;
        if !self.initialized {
            return Ok(count);
        }
        let succeed = |arguments: &[&str]| match lab.run(arguments) {
            done if done.code == Some(0) => Ok(done),
            failed => Err(format!("should have succeeded\n{failed}")),
        };
        let roles = succeed(&["role", "list", "--output", "json"])?;
        for role in &self.roles {
            if !roles.stdout.contains(&format!("\"name\":\"{role}\"")) {
                return Err(format!("role {role} is lost\n{roles}"));
            }
        }
        for (serial, name) in &self.issued {
            let shown = succeed(&[
                "cert",
                "list",
                "--name",
                name,
                "--expired",
                "--output",
                "json",
            ])?;
            if !parse(&shown)?.iter().any(|c| c.serial == *serial) {
                return Err(format!(
                    "{serial} is not found under its name {name}\n{shown}"
                ));
            }
        }
        let found = certificates(lab).map_err(|refused| refused.to_string())?;
        events::check(lab, &found)?;
        events::verify(lab, self)?;
        if self.revoked.is_empty() {
            return Ok(count);
        }
        let roots = succeed(&["ca", "bundle"])?;
        let issuing = succeed(&["ca", "show", "issuing", "--pem"])?;
        let crls = succeed(&["ca", "crl", "--all"])?;
        let roots = lab.home.write("check-roots.pem", &roots.stdout);
        let crls = lab.home.write("check-crls.pem", &crls.stdout);
        for serial in &self.revoked {
            let Some(name) = self.issued.get(serial) else {
                continue;
            };
            let traded = lab.run(["credentials", name, "--output", "json"]);
            if traded.code == Some(0) {
                return Err(format!("revoked {name} was traded\n{traded}"));
            }
            sentence(&traded)?;
            let shown = succeed(&["cert", "show", &format!("0x{serial}"), "--pem"])?;
            let chain = format!("{}{}", shown.stdout, issuing.stdout);
            let leaf = lab.home.write("check-leaf.pem", &chain);
            let verified = lab.run(
                [OsArgument::from("verify"), leaf.into()]
                    .into_iter()
                    .chain(["--anchor".into(), roots.clone().into()])
                    .chain(["--crl".into(), crls.clone().into()]),
            );
            if verified.code != Some(4) || !verified.stderr.contains("revoked") {
                return Err(format!("the revocation list lacks {serial}\n{verified}"));
            }
        }
        Ok(count)
    }
}

type OsArgument = std::ffi::OsString;

/// Every certificate of the home; or the refusal.
pub fn certificates(lab: &Lab) -> Result<Vec<Certificate>, Finished> {
    let listed = lab.run(["cert", "list", "--expired", "--output", "json"]);
    match listed.code {
        Some(0) => Ok(parse(&listed).unwrap_or_else(|wrong| panic!("{wrong}"))),
        _ => Err(listed),
    }
}

/// The certificates of a list.
pub fn parse(listed: &Finished) -> Result<Vec<Certificate>, Wrong> {
    let one = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |member: &str| value[member].as_str().map(str::to_owned);
        Some(Certificate {
            serial: text("serial")?,
            name: text("name")?,
            status: text("status")?,
        })
    };
    let lines = listed.stdout.lines();
    lines
        .map(|line| one(line).ok_or_else(|| format!("not a line of a list: {line}\n{listed}")))
        .collect()
}

/// A refusal: an exit code of ours and a sentence with the code of the error. Gives that code.
pub fn sentence(finished: &Finished) -> Result<String, Wrong> {
    let known = matches!(finished.code, Some(3..=8 | 70 | 75));
    let last = finished.stderr.lines().last().unwrap_or_default();
    let json = serde_json::from_str::<Value>(last).ok();
    let code = match &json {
        Some(value) => value["error"]["code"].as_str().map(str::to_owned),
        None => last
            .rsplit_once(" [")
            .and_then(|(_, code)| code.strip_suffix(']'))
            .map(str::to_owned),
    };
    // A few words at least.
    match code {
        Some(code) if known && last.split(' ').count() > 3 => Ok(code),
        _ => Err(format!(
            "neither worked nor refused with a sentence\n{finished}"
        )),
    }
}

/// Worked, or refused with a sentence; true if it worked.
pub fn worked_or_refused(finished: &Finished) -> Result<bool, Wrong> {
    match finished.code {
        Some(0) => Ok(true),
        _ => sentence(finished).map(|_| false),
    }
}

/// Worked.
pub fn worked(finished: &Finished) -> Result<(), Wrong> {
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(format!("should have worked\n{finished}")),
    }
}
