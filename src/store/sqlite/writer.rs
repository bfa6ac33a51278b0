//! Owns the one connection that writes. A task holds it and runs jobs one after the other, each in a transaction of
//! its own: the single writer that SQLite allows anyway, without waiting for locks.
//!
//! The jobs that every payment needs, accepting and posting, [share](shared) a transaction and its wait for the disk.
//!
//! A caller that goes away abandons nothing: the job runs to its commit, only nobody hears of it.

mod shared;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::runtime::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::sqlite::error::{closed, store_error};
use crate::store::sqlite::fresh::Fresh;
use crate::store::turns::Turns;

pub(super) use shared::Transaction;
use shared::{Shared, SharedJob};

/// Jobs that wait for the writer; further callers wait to hand theirs in. One job is a whole batch, so this is far
/// more than the lanes and the intake of one process can have in flight.
const JOBS_WAITING_MAX: usize = 256;

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";
/// Foreign keys are no longer looked at. Does nothing inside a transaction.
pub(super) const LINKS_OFF: &str = "PRAGMA foreign_keys = OFF";
pub(super) const LINKS_ON: &str = "PRAGMA foreign_keys = ON";
/// Moves the log into the file and empties it.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// How long the frame of a transaction took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameTimes {
    /// Waiting for the writer, and BEGIN.
    pub(super) begin: Duration,
    /// COMMIT.
    pub(super) commit: Duration,
}

type Job = Box<dyn for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, ()> + Send>;

enum Order {
    Run(Job),
    Share(Box<dyn Shared>),
    Close(oneshot::Sender<()>),
}

/// The writer's side that callers hold.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    /// Opens the file, and gives the task to spawn.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        turns: Arc<Turns>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StoreError> {
        let connection = options.connect().await.map_err(store_error)?;
        let (connection, fresh) = (Some(connection), Fresh::default());
        let session = Session { options, connection, fresh, turns, alone: 0 };
        let (orders, receiver) = mpsc::channel(JOBS_WAITING_MAX);
        Ok((Self { orders }, run(session, receiver)))
    }

    /// Runs `work` in a transaction: committed when it answers `Ok`, rolled back otherwise.
    pub(super) async fn run<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.run_timed(name, work).await.map(|(value, _)| value)
    }

    /// As [`Writer::run`], for work that makes tables anew: foreign keys are not looked at, which `work` does at its end.
    pub(super) async fn run_unlinked<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            Box::pin(async move { drop(sender.send(session.unlinked_transaction(name, work).await)) })
        });
        self.orders.send(Order::Run(job)).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Runs `work` in a transaction that it may share with others of its kind: committed with them when all answer `Ok`.
    /// Where another one fails it answers [`StoreError::Retry`]: nothing was written. Says also how long the frame of
    /// the transaction took.
    pub(super) async fn share<T, F>(&self, name: &'static str, work: F) -> Result<(T, FrameTimes), StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Transaction<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.share_and_tell(name, work, |_| false).await
    }

    /// As [`Writer::share`], for work that tells somebody of its rows before they are committed: where `is_followed` says
    /// so of its answer, the commit waits a moment for the job that follows from it.
    pub(super) async fn share_and_tell<T, F>(
        &self,
        name: &'static str,
        work: F,
        is_followed: fn(&T) -> bool,
    ) -> Result<(T, FrameTimes), StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Transaction<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (job, receiver) = SharedJob::new(name, work, is_followed);
        self.orders.send(Order::Share(Box::new(job))).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// As [`Writer::run`], and says how long the frame of the transaction took.
    pub(super) async fn run_timed<T, F>(&self, name: &'static str, work: F) -> Result<(T, FrameTimes), StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let watch = Stopwatch::start();
        let job: Job = Box::new(move |session| {
            Box::pin(async move {
                let outcome = session.transaction(name, watch, work).await;
                // The caller may be gone; what was committed stays committed.
                drop(sender.send(outcome));
            })
        });
        self.orders.send(Order::Run(job)).await.map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Lets the writer finish what has been handed in, empty its log, and close.
    pub(super) async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.orders.send(Order::Close(sender)).await.is_ok() {
            // An error means that the writer has ended already, which is what we want.
            drop(receiver.await);
        }
    }
}

async fn run(mut session: Session, mut orders: mpsc::Receiver<Order>) {
    let mut closing = None;
    let mut next = orders.recv().await;
    while let Some(order) = next.take() {
        match order {
            Order::Run(job) => job(&mut session).await,
            Order::Share(job) => next = session.shared_transaction(job, &mut orders).await,
            Order::Close(done) => {
                orders.close();
                closing = Some(done);
            }
        }
        if next.is_none() {
            next = orders.recv().await;
        }
    }
    session.close().await;
    drop(closing);
}

/// The connection, or the wish for one after it was given up.
struct Session {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// What the shared transaction that runs has accepted.
    fresh: Fresh,
    turns: Arc<Turns>,
    /// How many of the next shared jobs have a transaction of their own all the same.
    alone: u32,
}

impl Session {
    async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(store_error)?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn transaction<T, F>(
        &mut self,
        name: &'static str,
        mut watch: Stopwatch,
        work: F,
    ) -> Result<(T, FrameTimes), StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        let connection = self.connection().await?;
        execute(connection, BEGIN).await?;
        let begin = watch.lap();
        // A panic (of a fold, say) must neither end the writer nor leave its transaction open.
        let worked = AssertUnwindSafe(work(connection)).catch_unwind().await;
        let outcome = match worked {
            Ok(Ok(value)) => {
                watch.lap();
                execute(connection, COMMIT).await.map(|()| value)
            }
            Ok(Err(error)) => Err(error),
            Err(_panic) => Err(StoreError::Broken(format!("the transaction {name} panicked"))),
        };
        match outcome {
            Ok(value) => Ok((value, FrameTimes { begin, commit: watch.lap() })),
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn unlinked_transaction<T, F>(&mut self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        execute(self.connection().await?, LINKS_OFF).await?;
        let outcome = self.transaction(name, Stopwatch::start(), work).await;
        // A connection that cannot look at them again goes; the next one does.
        let is_linked = match &mut self.connection {
            Some(connection) => execute(connection, LINKS_ON).await.is_ok(),
            None => true,
        };
        if !is_linked {
            self.connection = None;
        }
        outcome.map(|(value, _)| value)
    }

    /// Ends the transaction. SQLite may have ended it itself (a row refused by `OR ROLLBACK`, disk full, I/O error), and
    /// then refuses: the connection goes, which leaves nothing behind, and the next job opens another.
    async fn roll_back(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && execute(&mut connection, ROLLBACK).await.is_ok()
        {
            self.connection = Some(connection);
        }
    }

    async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // Without it the next start reads the log: slower, not wrong.
            drop(execute(&mut connection, CHECKPOINT).await);
            drop(connection.close().await);
        }
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await.map(|_| ()).map_err(store_error)
}
