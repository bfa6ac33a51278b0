//! Owns how the bytes of a file fall into lines: at line breaks (LF or CRLF), or every 94 bytes where there are none.
//!
//! Line ends at the very end of the file are dropped: an empty last line is no record.

use crate::core::ach::text::RECORD_LEN;

/// Where one line ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// At each LF, with a CR before it dropped.
    AtBreaks,
    /// Every 94 bytes: the file has no line break.
    EveryRecord,
}

/// The lines of a file, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    cut: Cut,
    number: usize,
}

/// One line of a file, without its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

impl Line<'_> {
    /// The first byte: which record it is.
    pub(super) fn kind(&self) -> Option<u8> {
        self.bytes.first().copied()
    }
}

impl<'a> Lines<'a> {
    /// The lines of a whole file.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut rest = bytes;
        while let [before @ .., b'\n' | b'\r'] = rest {
            rest = before;
        }
        let broken = rest.len() <= RECORD_LEN || rest.contains(&b'\n');
        Self { rest, cut: if broken { Cut::AtBreaks } else { Cut::EveryRecord }, number: 0 }
    }

    /// How the file is cut.
    pub(super) const fn cut(&self) -> Cut {
        self.cut
    }

    /// How long the next line is, with the bytes that part it from the one after.
    fn next_end(&self) -> (usize, usize) {
        let all = self.rest.len();
        match self.cut {
            Cut::EveryRecord => (RECORD_LEN.min(all), RECORD_LEN.min(all)),
            // Nearly every line has 94 characters, so look there before searching.
            Cut::AtBreaks => {
                let usual = self.rest.get(RECORD_LEN) == Some(&b'\n')
                    && self.rest.get(..RECORD_LEN).is_some_and(|line| !line.contains(&b'\n'));
                let end = if usual { Some(RECORD_LEN) } else { self.rest.iter().position(|byte| *byte == b'\n') };
                end.map_or((all, all), |end| (end, end.saturating_add(1)))
            }
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (end, next) = self.next_end();
        let mut bytes = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(next..).unwrap_or_default();
        if let (Cut::AtBreaks, [before @ .., b'\r']) = (self.cut, bytes) {
            bytes = before;
        }
        self.number = self.number.saturating_add(1);
        Some(Line { number: self.number, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        Lines::of(bytes).map(|line| (line.number, line.bytes.to_vec())).collect()
    }

    #[test]
    fn line_ends_are_lf_or_crlf_and_the_last_ones_are_no_lines() {
        let expected = vec![(1, b"ab".to_vec()), (2, Vec::new()), (3, b"c".to_vec())];
        for text in ["ab\n\nc", "ab\r\n\r\nc\r\n", "ab\n\nc\n\n\r\n\n"] {
            assert_eq!(lines(text.as_bytes()), expected, "{text:?}");
        }
        assert!(lines(b"").is_empty());
        assert!(lines(b"\r\n\n").is_empty());
    }

    #[test]
    fn a_file_without_breaks_is_cut_every_94_bytes() {
        let bytes = [[b'1'; 94].as_slice(), &[b'9'; 94], b"55\n"].concat();
        let cut = lines(&bytes);
        assert_eq!(cut.iter().map(|(_, line)| line.len()).collect::<Vec<_>>(), [94, 94, 2]);
        assert_eq!(Lines::of(&bytes).cut(), Cut::EveryRecord);
    }
}
