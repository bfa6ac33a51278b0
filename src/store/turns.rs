//! Owns the turns of an engine that has one writer: who gathers the next large job, and when the next one may.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to write next, for as long as it is held.
#[derive(Debug, Default)]
pub struct Turn {
    _place: Option<Place>,
}

/// One turn at a time. It ends when its holder lets it go, or earlier, when the writer hands it over because the
/// holder's statements have run: what waits can then share the commit.
#[derive(Debug)]
pub(crate) struct Turns {
    gate: Arc<Semaphore>,
    waiting: AtomicUsize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    number: u64,
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Place {
    turns: Arc<Turns>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.end(|held| held.number == self.number);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { gate: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0), held: Mutex::default() }
    }
}

impl Turns {
    /// Waits for the next turn.
    pub(crate) async fn take(self: &Arc<Self>) -> Turn {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waits(&self.waiting);
        let permit = Arc::clone(&self.gate).acquire_owned().await;
        drop(waiting);
        let Ok(permit) = permit else { return Turn::default() };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.number = held.number.wrapping_add(1);
        held.permit = Some(permit);
        Turn { _place: Some(Place { turns: Arc::clone(self), number: held.number }) }
    }

    /// Ends the turn of whoever holds it, and says whether somebody waits for the next.
    pub(crate) fn hand_over(&self) -> bool {
        let is_wanted = self.waiting.load(Ordering::Acquire) > 0;
        self.end(|_| true);
        is_wanted
    }

    fn end(&self, which: impl FnOnce(&Held) -> bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if which(&held) {
            held.permit = None;
        }
    }
}

/// Somebody who waits, counted until it goes, also where its future is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn one_holds_it_and_the_next_gets_it_when_it_goes() {
        let turns = Arc::new(Turns::default());
        let first = turns.take().await;
        assert!(turns.take().now_or_never().is_none());
        drop(first);
        assert!(turns.take().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_handed_over_is_over_and_letting_it_go_later_ends_no_other() {
        let turns = Arc::new(Turns::default());
        let first = turns.take().await;
        assert!(!turns.hand_over(), "nobody waits");
        let second = turns.take().await;
        drop(first);
        assert!(turns.take().now_or_never().is_none(), "the second turn is held");
        drop(second);
        assert!(turns.take().now_or_never().is_some());
    }

    #[tokio::test]
    async fn it_says_whether_somebody_waits() {
        let turns = Arc::new(Turns::default());
        let first = turns.take().await;
        let waiting = TaskTracker::new().spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take().await }
        });
        tokio::task::yield_now().await;
        assert!(turns.hand_over());
        let second = waiting.await.unwrap();
        assert!(!turns.hand_over());
        drop((first, second));
    }
}
