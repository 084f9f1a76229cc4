//! HTTP dialects, one thin module each, both ends of the wire; TLS from our own CA.
