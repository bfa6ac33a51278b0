//! Makes ACH files: one sender, entries of named loans, returns and changes.

use chrono::{NaiveDate, NaiveTime};
use hpts::core::ach::{
    AddendaSpec, BatchSpec, ChangeCode, EntrySpec, FileSpec, ReturnCode, RoutingNumber, SecCode, Trace,
    TransactionCode, Writer,
};
use hpts::core::money::Minor;

/// The company that all batches are of.
pub(crate) const COMPANY: &str = "1234567890";
/// The sender's bank.
const ODFI: u32 = 12_104_288;
/// The borrowers' bank.
const RDFI: u32 = 23_138_010;
/// 1 May 2026, a Friday: when all batches settle.
const SETTLEMENT_DAY: u16 = 121;

/// A trace number of the sender's bank.
pub(crate) fn trace(sequence: u32) -> Trace {
    Trace::new(RoutingNumber::new(ODFI).unwrap(), sequence).unwrap()
}

/// A file in the making, made on 30 April 2026 unless it says otherwise.
pub(crate) struct AchFile(Writer);

impl AchFile {
    /// Begins a file; its modifier tells it from others of the same minute.
    pub(crate) fn new(modifier: char) -> Self {
        Self::made_on(modifier, NaiveDate::from_ymd_opt(2026, 4, 30).unwrap())
    }

    /// The same of another day.
    pub(crate) fn made_on(modifier: char, created_on: NaiveDate) -> Self {
        let writer = Writer::new(&FileSpec {
            destination: "231380104",
            origin: "121042882",
            destination_name: "Citadel",
            origin_name: "Bank of Loans",
            created_on,
            created_at: NaiveTime::from_hms_opt(12, 0, 0).unwrap(),
            modifier,
        });
        Self(writer.unwrap())
    }

    /// Begins a batch of 1 May.
    pub(crate) fn batch(&mut self, sec: SecCode) -> &mut Self {
        self.batch_of(sec, NaiveDate::from_ymd_opt(2026, 5, 1), Some(SETTLEMENT_DAY))
    }

    /// Begins a batch of another day, or of none.
    pub(crate) fn batch_of(&mut self, sec: SecCode, day: Option<NaiveDate>, settlement_day: Option<u16>) -> &mut Self {
        let batch = BatchSpec {
            company_name: "Lender",
            company_id: COMPANY,
            sec,
            description: "LOAN PYMT",
            effective_entry_date: day,
            settlement_day,
            odfi: RoutingNumber::new(ODFI).unwrap(),
        };
        self.0.batch(&batch).unwrap();
        self
    }

    /// An entry of a payer who is known as `number`.
    pub(crate) fn entry(&mut self, code: u64, number: &str, cents: i64, addenda: &[AddendaSpec<'_>]) -> Trace {
        let spec = EntrySpec {
            code: TransactionCode::of_number(code).unwrap(),
            rdfi: RoutingNumber::new(RDFI).unwrap(),
            account: &format!("{number:0>10}"),
            amount: Minor::new(cents),
            individual_id: number,
            name: "Jane Roe",
            addenda,
        };
        self.0.entry(&spec).unwrap()
    }

    /// A payment: a debit of a checking account.
    pub(crate) fn debit(&mut self, number: &str, cents: i64) -> Trace {
        self.entry(27, number, cents, &[])
    }

    /// The return of a payment for want of funds.
    pub(crate) fn returned(&mut self, number: &str, cents: i64, original_trace: Trace) -> Trace {
        let code = ReturnCode::parse("R01").unwrap();
        self.entry(26, number, cents, &[AddendaSpec::Return { code, original_trace }])
    }

    /// A notification that an account has another number.
    pub(crate) fn changed(&mut self, number: &str, original_trace: Trace) -> Trace {
        let code = ChangeCode::parse("C01").unwrap();
        self.entry(26, number, 0, &[AddendaSpec::Change { code, original_trace, corrected: "1918171614" }])
    }

    /// The bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }

    /// A file of one batch of debits.
    pub(crate) fn of_debits<'a>(modifier: char, debits: impl IntoIterator<Item = (&'a str, i64)>) -> Vec<u8> {
        let mut file = Self::new(modifier);
        file.batch(SecCode::Ppd);
        for (number, cents) in debits {
            file.debit(number, cents);
        }
        file.finish()
    }
}
