//! What a command can fail with, and how that is told: a sentence on standard error and an exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bowline_server::{ServeError, TransportError};
use bowline_service::{Kind, LogError, PublicError, StoreError};
use bowline_store_sled::checkpoint::ReadError;
use bowline_store_sled::{OpenError, RestoreError};

use crate::arguments::OutputFormat;
use crate::exit::Exit;
use crate::keys::KeySourceError;

/// Everything a command can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The service refused.
    #[error(transparent)]
    Service(#[from] bowline_service::Error),
    /// A server could not be asked.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The home's store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The command line reads, but makes no sense.
    #[error("{0}")]
    Usage(String),

    /// No home anywhere.
    #[error("there is no home; tried {}: run `bowline init`, or name one with --home", .tried.join(", "))]
    HomeMissing {
        /// Where it was looked for, and why there.
        tried: Vec<String>,
    },
    /// Nowhere to look for a home.
    #[error(
        "no place for a home is known: give --home DIR, or set BOWLINE_HOME, XDG_DATA_HOME or HOME"
    )]
    HomeUnknown,
    /// A directory of something else.
    #[error("{} holds other files: a home is made in an empty directory or a new one", home.display())]
    HomeOccupied {
        /// The directory.
        home: PathBuf,
    },
    /// Another server has it.
    #[error("home {} is served already{}: stop that server first; other commands go through it as they are", home.display(), .pid.map_or_else(String::new, |pid| format!(" by process {pid}")))]
    Served {
        /// The directory.
        home: PathBuf,
        /// The server's process, where its notes say.
        pid: Option<u32>,
    },
    /// Others can read it.
    #[error("{} has mode {mode:04o}, at most {allowed:04o} is accepted: `chmod {allowed:o} {}`", path.display(), path.display())]
    ModeTooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The widest one accepted.
        allowed: u32,
    },
    /// Somebody else's.
    #[error("{} belongs to user {owner} and this process runs as {user}: run it as the owner, or let `bowline serve` run and use its control socket", path.display())]
    OwnerDiffers {
        /// The file or directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Ours.
        user: u32,
    },

    /// A file could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What a file holds was refused.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// A file is in the way.
    #[error("{} exists: {fix}", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        fix: &'static str,
    },
    /// Key and certificate do not belong together.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    KeyOfAnother {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// A file without a certificate.
    #[error("{} holds no certificate: PEM with a block CERTIFICATE, or DER, is expected", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are not to be had from where they are said to be.
    #[error(transparent)]
    KeySource(#[from] KeySourceError),
    /// No certificate files of a name.
    #[error("there is no certificate {name}: {} does not exist; `bowline issue {name} --role ROLE` makes one", path.display())]
    PairMissing {
        /// The name given.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
    },

    /// No role to be had.
    #[error("{name} gets credentials of no role: {}", .because.message)]
    NothingAssumable {
        /// The certificate's name.
        name: String,
        /// The refusal that came furthest.
        because: PublicError,
    },
    /// The role asked for is not to be had.
    #[error("{name} gets no credentials of role {role}: it can have {}", .offered.join(", "))]
    RoleNotAssumable {
        /// The certificate's name.
        name: String,
        /// The role asked for.
        role: String,
        /// What it can have.
        offered: Vec<String>,
    },
    /// More than one role to be had.
    #[error("{name} can have several roles, choose one with --role: {}", .roles.join(", "))]
    SeveralRoles {
        /// The certificate's name.
        name: String,
        /// What it can have.
        roles: Vec<String>,
    },

    /// An exported log is not what was signed.
    #[error(transparent)]
    Log(LogError),
    /// A backup is not what was written.
    #[error("backup {}: {source}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Where it does not read, and why.
        source: ReadError,
    },
    /// A backup holds something else than was said when it was made.
    #[error("backup {} does not hold what was written to it: it is removed, try again", path.display())]
    BackupDiffers {
        /// The file.
        path: PathBuf,
    },
    /// A backup is encrypted.
    #[error("backup {} is encrypted: give the file of an identity that opens it with --identity FILE", path.display())]
    BackupEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// A backup is encrypted for others.
    #[error("backup {} is not encrypted for any of the identities given: --identity FILE takes others, several times", path.display())]
    BackupIdentity {
        /// The file.
        path: PathBuf,
    },
    /// Not a recipient of age.
    #[error(
        "{text:?} is not a recipient: write age1…, as `age-keygen -y` prints it, or name a file with one a line"
    )]
    RecipientInvalid {
        /// What was given.
        text: String,
    },
    /// Not an identity of age.
    #[error("{} holds no identity: AGE-SECRET-KEY-1…, as `age-keygen` writes it, one a line: {reason}", path.display())]
    IdentityInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The backup does not become a home.
    #[error(transparent)]
    Restore(RestoreError),
    /// There is a home already.
    #[error("there is a home in {}: restore to another place, or give --force to have this one moved aside", home.display())]
    HomeInTheWay {
        /// Its directory.
        home: PathBuf,
    },
    /// Nothing can be put in the place of a mount point.
    #[error("{} is a mount point, and a restored home takes its place in one step: name a directory inside it", path.display())]
    MountPoint {
        /// The directory.
        path: PathBuf,
    },

    /// Standard output takes nothing.
    #[error("cannot write the result: {0}")]
    Output(io::Error),
    /// A step of the story did not go as it is told.
    #[error("the story went wrong at `{step}`: {what}")]
    Story {
        /// The step.
        step: String,
        /// What happened.
        what: String,
    },
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Error {
        Error::File {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    /// For `map_err`: what was refused stands in this file.
    pub(crate) fn in_file<E: Into<Error>>(path: &Path) -> impl FnOnce(E) -> Error {
        let path = match path == Path::new("-") {
            true => "standard input".into(),
            false => path.to_owned(),
        };
        move |error| Error::InFile {
            path,
            source: Box::new(error.into()),
        }
    }

    /// For `map_err`: the backup in this file does not read.
    pub(crate) fn backup(path: &Path) -> impl FnOnce(ReadError) -> Error {
        let path = path.to_owned();
        move |source| Error::Backup { path, source }
    }

    pub(crate) fn output(source: io::Error) -> Error {
        Error::Output(source)
    }

    /// Whether whoever read the result went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the effect asked for may have happened all the same.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            Error::Service(bowline_service::Error::Store(StoreError::Unknown { .. })) => true,
            Error::Service(bowline_service::Error::Remote(error)) => {
                error.code == "outcome_unknown"
            }
            Error::Transport(TransportError::Refused(error)) => error.code == "outcome_unknown",
            Error::Transport(TransportError::Broken { .. } | TransportError::Answer { .. }) => true,
            _ => false,
        }
    }

    /// Whether a file is not there.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Error::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// What it means; nothing for a command line that makes no sense.
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Error::Usage(_) => return None,
            Error::InFile { source, .. } => return source.kind(),
            Error::Served { .. } => Kind::Unavailable,
            Error::Service(error) => error.kind(),
            Error::Transport(error) => transport_kind(error),
            Error::Open(error) => match error {
                OpenError::Locked { .. }
                | OpenError::IndexBusy { .. }
                | OpenError::NewerFormat { .. }
                | OpenError::Io { .. } => Kind::Unavailable,
                OpenError::Damaged { .. } | OpenError::Index { .. } => Kind::Internal,
            },
            Error::Serve(error) => match error {
                ServeError::Listen { .. }
                | ServeError::Certificate { .. }
                | ServeError::TooFewFiles { .. }
                | ServeError::Runtime { .. } => Kind::Unavailable,
            },
            Error::HomeMissing { .. } | Error::HomeUnknown | Error::PairMissing { .. } => {
                Kind::NotFound
            }
            Error::Log(error) => match error {
                LogError::Input(source) => kind_of(source),
                LogError::NewerFormat { .. } => Kind::Unavailable,
                LogError::Tampered(_) | LogError::RewrittenInBackup { .. } => Kind::Unauthenticated,
                LogError::NotALog | LogError::Key(_) | LogError::Since(_) => Kind::Invalid,
            },
            Error::Backup { source, .. } => match source {
                ReadError::Io { source, .. } => kind_of(source),
                ReadError::Damaged { .. } => Kind::Invalid,
                ReadError::NewerFormat { .. } => Kind::Unavailable,
            },
            Error::BackupDiffers { .. } => Kind::Unavailable,
            Error::BackupEncrypted { .. }
            | Error::RecipientInvalid { .. }
            | Error::IdentityInvalid { .. }
            | Error::MountPoint { .. } => Kind::Invalid,
            Error::BackupIdentity { .. } => Kind::Unauthenticated,
            Error::HomeInTheWay { .. } => Kind::Conflict,
            Error::Restore(_) => Kind::Unavailable,
            Error::File { source, .. } => kind_of(source),
            Error::HomeOccupied { .. } | Error::Exists { .. } => Kind::Conflict,
            Error::ModeTooOpen { .. } | Error::OwnerDiffers { .. } => Kind::Denied,
            Error::KeyOfAnother { .. } | Error::NoCertificate { .. } => Kind::Invalid,
            Error::KeySource(error) => error.kind(),
            Error::NothingAssumable { because, .. } => because.kind,
            Error::RoleNotAssumable { .. } => Kind::Denied,
            Error::SeveralRoles { .. } => Kind::Invalid,
            Error::Output(_) => Kind::Unavailable,
            Error::Story { .. } => Kind::Internal,
        })
    }

    /// The stable code.
    pub(crate) fn code(&self) -> String {
        match self {
            Error::Service(error) => return error.code().into_owned(),
            Error::Transport(TransportError::Refused(error)) => {
                return error.code.clone().into_owned();
            }
            Error::Transport(TransportError::Connect { .. }) => "server_unreachable",
            Error::Transport(_) => "server_call_failed",
            Error::InFile { source, .. } => return source.code(),
            Error::Open(_) | Error::Served { .. } => "home_does_not_open",
            Error::Serve(_) => "server_does_not_start",
            Error::Usage(_) => "usage",
            Error::HomeMissing { .. } | Error::HomeUnknown => "home_missing",
            Error::HomeOccupied { .. } => "home_occupied",
            Error::ModeTooOpen { .. } => "mode_too_open",
            Error::OwnerDiffers { .. } => "owner_differs",
            Error::File { .. } => "file",
            Error::Exists { .. } => "file_exists",
            Error::KeyOfAnother { .. } => "key_of_another",
            Error::NoCertificate { .. } => "no_certificate",
            Error::KeySource(error) => error.code(),
            Error::PairMissing { .. } => "certificate_files_missing",
            Error::NothingAssumable { because, .. } => return because.code.clone().into_owned(),
            Error::RoleNotAssumable { .. } => "role_not_assumable",
            Error::SeveralRoles { .. } => "several_roles",
            Error::Log(error) => error.code(),
            Error::Backup { source, .. } => match source {
                ReadError::Io { source, .. } if kind_of(source) != Kind::Invalid => "file",
                ReadError::Io { .. } | ReadError::Damaged { .. } => "backup_damaged",
                ReadError::NewerFormat { .. } => "backup_newer_format",
            },
            Error::BackupDiffers { .. } => "backup_differs",
            Error::BackupEncrypted { .. } => "backup_encrypted",
            Error::BackupIdentity { .. } => "backup_identity_wrong",
            Error::RecipientInvalid { .. } => "recipient_invalid",
            Error::IdentityInvalid { .. } => "identity_invalid",
            Error::Restore(_) => "home_not_restored",
            Error::HomeInTheWay { .. } => "home_occupied",
            Error::MountPoint { .. } => "mount_point",
            Error::Output(_) => "output",
            Error::Story { .. } => "story",
        }
        .into()
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.kind().map_or(Exit::USAGE, Exit::from)
    }

    /// Says what went wrong, and gives the exit code.
    pub(crate) fn report(&self, format: OutputFormat, messages: &mut dyn Write) -> Exit {
        let exit = self.exit();
        // Nothing is left to be told when standard error is closed.
        let _ = match format {
            OutputFormat::Text => {
                let code = format!(" [{}]", self.code());
                // What a server of Roles Anywhere says ends with it already.
                let message = self.to_string();
                let message = message.strip_suffix(&code).unwrap_or(&message);
                writeln!(messages, "bowline: {message}{code}")
            }
            OutputFormat::Json => {
                let error = serde_json::json!({
                    "error": { "code": self.code(), "message": self.to_string(), "exit": exit.code() }
                });
                writeln!(messages, "{error}")
            }
        };
        exit
    }
}

/// For `map_err`: where a policy is refused, it is the one in this file.
pub(crate) fn policy_in(file: Option<&Path>) -> impl FnOnce(Error) -> Error {
    move |error| match file {
        Some(file) if error.code().starts_with("policy_") => Error::in_file(file)(error),
        Some(_) | None => error,
    }
}

/// What a refusal of the system means.
fn kind_of(source: &io::Error) -> Kind {
    match source.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::AlreadyExists => Kind::Conflict,
        io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => Kind::Invalid,
        _ => Kind::Unavailable,
    }
}

fn transport_kind(error: &TransportError) -> Kind {
    match error {
        TransportError::Url { .. } => Kind::Invalid,
        TransportError::Fingerprint { .. } => Kind::Unauthenticated,
        TransportError::Refused(error) => error.kind,
        TransportError::Signing { .. } => Kind::Invalid,
        // Unreachable, cut off, or something that is no server of ours.
        _ => Kind::Unavailable,
    }
}
