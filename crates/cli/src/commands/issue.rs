//! `bowline issue`: a key and a certificate for it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bowline_service::{
    CertificateDetails, IssueCertificate, IssuedCertificate, KeySpec, Moment, PrivateKey,
    ShowSettings, certification_request, certification_request_from_file, format_time, inspect,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::caller::Connection;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::pair::{NewPair, PairFiles, lock_directory};
use crate::render::{Facts, shell_word};
use crate::times;

/// Issue a certificate: writes NAME.crt, NAME.chain.crt and NAME.key
///
/// NAME.crt holds the leaf and the intermediates, NAME.chain.crt the intermediates alone, NAME.key the private
/// key (mode 0600). The key is made here, and is on the disk before the certificate is asked for: a lost
/// certificate can be fetched again with `bowline cert show NAME --pem`, a key never.
///
/// With --role the certificate can be traded for credentials of that role.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline issue web-1 --role s3-reader
  bowline issue web-1 --role s3-reader --san web-1.example --san 10.0.0.1 --not-after 8h
  bowline issue web-1 --role s3-reader --csr web-1.csr --out /etc/web
  bowline issue alice --certificate-profile operator --role administrator")]
pub(crate) struct Issue {
    /// The common name, and the name of the files
    #[arg(value_name = "NAME")]
    name: String,

    /// A subject alternative name: a DNS name, an address, a URI or a mail address
    #[arg(long = "san", value_name = "NAME")]
    names: Vec<String>,

    /// A role the certificate can be traded for
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,

    /// When it ends: a time with its offset, or a duration from now [default: as the certificate profile says, 24h]
    #[arg(long, value_name = "TIME", value_parser = times::moment, allow_hyphen_values = true)]
    not_after: Option<Moment>,

    /// When it begins: a time with its offset, or a duration from now, -3d for three days ago. On the home's own machine
    /// it may be any time, for tests [default: 5 minutes ago]
    #[arg(long, value_name = "TIME", value_parser = times::moment, allow_hyphen_values = true)]
    not_before: Option<Moment>,

    /// What the certificate may contain: workload, server, client or operator
    #[arg(long, value_name = "PROFILE", default_value = "workload")]
    certificate_profile: String,

    /// Certify the key of this certification request (PEM or DER) instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kty", "crv", "size"])]
    csr: Option<PathBuf>,

    #[command(flatten)]
    key: KeyArguments,

    /// The directory to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Replace files that are there
    #[arg(long, short, conflicts_with = "if_missing")]
    force: bool,

    /// Be content with a certificate that is there already and has not expired
    #[arg(long)]
    if_missing: bool,
}

/// Which kind of key to make.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArguments {
    /// The kind of key: EC, RSA or OKP [default: EC]
    #[arg(long, value_name = "TYPE", ignore_case = true)]
    kty: Option<KeyType>,

    /// The curve of an EC key (P-256, P-384, P-521) or OKP key (Ed25519) [default: P-256]
    #[arg(long, alias = "curve", value_name = "CURVE", ignore_case = true)]
    crv: Option<Curve>,

    /// The bits of an RSA key: 2048, 3072 or 4096 [default: 2048]
    #[arg(long, value_name = "BITS")]
    size: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyType {
    /// Elliptic curve.
    #[value(name = "EC")]
    Ec,
    /// RSA.
    #[value(name = "RSA")]
    Rsa,
    /// Edwards curve.
    #[value(name = "OKP")]
    Okp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Curve {
    /// NIST P-256.
    #[value(name = "P-256", alias = "P256")]
    P256,
    /// NIST P-384.
    #[value(name = "P-384", alias = "P384")]
    P384,
    /// NIST P-521.
    #[value(name = "P-521", alias = "P521")]
    P521,
    /// Ed25519. No Roles Anywhere client signs with it.
    #[value(name = "Ed25519")]
    Ed25519,
}

impl KeyArguments {
    /// The kind of key meant; none if nothing was said.
    pub(crate) fn spec(&self) -> Result<Option<KeySpec>, Error> {
        let spec = match (self.kty, self.crv, self.size) {
            (None, None, None) => return Ok(None),
            (None | Some(KeyType::Ec), None | Some(Curve::P256), None) => KeySpec::P256,
            (None | Some(KeyType::Ec), Some(Curve::P384), None) => KeySpec::P384,
            (None | Some(KeyType::Ec), Some(Curve::P521), None) => KeySpec::P521,
            (None | Some(KeyType::Okp), Some(Curve::Ed25519), None)
            | (Some(KeyType::Okp), None, None) => KeySpec::Ed25519,
            (Some(KeyType::Rsa), None, None | Some(2048)) => KeySpec::Rsa2048,
            (Some(KeyType::Rsa), None, Some(3072)) => KeySpec::Rsa3072,
            (Some(KeyType::Rsa), None, Some(4096)) => KeySpec::Rsa4096,
            (Some(KeyType::Rsa), None, Some(size)) => {
                return Err(Error::Usage(format!(
                    "--size {size}: an RSA key has 2048, 3072 or 4096 bits"
                )));
            }
            _ => {
                let rule = "--kty EC goes with --crv P-256, P-384 or P-521, OKP with Ed25519, RSA with --size";
                return Err(Error::Usage(rule.into()));
            }
        };
        Ok(Some(spec))
    }
}

/// A certificate that was issued, and its files.
#[derive(Serialize)]
struct Issued<'a> {
    name: &'a str,
    certificate_file: &'a Path,
    chain_file: &'a Path,
    key_file: Option<&'a Path>,
    #[serde(flatten)]
    issued: &'a IssuedCertificate,
    /// Ready to run: AWS's own helper.
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_signing_helper: Option<String>,
    /// Ready to run: the Python session library.
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<String>,
}

/// A certificate that was there already: the members of [`Issued`] that its files tell.
#[derive(Serialize)]
struct Kept<'a> {
    name: &'a str,
    certificate_file: &'a Path,
    chain_file: &'a Path,
    key_file: Option<&'a PathBuf>,
    serial: &'a str,
    subject: &'a str,
    names: &'a [String],
    not_before: String,
    not_after: String,
}

impl Issue {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        // 1. Where the files go, before anything is made.
        if self.name.is_empty() || self.name.contains('/') || self.name.starts_with(['.', '-']) {
            let name = &self.name;
            return Err(Error::Usage(format!(
                "the name {name:?} names files too: it is not empty, has no `/`, and begins with neither a dot nor a dash"
            )));
        }
        let files = PairFiles::of(&self.name, &context.path(&self.out));
        let with_key = self.csr.is_none();
        if self.if_missing
            && let Some(leaf) = still_good(&files, with_key, context)?
        {
            return self.keep(context, &files, &leaf);
        }
        // A certificate that --if-missing found expired is replaced.
        let replace = self.force || self.if_missing;
        let key_file = with_key.then_some(files.key.as_path());
        let all: Vec<&Path> = [files.certificate.as_path(), &files.chain]
            .into_iter()
            .chain(key_file)
            .collect();
        files::refuse_existing(&all, replace)?;
        let spec = self.key.spec()?.unwrap_or(KeySpec::P256);

        // 2. Somebody who can issue; then the key, on the disk before it is certified.
        let connection = context.connect()?;
        let (csr, new) = match &self.csr {
            Some(file) => (
                certification_request_from_file(&context.read(file)?)
                    .map_err(Error::in_file(file))?,
                NewPair::keeping_key(files, None),
            ),
            None => {
                let key = PrivateKey::generate(spec)?;
                let csr = certification_request(&key)?;
                files::create_directory(files::directory_of(&files.key))?;
                let new = match replace && files.key.symlink_metadata().is_ok() {
                    true => {
                        let lock = lock_directory(&files.key)?;
                        NewPair::replacing(files, key.to_pem().as_bytes(), lock)?
                    }
                    false => NewPair::fresh(files, key.to_pem().as_bytes())?,
                };
                (csr, new)
            }
        };

        // 3. The certificate.
        let issued = connection.call(IssueCertificate {
            name: self.name.clone(),
            names: self.names.clone(),
            roles: self.roles.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            certificate_profile: self.certificate_profile.clone(),
            csr,
        });
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => {
                new.abandon(&error);
                return Err(error);
            }
        };
        let files = new.finish(&issued.certificate, &issued.chain)?;

        // 4. What was made, and how to use it.
        if issued.not_after < context.now() {
            let over = format_time(issued.not_after);
            context.hint(format_args!("it is over since {over}, as was asked for"));
        }
        let endpoint = endpoint(context, &connection);
        let shown = Shown::of(&files, context.directory(), with_key);
        let tradable = spec != KeySpec::Ed25519;
        let answer = Issued {
            name: &self.name,
            certificate_file: &files.certificate,
            chain_file: &files.chain,
            key_file: with_key.then_some(&files.key),
            aws_signing_helper: tradable
                .then(|| shown.signing_helper(&issued, &endpoint))
                .flatten(),
            python: tradable.then(|| shown.python(&issued, &endpoint)).flatten(),
            issued: &issued,
        };
        let text = self.text(&answer, &shown);
        context.print(&answer, text)
    }

    /// What was there stays, and is told as a new one would be.
    fn keep(
        &self,
        context: &mut Context<'_>,
        files: &PairFiles,
        leaf: &CertificateDetails,
    ) -> Result<Exit, Error> {
        let file = files.certificate.display();
        context.hint(format_args!(
            "{file} is there and has not expired: nothing was issued"
        ));
        let kept = Kept {
            name: &self.name,
            certificate_file: &files.certificate,
            chain_file: &files.chain,
            key_file: self.csr.is_none().then_some(&files.key),
            serial: &leaf.serial,
            subject: &leaf.subject,
            names: &leaf.names,
            not_before: format_time(leaf.not_before),
            not_after: format_time(leaf.not_after),
        };
        let text = format!("{file}  until {}\n", kept.not_after);
        context.print(&kept, text)
    }

    fn text(&self, answer: &Issued<'_>, shown: &Shown) -> String {
        let Issued { issued, .. } = answer;
        let until = match issued.shortened_from {
            Some(asked) => format!(
                "{}, when its authority ends; {} was asked for",
                format_time(issued.not_after),
                format_time(asked)
            ),
            None => format_time(issued.not_after),
        };
        let facts = Facts::new()
            .fact("certificate", &shown.certificate)
            .fact("chain", &shown.chain)
            .maybe("key", shown.key.as_ref())
            .fact("subject", &issued.subject)
            .each("name", &issued.names)
            .fact("serial", format_args!("0x{}", issued.serial))
            .fact("until", until);
        let mut text = facts.to_string();
        let Some((helper, python)) = answer
            .aws_signing_helper
            .as_ref()
            .zip(answer.python.as_ref())
        else {
            if issued.roles.is_empty() {
                text.push_str("\nIt carries no role, so it cannot be traded for credentials unless a role's trust policy says so.\n");
            } else if shown.key.is_some() {
                text.push_str("\nIts key is an Ed25519 key, and AWS4-X509 has no algorithm for one: it cannot be traded for credentials.\n");
            }
            return text;
        };
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\nCredentials, here or with the clients that are around (a server at that address: `bowline serve`):\n\n  bowline credentials {}\n\n  {helper}\n\n  {}\n",
            shell_word(&shown.stem),
            python.replace('\n', "\n  ")
        );
        text
    }
}

/// The certificate, if the files are there and it has not expired.
fn still_good(
    files: &PairFiles,
    with_key: bool,
    context: &Context<'_>,
) -> Result<Option<CertificateDetails>, Error> {
    if !files.certificate.exists() || (with_key && !files.key.exists()) {
        return Ok(None);
    }
    let details =
        inspect(&files::read(&files.certificate)?).map_err(Error::in_file(&files.certificate))?;
    let leaf = details.into_iter().next();
    Ok(leaf.filter(|leaf| context.now() <= leaf.not_after))
}

/// Where the clients will find a server: the one that issued, the one the certificates name, else the usual one.
fn endpoint(context: &Context<'_>, connection: &Connection) -> String {
    if let Some(server) = &context.global().server {
        return server.trim_end_matches('/').into();
    }
    let published = connection
        .call(ShowSettings {})
        .ok()
        .and_then(|settings| settings.url);
    published
        .filter(|url| url.starts_with("https://"))
        .unwrap_or_else(|| "https://localhost:8443".into())
}

/// File names as they are typed in the directory the command was typed in.
struct Shown {
    stem: String,
    certificate: String,
    chain: String,
    key: Option<String>,
}

impl Shown {
    fn of(files: &PairFiles, directory: &Path, with_key: bool) -> Shown {
        let shown = |path: &Path| {
            let path = path.strip_prefix(directory).unwrap_or(path);
            let path = path.strip_prefix(".").unwrap_or(path);
            path.display().to_string()
        };
        let certificate = shown(&files.certificate);
        Shown {
            stem: certificate.trim_end_matches(".crt").into(),
            certificate,
            chain: shown(&files.chain),
            key: with_key.then(|| shown(&files.key)),
        }
    }

    fn signing_helper(&self, issued: &IssuedCertificate, endpoint: &str) -> Option<String> {
        let (key, role) = (self.key.as_ref()?, issued.role_arns.first()?);
        Some(format!(
            "aws_signing_helper credential-process --endpoint {endpoint} --region {} \\\n    --certificate {} --private-key {} --intermediates {} \\\n    --trust-anchor-arn {} \\\n    --profile-arn {} \\\n    --role-arn {role}",
            issued.region,
            shell_word(&self.certificate),
            shell_word(key),
            shell_word(&self.chain),
            issued.trust_anchor,
            issued.profile,
        ))
    }

    fn python(&self, issued: &IssuedCertificate, endpoint: &str) -> Option<String> {
        let (key, role) = (self.key.as_ref()?, issued.role_arns.first()?);
        let host = endpoint
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        Some(format!(
            "from iam_rolesanywhere_session import IAMRolesAnywhereSession\nsession = IAMRolesAnywhereSession(\n    certificate={:?}, private_key={key:?}, certificate_chain={:?},\n    trust_anchor_arn={:?},\n    profile_arn={:?},\n    role_arn={role:?},\n    region={:?}, endpoint={host:?}, verify=\"roots.pem\",  # bowline ca bundle > roots.pem\n).get_session()",
            self.certificate, self.chain, issued.trust_anchor, issued.profile, issued.region,
        ))
    }
}
