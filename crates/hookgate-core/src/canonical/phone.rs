//! Telephone numbers as canonical events write them.

use serde::{Deserialize, Serialize};

/// What E.164 allows after the `+`, in digits.
const DIGITS_MAX: usize = 15;

/// Fewer digits than this are a short code or an extension, whatever stands in front.
const DIGITS_MIN: usize = 7;

/// A telephone number, or what a provider sends in the place of one.
///
/// A number is normalised only where its country is certain, so where it begins with `+`.
/// Anything else (an extension, a SIP address, digits without a country) is what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneNumber {
    /// `+` and 7 to 15 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e164: Option<String>,
    /// What was sent, where it is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl PhoneNumber {
    /// What this text stands for; nothing for an empty one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let e164 = e164(text);
        let raw = Some(text.to_owned()).filter(|it| !it.is_empty() && e164.as_ref() != Some(it));
        (e164.is_some() || raw.is_some()).then_some(Self { e164, raw })
    }
}

/// `tel:` is RFC 3966's prefix; the others are Twilio's for its messaging channels.
const PREFIXES: [&str; 4] = ["tel:", "sms:", "whatsapp:", "rcs:"];

/// The number in E.164, if it is certain.
fn e164(text: &str) -> Option<String> {
    let text = PREFIXES.iter().find_map(|it| text.strip_prefix(it)).unwrap_or(text);
    let rest = text.strip_prefix('+')?;
    let mut number = String::from("+");
    for it in rest.chars() {
        match it {
            '0'..='9' => number.push(it),
            // How people group digits. Anything else (`*`, `x`, `;ext=`, a letter) is more
            // than a number.
            ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return None,
        }
    }
    let digits = number.len().saturating_sub(1);
    // No country's code begins with 0: `+44 (0)20 …` keeps its 0 behind the code, and is
    // then no number that could be called.
    let fits = (DIGITS_MIN..=DIGITS_MAX).contains(&digits)
        && !number.starts_with("+0")
        && !rest.contains("(0)");
    fits.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, e164: Option<&str>, raw: Option<&str>) {
        let owned = |it: Option<&str>| it.map(str::to_owned);
        let expected = PhoneNumber { e164: owned(e164), raw: owned(raw) };
        assert_eq!(PhoneNumber::read(text), Some(expected));
    }

    #[test]
    fn a_number_with_a_country_is_normalised_and_any_other_is_kept_as_sent() {
        check("+12137771234", Some("+12137771234"), None);
        check(" +12137771234 ", Some("+12137771234"), None);
        check("+1 (213) 777-1234", Some("+12137771234"), Some("+1 (213) 777-1234"));
        check("tel:+442079460000", Some("+442079460000"), Some("tel:+442079460000"));
        check("whatsapp:+4915112345678", Some("+4915112345678"), Some("whatsapp:+4915112345678"));
        for raw in [
            "2137771234",
            "12137771234",
            "0012137771234",
            "101",
            "+101",
            "*101",
            "+1213*777",
            "+12137771234x9",
            "+12137771234;ext=9",
            "+44 (0)20 7946 0000",
            "+0123456789",
            "+1234567890123456",
            "sip:agent@example.com",
            "anonymous",
            "+",
        ] {
            check(raw, None, Some(raw));
        }
        assert_eq!(PhoneNumber::read("  "), None);
    }
}
