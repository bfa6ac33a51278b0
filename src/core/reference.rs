//! Owns the form of references and short texts of callers.

/// The most characters of one.
pub const REFERENCE_CHARS_MAX: usize = 255;

/// A text is not a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 printable characters")]
pub struct NotAReference;

/// Reads 1 to 255 printable characters.
///
/// # Errors
/// [`NotAReference`] for any other text.
pub fn parse_reference(text: &str) -> Result<String, NotAReference> {
    let is_printable = |character: char| !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}');
    // 255 characters are at most 1020 bytes: a longer text needs no counting.
    let well_formed = !text.is_empty()
        && text.chars().take(REFERENCE_CHARS_MAX.saturating_add(1)).count() <= REFERENCE_CHARS_MAX
        && text.chars().all(is_printable);
    well_formed.then(|| text.to_owned()).ok_or(NotAReference)
}
