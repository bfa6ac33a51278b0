//! Owns the way from new events to the column arrays of an insert.

use chrono::NaiveDate;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use super::copy::CopiedRows;
use super::rows::key_column;
use crate::core::event::{IdempotencyKey, Metadata, NewEvent, SourceMethod};
use crate::core::money::Minor;
use crate::core::slot::Slot;

/// The arrays of new events, as the `unnest` of an insert names them: $1 to $24. A macro, because `concat!` joins
/// literals only. `place` is the order in which they arrived.
macro_rules! new_events {
    () => {
        "unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[], $8::text[], \
         $9::date[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::uuid[], $16::bytea[], \
         $17::bigint[], $18::integer[], $19::bigint[], $20::uuid[], $21::bigint[], $22::smallint[], $23::uuid[], \
         $24::text[]) WITH ORDINALITY AS n (id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, \
         effective_date, source_method, external_ref, metadata, details, key, key_hash, fingerprint, group_seq, leg, \
         cause_seq, batch_id, row_no, slot, publisher, actor, place)"
    };
}

/// The columns of an event that its maker sets, in the order of [`new_events`].
macro_rules! new_event_columns {
    () => {
        "id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, effective_date, source_method, \
         external_ref, metadata, details, key, key_hash, fingerprint, group_seq, leg, cause_seq, batch_id, row_no, \
         slot, publisher, actor"
    };
}

/// The columns of an event that nobody else brought about, in the order of [`EventColumns::bind_fresh`] and
/// [`copy_event`]: without its publisher, who brings the others as well.
macro_rules! fresh_event_columns {
    () => {
        "id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, effective_date, source_method, \
         external_ref, metadata, details, key, key_hash, fingerprint, batch_id, row_no, slot, actor"
    };
}

/// How many [`fresh_event_columns`] there are.
pub(super) const FRESH_EVENT_COLUMNS: i16 = 20;

pub(super) use {fresh_event_columns, new_event_columns, new_events};

/// A query of ours with its arguments.
pub(super) type Prepared<'q> = Query<'q, Postgres, PgArguments>;

/// One array per column, equal in length by construction.
#[derive(Default)]
pub(super) struct EventColumns<'e> {
    ids: Vec<Uuid>,
    tenants: Vec<Uuid>,
    kinds: Vec<&'static str>,
    loan_keys: Vec<Uuid>,
    loan_ids: Vec<Uuid>,
    borrower_ids: Vec<Uuid>,
    amounts: Vec<Option<i64>>,
    currencies: Vec<String>,
    effective_dates: Vec<NaiveDate>,
    source_methods: Vec<Option<&'static str>>,
    external_refs: Vec<Option<&'e str>>,
    metadata: Vec<Option<&'e str>>,
    details: Vec<Option<String>>,
    keys: Vec<Option<&'e str>>,
    key_hashes: Vec<Uuid>,
    fingerprints: Vec<[u8; 32]>,
    groups: Vec<Option<i64>>,
    legs: Vec<Option<i32>>,
    causes: Vec<Option<i64>>,
    batches: Vec<Option<Uuid>>,
    row_nos: Vec<Option<i64>>,
    slots: Vec<Option<i16>>,
    publishers: Vec<Uuid>,
    actors: Vec<&'e str>,
}

impl<'e> EventColumns<'e> {
    /// The columns of these events, in their order.
    pub(super) fn of(events: impl IntoIterator<Item = &'e NewEvent>) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.push_identity(event);
            columns.push_command(event);
            columns.push_origin(event);
        }
        columns
    }

    fn push_identity(&mut self, event: &'e NewEvent) {
        self.ids.push(event.id.0);
        self.tenants.push(event.tenant.0);
        self.kinds.push(event.kind.as_str());
        self.loan_keys.push(key_column(event.loan_key));
        self.keys.push(event.key.as_ref().map(IdempotencyKey::as_str));
        self.key_hashes.push(Uuid::from_bytes(event.key_hash.bytes()));
        self.fingerprints.push(event.fingerprint.bytes());
        self.publishers.push(event.publisher.0);
        self.actors.push(&event.actor);
    }

    fn push_command(&mut self, event: &'e NewEvent) {
        let command = &event.command;
        self.loan_ids.push(command.loan_id().0);
        self.borrower_ids.push(command.borrower_id().0);
        self.amounts.push(command.amount().map(Minor::units));
        self.currencies.push(command.currency().code().to_owned());
        self.effective_dates.push(command.effective_date());
        self.source_methods.push(command.source_method().map(SourceMethod::as_str));
        self.external_refs.push(command.external_ref());
        self.metadata.push(command.metadata().map(Metadata::as_json));
        self.details.push(command.details());
    }

    fn push_origin(&mut self, event: &'e NewEvent) {
        let origin = &event.origin;
        self.groups.push(origin.group.map(|group| group.group_seq.0));
        self.legs.push(origin.group.map(|group| group.leg));
        self.causes.push(origin.cause_seq.map(|seq| seq.0));
        self.batches.push(origin.batch.map(|(batch, _)| batch.0));
        self.row_nos.push(origin.batch.map(|(_, row_no)| row_no));
        self.slots.push(event.slot.map(slot_column));
    }

    /// Binds $1 to $24.
    pub(super) fn bind<'q>(self, query: Prepared<'q>) -> Prepared<'q>
    where
        'e: 'q,
    {
        query
            .bind(self.ids)
            .bind(self.tenants)
            .bind(self.kinds)
            .bind(self.loan_keys)
            .bind(self.loan_ids)
            .bind(self.borrower_ids)
            .bind(self.amounts)
            .bind(self.currencies)
            .bind(self.effective_dates)
            .bind(self.source_methods)
            .bind(self.external_refs)
            .bind(self.metadata)
            .bind(self.details)
            .bind(self.keys)
            .bind(self.key_hashes)
            .bind(self.fingerprints)
            .bind(self.groups)
            .bind(self.legs)
            .bind(self.causes)
            .bind(self.batches)
            .bind(self.row_nos)
            .bind(self.slots)
            .bind(self.publishers)
            .bind(self.actors)
    }

    /// Binds the twenty of [`fresh_event_columns`].
    pub(super) fn bind_fresh<'q>(self, query: Prepared<'q>) -> Prepared<'q>
    where
        'e: 'q,
    {
        query
            .bind(self.ids)
            .bind(self.tenants)
            .bind(self.kinds)
            .bind(self.loan_keys)
            .bind(self.loan_ids)
            .bind(self.borrower_ids)
            .bind(self.amounts)
            .bind(self.currencies)
            .bind(self.effective_dates)
            .bind(self.source_methods)
            .bind(self.external_refs)
            .bind(self.metadata)
            .bind(self.details)
            .bind(self.keys)
            .bind(self.key_hashes)
            .bind(self.fingerprints)
            .bind(self.batches)
            .bind(self.row_nos)
            .bind(self.slots)
            .bind(self.actors)
    }
}

/// A slot as the column holds it.
pub(super) fn slot_column(slot: Slot) -> i16 {
    i16::try_from(slot.number()).unwrap_or(i16::MAX)
}

/// Writes the twenty of [`fresh_event_columns`].
pub(super) fn copy_event(row: &mut CopiedRows, event: &NewEvent) {
    let command = &event.command;
    let batch = event.origin.batch;
    row.uuid(event.id.0)
        .uuid(event.tenant.0)
        .text(event.kind.as_str())
        .uuid(key_column(event.loan_key))
        .uuid(command.loan_id().0)
        .uuid(command.borrower_id().0)
        .optional(command.amount().map(Minor::units), CopiedRows::bigint)
        .text(command.currency().code())
        .date(command.effective_date())
        .optional(command.source_method().map(SourceMethod::as_str), CopiedRows::text)
        .optional(command.external_ref(), CopiedRows::text)
        .optional(command.metadata().map(Metadata::as_json), CopiedRows::text)
        .optional(command.details().as_deref(), CopiedRows::text)
        .optional(event.key.as_ref().map(IdempotencyKey::as_str), CopiedRows::text)
        .bytes(&event.key_hash.bytes())
        .bytes(&event.fingerprint.bytes())
        .optional(batch.map(|(batch, _)| batch.0), CopiedRows::uuid)
        .optional(batch.map(|(_, row_no)| row_no), CopiedRows::bigint)
        .optional(event.slot.map(slot_column), CopiedRows::smallint)
        .text(&event.actor);
}
