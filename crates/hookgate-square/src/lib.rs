//! Square for a try: a stand-in that remembers.
//!
//! It speaks as much of Square's API as a client of bookings needs, holds made-up data in
//! memory, and fails when it is told to. These paths exist, the rest is 404:
//!
//! | path | |
//! |---|---|
//! | `GET /v2/locations`, `GET /v2/locations/{id}` | one location; `main` is it |
//! | `POST /v2/catalog/search-catalog-items` | by `text_filter` and `product_types` |
//! | `POST /v2/bookings/availability/search` | by segments, or by `booking_id` |
//! | `GET /v2/bookings`, `POST /v2/bookings` | filters and cursor; one booking a key |
//! | `GET /v2/bookings/{id}`, `PUT /v2/bookings/{id}` | sparse changes, versions checked |
//! | `POST /v2/bookings/{id}/cancel` | versions checked |
//! | `GET /v2/customers/{id}`, `POST /v2/customers` | one customer a key |
//! | `POST /v2/customers/search` | by phone number or e-mail address, exact or fuzzy |
//! | `POST /oauth2/token` | a new token for a refresh token |
//! | `GET /stand-in/state`, `POST /stand-in/faults` | not Square's: see [`Square`] |
//!
//! Its answers have the shapes of Square's OpenAPI description of 2025-08-20, of which
//! `openapi/square-bookings.json` is a part. Where that says nothing, this is what it does:
//!
//! - A stale version is 409 `VERSION_MISMATCH` with the field `version`, as Square's
//!   invoices answer (developer forum, thread 20442). It is not in the list of codes of the
//!   description, which clients should not take for closed.
//! - Cancelling a second time, in the past, or while the seller has not accepted, is 400
//!   `BAD_REQUEST`, and so is booking a time that is taken. The first two and the last are
//!   our guess; the third is reported (developer forum, thread 8247).
//! - `Square-Version` must be there. Square takes an application's default instead; a
//!   client that forgets it is better told.

mod availability;
mod bookings;
mod catalog;
mod customers;
mod faults;
mod oauth;
mod refusal;
mod state;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::refusal::Refusal;
use crate::state::State;

/// The largest body that is read. Square's requests are of a few hundred bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What an endpoint says.
type Answer = Result<axum::Json<Value>, Refusal>;

/// A Square of one seller, with everything it knows. Clones share it.
///
/// `GET /stand-in/state` shows what it holds and how many requests came, and with which access
/// tokens (their last four characters). A
/// `POST /stand-in/faults` replaces its faults:
///
/// ```json
/// {"latency_ms": 200, "latency_spread_ms": 50, "next": [429, 500, "commit-then-500"]}
/// ```
///
/// Each request is answered after the latency and up to the spread more.
///
/// Each request in good form takes the next fault: 401, 403, 404, 409, 429 and 500 are
/// answered before anything is done. `commit-then-500` waits for a request that writes, does what it
/// asks, and answers 500; `commit-then-wait` does it too and answers after two minutes, which
/// leaves time to kill whoever waits.
#[derive(Clone)]
pub struct Square {
    clock: fn() -> Timestamp,
    state: Arc<Mutex<State>>,
}

impl Square {
    /// A barber shop in New York with two chairs, two services, one customer, and one
    /// booking, `BOOKING#123`, at three o'clock on the second working day from now.
    #[must_use]
    pub fn new(clock: fn() -> Timestamp) -> Self {
        Self { clock, state: Arc::new(Mutex::new(State::seeded(clock()))) }
    }

    /// Sets faults as `POST /stand-in/faults` does.
    ///
    /// # Errors
    ///
    /// What is wrong with them; nothing is changed then.
    pub fn set_faults(&self, faults: &Value) -> Result<(), String> {
        self.lock().faults = faults::Faults::read(faults)?;
        Ok(())
    }

    /// Makes a booking be in this status, as a seller does behind the API: `PENDING`,
    /// `DECLINED`, `NO_SHOW`. Its version grows. False if there is no such booking.
    #[must_use]
    pub fn set_status(&self, booking: &str, status: &'static str) -> bool {
        let now = self.now();
        let mut state = self.lock();
        let Some(booking) = state.bookings.get_mut(booking) else {
            return false;
        };
        booking.status = status;
        booking.touch(now);
        true
    }

    /// Lets an application in: from now on only tokens count that were granted so, or were
    /// given for `refresh_token` since. Before the first grant any token will do.
    pub fn grant(&self, client: (&str, &str), refresh_token: &str, access_token: &str) {
        self.lock().grants.add(client, refresh_token, access_token);
    }

    /// Makes all access tokens run out. Refresh tokens are good still.
    pub fn expire_tokens(&self) {
        self.lock().grants.expire_all();
    }

    /// Takes all grants back, as a seller does who removes an application.
    pub fn revoke_grants(&self) {
        self.lock().grants.revoke_all();
    }

    /// Has a seller put a booking there behind the API, made of what an own one of theirs
    /// has: `{"id", "start_at", "customer_id", "team_member_id", "location_id"?}`. False if
    /// something of that is missing.
    #[must_use]
    pub fn put_booking(&self, booking: &Value) -> bool {
        let now = self.now();
        self.lock().put_booking(booking, now).is_some()
    }

    /// What it holds, as `GET /stand-in/state` shows it.
    #[must_use]
    pub fn shown(&self) -> Value {
        self.lock().shown()
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Nothing panics while it is held; if it did, what is there is as good as it was.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All paths of the stand-in.
pub fn router(square: Square) -> Router {
    let api = Router::new()
        .route("/oauth2/token", post(oauth::token))
        .route("/v2/locations", get(catalog::locations))
        .route("/v2/locations/{id}", get(catalog::location))
        .route("/v2/catalog/search-catalog-items", post(catalog::search))
        .route("/v2/bookings", get(bookings::list).post(bookings::create))
        .route("/v2/bookings/availability/search", post(availability::search))
        .route("/v2/bookings/{id}", get(bookings::retrieve).put(bookings::update))
        .route("/v2/bookings/{id}/cancel", post(bookings::cancel))
        .route("/v2/customers", post(customers::create))
        .route("/v2/customers/search", post(customers::search))
        .route("/v2/customers/{id}", get(customers::retrieve))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn_with_state(square.clone(), faults::gate));
    Router::new()
        .route("/stand-in/state", get(show))
        .route("/stand-in/faults", post(set_faults))
        .merge(api)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(square)
}

/// Answers on `listener` until it is dropped.
///
/// # Errors
///
/// What the listener says when it can no more.
pub async fn serve(listener: TcpListener, square: Square) -> io::Result<()> {
    axum::serve(listener, router(square)).await
}

async fn unknown() -> Refusal {
    Refusal::not_found("There is no such path in this stand-in.")
}

async fn show(Shared(square): Shared<Square>) -> axum::Json<Value> {
    axum::Json(square.shown())
}

async fn set_faults(Shared(square): Shared<Square>, body: axum::body::Bytes) -> Response {
    let faults = serde_json::from_slice(&body).map_err(|_| "the body is not JSON".to_owned());
    match faults.and_then(|it: Value| square.set_faults(&it)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, axum::Json(serde_json::json!({ "error": error })))
            .into_response(),
    }
}
