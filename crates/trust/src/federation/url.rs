//! The addresses of identity providers: HTTPS, or plain HTTP to this machine.

/// Whether `url` is one that keys may be fetched from, and the part after the scheme: `host[:port][/path]`.
///
/// No query, fragment or user (OpenID Connect Discovery §2); no character that a URL would have to escape.
pub(crate) fn after_scheme(url: &str) -> Option<&str> {
    if url.is_empty() || url.len() > URL_CHARACTERS_MAX || !url.bytes().all(is_url_byte) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = host_of(authority)?;
    match scheme {
        "https" => Some(rest),
        // Whoever could read that could read our memory.
        "http" if is_loopback(host) => Some(rest),
        _ => None,
    }
}

/// Whether the condition keys of an issuer, which begin with what is after its scheme, are its own.
///
/// Of a host of one word they could be those of a service (`https://aws` would say `aws:SourceIp`), and a colon in the
/// path could be that before the claim of a shorter issuer. No `*` in it looks like a pattern.
pub(crate) fn names_its_own_keys(issuer: &str) -> bool {
    let Some(rest) = after_scheme(issuer) else {
        return false;
    };
    let (_, path) = rest.split_once('/').unwrap_or((rest, ""));
    let told_apart = rest.contains(['.', '/', ':']) || rest == "localhost";
    told_apart && !path.contains(':') && !rest.contains('*')
}

/// Whether an address may be fetched because one that is believed names it: plain HTTP only where that one has it too.
pub(crate) fn may_lead_to(from: &str, url: &str) -> bool {
    let query_cut = url.split('?').next().unwrap_or(url);
    after_scheme(query_cut).is_some()
        && url.len() <= URL_CHARACTERS_MAX
        && url.bytes().all(|byte| is_url_byte(byte) || byte == b'?')
        && (url.starts_with("https://") || from.starts_with("http://"))
}

/// The host of `host[:port]`, an IPv6 address without its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                port.strip_prefix(':')
                    .or(port.is_empty().then_some("443"))?,
            )
        }
        None => authority.split_once(':').unwrap_or((authority, "443")),
    };
    let port: u16 = port.parse().ok()?;
    (port != 0 && !host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// RFC 3986 §2, without what begins a query, a fragment or a user.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/[]!$&'()*+,;=%".contains(&byte)
}

/// The longest URL of a provider: the limit of IAM.
pub(crate) const URL_CHARACTERS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_on_this_machine() {
        for (url, rest) in [
            ("https://a.example", "a.example"),
            ("https://a.example:8443/b/c/", "a.example:8443/b/c/"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080/x", "[::1]:8080/x"),
            ("http://localhost", "localhost"),
        ] {
            assert_eq!(after_scheme(url), Some(rest), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost.a.example",
            "HTTPS://a.example",
            "https://",
            "https://a.example?x=1",
            "https://a.example#x",
            "https://user@a.example",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example/ b",
            "https://[::1",
            "ftp://a.example",
            "a.example",
            "",
        ] {
            assert_eq!(after_scheme(url), None, "{url}");
        }
        assert_eq!(after_scheme(&format!("https://{}", "a".repeat(300))), None);
    }

    #[test]
    fn what_an_issuer_names_is_no_weaker_than_the_issuer() {
        assert!(may_lead_to(
            "https://a.example",
            "https://keys.example/jwks?v=1"
        ));
        assert!(may_lead_to("http://127.0.0.1:1", "http://127.0.0.1:1/jwks"));
        assert!(!may_lead_to("https://a.example", "http://127.0.0.1:1/jwks"));
        assert!(!may_lead_to("https://a.example", "file:///etc/passwd"));
    }
}
