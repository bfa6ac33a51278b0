//! Owns the characters of a file: a record of 94 bytes, its fields by name and column, and the texts in them.
//!
//! Invariant: a [`Record`] and a [`Text`] hold printable ASCII only. A byte outside of it is replaced by `?` on the way
//! in; the walk over the file has noted it by then.

use std::fmt;

/// How many characters a record has (Nacha Operating Rules, appendix three: record size 094).
pub const RECORD_LEN: usize = 94;

/// What stands for a byte that is no printable ASCII.
const REPLACEMENT: u8 = b'?';

/// Whether a byte may stand in a file: blank to tilde.
#[must_use]
pub(super) fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// A field of a record: where it begins, how long it is, and its name in faults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<const N: usize> {
    /// Its name in faults.
    pub(super) name: &'static str,
    /// The column it begins at, from 1.
    pub(super) column: usize,
}

impl<const N: usize> Field<N> {
    pub(super) const fn new(name: &'static str, column: usize) -> Self {
        Self { name, column }
    }

    /// Where it stands in a line of the file.
    pub(super) const fn on(self, line: usize) -> Place {
        Place { line, column: self.column, field: self.name }
    }
}

/// A place in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The line, from 1; the record where the file has no line breaks.
    pub(super) line: usize,
    /// The column, from 1.
    pub(super) column: usize,
    /// The field.
    pub(super) field: &'static str,
}

/// One line of a file as 94 characters: filled up with blanks, cut at 94.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record([u8; RECORD_LEN]);

impl Record {
    /// Nothing but blanks.
    pub(super) const BLANK: Self = Self([b' '; RECORD_LEN]);
    /// The line that fills the last block.
    pub(super) const FILLER: Self = Self([b'9'; RECORD_LEN]);

    /// Takes a line, whatever it is.
    pub(super) fn of(line: &[u8]) -> Self {
        let mut record = Self::BLANK;
        for (to, from) in record.0.iter_mut().zip(line) {
            *to = if is_printable(*from) { *from } else { REPLACEMENT };
        }
        record
    }

    /// The first character: which record it is.
    pub(super) const fn kind(&self) -> u8 {
        let [kind, ..] = self.0;
        kind
    }

    /// The text of a field.
    pub(super) fn text<const N: usize>(&self, field: Field<N>) -> Text<N> {
        let from = self.0.get(field.column.saturating_sub(1)..).and_then(<[u8]>::first_chunk::<N>);
        Text(from.copied().unwrap_or([b' '; N]))
    }

    /// Writes a field.
    pub(super) fn set<const N: usize>(&mut self, field: Field<N>, text: Text<N>) {
        let to = self.0.get_mut(field.column.saturating_sub(1)..).and_then(<[u8]>::first_chunk_mut::<N>);
        if let Some(to) = to {
            *to = text.0;
        }
    }

    /// The characters.
    pub(super) const fn bytes(&self) -> &[u8; RECORD_LEN] {
        &self.0
    }
}

/// A text of fixed width, printable ASCII, padded with blanks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// Nothing but blanks.
    pub const BLANK: Self = Self([b' '; N]);

    /// Takes a text and fills it up with blanks on the right; `None` when it is too long or not printable ASCII.
    #[must_use]
    pub fn left(text: &str) -> Option<Self> {
        Self::padded(text, 0)
    }

    /// Takes a text and fills it up with blanks on the left; `None` when it is too long or not printable ASCII.
    #[must_use]
    pub fn right(text: &str) -> Option<Self> {
        Self::padded(text, N.checked_sub(text.len())?)
    }

    /// Takes a number and fills it up with zeros on the left; `None` when it has too many digits.
    #[must_use]
    pub fn number(mut number: u64) -> Option<Self> {
        let mut digits = [b'0'; N];
        for digit in digits.iter_mut().rev() {
            let last = u8::try_from(number.checked_rem(10)?).ok()?;
            *digit = b'0'.checked_add(last)?;
            number = number.checked_div(10)?;
        }
        (number == 0).then_some(Self(digits))
    }

    fn padded(text: &str, skipped: usize) -> Option<Self> {
        let fits = text.len() <= N && text.bytes().all(is_printable);
        let mut bytes = [b' '; N];
        for (to, from) in bytes.iter_mut().skip(skipped).zip(text.bytes()) {
            *to = from;
        }
        fits.then_some(Self(bytes))
    }

    /// The whole text, with its padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text without blanks at its ends.
    #[must_use]
    pub fn trimmed(&self) -> &str {
        self.as_str().trim_matches(' ')
    }

    /// Whether there is nothing but blanks.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(|byte| *byte == b' ')
    }

    /// The number it spells, if every character is a digit; 18 digits at most.
    #[must_use]
    pub fn digits(&self) -> Option<u64> {
        if N > 18 {
            return None;
        }
        self.0.iter().try_fold(0_u64, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| byte.checked_sub(b'0'))??;
            number.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }

    /// The characters.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::BLANK
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.trimmed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(Text::<4>::left("0042").unwrap().digits(), Some(42));
        for bad in ["42", " 042", "4 42", "-042", "+042", "4.42", "0x42", "    "] {
            assert_eq!(Text::<4>::left(bad).unwrap().digits(), None, "{bad:?}");
        }
        assert_eq!(Text::<4>::number(42).unwrap().as_str(), "0042");
        assert_eq!(Text::<4>::number(10_000), None);
    }

    #[test]
    fn a_record_has_94_printable_characters_whatever_comes_in() {
        const NAME: Field<5> = Field::new("name", 90);
        for line in [&b""[..], b"\x00\xff\t", &[b'x'; 300]] {
            let record = Record::of(line);
            assert!(record.bytes().iter().all(|byte| is_printable(*byte)), "{line:?}");
            assert_eq!(record.text(NAME).as_str().len(), 5);
        }
        assert_eq!(Record::of(b"\x00\xff\t").text(Field::<4>::new("start", 1)).as_str(), "??? ");
    }
}
