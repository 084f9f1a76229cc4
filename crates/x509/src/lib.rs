//! RFC 5280 vocabulary: names, keys, requests, certificates, CRLs and the verified path.
//!
//! Everything here is a value or a question about values: no files, no clock, no randomness. Bytes
//! from outside are read as strict DER, kept as they came, and never make this crate panic.
//!
//! To read it: the small nouns first ([`SerialNumber`], [`Validity`], [`DistinguishedName`],
//! [`GeneralName`], [`PublicKey`]), then what is made of them ([`Certificate`],
//! [`CertificationRequest`], [`CertificateList`]), then [`path`], which says whom to believe.

/// Serializes a type as the text it displays, and reads it back with its `FromStr`.
macro_rules! text_serde {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let text =
                    <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;

mod asn1;
mod certificate;
mod crl;
mod csr;
mod extension;
#[cfg(test)]
mod fixtures;
mod general_name;
mod key;
mod name;
pub mod oid;
pub mod path;
pub mod pem;
mod reason;
mod serial;
mod signature;
mod signer;
mod validity;

pub use asn1::DerError;
pub use certificate::{Certificate, CertificateError, SignatureError};
pub use crl::{CertificateList, CrlError, IssuingDistributionPoint, RevokedEntry};
pub use csr::{CertificationRequest, RequestError};
pub use der::asn1::ObjectIdentifier;
pub use extension::{
    AddressRange, AuthorityKeyIdentifier, BasicConstraints, ConstrainedName, Extension,
    ExtensionError, KeyUsage, NameConstraints, extension_name,
};
pub use general_name::{GeneralName, GeneralNameError};
pub use key::{KeyAlgorithm, KeyError, PublicKey};
pub use name::{Attribute, DistinguishedName, NameError};
pub use reason::{RevocationReason, UnknownReason};
pub use serial::{SerialError, SerialNumber};
pub use signature::{SignatureAlgorithm, weak_algorithm_name};
pub use signer::{SignError, Signer};
pub use validity::{EncodedTime, Time, TimeEncoding, Validity, time_to_der};
