//! Owns the payments that events of a batch take back. A batch without such events costs no statement more.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{PaymentState, TakenBack};
use crate::core::loan::Allocation;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::seqs;
use crate::store::sqlite::post::read::{BatchEvents, EVENTS_OF_SEQS};
use crate::store::sqlite::rows::{bytes, get, minor};

/// What became of these payments, with the split that stands today; none where nobody has finished the payment.
pub(in crate::store::sqlite) const TAKEN_BACK: &str = "
    SELECT p.event_seq, p.loan_key, p.outcome = 'posted' AS is_posted,
        EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = p.event_seq) AS is_undone,
        coalesce(r.alloc_fees, p.alloc_fees) AS fees, coalesce(r.alloc_interest, p.alloc_interest) AS interest,
        coalesce(r.alloc_principal, p.alloc_principal) AS principal,
        coalesce(r.alloc_suspense, p.alloc_suspense) AS suspense
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.event_seq = wanted.value
    LEFT JOIN postings AS r ON r.event_seq = (
        SELECT max(later.event_seq) FROM postings AS later WHERE later.restates_seq = p.event_seq)";

/// Reads what became of the payments that the batch's events take back. A payment that nobody has finished yet, though
/// it was numbered first, joins the batch, to be posted first.
pub(super) async fn read(
    db: &mut SqliteConnection,
    batch: &mut BatchEvents,
) -> Result<BTreeMap<LoanKey, TakenBack>, StoreError> {
    let mut taken_back = BTreeMap::new();
    let mut unread: BTreeMap<Seq, LoanKey> = BTreeMap::new();
    for (key, events) in &batch.events {
        let asked = TakenBack::of(events);
        if !asked.is_empty() {
            unread.extend(asked.unread(events).into_iter().map(|seq| (seq, *key)));
            taken_back.insert(*key, asked);
        }
    }
    if unread.is_empty() {
        return Ok(taken_back);
    }
    let query = sqlx::query(TAKEN_BACK).bind(seqs(unread.keys().copied())?);
    for row in &query.fetch_all(&mut *db).await.map_err(store_error)? {
        let (seq, key) = (Seq(get(row, "event_seq")?), LoanKey::from_bytes(bytes(row, "loan_key")?));
        let state = payment_state(row)?;
        if unread.get(&seq) == Some(&key) {
            unread.remove(&seq);
            taken_back.entry(key).or_default().learn(seq, state);
        }
    }
    if !unread.is_empty() {
        let query = sqlx::query(EVENTS_OF_SEQS).bind(seqs(unread.into_keys())?);
        for row in &query.fetch_all(db).await.map_err(store_error)? {
            batch.take(row)?;
        }
    }
    Ok(taken_back)
}

fn payment_state(row: &SqliteRow) -> Result<PaymentState, StoreError> {
    let (is_posted, is_undone): (bool, bool) = (get(row, "is_posted")?, get(row, "is_undone")?);
    if is_undone {
        return Ok(PaymentState::Undone);
    }
    if !is_posted || get::<Option<i64>>(row, "fees")?.is_none() {
        return Ok(PaymentState::Rejected);
    }
    Ok(PaymentState::Posted(Allocation {
        fees: minor(row, "fees")?,
        interest: minor(row, "interest")?,
        principal: minor(row, "principal")?,
        suspense: minor(row, "suspense")?,
    }))
}
