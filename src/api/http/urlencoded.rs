//! Owns the reading of `application/x-www-form-urlencoded`: query strings and the token endpoint's form.

/// A percent sign without two hexadecimal digits, or bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not well formed: a broken percent escape or not UTF-8")]
pub(crate) struct NotUrlEncoded;

/// The pairs in order, repetitions included. A part without `=` has an empty value; empty parts are skipped.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, NotUrlEncoded> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// One percent-decoded text; `+` is a blank.
pub(crate) fn decode(text: &str) -> Result<String, NotUrlEncoded> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(digit).ok_or(NotUrlEncoded)?;
                let low = bytes.next().and_then(digit).ok_or(NotUrlEncoded)?;
                (high << 4) | low
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| NotUrlEncoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_order() {
        let expected = [("a b", "c&d"), ("a b", ""), ("é", "1")];
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs("a+b=c%26d&&a%20b&%C3%a9=1"), Ok(expected));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%+1=2"] {
            assert_eq!(pairs(bad), Err(NotUrlEncoded), "{bad}");
        }
    }
}
