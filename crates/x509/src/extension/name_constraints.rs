//! Which names the certificates below an authority may have (RFC 5280 §4.2.1.10).

use std::net::IpAddr;

use crate::asn1::{self, Cursor, DerError, Element};
use crate::general_name::GeneralName;
use crate::name::DistinguishedName;

/// The subtrees an authority is confined to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameConstraints {
    /// Names of a kind listed here must lie in one of these.
    pub permitted: Vec<ConstrainedName>,
    /// Names must lie in none of these.
    pub excluded: Vec<ConstrainedName>,
}

/// The base of one subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstrainedName {
    /// A host name and those below it.
    Dns(String),
    /// A mailbox, all mailboxes of a host, or with a leading dot those of a domain.
    Email(String),
    /// The host of a URI, or with a leading dot a domain.
    Uri(String),
    /// Addresses.
    Ip(AddressRange),
    /// A name and those that begin with it.
    DirectoryName(DistinguishedName),
    /// Another kind, as the DER of its GeneralName.
    Other(Vec<u8>),
}

/// Addresses that agree with one under a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    /// The address.
    pub address: IpAddr,
    /// The mask, of the same family.
    pub mask: IpAddr,
}

impl NameConstraints {
    /// Reads the extension's value. At least one of the lists must be there, neither empty (RFC 5280 §4.2.1.10).
    pub fn from_der(value: &[u8]) -> Result<NameConstraints, DerError> {
        let field = "nameConstraints";
        let mut inside = Cursor::only(value, asn1::SEQUENCE, field)?.inside();
        let permitted = inside.optional(asn1::context_constructed(0), "permittedSubtrees")?;
        let excluded = inside.optional(asn1::context_constructed(1), "excludedSubtrees")?;
        inside.end(field)?;
        if permitted.is_none() && excluded.is_none() {
            return Err(DerError::Value {
                field,
                rule: "permitted or excluded subtrees must be present",
            });
        }
        let subtrees = |list: Option<Element<'_>>| list.map_or(Ok(Vec::new()), subtrees);
        Ok(NameConstraints {
            permitted: subtrees(permitted)?,
            excluded: subtrees(excluded)?,
        })
    }
}

fn subtrees(list: Element<'_>) -> Result<Vec<ConstrainedName>, DerError> {
    let mut list = list.inside();
    if list.is_empty() {
        return Err(DerError::Missing { field: "subtree" });
    }
    let mut names = Vec::new();
    while !list.is_empty() {
        let mut subtree = list.expect(asn1::SEQUENCE, "subtree")?.inside();
        let base = subtree.any("subtree base")?;
        if !subtree.is_empty() {
            let rule = "minimum is 0, left out, and maximum is absent";
            return Err(DerError::Value {
                field: "subtree",
                rule,
            });
        }
        names.push(constrained_name(&base)?);
    }
    Ok(names)
}

fn constrained_name(base: &Element<'_>) -> Result<ConstrainedName, DerError> {
    if base.tag == asn1::context(7) {
        return AddressRange::from_octets(base.content).map(ConstrainedName::Ip);
    }
    Ok(match GeneralName::from_element(base)? {
        GeneralName::Dns(name) => ConstrainedName::Dns(name),
        GeneralName::Email(name) => ConstrainedName::Email(name),
        GeneralName::Uri(name) => ConstrainedName::Uri(name),
        GeneralName::DirectoryName(name) => ConstrainedName::DirectoryName(name),
        GeneralName::Other(der) => ConstrainedName::Other(der),
        // Cannot happen: addresses were taken out above. A single address is a range of one.
        GeneralName::Ip(address) => ConstrainedName::Ip(AddressRange {
            address,
            mask: address,
        }),
    })
}

impl AddressRange {
    fn from_octets(octets: &[u8]) -> Result<AddressRange, DerError> {
        if let Ok([a, b, c, d, e, f, g, h]) = <[u8; 8]>::try_from(octets) {
            return Ok(AddressRange {
                address: IpAddr::from([a, b, c, d]),
                mask: IpAddr::from([e, f, g, h]),
            });
        }
        let halves = octets.split_at_checked(16);
        let halves = halves.and_then(|(address, mask)| {
            Some((
                <[u8; 16]>::try_from(address).ok()?,
                <[u8; 16]>::try_from(mask).ok()?,
            ))
        });
        let rule = "a range is an address and a mask, 8 or 32 octets";
        let (address, mask) = halves.ok_or(DerError::Value {
            field: "iPAddress subtree",
            rule,
        })?;
        Ok(AddressRange {
            address: IpAddr::from(address),
            mask: IpAddr::from(mask),
        })
    }

    /// Whether the address lies in the range. Families do not mix.
    pub fn contains(&self, candidate: IpAddr) -> bool {
        match (self.address, self.mask, candidate) {
            (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(candidate)) => {
                address.to_bits() & mask.to_bits() == candidate.to_bits() & mask.to_bits()
            }
            (IpAddr::V6(address), IpAddr::V6(mask), IpAddr::V6(candidate)) => {
                address.to_bits() & mask.to_bits() == candidate.to_bits() & mask.to_bits()
            }
            _ => false,
        }
    }

    /// The length of the prefix, if the mask is one; RFC 4632 masks are.
    pub fn prefix_len(&self) -> Option<u32> {
        let (bits, width) = match self.mask {
            IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
            IpAddr::V6(mask) => (mask.to_bits(), 128),
        };
        let ones = bits.leading_ones();
        (bits.checked_shl(ones).unwrap_or(0) == 0).then_some(ones.min(width))
    }
}
