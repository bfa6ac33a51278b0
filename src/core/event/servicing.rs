//! Owns the operations on one loan besides payments, disbursements and fees: one command whose act says which it is.
//!
//! An act owns all that only it has: its kind, its stored details, and what of it makes a request the same request.
//! Borrower and currency are the loan's, filled at acceptance; no caller says them, so they are no part of the request.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::fee::FeeCode;
use crate::core::event::kind::EventKind;
use crate::core::event::metadata::Metadata;
use crate::core::event::reversal::{ReversalReason, ReversedEntry};
use crate::core::ids::{BorrowerId, EventId, LoanId, Seq};
use crate::core::ledger::AccountCode;
use crate::core::loan::{Allocation, LossAccount};
use crate::core::money::{Currency, Minor};

/// Who owes a loan, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The borrower.
    pub borrower_id: BorrowerId,
    /// The loan's currency.
    pub currency: Currency,
}

/// An operation on one loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servicing {
    /// The loan.
    pub loan_id: LoanId,
    /// The loan's, as known at acceptance; the nil borrower where no loan was known.
    pub party: Party,
    /// How much, where the caller says so; more than nothing.
    pub amount: Option<Minor>,
    /// The day it is dated.
    pub effective_date: NaiveDate,
    /// Free data.
    pub metadata: Option<Metadata>,
    /// What is done.
    pub act: ServicingAct,
}

impl Servicing {
    /// The day that its posting counts from: what takes an entry back counts from the entry's own day.
    #[must_use]
    pub const fn counts_from(&self) -> NaiveDate {
        match &self.act {
            ServicingAct::Reversal(reversed) => reversed.effective_date,
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::FeeWaived { .. }
            | ServicingAct::SuspenseApplied { .. }
            | ServicingAct::Restated { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::ManualAdjustment { .. }
            | ServicingAct::Chargeoff { .. }
            | ServicingAct::Recovery => self.effective_date,
        }
    }

    /// What makes it the same request, besides operation and loan: the contract's name of each field and its text.
    #[must_use]
    pub fn asked(&self) -> Vec<(&'static str, Option<String>)> {
        let mut asked = vec![
            ("amount_minor", self.amount.map(|amount| amount.to_string())),
            ("effective_at", Some(self.effective_date.to_string())),
        ];
        asked.extend(self.act.asked());
        asked.push(("metadata", self.metadata.as_ref().map(|metadata| metadata.as_json().to_owned())));
        asked
    }
}

/// An event that another one names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierEvent {
    /// Which event.
    #[serde(rename = "event_id")]
    pub id: EventId,
    /// Its place in the order; smaller than that of the event that names it.
    #[serde(rename = "event_seq")]
    pub seq: Seq,
}

/// The fee that a waiver names, as it was read at acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaivedFee {
    /// The event that charged it.
    #[serde(rename = "event_id")]
    pub id: EventId,
    /// The first event of the chain that the fee belongs to.
    pub correlation_id: EventId,
    /// Its place in the order of acceptance: the waiver is judged when it is posted. Waivers of the
    /// first version of these details have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
}

/// A line of a manual adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustmentLine {
    /// The account.
    pub account_code: AccountCode,
    /// Minor units, debits positive; never zero.
    pub signed_minor: Minor,
}

/// Whether a charged-off debt is still collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collectibility {
    /// It is: payments are recoveries.
    #[default]
    Collectible,
    /// It is not: the loan is written off.
    Uncollectible,
}

impl Collectibility {
    /// Whether it is.
    #[must_use]
    pub fn is_collectible(self) -> bool {
        self == Self::Collectible
    }

    /// From the contract's `collectible`.
    #[must_use]
    pub const fn of(collectible: bool) -> Self {
        if collectible { Self::Collectible } else { Self::Uncollectible }
    }
}

/// What is done to a loan. Stored in `events.details` as JSON, the act's name among its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ServicingAct {
    /// `POST /v1/disbursements/{id}/settlement`: money lent has left the bank.
    DisbursementSettled {
        /// The disbursement.
        #[serde(flatten)]
        disbursement: EarlierEvent,
    },
    /// `POST /v1/fees/waivers`: fees of a sort are forgiven, or one of them.
    FeeWaived {
        /// What sort.
        fee_code: FeeCode,
        /// Which one, where the caller says so. A waiver from before there was such a thing has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fee: Option<WaivedFee>,
    },
    /// `POST /v1/suspense/applications`: suspense pays what is owed; all of it where no amount is given. Also a
    /// consequence of new debt.
    SuspenseApplied {
        /// Of a consequence: the event that brought the debt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raised_by: Option<EventId>,
    },
    /// `POST /v1/suspense/refunds`: suspense is given back; all of it where no amount is given.
    SuspenseRefunded,
    /// `POST /v1/adjustments`: lines written by hand.
    ManualAdjustment {
        /// The lines; they balance.
        lines: Vec<AdjustmentLine>,
        /// Why.
        reason_description: String,
    },
    /// `POST /v1/reversals`: an entry is taken back.
    Reversal(ReversedEntry),
    /// `POST /v1/chargeoffs`: what the loan owes leaves the balance sheet.
    Chargeoff {
        /// Whether it is still collected.
        collectibility: Collectibility,
        /// Who bears the loss: the tenant's setting at acceptance.
        loss: LossAccount,
    },
    /// `POST /v1/recoveries`: money received for a loan that is charged off.
    Recovery,
    /// A consequence of a late item: what an earlier event does is stated anew; the lines are the difference.
    Restated {
        /// The event.
        #[serde(flatten)]
        event: EarlierEvent,
        /// What sort of event.
        kind: EventKind,
        /// The split that stood before, of an event that divides money; of an accrual, the interest that did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Allocation>,
    },
}

impl ServicingAct {
    /// The kind of event.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::DisbursementSettled { .. } => EventKind::DisbursementSettled,
            Self::FeeWaived { .. } => EventKind::FeeWaived,
            Self::SuspenseApplied { .. } => EventKind::SuspenseApplied,
            Self::SuspenseRefunded => EventKind::SuspenseRefunded,
            Self::ManualAdjustment { .. } => EventKind::ManualAdjustment,
            Self::Reversal(_) => EventKind::Reversal,
            Self::Chargeoff { .. } => EventKind::Chargeoff,
            Self::Recovery => EventKind::Recovery,
            Self::Restated { .. } => EventKind::PaymentAllocated,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Reads the stored form; `None` for any other text.
    #[must_use]
    pub fn from_details(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The event whose standing decides what the act does: it is read before the act is judged.
    #[must_use]
    pub const fn names(&self) -> Option<EarlierEvent> {
        match self {
            Self::DisbursementSettled { disbursement } => Some(*disbursement),
            Self::Reversal(reversed) => Some(reversed.event),
            Self::FeeWaived { fee: Some(WaivedFee { id, seq: Some(seq), .. }), .. } => {
                Some(EarlierEvent { id: *id, seq: *seq })
            }
            Self::FeeWaived { .. }
            | Self::Restated { .. }
            | Self::SuspenseApplied { .. }
            | Self::SuspenseRefunded
            | Self::ManualAdjustment { .. }
            | Self::Chargeoff { .. }
            | Self::Recovery => None,
        }
    }

    /// The first event of the chain, where that is another one.
    #[must_use]
    pub const fn first_of_chain(&self) -> Option<EventId> {
        match self {
            Self::DisbursementSettled { disbursement } => Some(disbursement.id),
            Self::Reversal(reversed) => Some(reversed.correlation_id),
            Self::Restated { event, .. } => Some(event.id),
            Self::FeeWaived { fee: Some(fee), .. } => Some(fee.correlation_id),
            Self::FeeWaived { fee: None, .. }
            | Self::SuspenseApplied { .. }
            | Self::SuspenseRefunded
            | Self::ManualAdjustment { .. }
            | Self::Chargeoff { .. }
            | Self::Recovery => None,
        }
    }

    /// The event that the act takes back.
    #[must_use]
    pub const fn takes_back(&self) -> Option<EarlierEvent> {
        if let Self::Reversal(reversed) = self { Some(reversed.event) } else { None }
    }

    /// Whether it takes an application of suspense back.
    #[must_use]
    pub fn takes_back_an_application(&self) -> bool {
        matches!(self, Self::Reversal(reversed) if reversed.kind == EventKind::SuspenseApplied)
    }

    /// What sort of fee it waives.
    #[must_use]
    pub const fn fee_code(&self) -> Option<&FeeCode> {
        if let Self::FeeWaived { fee_code, .. } = self { Some(fee_code) } else { None }
    }

    /// The fee that it waives, where it names one.
    #[must_use]
    pub fn waived_fee(&self) -> Option<EventId> {
        if let Self::FeeWaived { fee, .. } = self { fee.map(|fee| fee.id) } else { None }
    }

    /// Why it takes an entry back.
    #[must_use]
    pub const fn reason_code(&self) -> Option<ReversalReason> {
        if let Self::Reversal(reversed) = self { Some(reversed.reason_code) } else { None }
    }

    /// Whether what it charges off is still collected.
    #[must_use]
    pub const fn collectibility(&self) -> Option<Collectibility> {
        if let Self::Chargeoff { collectibility, .. } = self { Some(*collectibility) } else { None }
    }

    /// Why, in the caller's words.
    #[must_use]
    pub fn reason_description(&self) -> Option<&str> {
        match self {
            Self::ManualAdjustment { reason_description, .. } => Some(reason_description),
            Self::Reversal(reversed) => reversed.reason_description.as_deref(),
            Self::DisbursementSettled { .. }
            | Self::FeeWaived { .. }
            | Self::Restated { .. }
            | Self::SuspenseApplied { .. }
            | Self::SuspenseRefunded
            | Self::Chargeoff { .. }
            | Self::Recovery => None,
        }
    }

    /// What the caller asked for, by the contract's names; not what acceptance found out beside it.
    fn asked(&self) -> Vec<(&'static str, Option<String>)> {
        match self {
            Self::DisbursementSettled { disbursement } => {
                vec![("disbursement_event_id", Some(disbursement.id.to_string()))]
            }
            // Only where it is said, so that waivers from before there was such a thing keep their fingerprint.
            Self::FeeWaived { fee_code, fee } => [("fee_code", Some(fee_code.as_str().to_owned()))]
                .into_iter()
                .chain(fee.map(|fee| ("fee_event_id", Some(fee.id.to_string()))))
                .collect(),
            Self::SuspenseApplied { raised_by: Some(debt) } => vec![("raised_by", Some(debt.to_string()))],
            Self::SuspenseApplied { raised_by: None } | Self::SuspenseRefunded | Self::Recovery => Vec::new(),
            Self::Restated { event, .. } => vec![("event_id", Some(event.id.to_string()))],
            Self::ManualAdjustment { lines, reason_description } => {
                let lines: Vec<String> =
                    lines.iter().map(|line| format!("{}:{}", line.account_code, line.signed_minor)).collect();
                vec![("lines", Some(lines.join(","))), ("reason_description", Some(reason_description.clone()))]
            }
            Self::Reversal(reversed) => vec![
                ("reverses_entry_id", Some(reversed.event.id.entry_id().to_string())),
                ("reason_code", Some(reversed.reason_code.as_str().to_owned())),
                ("reason_description", reversed.reason_description.clone()),
            ],
            Self::Chargeoff { collectibility, .. } => {
                vec![("collectible", Some(collectibility.is_collectible().to_string()))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::core::event::{Command, CommandColumns, Fingerprint};

    fn act(act: ServicingAct) -> Servicing {
        Servicing {
            loan_id: LoanId(Uuid::from_u128(1)),
            party: Party { borrower_id: BorrowerId(Uuid::from_u128(2)), currency: Currency::USD },
            amount: Some(Minor::new(100)),
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            metadata: None,
            act,
        }
    }

    fn reversed() -> ReversedEntry {
        ReversedEntry {
            event: EarlierEvent { id: EventId(Uuid::from_u128(4)), seq: Seq(1) },
            kind: EventKind::PaymentReceived,
            effective_date: NaiveDate::from_ymd_opt(2026, 4, 1).unwrap(),
            correlation_id: EventId(Uuid::from_u128(4)),
            reason_code: ReversalReason::Duplicate,
            reason_description: None,
        }
    }

    fn waived_fee(number: u128, seq: Option<Seq>) -> WaivedFee {
        WaivedFee { id: EventId(Uuid::from_u128(number)), correlation_id: EventId(Uuid::from_u128(3)), seq }
    }

    fn every_act() -> Vec<ServicingAct> {
        let line = |account: &str, units| AdjustmentLine {
            account_code: AccountCode::parse(account).unwrap(),
            signed_minor: Minor::new(units),
        };
        vec![
            ServicingAct::DisbursementSettled { disbursement: reversed().event },
            ServicingAct::FeeWaived { fee_code: FeeCode::parse("late").unwrap(), fee: None },
            ServicingAct::FeeWaived { fee_code: FeeCode::parse("late").unwrap(), fee: Some(waived_fee(7, None)) },
            ServicingAct::FeeWaived {
                fee_code: FeeCode::parse("late").unwrap(),
                fee: Some(waived_fee(8, Some(Seq(9)))),
            },
            ServicingAct::SuspenseApplied { raised_by: None },
            ServicingAct::SuspenseApplied { raised_by: Some(EventId(Uuid::from_u128(6))) },
            ServicingAct::Restated {
                event: reversed().event,
                kind: EventKind::SuspenseRefunded,
                replaces: Some(Allocation::default()),
            },
            ServicingAct::SuspenseRefunded,
            ServicingAct::ManualAdjustment {
                lines: vec![line("1100", 5), line("5200", -5)],
                reason_description: "moved".to_owned(),
            },
            ServicingAct::Reversal(reversed()),
            ServicingAct::Chargeoff { collectibility: Collectibility::Uncollectible, loss: LossAccount::Allowance },
            ServicingAct::Recovery,
        ]
    }

    #[test]
    fn every_act_reads_back_from_its_columns() {
        for kind_act in every_act() {
            let command = Command::Servicing(act(kind_act));
            let columns = CommandColumns {
                kind: command.kind(),
                loan_id: command.loan_id(),
                borrower_id: command.borrower_id(),
                amount: command.amount(),
                currency: command.currency(),
                effective_date: command.effective_date(),
                source_method: command.source_method(),
                external_ref: None,
                metadata: None,
                details: command.details(),
            };
            assert_eq!(Command::from_columns(columns.clone()).as_ref(), Ok(&command));
            assert!(Command::from_columns(CommandColumns { details: None, ..columns.clone() }).is_err());
            let other = CommandColumns { kind: EventKind::Accrual, ..columns };
            assert!(Command::from_columns(other).is_err(), "another kind has other details");
        }
    }

    #[test]
    fn words_of_kinds_are_the_same_in_details_and_columns() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }

    #[test]
    fn every_act_has_a_fingerprint_of_its_own_and_it_is_golden() {
        let mut seen = std::collections::HashSet::new();
        for kind_act in every_act() {
            assert!(seen.insert(Fingerprint::of(&Command::Servicing(act(kind_act)))));
        }
        let golden = Fingerprint::of(&Command::Servicing(act(ServicingAct::Reversal(reversed()))));
        assert_eq!(format!("{golden:?}"), "2713dc9293c3dd49238e66551bb963d2309abd8e052de46d39a4b2cda3df6c91");
    }

    #[test]
    fn what_acceptance_finds_out_is_no_part_of_the_request() {
        let of = |servicing: Servicing| Fingerprint::of(&Command::Servicing(servicing));
        let asked = act(ServicingAct::Reversal(reversed()));
        let correlation_id = EventId(Uuid::from_u128(8));
        let found = ServicingAct::Reversal(ReversedEntry { correlation_id, ..reversed() });
        let party = Party { borrower_id: BorrowerId(Uuid::nil()), currency: "EUR".parse().unwrap() };
        assert_eq!(of(asked.clone()), of(Servicing { act: found, party, ..asked.clone() }));
        for other in [
            Servicing { amount: None, ..asked.clone() },
            Servicing { effective_date: NaiveDate::MAX, ..asked.clone() },
            Servicing { loan_id: LoanId(Uuid::nil()), ..asked.clone() },
            act(ServicingAct::Reversal(ReversedEntry { reason_code: ReversalReason::Fraud, ..reversed() })),
            act(ServicingAct::Reversal(ReversedEntry { reason_description: Some(String::new()), ..reversed() })),
        ] {
            assert_ne!(of(other.clone()), of(asked.clone()), "{other:?}");
        }
    }
}
