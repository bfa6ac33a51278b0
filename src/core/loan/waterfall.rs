//! Owns the order in which a payment pays a loan's buckets. What is left after the last goes to suspense.
//!
//! Balance-level: a bucket is paid whole before the next (the "vertical" order of domain rule 15). Default fees,
//! interest, principal (domain rule 12; CFPB and the big servicers).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a loan can owe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Fees of all sorts.
    Fees,
    /// Interest.
    Interest,
    /// Principal.
    Principal,
}

impl Bucket {
    /// Every bucket, in the default order.
    pub const ALL: [Self; 3] = [Self::Fees, Self::Interest, Self::Principal];

    /// The word in requests and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fees => "fees",
            Self::Interest => "interest",
            Self::Principal => "principal",
        }
    }
}

/// A text or list is not an order of the three buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must name fees, interest and principal once each, in the order they are paid")]
pub struct WaterfallError;

/// The order of payment; each bucket exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Waterfall([Bucket; 3]);

impl Waterfall {
    /// Takes an order.
    ///
    /// # Errors
    /// [`WaterfallError`] unless each bucket is named once.
    pub fn new(order: [Bucket; 3]) -> Result<Self, WaterfallError> {
        Bucket::ALL.iter().all(|bucket| order.contains(bucket)).then_some(Self(order)).ok_or(WaterfallError)
    }

    /// Reads the words in order.
    ///
    /// # Errors
    /// [`WaterfallError`] unless each bucket is named once.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, WaterfallError> {
        let buckets: Option<Vec<Bucket>> =
            words.into_iter().map(|word| Bucket::ALL.into_iter().find(|bucket| bucket.as_str() == word)).collect();
        let order: [Bucket; 3] = buckets.ok_or(WaterfallError)?.try_into().map_err(|_| WaterfallError)?;
        Self::new(order)
    }

    /// The buckets, first paid first.
    #[must_use]
    pub const fn order(self) -> [Bucket; 3] {
        self.0
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        self.0.map(|bucket| bucket.as_str().to_owned()).to_vec()
    }
}

impl From<Waterfall> for String {
    fn from(waterfall: Waterfall) -> Self {
        waterfall.to_string()
    }
}

impl TryFrom<String> for Waterfall {
    type Error = WaterfallError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Default for Waterfall {
    fn default() -> Self {
        Self(Bucket::ALL)
    }
}

impl fmt::Display for Waterfall {
    /// The stored form, `fees,interest,principal`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{},{},{}", first.as_str(), second.as_str(), third.as_str())
    }
}

impl FromStr for Waterfall {
    type Err = WaterfallError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_words(text.split(','))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_each_bucket_once_and_reads_back() {
        let order: Waterfall = "principal,fees,interest".parse().unwrap();
        assert_eq!(order.order(), [Bucket::Principal, Bucket::Fees, Bucket::Interest]);
        assert_eq!(order.to_string(), "principal,fees,interest");
        for bad in ["", "fees", "fees,fees,principal", "fees,interest,principal,fees", "fees, interest,principal"] {
            assert_eq!(bad.parse::<Waterfall>(), Err(WaterfallError), "{bad}");
        }
    }
}
