//! The client's half: keys and requests are made, and signed, where the private key lives.

use bowline_sigv4::{Body, Credentials, SignedRequest, sign_hmac, sign_x509};
use bowline_x509::{
    Certificate, CertificationRequest, DistinguishedName, PublicKey, Signer, Time, pem,
};
use serde_json::json;

use crate::certificates::RenewCertificate;
use crate::error::Error;
use crate::sessions::{PATH, SessionCredentials};
use crate::verify::{certificates_from, is_der};
use crate::wire::WireRequest;

/// A certification request for a key, DER. It asks for nothing: what the certificate says is decided by the CA.
pub fn certification_request(key: &dyn Signer) -> Result<Vec<u8>, Error> {
    Ok(CertificationRequest::create(
        &DistinguishedName::empty(),
        &[],
        key,
    )?)
}

/// Reads a certification request from a file, PEM or DER.
pub fn certification_request_from_file(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if is_der(bytes) {
        return Ok(bytes.to_vec());
    }
    let blocks = pem::decode(bytes)?;
    let request = blocks
        .into_iter()
        .find(|block| block.label.ends_with("CERTIFICATE REQUEST"));
    Ok(request.ok_or(Error::NoCertificationRequest)?.der)
}

/// The old key's word for a renewal.
pub fn renewal_proof(
    certificate: &[u8],
    csr: &[u8],
    key: &dyn Signer,
    signed_at: Time,
) -> Result<Vec<u8>, Error> {
    let statement = RenewCertificate::statement(certificate, csr, signed_at);
    Ok(key.sign(key.public_key().default_signature_algorithm(), &statement)?)
}

/// What to ask of an exchange.
#[derive(Clone, Debug)]
pub struct SessionAsk {
    /// The role's ARN.
    pub role_arn: String,
    /// The profile's ARN.
    pub profile_arn: String,
    /// The trust anchor's ARN.
    pub trust_anchor_arn: String,
    /// How long, in seconds; the profile's duration if not given.
    pub duration_seconds: Option<u32>,
    /// A name for the session.
    pub role_session_name: Option<String>,
}

/// A signed CreateSession request, as any Roles Anywhere client makes it. `certificates` is the leaf, then
/// those between it and the root, DER.
pub fn session_request(
    ask: &SessionAsk,
    host: &str,
    certificates: &[Vec<u8>],
    key: &dyn Signer,
    region: &str,
    now: Time,
) -> Result<WireRequest, Error> {
    let mut body = json!({
        "profileArn": ask.profile_arn,
        "roleArn": ask.role_arn,
        "trustAnchorArn": ask.trust_anchor_arn,
    });
    if let Some(seconds) = ask.duration_seconds {
        body["durationSeconds"] = seconds.into();
    }
    if let Some(name) = &ask.role_session_name {
        body["roleSessionName"] = name.as_str().into();
    }
    let mut request = WireRequest {
        method: "POST".into(),
        target: PATH.into(),
        headers: vec![
            ("host".into(), host.into()),
            ("content-type".into(), "application/json".into()),
        ],
        body: body.to_string().into_bytes(),
    };
    sign_request_with_certificate(&mut request, certificates, key, region, now)?;
    Ok(request)
}

/// Signs a request with a certificate's key.
pub fn sign_request_with_certificate(
    request: &mut WireRequest,
    certificates: &[Vec<u8>],
    key: &dyn Signer,
    region: &str,
    now: Time,
) -> Result<(), Error> {
    let mut certificates = certificates.iter().map(|der| Certificate::from_der(der));
    let leaf = certificates.next().ok_or(Error::NoCertificate)??;
    let chain = certificates.collect::<Result<Vec<_>, _>>()?;
    let added = sign_x509(
        &crate::sessions::signed_request(request),
        &leaf,
        &chain,
        key,
        region,
        now,
    )?;
    request.headers.extend(added);
    Ok(())
}

/// Signs a request with temporary credentials.
pub fn sign_request(
    request: &mut WireRequest,
    credentials: &SessionCredentials,
    region: &str,
    service: &str,
    now: Time,
) -> Result<(), Error> {
    let signing = Credentials {
        access_key_id: &credentials.access_key_id,
        secret: credentials.secret_access_key.reveal(),
        session_token: Some(credentials.session_token.reveal()),
    };
    let signed = SignedRequest::new(
        &request.method,
        &request.target,
        &request.headers,
        Body::Bytes(&request.body),
    );
    let added = sign_hmac(&signed, &signing, region, service, now)?;
    request.headers.extend(added);
    Ok(())
}

/// The certificates of a file, PEM or DER, each as DER.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    Ok(certificates_from(text)?
        .iter()
        .map(|certificate| certificate.der().to_vec())
        .collect())
}

/// The public key of a certificate (DER).
pub fn public_key_of(certificate: &[u8]) -> Result<PublicKey, Error> {
    let certificate = Certificate::from_der(certificate)?;
    certificate
        .public_key()
        .cloned()
        .map_err(|error| Error::Key(error.clone()))
}

/// The SHA-1 of a certificate in hex, by which older tools list certificates. Nothing is proved by it.
pub fn certificate_sha1(certificate: &[u8]) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
    hex::encode(digest)
}

/// Certificates as PEM, one after the other.
pub fn pem_of(certificates: &[Vec<u8>]) -> String {
    certificates
        .iter()
        .map(|der| pem::encode("CERTIFICATE", der))
        .collect()
}

/// A CRL as PEM.
pub fn crl_pem(der: &[u8]) -> String {
    pem::encode("X509 CRL", der)
}

/// The certificate with a SHA-256 fingerprint, out of PEM text.
pub fn certificate_with_fingerprint(text: &[u8], fingerprint: &[u8; 32]) -> Option<Vec<u8>> {
    let certificates = pem::certificates(text).ok()?;
    certificates
        .iter()
        .find(|certificate| certificate.fingerprint() == *fingerprint)
        .map(|found| found.der().to_vec())
}
