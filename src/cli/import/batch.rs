//! Owns an upload as the API tells it, and whether its numbers hold together.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cli::import::screen::number;

/// A number of payments and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Tally {
    pub(super) count: i64,
    #[serde(rename = "amount_minor", with = "amount_text")]
    pub(super) amount: i128,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), amount: self.amount.saturating_add(other.amount) }
    }
}

/// Amounts are strings.
mod amount_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    pub(super) fn serialize<S: Serializer>(amount: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }
}

/// The control totals of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Totals {
    pub(super) currency: String,
    pub(super) accepted: Tally,
    pub(super) posted: Tally,
    pub(super) rejected: Tally,
    pub(super) parked: Tally,
    pub(super) held: Tally,
    pub(super) in_flight: Tally,
}

impl Totals {
    /// What became of what was accepted, each by its name.
    pub(super) fn parts(&self) -> [(&'static str, Tally); 5] {
        [
            ("posted", self.posted),
            ("rejected", self.rejected),
            ("parked", self.parked),
            ("held", self.held),
            ("in flight", self.in_flight),
        ]
    }
}

/// Exceptions of a file for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Exceptions {
    pub(super) code: String,
    /// `open` or `discarded`.
    pub(super) state: String,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// What a file says of itself: its entries, and their sums by side. All that it holds is accepted or an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct FileSummary {
    pub(super) entries: i64,
    #[serde(rename = "debit_minor", with = "amount_text")]
    pub(super) debit: i128,
    #[serde(rename = "credit_minor", with = "amount_text")]
    pub(super) credit: i128,
}

impl FileSummary {
    const fn all(self) -> Tally {
        Tally { count: self.entries, amount: self.debit.saturating_add(self.credit) }
    }
}

/// A row of a file that was accepted, and that a posting rule refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct RejectedRow {
    pub(super) row: i64,
    pub(super) event_id: Uuid,
    pub(super) rejection_code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) amount_minor: Option<String>,
}

/// How many rows stand where, over all currencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Counts {
    pub(super) accepted: i64,
    pub(super) posted: i64,
    pub(super) rejected: i64,
    pub(super) parked: i64,
    pub(super) held: i64,
    pub(super) in_flight: i64,
}

impl Counts {
    /// Accepted and not posted, for good or until somebody acts.
    pub(super) const fn unposted(&self) -> i64 {
        self.rejected.saturating_add(self.parked).saturating_add(self.held)
    }
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(super) struct Batch {
    pub(super) batch_id: Uuid,
    pub(super) state: String,
    /// These four are known when the last row has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicates: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mismatched: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invalid: Option<i64>,
    pub(super) counts: Counts,
    pub(super) totals: Vec<Totals>,
    /// Of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<FileSummary>,
    /// Of a file, by reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) exceptions: Vec<Exceptions>,
    /// Of a file: the first of its rejected rows. `counts` says how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rejected: Vec<RejectedRow>,
}

impl Batch {
    /// Whether nothing of it is in flight any more.
    pub(super) fn is_finished(&self) -> bool {
        self.state == "finished"
    }

    /// Rows that made no payment because of what they hold: `(mismatched, invalid)`.
    fn refused(&self) -> (i64, i64) {
        (self.mismatched.unwrap_or(0), self.invalid.unwrap_or(0))
    }

    /// What does not add up; nothing where all does.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for totals in &self.totals {
            let parts = totals.parts().into_iter().fold(Tally::default(), |sum, (_, tally)| sum.plus(tally));
            if parts != totals.accepted {
                let (accepted, currency) = (totals.accepted, &totals.currency);
                found.push(format!(
                    "{currency}: accepted are {} payments over {} minor units, its parts are {} over {}",
                    accepted.count, accepted.amount, parts.count, parts.amount
                ));
            }
        }
        found.extend(self.summary.into_iter().flat_map(|file| self.contradictions_of(file)));
        let told = self.totals.iter().fold(0_i64, |sum, totals| sum.saturating_add(totals.accepted.count));
        if told != self.counts.accepted {
            found.push(format!("accepted are {} payments, those of all currencies are {told}", self.counts.accepted));
        }
        let (mismatched, invalid) = self.refused();
        let parts = [self.counts.accepted, self.duplicates.unwrap_or(0), mismatched, invalid];
        let parts = parts.into_iter().fold(0, i64::saturating_add);
        if let Some(received) = self.received.filter(|received| *received != parts) {
            found.push(format!("{received} rows were received, their parts are {parts}"));
        }
        found
    }

    /// Where what became of a file is not what it holds: every entry and every cent is accepted or an exception.
    fn contradictions_of(&self, file: FileSummary) -> Vec<String> {
        let mut found = Vec::new();
        let excepted = self.exceptions.iter().fold(Tally::default(), |sum, it| sum.plus(it.tally));
        let not_taken = [self.duplicates, self.mismatched, self.invalid].into_iter().flatten();
        let not_taken = not_taken.fold(0_i64, i64::saturating_add);
        if excepted.count != not_taken {
            found.push(format!("the exceptions are {}, and {not_taken} rows were not accepted", excepted.count));
        }
        let accepted = self.totals.iter().fold(Tally::default(), |sum, totals| sum.plus(totals.accepted));
        let (held, became) = (file.all(), accepted.plus(excepted));
        if held.count != became.count {
            found.push(format!("the file has {} entries, accepted and exceptions are {}", held.count, became.count));
        }
        if held.amount != became.amount {
            found.push(format!(
                "the file has {} minor units, accepted and exceptions are {}",
                held.amount, became.amount
            ));
        }
        found
    }

    /// What was not posted, in words; `None` where all was. A duplicate is as good as the payment that it repeats: so many
    /// repeat one that is not posted.
    pub(super) fn not_posted(&self, repeats: i64) -> Option<String> {
        let (mismatched, invalid) = self.refused();
        let parts = [
            (self.counts.rejected, "rejected"),
            (mismatched, "mismatched"),
            (invalid, "invalid"),
            (self.counts.parked, "parked"),
            (self.counts.held, "held"),
            (self.counts.in_flight, "in flight"),
            (repeats, "repeating an unposted payment"),
        ];
        let all = parts.iter().fold(0_i64, |sum, (count, _)| sum.saturating_add(*count));
        let named =
            parts.iter().filter(|(count, _)| *count != 0).map(|(count, word)| format!("{} {word}", number(*count)));
        let named = named.collect::<Vec<_>>().join(", ");
        let received = number(self.received.unwrap_or(all));
        (all != 0).then(|| format!("{} of {received} rows were not posted: {named}", number(all)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A batch whose numbers hold together, with some changed.
    pub(crate) fn batch(changes: &[(&str, serde_json::Value)]) -> Batch {
        let tally = |count: i64, amount: &str| json!({"count": count, "amount_minor": amount});
        let mut batch = json!({"batch_id": "019a0000-0000-7000-8000-000000000001", "operation": "payment_batch",
            "mode": "best_effort", "state": "finished", "received": 1000, "duplicates": 1, "mismatched": 0,
            "invalid": 0, "rate_per_second": 5000, "created_at": "2026-05-01T12:00:00Z",
            "counts": {"accepted": 999, "posted": 999, "rejected": 0, "parked": 0, "held": 0, "in_flight": 0},
            "totals": [{"currency": "USD", "accepted": tally(999, "88849"), "posted": tally(999, "88849"),
                "rejected": tally(0, "0"), "parked": tally(0, "0"), "held": tally(0, "0"), "in_flight": tally(0, "0")}]});
        for (path, value) in changes {
            *batch.pointer_mut(path).unwrap() = value.clone();
        }
        serde_json::from_value(batch).unwrap()
    }

    /// A file of 999 payments, which are accepted, and two exceptions.
    pub(crate) fn file(changes: &[(&str, serde_json::Value)]) -> Batch {
        let mut file = serde_json::to_value(batch(&[("/duplicates", json!(0)), ("/received", json!(1001))])).unwrap();
        file["invalid"] = json!(2);
        file["summary"] = json!({"batches": 1, "entries": 1001, "debit_minor": "90000", "credit_minor": "1194"});
        let of = |code: &str, state: &str, amount: &str| json!({"code": code, "state": state, "count": 1, "amount_minor": amount});
        file["exceptions"] = json!([of("prenote", "open", "0"), of("soft_duplicate", "discarded", "2345")]);
        for (path, value) in changes {
            *file.pointer_mut(path).unwrap() = value.clone();
        }
        serde_json::from_value(file).unwrap()
    }

    #[test]
    fn a_duplicate_is_posted_and_anything_else_is_not() {
        assert_eq!(batch(&[]).not_posted(0), None);
        let repeat = batch(&[]).not_posted(1);
        assert_eq!(repeat.as_deref(), Some("1 of 1,000 rows were not posted: 1 repeating an unposted payment"));
        let cases = [
            ("/counts/rejected", "2 of 1,000 rows were not posted: 2 rejected"),
            ("/counts/parked", "2 of 1,000 rows were not posted: 2 parked"),
            ("/counts/held", "2 of 1,000 rows were not posted: 2 held"),
            ("/counts/in_flight", "2 of 1,000 rows were not posted: 2 in flight"),
            ("/mismatched", "2 of 1,000 rows were not posted: 2 mismatched"),
            ("/invalid", "2 of 1,000 rows were not posted: 2 invalid"),
        ];
        for (path, told) in cases {
            assert_eq!(batch(&[(path, json!(2))]).not_posted(0).as_deref(), Some(told));
        }
        let both = batch(&[("/invalid", json!(1)), ("/counts/rejected", json!(2))]);
        assert_eq!(both.not_posted(0).as_deref(), Some("3 of 1,000 rows were not posted: 2 rejected, 1 invalid"));
    }

    #[test]
    fn exceptions_are_the_rows_that_were_not_accepted() {
        assert_eq!(file(&[]).contradictions(), Vec::<String>::new());
        let more = file(&[("/invalid", json!(3)), ("/received", json!(1002))]).contradictions();
        assert_eq!(more, ["the exceptions are 2, and 3 rows were not accepted"]);
        let none = file(&[("/exceptions", json!([]))]).contradictions();
        assert_eq!(none[0], "the exceptions are 0, and 2 rows were not accepted", "a list that is empty tells as well");
    }

    #[test]
    fn a_file_is_what_was_accepted_and_what_is_an_exception() {
        let entry = file(&[("/summary/entries", json!(1002))]).contradictions();
        assert_eq!(entry, ["the file has 1002 entries, accepted and exceptions are 1001"]);
        for side in ["/summary/debit_minor", "/summary/credit_minor"] {
            let cent = file(&[(side, json!("1195"))]).contradictions();
            assert!(
                cent.len() == 1 && cent[0].ends_with(" minor units, accepted and exceptions are 91194"),
                "{cent:?}"
            );
        }
    }

    #[test]
    fn numbers_that_do_not_add_up_are_named() {
        assert!(batch(&[]).contradictions().is_empty());
        let cent = batch(&[("/totals/0/posted/amount_minor", json!("88848"))]);
        assert_eq!(
            cent.contradictions(),
            ["USD: accepted are 999 payments over 88849 minor units, its parts are 999 over 88848"]
        );
        let lost = batch(&[("/received", json!(1001))]);
        assert_eq!(lost.contradictions(), ["1001 rows were received, their parts are 1000"]);
        let count = batch(&[("/counts/accepted", json!(998)), ("/received", json!(999))]);
        assert_eq!(count.contradictions(), ["accepted are 998 payments, those of all currencies are 999"]);
    }

    #[test]
    fn sums_beyond_64_bits_are_kept() {
        let most = "18446744073709551614";
        let large = batch(&[("/totals/0/posted/amount_minor", json!(most))]);
        assert_eq!(large.totals[0].posted.amount.to_string(), most);
        assert_eq!(serde_json::to_value(&large).unwrap()["totals"][0]["posted"]["amount_minor"], most);
    }
}
