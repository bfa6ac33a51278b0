//! Owns how a process lives and ends: every task is tracked, one signal asks all of them to finish what they hold, a
//! second one, or the time limit, ends it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a process and its wish to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    tasks: TaskTracker,
    stopping: CancellationToken,
    broken: CancellationToken,
}

impl Lifecycle {
    /// A process that runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a tracked task. The process waits for it when it stops.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Spawns a tracked task that the process cannot do without. If it panics, which is a bug, the process is told to
    /// end ([`Lifecycle::broken`]), so that whoever supervises it starts a whole one: half a process would look alive.
    pub fn spawn_vital<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let broken = self.broken.clone();
        self.tasks.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(task = name, "a task panicked; the process ends");
                broken.cancel();
            }
        });
    }

    /// Resolves when a vital task has panicked.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Asks every task to finish what it holds.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether the process has been asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Resolves when the process is asked to stop.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// The wish to stop, for code that selects on it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Waits until every task has ended, at most `within`. Answers whether all did.
    pub async fn finished(&self, within: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(within, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_panics_breaks_the_process() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_vital("calm", async {});
        lifecycle.spawn_vital("nervous", async { panic!("on purpose") });
        tokio::time::timeout(Duration::from_secs(5), lifecycle.broken()).await.unwrap();
        assert!(lifecycle.finished(Duration::from_secs(5)).await);
    }
}
