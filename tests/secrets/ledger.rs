//! The secrets that the run made, and every form in which one could be written somewhere.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::BTreeSet;
use std::ops::Range;

/// What kind of secret it is. Each may stand in other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    PrivateKey,
    UnsealKey,
    Passphrase,
    SecretAccessKey,
    SessionToken,
    Authenticator,
    ContainerToken,
    SigningKey,
    IdentityToken,
    BackupIdentity,
}

/// One secret.
pub struct Secret {
    pub kind: Kind,
    /// Where it came from, for messages.
    pub name: String,
    /// Each way to write it, or to write a telling piece of it.
    pub forms: BTreeSet<Vec<u8>>,
}

/// All of them.
#[derive(Default)]
pub struct Ledger {
    pub secrets: Vec<Secret>,
}

impl Ledger {
    /// A secret that is a text.
    #[track_caller]
    pub fn text(&mut self, kind: Kind, name: &str, text: &str) {
        let text = text.trim();
        assert!(
            text.len() >= FORM_BYTES_MIN,
            "{name}: too short to look for"
        );
        let percent: String = text.chars().map(percent_encoded).collect();
        let mut forms = forms_of_bytes(text.as_bytes());
        forms.extend([percent.to_lowercase().into_bytes(), percent.into_bytes()]);
        self.add(kind, name, forms);
    }

    /// A secret that is bytes.
    #[track_caller]
    pub fn bytes(&mut self, kind: Kind, name: &str, bytes: &[u8]) {
        assert!(
            bytes.len() >= FORM_BYTES_MIN,
            "{name}: too short to look for"
        );
        self.add(kind, name, forms_of_bytes(bytes));
    }

    /// A private key, PKCS#8 in PEM: the number itself, and those pieces of the file's lines that only it makes.
    #[track_caller]
    pub fn private_key(&mut self, name: &str, pem: &str) {
        let body: String = pem
            .lines()
            .skip_while(|line| !line.starts_with("-----BEGIN"))
            .skip(1)
            .take_while(|line| !line.starts_with("-----END"))
            .collect();
        let der = STANDARD.decode(&body).expect("the body of a PEM file");
        let private = private_part(&der).unwrap_or_else(|| panic!("{name}: no private key"));
        let mut forms = forms_of_bytes(&der[private.clone()]);
        for line in (0..der.len()).step_by(LINE_BYTES) {
            let from = private.start.max(line) - line;
            let to = private.end.min(line + LINE_BYTES).max(line) - line;
            // The characters that nothing but the private bytes of this line make.
            let (from, to) = ((from * 4).div_ceil(3), to * 4 / 3);
            if to >= from + FORM_BYTES_MIN {
                let start = line * 4 / 3;
                forms.insert(body.as_bytes()[start + from..start + to].to_vec());
            }
        }
        self.add(Kind::PrivateKey, name, forms);
    }

    fn add(&mut self, kind: Kind, name: &str, forms: BTreeSet<Vec<u8>>) {
        // The same one comes again where a cache gives it.
        if !self.secrets.iter().any(|known| known.forms == forms) {
            self.secrets.push(Secret {
                kind,
                name: name.into(),
                forms,
            });
        }
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        let same = self.secrets.iter().filter(|secret| secret.kind == kind);
        same.count()
    }
}

/// Raw, as hex, and as base64 wherever in a longer base64 text it stands.
fn forms_of_bytes(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = BTreeSet::from([
        bytes.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        // A list of numbers, as careless serializers write bytes.
        format!("{bytes:?}").replace(' ', "").into_bytes(),
        format!("{bytes:?}").into_bytes(),
    ]);
    for before in 0..3 {
        let shifted = [&vec![0; before][..], bytes].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&shifted).into_bytes();
            // Characters that bits of a neighbour go into are not the secret's own.
            let (from, to) = ((before * 4).div_ceil(3), shifted.len() * 4 / 3);
            forms.insert(text[from..to].to_vec());
        }
    }
    forms
}

/// Where in a PKCS#8 structure the private number is (RFC 5208, RFC 5915, RFC 8410); for RSA everything behind the
/// modulus (RFC 8017).
fn private_part(der: &[u8]) -> Option<Range<usize>> {
    let after = |pattern: &[u8]| {
        let at = der.windows(pattern.len()).position(|it| it == pattern)?;
        Some(at + pattern.len())
    };
    let elliptic = [(0x20, 32), (0x30, 48), (0x42, 66)].into_iter();
    let edwards = after(&[0x04, 0x22, 0x04, 0x20]).map(|at| at..at + 32);
    let found = elliptic
        .filter_map(|(tag, length)| {
            let at = after(&[0x02, 0x01, 0x01, 0x04, tag])?;
            Some(at..at + length)
        })
        .next();
    let exponent = after(&[0x02, 0x03, 0x01, 0x00, 0x01]).map(|at| at..der.len());
    let part = found.or(edwards).or(exponent)?;
    (part.end <= der.len()).then_some(part)
}

fn percent_encoded(letter: char) -> String {
    match letter {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '~' => letter.to_string(),
        _ => format!("%{:02X}", u32::from(letter)),
    }
}

/// Shorter pieces could stand somewhere by chance.
pub const FORM_BYTES_MIN: usize = 12;
/// Bytes in one line of 64 characters (RFC 7468 §2).
const LINE_BYTES: usize = 48;

#[test]
fn a_secret_is_found_in_any_base64_around_it() {
    let secret: Vec<u8> = (100..132).collect();
    let mut ledger = Ledger::default();
    ledger.bytes(Kind::UnsealKey, "it", &secret);
    for before in 0..7 {
        let text = STANDARD.encode([&vec![7; before][..], &secret, b"after"].concat());
        let found = |form: &Vec<u8>| text.as_bytes().windows(form.len()).any(|it| it == form);
        assert!(ledger.secrets[0].forms.iter().any(found), "{before}");
    }
}
