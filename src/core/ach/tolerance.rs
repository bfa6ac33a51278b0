//! Owns what a feed forgives: each way in which real files break the rules has a name, and is off unless it is set.

use std::fmt;

/// One breach of the rules that a feed may accept. What is accepted is still noted, as a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tolerance {
    /// The file is not filled up to a multiple of ten records.
    MissingPadding,
    /// The block count of the file control is not the records divided by ten, rounded up.
    BlockCount,
    /// Blanks at the end of lines were cut off or added. Safe: a number is never read from blanks, so a line cut inside
    /// a number is refused with or without this.
    TrailingSpaces,
    /// The records follow one another without line breaks.
    NoLineBreaks,
    /// Neither file header nor file control, as some banks send returns. Batch controls are still needed and checked, but
    /// a file cut off between two batches is not noticed any more.
    MissingFileRecords,
    /// No batch at all, as some processors send on days without work.
    NoBatches,
    /// Bytes above 7F in names and free text; they become `?`. In numbers and identifications they are never accepted.
    HighBytes,
    /// Trace numbers that do not rise inside a batch, the same one twice included.
    TraceOrder,
    /// Trace numbers that do not begin with the originating bank of their batch.
    TraceOdfi,
    /// Batch numbers that do not rise inside the file.
    BatchNumberOrder,
    /// Sequence numbers of addenda 05 that do not run from 1, or do not name their entry.
    AddendaSequence,
    /// Nothing on a live entry, or something on a prenote or zero-dollar entry. Each becomes an exception.
    EntryAmounts,
    /// Return and change codes that the tables do not know. Each entry becomes an exception.
    UnknownReasonCodes,
}

impl Tolerance {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::MissingPadding,
        Self::BlockCount,
        Self::TrailingSpaces,
        Self::NoLineBreaks,
        Self::MissingFileRecords,
        Self::NoBatches,
        Self::HighBytes,
        Self::TraceOrder,
        Self::TraceOdfi,
        Self::BatchNumberOrder,
        Self::AddendaSequence,
        Self::EntryAmounts,
        Self::UnknownReasonCodes,
    ];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingPadding => "missing_padding",
            Self::BlockCount => "block_count",
            Self::TrailingSpaces => "trailing_spaces",
            Self::NoLineBreaks => "no_line_breaks",
            Self::MissingFileRecords => "missing_file_records",
            Self::NoBatches => "no_batches",
            Self::HighBytes => "high_bytes",
            Self::TraceOrder => "trace_order",
            Self::TraceOdfi => "trace_odfi",
            Self::BatchNumberOrder => "batch_number_order",
            Self::AddendaSequence => "addenda_sequence",
            Self::EntryAmounts => "entry_amounts",
            Self::UnknownReasonCodes => "unknown_reason_codes",
        }
    }

    /// The tolerance of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tolerance| tolerance.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << match self {
            Self::MissingPadding => 0,
            Self::BlockCount => 1,
            Self::TrailingSpaces => 2,
            Self::NoLineBreaks => 3,
            Self::MissingFileRecords => 4,
            Self::NoBatches => 5,
            Self::HighBytes => 6,
            Self::TraceOrder => 7,
            Self::TraceOdfi => 8,
            Self::BatchNumberOrder => 9,
            Self::AddendaSequence => 10,
            Self::EntryAmounts => 11,
            Self::UnknownReasonCodes => 12,
        }
    }
}

/// A set of tolerances; none by default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Tolerances(u16);

impl Tolerances {
    /// Nothing is forgiven.
    pub const STRICT: Self = Self(0);

    /// What changes no amount, no account and no order: padding, block count, cut blanks, missing line breaks and
    /// addenda numbers. With these, every sample of `tests/data/nacha` that its index calls valid is read, and no other.
    pub const USUAL: Self = Self::STRICT
        .with(Tolerance::MissingPadding)
        .with(Tolerance::BlockCount)
        .with(Tolerance::TrailingSpaces)
        .with(Tolerance::NoLineBreaks)
        .with(Tolerance::AddendaSequence);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, tolerance: Tolerance) -> Self {
        Self(self.0 | tolerance.bit())
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, tolerance: Tolerance) -> bool {
        self.0 & tolerance.bit() != 0
    }

    /// Those in the set, in the order of [`Tolerance::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Tolerance> {
        Tolerance::ALL.into_iter().filter(move |tolerance| self.contains(*tolerance))
    }
}

impl FromIterator<Tolerance> for Tolerances {
    fn from_iter<I: IntoIterator<Item = Tolerance>>(tolerances: I) -> Self {
        tolerances.into_iter().fold(Self::STRICT, Self::with)
    }
}

impl fmt::Debug for Tolerances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Tolerance::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tolerance_has_a_name_and_a_place_of_its_own() {
        let mut set = Tolerances::STRICT;
        for tolerance in Tolerance::ALL {
            assert_eq!(Tolerance::parse(tolerance.name()), Some(tolerance));
            assert!(!set.contains(tolerance), "{tolerance:?}");
            set = set.with(tolerance);
            assert!(set.contains(tolerance), "{tolerance:?}");
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), Tolerance::ALL);
        assert_eq!(set, Tolerance::ALL.into_iter().collect());
        assert_eq!(Tolerance::parse("strict"), None);
    }
}
