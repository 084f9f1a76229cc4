//! The errors of the crates below, each as one of ours.

use bowline_ca::{AuthorityError, IssueError, ProfileError};
use bowline_policy::{AccountIdError, PolicyError};
use bowline_sigv4::SignatureError;
use bowline_store::StoreError;
use bowline_trust::{IdError, RecordError, RoleGone, TokenError};
use bowline_x509::path::PathError;
use bowline_x509::pem::PemError;
use bowline_x509::{
    CertificateError, CrlError, GeneralNameError, KeyError, NameError, RequestError, SerialError,
    SignError,
};

use super::Error;
use crate::log::LogError;

macro_rules! wrap {
    ($($variant:ident($source:ty)),* $(,)?) => {
        $(impl From<$source> for Error {
            fn from(source: $source) -> Error {
                Error::$variant(source)
            }
        })*
    };
}

wrap! {
    Profile(ProfileError), Authority(AuthorityError), Issue(IssueError), Policy(PolicyError), Account(AccountIdError),
    Signature(SignatureError), Path(PathError), Certificate(CertificateError), Request(RequestError), Pem(PemError),
    Key(KeyError), Name(NameError), GeneralName(GeneralNameError), Serial(SerialError), Store(StoreError),
    Record(RecordError), Token(TokenError), Role(RoleGone), Id(IdError), Sign(SignError), Crl(CrlError), Log(LogError),
}
