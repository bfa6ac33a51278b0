//! Owns the reading of a key set (RFC 7517): which of its keys verify tokens, and with what algorithm. Pure.
//!
//! | key | used with |
//! | --- | --- |
//! | `RSA`, 2048 to 8192 bits | its `alg`: RS256, RS384, RS512, PS256, PS384 or PS512; RS256 where it names none |
//! | `EC`, P-256 or P-384 | ES256 or ES384 |
//! | `OKP`, Ed25519 | `EdDSA` |
//!
//! Any other key is left out, with the reason: a symmetric one (whoever verifies with it could sign with it), one for
//! encryption, one without an id, one that is too weak, one whose parts make no key. One bad key does not harm the
//! others.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::api::auth::keys::{KeySet, VerifyingKey};

/// The smallest modulus: shorter ones can be factored by those who care enough.
const RSA_BITS_MIN: u64 = 2048;
/// The largest modulus that is verified with.
const RSA_BITS_MAX: u64 = 8192;

/// What a key set holds for us.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) keys: KeySet,
    /// The keys that are left out, in the set's order.
    pub(super) left_out: Vec<LeftOut>,
}

/// A key that does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Empty where it names none.
    pub(super) kid: String,
    pub(super) why: &'static str,
    pub(super) gravity: Gravity,
}

/// Whether a person should look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gravity {
    /// The key is there for another purpose.
    Expected,
    /// The issuer means it for us, and it cannot be used.
    Fault,
}

/// Why a key does not verify.
type Unusable = (Gravity, &'static str);

/// The document.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The members we look at.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part of any asymmetric key.
    d: Option<IgnoredAny>,
}

/// Reads a key set.
///
/// # Errors
/// It is not a key set at all.
pub(super) fn read(document: &[u8]) -> Result<Reading, serde_json::Error> {
    let set: Set = serde_json::from_slice(document)?;
    let mut verifying: Vec<VerifyingKey> = Vec::new();
    let mut left_out = Vec::new();
    for member in set.keys {
        let kid = member.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_known = verifying.iter().any(|key| key.kid == kid);
        let repeated = Err((Gravity::Fault, "another key has the same id"));
        match if is_known { repeated } else { key(member) } {
            Ok(key) => verifying.push(key),
            Err((gravity, why)) => left_out.push(LeftOut { kid, why, gravity }),
        }
    }
    Ok(Reading { keys: KeySet::of(verifying), left_out })
}

fn key(member: Value) -> Result<VerifyingKey, Unusable> {
    let jwk: Jwk = serde_json::from_value(member).map_err(|_unreadable| fault("it is not a key"))?;
    if jwk.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Err((Gravity::Expected, "it is not for signatures"));
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
        return Err((Gravity::Expected, "it is not for verifying"));
    }
    let kid = jwk.kid.clone().filter(|kid| !kid.is_empty()).ok_or(fault("it has no id"))?;
    if jwk.d.is_some() {
        return Err(fault("its private part is published"));
    }
    let (algorithm, key) = match jwk.kty.as_str() {
        "RSA" => rsa(&jwk)?,
        "EC" => elliptic(&jwk)?,
        "OKP" => edwards(&jwk)?,
        "oct" => return Err(fault("it is symmetric")),
        _ => return Err((Gravity::Expected, "its type is not known")),
    };
    Ok(VerifyingKey { kid, algorithm, key })
}

const fn fault(why: &'static str) -> Unusable {
    (Gravity::Fault, why)
}

fn rsa(jwk: &Jwk) -> Result<(Algorithm, DecodingKey), Unusable> {
    let algorithm = match jwk.alg.as_deref() {
        None | Some("RS256") => Algorithm::RS256,
        Some("RS384") => Algorithm::RS384,
        Some("RS512") => Algorithm::RS512,
        Some("PS256") => Algorithm::PS256,
        Some("PS384") => Algorithm::PS384,
        Some("PS512") => Algorithm::PS512,
        Some(_) => return Err((Gravity::Expected, "its algorithm is not known")),
    };
    let (modulus, exponent) = (number(jwk.n.as_deref())?, number(jwk.e.as_deref())?);
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = u64::try_from(modulus.len()).unwrap_or(u64::MAX).saturating_mul(8).saturating_sub(unused.into());
    if bits < RSA_BITS_MIN {
        return Err(fault("it is shorter than 2048 bits"));
    }
    if bits > RSA_BITS_MAX {
        return Err(fault("it is longer than 8192 bits"));
    }
    let is_odd = exponent.last().is_some_and(|last| last & 1 == 1);
    if !is_odd || exponent == [1] {
        return Err(fault("its exponent is not sound"));
    }
    // The hash is no part of the key: one algorithm stands for all.
    let components = RsaPublicKeyComponents { n: &modulus, e: &exponent };
    components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).map_err(|_rejected| fault("its parts make no key"))?;
    Ok((algorithm, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
}

/// A positive number. Leading zeros do not belong there, and do no harm.
fn number(text: Option<&str>) -> Result<Vec<u8>, Unusable> {
    let bytes = octets(text)?;
    let number: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    if number.is_empty() { Err(fault("its parts make no key")) } else { Ok(number) }
}

fn elliptic(jwk: &Jwk) -> Result<(Algorithm, DecodingKey), Unusable> {
    let (algorithm, name, length, law): (_, _, _, &'static dyn VerificationAlgorithm) = match jwk.crv.as_deref() {
        Some("P-256") => (Algorithm::ES256, "ES256", 32, &ECDSA_P256_SHA256_FIXED),
        Some("P-384") => (Algorithm::ES384, "ES384", 48, &ECDSA_P384_SHA384_FIXED),
        Some(_) | None => return Err((Gravity::Expected, "its curve is not known")),
    };
    if jwk.alg.as_deref().is_some_and(|alg| alg != name) {
        return Err((Gravity::Expected, "its algorithm is not known"));
    }
    let (x, y) = (octets(jwk.x.as_deref())?, octets(jwk.y.as_deref())?);
    if x.len() != length || y.len() != length {
        return Err(fault("its parts make no key"));
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(law, &point).map_err(|_rejected| fault("its parts make no key"))?;
    Ok((algorithm, DecodingKey::from_ec_der(&point)))
}

fn edwards(jwk: &Jwk) -> Result<(Algorithm, DecodingKey), Unusable> {
    if jwk.crv.as_deref() != Some("Ed25519") {
        return Err((Gravity::Expected, "its curve is not known"));
    }
    if jwk.alg.as_deref().is_some_and(|alg| alg != "EdDSA") {
        return Err((Gravity::Expected, "its algorithm is not known"));
    }
    let point = octets(jwk.x.as_deref())?;
    ParsedPublicKey::new(&ED25519, &point).map_err(|_rejected| fault("its parts make no key"))?;
    Ok((Algorithm::EdDSA, DecodingKey::from_ed_der(&point)))
}

fn octets(text: Option<&str>) -> Result<Vec<u8>, Unusable> {
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.ok_or(fault("its parts make no key"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;

    fn base64(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ec(law: &'static EcdsaSigningAlgorithm, crv: &str) -> Value {
        let length = if crv == "P-256" { 32 } else { 48 };
        let document = EcdsaKeyPair::generate_pkcs8(law, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(law, document.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(length);
        json!({"kty": "EC", "kid": crv, "crv": crv, "x": base64(x), "y": base64(y)})
    }

    fn ed() -> Value {
        let pair = Ed25519KeyPair::generate().unwrap();
        json!({"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": base64(pair.public_key())})
    }

    fn rsa_2048() -> Value {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus().big_endian_without_leading_zero().to_vec(), public.exponent());
        json!({"kty": "RSA", "kid": "rsa", "n": base64(n), "e": base64(e.big_endian_without_leading_zero())})
    }

    fn with(key: &Value, name: &str, value: Value) -> Value {
        let mut changed = key.clone();
        changed[name] = value;
        changed
    }

    fn reading(keys: &[Value]) -> Reading {
        read(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    fn algorithm(key: &Value) -> Algorithm {
        let reading = reading(std::slice::from_ref(key));
        assert!(reading.left_out.is_empty(), "{reading:?}");
        reading.keys.find(key["kid"].as_str().unwrap()).unwrap().algorithm
    }

    fn refusal(key: &Value) -> (Gravity, &'static str) {
        let reading = reading(std::slice::from_ref(key));
        assert!(reading.keys.is_empty(), "{key}");
        (reading.left_out[0].gravity, reading.left_out[0].why)
    }

    #[test]
    fn the_key_names_its_algorithm() {
        assert_eq!(algorithm(&ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")), Algorithm::ES256);
        assert_eq!(algorithm(&ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")), Algorithm::ES384);
        assert_eq!(algorithm(&ed()), Algorithm::EdDSA);
        let rsa = rsa_2048();
        assert_eq!(algorithm(&rsa), Algorithm::RS256);
        assert_eq!(algorithm(&with(&rsa, "alg", json!("PS256"))), Algorithm::PS256);
        let padded = [vec![0], URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap()].concat();
        assert_eq!(algorithm(&with(&rsa, "n", json!(base64(padded)))), Algorithm::RS256, "a leading zero");
        let signs = with(&with(&rsa, "use", json!("sig")), "key_ops", json!(["verify"]));
        assert_eq!(algorithm(&signs), Algorithm::RS256);
    }

    #[test]
    fn keys_for_other_purposes_are_left_out() {
        let (p256, ed) = (ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"), ed());
        for other in [
            with(&p256, "use", json!("enc")),
            with(&p256, "key_ops", json!(["sign", "deriveKey"])),
            with(&p256, "alg", json!("ECDH-ES")),
            with(&p256, "alg", json!("HS256")),
            with(&p256, "crv", json!("secp256k1")),
            with(&ed, "crv", json!("Ed448")),
            with(&ed, "alg", json!("ES256")),
            with(&ed, "kty", json!("AKP")),
        ] {
            assert_eq!(refusal(&other).0, Gravity::Expected, "{other}");
        }
    }

    #[test]
    fn keys_that_cannot_be_trusted_are_left_out_loudly() {
        let (p256, ed, rsa) = (ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"), ed(), rsa_2048());
        let short = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap()[..255].to_vec();
        let faults = [
            (json!({"kty": "oct", "kid": "h", "k": "c2VjcmV0"}), "it is symmetric"),
            (json!({"kid": "no type"}), "it is not a key"),
            (json!("text"), "it is not a key"),
            (with(&p256, "kid", Value::Null), "it has no id"),
            (with(&p256, "kid", json!("")), "it has no id"),
            (with(&p256, "d", json!("AAAA")), "its private part is published"),
            (with(&p256, "x", p256["y"].clone()), "its parts make no key"),
            (with(&p256, "y", json!("AAAA")), "its parts make no key"),
            (with(&p256, "x", json!("not base64!")), "its parts make no key"),
            (with(&ed, "x", json!("AAAA")), "its parts make no key"),
            (with(&ed, "x", Value::Null), "its parts make no key"),
            (with(&rsa, "n", json!(base64(short))), "it is shorter than 2048 bits"),
            (with(&rsa, "n", json!(base64(vec![0xff; 1025]))), "it is longer than 8192 bits"),
            (with(&rsa, "e", json!("AQ")), "its exponent is not sound"),
            (with(&rsa, "e", json!("AQAA")), "its exponent is not sound"),
            (with(&rsa, "e", json!("AA")), "its parts make no key"),
        ];
        for (key, why) in faults {
            assert_eq!(refusal(&key), (Gravity::Fault, why), "{key}");
        }
    }

    #[test]
    fn one_bad_key_does_not_harm_the_others() {
        let (p256, ed) = (ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"), ed());
        let twin = with(&ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"), "kid", json!("ed"));
        let reading = reading(&[json!(5), p256, ed, twin]);
        assert_eq!(reading.keys.kids(), ["P-256", "ed"]);
        assert_eq!(reading.left_out.len(), 2);
        assert_eq!(reading.keys.find("ed").unwrap().algorithm, Algorithm::EdDSA, "of two with one id, the first");
        for bad in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
