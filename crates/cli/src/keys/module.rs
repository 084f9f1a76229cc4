//! Keys in PKCS#11 tokens (smart cards, HSMs): found by their URI, and used where they are.
//!
//! The module is loaded when it is needed, so nothing of it is linked. The PIN is asked of nobody: it comes with the
//! URI or from a file. A PIN that was refused is not tried again, because tokens lock themselves after a few.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_service::{
    KeyAlgorithm, PublicKey, SignError, SignatureAlgorithm, Signer, ecdsa_signature, prehashed,
    public_key_of,
};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CallError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::KeySourceError;
use super::uri::{Pkcs11Uri, uri_of};

/// A module, and how to get into its tokens.
#[derive(Clone)]
pub(super) struct Module {
    library: PathBuf,
    /// Used for tokens whose URI says nothing about a PIN.
    pin: Option<Zeroizing<Vec<u8>>>,
    /// Whether the PIN may be given again for a key that wants it before every signature.
    reuse_pin: bool,
}

/// A certificate of a token.
pub(super) struct TokenCertificate {
    /// The certificate.
    pub(super) der: Vec<u8>,
    /// What finds it again.
    pub(super) uri: String,
    id: Vec<u8>,
    label: Vec<u8>,
    slot: Slot,
}

/// Which private key of a token is meant.
enum Wanted {
    /// What a URI says.
    Uri(Pkcs11Uri),
    /// The one beside a certificate: of its CKA_ID, else of its label.
    Beside {
        uri: Pkcs11Uri,
        slot: Slot,
        id: Vec<u8>,
        label: Vec<u8>,
    },
}

/// A private key that stays in its token.
pub(super) struct TokenKey {
    module: Module,
    wanted: Wanted,
    public: PublicKey,
    opened: Mutex<Opened>,
}

struct Opened {
    session: Session,
    key: ObjectHandle,
    always_authenticate: bool,
}

impl Module {
    /// The module that was named on the command line, else in the URI, else the one through which p11-kit gives all
    /// that are configured on the machine.
    pub(super) fn of(
        library: Option<&Path>,
        uri: &Pkcs11Uri,
        pin: Option<Zeroizing<Vec<u8>>>,
        reuse_pin: bool,
    ) -> Module {
        let library = library.or(uri.module.as_deref());
        Module {
            library: library.unwrap_or(Path::new(P11_KIT_PROXY)).to_owned(),
            pin,
            reuse_pin,
        }
    }

    /// The certificates that a URI finds, with what a search without PIN shows, else with it.
    pub(super) fn certificates(
        &self,
        uri: &Pkcs11Uri,
    ) -> Result<Vec<TokenCertificate>, KeySourceError> {
        let pkcs11 = self.load()?;
        let slots = self.slots(&pkcs11, uri)?;
        let mut found = Vec::new();
        for slot in &slots {
            let session = self.told(pkcs11.open_ro_session(*slot))?;
            found.extend(self.certificates_in(&pkcs11, &session, *slot, uri)?);
        }
        // Certificates may be private objects; a PIN is given to a token only if no other can be meant.
        if let (true, [slot]) = (found.is_empty(), slots.as_slice())
            && self.has_pin(uri)
        {
            let session = self.told(pkcs11.open_ro_session(*slot))?;
            self.login(&pkcs11, &session, *slot, uri)?;
            found = self.certificates_in(&pkcs11, &session, *slot, uri)?;
        }
        Ok(found)
    }

    /// The one certificate that a URI finds.
    pub(super) fn certificate(&self, uri: &Pkcs11Uri) -> Result<TokenCertificate, KeySourceError> {
        let mut found = self.certificates(uri)?;
        match (found.pop(), found.len()) {
            (Some(certificate), 0) => Ok(certificate),
            (Some(_), others) => Err(KeySourceError::Ambiguous {
                what: "certificates",
                count: others + 1,
                uri: uri.shown(),
            }),
            (None, _) => Err(self.not_found("certificate", uri, "")),
        }
    }

    /// The key that a URI finds, for a certificate.
    pub(super) fn key(
        self,
        uri: Pkcs11Uri,
        certificate: &[u8],
    ) -> Result<TokenKey, KeySourceError> {
        let public = self.public_key(certificate)?;
        self.open_key(Wanted::Uri(uri), public)
    }

    /// The key beside a certificate of a token.
    pub(super) fn key_beside(
        self,
        uri: Pkcs11Uri,
        certificate: TokenCertificate,
    ) -> Result<TokenKey, KeySourceError> {
        let public = self.public_key(&certificate.der)?;
        let wanted = Wanted::Beside {
            uri,
            slot: certificate.slot,
            id: certificate.id,
            label: certificate.label,
        };
        self.open_key(wanted, public)
    }

    /// The certificate whose key a URI finds: the one with the same CKA_ID or label.
    pub(super) fn certificate_beside(
        &self,
        uri: &Pkcs11Uri,
    ) -> Result<TokenCertificate, KeySourceError> {
        self.certificate(uri).map_err(|error| match error {
            KeySourceError::NotFound { .. } => {
                self.not_found("certificate", uri, ": give it with --certificate")
            }
            other => other,
        })
    }

    fn public_key(&self, certificate: &[u8]) -> Result<PublicKey, KeySourceError> {
        public_key_of(certificate).map_err(|error| KeySourceError::Module {
            module: self.library.clone(),
            reason: format!("the certificate of the key does not read: {error}"),
        })
    }

    fn open_key(self, wanted: Wanted, public: PublicKey) -> Result<TokenKey, KeySourceError> {
        let opened = self.open(&wanted)?;
        let kind = match public.algorithm() {
            KeyAlgorithm::Rsa { .. } => KeyType::RSA,
            KeyAlgorithm::Ed25519 => KeyType::EC_EDWARDS,
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => KeyType::EC,
        };
        let found = self.attribute(&opened.session, opened.key, AttributeType::KeyType)?;
        let same_kind = matches!(found, Some(Attribute::KeyType(found)) if found == kind);
        if !same_kind || !self.has_modulus_of(&opened, &public)? {
            let (Wanted::Uri(uri) | Wanted::Beside { uri, .. }) = &wanted;
            return Err(KeySourceError::KeyOfAnother { uri: uri.shown() });
        }
        let opened = Mutex::new(opened);
        Ok(TokenKey {
            module: self,
            wanted,
            public,
            opened,
        })
    }

    /// Whether an RSA key is a certificate's, which its public modulus tells. Of other keys a token shows nothing: theirs
    /// is told by the first signature.
    fn has_modulus_of(&self, opened: &Opened, public: &PublicKey) -> Result<bool, KeySourceError> {
        if !matches!(public.algorithm(), KeyAlgorithm::Rsa { .. }) {
            return Ok(true);
        }
        let shown = self.attribute(&opened.session, opened.key, AttributeType::Modulus)?;
        let Some(Attribute::Modulus(modulus)) = shown else {
            return Ok(true);
        };
        Ok(modulus.is_empty()
            || public
                .key_bits()
                .windows(modulus.len())
                .any(|window| window == modulus))
    }

    fn open(&self, wanted: &Wanted) -> Result<Opened, KeySourceError> {
        let pkcs11 = self.load()?;
        let (uri, slots, templates) = match wanted {
            Wanted::Uri(uri) => (uri, self.slots(&pkcs11, uri)?, vec![template(uri)]),
            Wanted::Beside {
                uri,
                slot,
                id,
                label,
            } => {
                let by_id = (!id.is_empty()).then(|| Attribute::Id(id.clone()));
                let by_label = (!label.is_empty()).then(|| Attribute::Label(label.clone()));
                let one = |attribute: Attribute| vec![attribute];
                let templates = by_id.into_iter().chain(by_label).map(one).collect();
                (uri, vec![*slot], templates)
            }
        };
        let [slot] = slots.as_slice() else {
            return Err(KeySourceError::Ambiguous {
                what: "tokens",
                count: slots.len(),
                uri: uri.shown(),
            });
        };
        let session = self.told(pkcs11.open_ro_session(*slot))?;
        self.login(&pkcs11, &session, *slot, uri)?;
        for mut template in templates {
            template.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
            let found = self.told(session.find_objects(&template))?;
            match found.as_slice() {
                [] => {}
                [key] => {
                    let always_authenticate = matches!(
                        self.attribute(&session, *key, AttributeType::AlwaysAuthenticate)?,
                        Some(Attribute::AlwaysAuthenticate(true))
                    );
                    let key = *key;
                    return Ok(Opened {
                        session,
                        key,
                        always_authenticate,
                    });
                }
                several => {
                    return Err(KeySourceError::Ambiguous {
                        what: "private keys",
                        count: several.len(),
                        uri: uri.shown(),
                    });
                }
            }
        }
        Err(self.not_found("private key", uri, ""))
    }

    /// Loads the library, once in the life of this process: unloading one that has threads of its own ends badly.
    fn load(&self) -> Result<Pkcs11, KeySourceError> {
        static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
        let mut loaded = unpoisoned(&LOADED);
        if let Some(pkcs11) = loaded.get(&self.library) {
            return Ok(pkcs11.clone());
        }
        let pkcs11 = self.told(Pkcs11::new(&self.library))?;
        let how = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match pkcs11.initialize(how) {
            Ok(()) | Err(CallError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            failed => self.told(failed)?,
        }
        loaded.insert(self.library.clone(), pkcs11.clone());
        Ok(pkcs11)
    }

    /// The slots with a token that a URI means, at least one.
    fn slots(&self, pkcs11: &Pkcs11, uri: &Pkcs11Uri) -> Result<Vec<Slot>, KeySourceError> {
        let info = self.told(pkcs11.get_library_info())?;
        let mut slots = Vec::new();
        for slot in self.told(pkcs11.get_slots_with_initialized_token())? {
            // A reader that fails does not stand in the way of another.
            let (Ok(of_slot), Ok(of_token)) =
                (pkcs11.get_slot_info(slot), pkcs11.get_token_info(slot))
            else {
                continue;
            };
            let meant = uri.slot_id.is_none_or(|number| number == slot.id())
                && uri.matches(|name| {
                    match name {
                        "token" => of_token.label(),
                        "manufacturer" => of_token.manufacturer_id(),
                        "serial" => of_token.serial_number(),
                        "model" => of_token.model(),
                        "slot-description" => of_slot.slot_description(),
                        "slot-manufacturer" => of_slot.manufacturer_id(),
                        "library-manufacturer" => info.manufacturer_id(),
                        "library-description" => info.library_description(),
                        _ => return info.library_version().to_string(),
                    }
                    .to_owned()
                });
            if meant {
                slots.push(slot);
            }
        }
        match slots.is_empty() {
            true => Err(self.not_found("token", uri, "")),
            false => Ok(slots),
        }
    }

    fn certificates_in(
        &self,
        pkcs11: &Pkcs11,
        session: &Session,
        slot: Slot,
        uri: &Pkcs11Uri,
    ) -> Result<Vec<TokenCertificate>, KeySourceError> {
        let mut template = template(uri);
        template.push(Attribute::Class(ObjectClass::CERTIFICATE));
        let token = self.told(pkcs11.get_token_info(slot))?;
        let mut found = Vec::new();
        for object in self.told(session.find_objects(&template))? {
            let Some(Attribute::Value(der)) =
                self.attribute(session, object, AttributeType::Value)?
            else {
                continue;
            };
            let id = match self.attribute(session, object, AttributeType::Id)? {
                Some(Attribute::Id(id)) => id,
                _ => Vec::new(),
            };
            let label = match self.attribute(session, object, AttributeType::Label)? {
                Some(Attribute::Label(label)) => label,
                _ => Vec::new(),
            };
            let facts = [
                ("token", token.label()),
                ("manufacturer", token.manufacturer_id()),
                ("serial", token.serial_number()),
                ("model", token.model()),
            ];
            let uri = uri_of(&facts, &id, &String::from_utf8_lossy(&label));
            found.push(TokenCertificate {
                der,
                uri,
                id,
                label,
                slot,
            });
        }
        Ok(found)
    }

    fn attribute(
        &self,
        session: &Session,
        object: ObjectHandle,
        attribute: AttributeType,
    ) -> Result<Option<Attribute>, KeySourceError> {
        Ok(self
            .told(session.get_attributes(object, &[attribute]))?
            .pop())
    }

    fn has_pin(&self, uri: &Pkcs11Uri) -> bool {
        uri.pin.is_some() || self.pin.is_some()
    }

    /// The PIN for a token.
    fn pin(&self, uri: &Pkcs11Uri) -> Result<Option<Zeroizing<String>>, KeySourceError> {
        let failed = |reason: String| KeySourceError::Uri { reason };
        let pin = match &uri.pin {
            None => self.pin.clone(),
            Some(super::uri::Pin::Value(pin)) => {
                Some(Zeroizing::new(pin.reveal().as_bytes().to_vec()))
            }
            Some(super::uri::Pin::Source(path)) => {
                let read = crate::files::read(path)
                    .map_err(|error| failed(format!("its pin-source: {error}")))?;
                Some(crate::files::first_line(&Zeroizing::new(read)))
            }
        };
        let Some(pin) = pin else { return Ok(None) };
        let text = std::str::from_utf8(&pin).map_err(|_| failed("the PIN has to be UTF-8".into()));
        text.map(|text| Some(Zeroizing::new(text.to_owned())))
    }

    fn login(
        &self,
        pkcs11: &Pkcs11,
        session: &Session,
        slot: Slot,
        uri: &Pkcs11Uri,
    ) -> Result<(), KeySourceError> {
        let token = self.told(pkcs11.get_token_info(slot))?;
        if !token.login_required() {
            return Ok(());
        }
        let refuse = |reason| KeySourceError::Pin {
            token: token.label().to_owned(),
            reason,
        };
        if token.user_pin_locked() {
            return Err(refuse(LOCKED));
        }
        let pin = self.pin(uri)?;
        if pin.is_none() && !token.protected_authentication_path() {
            return Err(refuse(
                "needs a PIN: give it with ?pin-source=FILE in the URI or with --password-file FILE",
            ));
        }
        let attempt = Attempt::of(&self.library, token.serial_number(), pin.as_deref());
        if attempt.was_refused() {
            return Err(refuse(REFUSED));
        }
        match session.login(UserType::User, auth_pin(&pin).as_ref()) {
            // Logins hold for all sessions of a process with a token.
            Ok(()) | Err(CallError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(CallError::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            )) => {
                attempt.note_refusal();
                Err(refuse(REFUSED))
            }
            Err(CallError::Pkcs11(RvError::PinLocked, _)) => Err(refuse(LOCKED)),
            failed => self.told(failed),
        }
    }

    fn told<T>(&self, result: cryptoki::error::Result<T>) -> Result<T, KeySourceError> {
        result.map_err(|error| KeySourceError::Module {
            module: self.library.clone(),
            reason: short(&error),
        })
    }

    fn not_found(&self, what: &'static str, uri: &Pkcs11Uri, hint: &'static str) -> KeySourceError {
        KeySourceError::NotFound {
            what,
            module: self.library.clone(),
            uri: uri.shown(),
            hint,
        }
    }
}

impl TokenKey {
    fn sign_once(
        &self,
        opened: &Opened,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        if opened.always_authenticate {
            return self.sign_after_login(opened, algorithm, message);
        }
        // The hash is made here: tokens differ in what they hash, and all sign one.
        let hash = prehashed(algorithm, message).map_err(Failed::Refused)?;
        let mechanism = match self.public.algorithm() {
            KeyAlgorithm::Rsa { .. } => Mechanism::RsaPkcs,
            _ => Mechanism::Ecdsa,
        };
        let signed = opened.session.sign(&mechanism, opened.key, &hash);
        signed.map_err(Failed::Call)
    }

    /// A key that wants the PIN for each signature gets it between the beginning of one and its end (PKCS#11 §5.6.8).
    fn sign_after_login(
        &self,
        opened: &Opened,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        let refuse = |reason: &str| Failed::Refused(SignError::new(reason));
        if !self.module.reuse_pin {
            return Err(refuse(
                "the token wants its PIN again for each signature with this key: allow it with --reuse-pin",
            ));
        }
        let (Wanted::Uri(uri) | Wanted::Beside { uri, .. }) = &self.wanted;
        let pin = self
            .module
            .pin(uri)
            .map_err(|error| refuse(&error.to_string()))?;
        let mechanism = match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => Mechanism::Sha256RsaPkcs,
            SignatureAlgorithm::RsaPkcs1Sha384 => Mechanism::Sha384RsaPkcs,
            SignatureAlgorithm::RsaPkcs1Sha512 => Mechanism::Sha512RsaPkcs,
            SignatureAlgorithm::EcdsaSha256 => Mechanism::EcdsaSha256,
            SignatureAlgorithm::EcdsaSha384 => Mechanism::EcdsaSha384,
            SignatureAlgorithm::EcdsaSha512 => Mechanism::EcdsaSha512,
            other => return Err(refuse(&format!("a token does not sign with {other}"))),
        };
        let session = &opened.session;
        session
            .sign_init(&mechanism, opened.key)
            .and_then(|()| session.login(UserType::ContextSpecific, auth_pin(&pin).as_ref()))
            .and_then(|()| session.sign_update(message))
            .and_then(|()| session.sign_final())
            .map_err(Failed::Call)
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut opened = unpoisoned(&self.opened);
        let mut signed = self.sign_once(&opened, algorithm, message);
        if matches!(&signed, Err(Failed::Call(error)) if is_lost(error)) {
            // The token was pulled and put back, or its daemon restarted: once, because a second loss is no accident.
            *opened = self
                .module
                .open(&self.wanted)
                .map_err(|error| SignError::new(error.to_string()))?;
            signed = self.sign_once(&opened, algorithm, message);
        }
        let signature = signed.map_err(|failed| match failed {
            Failed::Refused(error) => error,
            Failed::Call(error) => SignError::new(format!(
                "the PKCS#11 module {} fails: {}",
                self.module.library.display(),
                short(&error)
            )),
        })?;
        let signature = match self.public.algorithm() {
            KeyAlgorithm::Rsa { .. } => signature,
            _ => ecdsa_signature(&signature)?,
        };
        // The token says which key it used by its signature alone.
        match self.public.verify(algorithm, message, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(SignError::new(
                "the token's private key is not the certificate's",
            )),
        }
    }
}

/// A PIN for a token, as what is left of it when it is known no more.
struct Attempt(Option<[u8; 32]>);

impl Attempt {
    fn of(library: &Path, serial: &str, pin: Option<&String>) -> Attempt {
        Attempt(pin.map(|pin| {
            let mut hash = Sha256::new();
            for part in [library.as_os_str().as_encoded_bytes(), serial.as_bytes()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hash.update(pin.as_bytes());
            hash.finalize().into()
        }))
    }

    fn was_refused(&self) -> bool {
        self.0
            .is_some_and(|attempt| unpoisoned(&REFUSED_PINS).contains(&attempt))
    }

    fn note_refusal(&self) {
        unpoisoned(&REFUSED_PINS).extend(self.0);
    }
}

/// What tokens refused in the life of this process. Programs that run for long try again what failed, and three wrong
/// PINs are all that a token may take.
static REFUSED_PINS: Mutex<BTreeSet<[u8; 32]>> = Mutex::new(BTreeSet::new());

fn auth_pin(pin: &Option<Zeroizing<String>>) -> Option<AuthPin> {
    pin.as_ref().map(|pin| AuthPin::from(pin.as_str()))
}

/// Why a token gave no signature.
enum Failed {
    Call(CallError),
    Refused(SignError),
}

/// What an object must be for a URI to mean it.
fn template(uri: &Pkcs11Uri) -> Vec<Attribute> {
    let label = uri
        .object
        .iter()
        .map(|label| Attribute::Label(label.clone().into_bytes()));
    let id = uri.id.iter().map(|id| Attribute::Id(id.clone()));
    label.chain(id).collect()
}

/// Whether a call failed because the session it was made in is gone.
fn is_lost(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Pkcs11(
            RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid,
            _
        )
    )
}

/// The code of a failed call and the function: its long text is a paragraph of the standard.
fn short(error: &CallError) -> String {
    match error {
        CallError::Pkcs11(code, function) => format!("{function:?} answers {code:?}"),
        CallError::LibraryLoading(error) => format!("it does not load: {error}"),
        other => other.to_string(),
    }
}

/// What a thread that panicked left behind is as good as before: nothing here is changed in two steps.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const REFUSED: &str =
    "refuses the PIN; this one is not tried again, because tokens lock after a few";
const LOCKED: &str = "is locked after too many wrong PINs: its security officer unlocks it";
/// The module that gives the objects of all modules configured on the machine.
const P11_KIT_PROXY: &str = "p11-kit-proxy.so";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_was_refused_is_known_again_and_no_other_is() {
        let attempt =
            |serial, pin: &str| Attempt::of(Path::new("/l.so"), serial, Some(&pin.into()));
        attempt("7", "1234").note_refusal();
        assert!(attempt("7", "1234").was_refused());
        // Mended in its file, or meant for another token.
        assert!(!attempt("7", "4321").was_refused());
        assert!(!attempt("71", "234").was_refused());
        // A keypad of the token's own asks somebody anew.
        let asked = Attempt::of(Path::new("/l.so"), "7", None);
        asked.note_refusal();
        assert!(!asked.was_refused());
    }
}
