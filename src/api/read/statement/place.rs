//! Owns the place in a statement where a page ends: what its token carries.

use chrono::{Datelike, NaiveDate};

use crate::core::loan::Balances;
use crate::core::money::Minor;

/// Bytes of a token's place: seven numbers of 64 bits.
const TOKEN_BYTES: usize = 56;

/// Where a page ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The version at which the statement is cut.
    pub(super) cut: i64,
    /// The last row's day and version.
    pub(super) after: (NaiveDate, i64),
    /// The balances after it.
    pub(super) balances: Balances,
}

impl Place {
    /// Before the first row.
    pub(super) fn before(from: NaiveDate, cut: i64, opening: Balances) -> Self {
        Self { cut, after: (from, 0), balances: opening }
    }

    pub(super) fn to_token(self) -> [u8; TOKEN_BYTES] {
        let Balances { fees, interest, principal, suspense } = self.balances;
        let day = i64::from(self.after.0.num_days_from_ce());
        let numbers =
            [self.cut, day, self.after.1, fees.units(), interest.units(), principal.units(), suspense.units()];
        let mut bytes = [0; TOKEN_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// Reads a token of ours.
    pub(super) fn of_token(bytes: [u8; TOKEN_BYTES]) -> Result<Self, &'static str> {
        let mut numbers = [0; 7];
        for (number, part) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = part.try_into().map_or(0, i64::from_be_bytes);
        }
        let [cut, day, version, fees, interest, principal, suspense] = numbers;
        let day = i32::try_from(day).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
        let day = day.ok_or("is not a page token of this query")?;
        let [fees, interest, principal, suspense] = [fees, interest, principal, suspense].map(Minor::new);
        Ok(Self { cut, after: (day, version), balances: Balances { fees, interest, principal, suspense } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let [fees, interest, principal, suspense] = [1, -2, i64::MAX, 0].map(Minor::new);
        let place = Place {
            cut: 42,
            after: (NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(), 7),
            balances: Balances { fees, interest, principal, suspense },
        };
        assert_eq!(Place::of_token(place.to_token()), Ok(place));
        assert!(Place::of_token([0x7f; TOKEN_BYTES]).is_err(), "no such day");
    }
}
