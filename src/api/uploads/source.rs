//! Owns an upload's bytes: taken from the body as they come, inflated where they are compressed, and bounded.

use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::api::error::ApiError;
use crate::api::http::headers::content_length;
use crate::api::uploads::room::Taken;

/// How long a body may be silent.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Compressed bytes that are inflated at once: DEFLATE makes at most about a thousand bytes of one, so at most 4 MiB.
const INFLATE_STEP: usize = 4 * 1024;
/// How many bytes one compressed byte may stand for. Payments in any of our formats compress 10 to 60 times.
const RATIO_MAX: u64 = 200;
/// Up to here no ratio is judged.
const RATIO_FREE: u64 = 1024 * 1024;
/// How a gzip member begins.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An upload's bytes.
pub(crate) struct Source {
    body: Body,
    inflate: Option<MultiGzDecoder<Vec<u8>>>,
    /// Compressed bytes that came and are not inflated yet: what they become is given out step by step.
    waiting: Bytes,
    /// Bytes as they came.
    came: u64,
    /// Bytes given out.
    given: u64,
    most: u64,
    /// When the body last said something.
    heard: Instant,
}

impl Source {
    /// The bytes of a body; `most` bounds them after inflating.
    ///
    /// # Errors
    /// A content encoding other than gzip, or more announced than `most`.
    pub(crate) fn of(headers: &HeaderMap, body: Body, most: u64) -> Result<Self, ApiError> {
        let mut is_gzip = false;
        for encoding in headers.get_all(CONTENT_ENCODING) {
            match encoding.as_bytes() {
                plain if plain.eq_ignore_ascii_case(b"identity") => {}
                gzip if gzip.eq_ignore_ascii_case(b"gzip") && !is_gzip => is_gzip = true,
                _ => return Err(ApiError::UnsupportedMediaType),
            }
        }
        if content_length(headers).is_some_and(|length| length > most) {
            return Err(ApiError::PayloadTooLarge);
        }
        let inflate = is_gzip.then(|| MultiGzDecoder::new(Vec::new()));
        Ok(Self { body, inflate, waiting: Bytes::new(), came: 0, given: 0, most, heard: Instant::now() })
    }

    /// The next bytes; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Silent for 30 s, broken off, badly compressed, or too large.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let data = if !self.waiting.is_empty() {
                self.inflated()?
            } else if let Some(data) = self.frame().await? {
                self.plain(data)?
            } else {
                return self.end();
            };
            self.given = self.given.saturating_add(length(&data));
            if self.given > self.most {
                return Err(ApiError::PayloadTooLarge);
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// What the body says next.
    async fn frame(&mut self) -> Result<Option<Bytes>, ApiError> {
        let frame = tokio::time::timeout(IDLE_MAX.saturating_sub(self.heard.elapsed()), self.body.frame()).await;
        self.heard = Instant::now();
        let Some(frame) = frame.map_err(|_| ApiError::RequestTimeout)? else { return Ok(None) };
        let frame = frame.map_err(|_| ApiError::InvalidRequest("the body broke off or is not well framed"))?;
        Ok(Some(frame.into_data().unwrap_or_default()))
    }

    /// All bytes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) async fn whole(self) -> Result<Bytes, ApiError> {
        self.gathered(None).await
    }

    /// All bytes, which take room as they come: no more than one step of inflating is without.
    ///
    /// # Errors
    /// As [`Self::next`], or there is no room.
    pub(crate) async fn whole_in(self, room: &mut Taken) -> Result<Bytes, ApiError> {
        self.gathered(Some(room)).await
    }

    async fn gathered(mut self, mut room: Option<&mut Taken>) -> Result<Bytes, ApiError> {
        let (mut first, mut all) = (Bytes::new(), Vec::new());
        while let Some(more) = self.next().await? {
            if let Some(room) = &mut room {
                room.grow_to(self.given).await?;
            }
            // What comes in one piece is not copied.
            if first.is_empty() && all.is_empty() {
                first = more;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&more);
            }
        }
        Ok(if all.is_empty() { first } else { all.into() })
    }

    /// Bytes as they came, if they are not compressed; otherwise they wait.
    fn plain(&mut self, data: Bytes) -> Result<Bytes, ApiError> {
        let before = self.came;
        self.came = before.saturating_add(length(&data));
        if self.inflate.is_none() {
            return Ok(data);
        }
        let magic = GZIP_MAGIC.iter().skip(usize::try_from(before).unwrap_or(usize::MAX));
        if magic.zip(&data).any(|(expected, byte)| expected != byte) {
            return Err(ApiError::UnsupportedMediaType);
        }
        self.waiting = data;
        Ok(Bytes::new())
    }

    /// What the next step of those that wait becomes.
    fn inflated(&mut self) -> Result<Bytes, ApiError> {
        let step = self.waiting.split_to(INFLATE_STEP.min(self.waiting.len()));
        let Some(decoder) = &mut self.inflate else { return Ok(step) };
        decoder.write_all(&step).map_err(|_| ApiError::InvalidRequest("the body is not well compressed"))?;
        let inflated = std::mem::take(decoder.get_mut());
        let total = self.given.saturating_add(length(&inflated));
        if total > RATIO_FREE && total > self.came.saturating_mul(RATIO_MAX) {
            return Err(ApiError::PayloadTooLarge);
        }
        Ok(inflated.into())
    }

    /// What the decoder still holds.
    fn end(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(decoder) = self.inflate.take() else { return Ok(None) };
        if self.came == 0 {
            return Ok(None);
        }
        let rest = decoder.finish().map_err(|_| ApiError::InvalidRequest("the compressed body is cut short"))?;
        self.given = self.given.saturating_add(length(&rest));
        if self.given > self.most {
            return Err(ApiError::PayloadTooLarge);
        }
        Ok((!rest.is_empty()).then(|| rest.into()))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::api::uploads::room::{Room, RoomLimits};

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn encoded(encoding: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers
    }

    async fn read(encoding: &'static str, body: Vec<u8>, most: u64) -> Result<Bytes, ApiError> {
        Source::of(&encoded(encoding), body.into(), most)?
            .whole_in(&mut Room::new(RoomLimits::default()).for_body())
            .await
    }

    #[tokio::test]
    async fn a_compressed_body_reads_as_the_plain_one() {
        let text = b"one\ntwo\n".repeat(1000);
        assert_eq!(read("identity", text.clone(), 10_000).await.unwrap(), text);
        assert_eq!(read("gzip", zipped(&text), 10_000).await.unwrap(), text);
        let members = [zipped(b"one\n"), zipped(b"two\n")].concat();
        assert_eq!(read("gzip", members, 10_000).await.unwrap(), "one\ntwo\n");
    }

    /// So many numbers that compress a little.
    fn noise(numbers: u32) -> Vec<u8> {
        (0..numbers).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    }

    /// However much comes at once, it is inflated as it is asked for, and so finds room as it grows.
    #[tokio::test]
    async fn a_compressed_frame_is_given_out_step_by_step() {
        let text = noise(200_000);
        let mut source = Source::of(&encoded("gzip"), zipped(&text).into(), u64::MAX).unwrap();
        let mut pieces: Vec<Bytes> = Vec::new();
        while let Some(piece) = source.next().await.unwrap() {
            pieces.push(piece);
        }
        assert!(pieces.iter().all(|piece| piece.len() < 100_000), "{} pieces of {}", pieces.len(), text.len());
        assert_eq!(pieces.concat(), text);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_told_to_come_again() {
        let room = Room::new(RoomLimits { mebibytes: 1, within: Duration::from_millis(20), ..RoomLimits::default() });
        let read = async |numbers: u32| {
            let source = Source::of(&encoded("gzip"), zipped(&noise(numbers)).into(), u64::MAX).unwrap();
            source.whole_in(&mut room.for_body()).await.map(|bytes| bytes.len())
        };
        assert_eq!(read(256 * 1024).await.unwrap(), 1024 * 1024);
        assert!(matches!(read(256 * 1024 + 1).await, Err(ApiError::Overloaded)));
        assert_eq!(read(256 * 1024).await.unwrap(), 1024 * 1024, "nothing is held any more");
    }

    #[tokio::test]
    async fn what_is_no_gzip_is_refused() {
        let cut = zipped(b"one\n");
        let cut = cut[..cut.len() - 4].to_vec();
        assert!(matches!(read("gzip", cut, 100).await, Err(ApiError::InvalidRequest(_))));
        assert!(matches!(read("gzip", b"PK\x03\x04".to_vec(), 100).await, Err(ApiError::UnsupportedMediaType)));
        assert!(matches!(read("br", Vec::new(), 100).await, Err(ApiError::UnsupportedMediaType)));
    }

    #[tokio::test]
    async fn a_bomb_stops_early_and_a_limit_holds() {
        let bomb = zipped(&vec![b' '; 64 * 1024 * 1024]);
        assert!(matches!(read("gzip", bomb, u64::MAX).await, Err(ApiError::PayloadTooLarge)));
        assert!(matches!(read("identity", vec![b' '; 101], 100).await, Err(ApiError::PayloadTooLarge)));
    }
}
