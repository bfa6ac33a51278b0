//! Owns the flat form of a command: what the `events` columns hold, the same for every store.
//!
//! What most kinds share has a column; what one kind has alone goes into `details`, a JSON object. A payment needs no
//! `details`.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::accepted::EventKind;
use crate::core::event::command::{
    Command, Disbursement, LoanNumber, LoanOpening, OpeningBalances, Payment, SourceMethod,
};
use crate::core::event::metadata::Metadata;
use crate::core::event::upload::{Upload, UploadOperation};
use crate::core::ids::{BorrowerId, LoanId, ProgramId};
use crate::core::loan::Waterfall;
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
    fees_minor: i64,
    interest_minor: i64,
    principal_minor: i64,
}

impl Command {
    /// The `details` column.
    #[must_use]
    pub fn details(&self) -> Option<String> {
        match self {
            Self::Payment(_) | Self::Disbursement(_) => None,
            Self::LoanOpening(opening) => {
                let details = OpeningDetails {
                    loan_number: opening.loan_number.as_ref().map(|number| number.as_str().to_owned()),
                    program_id: opening.program_id,
                    waterfall: opening.waterfall.map(|waterfall| waterfall.to_string()),
                    fees_minor: opening.opening_balances.fees.units(),
                    interest_minor: opening.opening_balances.interest.units(),
                    principal_minor: opening.opening_balances.principal.units(),
                };
                serde_json::to_string(&details).ok()
            }
            Self::Upload(upload) => serde_json::to_string(&upload.operation).ok(),
        }
    }

    /// The command a row holds.
    ///
    /// # Errors
    /// [`ColumnsError`] when a column that the kind needs is missing or unreadable.
    pub fn from_columns(columns: CommandColumns) -> Result<Self, ColumnsError> {
        match columns.kind {
            EventKind::PaymentReceived | EventKind::PaymentAllocated => payment(columns).map(Self::Payment),
            EventKind::Disbursement => disbursement(columns).map(Self::Disbursement),
            EventKind::LoanOpened => opening(columns).map(Self::LoanOpening),
            EventKind::Upload => upload(&columns).map(Self::Upload),
        }
    }
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

fn upload(columns: &CommandColumns) -> Result<Upload, ColumnsError> {
    let text = columns.details.as_deref().ok_or(ColumnsError("details"))?;
    let operation: UploadOperation = serde_json::from_str(text).map_err(|_| ColumnsError("details"))?;
    Ok(Upload { operation, currency: columns.currency, received_on: columns.effective_date })
}

fn opening(columns: CommandColumns) -> Result<LoanOpening, ColumnsError> {
    let text = columns.details.ok_or(ColumnsError("details"))?;
    let details: OpeningDetails = serde_json::from_str(&text).map_err(|_| ColumnsError("details"))?;
    let loan_number = details.loan_number.as_deref().map(LoanNumber::parse).transpose();
    let waterfall = details.waterfall.as_deref().map(str::parse::<Waterfall>).transpose();
    Ok(LoanOpening {
        loan_id: columns.loan_id,
        borrower_id: columns.borrower_id,
        currency: columns.currency,
        opened_on: columns.effective_date,
        loan_number: loan_number.map_err(|_| ColumnsError("loan_number"))?,
        program_id: details.program_id,
        waterfall: waterfall.map_err(|_| ColumnsError("waterfall"))?,
        opening_balances: OpeningBalances {
            fees: Minor::new(details.fees_minor),
            interest: Minor::new(details.interest_minor),
            principal: Minor::new(details.principal_minor),
        },
        metadata: columns.metadata.map(Metadata::from_stored),
    })
}
