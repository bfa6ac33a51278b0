//! Owns why an entry waits for a person, and which of the reasons a person can overrule.

use crate::core::closed_list::closed_list;

closed_list! {
    /// Why an entry waits for a person. The list is closed; a name never changes its meaning.
    ExceptionReason {
        /// Money moves the other way than payments of this feed.
        AgainstDirection = "against_direction",
        /// A trial entry without money.
        Prenote = "prenote",
        /// An entry without money.
        ZeroAmount = "zero_amount",
        /// A prenote, zero-dollar entry or notification of change with an amount.
        NonzeroPrenote = "nonzero_prenote",
        /// A batch with the description REVERSAL, which takes entries back.
        ReversalBatch = "reversal_batch",
        /// An account in a bank's own books.
        GeneralLedgerAccount = "general_ledger_account",
        /// Code 55 or its return 56: a loan is debited only to take a credit back.
        LoanDebit = "loan_debit",
        /// An entry class that the feed does not take.
        SecNotAccepted = "sec_not_accepted",
        /// A company that the feed does not know.
        CompanyNotAccepted = "company_not_accepted",
        /// A CTX entry with addenda: it may pay several loans.
        ManyAddendaCtx = "many_addenda_ctx",
        /// The effective entry date is blank or no day of the calendar.
        EffectiveDateMissing = "effective_date_missing",
        /// The effective entry date lies before the day the file was made, and nothing says when it settled.
        EffectiveDatePast = "effective_date_past",
        /// The effective entry date is a Saturday or Sunday, and nothing says when it settled.
        EffectiveDateWeekend = "effective_date_weekend",
        /// The effective entry date is a holiday of the feed, and nothing says when it settled.
        EffectiveDateHoliday = "effective_date_holiday",
        /// The settlement date is no day of the year.
        SettlementDateWrong = "settlement_date_wrong",
        /// It counts from a day that has not come.
        FutureDated = "future_dated",
        /// A return in a feed of the receiver's view: we would be the one returning.
        ReturnNotExpected = "return_not_expected",
        /// A return code that the table does not know.
        UnknownReturnCode = "unknown_return_code",
        /// A credit of ours, a refund or disbursement, came back.
        RefusedCredit = "refused_credit",
        /// A refused enrolment.
        EnrolmentReturn = "enrolment_return",
        /// We disputed a return.
        DishonouredReturn = "dishonoured_return",
        /// Our dispute of a return was answered.
        ContestedReturn = "contested_return",
        /// A change code that does not exist.
        UnknownChangeCode = "unknown_change_code",
        /// A change that we asked for was refused.
        RefusedChange = "refused_change",
        /// A return or notification of change without the addenda that says why.
        ReasonMissing = "reason_missing",
    }
}

impl ExceptionReason {
    /// Whether a person who knows more may have the entry posted: it moves a payer's money, and what is in the way is a
    /// date, or a rule of the feed.
    #[must_use]
    pub const fn may_be_overruled(self) -> bool {
        match self {
            Self::SecNotAccepted
            | Self::CompanyNotAccepted
            | Self::ManyAddendaCtx
            | Self::EffectiveDateMissing
            | Self::EffectiveDatePast
            | Self::EffectiveDateWeekend
            | Self::EffectiveDateHoliday
            | Self::SettlementDateWrong
            | Self::FutureDated => true,
            Self::AgainstDirection
            | Self::Prenote
            | Self::ZeroAmount
            | Self::NonzeroPrenote
            | Self::ReversalBatch
            | Self::GeneralLedgerAccount
            | Self::LoanDebit
            | Self::ReturnNotExpected
            | Self::UnknownReturnCode
            | Self::RefusedCredit
            | Self::EnrolmentReturn
            | Self::DishonouredReturn
            | Self::ContestedReturn
            | Self::UnknownChangeCode
            | Self::RefusedChange
            | Self::ReasonMissing => false,
        }
    }
}
