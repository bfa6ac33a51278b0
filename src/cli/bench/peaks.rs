//! Owns the most memory that processes had during a measurement: looked at every second.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::bench::BenchError;
use crate::cli::bench::processes::Watch;
use crate::runtime::lifecycle::Lifecycle;

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A look at processes that goes on until it is ended.
#[derive(Debug)]
pub(super) struct Peaks {
    stopping: CancellationToken,
    looking: JoinHandle<Result<Vec<(String, u64)>, BenchError>>,
}

impl Peaks {
    /// Begins.
    pub(super) fn watch(watch: &Watch) -> Self {
        let (watch, stopping) = (watch.clone(), CancellationToken::new());
        let stopped = stopping.clone();
        let looking = Lifecycle::new().spawn(async move {
            let mut greatest = watch.resident_kib()?;
            while !stopped.is_cancelled() {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = tokio::time::sleep(EVERY) => {}
                }
                for ((_, most), (_, now)) in greatest.iter_mut().zip(watch.resident_kib()?) {
                    *most = now.max(*most);
                }
            }
            Ok(greatest)
        });
        Self { stopping, looking }
    }

    /// Ends: the most that each process had, in KiB.
    pub(super) async fn end(self) -> Result<Vec<(String, u64)>, BenchError> {
        self.stopping.cancel();
        self.looking.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_most_is_at_least_what_there_was_at_the_end() {
        let watch = Watch::new(&[], &[]);
        let most = Peaks::watch(&watch).end().await.unwrap();
        assert_eq!((most.len(), most[0].0.as_str()), (1, "bench"));
        assert!(most[0].1 > 0);
    }
}
