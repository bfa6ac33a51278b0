//! Owns the dates of entries: which year a settlement day belongs to, and which effective entry dates can be believed.

use chrono::{Datelike, NaiveDate, Weekday};

/// The day of the year nearest to a date: day 001 near 31 December is the first of January after it, day 365 near
/// 2 January the last of December before it. `None` for day 366 where no leap year is near.
#[must_use]
pub(super) fn nearest(day_of_year: u16, near: NaiveDate) -> Option<NaiveDate> {
    let year = near.year();
    let years = [year.checked_sub(1), Some(year), year.checked_add(1)];
    let days = years.into_iter().flatten().filter_map(|year| NaiveDate::from_yo_opt(year, u32::from(day_of_year)));
    days.min_by_key(|day| day.signed_duration_since(near).num_days().unsigned_abs())
}

/// Whether banks settle on it, as far as the week tells; holidays are the operator's knowledge.
#[must_use]
pub(super) fn is_weekday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The date itself, or the Monday after it.
///
/// For those who write files: an effective entry date on a weekend makes every entry an exception.
#[must_use]
pub fn weekday_from(date: NaiveDate) -> NaiveDate {
    date.iter_days().take(3).find(|day| is_weekday(*day)).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn a_settlement_day_takes_the_year_that_is_nearest() {
        for (settlement, near, expected) in [
            (1, day(2026, 12, 31), Some(day(2027, 1, 1))),
            (2, day(2026, 12, 31), Some(day(2027, 1, 2))),
            (365, day(2026, 12, 31), Some(day(2026, 12, 31))),
            (365, day(2027, 1, 2), Some(day(2026, 12, 31))),
            (366, day(2025, 1, 2), Some(day(2024, 12, 31))),
            (366, day(2028, 12, 31), Some(day(2028, 12, 31))),
            (366, day(2026, 12, 31), None),
            (60, day(2028, 2, 28), Some(day(2028, 2, 29))),
            (15, day(2025, 11, 15), Some(day(2026, 1, 15))),
            (128, day(2026, 5, 8), Some(day(2026, 5, 8))),
            (0, day(2026, 5, 8), None),
            (367, day(2026, 5, 8), None),
        ] {
            assert_eq!(nearest(settlement, near), expected, "{settlement} near {near}");
        }
        assert!(nearest(1, NaiveDate::MAX).is_some());
        assert!(nearest(1, NaiveDate::MIN).is_some());
    }

    #[test]
    fn a_weekend_moves_to_monday() {
        assert_eq!(weekday_from(day(2026, 11, 21)), day(2026, 11, 23));
        assert_eq!(weekday_from(day(2026, 11, 22)), day(2026, 11, 23));
        assert_eq!(weekday_from(day(2026, 11, 23)), day(2026, 11, 23));
    }
}
