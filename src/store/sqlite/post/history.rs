//! Owns the past of loans as a batch asks for it ([`past`](crate::store::past)).

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::accruals;
use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::store::StoreError;
use crate::store::past::{Behind, Days, Marked, Moved, PastReads, Rows};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, json};
use crate::store::sqlite::rows::{decode_posted, event_columns, posting_columns};

/// What stands in the books of loans from a day on, in order. Walks the loans' postings, which is why it runs for late
/// events only.
pub(in crate::store::sqlite) const HISTORY_SINCE: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value ->> 'loan_key') AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.effective_date >= wanted.value ->> 'date' AND p.outcome = 'posted'
    ORDER BY p.loan_key, p.loan_version"
);

#[derive(Serialize)]
struct Since {
    loan_key: Hex<16>,
    date: NaiveDate,
}

#[async_trait]
impl PastReads for SqliteConnection {
    async fn postings_since(&mut self, since: &Days) -> Result<Rows, StoreError> {
        let wanted: Vec<Since> =
            since.iter().map(|(key, date)| Since { loan_key: Hex(key.bytes()), date: *date }).collect();
        let mut rows = Rows::new();
        for row in &sqlx::query(HISTORY_SINCE).bind(json(&wanted)?).fetch_all(self).await.map_err(store_error)? {
            if let Some((event, posting)) = decode_posted(row)? {
                rows.entry(posting.loan_key).or_default().push((event, posting));
            }
        }
        Ok(rows)
    }

    async fn parents(&mut self, groups: &BTreeSet<Seq>) -> Result<Vec<AcceptedEvent>, StoreError> {
        accruals::read_parents(self, groups).await
    }

    async fn marks(&mut self, until: &Days) -> Result<Vec<Marked>, StoreError> {
        accruals::read_marks(self, until).await
    }

    async fn moved_behind(&mut self, marks: &[Behind]) -> Result<Vec<Moved>, StoreError> {
        accruals::read_behind(self, marks).await
    }

    async fn moved_before(&mut self, until: &Days) -> Result<Vec<Moved>, StoreError> {
        accruals::read_before(self, until).await
    }
}
