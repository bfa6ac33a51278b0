//! Owns cursors of the change feed: opaque to callers, and good for the tenant that got them only.
//!
//! A cursor is a place and a check over tenant and place. The check is no secret: it finds a cursor that was cut off or
//! comes from elsewhere, so that nobody goes on from a place he never was at. A forged one shows nothing the caller may
//! not read anyway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::core::ids::TenantId;
use crate::store::ChangePlace;

const PLACE_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Behind a place; the beginning of the feed where the caller names none.
    After(ChangePlace),
    /// With what comes from now on.
    Latest,
}

impl Begin {
    /// Reads a caller's cursor, or the word `latest`.
    pub(crate) fn parse(tenant: TenantId, text: &str) -> Result<Self, &'static str> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        place_of(tenant, text).map(Self::After).ok_or("is not a cursor of your change feed, nor latest")
    }
}

impl Default for Begin {
    fn default() -> Self {
        Self::After(ChangePlace::START)
    }
}

/// The cursor to go on from behind a place.
pub(crate) fn cursor_of(tenant: TenantId, place: ChangePlace) -> String {
    let bytes = bytes_of(place);
    URL_SAFE_NO_PAD.encode([&bytes[..], &check(tenant, &bytes)].concat())
}

fn place_of(tenant: TenantId, text: &str) -> Option<ChangePlace> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (place, seen) = bytes.split_first_chunk::<PLACE_BYTES>()?;
    let (epoch, rest) = place.split_first_chunk::<4>()?;
    let (xact, rest) = rest.split_first_chunk::<8>()?;
    let place = ChangePlace {
        epoch: i32::from_be_bytes(*epoch),
        xact: i64::from_be_bytes(*xact),
        taken: i32::from_be_bytes(*rest.first_chunk::<4>()?),
    };
    let is_place = place.epoch >= 0 && place.xact >= 0 && place.taken >= 0;
    (is_place && seen == check(tenant, &bytes_of(place))).then_some(place)
}

fn bytes_of(place: ChangePlace) -> [u8; PLACE_BYTES] {
    let mut bytes = [0; PLACE_BYTES];
    let parts = place.epoch.to_be_bytes().into_iter().chain(place.xact.to_be_bytes()).chain(place.taken.to_be_bytes());
    for (byte, part) in bytes.iter_mut().zip(parts) {
        *byte = part;
    }
    bytes
}

fn check(tenant: TenantId, place: &[u8; PLACE_BYTES]) -> [u8; CHECK_BYTES] {
    let hash: [u8; 32] =
        Sha256::new().chain_update(b"hpts.changes\0").chain_update(tenant.0).chain_update(place).finalize().into();
    hash.first_chunk::<CHECK_BYTES>().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_feed_only() {
        let tenant = |number| TenantId(uuid::Uuid::from_u128(number));
        for place in [
            ChangePlace::START,
            ChangePlace { epoch: 1, xact: 42, taken: 2000 },
            ChangePlace { epoch: i32::MAX, xact: i64::MAX, taken: i32::MAX },
        ] {
            let cursor = cursor_of(tenant(1), place);
            assert_eq!(Begin::parse(tenant(1), &cursor), Ok(Begin::After(place)));
            assert!(Begin::parse(tenant(2), &cursor).is_err());
            let cut = [cursor.get(1..), cursor.get(..31)].map(|cut| cut.unwrap_or_default().to_owned());
            for bad in cut.into_iter().chain([format!("{cursor}A"), format!("{cursor}=")]) {
                assert!(Begin::parse(tenant(1), &bad).is_err(), "{bad}");
            }
        }
        let negative = ChangePlace { epoch: 1, xact: -1, taken: 0 };
        for bad in ["", "x", "LATEST", " latest", &cursor_of(tenant(1), negative), &"A".repeat(32)] {
            assert!(Begin::parse(tenant(1), bad).is_err(), "{bad}");
        }
        assert_eq!(Begin::parse(tenant(1), "latest"), Ok(Begin::Latest));
    }
}
