//! The storage seam: ordered keys, byte values, one atomic conditional commit.
