//! Owns the short way to a batch: all that its messages name was accepted in this very transaction, and nothing else
//! waits on those loans. One statement finds the loans and says so; everything else is at hand. Where anything is
//! different the long way decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::store::sqlite::fresh::Fresh;
use crate::store::sqlite::params::{Hex, json};
use crate::store::sqlite::post::Found;
use crate::store::sqlite::post::loans::LockedLoan;
use crate::store::sqlite::post::read::BatchEvents;
use crate::store::sqlite::post::sort::{Sorted, ToPost};
use crate::store::sqlite::rows::{LOAN_COLUMNS, Packed, decode_loan, int, packed_loan};
use crate::store::{PostWork, StoreError, Wanted};

/// The loans of fresh events, packed, and whether something else waits: a hold, or an event that was accepted before.
/// Every job of a shared transaction that accepts events notes them all, so none can stand between a loan's fresh ones.
pub(in crate::store::sqlite) const LOANS_OF_FRESH: &str = concat!(
    "SELECT json_group_array(json_array(",
    packed_loan!(),
    ", EXISTS (SELECT 1 FROM refusing_holds AS r WHERE r.loan_key = l.loan_key)
        OR EXISTS (SELECT 1 FROM holds AS h WHERE h.loan_key = l.loan_key)
        OR EXISTS (SELECT 1 FROM events AS w WHERE w.loan_key = l.loan_key AND w.seq > l.last_posted_seq
            AND w.seq < wanted.value ->> 'first' AND w.slot IS NOT NULL)
        OR l.last_posted_seq >= wanted.value ->> 'first',
        (SELECT version FROM calendar_version)))
    FROM jsonb_each(?1) AS wanted JOIN loans AS l ON l.loan_key = unhex(wanted.value ->> 'loan_key')"
);

/// A loan, with the first of its fresh events.
#[derive(Debug, Serialize)]
struct Asked {
    loan_key: Hex<16>,
    first: Seq,
}

/// The batch that fresh events make; `None` where the long way has to decide.
pub(super) async fn batch(
    db: &mut SqliteConnection,
    work: &PostWork,
    fresh: &mut Fresh,
) -> Result<Option<Found>, StoreError> {
    let Some(asked) = asked(work, fresh) else { return Ok(None) };
    let rows: Vec<Asked> =
        asked.iter().map(|(key, first)| Asked { loan_key: Hex(key.bytes()), first: *first }).collect();
    let query = sqlx::query(LOANS_OF_FRESH).bind(json(&rows)?);
    let packed = Packed::fetch(db, query, &[LOAN_COLUMNS, &["waits", "calendar_version"]]).await?;
    let (mut loans, mut events) = (BTreeMap::new(), BatchEvents::default());
    for row in &packed.rows()? {
        if int(row, "waits")? != 0 {
            return Ok(None);
        }
        let state = decode_loan(row)?;
        events.calendar_version = int(row, "calendar_version")?;
        loans.insert(state.key, LockedLoan { state: Some(state), ..LockedLoan::default() });
    }
    if loans.len() != asked.len() {
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    let wanted = work.wanted.iter().filter(|event| seen.insert(event.id));
    let to_post = wanted.filter_map(|event| {
        let (loan_key, seq) = fresh.place(event.id)?;
        Some(ToPost { id: event.id, seq, loan_key })
    });
    let to_post = to_post.collect();
    events.events = asked.into_keys().map(|key| (key, fresh.take(key))).collect();
    Ok(Some(Found { sorted: Sorted { to_post, ..Sorted::default() }, loans, events }))
}

/// The loans to ask for, with the first fresh event of each; `None` where messages name anything that is not fresh, where
/// a leg of a group is among it, or where it is more than a batch takes.
fn asked(work: &PostWork, fresh: &Fresh) -> Option<BTreeMap<LoanKey, Seq>> {
    let is_fresh = |wanted: &Wanted| fresh.place(wanted.id).is_some_and(|(loan, _)| loan == wanted.loan_key);
    if !work.wanted.iter().all(is_fresh) {
        return None;
    }
    let loans = work.loan_keys();
    let mut count = 0_usize;
    let mut asked = BTreeMap::new();
    for loan in loans {
        let events = fresh.of_loan(loan);
        count = count.saturating_add(events.len());
        if events.len() > work.per_loan_max || count > work.events_max {
            return None;
        }
        for event in events {
            if !is_plain(event) {
                return None;
            }
            asked.entry(loan).or_insert(event.seq);
        }
    }
    Some(asked)
}

/// Whether an event is posted by itself: neither born finished nor a leg of a group. A guard: neither is accepted by a job
/// that shares its transaction.
fn is_plain(accepted: &AcceptedEvent) -> bool {
    accepted.event.slot.is_some() && accepted.event.origin.group.is_none()
}
