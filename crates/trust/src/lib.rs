//! Trust anchors, profiles and roles; the one decision who gets credentials, and the sealed session token.
