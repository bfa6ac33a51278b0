//! Owns the earlier events that events of a batch name. A batch without such events costs no statement more.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::read::READ_EVENTS;
use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{Booked, Earlier, EarlierState};
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns};

/// What became of these events: the lines, with the split that stands today, a few index steps each. None where nobody
/// has finished the event. Whether a disbursement is settled costs a walk over what its loan got since.
pub(in crate::store::postgres) const READ_EARLIER: &str = "SELECT w.seq, p.loan_key, p.outcome = 'posted', \
     EXISTS (SELECT FROM postings u WHERE u.undoes_seq = w.seq OFFSET 0), p.accounts, p.amounts, \
     coalesce(r.alloc_fees, p.alloc_fees), coalesce(r.alloc_interest, p.alloc_interest), \
     coalesce(r.alloc_principal, p.alloc_principal), coalesce(r.alloc_suspense, p.alloc_suspense), \
     CASE WHEN e.kind = 'disbursement' THEN EXISTS (SELECT FROM events s JOIN postings sp ON sp.event_seq = s.seq \
     WHERE s.loan_key = p.loan_key AND s.seq > w.seq AND s.kind = 'disbursement_settled' AND sp.outcome = 'posted' \
     AND (s.details::json ->> 'event_seq')::bigint = w.seq \
     AND NOT EXISTS (SELECT FROM postings t WHERE t.undoes_seq = s.seq OFFSET 0) OFFSET 0) ELSE false END \
     FROM unnest($1::bigint[]) AS w (seq) CROSS JOIN LATERAL (SELECT t.loan_key, t.outcome, t.accounts, t.amounts, \
     t.alloc_fees, t.alloc_interest, t.alloc_principal, t.alloc_suspense FROM postings t WHERE t.event_seq = w.seq \
     OFFSET 0) AS p CROSS JOIN LATERAL (SELECT k.kind FROM events k WHERE k.seq = w.seq OFFSET 0) AS e \
     LEFT JOIN LATERAL (SELECT s.alloc_fees, s.alloc_interest, s.alloc_principal, s.alloc_suspense FROM postings s \
     WHERE s.restates_seq = w.seq ORDER BY s.posted_at DESC, s.loan_version DESC LIMIT 1) AS r ON true";

/// By loan.
pub(in crate::store::postgres) type ByLoan = HashMap<LoanKey, Earlier>;

/// Reads what became of the events that these events name. One that nobody has finished yet, though it was numbered
/// first, was committed late and is not in the drain: it joins the batch, to be posted first.
pub(in crate::store::postgres) async fn read(
    connection: &mut PgConnection,
    by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>,
) -> Result<ByLoan, StoreError> {
    let mut earlier = ByLoan::new();
    let mut unread: HashMap<Seq, LoanKey> = HashMap::new();
    for (key, events) in by_loan.iter() {
        let asked = Earlier::of(events);
        if !asked.is_empty() {
            unread.extend(asked.unread(events).into_iter().map(|seq| (seq, *key)));
            earlier.insert(*key, asked);
        }
    }
    if unread.is_empty() {
        return Ok(earlier);
    }
    let rows = sqlx::query(READ_EARLIER).bind(seqs(&unread)).fetch_all(&mut *connection).await.map_err(classify)?;
    for row in &rows {
        let mut columns = Columns::of(row);
        let (seq, key) = (Seq(columns.take()?), columns.loan_key()?);
        let state = earlier_state(&mut columns)?;
        if unread.get(&seq) == Some(&key) {
            unread.remove(&seq);
            earlier.entry(key).or_default().learn(seq, state);
        }
    }
    if !unread.is_empty() {
        bring(connection, &unread, by_loan).await?;
    }
    Ok(earlier)
}

fn seqs(named: &HashMap<Seq, LoanKey>) -> Vec<i64> {
    named.keys().map(|seq| seq.0).collect()
}

fn earlier_state(columns: &mut Columns<'_>) -> Result<EarlierState, StoreError> {
    let (is_posted, is_undone): (bool, bool) = (columns.take()?, columns.take()?);
    let (accounts, amounts): (Vec<i16>, Vec<i64>) = (columns.take()?, columns.take()?);
    let lines = rows::lines(accounts, amounts)?;
    let (split, is_settled) = (rows::allocation(columns)?, columns.take()?);
    Ok(match (is_undone, is_posted) {
        (true, _) => EarlierState::Undone,
        (false, true) => EarlierState::Posted(Booked { lines, split, is_settled }),
        (false, false) => EarlierState::Rejected,
    })
}

/// Puts unposted events among their loans' events. Nothing is drained: the arrays of loans are empty.
async fn bring(
    connection: &mut PgConnection,
    named: &HashMap<Seq, LoanKey>,
    by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>,
) -> Result<(), StoreError> {
    let query = sqlx::query(READ_EVENTS).bind(Vec::<Uuid>::new()).bind(Vec::<i64>::new()).bind(1_i64).bind(seqs(named));
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let event = rows::event(&mut Columns::of(row))?;
        if named.get(&event.seq) == Some(&event.event.loan_key) {
            by_loan.entry(event.event.loan_key).or_default().push(event);
        }
    }
    Ok(())
}
