//! The search for a path, which is webpki's, and the hook where each path it finds is judged.

use std::cell::RefCell;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, anchor_from_trusted_cert,
    aws_lc_rs,
};

use crate::path::error::PathError;
use crate::path::{Purpose, Question};
use crate::{Certificate, Time};

/// A path that webpki found and no judgement refused.
pub(super) struct Found<'a> {
    pub path: Vec<&'a Certificate>,
    pub good_until: Time,
}

/// Why there is none.
pub(super) enum Refusal {
    /// webpki found a path, and it was refused; the first of such refusals.
    Judged(PathError),
    /// webpki found no path.
    NoPath(webpki::Error),
}

/// Searches for a path that is accepted.
pub(super) fn find<'a>(question: &Question<'a>) -> Result<Found<'a>, Refusal> {
    // 1. Lend the bytes to webpki. An anchor it cannot read is an anchor it cannot trust.
    let leaf_der = CertificateDer::from(question.leaf.der());
    let leaf = EndEntityCert::try_from(&leaf_der).map_err(Refusal::NoPath)?;
    let intermediates: Vec<CertificateDer<'_>> = reachable(question)
        .into_iter()
        .map(|intermediate| CertificateDer::from(intermediate.der()))
        .collect();
    let anchor_ders: Vec<CertificateDer<'_>> = question
        .anchors
        .iter()
        .map(|anchor| CertificateDer::from(anchor.der()))
        .collect();
    let (anchors, anchor_certificates): (Vec<TrustAnchor<'_>>, Vec<&Certificate>) = anchor_ders
        .iter()
        .zip(question.anchors)
        .filter_map(|(der, certificate)| Some((anchor_from_trusted_cert(der).ok()?, certificate)))
        .unzip();

    // 2. Tell which of our certificates a candidate consists of.
    let path_of = |candidate: &webpki::VerifiedPath<'_>| -> Option<Vec<&'a Certificate>> {
        let mut path = vec![question.leaf];
        for intermediate in candidate.intermediate_certificates() {
            let der = intermediate.der();
            path.push(
                question
                    .intermediates
                    .iter()
                    .find(|known| known.der() == der.as_ref())?,
            );
        }
        let anchor = std::ptr::from_ref(candidate.anchor()).cast::<()>();
        let index = anchors
            .iter()
            .position(|known| std::ptr::from_ref(known).cast::<()>() == anchor)?;
        path.push(anchor_certificates[index]);
        Some(path)
    };

    // 3. Judge each candidate. webpki goes on after a refusal, so another path may yet be accepted.
    let first_refusal = RefCell::new(None);
    let good_until = RefCell::new(None);
    let judge = |candidate: &webpki::VerifiedPath<'_>| -> Result<(), webpki::Error> {
        let path = path_of(candidate).ok_or(webpki::Error::UnknownIssuer)?;
        match question.judge(&path) {
            Ok(until) => {
                *good_until.borrow_mut() = Some(until);
                Ok(())
            }
            Err(refusal) => {
                first_refusal.borrow_mut().get_or_insert(refusal);
                Err(webpki::Error::UnknownIssuer)
            }
        }
    };
    let seconds = u64::try_from(question.now.timestamp()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let usage = Usage(question.rules.purpose);
    let found = leaf.verify_for_usage(
        ALGORITHMS,
        &anchors,
        &intermediates,
        now,
        usage,
        None,
        Some(&judge),
    );

    // 4. Keep only what both webpki and the judgement accepted.
    let path = match found {
        Ok(candidate) => {
            path_of(&candidate).ok_or(Refusal::NoPath(webpki::Error::UnknownIssuer))?
        }
        Err(error) => {
            return Err(first_refusal
                .into_inner()
                .map_or(Refusal::NoPath(error), Refusal::Judged));
        }
    };
    match good_until.into_inner() {
        Some(good_until) => Ok(Found { path, good_until }),
        None => Err(Refusal::NoPath(webpki::Error::UnknownIssuer)),
    }
}

/// The intermediates from which an anchor can be reached, in their order.
///
/// The others cannot be on a path; leaving them out keeps a heap of certificates that lead nowhere from being tried in
/// every order. A few are told by names alone. Of many, which could bear names that make each seem to lead to each, the
/// signatures are verified first.
fn reachable<'a>(question: &Question<'a>) -> Vec<&'a Certificate> {
    let by_signature = question.intermediates.len() > UNVERIFIED_INTERMEDIATES_MAX;
    let mut signatures_left = SORTED_SIGNATURES_MAX;
    let mut reached = vec![false; question.intermediates.len()];
    let mut issuers: Vec<&Certificate> = question.anchors.iter().collect();
    while let Some(issuer) = issuers.pop() {
        for (reached, &certificate) in reached.iter_mut().zip(&question.intermediates) {
            let named = !*reached && certificate.issuer() == issuer.subject();
            if named && (!by_signature || is_signed(certificate, issuer, &mut signatures_left)) {
                *reached = true;
                issuers.push(certificate);
            }
        }
    }
    question
        .intermediates
        .iter()
        .zip(reached)
        .filter(|(_, reached)| *reached)
        .map(|(known, _)| *known)
        .collect()
}

/// Whether the certificate was signed by this CA's key; no, once the signatures that may be verified are used up.
pub(super) fn is_signed(
    certificate: &Certificate,
    ca: &Certificate,
    signatures_left: &mut usize,
) -> bool {
    let Some(left) = signatures_left.checked_sub(1) else {
        return false;
    };
    *signatures_left = left;
    ca.public_key()
        .is_ok_and(|key| certificate.verify_signed_by(key).is_ok())
}

/// Asks webpki about extended key usage only where a purpose is given.
struct Usage(Purpose);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self.0 {
            Purpose::Any => Ok(()),
            Purpose::Client => KeyUsage::client_auth().validate(purposes),
            Purpose::Server => KeyUsage::server_auth().validate(purposes),
        }
    }
}

/// The signature algorithms that certificates may be signed with: SHA-256 or stronger, RSA of 2048 bits or more.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::ECDSA_P256_SHA512,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P384_SHA384,
    aws_lc_rs::ECDSA_P384_SHA512,
    aws_lc_rs::ECDSA_P521_SHA256,
    aws_lc_rs::ECDSA_P521_SHA384,
    aws_lc_rs::ECDSA_P521_SHA512,
    aws_lc_rs::ED25519,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// So many intermediates webpki can try in every order at once: some thousand steps.
const UNVERIFIED_INTERMEDIATES_MAX: usize = 8;

/// How many signatures are verified to sort out a heap of intermediates. Honest ones need one or two each.
const SORTED_SIGNATURES_MAX: usize = 256;
