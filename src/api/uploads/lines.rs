//! Owns the step from bytes to lines: any line end, no line longer than 64 KiB, whatever the bytes are cut into.

use axum::body::Bytes;

/// The longest line.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;
/// A byte order mark, which some editors put first.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// One line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it came.
    Text(Bytes),
    /// Longer than [`LINE_BYTES_MAX`]; its bytes are gone.
    TooLong,
}

/// Bytes on their way to lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What was pushed and not yet taken as a line.
    bytes: Bytes,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether the line that has begun is too long already.
    is_too_long: bool,
    began: bool,
}

impl Lines {
    /// Adds bytes; only when [`Self::next`] has nothing more.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.bytes = bytes;
    }

    /// The next whole line of what was pushed.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let Some(end) = memchr::memchr(b'\n', &self.bytes) else {
            let rest = std::mem::take(&mut self.bytes);
            self.begin(&rest);
            return None;
        };
        let line = self.bytes.split_to(end);
        // The line end itself.
        let _end = self.bytes.split_to(1);
        Some(self.joined(line))
    }

    /// The last line, where the file does not end with a line end.
    pub(crate) fn last(&mut self) -> Option<Line> {
        let is_there = self.is_too_long || !self.begun.is_empty();
        is_there.then(|| self.joined(Bytes::new()))
    }

    fn begin(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.begun.len().saturating_add(bytes.len()) > LINE_BYTES_MAX.saturating_add(BOM.len()) {
            self.is_too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn joined(&mut self, line: Bytes) -> Line {
        let mut line = line;
        if self.is_too_long || !self.begun.is_empty() {
            self.begin(&line);
            if std::mem::take(&mut self.is_too_long) {
                self.began = true;
                return Line::TooLong;
            }
            line = std::mem::take(&mut self.begun).into();
        }
        if !std::mem::replace(&mut self.began, true) && line.starts_with(BOM) {
            line = line.slice(BOM.len()..);
        }
        if line.ends_with(b"\r") {
            line.truncate(line.len().saturating_sub(1));
        }
        if line.len() > LINE_BYTES_MAX { Line::TooLong } else { Line::Text(line) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(Bytes::copy_from_slice(piece));
            seen.extend(std::iter::from_fn(|| lines.next()));
        }
        seen.extend(lines.last());
        seen
    }

    fn text(text: &str) -> Line {
        Line::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn any_line_end_and_a_mark_are_taken() {
        let seen = lines(&["\u{feff}a\r\nb\n\nc\u{2028}d\r\ne".as_bytes()]);
        assert_eq!(seen, [text("a"), text("b"), text(""), text("c\u{2028}d"), text("e")]);
        assert_eq!(lines(&[b""]), []);
        assert_eq!(lines(&[b"\n"]), [text("")]);
    }

    #[test]
    fn a_long_line_is_left_out_and_the_next_one_read() {
        let most = "x".repeat(LINE_BYTES_MAX);
        let over = "y".repeat(LINE_BYTES_MAX + 1);
        let file = format!("{most}\n{over}\nz\n{over}");
        assert_eq!(lines(&[file.as_bytes()]), [text(&most), Line::TooLong, text("z"), Line::TooLong]);
        let pieces: Vec<&[u8]> = file.as_bytes().chunks(10_000).collect();
        assert_eq!(lines(&pieces), [text(&most), Line::TooLong, text("z"), Line::TooLong]);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(file in "[ab\r\n]{0,60}", size in 1_usize..20) {
            let pieces: Vec<&[u8]> = file.as_bytes().chunks(size).collect();
            prop_assert_eq!(lines(&pieces), lines(&[file.as_bytes()]));
        }
    }
}
