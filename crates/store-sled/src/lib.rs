//! The embedded engine: an append-only journal that is the truth, and a sled index over it.
