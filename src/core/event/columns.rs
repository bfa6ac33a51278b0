//! Owns the flat form of a command: what the `events` columns hold, the same for every store.
//!
//! What most kinds share has a column; what one kind has alone goes into `details`, a JSON object. A payment needs no
//! `details`.

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::event::bank_settlement::{BankSettlement, CashFlow};
use crate::core::event::command::{
    Command, Disbursement, LoanNumber, LoanOpening, OpeningBalances, Payment, ProgramDefaults, SourceMethod,
};
use crate::core::event::fee::{Fee, FeeCode, LateFor};
use crate::core::event::group;
use crate::core::event::kind::EventKind;
use crate::core::event::metadata::Metadata;
use crate::core::event::payment_return::{PaymentReturn, ReturnCode, ReturnedPayment};
use crate::core::event::receipt::Receipt;
use crate::core::event::servicing::{Party, Servicing, ServicingAct};
use crate::core::event::upload::{Upload, UploadOperation};
use crate::core::ids::{BorrowerId, EventId, LoanId, ProgramId, Seq};
use crate::core::ledger::AccountCode;
use crate::core::loan::{CreditOrder, ReturnManner, SuspenseRelease, Waterfall, Waterfalls};
use crate::core::money::{Currency, Minor, Money};

/// A row that no command can have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored event is not a command: {0}")]
pub struct ColumnsError(pub &'static str);

/// One event's command as columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandColumns {
    /// Which command it is.
    pub kind: EventKind,
    /// The loan.
    pub loan_id: LoanId,
    /// The borrower.
    pub borrower_id: BorrowerId,
    /// The amount, where the command has one.
    pub amount: Option<Minor>,
    /// The currency.
    pub currency: Currency,
    /// The effective date.
    pub effective_date: NaiveDate,
    /// How the money came or goes.
    pub source_method: Option<SourceMethod>,
    /// The caller's reference.
    pub external_ref: Option<String>,
    /// Canonical JSON of the metadata.
    pub metadata: Option<String>,
    /// JSON of what only this kind has.
    pub details: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct OpeningDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_id: Option<ProgramId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waterfall: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program_waterfall: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspense_release: Option<SuspenseRelease>,
    fees_minor: i64,
    interest_minor: i64,
    principal_minor: i64,
}

#[derive(Serialize, Deserialize)]
struct ReturnDetails {
    payment_event_id: EventId,
    payment_seq: Seq,
    payment_effective_at: NaiveDate,
    return_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_minor: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program_fee_minor: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credit_order: Option<CreditOrder>,
}

#[derive(Serialize, Deserialize)]
struct FeeDetails {
    fee_code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_on: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_for: Option<EventId>,
    /// Late fees are found by this member's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    late_for: Option<LateFor>,
}

#[derive(Serialize, Deserialize)]
struct SettlementDetails {
    flow: CashFlow,
    account_code: AccountCode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settles_event_id: Option<EventId>,
}

impl Command {
    /// The `details` column.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        match self {
            Self::Payment(_) | Self::Disbursement(_) | Self::Receipt(_) => None,
            Self::LoanOpening(opening) => {
                let details = OpeningDetails {
                    loan_number: opening.loan_number.as_ref().map(|number| number.as_str().to_owned()),
                    program_id: opening.program_id,
                    waterfall: opening.waterfall.map(|waterfall| waterfall.to_string()),
                    program_waterfall: opening.program_defaults.map(|program| program.waterfalls.to_string()),
                    suspense_release: opening.program_defaults.map(|program| program.suspense_release),
                    fees_minor: opening.opening_balances.fees.units(),
                    interest_minor: opening.opening_balances.interest.units(),
                    principal_minor: opening.opening_balances.principal.units(),
                };
                serde_json::to_string(&details).ok()
            }
            Self::BankSettlement(BankSettlement { flow, account, settles, .. }) => {
                let (flow, account_code, settles_event_id) = (*flow, *account, *settles);
                serde_json::to_string(&SettlementDetails { flow, account_code, settles_event_id }).ok()
            }
            Self::Upload(upload) => serde_json::to_string(&upload.operation).ok(),
            Self::Group(group) => group::group_details(group),
            Self::Leg(leg) => group::leg_details(leg),
            Self::PaymentReturn(returned) => {
                let details = ReturnDetails {
                    payment_event_id: returned.payment.id,
                    payment_seq: returned.payment.seq,
                    payment_effective_at: returned.payment.effective_date,
                    return_code: returned.return_code.to_string(),
                    fee_minor: returned.fee.map(Minor::units),
                    program_fee_minor: returned.program_fee.map(Minor::units),
                    credit_order: match returned.manner {
                        ReturnManner::Void => None,
                        ReturnManner::Chargeback(order) => Some(order),
                    },
                };
                serde_json::to_string(&details).ok()
            }
            Self::Fee(fee) => {
                let fee_code = fee.fee_code.as_str().to_owned();
                let Fee { due_on, charged_for, late_for, .. } = *fee;
                serde_json::to_string(&FeeDetails { fee_code, due_on, charged_for, late_for }).ok()
            }
            Self::Servicing(servicing) => servicing.act.details(),
        }
    }

    /// The command a row holds.
    ///
    /// # Errors
    /// [`ColumnsError`] when a column that the kind needs is missing or unreadable.
    pub fn from_columns(columns: CommandColumns) -> Result<Self, ColumnsError> {
        match columns.kind {
            EventKind::PaymentReceived => payment(columns).map(Self::Payment),
            EventKind::PaymentAllocated => {
                servicing(columns.clone()).map(Self::Servicing).or_else(|_| payment(columns).map(Self::Payment))
            }
            EventKind::Disbursement => disbursement(columns).map(Self::Disbursement),
            EventKind::LoanOpened => opening(columns).map(Self::LoanOpening),
            EventKind::UnidentifiedReceipt => receipt(columns).map(Self::Receipt),
            EventKind::BankSettled => bank_settlement(columns).map(Self::BankSettlement),
            EventKind::Upload => upload(&columns).map(Self::Upload),
            EventKind::PaymentReturned => payment_return(columns).map(Self::PaymentReturn),
            EventKind::FeeAssessed => fee(columns).map(Self::Fee),
            EventKind::Accrual
            | EventKind::SuspenseTransferred
            | EventKind::ReceiptAssigned
            | EventKind::Refinance
            | EventKind::Restructure => group::from_columns(columns),
            // Of one loan or of a group.
            EventKind::Reversal => {
                group::from_columns(columns.clone()).or_else(|_| servicing(columns).map(Self::Servicing))
            }
            EventKind::DisbursementSettled
            | EventKind::FeeWaived
            | EventKind::SuspenseApplied
            | EventKind::SuspenseRefunded
            | EventKind::Chargeoff
            | EventKind::Recovery
            | EventKind::ManualAdjustment => servicing(columns).map(Self::Servicing),
        }
    }
}

fn details<T: DeserializeOwned>(columns: &CommandColumns) -> Result<T, ColumnsError> {
    let text = columns.details.as_deref().ok_or(ColumnsError("details"))?;
    serde_json::from_str(text).map_err(|_| ColumnsError("details"))
}

fn money(columns: &CommandColumns) -> Result<Money, ColumnsError> {
    columns.amount.map(|minor| Money::new(minor, columns.currency)).ok_or(ColumnsError("amount"))
}

fn payment(columns: CommandColumns) -> Result<Payment, ColumnsError> {
    Ok(Payment {
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        effective_date: columns.effective_date,
        source_method: columns.source_method.ok_or(ColumnsError("source_method"))?,
        external_ref: columns.external_ref,
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn disbursement(columns: CommandColumns) -> Result<Disbursement, ColumnsError> {
    Ok(Disbursement {
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        effective_date: columns.effective_date,
        method: columns.source_method.ok_or(ColumnsError("source_method"))?,
        destination_ref: columns.external_ref,
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn receipt(columns: CommandColumns) -> Result<Receipt, ColumnsError> {
    Ok(Receipt {
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        effective_date: columns.effective_date,
        source_method: columns.source_method.ok_or(ColumnsError("source_method"))?,
        external_ref: columns.external_ref,
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn bank_settlement(columns: CommandColumns) -> Result<BankSettlement, ColumnsError> {
    let details: SettlementDetails = details(&columns)?;
    Ok(BankSettlement {
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        flow: details.flow,
        account: details.account_code,
        settles: details.settles_event_id,
        effective_date: columns.effective_date,
        external_ref: columns.external_ref,
    })
}

fn upload(columns: &CommandColumns) -> Result<Upload, ColumnsError> {
    let text = columns.details.as_deref().ok_or(ColumnsError("details"))?;
    let operation: UploadOperation = serde_json::from_str(text).map_err(|_| ColumnsError("details"))?;
    Ok(Upload { operation, currency: columns.currency, received_on: columns.effective_date })
}

fn opening(columns: CommandColumns) -> Result<LoanOpening, ColumnsError> {
    let details: OpeningDetails = details(&columns)?;
    let loan_number = details.loan_number.as_deref().map(LoanNumber::parse).transpose();
    let waterfall = details.waterfall.as_deref().map(str::parse::<Waterfall>).transpose();
    let of_program = details.program_waterfall.as_deref().map(str::parse::<Waterfalls>).transpose();
    let of_program = of_program.map_err(|_| ColumnsError("program_waterfall"))?.zip(details.suspense_release);
    Ok(LoanOpening {
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        currency: columns.currency,
        opened_on: columns.effective_date,
        loan_number: loan_number.map_err(|_| ColumnsError("loan_number"))?,
        program_id: details.program_id,
        program_defaults: of_program
            .map(|(waterfalls, suspense_release)| ProgramDefaults { waterfalls, suspense_release }),
        waterfall: waterfall.map_err(|_| ColumnsError("waterfall"))?,
        opening_balances: OpeningBalances {
            fees: Minor::new(details.fees_minor),
            interest: Minor::new(details.interest_minor),
            principal: Minor::new(details.principal_minor),
        },
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn payment_return(columns: CommandColumns) -> Result<PaymentReturn, ColumnsError> {
    let details: ReturnDetails = details(&columns)?;
    Ok(PaymentReturn {
        payment: ReturnedPayment {
            id: details.payment_event_id,
            seq: details.payment_seq,
            effective_date: details.payment_effective_at,
        },
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        return_code: ReturnCode::parse(&details.return_code).map_err(|_| ColumnsError("return_code"))?,
        effective_date: columns.effective_date,
        fee: details.fee_minor.map(Minor::new),
        program_fee: details.program_fee_minor.map(Minor::new),
        manner: details.credit_order.map_or(ReturnManner::Void, ReturnManner::Chargeback),
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn fee(columns: CommandColumns) -> Result<Fee, ColumnsError> {
    let details: FeeDetails = details(&columns)?;
    Ok(Fee {
        amount: money(&columns)?,
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        effective_date: columns.effective_date,
        fee_code: FeeCode::parse(&details.fee_code).map_err(|_| ColumnsError("fee_code"))?,
        due_on: details.due_on,
        charged_for: details.charged_for,
        late_for: details.late_for,
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}

fn servicing(columns: CommandColumns) -> Result<Servicing, ColumnsError> {
    let act = columns.details.as_deref().and_then(ServicingAct::from_details);
    let act = act.filter(|act| act.kind() == columns.kind).ok_or(ColumnsError("details"))?;
    Ok(Servicing {
        loan_id: columns.loan_id,
        party: Party { borrower_id: columns.borrower_id, currency: columns.currency },
        amount: columns.amount,
        effective_date: columns.effective_date,
        metadata: columns.metadata.map(Metadata::from_stored),
        act,
    })
}
