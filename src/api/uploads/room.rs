//! Owns how much of ACH files the process holds in memory at once: a file is read whole, because its totals come last.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::error::ApiError;

/// The most bytes of a file: more than a million entries.
pub(crate) const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// What room is counted in.
const UNIT_BYTES: u64 = 1024 * 1024;
/// Room for two of the largest files, or for many small ones.
const UNITS: usize = 256;
/// What the largest file takes.
const UNITS_OF_LARGEST: u32 = 128;
/// How long a file waits for room.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// The room for files. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

impl Room {
    /// Room for a file that comes, until what is returned is dropped: for as much as is [`announced`], or for the largest.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where there is none for a while.
    pub(crate) async fn for_body(&self, announced: Option<u64>) -> Result<OwnedSemaphorePermit, ApiError> {
        let taken = tokio::time::timeout(ROOM_WITHIN, self.take(announced.map_or(UNITS_OF_LARGEST, units)));
        taken.await.map_err(|_| ApiError::Overloaded)?
    }

    /// Room for any file that is kept, however long that takes.
    ///
    /// # Errors
    /// None while the process runs.
    pub(crate) async fn for_kept(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.take(UNITS_OF_LARGEST).await
    }

    async fn take(&self, units: u32) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.0).acquire_many_owned(units).await.map_err(|_| ApiError::Overloaded)
    }
}

/// The most bytes that come out of a body, where that is known.
pub(crate) fn announced(headers: &HeaderMap, body: &Body) -> Option<u64> {
    body.size_hint().upper().filter(|_| !headers.contains_key(CONTENT_ENCODING))
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS_OF_LARGEST).clamp(1, UNITS_OF_LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_what_it_announces() {
        let taken = [0, 1, UNIT_BYTES, UNIT_BYTES + 1, FILE_BYTES_MAX, u64::MAX].map(units);
        assert_eq!(taken, [1, 1, 1, 2, UNITS_OF_LARGEST, UNITS_OF_LARGEST]);
    }

    #[test]
    fn what_is_compressed_or_streamed_announces_nothing() {
        let zipped = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let stream = Body::from_stream(futures::stream::empty::<std::io::Result<Vec<u8>>>());
        assert_eq!(announced(&HeaderMap::new(), &Body::from("four")), Some(4));
        assert_eq!(announced(&zipped, &Body::from("four")), None);
        assert_eq!(announced(&HeaderMap::new(), &stream), None);
    }

    #[tokio::test]
    async fn two_large_files_fill_it_and_the_next_waits() {
        let room = Room::default();
        let (first, second) = (room.for_body(None).await.unwrap(), room.for_body(Some(FILE_BYTES_MAX)).await.unwrap());
        let within = async |announced| tokio::time::timeout(Duration::from_millis(50), room.for_body(announced)).await;
        assert!(within(Some(1)).await.is_err());
        drop(first);
        let small = within(Some(1)).await.unwrap().unwrap();
        assert!(within(None).await.is_err(), "it may be the largest");
        drop((second, small));
        assert!(room.for_kept().await.is_ok());
    }
}
