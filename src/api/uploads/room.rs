//! Owns how much of ACH files the process holds in memory at once: a file is read whole, because its totals come last.
//!
//! Counted are the files' own bytes. While one is kept, the database's client holds it once more, and once again as a
//! message to PostgreSQL; then these copies are gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::error::ApiError;

/// The most bytes of a file: more than a million entries.
pub(crate) const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// What room is counted in.
const UNIT_BYTES: u64 = 1024 * 1024;
/// What the largest file takes.
const UNITS_OF_LARGEST: u32 = 128;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// MiB of files that come: two of the largest, or many small ones.
    pub mebibytes: usize,
    /// Files that are kept, read again, so that they hold up none that come.
    pub kept: usize,
    /// How long a file waits for room.
    pub within: Duration,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self { mebibytes: 256, kept: 1, within: Duration::from_secs(10) }
    }
}

/// The room for files. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    coming: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    within: Duration,
}

/// The room that a file takes while it comes, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
    units: u32,
}

impl Room {
    /// So much room.
    pub(crate) fn new(limits: RoomLimits) -> Self {
        let RoomLimits { mebibytes, kept, within } = limits;
        Self { coming: Arc::new(Semaphore::new(mebibytes)), kept: Arc::new(Semaphore::new(kept)), within }
    }

    /// Room for a file that comes. It takes what has come of it: who sends slowly holds little.
    pub(crate) fn for_body(&self) -> Taken {
        Taken { room: self.clone(), permit: None, units: 0 }
    }

    /// Room for a file that is kept, until what is returned is dropped.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where there is none for a while.
    pub(crate) async fn for_kept(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        take(&self.kept, 1, self.within).await
    }
}

impl Taken {
    /// Takes room for so many bytes in all.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where there is none for a while.
    pub(crate) async fn grow_to(&mut self, bytes: u64) -> Result<(), ApiError> {
        let units = units(bytes);
        if units <= self.units {
            return Ok(());
        }
        let more = take(&self.room.coming, units.saturating_sub(self.units), self.room.within).await?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.units = units;
        Ok(())
    }
}

async fn take(room: &Arc<Semaphore>, units: u32, within: Duration) -> Result<OwnedSemaphorePermit, ApiError> {
    let taken = tokio::time::timeout(within, Arc::clone(room).acquire_many_owned(units)).await;
    taken.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS_OF_LARGEST).clamp(1, UNITS_OF_LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_what_it_has() {
        let taken = [0, 1, UNIT_BYTES, UNIT_BYTES + 1, FILE_BYTES_MAX, u64::MAX].map(units);
        assert_eq!(taken, [1, 1, 1, 2, UNITS_OF_LARGEST, UNITS_OF_LARGEST]);
    }

    #[tokio::test]
    async fn two_large_files_fill_it_and_the_next_waits() {
        let room = Room::new(RoomLimits::default());
        let mut taken = [room.for_body(), room.for_body(), room.for_body()];
        for bytes in [1, UNIT_BYTES, FILE_BYTES_MAX] {
            taken[0].grow_to(bytes).await.unwrap();
            taken[1].grow_to(bytes).await.unwrap();
        }
        let a_while = Duration::from_millis(50);
        assert!(tokio::time::timeout(a_while, taken[2].grow_to(1)).await.is_err());
        let kept = room.for_kept().await.unwrap();
        assert!(tokio::time::timeout(a_while, room.for_kept()).await.is_err(), "one at a time");
        let [first, second, mut third] = taken;
        drop((first, kept));
        third.grow_to(FILE_BYTES_MAX).await.unwrap();
        assert!(room.for_kept().await.is_ok());
        drop(second);
    }

    /// A client that sends a byte now and then holds as much as it has sent.
    #[tokio::test]
    async fn who_sends_slowly_is_in_nobodys_way() {
        let room = Room::new(RoomLimits::default());
        let mut slow: Vec<Taken> = (0..100).map(|_| room.for_body()).collect();
        for taken in &mut slow {
            taken.grow_to(10).await.unwrap();
        }
        assert!(room.for_body().grow_to(FILE_BYTES_MAX).await.is_ok());
    }
}
