//! Owns page tokens: opaque to callers, and good only for the query that gave them.
//!
//! A token is the place to go on from and a check over tenant, query and place. The check is no secret: it keeps a
//! token from being used with another query by mistake. A forged one shows nothing the caller may not read anyway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::core::ids::TenantId;

const NOT_A_TOKEN: &str = "is not a page token of this query";

/// The page of what was read, which is one more than `limit` where there is a next one; with the last item of it then.
pub(crate) fn cut<T>(found: &[T], limit: i64) -> (&[T], Option<&T>) {
    let shown = found.get(..usize::try_from(limit).unwrap_or(usize::MAX)).unwrap_or(found);
    (shown, if found.len() > shown.len() { shown.last() } else { None })
}

/// The query that a token belongs to.
#[derive(Debug)]
pub(crate) struct PagedQuery {
    tenant: TenantId,
    canonical: String,
}

impl PagedQuery {
    /// Names the query; `parts` in a fixed order.
    pub(crate) fn new(tenant: TenantId, parts: &[&str]) -> Self {
        // A newline cannot stand in any parameter that is taken.
        Self { tenant, canonical: parts.join("\n") }
    }

    /// The token to go on after `place`.
    pub(crate) fn token(&self, place: i64) -> String {
        self.token_of(&place.to_be_bytes())
    }

    /// The token to go on after a place that is no number.
    pub(crate) fn token_of(&self, place: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode([place, &self.check(place)].concat())
    }

    /// The place a token of this query goes on after.
    pub(crate) fn place(&self, token: &str) -> Result<i64, &'static str> {
        let place = i64::from_be_bytes(self.place_of_size(token)?);
        if place >= 0 { Ok(place) } else { Err(NOT_A_TOKEN) }
    }

    /// The same for a place that is no number.
    pub(crate) fn place_of(&self, token: &str) -> Result<Vec<u8>, &'static str> {
        let place = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| {
            let (place, check) = bytes.split_last_chunk::<16>()?;
            (*check == self.check(place)).then(|| place.to_vec())
        });
        place.ok_or(NOT_A_TOKEN)
    }

    /// The same for a place of a known size.
    pub(crate) fn place_of_size<const N: usize>(&self, token: &str) -> Result<[u8; N], &'static str> {
        self.place_of(token)?.try_into().map_err(|_| NOT_A_TOKEN)
    }

    fn check(&self, place: &[u8]) -> [u8; 16] {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"hpts.page\0")
            .chain_update(self.tenant.0)
            .chain_update(place)
            .chain_update(&self.canonical)
            .finalize()
            .into();
        hash.first_chunk::<16>().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_query_only() {
        let tenant = |number| TenantId(uuid::Uuid::from_u128(number));
        let query = PagedQuery::new(tenant(1), &["payments", "loan"]);
        let token = query.token(42);
        assert_eq!(query.place(&token), Ok(42));
        assert!(PagedQuery::new(tenant(2), &["payments", "loan"]).place(&token).is_err());
        assert!(PagedQuery::new(tenant(1), &["payments", "other"]).place(&token).is_err());
        assert_eq!(query.place_of_size::<4>(&query.token_of(b"four")), Ok(*b"four"));
        assert!(query.place_of_size::<4>(&query.token_of(b"eightbytes")).is_err());
        for bad in ["", "x", "AAAAAAAAACo", &token.replace('A', "B")] {
            assert!(query.place(bad).is_err(), "{bad}");
        }
    }
}
