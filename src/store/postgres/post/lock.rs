//! Owns the first phase: the locks on the batch's loans, and the rows of loans that are about to open.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::core::event::{AcceptedEvent, LoanNumber};
use crate::core::ids::LoanKey;
use crate::core::loan::LoanState;
use crate::store::postgres::error::{classify, overtaken};
use crate::store::postgres::rows::{self, Columns, LoanRow, event_columns, key_column};
use crate::store::{PostWork, StoreError};

/// Reads loans by their keys: one look into the key per element, whatever the planner knows of the table; a subquery that
/// ends with a lock or with `OFFSET 0` is not merged into the one around it. The last column keeps accounting periods from
/// being closed until the commit, see `periods`.
macro_rules! loans_by_key {
    ($end:literal) => {
        concat!(
            "SELECT ",
            $crate::store::postgres::rows::loan_columns!(),
            ", ",
            $crate::store::postgres::periods::share_periods!(),
            " FROM unnest($1::uuid[]) AS k (wanted) CROSS JOIN LATERAL (SELECT ",
            $crate::store::postgres::rows::loan_columns!(),
            " FROM loans WHERE loan_key = k.wanted ",
            $end,
            ") AS l"
        )
    };
}

pub(super) use loans_by_key;

/// Locks loans and reads them as they stand once locked: 2 microseconds each. The order of the array is load-bearing
/// and sorted by key: every transaction takes its loans in key order, so that two of them wait instead of
/// deadlocking. NO KEY: a foreign key check does not wait for us.
pub(super) const LOCK_LOANS: &str = loans_by_key!("FOR NO KEY UPDATE");

/// The same without waiting: loans that another transaction holds are left out.
const LOCK_FREE_LOANS: &str = loans_by_key!("FOR NO KEY UPDATE SKIP LOCKED");

/// Which loans exist, whoever holds them.
const EXISTING_LOANS: &str = "SELECT k.wanted FROM unnest($1::uuid[]) AS k (wanted) \
     WHERE EXISTS (SELECT FROM loans l WHERE l.loan_key = k.wanted OFFSET 0)";

/// Which loans are held before they exist.
const HELD_KEYS: &str = "SELECT k.wanted FROM unnest($1::uuid[]) AS k (wanted) \
     WHERE EXISTS (SELECT FROM holds h WHERE h.loan_key = k.wanted OFFSET 0)";

/// Of loans on hold, those that refuse. One that has a row in `holds` as well waits.
const REFUSING_LOANS: &str = "SELECT r.loan_key FROM refusing_holds r WHERE r.loan_key = ANY($1) \
     AND NOT EXISTS (SELECT FROM holds h WHERE h.loan_key = r.loan_key)";

/// The first unposted opening event of each loan that does not exist. Looks at the named events and at the newest
/// 10,000 of each loan: whenever an event of such a loan was finished before, every opening committed by then was
/// found with it, so an unposted one is recent; and a flood of payments to no loan must not cost every batch a walk.
const FIND_OPENINGS: &str = concat!(
    "SELECT DISTINCT ON (e.loan_key) ",
    event_columns!(),
    " FROM (SELECT recent.seq, k.loan_key FROM unnest($1::uuid[]) AS k (loan_key) CROSS JOIN LATERAL \
     (SELECT r.seq, r.kind, r.slot FROM events r WHERE r.loan_key = k.loan_key ORDER BY r.seq DESC LIMIT 10000) \
     AS recent WHERE recent.kind = ANY($4) AND recent.slot IS NOT NULL \
     UNION ALL SELECT n.seq, n.loan_key FROM unnest($2::bigint[], $3::uuid[]) AS n (seq, loan_key)) AS o \
     CROSS JOIN LATERAL (SELECT ",
    event_columns!(),
    " FROM events e WHERE e.seq = o.seq AND e.loan_key = o.loan_key AND e.kind = ANY($4) AND e.slot IS NOT NULL \
     AND (e.kind NOT IN ('refinance', 'restructure') OR e.details LIKE '%\"new_loan\":{%') \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq OFFSET 0) OFFSET 0) AS e \
     ORDER BY e.loan_key, e.seq"
);

/// Makes the rows of loans that open. A row that was not made exists by now, or its number belongs to another loan.
/// A hold is copied here: it may have been made after we looked for one. ORDER BY is load-bearing: lock order.
const INSERT_LOANS: &str = "INSERT INTO loans (loan_key, tenant, loan_id, borrower_id, currency, opened_on, \
     loan_number, loan_number_comparable, status, fees, interest, principal, suspense, waterfall, version, \
     last_posted_seq, greatest_effective_date, last_posted_at, chain_head, on_hold) \
     SELECT loan_key, tenant, loan_id, borrower_id, currency, opened_on, loan_number, loan_number_comparable, \
     status, 0, 0, 0, 0, waterfall, 0, 0, opened_on, 'epoch', $11, \
     EXISTS (SELECT FROM holds h WHERE h.loan_key = n.loan_key) \
     FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::date[], $7::text[], $8::text[], \
     $9::text[], $10::text[]) AS n (loan_key, tenant, loan_id, borrower_id, currency, opened_on, loan_number, \
     loan_number_comparable, status, waterfall) ORDER BY loan_key ON CONFLICT DO NOTHING RETURNING loan_key";

/// Takes back rows of loans that did not open after all.
const FORGET_LOANS: &str = "DELETE FROM loans WHERE loan_key = ANY($1) AND version = 0";

/// The statements of this phase.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 8] = [
    ("lock_loans", LOCK_LOANS),
    ("lock_free_loans", LOCK_FREE_LOANS),
    ("existing_loans", EXISTING_LOANS),
    ("held_keys", HELD_KEYS),
    ("refusing_loans", REFUSING_LOANS),
    ("find_openings", FIND_OPENINGS),
    ("insert_loans", INSERT_LOANS),
    ("forget_loans", FORGET_LOANS),
];

/// The batch's loans, by what the locks found.
#[derive(Default)]
pub(in crate::store::postgres) struct Locked {
    /// Locked by us; version 0 where we have just made the row.
    pub(in crate::store::postgres) loans: BTreeMap<LoanKey, LoanRow>,
    /// Among them, rows that we made.
    pub(in crate::store::postgres) opened: BTreeSet<LoanKey>,
    /// Not opened, because the number belongs to another loan.
    pub(in crate::store::postgres) number_taken: BTreeSet<LoanKey>,
    /// No loan, and no event that opens one.
    pub(in crate::store::postgres) absent: BTreeSet<LoanKey>,
    /// No loan, and held.
    pub(in crate::store::postgres) held: BTreeSet<LoanKey>,
    /// Of the loans, those on hold whose hold refuses.
    pub(in crate::store::postgres) refusing: BTreeSet<LoanKey>,
    /// Locked by another transaction.
    pub(in crate::store::postgres) elsewhere: BTreeSet<LoanKey>,
    /// Whether the loans are not locked after all: known or read, and written where they are still the same.
    pub(super) is_by_sight: bool,
}

impl Locked {
    /// Whether a loan's events wait for a person.
    pub(super) fn waits(&self, key: &LoanKey) -> bool {
        let is_on_hold = self.loans.get(key).is_some_and(|loan| loan.on_hold);
        self.held.contains(key) || is_on_hold && !self.refusing.contains(key)
    }
}

/// Locks the loans that messages name.
pub(in crate::store::postgres) async fn lock(
    connection: &mut PgConnection,
    work: &PostWork,
) -> Result<Locked, StoreError> {
    let keys = work.loan_keys();
    let statement = if work.skip_locked { LOCK_FREE_LOANS } else { LOCK_LOANS };
    let mut locked = Locked { loans: read_loans(connection, statement, &keys).await?, ..Locked::default() };
    let mut missing: BTreeSet<LoanKey> = keys.into_iter().filter(|key| !locked.loans.contains_key(key)).collect();
    look_at_holds(connection, work, &mut locked).await?;
    if missing.is_empty() {
        return Ok(locked);
    }
    if work.skip_locked {
        // What a lock statement left out says nothing about existence; a plain read does.
        locked.elsewhere = read_keys(connection, EXISTING_LOANS, &missing).await?;
        missing.retain(|key| !locked.elsewhere.contains(key));
    }
    if !work.despite_hold {
        locked.held = read_keys(connection, HELD_KEYS, &missing).await?;
    }
    missing.retain(|key| !locked.held.contains(key));
    open(connection, work, &missing, &mut locked).await?;
    Ok(locked)
}

/// No statement where no loan of the batch is on hold.
async fn look_at_holds(connection: &mut PgConnection, work: &PostWork, locked: &mut Locked) -> Result<(), StoreError> {
    let on_hold = locked.loans.iter_mut().filter(|(_, loan)| loan.on_hold);
    if work.despite_hold {
        on_hold.for_each(|(_, loan)| loan.on_hold = false);
        return Ok(());
    }
    let keys: BTreeSet<LoanKey> = on_hold.map(|(key, _)| *key).collect();
    if !keys.is_empty() {
        locked.refusing = read_keys(connection, REFUSING_LOANS, &keys).await?;
    }
    Ok(())
}

/// Makes the rows of those missing loans that have an unposted opening event.
async fn open(
    connection: &mut PgConnection,
    work: &PostWork,
    missing: &BTreeSet<LoanKey>,
    locked: &mut Locked,
) -> Result<(), StoreError> {
    let openings = find_openings(connection, work, missing).await?;
    locked.absent = missing.iter().copied().filter(|key| !openings.contains_key(key)).collect();
    if openings.is_empty() {
        return Ok(());
    }
    locked.opened = insert_loans(connection, &openings).await?;
    // Rows we made are locked already; those that another lane has made meanwhile are locked here.
    let keys: BTreeSet<LoanKey> = openings.into_keys().collect();
    let loans = read_loans(connection, LOCK_LOANS, &keys).await?;
    locked.number_taken = keys.into_iter().filter(|key| !loans.contains_key(key)).collect();
    locked.loans.extend(loans);
    Ok(())
}

fn key_columns(keys: &BTreeSet<LoanKey>) -> Vec<Uuid> {
    keys.iter().copied().map(key_column).collect()
}

/// Reads loans by [`LOCK_LOANS`] or a statement of its form.
pub(super) async fn read_loans(
    connection: &mut PgConnection,
    statement: &'static str,
    keys: &BTreeSet<LoanKey>,
) -> Result<BTreeMap<LoanKey, LoanRow>, StoreError> {
    let rows = sqlx::query(statement).bind(key_columns(keys)).fetch_all(connection).await.map_err(classify)?;
    let loans = rows.iter().map(|row| rows::loan(&mut Columns::of(row)));
    loans.map(|loan| loan.map(|loan| (loan.state.key, loan))).collect()
}

async fn read_keys(
    connection: &mut PgConnection,
    statement: &'static str,
    keys: &BTreeSet<LoanKey>,
) -> Result<BTreeSet<LoanKey>, StoreError> {
    let rows = sqlx::query(statement).bind(key_columns(keys)).fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| Columns::of(row).loan_key()).collect()
}

async fn find_openings(
    connection: &mut PgConnection,
    work: &PostWork,
    missing: &BTreeSet<LoanKey>,
) -> Result<BTreeMap<LoanKey, AcceptedEvent>, StoreError> {
    if missing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let named = work.wanted.iter().filter(|wanted| missing.contains(&wanted.loan_key));
    let (seqs, keys): (Vec<i64>, Vec<Uuid>) = named.map(|wanted| (wanted.seq.0, key_column(wanted.loan_key))).unzip();
    let kinds =
        ["disbursement", "loan_opened", "unidentified_receipt", "bank_settled", "refinance", "restructure"].as_slice();
    let query = sqlx::query(FIND_OPENINGS).bind(key_columns(missing)).bind(seqs).bind(keys).bind(kinds);
    let rows: Vec<PgRow> = query.fetch_all(connection).await.map_err(classify)?;
    let events = rows.iter().map(|row| rows::event(&mut Columns::of(row)));
    events.map(|event| event.map(|event| (event.event.loan_key, event))).collect()
}

async fn insert_loans(
    connection: &mut PgConnection,
    openings: &BTreeMap<LoanKey, AcceptedEvent>,
) -> Result<BTreeSet<LoanKey>, StoreError> {
    let states: Vec<LoanState> = openings.values().map(unopened).collect();
    let numbers: Vec<_> = openings.values().map(|opening| opening.event.command.loan_number()).collect();
    let waterfalls: Vec<String> = states.iter().map(|state| state.waterfalls.to_string()).collect();
    let query = sqlx::query(INSERT_LOANS)
        .bind(states.iter().map(|state| key_column(state.key)).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.tenant.0).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.loan_id.0).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.borrower_id.0).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.currency.code()).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.opened_on).collect::<Vec<_>>())
        .bind(numbers.iter().map(|number| number.map(LoanNumber::as_str)).collect::<Vec<_>>())
        .bind(numbers.iter().map(|number| number.map(LoanNumber::comparable)).collect::<Vec<_>>())
        .bind(states.iter().map(|state| state.status.as_str()).collect::<Vec<_>>())
        .bind(waterfalls)
        .bind([0_u8; 32].as_slice());
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| Columns::of(row).loan_key()).collect()
}

pub(super) fn unopened(opening: &AcceptedEvent) -> LoanState {
    let command = &opening.event.command;
    LoanState::unopened(
        (opening.event.loan_key, opening.event.tenant),
        (command.loan_id(), command.borrower_id()),
        command.currency(),
        command.effective_date(),
    )
}

/// Deletes the rows that we made and that got no version.
pub(in crate::store::postgres) async fn forget_unopened(
    connection: &mut PgConnection,
    locked: &Locked,
    states: &[LoanState],
) -> Result<(), StoreError> {
    if locked.opened.is_empty() {
        return Ok(());
    }
    let opened: BTreeSet<LoanKey> = states.iter().filter(|state| state.version > 0).map(|state| state.key).collect();
    let unopened: BTreeSet<LoanKey> = locked.opened.difference(&opened).copied().collect();
    if unopened.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(FORGET_LOANS).bind(key_columns(&unopened));
    let deleted = query.execute(connection).await.map_err(classify)?.rows_affected();
    let expected = u64::try_from(unopened.len()).unwrap_or(u64::MAX);
    if deleted == expected { Ok(()) } else { Err(overtaken("an unopened loan was gone")) }
}
