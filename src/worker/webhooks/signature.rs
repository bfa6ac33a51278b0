//! Owns the signature of a message, as Standard Webhooks defines it: HMAC-SHA256 over id, time and body.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Begins every secret.
const PREFIX: &[u8] = b"whsec_";

/// The value of `webhook-signature`: one signature per secret, so that a receiver that has either can verify. `None`
/// where a secret is not one.
pub(super) fn signatures(secrets: &[Vec<u8>], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let signed = [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat();
    let of = |secret: &Vec<u8>| {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        let tag = sign(&Key::new(HMAC_SHA256, &key), &signed);
        Some(format!("v1,{}", STANDARD.encode(tag)))
    };
    let signatures: Option<Vec<String>> = secrets.iter().map(of).collect();
    signatures.filter(|all| !all.is_empty()).map(|all| all.join(" "))
}

#[cfg(test)]
mod tests {
    use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

    use super::*;
    use crate::runtime::clock::Clock;

    /// The examples of the specification and of its reference libraries.
    #[test]
    fn published_examples_come_out() {
        for (secret, id, timestamp, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_plJ3nmyCDGBKInavdOK15jsl",
                "msg_loFOjxBNrRLzqYUf",
                1_731_705_121,
                r#"{"event_type":"ping","data":{"success":true}}"#,
                "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
            ),
        ] {
            let secrets = [secret.as_bytes().to_vec()];
            assert_eq!(signatures(&secrets, id, timestamp, body.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_public_library_verifies_with_either_secret() {
        let now = Clock::system().now().utc().timestamp();
        let secrets = [[7_u8; 32], [9; 32]].map(|bytes| format!("whsec_{}", STANDARD.encode(bytes)).into_bytes());
        let value = signatures(&secrets, "msg_1", now, b"{}").unwrap();
        assert_eq!(value.split(' ').count(), 2);
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, "msg_1".parse().unwrap());
        headers.insert(HEADER_WEBHOOK_TIMESTAMP, now.to_string().parse().unwrap());
        headers.insert(HEADER_WEBHOOK_SIGNATURE, value.parse().unwrap());
        for secret in &secrets {
            let webhook = Webhook::new(std::str::from_utf8(secret).unwrap()).unwrap();
            assert!(webhook.verify(b"{}", &headers).is_ok());
            assert!(webhook.verify(b"{ }", &headers).is_err());
        }
        let other = Webhook::from_bytes(vec![1; 32]).unwrap();
        assert!(other.verify(b"{}", &headers).is_err());
    }

    #[test]
    fn nothing_is_signed_with_what_is_no_secret() {
        for bad in ["", "whsec_?", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(signatures(&[bad.as_bytes().to_vec()], "msg_1", 1, b""), None, "{bad}");
        }
        assert_eq!(signatures(&[], "msg_1", 1, b""), None);
    }
}
