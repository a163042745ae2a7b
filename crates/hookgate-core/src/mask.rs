//! What must not be seen: credentials inside bodies, and characters that deceive.

mod bytes;

use serde_json::Value;

pub use self::bytes::Masker;

/// Keys whose values are credentials, wherever they stand in a body. Compared without
/// case, `_` and `-`. Sources: MightyCall's `ApiKey`; Vapi's Twilio credentials,
/// `controlUrl`, `listenUrl`, `server.secret` and `server.headers`; Retell's
/// `access_token`; ElevenLabs' Twilio body.
const CREDENTIAL_KEYS: [&str; 18] = [
    "apikey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "twilioauthtoken",
    "twilioapikey",
    "twilioapisecret",
    "twilioaccountsid",
    "accountsid",
    "controlurl",
    "listenurl",
    "secret",
    "clientsecret",
    "apisecret",
    "password",
    "authorization",
    "token",
    "credential",
];

/// What stands in the place of a credential.
pub const MASK: &str = "***";

/// Replaces known credentials in a parsed body.
pub fn credentials(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_credential(key) && !value.is_null() {
                    *value = Value::from(MASK);
                } else if key == "server" {
                    mask_server(value);
                } else {
                    credentials(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(credentials),
        _ => {}
    }
}

/// Vapi repeats the headers that a server's owner set, which may hold anything.
fn mask_server(server: &mut Value) {
    if let Some(headers) = server.get_mut("headers").and_then(Value::as_object_mut) {
        headers.values_mut().for_each(|value| *value = Value::from(MASK));
    }
    credentials(server);
}

/// Whether what stands under this key is a credential.
#[must_use]
pub fn is_credential(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|it| !matches!(it, '_' | '-'))
        .map(|it| it.to_ascii_lowercase())
        .collect();
    CREDENTIAL_KEYS.contains(&plain.as_str())
}

/// `text` with control, escape and direction-changing characters made visible, for logs
/// and terminals. Line breaks are escaped as well: one line stays one line.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        if it.is_control() || is_deceptive(it) {
            out.extend(it.escape_unicode());
        } else {
            out.push(it);
        }
    }
    out
}

/// Characters that change the direction of text or cannot be seen (Unicode TR 36).
fn is_deceptive(it: char) -> bool {
    matches!(it,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}')
}

/// A digest cut to what identifies it and proves nothing: its first 8 characters.
#[must_use]
pub fn digest(text: &str) -> String {
    let head: String = text.chars().take(8).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_credentials_are_masked_at_any_depth() {
        let mut body = serde_json::json!({
            "ApiKey": "k", "call": {"monitor": {"controlUrl": "u", "n": 1}, "access_token": "t"},
            "list": [{"twilioAuthToken": "t"}], "server": {"url": "x", "secret": "s", "headers": {"a": "b"}},
            "phoneNumber": {"twilioApiSecret": null}, "tokens": 3,
        });
        credentials(&mut body);
        let expected = serde_json::json!({
            "ApiKey": "***", "call": {"monitor": {"controlUrl": "***", "n": 1}, "access_token": "***"},
            "list": [{"twilioAuthToken": "***"}], "server": {"url": "x", "secret": "***", "headers": {"a": "***"}},
            "phoneNumber": {"twilioApiSecret": null}, "tokens": 3,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn characters_that_deceive_are_made_visible() {
        assert_eq!(visible("a\u{1b}[31m\r\nb\u{202e}c ü"), "a\\u{1b}[31m\\u{d}\\u{a}b\\u{202e}c ü");
    }
}
