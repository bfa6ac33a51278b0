//! Owns the floods of HTTP/2, frame by frame.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::raw::read_all;
use super::stories::{Story, Told, hold};
use super::world::World;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Frames of one flood.
const FLOOD: u32 = 10_000;

/// The floods.
pub(super) const STORIES: &[Story] = &[
    Story { number: "27", name: "rapid reset", stores: 0, run: |world| Box::pin(rapid_reset(world)) },
    Story { number: "27", name: "a flood of CONTINUATION", stores: 0, run: |world| Box::pin(continuations(world)) },
    Story { number: "27", name: "a flood of empty DATA", stores: 0, run: |world| Box::pin(empty_data(world)) },
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A string of HPACK, not compressed.
fn text(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(value.len()) {
        Ok(length) if length < 127 => bytes.push(length),
        _ => {
            bytes.push(127);
            let mut rest = value.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// Method (an index of the static table), scheme, authority and path.
fn request(method: u8, path: &str) -> Vec<u8> {
    [&[method, 0x86, 0x01][..], &text("hpts.test"), &[0x04], &text(path)].concat()
}

fn beginning() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Sends the bytes; answers the kinds of frames that come back until one of `last`, and whether the connection ended.
async fn flood(world: &World, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let write = async { writer.write_all(bytes).await.is_ok() };
    let (_written, (received, closed)) = tokio::join!(write, read_all(&mut reader, Duration::from_secs(5)));
    let mut kinds = Vec::new();
    let mut rest = &received[..];
    while let [a, b, c, kind, tail @ ..] = rest {
        kinds.push(*kind);
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        rest = tail.get(5 + length..).unwrap_or(&[]);
    }
    (kinds, closed)
}

/// The flood is told to go away, and the server goes on for others.
async fn sent_away(world: &World, bytes: &[u8]) -> Told {
    let (kinds, closed) = flood(world, bytes).await;
    if !kinds.contains(&GO_AWAY) && !closed {
        return Err(format!("no GOAWAY among the frames {kinds:?}"));
    }
    serves(world).await
}

async fn serves(world: &World) -> Told {
    let answer = world.get("/v1/health/live", "").await;
    hold(answer.status == 200, "the server must go on", &answer)
}

async fn rapid_reset(world: &World) -> Told {
    let mut bytes = beginning();
    let head = request(0x82, "/v1/health/ready");
    for number in 0..FLOOD {
        let stream = 2 * number + 1;
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
        bytes.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
    }
    sent_away(world, &bytes).await
}

async fn continuations(world: &World) -> Told {
    let mut bytes = beginning();
    bytes.extend(frame(HEADERS, END_STREAM, 1, &request(0x82, "/v1/health/live")));
    for number in 0..FLOOD {
        let header = [&[0x00][..], &text(&format!("x-{number}")), &text("filler")].concat();
        bytes.extend(frame(CONTINUATION, 0, 1, &header));
    }
    sent_away(world, &bytes).await
}

async fn empty_data(world: &World) -> Told {
    let literal = |name: &str, value: &str| [&[0x00][..], &text(name), &text(value)].concat();
    let head = [
        request(0x83, "/v1/payments"),
        literal("authorization", &format!("Bearer {}", world.facts.demo)),
        literal("content-type", "application/json"),
        literal("idempotency-key", &format!("story:{}", Uuid::new_v4())),
    ];
    let mut bytes = beginning();
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &head.concat()));
    for _ in 0..FLOOD {
        bytes.extend(frame(DATA, 0, 1, &[]));
    }
    bytes.extend(frame(DATA, END_STREAM, 1, b"{"));
    let (kinds, closed) = flood(world, &bytes).await;
    // Empty frames cost nothing that is kept: they may be borne to their end, or be sent away.
    if !kinds.iter().any(|kind| [HEADERS, GO_AWAY].contains(kind)) && !closed {
        return Err(format!("neither an answer nor GOAWAY among the frames {kinds:?}"));
    }
    serves(world).await
}
