//! Owns the matching of lines with events of the ledger.
//!
//! A line names its event by the event's id, its entry's id, or its idempotency key; of an upload too, then all its rows
//! are meant. It *clears* what the event has put on Payment Clearing where that is the line's amount, and it *matches* what
//! the event has put on Cash where that is. An event is one line's, and so is the cash of an upload: where a line has the
//! upload no other has one of the rows it had then, and the other way round. A row that came after the match, as of an
//! exception that a person has posted, is a later line's; within one statement an upload has all its rows, because they
//! are summed up for its line. Everything else stays open, with the reason.
//!
//! The order of lines does not matter: of two lines that could have one event, the earlier day's has it, then the one whose
//! words come first.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use crate::core::bank::StatementLine;
use crate::core::closed_list::closed_list;
use crate::core::ids::EventId;
use crate::core::money::Minor;

closed_list! {
    /// Why a line is open.
    OpenReason {
        /// It names no event.
        NoReference = "no_reference",
        /// Nothing has this id or key.
        NotFound = "not_found",
        /// The event, or a row of the upload, is not posted yet.
        NotPosted = "not_posted",
        /// The event was refused, and has moved nothing.
        Rejected = "rejected",
        /// The event is in another currency.
        CurrencyDiffers = "currency_differs",
        /// The event has moved another amount.
        AmountDiffers = "amount_differs",
        /// Another line has the event, the upload it is a row of, or a row of it.
        AlreadyMatched = "already_matched",
    }
}

/// What is known of an event that a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not posted yet.
    Unfinished,
    /// It was refused.
    Rejected,
    /// It is in another currency than the account.
    OtherCurrency,
    /// It is posted.
    Posted {
        /// What it has put on Payment Clearing; wide, because an upload's rows are summed up.
        clearing: i128,
        /// What it has put on Cash.
        cash: i128,
        /// Whether a line has it, the upload it is a row of, or a row of it.
        is_matched: bool,
    },
}

/// An event found by a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The event.
    pub event: EventId,
    /// The upload it is a row of.
    pub upload: Option<EventId>,
    /// How it stands.
    pub standing: Standing,
}

/// What the lines before have.
#[derive(Debug, Default)]
struct Taken {
    events: HashSet<EventId>,
    /// Uploads of which a line has a row.
    uploads_by_row: HashSet<EventId>,
}

impl Taken {
    fn has(&self, found: Found) -> bool {
        let has_all_rows = found.upload.is_some_and(|upload| self.events.contains(&upload));
        has_all_rows || self.events.contains(&found.event) || self.uploads_by_row.contains(&found.event)
    }

    fn take(&mut self, found: Found) {
        self.events.insert(found.event);
        self.uploads_by_row.extend(found.upload);
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMatch {
    /// It settles what the event has put on Payment Clearing.
    Clears(EventId),
    /// It is cash that the event has booked.
    Matches(EventId),
    /// A person has to look at it.
    Open(OpenReason),
}

impl LineMatch {
    /// The event whose clearing or cash it is.
    #[must_use]
    pub const fn event(&self) -> Option<EventId> {
        match self {
            Self::Clears(event) | Self::Matches(event) => Some(*event),
            Self::Open(_) => None,
        }
    }
}

/// Says of each line what it is, in the order given. `found` holds what stands under each reference.
#[must_use]
pub fn match_lines<S: BuildHasher>(lines: &[StatementLine], found: &HashMap<String, Vec<Found>, S>) -> Vec<LineMatch> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|at| {
        lines.get(*at).map(|line| (line.booking_date, &line.reference, line.amount.units(), &line.description, *at))
    });
    let mut matches = vec![LineMatch::Open(OpenReason::NoReference); lines.len()];
    let mut taken = Taken::default();
    for at in order {
        let (Some(line), Some(place)) = (lines.get(at), matches.get_mut(at)) else { continue };
        let Some(reference) = &line.reference else { continue };
        let candidates = found.get(reference).map(Vec::as_slice).unwrap_or_default();
        *place = match_line(line.amount, candidates, &mut taken);
    }
    matches
}

/// The first event that fits; where none does, the reason of the first.
fn match_line(amount: Minor, candidates: &[Found], taken: &mut Taken) -> LineMatch {
    let mut reason = None;
    for candidate in candidates {
        match judge(amount, *candidate, taken) {
            LineMatch::Open(why) => reason = reason.or(Some(why)),
            fits @ (LineMatch::Clears(_) | LineMatch::Matches(_)) => {
                taken.take(*candidate);
                return fits;
            }
        }
    }
    LineMatch::Open(reason.unwrap_or(OpenReason::NotFound))
}

fn judge(amount: Minor, candidate: Found, taken: &Taken) -> LineMatch {
    let amount = i128::from(amount.units());
    match candidate.standing {
        Standing::Unfinished => LineMatch::Open(OpenReason::NotPosted),
        Standing::Rejected => LineMatch::Open(OpenReason::Rejected),
        Standing::OtherCurrency => LineMatch::Open(OpenReason::CurrencyDiffers),
        Standing::Posted { clearing, cash, .. } if clearing != amount && cash != amount => {
            LineMatch::Open(OpenReason::AmountDiffers)
        }
        Standing::Posted { is_matched, .. } if is_matched || taken.has(candidate) => {
            LineMatch::Open(OpenReason::AlreadyMatched)
        }
        Standing::Posted { clearing, .. } if clearing == amount => LineMatch::Clears(candidate.event),
        Standing::Posted { .. } => LineMatch::Matches(candidate.event),
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn line(day: u32, amount: i64, reference: Option<&str>) -> StatementLine {
        StatementLine {
            line_no: 1,
            booking_date: NaiveDate::from_ymd_opt(2026, 5, day).unwrap(),
            amount: Minor::new(amount),
            reference: reference.map(str::to_owned),
            description: None,
        }
    }

    fn event(number: u128) -> EventId {
        EventId(Uuid::from_u128(number))
    }

    fn posted(number: u128, clearing: i128, cash: i128) -> Found {
        Found { event: event(number), upload: None, standing: Standing::Posted { clearing, cash, is_matched: false } }
    }

    /// A row of the upload that is event 20.
    fn row(number: u128, clearing: i128) -> Found {
        Found { upload: Some(event(20)), ..posted(number, clearing, 0) }
    }

    fn ledger() -> HashMap<String, Vec<Found>> {
        let standing = |number, standing| vec![Found { event: event(number), upload: None, standing }];
        let matched = Standing::Posted { clearing: 100, cash: 0, is_matched: true };
        HashMap::from([
            ("paid".to_owned(), vec![posted(2, 100, 0)]),
            ("sent".to_owned(), vec![posted(4, 0, -70)]),
            ("twice".to_owned(), vec![posted(6, 5, 0), posted(8, 100, 0)]),
            ("waits".to_owned(), standing(10, Standing::Unfinished)),
            ("refused".to_owned(), standing(12, Standing::Rejected)),
            ("euro".to_owned(), standing(14, Standing::OtherCurrency)),
            ("had".to_owned(), standing(16, matched)),
            ("file".to_owned(), vec![posted(20, 100, 0)]),
            ("row 1".to_owned(), vec![row(22, 95)]),
            ("row 2".to_owned(), vec![row(24, 5)]),
        ])
    }

    #[test]
    fn a_line_is_what_its_reference_and_its_amount_say() {
        let open = LineMatch::Open;
        for (reference, amount, expected) in [
            (None, 100, open(OpenReason::NoReference)),
            (Some("nobody"), 100, open(OpenReason::NotFound)),
            (Some("paid"), 100, LineMatch::Clears(event(2))),
            (Some("paid"), -100, open(OpenReason::AmountDiffers)),
            (Some("paid"), 99, open(OpenReason::AmountDiffers)),
            (Some("sent"), -70, LineMatch::Matches(event(4))),
            (Some("twice"), 100, LineMatch::Clears(event(8))),
            (Some("waits"), 100, open(OpenReason::NotPosted)),
            (Some("refused"), 100, open(OpenReason::Rejected)),
            (Some("euro"), 100, open(OpenReason::CurrencyDiffers)),
            (Some("had"), 100, open(OpenReason::AlreadyMatched)),
        ] {
            assert_eq!(match_lines(&[line(1, amount, reference)], &ledger()), [expected], "{reference:?}");
        }
    }

    #[test]
    fn an_event_is_one_lines_and_the_earlier_days() {
        let lines = [line(2, 100, Some("paid")), line(1, 100, Some("paid"))];
        let expected = [LineMatch::Open(OpenReason::AlreadyMatched), LineMatch::Clears(event(2))];
        assert_eq!(match_lines(&lines, &ledger()), expected);
    }

    #[test]
    fn the_cash_of_an_upload_is_one_lines_or_its_rows_lines() {
        let taken = LineMatch::Open(OpenReason::AlreadyMatched);
        let rows = |file| [line(2, 95, Some("row 1")), line(2, 5, Some("row 2")), line(file, 100, Some("file"))];
        assert_eq!(match_lines(&rows(1), &ledger()), [taken, taken, LineMatch::Clears(event(20))]);
        let clears = |number| LineMatch::Clears(event(number));
        assert_eq!(match_lines(&rows(3), &ledger()), [clears(22), clears(24), taken]);
    }

    proptest! {
        #[test]
        fn the_order_of_lines_changes_nothing(
            rows in prop::collection::vec((1_u32..4, prop::sample::select(vec![-70_i64, 5, 100]), 0_usize..10), 0..12),
            seed in any::<prop::sample::Index>(),
        ) {
            let names = ["paid", "sent", "twice", "waits", "had", "x", "euro", "file", "row 2"].map(Some);
            let names = [&[None], names.as_slice()].concat();
            let lines: Vec<StatementLine> =
                rows.iter().map(|(day, amount, name)| line(*day, *amount, names[*name])).collect();
            let mut turned = lines.clone();
            turned.rotate_left(if lines.is_empty() { 0 } else { seed.index(lines.len()) });
            turned.reverse();
            prop_assert_eq!(told(&lines), told(&turned));
        }
    }

    /// Every line with what it is, in an order of their own.
    fn told(lines: &[StatementLine]) -> Vec<String> {
        let matches = match_lines(lines, &ledger());
        let mut told: Vec<String> =
            lines.iter().zip(matches).map(|(line, found)| format!("{line:?} {found:?}")).collect();
        told.sort();
        told
    }
}
