//! Owns where webhooks may go: which addresses a caller may name, and which machines may stand behind them.
//!
//! A caller chooses the address and we make the request, so without this a caller could reach what only we can reach
//! (server-side request forgery). So: https alone, no credentials, no fragment, the usual ports, and nothing behind it
//! but public machines. An address in numbers is judged when the endpoint is made and before each request; a name is
//! judged by what it resolves to at that very connection ([`TargetPolicy::judge_resolved`]), so that it cannot be one
//! thing when it is looked at and another when it is used.
//!
//! Hosts that an operator names (`HPTS_WEBHOOK_ALLOW`) are exempt: they may be private, and may be reached by http.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;

/// The longest address: longer ones are no addresses that people use, and each stands in a unique index.
const URL_BYTES_MAX: usize = 2048;
/// Below this only [`HTTPS_PORT`] is let in: mail, shells and databases of old have their ports there.
const FREE_PORTS_FROM: u16 = 1024;
const HTTPS_PORT: u16 = 443;
/// Names of no public machine: for this machine, the local network, or nothing at all.
const PRIVATE_NAMES: [&str; 8] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "onion"];

/// Why an address cannot be a webhook's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an address at all.
    #[error("must be an absolute URL of at most 2048 characters")]
    NotAUrl,
    /// Not https.
    #[error("must begin with https://")]
    NotHttps,
    /// With a user or password.
    #[error("must not hold a user name or password")]
    Credentials,
    /// With a fragment.
    #[error("must not hold a fragment")]
    Fragment,
    /// A port of another service.
    #[error("must use port 443, or one from 1024 on")]
    Port,
    /// A machine that is not public.
    #[error("must name a public host: a domain name, or a public address")]
    NotPublic,
}

/// What a name resolved to is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host resolves to an address that is not public")]
pub struct BlockedAddress;

/// A host that an operator exempts, as names are compared: lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(String);

impl FromStr for AllowedHost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_well_formed = !bare.is_empty() && bare.bytes().all(is_host);
        let has_port = bare.parse::<IpAddr>().is_err() && bare.contains(':');
        (is_well_formed && !has_port).then_some(Self(bare)).ok_or("must be a host name or address, without a port")
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where webhooks may go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TargetPolicy {
    allowed: Arc<[AllowedHost]>,
}

/// An address that webhooks may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTarget(Url);

impl WebhookTarget {
    /// As it is stored, shown and compared: the host in punycode, the path escaped.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As the client of HTTP takes it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl TargetPolicy {
    /// Exempts some hosts.
    #[must_use]
    pub fn allowing(hosts: impl IntoIterator<Item = AllowedHost>) -> Self {
        Self { allowed: hosts.into_iter().collect() }
    }

    /// Whether an operator exempts this host.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = comparable(host);
        self.allowed.iter().any(|allowed| allowed.0 == host)
    }

    /// Reads an address.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn judge(&self, text: &str) -> Result<WebhookTarget, TargetError> {
        // The reader of URLs drops blanks, tabs and line ends; what is stored must be what was sent.
        let is_plain = text.len() <= URL_BYTES_MAX && !text.chars().any(|it| it.is_whitespace() || it.is_control());
        let url = is_plain.then(|| Url::parse(text).ok()).flatten().ok_or(TargetError::NotAUrl)?;
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(TargetError::NotAUrl);
        }
        if !["https", "http"].contains(&url.scheme()) {
            return Err(TargetError::NotHttps);
        }
        let host = url.host_str().ok_or(TargetError::NotAUrl)?;
        let is_exempt = self.allows(host);
        if url.scheme() != "https" && !is_exempt {
            return Err(TargetError::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let port = url.port_or_known_default().ok_or(TargetError::Port)?;
        if !is_exempt && port != HTTPS_PORT && port < FREE_PORTS_FROM {
            return Err(TargetError::Port);
        }
        if !is_exempt && !is_public_host(host) {
            return Err(TargetError::NotPublic);
        }
        Ok(WebhookTarget(url))
    }

    /// Judges what a name resolved to, at the connection that will use it. One private address among public ones is
    /// enough to refuse: whoever made the record did not mean well.
    ///
    /// # Errors
    /// [`BlockedAddress`].
    pub fn judge_resolved(&self, host: &str, addresses: &[IpAddr]) -> Result<(), BlockedAddress> {
        let is_good = self.allows(host) || addresses.iter().all(|address| is_public(*address));
        if is_good { Ok(()) } else { Err(BlockedAddress) }
    }
}

fn comparable(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

fn is_public_host(host: &str) -> bool {
    let host = comparable(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_public(address);
    }
    let is_below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    host.contains('.') && !PRIVATE_NAMES.into_iter().any(is_below)
}

/// Whether an address is of a machine that anybody may reach.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Blocks of IPv4 that are not public, by the registry of special-purpose addresses (RFC 6890 and its updates):
/// network and length of its prefix.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Shared by the customers of a carrier.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local; the metadata of clouds.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, and what lies above it.
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    // The metadata of another cloud, on a public address.
    ([168, 63, 129, 16], 32),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !SPECIAL_V4.iter().any(|(network, length)| {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(*length)).unwrap_or(0);
        bits & mask == u32::from(Ipv4Addr::from(*network))
    })
}

/// Only what is given out as global unicast is public, without the parts of it that carry other addresses or stand in
/// books.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inside) = address.to_ipv4_mapped().or_else(|| translated(address)) {
        return is_public_v4(inside);
    }
    let [first, second, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000;
    // Protocol assignments, Teredo among them; 6to4, which carries any IPv4 address; documentation.
    let is_special = matches!((first, second), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    is_global_unicast && !is_special
}

/// The IPv4 address that a translator would reach (NAT64, RFC 6052): that one is judged.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<String, TargetError> {
        TargetPolicy::default().judge(text).map(|target| target.as_str().to_owned())
    }

    #[test]
    fn addresses_are_https_without_anything_hidden_in_them() {
        for (text, expected) in [
            ("http://hooks.example.com/", TargetError::NotHttps),
            ("ftp://hooks.example.com/", TargetError::NotHttps),
            ("file:///etc/passwd", TargetError::NotHttps),
            ("javascript:alert(1)", TargetError::NotHttps),
            ("gopher://hooks.example.com/", TargetError::NotHttps),
            ("https://user:secret@hooks.example.com/", TargetError::Credentials),
            ("https://user@hooks.example.com/", TargetError::Credentials),
            ("https://hooks.example.com/#part", TargetError::Fragment),
            ("https://hooks.example.com:22/", TargetError::Port),
            ("https://hooks.example.com:25/", TargetError::Port),
            ("https://hooks.example.com:80/", TargetError::Port),
            ("https://hooks.example.com:0/", TargetError::Port),
            ("https://hooks.example.com:70000/", TargetError::NotAUrl),
            ("", TargetError::NotAUrl),
            ("hooks.example.com/x", TargetError::NotAUrl),
            ("//hooks.example.com/x", TargetError::NotAUrl),
            ("https://", TargetError::NotAUrl),
            ("https://hooks.example.com/ x", TargetError::NotAUrl),
            ("https://hooks.exam\tple.com/", TargetError::NotAUrl),
            (" https://hooks.example.com/", TargetError::NotAUrl),
            ("https://hooks.example.com/\r\nHost: other", TargetError::NotAUrl),
            ("https://exa mple.com/", TargetError::NotAUrl),
        ] {
            assert_eq!(judged(text), Err(expected), "{text}");
        }
        let long = format!("https://hooks.example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(judged(&long), Err(TargetError::NotAUrl));
        for good in ["https://hooks.example.com/in?a=b", "https://hooks.example.com:8443/", "https://8.8.8.8/"] {
            assert_eq!(judged(good), Ok(good.to_owned()));
        }
        assert_eq!(judged("https://hooks.example.com"), Ok("https://hooks.example.com/".to_owned()));
        assert_eq!(judged("HTTPS://Hooks.Example.COM:443/A"), Ok("https://hooks.example.com/A".to_owned()));
    }

    #[test]
    fn private_hosts_are_refused_however_they_are_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0.0.0.0",
            "0",
            "169.254.169.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "[::1]",
            "[::]",
            "[::ffff:10.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
            "[2002:7f00:1::]",
            "[2002:808:808::]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[100::1]",
            "localhost",
            "localhost.",
            "LOCALHOST",
            "app.localhost",
            "internal",
            "metadata",
            "metadata.google.internal",
            "metadata.google.internal.",
            "printer.local",
            "db.lan",
            "x.home.arpa",
        ] {
            assert_eq!(judged(&format!("https://{host}/")), Err(TargetError::NotPublic), "{host}");
        }
        for host in ["mylocalhost.com", "internal.example.com", "[2606:4700:4700::1111]", "[64:ff9b::808:808]"] {
            assert!(judged(&format!("https://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn the_edges_of_the_blocks_are_right() {
        for (address, expected) in [
            ("9.255.255.255", true),
            ("10.0.0.0", false),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.127.255.255", false),
            ("100.128.0.0", true),
            ("126.255.255.255", true),
            ("128.0.0.0", true),
            ("169.253.255.255", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("239.255.255.255", false),
            ("240.0.0.0", false),
            ("1fff::", false),
            ("2000::1", true),
            ("2001:1ff::1", false),
            ("2001:200::1", true),
            ("4000::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn names_of_other_scripts_are_shown_for_what_they_are() {
        assert_eq!(judged("https://еxample.com/"), Ok("https://xn--xample-2of.com/".to_owned()));
        assert_eq!(judged("https://bücher.example.com/"), Ok("https://xn--bcher-kva.example.com/".to_owned()));
    }

    #[test]
    fn what_an_operator_names_is_exempt_and_nothing_else() {
        let hosts = ["127.0.0.1", "Receiver.Internal.", "[::1]"].map(|host| host.parse::<AllowedHost>().unwrap());
        let policy = TargetPolicy::allowing(hosts);
        for good in ["http://127.0.0.1:81/x", "https://receiver.internal./", "http://[::1]:9000/"] {
            assert!(policy.judge(good).is_ok(), "{good}");
        }
        for bad in ["http://127.0.0.2/", "https://other.internal/", "http://hooks.example.com/", "ftp://127.0.0.1/"] {
            assert!(policy.judge(bad).is_err(), "{bad}");
        }
        assert_eq!(policy.judge("http://a:b@127.0.0.1/"), Err(TargetError::Credentials));
        let private = [IpAddr::from([10, 0, 0, 1])];
        assert_eq!(policy.judge_resolved("receiver.internal", &private), Ok(()));
        assert_eq!(policy.judge_resolved("hooks.example.com", &private), Err(BlockedAddress));
        let mixed = [IpAddr::from([8, 8, 8, 8]), IpAddr::from([10, 0, 0, 1])];
        assert_eq!(policy.judge_resolved("hooks.example.com", &mixed), Err(BlockedAddress));
        assert_eq!(policy.judge_resolved("hooks.example.com", &mixed[..1]), Ok(()));
        for bad in ["", "a b", "host:80", "http://host", "*"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }
}
