//! The query of a request, read strictly: an unknown, repeated or empty parameter is an
//! error, so that a typing error never widens what a list shows.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use hookgate_core::event::ClaimKind;
use hookgate_core::provider;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::EXTERNAL_ID_BYTES_MAX;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::problem::Problem;

/// What a text parameter may have, in bytes. The longest id of a provider has 64.
const TEXT_BYTES_MAX: usize = 256;

/// The query of a path that knows the parameters of `A` and of `B`: the same that the
/// OpenAPI document lists for it.
#[derive(Debug)]
pub(crate) struct Query<A = Nothing, B = Nothing> {
    parameters: Parameters,
    known: PhantomData<fn() -> (A, B)>,
}

/// No parameters.
#[derive(Debug)]
pub(crate) struct Nothing;

impl IntoParams for Nothing {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl<A, B> Deref for Query<A, B> {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

impl<A: IntoParams, B: IntoParams, S: Sync> FromRequestParts<S> for Query<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = [A::into_params(|| None), B::into_params(|| None)].into_iter().flatten();
        let known = known.map(|it| it.name).collect();
        Ok(Self { parameters: Parameters::read(&parts.uri, known)?, known: PhantomData })
    }
}

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query of `uri`, which may hold the `allowed` parameters.
    fn read(uri: &Uri, allowed: Vec<String>) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Ok(axum::extract::Query(pairs)) = pairs else {
            return Err(Problem::UnknownParameter { name: "?".to_owned(), allowed });
        };
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !allowed.contains(name)) {
            return Err(Problem::UnknownParameter { name: name.clone(), allowed });
        }
        for name in allowed {
            if pairs.iter().filter(|(it, _)| *it == name).count() > 1 {
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

    /// The name of a provider.
    pub(crate) fn provider(&self) -> Result<Option<String>, Problem> {
        self.raw("provider").map(provider).transpose()
    }

    /// A tenant.
    pub(crate) fn tenant(&self) -> Result<Option<TenantId>, Problem> {
        self.raw("tenant").map(|value| tenant("tenant", value)).transpose()
    }

    /// An id at a provider.
    pub(crate) fn external_id(&self) -> Result<Option<String>, Problem> {
        let Some(value) = self.raw("external_id") else { return Ok(None) };
        if (1..=EXTERNAL_ID_BYTES_MAX).contains(&value.len()) {
            return Ok(Some(value.to_owned()));
        }
        Err(bad("external_id", format!("a text of 1 to {EXTERNAL_ID_BYTES_MAX} bytes")))
    }

    /// One of some words, each with what it means.
    pub(crate) fn choice<T>(
        &self,
        name: &'static str,
        choices: impl IntoIterator<Item = (&'static str, T)>,
    ) -> Result<Option<T>, Problem> {
        self.raw(name).map(|value| choice(name, value, choices)).transpose()
    }
}

/// What can be bound to a tenant. An organisation needs no binding: it is a tenant's id.
pub(crate) const BINDING_KINDS: [ClaimKind; 6] = [
    ClaimKind::Agent,
    ClaimKind::PhoneNumber,
    ClaimKind::Integration,
    ClaimKind::Account,
    ClaimKind::Property,
    ClaimKind::Conversation,
];

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

/// The id of a tenant.
pub(crate) fn tenant(name: &'static str, value: &str) -> Result<TenantId, Problem> {
    let wanted = "a tenant's id: 1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or \
                  a digit";
    TenantId::parse(value).map_err(|_| bad(name, wanted))
}

/// The name of a provider.
pub(crate) fn provider(value: &str) -> Result<String, Problem> {
    choice("provider", value, provider::ALL.map(|it| (it.name, it.name.to_owned())))
}

/// One of some words, each with what it means.
pub(crate) fn choice<T>(
    name: &'static str,
    value: &str,
    choices: impl IntoIterator<Item = (&'static str, T)>,
) -> Result<T, Problem> {
    let mut words = Vec::new();
    for (word, meaning) in choices {
        if word == value {
            return Ok(meaning);
        }
        words.push(word);
    }
    Err(bad(name, format!("one of {}", words.join(", "))))
}

/// The problem of a parameter or member that is not what it must be.
pub(crate) fn bad(
    name: impl Into<std::borrow::Cow<'static, str>>,
    wanted: impl Into<String>,
) -> Problem {
    Problem::BadParameter { name: name.into(), wanted: wanted.into() }
}
