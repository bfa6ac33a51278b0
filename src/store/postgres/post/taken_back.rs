//! Owns the payments that events of a batch take back. A batch without such events costs no statement more.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::read::READ_EVENTS;
use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{PaymentState, TakenBack};
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns};

/// What became of these payments, with the split that stands today: a few index steps each. None where nobody has
/// finished the payment.
pub(in crate::store::postgres) const READ_TAKEN_BACK: &str = "SELECT w.seq, p.loan_key, p.outcome = 'posted', \
     EXISTS (SELECT FROM postings u WHERE u.undoes_seq = w.seq OFFSET 0), \
     coalesce(r.alloc_fees, p.alloc_fees), coalesce(r.alloc_interest, p.alloc_interest), \
     coalesce(r.alloc_principal, p.alloc_principal), coalesce(r.alloc_suspense, p.alloc_suspense) \
     FROM unnest($1::bigint[]) AS w (seq) CROSS JOIN LATERAL (SELECT t.loan_key, t.outcome, t.alloc_fees, \
     t.alloc_interest, t.alloc_principal, t.alloc_suspense FROM postings t WHERE t.event_seq = w.seq OFFSET 0) AS p \
     LEFT JOIN LATERAL (SELECT s.alloc_fees, s.alloc_interest, s.alloc_principal, s.alloc_suspense FROM postings s \
     WHERE s.restates_seq = w.seq ORDER BY s.event_seq DESC LIMIT 1) AS r ON true";

/// By loan.
pub(super) type ByLoan = HashMap<LoanKey, TakenBack>;

/// Reads what became of the payments that these events take back. A payment that nobody has finished yet, though it
/// was numbered first, was committed late and is not in the drain: it joins the batch, to be posted first.
pub(super) async fn read(
    connection: &mut PgConnection,
    by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>,
) -> Result<ByLoan, StoreError> {
    let mut taken_back = ByLoan::new();
    let mut unread: HashMap<Seq, LoanKey> = HashMap::new();
    for (key, events) in by_loan.iter() {
        let asked = TakenBack::of(events);
        if !asked.is_empty() {
            unread.extend(asked.unread(events).into_iter().map(|seq| (seq, *key)));
            taken_back.insert(*key, asked);
        }
    }
    if unread.is_empty() {
        return Ok(taken_back);
    }
    let rows = sqlx::query(READ_TAKEN_BACK).bind(seqs(&unread)).fetch_all(&mut *connection).await.map_err(classify)?;
    for row in &rows {
        let mut columns = Columns::of(row);
        let (seq, key) = (Seq(columns.take()?), columns.loan_key()?);
        let state = payment_state(&mut columns)?;
        if unread.get(&seq) == Some(&key) {
            unread.remove(&seq);
            taken_back.entry(key).or_default().learn(seq, state);
        }
    }
    if !unread.is_empty() {
        bring(connection, &unread, by_loan).await?;
    }
    Ok(taken_back)
}

fn seqs(payments: &HashMap<Seq, LoanKey>) -> Vec<i64> {
    payments.keys().map(|seq| seq.0).collect()
}

fn payment_state(columns: &mut Columns<'_>) -> Result<PaymentState, StoreError> {
    let (is_posted, is_undone): (bool, bool) = (columns.take()?, columns.take()?);
    let split = rows::allocation(columns)?;
    Ok(match split {
        _ if is_undone => PaymentState::Undone,
        Some(split) if is_posted => PaymentState::Posted(split),
        Some(_) | None => PaymentState::Rejected,
    })
}

/// Puts unposted payments among their loans' events. Nothing is drained: the arrays of loans are empty.
async fn bring(
    connection: &mut PgConnection,
    payments: &HashMap<Seq, LoanKey>,
    by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>,
) -> Result<(), StoreError> {
    let query =
        sqlx::query(READ_EVENTS).bind(Vec::<Uuid>::new()).bind(Vec::<i64>::new()).bind(1_i64).bind(seqs(payments));
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let event = rows::event(&mut Columns::of(row))?;
        if payments.get(&event.seq) == Some(&event.event.loan_key) {
            by_loan.entry(event.event.loan_key).or_default().push(event);
        }
    }
    Ok(())
}
