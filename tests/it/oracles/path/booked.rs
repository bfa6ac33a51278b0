//! Owns what is booked for each event of a history: its own entry, what has restated it, and what has taken it back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Told;
use super::life::{Books, text};

/// Sums by account, debits positive; none that is nothing.
pub(super) type Net = BTreeMap<String, i64>;

/// What an answer names its own event by, the most special first: a return names its payment as well.
const NAMES: [&str; 6] = [
    "payment_returned_event_id",
    "payment_event_id",
    "disbursement_event_id",
    "fee_event_id",
    "suspense_refunded_event_id",
    "chargeoff_event_id",
];

/// The events of a history, by its names for them.
#[derive(Default)]
pub(super) struct Booked {
    answers: BTreeMap<String, Value>,
    /// Its names by our ids.
    names: BTreeMap<String, String>,
    /// Entries that stand: the event's own, and those that have restated it.
    standing: BTreeMap<String, Vec<Value>>,
    /// Entries that have taken an event back.
    back: BTreeMap<String, Value>,
}

impl Booked {
    /// An event was posted.
    pub(super) fn posted(&mut self, event: &str, answer: Value) -> Told {
        let id =
            NAMES.iter().find_map(|name| answer[name].as_str()).ok_or_else(|| format!("{answer} names no event"))?;
        self.names.insert(id.to_owned(), event.to_owned());
        self.standing.entry(event.to_owned()).or_default().push(answer["journal_entry_id"].clone());
        self.restated(&answer);
        self.answers.insert(event.to_owned(), answer);
        Ok(())
    }

    /// An event was taken back.
    pub(super) fn taken_back(&mut self, event: &str, answer: &Value) {
        self.back.insert(event.to_owned(), answer["journal_entry_id"].clone());
        self.restated(answer);
    }

    fn restated(&mut self, answer: &Value) {
        for restated in answer["restated"].as_array().into_iter().flatten() {
            let event = restated["event_id"].as_str().and_then(|id| self.names.get(id));
            if let (Some(event), Some(_)) = (event, restated["journal_entry_id"].as_str()) {
                self.standing.entry(event.clone()).or_default().push(restated["journal_entry_id"].clone());
            }
        }
    }

    /// The answer to an event.
    pub(super) fn answer(&self, event: &Value) -> Result<&Value, String> {
        self.answers.get(&text(event)?).ok_or_else(|| format!("{event} is no event"))
    }

    /// What an event has moved, as it stands or stood until it was taken back.
    pub(super) async fn net(&self, books: &Books, event: &str) -> Result<Net, String> {
        let entries = self.standing.get(event).ok_or_else(|| format!("{event} is no event"))?;
        net(books, entries).await
    }

    /// What was moved to take an event back; `None` for one that stands.
    pub(super) async fn net_back(&self, books: &Books, event: &str) -> Result<Option<Net>, String> {
        match self.back.get(event) {
            Some(entry) => net(books, std::slice::from_ref(entry)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether an entry is one of these.
    pub(super) fn has(&self, entry: &Value) -> bool {
        self.standing.values().flatten().chain(self.back.values()).any(|known| known == entry)
    }
}

/// The sums of entries.
pub(super) async fn net(books: &Books, entries: &[Value]) -> Result<Net, String> {
    let mut net = Net::new();
    for entry in entries {
        for (account, signed) in books.lines(entry).await? {
            *net.entry(account).or_default() += signed;
        }
    }
    net.retain(|_, sum| *sum != 0);
    Ok(net)
}

/// What sums say of the borrower's debts on the balance sheet: fees, interest, principal.
pub(super) fn debts(net: &Net) -> [i64; 3] {
    ["1300", "1200", "1100"].map(|account| net.get(account).copied().unwrap_or_default())
}
