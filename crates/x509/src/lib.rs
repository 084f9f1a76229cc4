//! RFC 5280 vocabulary: names, keys, requests, certificates, CRLs and the verified path.
