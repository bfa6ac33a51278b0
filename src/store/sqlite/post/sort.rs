//! Owns the first look at the events that messages name: which of them are still to be posted.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;

use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::event_ids;
use crate::store::sqlite::rows::{bytes, get, id};
use crate::store::{StoreError, Wanted};

/// The row decides, whatever the message says.
pub(in crate::store::sqlite) const SORT_WANTED: &str = "
    SELECT e.id, e.seq, e.loan_key, e.publisher,
        CASE WHEN p.event_seq IS NOT NULL THEN 'already'
             WHEN h.loan_key IS NOT NULL OR k.parked_at IS NOT NULL THEN 'held'
             ELSE 'to_post' END AS place
    FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.id = unhex(wanted.value)
    LEFT JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN parked AS k ON k.event_seq = e.seq
    LEFT JOIN holds AS h ON h.loan_key = e.loan_key
    WHERE e.loan_key IS NOT NULL";

/// An event to post.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToPost {
    pub(super) id: EventId,
    pub(super) seq: Seq,
    pub(super) loan_key: LoanKey,
}

/// The wanted events by what is known of them, each in the order of the messages.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) to_post: Vec<ToPost>,
    pub(super) already: Vec<(EventId, PublisherId)>,
    pub(super) unknown: Vec<EventId>,
    pub(super) held: Vec<EventId>,
    pub(super) misnamed: Vec<EventId>,
}

struct Found {
    seq: Seq,
    loan_key: LoanKey,
    publisher: PublisherId,
    place: String,
}

pub(super) async fn sort_wanted(db: &mut SqliteConnection, wanted: &[Wanted]) -> Result<Sorted, StoreError> {
    let ids = event_ids(wanted.iter().map(|wanted| wanted.id))?;
    let rows = sqlx::query(SORT_WANTED).bind(ids).fetch_all(db).await.map_err(store_error)?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let event = Found {
            seq: Seq(get(row, "seq")?),
            loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
            publisher: PublisherId(id(row, "publisher")?),
            place: get(row, "place")?,
        };
        found.insert(EventId(id(row, "id")?), event);
    }
    let mut sorted = Sorted::default();
    let mut seen = HashSet::with_capacity(wanted.len());
    for wanted in wanted.iter().filter(|wanted| seen.insert(wanted.id)) {
        match found.get(&wanted.id) {
            Some(event) => place(&mut sorted, wanted, event),
            None => sorted.unknown.push(wanted.id),
        }
    }
    Ok(sorted)
}

fn place(sorted: &mut Sorted, wanted: &Wanted, event: &Found) {
    if event.loan_key != wanted.loan_key {
        sorted.misnamed.push(wanted.id);
        return;
    }
    match event.place.as_str() {
        "already" => sorted.already.push((wanted.id, event.publisher)),
        "held" => sorted.held.push(wanted.id),
        _ => sorted.to_post.push(ToPost { id: wanted.id, seq: event.seq, loan_key: event.loan_key }),
    }
}
