//! Owns the following of change feeds: one look at the database serves everyone who waits, and everyone who is at the
//! same place of the same feed shares one page.
//!
//! - **One look.** Every [`LOOK_EVERY`] one task asks the store which of the followed tenants' feeds go on, in one
//!   statement, and wakes those who wait there: streams, and long-polls of `GET /v1/changes`. Nobody follows, nobody
//!   asks. 0.1 ms and an index walk a tenant, four times a second, however many wait.
//! - **One page.** Streams of a tenant that keep up stand at the same place, so the page behind it is read and written
//!   out as events once (1.6 ms for 500 changes) and handed to all. A page that is not the last one is the same
//!   whenever it is read, so it may be shared; an empty one is not kept.
//! - **Nothing is held** for a caller who reads slowly but the page he is at: no connection, no task.

mod cursor;
mod page;
mod places;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use crate::core::ids::TenantId;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{CHANGES_DELAY, chain};
use crate::store::{ChangePlace, Store, StoreError};

pub(crate) use cursor::{Begin, cursor_of};
pub(crate) use page::StreamPage;
pub(crate) use places::{Place, Places};
pub(crate) use view::changes_page;
pub use view::{ChangeSchema, ChangesPage};

/// How often the followed feeds are looked at: what a change waits at most beyond the database's own delay.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the feed's delay is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// The most changes of a page that streams share: about 200 KB of events.
const STREAM_PAGE: i64 = 500;

/// The feeds that somebody follows, and the places for streams. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    followed: Arc<Mutex<HashMap<TenantId, Followed>>>,
    /// Bounds the streams.
    pub(crate) places: Places,
}

/// A tenant's feed, as long as somebody follows it.
#[derive(Debug)]
struct Followed {
    /// Where it ended when it was last looked at.
    end: watch::Sender<ChangePlace>,
    /// The page that streams read last.
    page: Option<(ChangePlace, SharedPage)>,
}

type SharedPage = Arc<OnceCell<Arc<StreamPage>>>;

/// Follows one tenant's feed; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Follower {
    changes: Changes,
    tenant: TenantId,
    end: watch::Receiver<ChangePlace>,
}

impl Changes {
    /// Starts the task that looks.
    pub(crate) fn start(store: Arc<dyn Store>, lifecycle: &Lifecycle) -> Self {
        let changes = Self::default();
        let looking = changes.clone();
        let stopping = lifecycle.token();
        lifecycle.spawn_vital("changes", async move {
            let mut measure_at = Instant::now();
            let mut is_away = false;
            while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
                let mut looked = looking.look(store.as_ref()).await;
                if Instant::now() >= measure_at {
                    measure_at = Instant::now().checked_add(MEASURE_EVERY).unwrap_or(measure_at);
                    looked = looked.and(measure(store.as_ref()).await);
                }
                match &looked {
                    Err(error) if !is_away => tracing::warn!(error = chain(error), "the change feed does not go on"),
                    Ok(()) if is_away => tracing::info!("the change feed goes on"),
                    Ok(()) | Err(_) => {}
                }
                is_away = looked.is_err();
            }
        });
        changes
    }

    /// Begins to follow a tenant's feed.
    pub(crate) fn follow(&self, tenant: TenantId) -> Follower {
        let mut followed = self.followed();
        let feed = followed
            .entry(tenant)
            .or_insert_with(|| Followed { end: watch::Sender::new(ChangePlace::START), page: None });
        Follower { changes: self.clone(), tenant, end: feed.end.subscribe() }
    }

    /// Looks once at every feed that is followed, and forgets the others.
    async fn look(&self, store: &dyn Store) -> Result<(), StoreError> {
        let known: Vec<(TenantId, ChangePlace)> = {
            let mut followed = self.followed();
            followed.retain(|_, feed| feed.end.receiver_count() > 0);
            followed.iter().map(|(tenant, feed)| (*tenant, *feed.end.borrow())).collect()
        };
        if known.is_empty() {
            return Ok(());
        }
        for (tenant, end) in store.changed(known).await? {
            if let Some(feed) = self.followed().get(&tenant) {
                feed.end.send_replace(end);
            }
        }
        Ok(())
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<TenantId, Followed>> {
        // The map is whole after every statement that could panic.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Waits until the feed goes on beyond a place.
    pub(crate) async fn beyond(&mut self, place: ChangePlace) {
        if self.end.wait_for(|end| *end > place).await.is_err() {
            // The sender stays in the map while somebody follows; without it nobody would ever be woken.
            std::future::pending::<()>().await;
        }
    }

    /// The page after a place, read together with whoever else is there. Empty where the feed ends.
    pub(crate) async fn page(&self, store: &dyn Store, after: ChangePlace) -> Result<Arc<StreamPage>, StoreError> {
        let shared = self.shared(after);
        let page = shared.get_or_try_init(|| async {
            let changes = store.changes(self.tenant, after, STREAM_PAGE).await?;
            StreamPage::new(self.tenant, after, &changes).map(Arc::new)
        });
        page.await.map(Arc::clone)
    }

    /// Where the page after a place is, or will be.
    fn shared(&self, after: ChangePlace) -> SharedPage {
        let mut followed = self.changes.followed();
        let Some(feed) = followed.get_mut(&self.tenant) else { return SharedPage::default() };
        if let Some((place, page)) = &feed.page
            && *place == after
            && page.get().is_none_or(|page| !page.is_empty())
        {
            return Arc::clone(page);
        }
        let page = SharedPage::default();
        feed.page = Some((after, Arc::clone(&page)));
        page
    }
}

/// Tells how far the feed is behind; not a number where that is not known, so that no old one stands there.
async fn measure(store: &dyn Store) -> Result<(), StoreError> {
    let delay = store.changes_delay().await;
    gauge!(CHANGES_DELAY).set(delay.as_ref().map_or(f64::NAN, Duration::as_secs_f64));
    delay.map(drop)
}
