//! Owns what a file to be written is described by.

use chrono::{NaiveDate, NaiveTime};

use crate::core::ach::code::{SecCode, TransactionCode};
use crate::core::ach::reason::{ChangeCode, ReturnCode};
use crate::core::ach::record::{RoutingNumber, Trace};
use crate::core::money::Minor;

/// A file header to be written.
#[derive(Clone, Copy, Debug)]
pub struct FileSpec<'a> {
    /// Nine digits: whom it is addressed to.
    pub destination: &'a str,
    /// Up to ten characters: who sends it.
    pub origin: &'a str,
    /// Up to 23 characters.
    pub destination_name: &'a str,
    /// Up to 23 characters.
    pub origin_name: &'a str,
    /// The day it is made.
    pub created_on: NaiveDate,
    /// The time it is made.
    pub created_at: NaiveTime,
    /// `A` to `Z`, `0` to `9`: tells files of one minute apart.
    pub modifier: char,
}

/// A batch header to be written. Service class and number follow from the entries and the place.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpec<'a> {
    /// Up to 16 characters.
    pub company_name: &'a str,
    /// Up to 10 characters.
    pub company_id: &'a str,
    /// Entry class; not IAT, whose records have another layout.
    pub sec: SecCode,
    /// Up to 10 characters.
    pub description: &'a str,
    /// The day it shall count; see [`weekday_from`](crate::core::ach::weekday_from).
    pub effective_entry_date: Option<NaiveDate>,
    /// The day of the year it settles, which an operator would write.
    pub settlement_day: Option<u16>,
    /// The bank it comes from.
    pub odfi: RoutingNumber,
}

/// An entry to be written. Its trace number follows from the bank of its batch and its place in the file.
#[derive(Clone, Copy, Debug)]
pub struct EntrySpec<'a> {
    /// Account, direction and purpose.
    pub code: TransactionCode,
    /// The bank of the account.
    pub rdfi: RoutingNumber,
    /// Up to 17 characters.
    pub account: &'a str,
    /// Cents.
    pub amount: Minor,
    /// Columns 40-54: up to 15 characters.
    pub individual_id: &'a str,
    /// Columns 55-76: up to 22 characters; 16 with CTX.
    pub name: &'a str,
    /// What follows it.
    pub addenda: &'a [AddendaSpec<'a>],
}

/// An addenda to be written.
#[derive(Clone, Copy, Debug)]
pub enum AddendaSpec<'a> {
    /// Type 05, up to 80 characters.
    Remittance(&'a str),
    /// Type 98.
    Change {
        /// What is to be changed.
        code: ChangeCode,
        /// The entry it is about.
        original_trace: Trace,
        /// The right value, up to 29 characters.
        corrected: &'a str,
    },
    /// Type 99.
    Return {
        /// Why.
        code: ReturnCode,
        /// The entry that comes back.
        original_trace: Trace,
    },
}
