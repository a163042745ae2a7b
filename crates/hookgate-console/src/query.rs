//! The query of a request, read strictly: an unknown, repeated or empty parameter is an
//! error, so that a typing error never widens what a list shows.

use axum::http::Uri;
use hookgate_core::time::Timestamp;

use crate::problem::Problem;

/// What a text parameter may have, in bytes. The longest id of a provider has 64.
const TEXT_BYTES_MAX: usize = 256;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of `uri`, which may hold the `allowed` parameters.
    pub(crate) fn read(uri: &Uri, allowed: &'static [&'static str]) -> Result<Self, Problem> {
        let unknown = |name: &str| Problem::UnknownParameter { name: name.to_owned(), allowed };
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let axum::extract::Query(pairs) = pairs.map_err(|_| unknown("?"))?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            return Err(unknown(name));
        }
        for name in allowed {
            if pairs.iter().filter(|(it, _)| it == name).count() > 1 {
                return Err(bad(name, "given once"));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of `name` as it was sent.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        self.raw(name).map(|value| text(name, value)).transpose()
    }

    /// A moment.
    pub(crate) fn moment(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        self.raw(name).map(|value| moment(name, value)).transpose()
    }

    /// One of some words, each with what it means.
    pub(crate) fn choice<T>(
        &self,
        name: &'static str,
        choices: impl IntoIterator<Item = (&'static str, T)>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let mut words = Vec::new();
        for (word, meaning) in choices {
            if word == value {
                return Ok(Some(meaning));
            }
            words.push(word);
        }
        Err(bad(name, format!("one of {}", words.join(", "))))
    }
}

/// A text of a bounded length.
pub(crate) fn text(name: &'static str, value: &str) -> Result<String, Problem> {
    if (1..=TEXT_BYTES_MAX).contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        Err(bad(name, format!("a text of 1 to {TEXT_BYTES_MAX} bytes")))
    }
}

/// A moment in RFC 3339. A `+` that was not escaped arrives as a blank.
pub(crate) fn moment(name: &'static str, value: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(&value.replace(' ', "+"))
        .ok_or_else(|| bad(name, "a time such as 2026-11-22T08:00:00Z"))
}

/// The problem of a parameter that is not what it must be.
pub(crate) fn bad(name: &'static str, wanted: impl Into<String>) -> Problem {
    Problem::BadParameter { name, wanted: wanted.into() }
}
