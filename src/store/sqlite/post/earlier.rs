//! Owns the earlier events that events of a batch name. A batch without such events costs no statement more.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{Booked, Earlier, EarlierState};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::seqs;
use crate::store::sqlite::post::read::{BatchEvents, EVENTS_OF_SEQS, packed_events};
use crate::store::sqlite::rows::{bytes, decode_allocation, decode_lines, get};

/// What became of these events: the lines, with the split that stands today; none where nobody has finished the event.
pub(in crate::store::sqlite) const EARLIER_EVENTS: &str = "
    SELECT p.event_seq, p.loan_key, p.outcome = 'posted' AS is_posted, p.accounts, p.amounts,
        EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = p.event_seq) AS is_undone,
        coalesce(r.alloc_fees, p.alloc_fees) AS alloc_fees,
        coalesce(r.alloc_interest, p.alloc_interest) AS alloc_interest,
        coalesce(r.alloc_principal, p.alloc_principal) AS alloc_principal,
        coalesce(r.alloc_suspense, p.alloc_suspense) AS alloc_suspense,
        e.kind = 'disbursement' AND EXISTS (
            SELECT 1 FROM events AS s JOIN postings AS sp ON sp.event_seq = s.seq
            WHERE s.loan_key = p.loan_key AND s.seq > p.event_seq AND s.kind = 'disbursement_settled'
                AND sp.outcome = 'posted' AND s.details ->> 'event_seq' = p.event_seq
                AND NOT EXISTS (SELECT 1 FROM postings AS t WHERE t.undoes_seq = s.seq)) AS is_settled
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.event_seq = wanted.value
    JOIN events AS e ON e.seq = p.event_seq
    LEFT JOIN postings AS r ON r.event_seq = (
        SELECT later.event_seq FROM postings AS later WHERE later.restates_seq = p.event_seq
        ORDER BY later.posted_at DESC, later.loan_version DESC LIMIT 1)";

/// Reads what became of the events that the batch's events name. One that nobody has finished yet, though it was
/// numbered first, joins the batch, to be posted first.
pub(in crate::store::sqlite) async fn read(
    db: &mut SqliteConnection,
    batch: &mut BatchEvents,
) -> Result<BTreeMap<LoanKey, Earlier>, StoreError> {
    let mut earlier = BTreeMap::new();
    let mut unread: BTreeMap<Seq, LoanKey> = BTreeMap::new();
    for (key, events) in &batch.events {
        let asked = Earlier::of(events);
        if !asked.is_empty() {
            unread.extend(asked.unread(events).into_iter().map(|seq| (seq, *key)));
            earlier.insert(*key, asked);
        }
    }
    if unread.is_empty() {
        return Ok(earlier);
    }
    let query = sqlx::query(EARLIER_EVENTS).bind(seqs(unread.keys().copied())?);
    for row in &query.fetch_all(&mut *db).await.map_err(store_error)? {
        let (seq, key) = (Seq(get(row, "event_seq")?), LoanKey::from_bytes(bytes(row, "loan_key")?));
        let state = earlier_state(row)?;
        if unread.get(&seq) == Some(&key) {
            unread.remove(&seq);
            earlier.entry(key).or_default().learn(seq, state);
        }
    }
    if !unread.is_empty() {
        let query = sqlx::query(EVENTS_OF_SEQS).bind(seqs(unread.into_keys())?);
        for row in packed_events(db, query).await?.rows()? {
            batch.take(&row)?;
        }
    }
    Ok(earlier)
}

fn earlier_state(row: &SqliteRow) -> Result<EarlierState, StoreError> {
    let (is_posted, is_undone): (bool, bool) = (get(row, "is_posted")?, get(row, "is_undone")?);
    if is_undone {
        return Ok(EarlierState::Undone);
    }
    if !is_posted {
        return Ok(EarlierState::Rejected);
    }
    let (lines, split) = (decode_lines(row)?, decode_allocation(row)?);
    Ok(EarlierState::Posted(Booked { lines, split, is_settled: get(row, "is_settled")? }))
}
