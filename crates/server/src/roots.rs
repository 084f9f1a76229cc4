//! The roots that the programs of this machine believe.

use rustls::RootCertStore;

/// The roots of this system, DER: those in `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are set, else where its
/// distribution keeps them. None where there are none.
pub fn system_roots() -> Vec<Vec<u8>> {
    // Some of a system's roots may be in forms that nobody reads; the others are as good.
    let found = rustls_native_certs::load_native_certs();
    let reads = |root: &rustls::pki_types::CertificateDer<'static>| {
        RootCertStore::empty().add(root.clone()).is_ok()
    };
    let roots = found.certs.into_iter().filter(reads);
    roots.map(|root| root.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_that_is_found_is_one_that_can_be_believed() {
        let roots = system_roots();
        if !roots.is_empty() {
            crate::tls::client_config(&roots).unwrap();
        }
    }
}
