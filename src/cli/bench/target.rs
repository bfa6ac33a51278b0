//! Owns where load may go: plain HTTP on a loopback address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::Uri;
use hyper::header::HeaderValue;

use crate::cli::bench::BenchError;

/// One HTTP endpoint of this machine.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where to connect.
    pub(super) address: SocketAddr,
    /// What the `Host` header says.
    pub(super) host: HeaderValue,
    /// The path, `/` where none was given.
    pub(super) path: String,
}

impl Target {
    /// Reads `http://LOOPBACK[:PORT][/PATH]`.
    pub(super) fn parse(url: &str) -> Result<Self, BenchError> {
        let refuse = |why| BenchError::Url { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| refuse("is not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(refuse("must begin with http://"));
        }
        let authority = uri.authority().ok_or(refuse("names no host"))?;
        let ip =
            loopback(authority.host()).ok_or(refuse("is not a loopback address; bench loads this machine only"))?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| refuse("is not a URL"))?;
        let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
        Ok(Self { address, host, path: uri.path().to_owned() })
    }

    /// The same server, another path.
    pub(super) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }
}

/// No name is looked up: a name that points here today may point elsewhere tomorrow.
fn loopback(host: &str) -> Option<IpAddr> {
    if host == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().filter(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_loaded() {
        for (url, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.8.9.1", "127.8.9.1:80"),
            ("http://localhost:8081/", "127.0.0.1:8081"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(Target::parse(url).unwrap().address.to_string(), address, "{url}");
        }
        assert_eq!(Target::parse("http://127.0.0.1:1/oauth2/token").unwrap().path, "/oauth2/token");
        for url in [
            "http://10.0.0.1:8080",
            "http://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0:8080",
            "http://[::]:8080",
            "https://127.0.0.1",
            "127.0.0.1:8080",
            "http://127.0.0.1@10.0.0.1/",
            "",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, BenchError::Url { .. }), "{url}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
