//! Owns the read of events by the hundred and the thousand, for lists, lookups and results of uploads: what their status
//! tells. The ledger's own reads have nearly twice as many columns, and writing, sending and reading columns is most of what
//! such a row costs.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::read::progress;
use super::rows::{self, Columns};
use crate::core::ids::{EventId, PaymentBatchId, Seq};
use crate::core::ledger::{AccountCode, PostingSummary};
use crate::store::{EventStatus, StoreError};

/// The columns of `events AS e` that [`status`] reads. A macro, because `concat!` joins literals only.
macro_rules! status_event_columns {
    () => {
        "e.seq, e.accepted_at, e.id, e.kind, e.loan_id, e.borrower_id, e.amount, e.currency, e.effective_date, \
         e.source_method, e.external_ref, e.metadata, e.details, e.key, e.batch_id, e.row_no"
    };
}

/// What [`status`] reads. The tables are those of `record_joins`.
macro_rules! status_columns {
    () => {
        concat!(
            $crate::store::postgres::status::status_event_columns!(),
            ", p.outcome, p.rejection_code, p.accounts, p.alloc_fees, p.alloc_interest, p.alloc_principal, \
             p.alloc_suspense, p.posted_at, ",
            $crate::store::postgres::read::progress_columns!()
        )
    };
}

/// Where the events of [`status_columns`] are asked for one by one, by the key of an index: what the tables behind it need.
/// `OFFSET 0` holds the planner to that key: without statistics it takes a tenant's payments, or an upload's, to be few, and
/// would go through all of them for each.
macro_rules! status_events_by {
    ($key:literal) => {
        concat!(
            "(SELECT ",
            $crate::store::postgres::status::status_event_columns!(),
            ", e.tenant, e.loan_key FROM events e WHERE ",
            $key,
            " OFFSET 0) AS e"
        )
    };
}

pub(super) use {status_columns, status_event_columns, status_events_by};

/// How many columns of a posting follow its outcome: what to skip when there is none.
const BEHIND_OUTCOME: usize = 7;

/// Reads [`status_columns`].
pub(super) fn status(row: &PgRow) -> Result<EventStatus, StoreError> {
    let mut columns = Columns::of(row);
    let columns = &mut columns;
    let (seq, accepted_at, id) = (Seq(columns.take()?), columns.instant()?, EventId(columns.take()?));
    let kind = columns.word("kind")?;
    let command = rows::command(columns, kind)?;
    let key = columns.key(id)?;
    let batch: (Option<Uuid>, Option<i64>) = (columns.take()?, columns.take()?);
    let batch = batch.0.zip(batch.1).map(|(id, row_no)| (PaymentBatchId(id), row_no));
    let posting = summary(columns)?;
    let stage = rows::stage(columns, posting.is_some())?;
    Ok(EventStatus { seq, accepted_at, id, kind, command, key, batch, stage, posting, progress: progress(columns)? })
}

/// Reads what a posting says, from its outcome on; all of it NULL where there is none.
fn summary(columns: &mut Columns<'_>) -> Result<Option<PostingSummary>, StoreError> {
    let Some(word) = columns.take::<Option<&str>>()? else {
        columns.skip(BEHIND_OUTCOME);
        return Ok(None);
    };
    let outcome = rows::outcome_of(word, columns.take()?)?;
    let accounts: Vec<i16> = columns.take()?;
    Ok(Some(PostingSummary {
        outcome,
        has_lines: !accounts.is_empty(),
        moves_memo: accounts.contains(&AccountCode::CHARGED_OFF_MEMO.number()),
        allocation: rows::allocation(columns)?,
        posted_at: columns.instant()?,
        // Those of a group, which stands in no list and in no upload.
        refused_loans: Vec::new(),
    }))
}
