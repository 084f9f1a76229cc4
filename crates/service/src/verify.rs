//! Verifying a chain of files, and asking whether a certificate is due: no home, no store.

use bowline_x509::path::{self, PathRules};
use bowline_x509::{Certificate, CertificateList, Time, pem};

use crate::error::Error;

pub use bowline_ca::ExpiresIn;
pub use bowline_x509::path::Purpose;

/// What to verify: the content of files, each PEM or DER.
pub struct VerifyAsk {
    /// The leaf; certificates after it in the same file count as intermediates.
    pub leaf: Vec<u8>,
    /// Intermediates.
    pub intermediates: Vec<u8>,
    /// What is trusted.
    pub anchors: Vec<u8>,
    /// Revocation lists. With any, every certificate of the path needs one.
    pub crls: Vec<u8>,
    /// When.
    pub at: Time,
    /// What for.
    pub purpose: Purpose,
}

/// A chain that is good.
#[derive(Debug, serde::Serialize)]
pub struct VerifiedChain {
    /// The subjects from the leaf to the anchor.
    pub subjects: Vec<String>,
    /// The last second for which that holds.
    pub good_until: Time,
}

/// Verifies by the whole profile of RFC 5280.
pub fn verify(ask: &VerifyAsk) -> Result<VerifiedChain, Error> {
    let mut sent = certificates_from(&ask.leaf)?.into_iter();
    let leaf = sent.next().ok_or(Error::NoCertificate)?;
    let mut intermediates: Vec<Certificate> = sent.collect();
    intermediates.extend(certificates_from(&ask.intermediates)?);
    let anchors = certificates_from(&ask.anchors)?;
    let crls = crls_from(&ask.crls)?;
    let rules = PathRules {
        purpose: ask.purpose,
        require_crl: !crls.is_empty(),
        ..PathRules::strict()
    };
    let path = path::verify(&leaf, &intermediates, &anchors, &crls, &rules, ask.at)?;
    Ok(VerifiedChain {
        subjects: path
            .certificates()
            .iter()
            .map(|certificate| certificate.subject().to_string())
            .collect(),
        good_until: path.good_until(),
    })
}

/// Whether the first certificate of a file is due for renewal.
pub fn needs_renewal(text: &[u8], expires_in: ExpiresIn, now: Time) -> Result<bool, Error> {
    let certificate = certificates_from(text)?
        .into_iter()
        .next()
        .ok_or(Error::NoCertificate)?;
    Ok(bowline_ca::needs_renewal(&certificate, expires_in, now))
}

/// The certificates of a file, PEM or DER; none of an empty one.
pub(crate) fn certificates_from(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    if is_der(bytes) {
        return Ok(vec![Certificate::from_der(bytes)?]);
    }
    Ok(pem::certificates(bytes)?)
}

/// The CRLs of a file, PEM or DER; none of an empty one.
pub(crate) fn crls_from(bytes: &[u8]) -> Result<Vec<CertificateList>, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    if is_der(bytes) {
        return Ok(vec![CertificateList::from_der(bytes)?]);
    }
    let blocks = pem::decode(bytes)?;
    let mut lists = Vec::new();
    for block in blocks.iter().filter(|block| block.label == "X509 CRL") {
        lists.push(CertificateList::from_der(&block.der)?);
    }
    if lists.is_empty() {
        return Err(Error::NoCrl);
    }
    Ok(lists)
}

/// A SEQUENCE whose length is no character, so no text begins so. The smallest thing read here, a request for an
/// Ed25519 key without a subject, has 127 octets inside.
pub(crate) fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x7f..=0x84, ..])
}

#[cfg(test)]
mod tests {
    use crate::keys::{KeySpec, PrivateKey};
    use crate::requests::{certification_request, certification_request_from_file};

    #[test]
    fn the_smallest_request_is_read_as_der() {
        let key = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let csr = certification_request(&key).unwrap();
        assert_eq!(csr[1], 0x7f);
        assert_eq!(certification_request_from_file(&csr).unwrap(), csr);
    }
}
