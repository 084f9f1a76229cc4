//! What may be certified: profiles, drafts, certificates and revocation lists of our own authorities.
