//! Owns the loans of a batch: the rows that are there, and new rows where an event opens a loan.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::loan::LoanState;
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, OpeningRow, json, loan_keys};
use crate::store::sqlite::post::sort::Sorted;
use crate::store::sqlite::rows::{
    LOAN_COLUMNS, Packed, bytes, decode_event, decode_loan, event_columns, int, packed_loan,
};

/// The loans, packed.
pub(in crate::store::sqlite) const LOANS_TO_POST: &str = concat!(
    "SELECT json_group_array(json_array(",
    packed_loan!(),
    ", EXISTS (SELECT 1 FROM refusing_holds AS r WHERE r.loan_key = l.loan_key)))
    FROM jsonb_each(?1) AS wanted JOIN loans AS l ON l.loan_key = unhex(wanted.value)"
);

/// The first unposted event that opens each of these loans. Looks at the named events and at the newest 10,000 of each
/// loan: whenever an event of such a loan was finished before, every opening there was by then was found with it, so an
/// unposted one is recent; and a flood of payments to no loan must not cost every batch a walk.
pub(in crate::store::sqlite) const OPENING_EVENTS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.seq = (
        SELECT min(opening.seq) FROM (
            SELECT * FROM (
                SELECT recent.seq, recent.kind, recent.slot, recent.details FROM events AS recent
                WHERE recent.loan_key = unhex(wanted.value ->> 'loan_key')
                ORDER BY recent.seq DESC LIMIT 10000)
            UNION ALL
            SELECT named.seq, named.kind, named.slot, named.details
            FROM json_each(wanted.value, '$.named') AS place JOIN events AS named ON named.seq = place.value
            WHERE named.loan_key = unhex(wanted.value ->> 'loan_key')) AS opening
        WHERE opening.kind IN ('loan_opened', 'disbursement', 'unidentified_receipt', 'bank_settled',
                'refinance', 'restructure')
            AND (opening.kind NOT IN ('refinance', 'restructure') OR opening.details LIKE '%\"new_loan\":{%')
            AND opening.slot IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = opening.seq))"
);

/// In key order, as everywhere. Nothing is inserted where the loan number belongs to another loan.
pub(in crate::store::sqlite) const INSERT_OPENING: &str = "
    INSERT INTO loans (loan_key, tenant, loan_id, loan_number, loan_number_comparable, borrower_id, currency, opened_on,
        status, fees, interest, principal, suspense, waterfall, version, last_posted_seq,
        greatest_effective_date, last_posted_at, chain_head)
    SELECT unhex(row ->> 'loan_key'), unhex(row ->> 'tenant'), unhex(row ->> 'loan_id'), row ->> 'loan_number',
        row ->> 'loan_number_comparable', unhex(row ->> 'borrower_id'), row ->> 'currency', row ->> 'opened_on',
        'open', 0, 0, 0, 0, row ->> 'waterfall', 0, 0, row ->> 'opened_on', 0, zeroblob(32)
    FROM (SELECT key AS place, value AS row FROM jsonb_each(?1))
    WHERE true
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING loan_key";

/// Loans that no posting of this transaction opened.
pub(in crate::store::sqlite) const DELETE_UNOPENED: &str =
    "DELETE FROM loans WHERE version = 0 AND loan_key IN (SELECT unhex(value) FROM jsonb_each(?1))";

/// A loan of the batch.
#[derive(Clone, Debug, Default)]
pub(in crate::store::sqlite) struct LockedLoan {
    /// Its state; `None` where there is no loan and nothing opens one.
    pub(in crate::store::sqlite) state: Option<LoanState>,
    /// The event that opens it, where it was missing.
    pub(in crate::store::sqlite) opening: Option<AcceptedEvent>,
    /// Whether its number belongs to another loan.
    pub(in crate::store::sqlite) number_taken: bool,
    /// Whether it is on hold, and refuses what comes.
    pub(in crate::store::sqlite) refuses: bool,
}

impl LockedLoan {
    /// Whether there is no such loan, and no event that opens it. Its events are finished by name only.
    pub(in crate::store::sqlite) const fn is_absent(&self) -> bool {
        self.state.is_none() && self.opening.is_none()
    }
}

/// A loan that is missing, with those of its events that messages name.
#[derive(Debug, Serialize)]
struct Missing {
    loan_key: Hex<16>,
    named: Vec<Seq>,
    #[serde(skip)]
    key: LoanKey,
}

/// Those of these loans that are there.
pub(in crate::store::sqlite) async fn locked(
    db: &mut SqliteConnection,
    keys: impl IntoIterator<Item = LoanKey>,
) -> Result<Vec<LockedLoan>, StoreError> {
    let query = sqlx::query(LOANS_TO_POST).bind(loan_keys(keys)?);
    let packed = Packed::fetch(db, query, &[LOAN_COLUMNS, &["refuses"]]).await?;
    let loan = |row| {
        let (state, refuses) = (Some(decode_loan(row)?), int(row, "refuses")? != 0);
        Ok(LockedLoan { state, refuses, ..LockedLoan::default() })
    };
    packed.rows()?.iter().map(loan).collect()
}

pub(in crate::store::sqlite) async fn lock_loans(
    db: &mut SqliteConnection,
    sorted: &Sorted,
) -> Result<BTreeMap<LoanKey, LockedLoan>, StoreError> {
    let wanted: BTreeSet<LoanKey> = sorted.loans().collect();
    let there = locked(db, wanted.iter().copied()).await?.into_iter();
    let mut loans: BTreeMap<LoanKey, LockedLoan> =
        there.filter_map(|loan| Some((loan.state.as_ref()?.key, loan))).collect();
    let mut named: BTreeMap<LoanKey, Vec<Seq>> =
        wanted.into_iter().filter(|key| !loans.contains_key(key)).map(|key| (key, Vec::new())).collect();
    if named.is_empty() {
        return Ok(loans);
    }
    for event in &sorted.to_post {
        if let Some(named) = named.get_mut(&event.loan_key) {
            named.push(event.seq);
        }
    }
    let missing = named.into_iter().map(|(key, named)| Missing { loan_key: Hex(key.bytes()), named, key });
    open_loans(db, missing.collect(), &mut loans).await?;
    Ok(loans)
}

async fn open_loans(
    db: &mut SqliteConnection,
    missing: Vec<Missing>,
    loans: &mut BTreeMap<LoanKey, LockedLoan>,
) -> Result<(), StoreError> {
    let query = sqlx::query(OPENING_EVENTS).bind(json(&missing)?);
    let rows = query.fetch_all(&mut *db).await.map_err(store_error)?;
    loans.extend(missing.into_iter().map(|missing| (missing.key, LockedLoan::default())));
    let mut openings = BTreeMap::new();
    for row in &rows {
        let event = decode_event(row)?;
        openings.insert(event.event.loan_key, (unopened(&event), event));
    }
    if openings.is_empty() {
        return Ok(());
    }
    let rows: Vec<OpeningRow> = openings.values().map(|(state, event)| OpeningRow::new(event, state)).collect();
    let insert = sqlx::query(INSERT_OPENING).bind(json(&rows)?);
    let inserted = insert.fetch_all(db).await.map_err(store_error)?;
    let inserted: HashSet<LoanKey> =
        inserted.iter().map(|row| bytes(row, "loan_key").map(LoanKey::from_bytes)).collect::<Result<_, _>>()?;
    for (key, (state, event)) in openings {
        let is_opened = inserted.contains(&key);
        let state = is_opened.then_some(state);
        loans.insert(key, LockedLoan { state, opening: Some(event), number_taken: !is_opened, refuses: false });
    }
    Ok(())
}

pub(super) fn unopened(opening: &AcceptedEvent) -> LoanState {
    let (event, command) = (&opening.event, &opening.event.command);
    LoanState::unopened(
        (event.loan_key, event.tenant),
        (command.loan_id(), command.borrower_id()),
        command.currency(),
        command.effective_date(),
    )
}
