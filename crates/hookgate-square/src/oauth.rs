//! Tokens: any will do until a grant is made; from then on only those that were granted.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::refusal::{Refusal, object, text};
use crate::state::seconds;
use crate::{Answer, Square};

/// How long a token lives: Square's 30 days.
const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The longest of each, from Square's description of `ObtainTokenRequest`.
const ID_CHARS_MAX: usize = 191;
const SECRET_CHARS_MAX: usize = 1024;

/// What sellers have let applications do.
#[derive(Default)]
pub(crate) struct Grants {
    /// By refresh token.
    by_token: BTreeMap<String, Grant>,
    /// The access tokens that are good. Whoever has none of any grant needs none.
    good: BTreeSet<String>,
    /// How often a new token was asked for with success.
    renewed: u64,
}

/// One seller's leave for one application. Its refresh token may be used many times.
struct Grant {
    client_id: String,
    client_secret: String,
}

/// Tokens are in nobody's output.
impl std::fmt::Debug for Grants {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Grants").field("renewed", &self.renewed).finish_non_exhaustive()
    }
}

impl Grants {
    pub(crate) fn add(&mut self, client: (&str, &str), refresh_token: &str, access_token: &str) {
        let grant = Grant { client_id: client.0.to_owned(), client_secret: client.1.to_owned() };
        self.by_token.insert(refresh_token.to_owned(), grant);
        self.good.insert(access_token.to_owned());
    }

    pub(crate) fn expire_all(&mut self) {
        self.good.clear();
    }

    pub(crate) fn revoke_all(&mut self) {
        self.good.clear();
        self.by_token.values_mut().for_each(|it| it.client_secret.clear());
    }

    /// Whether a request with this token is let in.
    pub(crate) fn admits(&self, token: &str) -> bool {
        self.by_token.is_empty() || self.good.contains(token)
    }

    pub(crate) fn renewed(&self) -> u64 {
        self.renewed
    }
}

pub(crate) async fn token(Shared(square): Shared<Square>, body: Bytes) -> Answer {
    let request = object(&body)?;
    let needed =
        |field, chars_max| text(&request, field, chars_max)?.ok_or_else(|| Refusal::missing(field));
    let client_id = needed("client_id", ID_CHARS_MAX)?;
    if needed("grant_type", 20)? != "refresh_token" {
        return Err(Refusal::invalid("grant_type"));
    }
    let client_secret = needed("client_secret", SECRET_CHARS_MAX)?;
    let refresh_token = needed("refresh_token", SECRET_CHARS_MAX)?;
    let now = square.now();
    let mut state = square.lock();
    let number = state.next_number();
    let grants = &mut state.grants;
    let grant = grants.by_token.get(refresh_token);
    let is_right = |it: &Grant| it.client_id == client_id && it.client_secret == client_secret;
    if !grant.is_some_and(is_right) || client_secret.is_empty() {
        return Err(Refusal::unauthorized());
    }
    let access_token = format!("STANDINTOKEN{number:07}");
    grants.good.insert(access_token.clone());
    grants.renewed = grants.renewed.saturating_add(1);
    let expires_at = now.checked_add(LIFE).unwrap_or(Timestamp::MAX);
    Ok(Json(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_at": seconds(expires_at),
        "merchant_id": "MSTANDIN00001",
        "refresh_token": refresh_token,
        "short_lived": false,
    })))
}
