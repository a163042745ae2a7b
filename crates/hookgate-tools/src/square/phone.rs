//! Telephone numbers, in one form.

use std::fmt;

/// Digits of a number, from Square's description and from E.164.
const DIGITS_MIN: usize = 9;
const DIGITS_MAX: usize = 15;

/// A number as E.164 writes it: `+` and digits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Phone(String);

impl Phone {
    /// Reads a number as people, models and platforms write one. Ten digits without a
    /// country are North American: that is where Square's sellers who are booked in US
    /// English are.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("tel:").or_else(|| text.strip_prefix("sip:")).unwrap_or(text);
        let text = text.split(['@', ';', ',', 'x', 'e']).next().unwrap_or_default().trim();
        let fits = |it: char| it.is_ascii_digit() || " -().+/\u{a0}".contains(it);
        if !text.chars().all(fits) || text.rfind('+').is_some_and(|at| at > 0) {
            return None;
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let digits = match digits.strip_prefix("00") {
            _ if text.starts_with('+') => digits,
            Some(rest) => rest.to_owned(),
            None if digits.len() == 10 => format!("1{digits}"),
            None => digits,
        };
        (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()).then(|| Self(format!("+{digits}")))
    }

    /// As E.164 writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number is a person's.
impl fmt::Debug for Phone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Phone")
    }
}
