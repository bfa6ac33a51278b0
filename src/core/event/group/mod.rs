//! Owns groups: events over two or more loans. A group is one parent, which carries the caller's key and stands on no
//! loan, and one leg a loan, which stands in the loan's order like any other event. All legs are posted together, or
//! none.
//!
//! The parent says what is done, a leg what that means for its loan. The parent's fingerprint covers the legs', so
//! that the same request is the same group, whatever ids it got.

mod moves;
mod terms;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::event::accepted::{GroupLeg, NewEvent, Origin};
use crate::core::event::columns::{ColumnsError, CommandColumns};
use crate::core::event::command::Command;
use crate::core::event::fingerprint::Fingerprint;
use crate::core::event::metadata::Metadata;
use crate::core::ids::{BorrowerId, EventId, KeyHash, LoanId, LoanKey, Seq};
use crate::core::money::{Currency, Minor};

pub use moves::{Move, MovedBucket, NewLoanTerms, Rearrangement, UnknownMovedBucket};
pub use terms::{GroupOperation, LegTerms};

/// The most legs of a group.
pub const LEGS_MAX: usize = 10_000;

/// What followed from a group of so many legs, or would follow, is told with it; of one of more it is read by leg.
pub const LEGS_TOLD_MAX: u32 = 16;

/// A hash over all legs of a group, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LegsHash([u8; 32]);

/// What is asked of a group: the parent's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What is done.
    pub operation: GroupOperation,
    /// The currency of all its loans.
    pub currency: Currency,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// How many legs it has.
    pub legs: u32,
    /// What stands in them.
    pub legs_hash: LegsHash,
    /// Free data.
    pub metadata: Option<Metadata>,
}

/// A group's share of one loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The group's parent; its journal entry is the legs' as well.
    pub group: EventId,
    /// The loan.
    pub loan_id: LoanId,
    /// Its borrower; the nil id where the loan was not known when the group was accepted.
    pub borrower_id: BorrowerId,
    /// The group's currency.
    pub currency: Currency,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// What is done to the loan.
    pub terms: LegTerms,
}

impl Group {
    /// Whether it has so few legs that what followed from each of them is told with it.
    #[must_use]
    pub const fn tells_of_legs(&self) -> bool {
        self.legs <= LEGS_TOLD_MAX
    }
}

/// What is done to one loan of a group that is about to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegRequest {
    /// The loan.
    pub loan_id: LoanId,
    /// Its borrower, where known.
    pub borrower_id: Option<BorrowerId>,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// What is done to it.
    pub terms: LegTerms,
}

/// A group that is about to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// The parent: the caller's event.
    pub parent: NewEvent,
    /// The legs, numbered from 1 in this order; their place in the order is drawn behind the parent's.
    pub legs: Vec<NewEvent>,
}

impl NewGroup {
    /// Makes the legs of a parent whose command is the group of these requests.
    #[must_use]
    pub fn new(parent: NewEvent, requests: &[LegRequest]) -> Self {
        let currency = parent.command.currency();
        let legs = requests.iter().zip(1..).map(|(request, number)| leg(&parent, currency, request, number)).collect();
        Self { parent, legs }
    }

    /// The legs of a parent that stands at a place.
    #[must_use]
    pub fn legs_at(&self, group_seq: Seq) -> Vec<NewEvent> {
        let placed = |leg: &NewEvent| {
            let group = leg.origin.group.map(|group| GroupLeg { group_seq, ..group });
            NewEvent { origin: Origin { group, ..leg.origin }, ..leg.clone() }
        };
        self.legs.iter().map(placed).collect()
    }
}

fn leg(parent: &NewEvent, currency: Currency, request: &LegRequest, number: i32) -> NewEvent {
    let command = Command::Leg(Leg {
        group: parent.id,
        loan_id: request.loan_id,
        borrower_id: request.borrower_id.unwrap_or(NO_BORROWER),
        currency,
        effective_date: request.effective_date,
        terms: request.terms.clone(),
    });
    let loan_key = LoanKey::of_loan(parent.tenant, request.loan_id);
    NewEvent {
        id: parent.id.leg(number),
        tenant: parent.tenant,
        kind: command.kind(),
        loan_key,
        key: None,
        key_hash: KeyHash::of_leg(parent.id, number),
        fingerprint: Fingerprint::of(&command),
        command,
        origin: Origin { group: Some(GroupLeg { group_seq: Seq(0), leg: number }), ..Origin::default() },
        slot: Some(loan_key.slot()),
        publisher: parent.publisher,
        actor: parent.actor.clone(),
    }
}

/// Stands where a leg's row names a borrower whom nobody knew at acceptance.
const NO_BORROWER: BorrowerId = BorrowerId(uuid::Uuid::nil());

impl LegsHash {
    /// The hash of requests in their order.
    #[must_use]
    pub fn of(requests: &[LegRequest]) -> Self {
        let mut hash = Sha256::new();
        for request in requests {
            // A borrower is the loan's own, never the caller's word.
            let terms = request.terms.to_json();
            hash.update(request.loan_id.0);
            hash.update(request.effective_date.to_string());
            hash.update(u32::try_from(terms.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(terms);
        }
        Self(hash.finalize().into())
    }

    /// The stored form.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Leg {
    /// The borrower, where one was known at acceptance.
    #[must_use]
    pub fn borrower(&self) -> Option<BorrowerId> {
        (self.borrower_id != NO_BORROWER).then_some(self.borrower_id)
    }

    /// The amount it moves, where that was said and is more than nothing.
    #[must_use]
    pub fn amount(&self) -> Option<Minor> {
        self.terms.amount().filter(|amount| !amount.is_zero())
    }
}

/// The `details` of a parent or of a leg.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Details {
    Group { operation: GroupOperation, legs: u32, legs_hash: LegsHash },
    Leg { group: EventId, terms: LegTerms },
}

/// The `details` column of a parent.
pub(super) fn group_details(group: &Group) -> Option<String> {
    let Group { operation, legs, legs_hash, .. } = group;
    let details = Details::Group { operation: operation.clone(), legs: *legs, legs_hash: *legs_hash };
    serde_json::to_string(&details).ok()
}

/// The `details` column of a leg.
pub(super) fn leg_details(leg: &Leg) -> Option<String> {
    serde_json::to_string(&Details::Leg { group: leg.group, terms: leg.terms.clone() }).ok()
}

/// The command of a row of a kind that groups have: a parent's or a leg's, as its `details` say.
pub(super) fn from_columns(columns: CommandColumns) -> Result<Command, ColumnsError> {
    let text = columns.details.as_deref().ok_or(ColumnsError("details"))?;
    let details: Details = serde_json::from_str(text).map_err(|_| ColumnsError("details"))?;
    Ok(match details {
        Details::Group { operation, legs, legs_hash } => Command::Group(Group {
            operation,
            currency: columns.currency,
            effective_date: columns.effective_date,
            legs,
            legs_hash,
            metadata: columns.metadata.map(Metadata::from_stored),
        }),
        Details::Leg { group, terms } => Command::Leg(Leg {
            group,
            loan_id: columns.loan_id,
            borrower_id: columns.borrower_id,
            currency: columns.currency,
            effective_date: columns.effective_date,
            terms,
        }),
    })
}

/// The fields in which two groups differ.
pub(super) fn differing(a: &Group, b: &Group) -> Vec<&'static str> {
    let mut fields = a.operation.differing(&b.operation);
    if a.effective_date != b.effective_date {
        fields.push(a.operation.date_field());
    }
    if a.legs_hash != b.legs_hash {
        fields.push(a.operation.legs_field());
    }
    if a.metadata != b.metadata {
        fields.push("metadata");
    }
    fields
}
