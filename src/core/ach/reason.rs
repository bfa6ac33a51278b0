//! Owns why an entry came back or must change: return codes and what they do to a loan ledger, change codes.
//!
//! Source: Nacha Operating Rules, appendix four (returns, dishonoured and contested returns) and five (notifications of
//! change). What a group does to the books, and whether it costs a fee, is told by the group.

use std::fmt;

/// What the codes of one kind mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReturnGroup {
    /// R01, R09.
    NoFunds,
    /// R02, R03, R04, R12, R13, R17, R20, R28, R34.
    AccountWrong,
    /// R05, R07, R10, R11, R29, R51.
    NotAuthorised,
    /// R08, R38, R52.
    StopPayment,
    /// R14, R15, R16.
    DeceasedOrFrozen,
    /// R06, R31: we asked for it.
    AskedFor,
    /// R24.
    Duplicate,
    /// R18, R19, R21, R22, R25 to R27, R30, R32, R33, R35 to R37, R39, R50, R53.
    FormFault,
    /// R40 to R47: an enrolment was refused; no loan is touched.
    Enrolment,
    /// R23: our own credit came back.
    RefusedCredit,
    /// R61, R62, R67 to R70: a return was disputed by our side.
    Dishonoured,
    /// R71 to R77: the answer to that.
    Contested,
    /// R80 to R85, R90.
    ForeignOrSanctions,
}

/// What a return does to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerEffect {
    /// The payment never happened: it is undone at its own effective date, and what followed is allocated again.
    Undo,
    /// The books do not move by themselves; a person looks at it.
    Ask,
    /// No loan is touched.
    Nothing,
}

/// Whether a returned payment costs the borrower a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnFee {
    /// By default yes.
    Yes,
    /// By default no; a contract may say otherwise.
    BySetting,
    /// Never.
    No,
}

impl ReturnGroup {
    /// What it does to the books.
    #[must_use]
    pub const fn effect(self) -> LedgerEffect {
        match self {
            Self::NoFunds
            | Self::AccountWrong
            | Self::NotAuthorised
            | Self::StopPayment
            | Self::DeceasedOrFrozen
            | Self::AskedFor
            | Self::Duplicate
            | Self::FormFault
            | Self::ForeignOrSanctions => LedgerEffect::Undo,
            Self::RefusedCredit | Self::Dishonoured | Self::Contested => LedgerEffect::Ask,
            Self::Enrolment => LedgerEffect::Nothing,
        }
    }

    /// Whether it costs a fee.
    #[must_use]
    pub const fn fee(self) -> ReturnFee {
        match self {
            Self::NoFunds => ReturnFee::Yes,
            Self::AccountWrong | Self::StopPayment => ReturnFee::BySetting,
            Self::NotAuthorised
            | Self::DeceasedOrFrozen
            | Self::AskedFor
            | Self::Duplicate
            | Self::FormFault
            | Self::Enrolment
            | Self::RefusedCredit
            | Self::Dishonoured
            | Self::Contested
            | Self::ForeignOrSanctions => ReturnFee::No,
        }
    }
}

/// Why an entry came back: `R01` to `R90`, those of the table only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReturnCode(u8);

impl ReturnCode {
    /// Reads `R` and two digits; `None` for a code the table does not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = two_digits(text, 'R')?;
        group_of(number).map(|_| Self(number))
    }

    /// The group it belongs to.
    #[must_use]
    pub fn group(self) -> ReturnGroup {
        // The constructor has found a group; a person looks at what has none.
        group_of(self.0).unwrap_or(ReturnGroup::Dishonoured)
    }

    /// What it does to the books.
    #[must_use]
    pub fn effect(self) -> LedgerEffect {
        self.group().effect()
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{:02}", self.0)
    }
}

impl fmt::Debug for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn group_of(number: u8) -> Option<ReturnGroup> {
    match number {
        1 | 9 => Some(ReturnGroup::NoFunds),
        2..=4 | 12 | 13 | 17 | 20 | 28 | 34 => Some(ReturnGroup::AccountWrong),
        5 | 7 | 10 | 11 | 29 | 51 => Some(ReturnGroup::NotAuthorised),
        8 | 38 | 52 => Some(ReturnGroup::StopPayment),
        14..=16 => Some(ReturnGroup::DeceasedOrFrozen),
        6 | 31 => Some(ReturnGroup::AskedFor),
        24 => Some(ReturnGroup::Duplicate),
        18 | 19 | 21 | 22 | 25..=27 | 30 | 32 | 33 | 35..=37 | 39 | 50 | 53 => Some(ReturnGroup::FormFault),
        40..=47 => Some(ReturnGroup::Enrolment),
        23 => Some(ReturnGroup::RefusedCredit),
        61 | 62 | 67..=70 => Some(ReturnGroup::Dishonoured),
        71..=77 => Some(ReturnGroup::Contested),
        80..=85 | 90 => Some(ReturnGroup::ForeignOrSanctions),
        _ => None,
    }
}

/// What a borrower's bank asks to be changed before the next entry: `C01` to `C14`, and the refusals `C61` to `C69`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeCode(u8);

impl ChangeCode {
    /// Reads `C` and two digits; `None` for a code that does not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = two_digits(text, 'C')?;
        matches!(number, 1..=9 | 13 | 14 | 61..=69).then_some(Self(number))
    }

    /// Whether it refuses a change that was asked for before, and asks for none itself.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        self.0 >= 61
    }
}

impl fmt::Display for ChangeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{:02}", self.0)
    }
}

impl fmt::Debug for ChangeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn two_digits(text: &str, letter: char) -> Option<u8> {
    let digits = text.strip_prefix(letter)?;
    let well_formed = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_codes_of_the_rules() {
        let known: Vec<u8> = (0..100).filter(|number| ReturnCode::parse(&format!("R{number:02}")).is_some()).collect();
        let rules: Vec<u8> = (1..=47).chain(50..=53).chain(61..=62).chain(67..=77).chain(80..=85).chain([90]).collect();
        assert_eq!(known, rules);
        for bad in ["R96", "r01", "R1", "R001", "R+1", "C01", "", "R0A"] {
            assert_eq!(ReturnCode::parse(bad), None, "{bad}");
        }
        assert_eq!(ReturnCode::parse("R07").unwrap().to_string(), "R07");
    }

    #[test]
    fn a_return_does_what_its_group_says() {
        use {LedgerEffect as L, ReturnFee as F};
        for (code, effect, fee) in [
            ("R01", L::Undo, F::Yes),
            ("R09", L::Undo, F::Yes),
            ("R03", L::Undo, F::BySetting),
            ("R10", L::Undo, F::No),
            ("R08", L::Undo, F::BySetting),
            ("R16", L::Undo, F::No),
            ("R31", L::Undo, F::No),
            ("R24", L::Undo, F::No),
            ("R39", L::Undo, F::No),
            ("R44", L::Nothing, F::No),
            ("R23", L::Ask, F::No),
            ("R68", L::Ask, F::No),
            ("R71", L::Ask, F::No),
            ("R85", L::Undo, F::No),
        ] {
            let code = ReturnCode::parse(code).unwrap();
            assert_eq!((code.effect(), code.group().fee()), (effect, fee), "{code}");
        }
    }

    #[test]
    fn change_codes_are_those_of_the_rules() {
        for good in ["C01", "C07", "C09", "C13", "C14"] {
            assert!(!ChangeCode::parse(good).unwrap().is_refusal(), "{good}");
        }
        assert!(ChangeCode::parse("C61").unwrap().is_refusal());
        for bad in ["C00", "C10", "C12", "C15", "C60", "C70", "R01", "C1", "c01"] {
            assert_eq!(ChangeCode::parse(bad), None, "{bad}");
        }
    }
}
