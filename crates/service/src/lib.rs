//! Operations: load, decide, commit. Clock, entropy and concrete signers enter here.
