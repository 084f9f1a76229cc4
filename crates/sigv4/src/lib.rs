//! AWS Signature Version 4: canonical requests, signing and verifying, with a shared secret or a certificate's key.
