//! The checksums that a streamed upload may carry in its trailer.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A checksum that is being worked out.
pub(crate) enum Checksum {
    Crc32(crc32fast::Hasher),
    Crc(Crc),
    Digest(digest::Context),
}

impl Checksum {
    /// The checksum that a trailer of this name carries. `None` where it is none that we know.
    pub(crate) fn of_trailer(name: &str) -> Option<Checksum> {
        Some(match name {
            "x-amz-checksum-crc32" => Checksum::Crc32(crc32fast::Hasher::new()),
            "x-amz-checksum-crc32c" => Checksum::Crc(Crc::new(&CRC32C, u64::from(u32::MAX), 4)),
            "x-amz-checksum-crc64nvme" => Checksum::Crc(Crc::new(&CRC64_NVME, u64::MAX, 8)),
            "x-amz-checksum-sha1" => {
                Checksum::Digest(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            "x-amz-checksum-sha256" => Checksum::Digest(digest::Context::new(&digest::SHA256)),
            _ => return None,
        })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Crc32(hasher) => hasher.update(bytes),
            Checksum::Crc(crc) => crc.update(bytes),
            Checksum::Digest(context) => context.update(bytes),
        }
    }

    /// Its base64 text, as trailers have it.
    pub(crate) fn finish(self) -> String {
        match self {
            Checksum::Crc32(hasher) => STANDARD.encode(hasher.finalize().to_be_bytes()),
            Checksum::Crc(crc) => crc.finish(),
            Checksum::Digest(context) => STANDARD.encode(context.finish()),
        }
    }
}

/// A reflected CRC over a table, all ones at the start and turned over at the end.
pub(crate) struct Crc {
    table: &'static [u64; 256],
    value: u64,
    ones: u64,
    bytes: usize,
}

impl Crc {
    fn new(table: &'static [u64; 256], ones: u64, bytes: usize) -> Crc {
        Crc {
            table,
            value: ones,
            ones,
            bytes,
        }
    }

    fn update(&mut self, data: &[u8]) {
        for byte in data {
            // The lowest byte of both.
            let index = (self.value as u8) ^ byte;
            self.value = self.table[usize::from(index)] ^ (self.value >> 8);
        }
    }

    fn finish(&self) -> String {
        let value = (self.value ^ self.ones).to_be_bytes();
        STANDARD.encode(&value[value.len() - self.bytes..])
    }
}

const fn table(polynomial: u64) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ polynomial
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// CRC-32C (RFC 3720 appendix B.4), reflected.
static CRC32C: [u64; 256] = table(0x82F6_3B78);

/// CRC-64/NVME (NVM Express base specification), reflected.
static CRC64_NVME: [u64; 256] = table(0x9A6C_9329_AC4B_C9B5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_checksum_gives_its_published_check_value() {
        // The check value of a CRC is that of the text 123456789.
        for (name, expected) in [
            ("crc32", "cbf43926"),
            ("crc32c", "e3069283"),
            ("crc64nvme", "ae8b14860a799888"),
            ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                "sha256",
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let mut checksum = Checksum::of_trailer(&format!("x-amz-checksum-{name}")).unwrap();
            checksum.update(b"1234");
            checksum.update(b"56789");
            let bytes = STANDARD.decode(checksum.finish()).unwrap();
            assert_eq!(hex::encode(bytes), expected, "{name}");
        }
        assert!(Checksum::of_trailer("x-amz-checksum-md5").is_none());
    }
}
