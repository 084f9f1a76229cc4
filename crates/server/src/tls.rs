//! TLS: the server's certificate from our own CA, renewed by itself; the client's trust.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use bowline_service::{ServerCertificate, Service};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};

/// Holds the certificate that new connections are answered with.
pub(crate) struct OwnCertificate {
    names: Vec<String>,
    current: RwLock<Option<Held>>,
}

struct Held {
    key: Arc<CertifiedKey>,
    renew_at: bowline_service::Time,
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl OwnCertificate {
    /// For a server reached under these names.
    pub(crate) fn new(names: Vec<String>) -> OwnCertificate {
        OwnCertificate {
            names,
            current: RwLock::new(None),
        }
    }

    /// Issues a certificate if there is none, or two thirds of its life are over. Blocks.
    pub(crate) fn refresh(&self, service: &Service) -> Result<(), String> {
        let due = match &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => held.renew_at <= service.time(),
            None => true,
        };
        if !due {
            return Ok(());
        }
        let ServerCertificate {
            chain,
            key,
            renew_at,
        } = service
            .issue_server_certificate(&self.names)
            .map_err(|error| error.public().message)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key =
            CertifiedKey::from_der(chain, key, &provider()).map_err(|error| error.to_string())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Held {
            key: Arc::new(key),
            renew_at,
        });
        Ok(())
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|held| held.key.clone())
    }
}

/// The server's side: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Clients may show a certificate.
pub(crate) fn server_config(certificate: Arc<OwnCertificate>) -> Result<ServerConfig, String> {
    let algorithms = provider().signature_verification_algorithms;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(Holder { algorithms }))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed connection would show the certificate of an earlier one, and prove no key. So every connection begins
    // anew: one signature more, of a kind that costs less than the request behind it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The client's side: believes chains to these roots.
pub(crate) fn client_config(roots: &[Vec<u8>]) -> Result<ClientConfig, String> {
    if roots.is_empty() {
        return Err(
            "no root certificate to believe: give --root FILE or --fingerprint HASH".into(),
        );
    }
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(CertificateDer::from(root.clone()))
            .map_err(|error| error.to_string())?;
    }
    Ok(client_builder()?
        .with_root_certificates(store)
        .with_no_client_auth())
}

/// Believes anybody. Only for fetching a root whose fingerprint is known; nothing secret goes over it.
pub(crate) fn client_config_for_bootstrap() -> Result<ClientConfig, String> {
    let algorithms = provider().signature_verification_algorithms;
    Ok(client_builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody { algorithms }))
        .with_no_client_auth())
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// A verifier that believes anybody who holds the key of the certificate shown.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any client certificate whose private key the client proves to hold, and asks for none. Whom it makes of the
/// client is not known here: its path is checked where it is asked for, against the trust anchors of that moment.
#[derive(Debug)]
struct Holder {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Holder {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None are named: clients then show what they have, and strangers do not learn whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let bytes = leaf.len() + intermediates.iter().map(|der| der.len()).sum::<usize>();
        if intermediates.len() > SHOWN_CHAIN_MAX || bytes > SHOWN_BYTES_MAX {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The most certificates beside its own that a client shows: as many as an exchange may bring.
const SHOWN_CHAIN_MAX: usize = 5;
/// The most bytes of certificates that a client shows. Every connection keeps them; six with RSA keys of 4,096 bits
/// take 12 KiB.
const SHOWN_BYTES_MAX: usize = 32 * 1024;
