//! PEM: labelled base64 around DER (RFC 7468).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Certificate;
use crate::certificate::CertificateError;

/// One `-----BEGIN …-----` to `-----END …-----`.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// What it says it is: `CERTIFICATE`, `PRIVATE KEY`.
    pub label: String,
    /// The decoded content.
    pub der: Vec<u8>,
}

/// Why some text is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no `-----BEGIN` line.
    #[error("no PEM block: a line -----BEGIN CERTIFICATE----- or the like is expected")]
    Empty,
    /// There are PEM blocks, but none of the kind asked for.
    #[error("no {wanted} block among the {blocks} PEM blocks")]
    NoSuchBlock {
        /// The label that was looked for.
        wanted: &'static str,
        /// How many blocks there are.
        blocks: usize,
    },
    /// A block has no end, or an end with another label.
    #[error("line {line}: PEM block {label} has no matching -----END {label}-----")]
    NoEnd {
        /// The line of its beginning, counted from 1.
        line: usize,
        /// Its label.
        label: String,
    },
    /// The text between the markers is not base64.
    #[error("line {line}: PEM block {label} is not base64")]
    NotBase64 {
        /// The line of its beginning, counted from 1.
        line: usize,
        /// Its label.
        label: String,
    },
    /// The text is larger than this program reads.
    #[error("PEM text of {bytes} bytes is over the {PEM_BYTES_MAX} read at most")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A block is not the certificate it says it is.
    #[error("certificate {number} of the PEM text: {error}")]
    Certificate {
        /// Which certificate, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: CertificateError,
    },
}

/// Decodes every block. Text before, between and after blocks is explanatory and skipped (RFC 7468 §5.2).
pub fn decode(text: &[u8]) -> Result<Vec<Block>, PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::TooLarge { bytes: text.len() });
    }
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, Vec<u8>)> = None;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if let Some((start, label, mut base64)) = open.take() {
            if marker(line, b"-----END ").is_some_and(|end| end == label.as_bytes()) {
                let not_base64 = || PemError::NotBase64 {
                    line: start,
                    label: label.clone(),
                };
                let der = STANDARD.decode(&base64).map_err(|_| not_base64())?;
                blocks.push(Block { label, der });
            } else if line.starts_with(b"-----") {
                return Err(PemError::NoEnd { line: start, label });
            } else {
                base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
                open = Some((start, label, base64));
            }
        } else if let Some(label) = marker(line, b"-----BEGIN ") {
            open = Some((
                index + 1,
                String::from_utf8_lossy(label).into_owned(),
                Vec::new(),
            ));
        }
    }
    match open {
        Some((line, label, _)) => Err(PemError::NoEnd { line, label }),
        None if blocks.is_empty() => Err(PemError::Empty),
        None => Ok(blocks),
    }
}

/// The label of a marker line.
fn marker<'a>(line: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(begin)?.strip_suffix(b"-----")
}

/// Decodes the certificates of some text, in order, passing over blocks of other kinds such as keys.
pub fn certificates(text: &[u8]) -> Result<Vec<Certificate>, PemError> {
    let blocks = decode(text)?;
    let certificates = blocks
        .iter()
        .filter(|block| CERTIFICATE_LABELS.contains(&block.label.as_str()));
    let certificates = certificates.enumerate().map(|(index, block)| {
        Certificate::from_der(&block.der).map_err(|error| PemError::Certificate {
            number: index + 1,
            error,
        })
    });
    let certificates: Vec<Certificate> = certificates.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(PemError::NoSuchBlock {
            wanted: CERTIFICATE,
            blocks: blocks.len(),
        });
    }
    Ok(certificates)
}

/// Encodes one block, its lines 64 characters long as RFC 7468 §2 wants.
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Encodes certificates one after another.
pub fn encode_certificates(certificates: &[&Certificate]) -> String {
    certificates
        .iter()
        .map(|certificate| encode(CERTIFICATE, certificate.der()))
        .collect()
}

impl fmt::Debug for Block {
    /// Says how much there is, not what: it may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}, {} bytes)", self.label, self.der.len())
    }
}

/// The label of certificates.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// The label of certification requests.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";

/// The label of CRLs.
pub const X509_CRL: &str = "X509 CRL";

/// What older tools write for the same content.
const CERTIFICATE_LABELS: [&str; 2] = [CERTIFICATE, "X509 CERTIFICATE"];

/// Characters on a line (RFC 7468 §2).
const LINE_CHARS: usize = 64;

/// Room for a CRL of some hundred thousand entries; more is an attempt to fill memory.
const PEM_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let der: Vec<u8> = (0..200).collect();
        let text = encode("SOMETHING", &der);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(
            decode(text.as_bytes()),
            Ok(vec![Block {
                label: "SOMETHING".into(),
                der
            }])
        );
    }

    #[test]
    fn explanatory_text_and_carriage_returns_are_passed_over() {
        let text = "subject=CN=a\r\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\r\n\r\nmore\r\n-----BEGIN B-----\r\nBA==\r\n-----END B-----";
        let labels: Vec<String> = decode(text.as_bytes())
            .unwrap()
            .into_iter()
            .map(|block| block.label)
            .collect();
        assert_eq!(labels, ["A", "B"]);
    }

    #[test]
    fn a_block_without_its_end_is_refused_with_its_line() {
        let error = decode(b"\n-----BEGIN A-----\nAQID\n").unwrap_err();
        assert_eq!(
            error,
            PemError::NoEnd {
                line: 2,
                label: "A".into()
            }
        );
        let error = decode(b"-----BEGIN A-----\nAQID\n-----END B-----\n").unwrap_err();
        assert_eq!(
            error,
            PemError::NoEnd {
                line: 1,
                label: "A".into()
            }
        );
    }

    #[test]
    fn rubbish_inside_a_block_is_refused() {
        let error = decode(b"-----BEGIN A-----\nA!ID\n-----END A-----\n").unwrap_err();
        assert_eq!(
            error,
            PemError::NotBase64 {
                line: 1,
                label: "A".into()
            }
        );
    }

    #[test]
    fn text_without_blocks_is_refused() {
        assert_eq!(decode(b"hello"), Err(PemError::Empty));
    }

    #[test]
    fn a_file_with_only_a_key_has_no_certificate() {
        let text = encode("PRIVATE KEY", &[1, 2, 3]);
        let error = certificates(text.as_bytes()).unwrap_err();
        assert_eq!(
            error,
            PemError::NoSuchBlock {
                wanted: CERTIFICATE,
                blocks: 1
            }
        );
    }

    #[test]
    fn the_debug_form_shows_no_content() {
        assert_eq!(
            format!(
                "{:?}",
                Block {
                    label: "PRIVATE KEY".into(),
                    der: vec![7; 3]
                }
            ),
            "Block(PRIVATE KEY, 3 bytes)"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(head in "(-----BEGIN [A-B]-----\n)?", body: Vec<u8>, tail in "(\n-----END [A-B]-----)?") {
            let text = [head.as_bytes(), &body, tail.as_bytes()].concat();
            if let Ok(blocks) = decode(&text) {
                let again: String = blocks.iter().map(|block| encode(&block.label, &block.der)).collect();
                proptest::prop_assert_eq!(decode(again.as_bytes()), Ok(blocks));
            }
        }
    }
}
