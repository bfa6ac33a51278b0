//! Owns the first look at the events that messages name: which of them are still to be posted.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::SqliteConnection;

use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{event_ids, loan_keys};
use crate::store::sqlite::rows::{ColumnNames, Columns as _, Packed, bytes, id, int, text};
use crate::store::{PostWork, StoreError, Wanted};

/// Loans that wait for a person.
pub(in crate::store::sqlite) const HELD_LOANS: &str =
    "SELECT loan_key FROM holds WHERE loan_key IN (SELECT unhex(value) FROM jsonb_each(?1))";

/// The row decides, whatever the message says. Packed.
pub(in crate::store::sqlite) const SORT_WANTED: &str = "
    SELECT json_group_array(json_array(hex(e.id), e.seq, hex(e.loan_key), hex(e.publisher), e.group_seq,
        CASE WHEN p.event_seq IS NOT NULL THEN 'already'
             WHEN h.loan_key IS NOT NULL OR k.parked_at IS NOT NULL THEN 'held'
             ELSE 'to_post' END))
    FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.id = unhex(wanted.value)
    LEFT JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN parked AS k ON k.event_seq = e.seq
    LEFT JOIN holds AS h ON h.loan_key = e.loan_key
    WHERE e.loan_key IS NOT NULL";

const SORTED_COLUMNS: ColumnNames = &[&["id", "seq", "loan_key", "publisher", "group_seq", "place"]];

/// An event to post.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::sqlite) struct ToPost {
    pub(in crate::store::sqlite) id: EventId,
    pub(in crate::store::sqlite) seq: Seq,
    pub(in crate::store::sqlite) loan_key: LoanKey,
}

/// The wanted events by what is known of them, each in the order of the messages.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Sorted {
    pub(in crate::store::sqlite) to_post: Vec<ToPost>,
    pub(in crate::store::sqlite) already: Vec<(EventId, PublisherId)>,
    pub(in crate::store::sqlite) unknown: Vec<EventId>,
    pub(in crate::store::sqlite) held: Vec<EventId>,
    /// Legs on loans that wait for a person: their groups do not wait.
    pub(in crate::store::sqlite) held_legs: Vec<EventId>,
    /// The groups of these.
    pub(in crate::store::sqlite) groups: BTreeSet<Seq>,
    pub(in crate::store::sqlite) misnamed: Vec<EventId>,
    /// Loans to drain though no event of theirs is to be posted: those that misleading messages name.
    pub(in crate::store::sqlite) named: Vec<LoanKey>,
}

impl Sorted {
    /// The loans to drain, in the order of the messages; some more than once.
    pub(super) fn loans(&self) -> impl Iterator<Item = LoanKey> {
        self.to_post.iter().map(|event| event.loan_key).chain(self.named.iter().copied())
    }
}

struct Found {
    seq: Seq,
    loan_key: LoanKey,
    publisher: PublisherId,
    group: Option<Seq>,
    place: String,
}

pub(super) async fn sort_wanted(db: &mut SqliteConnection, work: &PostWork) -> Result<Sorted, StoreError> {
    let wanted = &work.wanted;
    let ids = event_ids(wanted.iter().map(|wanted| wanted.id))?;
    let packed = Packed::fetch(db, sqlx::query(SORT_WANTED).bind(ids), SORTED_COLUMNS).await?;
    let rows = packed.rows()?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let event = Found {
            seq: Seq(int(row, "seq")?),
            loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
            publisher: PublisherId(id(row, "publisher")?),
            group: row.optional_int("group_seq")?.map(Seq),
            place: if work.despite_hold { despite_hold(text(row, "place")?) } else { text(row, "place")? }.to_owned(),
        };
        found.insert(EventId(id(row, "id")?), event);
    }
    let mut sorted = Sorted::default();
    let mut seen = HashSet::with_capacity(wanted.len());
    for wanted in wanted.iter().filter(|wanted| seen.insert(wanted.id)) {
        if let Some(event) = found.get(&wanted.id) {
            place(&mut sorted, wanted, event);
        } else {
            sorted.unknown.push(wanted.id);
            sorted.named.push(wanted.loan_key);
        }
    }
    leave_out_held(db, &mut sorted).await?;
    Ok(sorted)
}

/// A loan that only misleading messages name may be on hold without any of their rows saying so.
async fn leave_out_held(db: &mut SqliteConnection, sorted: &mut Sorted) -> Result<(), StoreError> {
    if sorted.named.is_empty() {
        return Ok(());
    }
    let held = sqlx::query(HELD_LOANS).bind(loan_keys(sorted.named.iter().copied())?);
    for row in held.fetch_all(db).await.map_err(store_error)? {
        let held = LoanKey::from_bytes(bytes(&row, "loan_key")?);
        sorted.named.retain(|key| *key != held);
    }
    Ok(())
}

fn despite_hold(place: &str) -> &str {
    if place == "held" { "to_post" } else { place }
}

fn place(sorted: &mut Sorted, wanted: &Wanted, event: &Found) {
    if event.loan_key != wanted.loan_key {
        sorted.misnamed.push(wanted.id);
        sorted.named.push(wanted.loan_key);
        return;
    }
    match (event.place.as_str(), event.group) {
        ("already", _) => sorted.already.push((wanted.id, event.publisher)),
        ("held", Some(group)) => {
            sorted.groups.insert(group);
            sorted.held_legs.push(wanted.id);
        }
        ("held", None) => sorted.held.push(wanted.id),
        _ => sorted.to_post.push(ToPost { id: wanted.id, seq: event.seq, loan_key: event.loan_key }),
    }
}
