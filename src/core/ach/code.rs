//! Owns the closed lists of codes that say what an entry is: service class, standard entry class, transaction code.
//!
//! Source: Nacha Operating Rules, appendix three.

use std::fmt;

use crate::core::closed_list::closed_list;

/// Which way money moves, seen from the account the entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Money is taken from the account.
    Debit,
    /// Money is given to the account.
    Credit,
}

impl Direction {
    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

/// Which directions a batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceClass {
    /// 200: debits and credits.
    Mixed,
    /// 220: credits only.
    Credits,
    /// 225: debits only.
    Debits,
}

impl ServiceClass {
    /// The class of a number.
    #[must_use]
    pub const fn of_number(number: u64) -> Option<Self> {
        match number {
            200 => Some(Self::Mixed),
            220 => Some(Self::Credits),
            225 => Some(Self::Debits),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Mixed => 200,
            Self::Credits => 220,
            Self::Debits => 225,
        }
    }

    /// Whether an entry of this direction may stand in the batch.
    #[must_use]
    pub const fn admits(self, direction: Direction) -> bool {
        match (self, direction) {
            (Self::Mixed, _) | (Self::Credits, Direction::Credit) | (Self::Debits, Direction::Debit) => true,
            (Self::Credits, Direction::Debit) | (Self::Debits, Direction::Credit) => false,
        }
    }
}

/// What sort of account an entry names: the first digit of its transaction code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// 2x.
    Checking,
    /// 3x.
    Savings,
    /// 4x: an account in a bank's own books.
    GeneralLedger,
    /// 5x: the account number is a loan's.
    Loan,
}

/// What an entry is for: with the direction, the second digit of its transaction code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Money moves.
    Live,
    /// A trial without money, to check the account.
    Prenote,
    /// No money, only remittance data.
    ZeroDollar,
    /// A return or a notification of change.
    Returned,
}

/// A transaction code: account, direction and purpose of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionCode {
    /// Which sort of account.
    pub account: AccountKind,
    /// Which way money moves; of a return, the way it moved before.
    pub direction: Direction,
    /// What for.
    pub purpose: Purpose,
}

impl TransactionCode {
    /// The code of a number; `None` for one that does not exist.
    #[must_use]
    pub fn of_number(number: u64) -> Option<Self> {
        use Direction::{Credit, Debit};
        use Purpose::{Live, Prenote, Returned, ZeroDollar};
        let account = match number.checked_div(10)? {
            2 => AccountKind::Checking,
            3 => AccountKind::Savings,
            4 => AccountKind::GeneralLedger,
            5 => AccountKind::Loan,
            _ => return None,
        };
        let (direction, purpose) = match (number.checked_rem(10)?, account) {
            (1, _) => (Credit, Returned),
            (2, _) => (Credit, Live),
            (3, _) => (Credit, Prenote),
            (4, _) => (Credit, ZeroDollar),
            (6, _) => (Debit, Returned),
            // A loan is debited only to take a credit back, and has a code of its own for that.
            (5, AccountKind::Loan) => (Debit, Live),
            (_, AccountKind::Loan) => return None,
            (7, _) => (Debit, Live),
            (8, _) => (Debit, Prenote),
            (9, _) => (Debit, ZeroDollar),
            _ => return None,
        };
        Some(Self { account, direction, purpose })
    }

    /// Its number; `None` for a combination without a code (prenote and zero-dollar debits of a loan).
    #[must_use]
    pub fn number(self) -> Option<u64> {
        (20..60).find(|number| Self::of_number(*number) == Some(self))
    }
}

impl fmt::Debug for TransactionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?} {:?})", self.purpose, self.account, self.direction)
    }
}

/// Where the identification of the payer stands in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identification {
    /// Columns 40-54, and the name after it.
    BeforeName,
    /// Columns 55-76, and a name of 15 characters before it.
    AfterName,
    /// Nowhere.
    Nowhere,
}

closed_list! {
    /// Standard entry class: how the entry was authorised and what its addenda are.
    SecCode {
        /// Acknowledgment of a CCD.
        Ack = "ACK",
        /// Check converted at a lockbox or bill payment.
        Arc = "ARC",
        /// Acknowledgment of a CTX.
        Atx = "ATX",
        /// Check converted in a back office.
        Boc = "BOC",
        /// Between companies, with at most one addenda.
        Ccd = "CCD",
        /// A person's payment through their bank.
        Cie = "CIE",
        /// Notification of change.
        Cor = "COR",
        /// Between companies, with up to 9,999 addenda.
        Ctx = "CTX",
        /// Death notification.
        Dne = "DNE",
        /// Enrolment.
        Enr = "ENR",
        /// Across the border; header and entry have a layout of their own.
        Iat = "IAT",
        /// Cash machine.
        Mte = "MTE",
        /// Check converted at the point of purchase.
        Pop = "POP",
        /// Point of sale.
        Pos = "POS",
        /// A person's account, by standing authority.
        Ppd = "PPD",
        /// Returned check presented again.
        Rck = "RCK",
        /// Point of sale in a shared network.
        Shr = "SHR",
        /// By telephone.
        Tel = "TEL",
        /// Truncated check.
        Trc = "TRC",
        /// Truncated checks, exchanged.
        Trx = "TRX",
        /// Over the internet.
        Web = "WEB",
        /// Destroyed check.
        Xck = "XCK",
    }
}

impl SecCode {
    /// Whether a feed may take payments of this class: those that move a payer's money and whose entries carry one
    /// identification.
    #[must_use]
    pub const fn pays(self) -> bool {
        match self {
            Self::Arc
            | Self::Boc
            | Self::Ccd
            | Self::Cie
            | Self::Ctx
            | Self::Mte
            | Self::Pop
            | Self::Pos
            | Self::Ppd
            | Self::Rck
            | Self::Shr
            | Self::Tel
            | Self::Trc
            | Self::Web
            | Self::Xck => true,
            Self::Ack | Self::Atx | Self::Cor | Self::Dne | Self::Enr | Self::Iat | Self::Trx => false,
        }
    }

    /// Where an entry of this class says who the payer is to the sender.
    #[must_use]
    pub const fn identification(self) -> Identification {
        match self {
            Self::Cie | Self::Mte => Identification::AfterName,
            // A check's serial number stands there, or a card's expiry: neither names a payer.
            Self::Arc | Self::Boc | Self::Pop | Self::Rck | Self::Shr | Self::Trc | Self::Trx | Self::Xck => {
                Identification::Nowhere
            }
            // The layout of its own has none.
            Self::Iat => Identification::Nowhere,
            Self::Ack
            | Self::Atx
            | Self::Ccd
            | Self::Cor
            | Self::Ctx
            | Self::Dne
            | Self::Enr
            | Self::Pos
            | Self::Ppd
            | Self::Tel
            | Self::Web => Identification::BeforeName,
        }
    }

    /// How many addenda of its own an entry of this class may have; returns come on top.
    #[must_use]
    pub const fn addenda_max(self) -> u32 {
        match self {
            Self::Atx | Self::Ctx | Self::Enr | Self::Trx => 9999,
            // Seven that must be there, and up to five more.
            Self::Iat => 12,
            Self::Ack
            | Self::Ccd
            | Self::Cie
            | Self::Dne
            | Self::Mte
            | Self::Pos
            | Self::Ppd
            | Self::Shr
            | Self::Web => 1,
            Self::Arc | Self::Boc | Self::Cor | Self::Pop | Self::Rck | Self::Tel | Self::Trc | Self::Xck => 0,
        }
    }
}

impl fmt::Display for SecCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_codes_are_those_of_the_rules() {
        let known: Vec<u64> = (0..100).filter(|number| TransactionCode::of_number(*number).is_some()).collect();
        let rules = [
            21, 22, 23, 24, 26, 27, 28, 29, 31, 32, 33, 34, 36, 37, 38, 39, 41, 42, 43, 44, 46, 47, 48, 49, 51, 52, 53,
            54, 55, 56,
        ];
        assert_eq!(known, rules);
        for number in known {
            assert_eq!(TransactionCode::of_number(number).unwrap().number(), Some(number));
        }
    }

    #[test]
    fn a_batch_holds_the_directions_of_its_class() {
        for (number, debit, credit) in [(200, true, true), (220, false, true), (225, true, false)] {
            let class = ServiceClass::of_number(number).unwrap();
            assert_eq!((class.admits(Direction::Debit), class.admits(Direction::Credit)), (debit, credit), "{number}");
            assert_eq!(class.number(), number);
        }
        assert_eq!(ServiceClass::of_number(280), None);
    }

    #[test]
    fn entry_classes_are_known_by_their_letters() {
        assert_eq!(SecCode::ALL.len(), 22);
        for class in SecCode::ALL {
            assert_eq!(SecCode::parse(class.name()), Some(*class));
        }
        for unknown in ["ppd", "XXX", "ADV", "   ", "PP"] {
            assert_eq!(SecCode::parse(unknown), None, "{unknown}");
        }
    }
}
