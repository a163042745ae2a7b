//! The providers, one row each. Everything that is listed per provider anywhere (paths,
//! environment variables, schemes, parsers, answers, samples) is derived from its row,
//! so a further provider is a file in `providers/` and a line in [`ALL`].

use crate::canonical::CanonicalEvent;
use crate::canonical::reader::Reader;
use crate::event::{Claim, ClaimKind, Facts};
use crate::headers::Headers;
use crate::json::{Field, Fields, Path};
use crate::providers::{elevenlabs, mightycall, retell, tawk, vapi};
use crate::tool::Calls;

/// All providers.
pub const ALL: [&Provider; 5] = [
    &elevenlabs::PROVIDER,
    &retell::PROVIDER,
    &vapi::PROVIDER,
    &mightycall::PROVIDER,
    &tawk::PROVIDER,
];

/// What a body may measure by default, in bytes.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// One provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name in paths, commands and events.
    pub name: &'static str,
    /// Its name as it writes it itself.
    pub title: &'static str,
    /// The paths of its built-in source, besides `/in/{name}`.
    pub paths: &'static [&'static str],
    /// Paths of tool calls, with the tool's name.
    pub tool_paths: &'static [(&'static str, &'static str)],
    /// How it asks for tools, if it does.
    pub calls: Option<Calls>,
    /// The environment variables with its secret; the first that is set counts.
    pub secret_variables: &'static [&'static str],
    /// The environment variable with the account key that it repeats in its bodies.
    pub account_key_variable: Option<&'static str>,
    /// The name of its default policy (see [`crate::named`]).
    pub policy: &'static str,
    /// What a request without proof is told.
    pub refusal: Refusal,
    /// What it is told of a request that is stored unread, because nothing proves it. JSON.
    pub unread: &'static str,
    /// What a body may measure once a plausible signature was seen, in bytes.
    pub large_body_bytes_max: u64,
    /// Whether an event must name an organisation.
    pub needs_organization: bool,
    /// What a proven request is told that must name a call and does not; nothing where an
    /// event need not name one.
    pub missing_call: Option<Refusal>,
    /// What a proven request is told whose call nobody registered and nobody can adopt;
    /// nothing where it is kept like any other that is nobody's.
    pub unknown_call: Option<Refusal>,
    /// Whether a request with an `Echo` header is answered with the same header.
    pub echoes: bool,
    /// The fields that [`Self::read`] wants.
    pub fields: &'static [Path],
    /// What a body says.
    pub read: fn(&Fields, &Hint<'_>) -> Facts,
    /// What a body says beyond that, in the canonical shape.
    pub(crate) canonical: fn(&mut Reader<'_>, &mut CanonicalEvent),
    /// Realistic bodies, by name. The first is what `send` sends by default.
    pub samples: &'static [(&'static str, &'static str)],
    /// Where its secret and its URL are set, for people.
    pub dashboard: &'static str,
}

/// An answer without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// JSON, the same for every cause.
    pub body: &'static str,
}

impl Refusal {
    /// 401 as most of the seeds answer it.
    pub const UNAUTHORIZED: Self = Self { status: 401, body: r#"{"error":"Unauthorized"}"# };
}

/// What is known of a request besides its body when it is read.
#[derive(Clone, Copy, Debug)]
pub struct Hint<'a> {
    /// The tool that its path names.
    pub tool: Option<&'a str>,
    /// The query of its URL, as sent.
    pub query: &'a str,
    /// Its headers. Nothing in them is attested: they name an event, never an owner.
    pub headers: &'a Headers,
    /// Whether ids that stand among the arguments of a tool call count as claims, where
    /// the provider attests none beside them.
    pub flat_claims: bool,
}

impl Provider {
    /// The environment variable with the secret of its tool calls, where those are not proven
    /// as its events are.
    #[must_use]
    pub fn tool_secret_variable(&self) -> Option<&'static str> {
        self.calls.as_ref()?.secret_variable
    }
}

/// The provider of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Provider> {
    ALL.into_iter().find(|provider| provider.name == name)
}

/// Claims of `kind` from the fields at `paths`: one for each that is there.
pub(crate) fn claims(fields: &Fields, rows: &[(ClaimKind, usize)]) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::with_capacity(rows.len());
    for &(kind, path) in rows {
        let external_id = match fields.get(path) {
            None | Some(Field::Null) => continue,
            Some(Field::Text(text)) if text.is_empty() => continue,
            Some(_) => fields.word(path),
        };
        let claim = Claim::new(kind, external_id);
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    claims
}

/// The first of these fields that holds an id.
pub(crate) fn first(fields: &Fields, paths: &[usize]) -> Option<String> {
    paths.iter().find_map(|&path| fields.word(path))
}

/// A repetition key of parts that must all be there.
pub(crate) fn key(parts: &[Option<&str>]) -> Option<String> {
    // A separator that no part can hold keeps ("a", "bc") and ("ab", "c") apart.
    let parts: Option<Vec<&str>> = parts.iter().copied().collect();
    let parts = parts?;
    parts.iter().all(|part| !part.contains('\u{1f}')).then(|| parts.join("\u{1f}"))
}
