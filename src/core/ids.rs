//! Owns identity: every id is its own type, and the keys derived from ids.
//!
//! Ids that callers bring are UUIDs of any version. Ids we make are UUIDv7, monotonic inside a process, with the last
//! bit clear; the journal entry of an event has the event's id with the last bit set, so an entry is found by its
//! event without a column or an index of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::core::slot::Slot;
use crate::core::time::Timestamp;

/// A text is not a UUID in the hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID written as 8-4-4-4-12 hexadecimal digits")]
pub struct NotAnId;

fn parse_uuid(text: &str) -> Result<Uuid, NotAnId> {
    // `Uuid::try_parse` also reads braces, URNs and the plain form; the contract has one form only.
    if text.len() != 36 {
        return Err(NotAnId);
    }
    Uuid::try_parse(text).map_err(|_| NotAnId)
}

/// A macro, because the id types differ in nothing but their name and must not be mixed up.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Reads the hyphenated form, any version, either case.
            ///
            /// # Errors
            /// [`NotAnId`] for any other text.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

uuid_id!(
    /// Whose books these are. Comes from the token alone.
    TenantId
);
uuid_id!(
    /// A loan as its tenant names it: unique inside the tenant only.
    LoanId
);
uuid_id!(
    /// Who owes.
    BorrowerId
);
uuid_id!(
    /// An accepted event; a payment is the commonest kind.
    EventId
);
uuid_id!(
    /// The journal entry of an event.
    EntryId
);
uuid_id!(
    /// A lending program: defaults for its loans.
    ProgramId
);
uuid_id!(
    /// A caller's upload of many payments.
    PaymentBatchId
);
uuid_id!(
    /// An address that webhooks go to.
    WebhookEndpointId
);
uuid_id!(
    /// One api process, as the workers answer it.
    PublisherId
);
uuid_id!(
    /// One worker process.
    WorkerId
);

impl EventId {
    /// The id of this event's journal entry: the same with the last bit set.
    #[must_use]
    pub fn entry_id(self) -> EntryId {
        EntryId(Uuid::from_u128(self.0.as_u128() | 1))
    }

    /// The id of a consequence of this event: its time and version, the rest a hash of cause, target and sort, last
    /// bit clear. Whoever knows the cause knows it without looking, so an answer names it without a read.
    #[must_use]
    pub fn consequence(self, target: Self, sort: &str) -> Self {
        const KEPT: u128 = 0xffff_ffff_ffff_f000_c000_0000_0000_0000;
        let hash = Sha256::new().chain_update(b"hpts.consequence\0").chain_update(self.0).chain_update(target.0);
        let hash = u128::from_be_bytes(first_16(hash.chain_update(sort)));
        Self(Uuid::from_u128((self.0.as_u128() & KEPT) | (hash & !KEPT & !1)))
    }
}

impl EventId {
    /// The id of a leg of the group that this event is the parent of.
    #[must_use]
    pub fn leg(self, number: i32) -> Self {
        self.consequence(self, &format!("leg:{number}"))
    }
}

impl EntryId {
    /// The event this entry belongs to; `None` for an id we cannot have made.
    #[must_use]
    pub fn event_id(self) -> Option<EventId> {
        let bits = self.0.as_u128();
        (bits & 1 == 1).then(|| EventId(Uuid::from_u128(bits & !1)))
    }
}

impl EventId {
    /// The least id that can have been made at or after an instant.
    #[must_use]
    pub fn least_of(instant: Timestamp) -> Self {
        let millis = u128::try_from(instant.utc().timestamp_millis()).unwrap_or(0);
        Self(Uuid::from_u128(millis << 80))
    }
}

/// The order of acceptance: drawn by the database, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn first_16(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    first
}

/// Writes bytes as lower-case hexadecimal digits.
pub(in crate::core) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The loan column everywhere, the lock order and the input of the slot: the first 16 bytes of
/// SHA-256(tag, tenant, loan id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoanKey([u8; 16]);

impl LoanKey {
    /// The key of a tenant's loan.
    #[must_use]
    pub fn of_loan(tenant: TenantId, loan: LoanId) -> Self {
        let hash = Sha256::new().chain_update(b"hpts.loan\0").chain_update(tenant.0).chain_update(loan.0);
        Self(first_16(hash))
    }

    /// What stands in an upload's own row: no loan has it.
    #[must_use]
    pub fn of_upload(upload: EventId) -> Self {
        Self(first_16(Sha256::new().chain_update(b"hpts.upload\0").chain_update(upload.0)))
    }

    /// What stands in the row of a group's parent: no loan has it.
    #[must_use]
    pub fn of_group(group: EventId) -> Self {
        Self(first_16(Sha256::new().chain_update(b"hpts.group\0").chain_update(group.0)))
    }

    /// Wraps a stored key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The stored form.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The loan's slot.
    #[must_use]
    pub fn slot(self) -> Slot {
        Slot::of(self)
    }
}

impl fmt::Debug for LoanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// What an idempotency key is unique by: the first 16 bytes of SHA-256(tag, tenant, key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 16]);

impl KeyHash {
    /// The hash of a caller's key.
    #[must_use]
    pub fn of_caller_key(tenant: TenantId, key: &str) -> Self {
        let hash = Sha256::new().chain_update(b"hpts.key\0").chain_update(tenant.0).chain_update(key);
        Self(first_16(hash))
    }

    /// The hash of a system event's key: one consequence of each sort per cause and target.
    #[must_use]
    pub fn of_system_event(cause: EventId, target: EventId, sort: &str) -> Self {
        let hash = Sha256::new().chain_update(b"hpts.system\0").chain_update(cause.0).chain_update(target.0);
        Self(first_16(hash.chain_update(sort)))
    }

    /// The hash of the key of what books a line of a bank statement, or an account's first balance. A caller's key of the
    /// same text has another.
    #[must_use]
    pub fn of_bank_settlement(tenant: TenantId, key: &str) -> Self {
        let hash = Sha256::new().chain_update(b"hpts.settlement\0").chain_update(tenant.0).chain_update(key);
        Self(first_16(hash))
    }

    /// The hash of a leg's key: each number once per group.
    #[must_use]
    pub fn of_leg(group: EventId, number: i32) -> Self {
        let hash = Sha256::new().chain_update(b"hpts.leg\0").chain_update(group.0);
        Self(first_16(hash.chain_update(number.to_be_bytes())))
    }

    /// Wraps a stored hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The stored form.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// Makes ids of version 7 that rise inside a process, last bit clear.
///
/// Layout after the 48-bit millisecond and the version: a 32-bit counter that starts anew each millisecond (12 bits
/// in `rand_a`, 20 in `rand_b`), 41 bits drawn once per process, and the clear bit. A clock that steps back keeps the
/// last millisecond, so order holds.
#[derive(Debug)]
pub struct IdMaker {
    process: u64,
    millis: u64,
    counter: u32,
}

impl IdMaker {
    /// A maker for one process; `random` should come from the system's source and never twice.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self { process: random & 0x01ff_ffff_ffff, millis: 0, counter: 0 }
    }

    /// The next id at `now`.
    pub fn next(&mut self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.utc().timestamp_millis()).unwrap_or(0);
        if millis > self.millis {
            self.millis = millis;
            self.counter = 0;
        } else if let Some(counter) = self.counter.checked_add(1) {
            self.counter = counter;
        } else {
            self.millis = self.millis.saturating_add(1);
            self.counter = 0;
        }
        let counter = u128::from(self.counter);
        let bits = (u128::from(self.millis) << 80)
            | (0x7 << 76)
            | ((counter >> 20) << 64)
            | (0b10 << 62)
            | ((counter & 0xf_ffff) << 42)
            | (u128::from(self.process) << 1);
        Uuid::from_u128(bits)
    }
}

/// The smallest UUIDv7 of an instant: where a range of ids made since then begins.
#[must_use]
pub fn first_id_at(instant: Timestamp) -> Uuid {
    let millis = u64::try_from(instant.utc().timestamp_millis()).unwrap_or(0);
    Uuid::from_u128((u128::from(millis) << 80) | (0x7 << 76) | (0b10 << 62))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_of_id_is_read() {
        assert!(LoanId::parse("AAAAAAAA-aaaa-1111-1111-111111111111").is_ok());
        for bad in ["", "1 OR 1=1", "11111111111111111111111111111111", "{11111111-1111-1111-1111-111111111111}"] {
            assert_eq!(LoanId::parse(bad), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn made_ids_rise_and_pair_with_their_entry() {
        let mut maker = IdMaker::new(u64::MAX);
        let now = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        let earlier = Timestamp::from_micros(1_777_636_799_000_000).unwrap();
        let ids: Vec<_> = [now, now, earlier, now].into_iter().map(|at| maker.next(at)).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in ids {
            assert_eq!(id.get_version_num(), 7);
            let event = EventId(id);
            assert_ne!(event.entry_id().0, id);
            assert_eq!(event.entry_id().event_id(), Some(event));
            assert!(first_id_at(now) <= id);
        }
    }

    #[test]
    fn a_consequence_has_an_id_of_our_own_form_made_of_its_cause() {
        let now = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        let mut maker = IdMaker::new(7);
        let (cause, target) = (EventId(maker.next(now)), EventId(maker.next(now)));
        let fee = cause.consequence(target, "return_fee");
        assert_eq!((fee, fee.entry_id().event_id()), (cause.consequence(target, "return_fee"), Some(fee)));
        assert_eq!((fee.0.get_version_num(), fee.0.get_variant()), (7, uuid::Variant::RFC4122));
        assert!(fee.0 >= first_id_at(now), "it has its cause's time");
        let others = [target.consequence(cause, "return_fee"), cause.consequence(target, "other"), cause, target];
        assert!(others.iter().all(|other| *other != fee), "{others:?}");
    }

    #[test]
    fn keys_differ_by_tenant_and_by_tag() {
        let (one, two) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let loan = LoanId(Uuid::from_u128(7));
        assert_ne!(LoanKey::of_loan(one, loan), LoanKey::of_loan(two, loan));
        assert_ne!(KeyHash::of_caller_key(one, "payment:1").bytes(), KeyHash::of_caller_key(two, "payment:1").bytes());
        assert_ne!(KeyHash::of_caller_key(one, "bank:1"), KeyHash::of_bank_settlement(one, "bank:1"));
        assert_ne!(KeyHash::of_bank_settlement(one, "bank:1"), KeyHash::of_bank_settlement(two, "bank:1"));
    }
}
