//! Owns the address of an outside token issuer's key set, and what such an address may be.
//!
//! Whoever can change what the address answers can sign tokens, so it is https; plain http only to this machine itself.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// Where an outside issuer publishes its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Url);

/// An address that keys must not be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https URL, or http to a loopback address, without credentials or fragment")]
pub struct JwksUrlError;

impl JwksUrl {
    /// The address itself.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_unreadable| JwksUrlError)?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if is_safe && is_plain { Ok(Self(url)) } else { Err(JwksUrlError) }
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://login.example.com/keys",
            "https://login.example.com:8443/keys?tenant=1",
            "http://127.0.0.1:9000/keys",
            "http://127.8.8.8/keys",
            "http://[::1]:9000/keys",
            "http://localhost:9000/keys",
        ] {
            assert_eq!(JwksUrl::from_str(good).map(|url| url.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "login.example.com/keys",
            "http://login.example.com/keys",
            "http://10.0.0.1/keys",
            "http://localhost.example.com/keys",
            "http://127.0.0.1.example.com/keys",
            "file:///etc/keys",
            "ftp://127.0.0.1/keys",
            "https://user:secret@login.example.com/keys",
            "https://user@login.example.com/keys",
            "https://login.example.com/keys#1",
        ] {
            assert_eq!(JwksUrl::from_str(bad), Err(JwksUrlError), "{bad}");
        }
    }
}
