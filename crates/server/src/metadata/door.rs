//! Who may ask at all: clients of this machine that mean this endpoint, and no web page in a browser.
//!
//! A page can make its visitor's browser send requests to loopback. Browsers say so in `Origin` and `Sec-Fetch-Site`;
//! and a page whose own name was pointed here (DNS rebinding) has that name in `Host`. No SDK sends either.

use std::net::IpAddr;

use http::HeaderMap;

/// Why somebody may not ask; nothing if he may.
pub(super) fn refusal(headers: &HeaderMap, own: IpAddr, names: &[String]) -> Option<&'static str> {
    if headers.contains_key(http::header::ORIGIN) {
        return Some("requests of web pages (with an Origin header) are refused");
    }
    // `none` is what somebody typed into an address bar.
    let page = |site: &http::HeaderValue| site.as_bytes() != b"none";
    if headers.get_all("sec-fetch-site").iter().any(page) {
        return Some("requests of web pages (with a Sec-Fetch-Site header) are refused");
    }
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Some("exactly one Host header is needed");
    };
    let named = host.to_str().ok().and_then(|text| {
        let authority: http::uri::Authority = text.parse().ok()?;
        Some(authority.host().trim_matches(['[', ']']).to_owned())
    });
    match named {
        Some(host) if is_own(&host, own, names) => None,
        Some(_) | None => Some(
            "the Host header names another server: use localhost, an address of this machine, or a name that it was given",
        ),
    }
}

fn is_own(host: &str, own: IpAddr, names: &[String]) -> bool {
    if host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
    {
        return true;
    }
    // An address cannot be pointed elsewhere as a name can; still, only those that can be this endpoint's.
    host.parse::<IpAddr>().is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == own.to_canonical() || is_metadata(address)
    })
}

/// The addresses under which AWS's own machines have these endpoints, and which a packet filter may send here.
fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[..2] == [0xfd00, 0x0ec2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn refused(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let own = "192.0.2.7".parse().unwrap();
        refusal(&headers, own, &["host.example".into()]).is_some()
    }

    #[test]
    fn addresses_of_this_machine_and_given_names_may_be_asked() {
        for host in [
            "localhost",
            "LOCALHOST:9911",
            "127.0.0.1",
            "127.0.0.1:9911",
            "127.9.9.9",
            "[::1]:9911",
            "192.0.2.7:80",
            "169.254.169.254",
            "169.254.170.2",
            "[fd00:ec2::254]",
            "host.example:9911",
        ] {
            assert!(!refused(&[("host", host)]), "{host}");
        }
    }

    #[test]
    fn another_name_in_host_is_refused() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "user@localhost:1@evil.example",
        ] {
            assert!(refused(&[("host", host)]), "{host}");
        }
        assert!(refused(&[]));
        assert!(refused(&[("host", "localhost"), ("host", "localhost")]));
    }

    #[test]
    fn what_a_browser_sends_for_a_page_is_refused() {
        for header in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9911"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert!(refused(&[("host", "localhost"), header]), "{header:?}");
        }
        assert!(!refused(&[
            ("host", "localhost"),
            ("sec-fetch-site", "none")
        ]));
    }
}
