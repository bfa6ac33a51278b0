//! Owns the acceptance of uploads' rows: a task of its own beside the intake, with a connection of its own, so that a
//! single payment never waits for a thousand rows.
//!
//! A chunk is one commit. Chunks of one upload come one after the other, because an upload hands in the next only when
//! it has the verdicts of the last; that keeps its rows in order.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::api::intake::committer::{Committer, Incoming};
use crate::api::intake::{Accepted, IntakeError};

/// What became of the rows of a chunk, in their order.
pub(super) type RowVerdicts = Vec<Result<Accepted, IntakeError>>;

/// A chunk on its way to the task.
#[derive(Debug)]
pub(super) struct RowsRequest {
    pub(super) rows: Vec<Incoming>,
    pub(super) answer: oneshot::Sender<RowVerdicts>,
}

/// Commits chunks until the process stops and none waits any more.
pub(super) async fn run(committer: Committer, mut waiting: mpsc::Receiver<RowsRequest>, stopping: CancellationToken) {
    loop {
        let request = tokio::select! {
            biased;
            request = waiting.recv() => request,
            () = stopping.cancelled() => {
                waiting.close();
                if waiting.is_empty() {
                    return;
                }
                continue;
            }
        };
        let Some(RowsRequest { rows, answer }) = request else { return };
        let _turn = committer.store.turn().await;
        let verdicts = committer.commit(rows).await;
        // An upload whose caller has left goes on when it comes again.
        let _left = answer.send(verdicts.into_iter().map(|verdict| verdict.map(Accepted::from)).collect()).is_err();
    }
}
