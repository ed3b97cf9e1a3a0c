//! Base64 in headers, by RFC 4648.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |number, at| number << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = number >> (18 - 6 * at) & 63;
            text.push(if at > group.len() { '=' } else { char::from(STANDARD[digit as usize]) });
        }
    }
    text
}

/// Encodes with padding, in the alphabet for URLs.
pub fn encode_url(bytes: &[u8]) -> String {
    encode(bytes).replace('+', "-").replace('/', "_")
}

/// Decodes either alphabet, with padding or without; none if it is no base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut number = 0_u32;
        for digit in group {
            let value = STANDARD.iter().position(|known| known == digit)?;
            number = number << 6 | u32::try_from(value).ok()?;
        }
        let count = group.len().checked_sub(1).filter(|count| *count > 0)?;
        let shifted = number << (6 * (4 - group.len()));
        bytes.extend_from_slice(&shifted.to_be_bytes()[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_specification_are_encoded_and_decoded() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(plain.as_bytes()));
            assert_eq!(decode(encoded.trim_end_matches('=')).as_deref(), Some(plain.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode_url(b"\xff\xfe"), "__4=");
        assert_eq!(decode("__4=").as_deref(), Some(&b"\xff\xfe"[..]));
        for text in ["Z", "Zm9v*", "Zm9vY", "ä"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
