//! `bowline init`: makes a home.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_service::{
    AuthorityView, Caller, Initialize, Initialized, KeySpec, OfflineRoot, Operation, PrivateKey,
    Service, Settings, ShowSettings, Store, UnsealKey, format_time,
};
use bowline_store_sled::SledOptions;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::{Home, NewHome, Opened, credential_file};
use crate::render::{Facts, shell_word};

/// Make a home: root and issuing CA, trust anchor, profile, the operators' CA, and the keys that seal it all
///
/// Makes a P-384 root, a P-256 issuing CA with path length 0, trust anchor `default` and profile `default` for
/// workloads, and for operators a CA, anchor and profile `operators` with the role `administrator`.
///
/// The keys are sealed under 32 random bytes in HOME/unseal.key, or with --key-password-file under a passphrase.
/// A home is there whole or not at all; a second `init` in the same place is refused (exit 7).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline init
  bowline init --name Example --url http://ca.example.org
  bowline init --key-password-file passphrase.txt --offline-root /media/stick")]
pub(crate) struct Init {
    /// What the authorities are named after: `NAME Root CA`
    #[arg(long, value_name = "NAME", default_value = "Bowline")]
    name: String,

    /// Where CRLs and CA certificates will be fetched; written into every certificate from now on
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The 12 digits of the account in every ARN
    #[arg(long, value_name = "ID", default_value = "000000000000")]
    account: String,

    /// The region in every ARN
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,

    /// The curve of the issuing CA's key. With P-384 leaves are signed with SHA-384, after which one client names
    /// an algorithm that AWS may refuse
    #[arg(long, value_name = "CURVE", default_value = "P-256")]
    issuing_crv: IssuingCurve,

    /// Keep the root's key out of the home: write it to DIR/root_ca_key, and the certificate to DIR/root_ca.crt.
    /// With --key-password-file the key file is encrypted under the same passphrase
    #[arg(long, value_name = "DIR")]
    offline_root: Option<PathBuf>,

    /// Be content with a home that is there already
    #[arg(long)]
    if_missing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IssuingCurve {
    /// ECDSA on P-256.
    #[value(name = "P-256")]
    P256,
    /// ECDSA on P-384.
    #[value(name = "P-384")]
    P384,
}

/// What was made, and where.
#[derive(Serialize)]
struct Made<'a> {
    home: &'a Path,
    /// The file without which the home does not open.
    unseal_key: Option<PathBuf>,
    root_key: Option<PathBuf>,
    root_certificate: Option<PathBuf>,
    #[serde(flatten)]
    made: &'a Initialized,
}

impl Init {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        if context.global().server.is_some() {
            return Err(Error::Usage(
                "init makes a home on this machine: leave --server (BOWLINE_SERVER) out".into(),
            ));
        }
        // 1. The place, and the store in it.
        let mut new = NewHome::begin(context.place_for_home()?)?;
        let store: Arc<dyn Store> = match new.home().open(&SledOptions::one_shot(), &mut |_| {})? {
            Opened::Here(store) => store,
            Opened::Served(_) => return self.refuse_second(context, new, None),
        };
        // 2. Nobody's home yet. This comes before everything that costs time or writes a key.
        let empty = Service::new(store.clone(), context.clock(), context.entropy(), None);
        match (ShowSettings {}).run(&empty, &Caller::Operator) {
            Err(bowline_service::Error::NotInitialized) => new.claim(store.clone()),
            Ok(settings) => return self.refuse_second(context, new, Some(settings)),
            Err(error) => return Err(error.into()),
        }
        // 3. What opens the keys, durable before there are any.
        let (unseal, password) = self.unseal(context, &mut new)?;
        // 4. The root's key where it stays outside, durable before there is a certificate for it.
        let offline = match &self.offline_root {
            Some(directory) => Some(self.offline_root(
                context,
                &mut new,
                directory,
                password.as_ref().map(|password| password.as_slice()),
            )?),
            None => None,
        };
        let (offline_key, offline_files) = offline.unzip();
        // 5. One commit.
        let service = Service::new(store, context.clock(), context.entropy(), Some(unseal));
        let initialize = Initialize {
            name: self.name.clone(),
            url: self.url.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
            issuing_p384: self.issuing_crv == IssuingCurve::P384,
            offline_root: offline_key.map(|key| OfflineRoot { key }),
        };
        let made = match initialize.run(&service, &Caller::Operator) {
            Ok(made) => made,
            Err(error) => {
                let error = Error::from(error);
                if error.leaves_doubt() {
                    // It may be a home: its keys must not go.
                    new.keep();
                }
                return Err(error);
            }
        };
        let home = new.home().clone();
        new.keep();
        if let (Some(files), Some(root)) = (&offline_files, made.authorities.first()) {
            files::write(&files.certificate, root.pem().as_bytes())?;
        }
        // 6. Say what was made.
        let root = offline_files.as_ref();
        let answer = Made {
            home: home.path(),
            unseal_key: password.is_none().then(|| home.unseal_key_file()),
            root_key: root.map(|files| files.key.clone()),
            root_certificate: root.map(|files| files.certificate.clone()),
            made: &made,
        };
        let text = self.text(context, &answer, &home);
        context.print(&answer, text)
    }

    /// A second home in the same place.
    fn refuse_second(
        &self,
        context: &mut Context<'_>,
        new: NewHome,
        settings: Option<Settings>,
    ) -> Result<Exit, Error> {
        let home = new.home().clone();
        // Nothing of it is ours to take away.
        new.keep();
        if !self.if_missing {
            return Err(bowline_service::Error::AlreadyInitialized.into());
        }
        let settings = match settings {
            Some(settings) => settings,
            None => context.connect()?.call(ShowSettings {})?,
        };
        let text = format!(
            "The home in {} was made at {}.\n",
            home.path().display(),
            format_time(settings.created)
        );
        context.print(
            &serde_json::json!({ "home": home.path(), "settings": settings }),
            text,
        )
    }

    /// The key file or the passphrase; the passphrase also by itself, for the root's key file.
    fn unseal(
        &self,
        context: &mut Context<'_>,
        new: &mut NewHome,
    ) -> Result<(UnsealKey, Option<Password>), Error> {
        let named = context
            .global()
            .key_password_file
            .as_deref()
            .map(|file| context.path(file));
        if let Some(file) = named.or_else(|| credential_file(&context.environment().variables)) {
            let bytes = zeroize::Zeroizing::new(files::read(&file)?);
            let unseal = UnsealKey::from_passphrase(&bytes)?;
            return Ok((unseal, Some(files::first_line(&bytes))));
        }
        let key_file = new.home().unseal_key_file();
        // An `init` that was cut off before its commit left it; nothing is sealed under it yet.
        let left = match key_file.exists() {
            true => new
                .home()
                .unseal_key(None, &context.environment().variables)?,
            false => None,
        };
        if let Some(left) = left {
            return Ok((left, None));
        }
        let (unseal, bytes) = UnsealKey::generate(&*context.entropy());
        files::create_secret(&key_file, &*bytes)?;
        new.made(key_file);
        Ok((unseal, None))
    }

    fn offline_root(
        &self,
        context: &mut Context<'_>,
        new: &mut NewHome,
        directory: &Path,
        password: Option<&[u8]>,
    ) -> Result<(PrivateKey, RootFiles), Error> {
        let directory = context.path(directory);
        files::create_directory(&directory)?;
        let root = RootFiles {
            key: directory.join("root_ca_key"),
            certificate: directory.join("root_ca.crt"),
        };
        for file in [&root.key, &root.certificate] {
            if file.symlink_metadata().is_ok() {
                return Err(Error::Exists {
                    path: file.clone(),
                    fix: "name another directory with --offline-root",
                });
            }
        }
        let key = PrivateKey::generate(KeySpec::P384)?;
        match password {
            Some(password) => {
                let pem = key.to_encrypted_pem(password, &*context.entropy())?;
                files::create_secret(&root.key, pem.as_bytes())?;
            }
            None => files::create_secret(&root.key, key.to_pem().as_bytes())?,
        }
        new.made(root.key.clone());
        Ok((key, root))
    }

    fn text(&self, context: &Context<'_>, answer: &Made<'_>, home: &Home) -> String {
        let Made { made, .. } = answer;
        let Initialized {
            settings,
            authorities,
            ..
        } = made;
        let mut text = format!("Made a home in {}\n\n", home.path().display());
        let mut facts = Facts::new();
        for authority in authorities {
            let AuthorityView {
                subject,
                key_algorithm,
                not_after,
                ..
            } = authority;
            let name = match authority.id.as_str() {
                "root" => "root CA",
                "issuing" => "issuing CA",
                "operators" => "operators' CA",
                _ => "CA",
            };
            facts = facts.fact(
                name,
                format_args!(
                    "{subject}  ({key_algorithm}, until {})",
                    format_time(*not_after)
                ),
            );
        }
        facts = facts
            .maybe(
                "fingerprint",
                authorities.first().map(|root| &root.fingerprint),
            )
            .fact("trust anchor", &made.trust_anchor)
            .fact("profile", &made.profile)
            .fact("operators' role", &made.administrator)
            .fact(
                "account",
                format_args!("{} in {}", settings.account, settings.region),
            )
            .maybe("published at", settings.url.as_ref());
        let _ = writeln!(text, "{facts}");
        let _ = match &answer.unseal_key {
            Some(file) => writeln!(
                text,
                "The CA's keys are in this home, sealed under {}:\nwhoever copies the home then holds the CA. Back it up as you would guard it.",
                file.display()
            ),
            None => writeln!(
                text,
                "The CA's keys are in this home, sealed under the passphrase: without it nothing opens them.\nLater commands take it from --key-password-file, BOWLINE_KEY_PASSWORD_FILE or a systemd credential bowline-key-password."
            ),
        };
        if let (Some(key), Some(certificate)) = (&answer.root_key, &answer.root_certificate) {
            let _ = writeln!(
                text,
                "The root's key is in {} and not in the home: take it offline. Its certificate is {}.",
                key.display(),
                certificate.display()
            );
        }
        text.push_str("\nNext:\n");
        if context.global().home.is_some() {
            let _ = writeln!(
                text,
                "  export BOWLINE_HOME={}",
                shell_word(&home.path().display().to_string())
            );
        }
        text.push_str(
            "  bowline role create s3-reader --allow s3:GetObject --on 'arn:aws:s3:::data/*'\n",
        );
        text.push_str("  bowline issue web-1 --role s3-reader\n  bowline credentials web-1\n");
        text
    }
}

/// Where the root's key and certificate go that stay outside.
struct RootFiles {
    key: PathBuf,
    certificate: PathBuf,
}

type Password = zeroize::Zeroizing<Vec<u8>>;
