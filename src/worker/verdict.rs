//! Owns the one table from what went wrong with a batch to what a lane does about it.

use crate::store::StoreError;

/// What a lane does after a batch failed. Nothing of it was committed, as far as is known; doing it again is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait a little and do the same again: the database is away.
    Wait,
    /// Do the same again at once, without the loans that somebody else holds.
    SkipLocked,
    /// Wait a little and do half of it: the whole takes longer than the database lets a transaction rest.
    Halve,
    /// Some event of the batch cannot be written: find it.
    Isolate,
}

/// The verdict on a failed batch.
pub(super) fn of(error: &StoreError) -> Verdict {
    match error {
        StoreError::Unavailable(_) | StoreError::WrongSchema => Verdict::Wait,
        StoreError::Retry(_) => Verdict::SkipLocked,
        StoreError::OutOfTime(_) => Verdict::Halve,
        StoreError::Data { .. } | StoreError::Broken(_) => Verdict::Isolate,
    }
}
