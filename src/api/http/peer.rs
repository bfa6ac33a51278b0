//! Owns who stands at the other end of a request's connection, as far as TLS has proved it.
//!
//! The server puts the client certificate's thumbprint into the request's extensions, the edge runs the rest of the
//! request inside [`with_peer`], and whoever judges a token asks [`current`]. It goes with the task, not through every
//! handler's arguments: a handler cannot mix up two callers, and code outside a request sees nobody, so that a
//! certificate-bound token is refused there.

use std::fmt;
use std::future::Future;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The SHA-256 of a client certificate (`x5t#S256`, RFC 8705).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CertificateThumbprint([u8; 32]);

impl CertificateThumbprint {
    /// The thumbprint of a certificate in DER.
    pub(crate) fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Reads it as tokens carry it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for CertificateThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateThumbprint").field(&URL_SAFE_NO_PAD.encode(self.0)).finish()
    }
}

tokio::task_local! {
    static PEER: CertificateThumbprint;
}

/// Runs a request of the holder of a client certificate, or of nobody in particular.
pub(crate) async fn with_peer<F: Future>(peer: Option<CertificateThumbprint>, request: F) -> F::Output {
    match peer {
        None => request.await,
        Some(peer) => PEER.scope(peer, request).await,
    }
}

/// The client certificate of the request that is running.
pub(crate) fn current() -> Option<CertificateThumbprint> {
    PEER.try_with(|peer| *peer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_reads_as_tokens_carry_it() {
        // SHA-256 of "abc", FIPS 180-2, appendix B.1.
        let text = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(CertificateThumbprint::parse(text), Some(CertificateThumbprint::of_certificate(b"abc")));
        for bad in ["", "AAAA", &format!("{text}="), &format!("{text}AAAA"), &text.replace('-', "+"), "not base64!"] {
            assert_eq!(CertificateThumbprint::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_request_itself_sees_its_peer() {
        let (one, other) = (CertificateThumbprint([1; 32]), CertificateThumbprint([2; 32]));
        assert_eq!(current(), None);
        let seen = async { current() };
        assert_eq!(with_peer(Some(one), seen).await, Some(one));
        let both = async {
            tokio::join!(with_peer(Some(one), async { current() }), with_peer(Some(other), async { current() }))
        };
        assert_eq!(both.await, (Some(one), Some(other)));
        assert_eq!(with_peer(None, async { current() }).await, None);
    }
}
