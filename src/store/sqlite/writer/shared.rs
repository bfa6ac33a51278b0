//! Owns transactions of several jobs: while one payment is posted the next ones arrive, and both can wait for the disk
//! together. When a job's statements have run, the turn goes to whoever waits, and the commit waits for what that one
//! brings; so it does where the job has told somebody of its rows, as the intake tells the lanes, who then read them in
//! the transaction that writes them; what was accepted in it is kept at hand for them, as [`Fresh`]. Jobs that share a transaction stand or fall together; one that failed makes the next ones go alone, so that
//! nobody is made to try again twice.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::runtime::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::sqlite::fresh::Fresh;
use crate::store::sqlite::writer::{BEGIN, COMMIT, FrameTimes, Order, Session, execute};

/// The most jobs of one transaction: the intake's two tasks and a lane.
const JOBS_MAX: usize = 3;
/// How long the commit waits for whoever was given the turn. It has its work ready, so this is many times what it takes.
const HAND_OVER_MAX: Duration = Duration::from_millis(1);
/// After a transaction that failed, so many jobs go alone: more than one bad event makes when its batch is halved.
const ALONE_AFTER_FAILURE: u32 = 32;

/// What a job works with.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Transaction<'t> {
    /// The connection, inside the transaction.
    pub(in crate::store::sqlite) db: &'t mut SqliteConnection,
    /// What was accepted in it.
    pub(in crate::store::sqlite) fresh: &'t mut Fresh,
}

/// A job that may share its transaction.
pub(super) trait Shared: Send {
    /// Its name in errors.
    fn name(&self) -> &'static str;

    /// Runs its statements and keeps what they answer. Says whether another job follows from this one.
    fn work<'s>(&'s mut self, transaction: Transaction<'s>) -> BoxFuture<'s, Result<bool, StoreError>>;

    /// Tells its caller: what it kept, once the transaction is committed.
    fn settle(self: Box<Self>, outcome: Result<FrameTimes, StoreError>);
}

/// What a caller hears: what its job answered, and how long the transaction's frame took.
type Heard<T> = Result<(T, FrameTimes), StoreError>;

/// A job with a caller that waits.
pub(super) struct SharedJob<T, F> {
    name: &'static str,
    work: Option<F>,
    is_followed: fn(&T) -> bool,
    value: Option<T>,
    caller: oneshot::Sender<Heard<T>>,
    handed_in: Stopwatch,
    waited: Duration,
}

impl<T, F> SharedJob<T, F> {
    /// The job, and where its outcome arrives. `is_followed` says of what it answers whether another job follows.
    pub(super) fn new(name: &'static str, work: F, is_followed: fn(&T) -> bool) -> (Self, oneshot::Receiver<Heard<T>>) {
        let (caller, outcome) = oneshot::channel();
        let (work, handed_in) = (Some(work), Stopwatch::start());
        (Self { name, work, is_followed, value: None, caller, handed_in, waited: Duration::ZERO }, outcome)
    }
}

impl<T, F> Shared for SharedJob<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(Transaction<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn work<'s>(&'s mut self, transaction: Transaction<'s>) -> BoxFuture<'s, Result<bool, StoreError>> {
        self.waited = self.handed_in.lap();
        let work = self.work.take();
        Box::pin(async move {
            let Some(work) = work else { return Ok(false) };
            let value = work(transaction).await?;
            let is_followed = (self.is_followed)(&value);
            self.value = Some(value);
            Ok(is_followed)
        })
    }

    fn settle(self: Box<Self>, outcome: Result<FrameTimes, StoreError>) {
        let Self { name, value, caller, waited, .. } = *self;
        let outcome = outcome.and_then(|times| {
            let value = value.ok_or_else(|| StoreError::Broken(format!("{name} was never run")))?;
            Ok((value, FrameTimes { begin: waited, ..times }))
        });
        // The caller may be gone; what was committed stays committed.
        drop(caller.send(outcome));
    }
}

impl Session {
    /// Runs the job, and what joins it, in one transaction. Answers an order that came meanwhile and cannot join.
    pub(super) async fn shared_transaction(
        &mut self,
        first: Box<dyn Shared>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Option<Order> {
        self.fresh.clear();
        let begun = match self.connection().await {
            Ok(connection) => execute(connection, BEGIN).await,
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            self.turns.hand_over();
            first.settle(Err(error));
            return None;
        }
        let mut done: Vec<Box<dyn Shared>> = Vec::with_capacity(JOBS_MAX);
        let (mut next, mut left) = (Some(first), None);
        while let Some(mut job) = next.take() {
            let is_followed = match self.run_shared(&mut *job).await {
                Ok(is_followed) => is_followed,
                Err(error) => {
                    // Its caller may pause and try again: nobody waits for that.
                    self.turns.hand_over();
                    self.roll_back().await;
                    self.alone = ALONE_AFTER_FAILURE;
                    let why = format!("{} shared its transaction and failed", job.name());
                    job.settle(Err(error));
                    fail(done, &why);
                    return left;
                }
            };
            done.push(job);
            let is_wanted = self.turns.hand_over() || is_followed;
            let has_room = done.len() < JOBS_MAX && self.alone == 0;
            if has_room {
                match next_order(orders, is_wanted).await {
                    Some(Order::Share(job)) => next = Some(job),
                    other => left = other,
                }
            }
        }
        self.alone = self.alone.saturating_sub(1);
        let watch = Stopwatch::start();
        match self.commit().await {
            Ok(()) => {
                let times = FrameTimes { begin: Duration::ZERO, commit: watch.elapsed() };
                for job in done {
                    job.settle(Ok(times));
                }
            }
            Err(error) => {
                self.roll_back().await;
                tracing::warn!(%error, "a shared transaction could not be committed");
                let mut jobs = done.into_iter();
                let why = error.to_string();
                if let Some(job) = jobs.next() {
                    job.settle(Err(error));
                }
                fail(jobs, &why);
            }
        }
        left
    }

    async fn run_shared(&mut self, job: &mut dyn Shared) -> Result<bool, StoreError> {
        let name = job.name();
        let Some(db) = &mut self.connection else {
            return Err(StoreError::Broken(format!("{name} has lost its transaction")));
        };
        let transaction = Transaction { db, fresh: &mut self.fresh };
        // A panic (of a fold, say) must neither end the writer nor leave its transaction open.
        let worked = AssertUnwindSafe(job.work(transaction)).catch_unwind().await;
        worked.unwrap_or_else(|_panic| Err(StoreError::Broken(format!("the transaction {name} panicked"))))
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        execute(self.connection().await?, COMMIT).await
    }
}

/// What waits already, or comes within the moment that it takes to gather it.
async fn next_order(orders: &mut mpsc::Receiver<Order>, is_wanted: bool) -> Option<Order> {
    match orders.try_recv() {
        Ok(order) => Some(order),
        Err(_) if is_wanted => timeout(HAND_OVER_MAX, orders.recv()).await.ok().flatten(),
        Err(_) => None,
    }
}

fn fail(jobs: impl IntoIterator<Item = Box<dyn Shared>>, why: &str) {
    for job in jobs {
        job.settle(Err(StoreError::Retry(why.to_owned().into())));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::Row as _;
    use sqlx::sqlite::SqliteConnectOptions;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::store::sqlite::error::store_error;
    use crate::store::sqlite::writer::Writer;
    use crate::store::turns::Turns;

    async fn writer() -> (Writer, Arc<Turns>) {
        let turns = Arc::new(Turns::default());
        let options = SqliteConnectOptions::new().in_memory(true);
        let (writer, task) = Writer::open(options, Arc::clone(&turns)).await.unwrap();
        drop(TaskTracker::new().spawn(task));
        writer.run("table", |db| Box::pin(statement(db, "CREATE TABLE rows (name TEXT)"))).await.unwrap();
        (writer, turns)
    }

    async fn statement(db: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(db).await.map(|_| ()).map_err(store_error)
    }

    async fn insert(writer: &Writer, sql: &'static str) -> Result<(), StoreError> {
        writer.share("insert", move |tx| Box::pin(statement(tx.db, sql))).await.map(|((), _)| ())
    }

    async fn names(writer: &Writer) -> Vec<String> {
        let read = writer.run("read", |db| {
            Box::pin(async move {
                let rows =
                    sqlx::query("SELECT name FROM rows ORDER BY rowid").fetch_all(db).await.map_err(store_error)?;
                Ok(rows.iter().map(|row| row.get(0)).collect())
            })
        });
        read.await.unwrap()
    }

    /// Somebody who gathers work when its turn comes, as the intake does while a lane's batch is posted.
    fn gatherer(
        (writer, turns): (&Writer, &Arc<Turns>),
        sql: &'static str,
    ) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let (writer, turns) = (writer.clone(), Arc::clone(turns));
        TaskTracker::new().spawn(async move {
            let _turn = turns.take().await;
            insert(&writer, sql).await
        })
    }

    #[tokio::test]
    async fn what_waits_for_its_turn_joins_the_transaction_and_fails_with_it() {
        let (writer, turns) = writer().await;
        let turn = turns.take().await;
        let joining = gatherer((&writer, &turns), "INSERT INTO nowhere VALUES ('b')");
        tokio::task::yield_now().await;
        let first = insert(&writer, "INSERT INTO rows VALUES ('a')").await;
        drop(turn);
        assert!(matches!(first, Err(StoreError::Retry(_))), "{first:?}");
        let joined = joining.await.unwrap();
        assert!(!matches!(joined, Ok(()) | Err(StoreError::Retry(_))), "the one at fault hears why: {joined:?}");
        assert_eq!(names(&writer).await, [""; 0], "nothing of either was written");
    }

    /// A job that tells of its row before the commit, and one that comes upon that.
    async fn told_and_following(writer: &Writer, sql: &'static str) -> [Result<(), StoreError>; 2] {
        let (told, hears) = oneshot::channel();
        let following = TaskTracker::new().spawn({
            let writer = writer.clone();
            async move {
                hears.await.unwrap();
                insert(&writer, sql).await
            }
        });
        let first = writer.share_and_tell(
            "insert",
            move |tx| {
                Box::pin(async move {
                    statement(tx.db, "INSERT INTO rows VALUES ('a')").await?;
                    told.send(()).unwrap();
                    Ok(())
                })
            },
            |()| true,
        );
        let first = first.await.map(|((), _)| ());
        [first, following.await.unwrap()]
    }

    #[tokio::test]
    async fn what_follows_upon_a_job_sees_its_rows_and_shares_their_commit() {
        let (writer, _turns) = writer().await;
        let both = told_and_following(&writer, "INSERT INTO rows SELECT name || 'b' FROM rows").await;
        assert!(both.iter().all(Result::is_ok), "{both:?}");
        assert_eq!(names(&writer).await, ["a", "ab"]);
        let [first, following] = told_and_following(&writer, "INSERT INTO nowhere VALUES ('b')").await;
        assert!(matches!(first, Err(StoreError::Retry(_))), "{first:?}");
        assert!(following.is_err(), "{following:?}");
        assert_eq!(names(&writer).await, ["a", "ab"], "nothing of either was written");
    }

    #[tokio::test]
    async fn after_a_failure_nobody_fails_for_another_again() {
        let (writer, turns) = writer().await;
        for sql in ["INSERT INTO nowhere VALUES ('x')", "INSERT INTO rows VALUES ('a')"] {
            let turn = turns.take().await;
            let second = gatherer((&writer, &turns), "INSERT INTO nowhere VALUES ('y')");
            tokio::task::yield_now().await;
            let first = insert(&writer, sql).await;
            drop(turn);
            assert_eq!(first.is_ok(), sql.contains("INTO rows"), "{first:?}");
            assert!(second.await.unwrap().is_err());
        }
        assert_eq!(names(&writer).await, ["a"]);
    }

    #[tokio::test]
    async fn what_shares_a_transaction_is_written_in_the_order_of_the_turns() {
        let (writer, turns) = writer().await;
        let turn = turns.take().await;
        let second = gatherer((&writer, &turns), "INSERT INTO rows VALUES ('b')");
        tokio::task::yield_now().await;
        insert(&writer, "INSERT INTO rows VALUES ('a')").await.unwrap();
        drop(turn);
        second.await.unwrap().unwrap();
        assert_eq!(names(&writer).await, ["a", "b"]);
        writer.close().await;
        assert!(insert(&writer, "INSERT INTO rows VALUES ('c')").await.is_err(), "the writer has ended");
    }
}
