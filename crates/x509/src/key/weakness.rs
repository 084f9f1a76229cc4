//! Cheap tests for RSA moduli that are known to be easy to factor.

/// Says what makes a modulus weak, if one of the cheap tests finds something.
pub(super) fn of_modulus(modulus: &[u8]) -> Option<&'static str> {
    let mut infineon = true;
    for prime in SMALL_PRIMES {
        let remainder = remainder(modulus, prime);
        if remainder == 0 {
            return Some("has a factor below 170");
        }
        infineon = infineon && is_power_of_65537(remainder, prime);
    }
    infineon.then_some("has the fingerprint of CVE-2017-15361 (ROCA) and can be factored")
}

fn remainder(modulus: &[u8], prime: u64) -> u64 {
    // Seven octets at a time: with a remainder below 256 before them they fill 64 bits.
    modulus.chunks(7).fold(0, |remainder, octets| {
        let number = octets
            .iter()
            .fold(remainder, |number, octet| number << 8 | u64::from(*octet));
        number % prime
    })
}

/// Whether the residue is in the subgroup that 65537 generates. Primes made by the faulty library make moduli for which
/// this holds under every small prime (Nemec et al., "The Return of Coppersmith's Attack", 2017, §3).
fn is_power_of_65537(residue: u64, prime: u64) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

/// 2, and the odd primes whose product is the modulus of the faulty generator for keys up to 960 bits; longer keys use more,
/// but a modulus that passes under all of these by chance is one in more than 10^8.
const SMALL_PRIMES: [u64; 39] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_modulus_is_weak() {
        assert_eq!(of_modulus(&[0x80, 0x02]), Some("has a factor below 170"));
    }

    #[test]
    fn product_of_powers_of_65537_has_the_fingerprint() {
        // 65537 itself leaves a power of 65537 under every prime.
        assert!(of_modulus(&[0x01, 0x00, 0x01]).is_some_and(|weakness| weakness.contains("ROCA")));
    }

    #[test]
    fn remainders_of_long_numbers_are_right() {
        // 256 leaves 1 under the divisors of 255, so a number leaves the sum of its octets.
        let number: Vec<u8> = (1..=100).collect();
        assert_eq!(remainder(&number, 5), (1..=100).sum::<u64>() % 5);
        assert_eq!(remainder(&number, 17), (1..=100).sum::<u64>() % 17);
    }

    #[test]
    fn large_prime_is_not_weak() {
        // 2^61 - 1.
        assert_eq!(
            of_modulus(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            None
        );
    }
}
