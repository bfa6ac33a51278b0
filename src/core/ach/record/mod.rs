//! Owns the records of a file: which field stands at which column, and the typed forms they are read into.
//!
//! Positions are those of the Nacha Operating Rules, appendix three, from 1. Reading writes down what is wrong with a
//! field and goes on to the next; a typed record exists only when all its fields are sound.

pub(super) mod addenda;
pub(super) mod batch;
pub(super) mod entry;
pub(super) mod file;

use std::fmt;

use chrono::NaiveDate;

use crate::core::ach::fault::{FaultCode, Notes};
use crate::core::ach::text::{Field, Record, Text};

pub use addenda::{Addenda, ChangeAddenda, RemittanceAddenda, ReturnAddenda};
pub use batch::{BatchHeader, Settlement};
pub use entry::Entry;
pub use file::FileHeader;

/// The number of an entry: eight digits of its originating bank, and seven that rise inside a batch. It is not unique
/// for ever, and may stand twice in a valid file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trace(u64);

impl Trace {
    /// How many traces an originating bank has.
    const PER_BANK: u64 = 10_000_000;

    /// Joins bank and sequence; `None` beyond eight and seven digits.
    #[must_use]
    pub fn new(odfi: RoutingNumber, sequence: u32) -> Option<Self> {
        let sequence = u64::from(sequence);
        let trace = u64::from(odfi.0).checked_mul(Self::PER_BANK)?.checked_add(sequence)?;
        (sequence < Self::PER_BANK).then_some(Self(trace))
    }

    /// Reads fifteen digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() == 15 { Self::of_text(Text::left(text)?) } else { None }
    }

    pub(super) fn of_text(text: Text<15>) -> Option<Self> {
        text.digits().map(Self)
    }

    /// The first eight digits, whether or not a bank has them.
    #[must_use]
    pub fn bank(self) -> u64 {
        self.0.checked_div(Self::PER_BANK).unwrap_or(0)
    }

    /// The last seven digits, which addenda repeat.
    #[must_use]
    pub fn sequence(self) -> u64 {
        self.0.checked_rem(Self::PER_BANK).unwrap_or(0)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015}", self.0)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A bank, by the first eight digits of its routing number; the ninth checks them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingNumber(u32);

impl RoutingNumber {
    /// The bank of a number of eight digits; `None` beyond them and for zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (1..100_000_000).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The ninth digit: weights 3, 7, 1, and what the sum lacks to a multiple of ten.
    #[must_use]
    pub fn check_digit(self) -> u32 {
        let mut rest = self.0;
        let mut sum: u32 = 0;
        // From the eighth digit to the first.
        for weight in [7, 3, 1, 7, 3, 1, 7, 3] {
            let digit = rest.checked_rem(10).unwrap_or(0);
            sum = sum.saturating_add(digit.saturating_mul(weight));
            rest = rest.checked_div(10).unwrap_or(0);
        }
        10_u32.saturating_sub(sum.checked_rem(10).unwrap_or(0)).checked_rem(10).unwrap_or(0)
    }
}

impl fmt::Display for RoutingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl fmt::Debug for RoutingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One record under the eyes of a reader.
pub(super) struct Reader<'r> {
    pub(super) record: &'r Record,
    pub(super) line: usize,
    pub(super) notes: &'r mut Notes,
}

impl Reader<'_> {
    /// Writes down what is wrong with a field.
    pub(super) fn fault<const N: usize>(&mut self, field: Field<N>, code: FaultCode, message: fmt::Arguments<'_>) {
        self.notes.add(field.on(self.line), code, message);
    }

    pub(super) fn text<const N: usize>(&self, field: Field<N>) -> Text<N> {
        self.record.text(field)
    }

    /// A number of fixed width; blanks are no zeros.
    pub(super) fn number<const N: usize>(&mut self, field: Field<N>) -> Option<u64> {
        let number = self.text(field).digits();
        if number.is_none() {
            self.fault(field, FaultCode::NotNumeric, format_args!("must be {N} digits"));
        }
        number
    }

    /// A field with one right value.
    pub(super) fn fixed<const N: usize>(&mut self, field: Field<N>, value: &str) -> Option<()> {
        let found = self.text(field);
        if found.as_str() != value {
            self.fault(field, FaultCode::FixedValue, format_args!("must be {value:?}, is {:?}", found.as_str()));
        }
        (found.as_str() == value).then_some(())
    }

    /// A trace number.
    pub(super) fn trace(&mut self, field: Field<15>) -> Option<Trace> {
        self.number(field).map(Trace)
    }

    /// Eight digits of a routing number.
    pub(super) fn bank(&mut self, field: Field<8>) -> Option<RoutingNumber> {
        let digits = self.number(field)?;
        let bank = u32::try_from(digits).ok().and_then(RoutingNumber::new);
        if bank.is_none() {
            self.fault(field, FaultCode::RoutingNumber, format_args!("must not be all zeros"));
        }
        bank
    }
}

/// A day written `YYMMDD`, in this century; `None` where there is no such day.
pub(super) fn day_of(text: Text<6>) -> Option<NaiveDate> {
    let number = u32::try_from(text.digits()?).ok()?;
    let (year, month_and_day) = (number.checked_div(10_000)?, number.checked_rem(10_000)?);
    let year = i32::try_from(year).ok()?.checked_add(2000)?;
    NaiveDate::from_ymd_opt(year, month_and_day.checked_div(100)?, month_and_day.checked_rem(100)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_real_routing_numbers() {
        for routing in ["231380104", "121042882", "091400606", "021000021", "011000015", "076401251", "081000210"] {
            let (bank, check) = routing.split_at(8);
            let bank = RoutingNumber::new(bank.parse().unwrap()).unwrap();
            assert_eq!(bank.check_digit().to_string(), check, "{routing}");
        }
    }

    #[test]
    fn a_trace_is_bank_and_sequence() {
        let odfi = RoutingNumber::new(9_100_001).unwrap();
        let trace = Trace::new(odfi, 7_611_242).unwrap();
        assert_eq!(trace.to_string(), "091000017611242");
        assert_eq!((Trace::parse("091000017611242"), trace.sequence()), (Some(trace), 7_611_242));
        assert_eq!(Trace::new(odfi, 10_000_000), None);
        for bad in ["", "91000017611242", "09100001761124A", "0910000176112420"] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn years_of_two_digits_are_in_this_century() {
        let day = |text| day_of(Text::left(text).unwrap());
        assert_eq!(day("260508"), NaiveDate::from_ymd_opt(2026, 5, 8));
        assert_eq!(day("991231"), NaiveDate::from_ymd_opt(2099, 12, 31));
        for bad in ["261332", "000000", "      ", "270229", "26 508"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}
