//! Owns how far an import has come: one place that the work writes to and the screen reads from.

use std::sync::{Mutex, PoisonError};

use crate::cli::import::batch::Batch;

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// The file is read for its fingerprint and its rows.
    #[default]
    Reading,
    /// Its rows are sent.
    Sending,
    /// All were taken; those that are not posted yet are.
    Posting,
    /// The results are fetched.
    Results,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) stage: Stage,
    /// Bytes of the file.
    pub(super) bytes_all: u64,
    /// Bytes of it read.
    pub(super) bytes: u64,
    /// Rows of the file, where they can be counted without unpacking it.
    pub(super) rows_all: Option<u64>,
    /// Rows sent; then, results that came.
    pub(super) rows: u64,
    /// Pieces that the connection took, over all tries: it stands still while nothing is taken.
    pub(super) pieces: u64,
    /// Whether all of the file was taken.
    pub(super) is_sent: bool,
    /// What the server has made of them so far.
    pub(super) batch: Option<Batch>,
}

/// The stand of an import, shared.
#[derive(Debug, Default)]
pub(super) struct Course(Mutex<Stand>);

impl Course {
    /// As it is now.
    pub(super) fn look(&self) -> Stand {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it.
    pub(super) fn note(&self, change: impl FnOnce(&mut Stand)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Begins a stage.
    pub(super) fn begin(&self, stage: Stage) {
        self.note(|stand| {
            stand.stage = stage;
            (stand.bytes, stand.rows, stand.is_sent) = (0, 0, false);
        });
    }
}
