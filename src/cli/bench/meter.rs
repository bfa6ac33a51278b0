//! Owns what is read before and after a stretch of work: the time, the write-ahead log, the processes. Work between two
//! stretches, such as making rows ready, does not count.

use std::time::Duration;

use crate::cli::bench::BenchError;
use crate::cli::bench::processes::{Cost, Sample, Spent, Watch};
use crate::runtime::clock::Stopwatch;
use crate::store::postgres::PostgresStore;

/// Adds up stretches of work.
#[derive(Debug)]
pub(super) struct Meter<'m> {
    watch: &'m Watch,
    database: Option<&'m PostgresStore>,
    elapsed: Duration,
    wal_bytes: u64,
    spent: Spent,
}

/// A stretch that is not over.
#[derive(Debug)]
pub(super) struct Stretch {
    sample: Sample,
    wal_position: Option<u64>,
    stopwatch: Stopwatch,
}

impl<'m> Meter<'m> {
    /// Nothing yet. Without a database no log is read.
    pub(super) fn new(watch: &'m Watch, database: Option<&'m PostgresStore>) -> Self {
        Self { watch, database, elapsed: Duration::ZERO, wal_bytes: 0, spent: Spent::default() }
    }

    /// Begins a stretch.
    pub(super) async fn start(&self) -> Result<Stretch, BenchError> {
        let (sample, wal_position) = (self.watch.sample()?, self.wal_position().await?);
        Ok(Stretch { sample, wal_position, stopwatch: Stopwatch::start() })
    }

    /// Ends a stretch.
    pub(super) async fn stop(&mut self, stretch: Stretch) -> Result<(), BenchError> {
        let elapsed = stretch.stopwatch.elapsed();
        self.elapsed = self.elapsed.saturating_add(elapsed);
        self.spent.add(&stretch.sample, &self.watch.sample()?);
        if let (Some(before), Some(after)) = (stretch.wal_position, self.wal_position().await?) {
            self.wal_bytes = self.wal_bytes.saturating_add(after.saturating_sub(before));
        }
        Ok(())
    }

    /// How long all stretches took.
    pub(super) const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How much was logged, where that was read.
    pub(super) fn wal_bytes(&self) -> Option<u64> {
        self.database.map(|_| self.wal_bytes)
    }

    /// What the processes cost.
    pub(super) fn costs(&self, payments: u64) -> Vec<Cost> {
        self.watch.costs_of(&self.spent, payments)
    }

    async fn wal_position(&self) -> Result<Option<u64>, BenchError> {
        match self.database {
            Some(database) => Ok(Some(database.wal_position().await?)),
            None => Ok(None),
        }
    }
}
