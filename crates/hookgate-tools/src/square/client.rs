//! Requests to Square: what each of them carries, and when one is sent again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::secret::Secret;
use hookgate_egress::{Answer, Call, Egress, Reach, Url};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::credential::{Account, Accounts};
use super::error::{Cause, Doubt, Failure, SquareError};
use super::shop::Shops;
use crate::budget::{Budget, NoAnswer};
use crate::work::Work;

/// The version of the API that requests are made for: that of the description which the
/// tests hold them against. Without it Square takes whatever the application's default is,
/// and an answer's shape would be somebody else's decision.
pub(crate) const SQUARE_VERSION: &str = "2025-08-20";

/// How long one request may take. Square answers within a second; a caller on the telephone
/// does not bear two slow tries.
const REQUEST_WAIT: Duration = Duration::from_secs(3);

/// What a write leaves of the time, so that reading can tell what became of it; half of the
/// time, if there is little.
const SETTLING: Duration = Duration::from_secs(1);

/// A try with less time than this would only make it doubtful what was done.
const TRY_MIN: Duration = Duration::from_millis(50);

/// How much of an answer is read. A full page of services with descriptions is below it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The first wait before a request is sent again. Each one after it is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(200);

/// How often one request is sent. The time of a call ends the tries before this does; it
/// holds where an operator gives calls minutes.
const TRIES_MAX: u32 = 8;

/// One call of one tenant: everything that asks Square goes through here.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    /// The way out.
    pub(crate) egress: &'a Egress,
    /// Where credentials are, and which were renewed.
    pub(crate) accounts: &'a Accounts,
    /// What is remembered of shops.
    pub(crate) shops: &'a Shops,
    /// Whose account it is.
    pub(crate) account: &'a Account,
    /// The call.
    pub(crate) work: &'a Work<'a>,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Request {
    method: Method,
    url: Url,
    body: Bytes,
    writes: bool,
}

impl Request {
    /// A request to `path` below `base`. Each part of the path is encoded, so that none can
    /// be two, and none can go up.
    pub(crate) fn new(method: Method, base: &Url, path: &[&str]) -> Self {
        let mut url = base.clone();
        // A base that cannot have a path is refused when it is called.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.set_query(None);
        Self { method, url, body: Bytes::new(), writes: false }
    }

    /// The same with a query.
    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }

    /// The same with a body.
    pub(crate) fn body(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self
    }

    /// The same for something that changes what Square holds. It must carry an idempotency
    /// key: it may be sent more than once.
    pub(crate) fn writing(mut self) -> Self {
        self.writes = true;
        self
    }
}

/// What is to be done after a try without success.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Again(Duration),
    GiveUp,
}

impl Session<'_> {
    /// Reads `path`.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        let request = Request::new(Method::GET, &self.account.base, path);
        let request = if query.is_empty() { request } else { request.query(query) };
        Box::pin(self.send(&request)).await
    }

    /// Asks `path` something that takes a body.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn ask(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        let request = Request::new(Method::POST, &self.account.base, path).body(body);
        Box::pin(self.send(&request)).await
    }

    /// Changes something. The body holds an idempotency key.
    ///
    /// # Errors
    ///
    /// A [`Failure`], whose doubt says whether it may have been done.
    pub(crate) async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, Failure> {
        let request = Request::new(method, &self.account.base, path).body(body).writing();
        Box::pin(self.send(&request)).await
    }

    /// Sends a request with the account's token; with a renewed one if that is too old.
    async fn send(&self, request: &Request) -> Result<Value, Failure> {
        let token = self.account.token();
        let first = deliver(self.egress, self.work.budget, request, Some(&token)).await;
        let answered = match first {
            Err(failure) if failure.is(StatusCode::UNAUTHORIZED) => {
                let before = failure.doubt;
                self.accounts.renew(self.egress, self.account, self.work, &token).await?;
                let token = self.account.token();
                let second = deliver(self.egress, self.work.budget, request, Some(&token)).await;
                second.map_err(|it| Failure { doubt: it.doubt.max(before), ..it })
            }
            other => other,
        };
        if let Err(failure) = &answered {
            self.note(failure);
        }
        answered
    }

    /// Says what an operator can do something about.
    fn note(&self, failure: &Failure) {
        let (Some(error), tenant) = (failure.error(), self.work.tenant) else { return };
        if matches!(error.status, 401 | 403) {
            tracing::warn!(
                tenant.id = %tenant,
                square.status = error.status,
                square.codes = error.codes.join(","),
                "Square does not take this tenant's credential for what a tool needs: renew it or its scopes"
            );
        } else if failure.is_refusal() {
            tracing::debug!(
                tenant.id = %tenant,
                square.status = error.status,
                square.codes = error.codes.join(","),
                "Square refused a request"
            );
        }
    }
}

/// Sends a request until it has an answer that counts, or the time is spent.
pub(crate) async fn deliver(
    egress: &Egress,
    budget: &Budget,
    request: &Request,
    token: Option<&Secret>,
) -> Result<Value, Failure> {
    let headers = headers(token);
    let kept = if request.writes { SETTLING.min(budget.left() / 2) } else { Duration::ZERO };
    let mut doubt = Doubt::None;
    let mut tries = 0;
    loop {
        let time = budget.left().saturating_sub(kept);
        let call = call(request, headers.clone(), time);
        let (cause, asked) = match budget.send(egress, call).await {
            Ok(answer) if answer.status.is_success() => match read(&answer) {
                Some(value) => return Ok(value),
                None => (Cause::Unreadable, None),
            },
            Ok(answer) => {
                (Cause::Answered(SquareError::read(&answer)), retry_after(&answer.headers))
            }
            Err(silence) => (Cause::Silent(silence), None),
        };
        if request.writes {
            doubt = doubt.max(Doubt::of(&cause));
        }
        tries += 1;
        match next(&cause, asked, tries, budget.left().saturating_sub(kept)) {
            Next::Again(pause) => budget.pause(pause).await,
            Next::GiveUp => return Err(Failure { cause, doubt }),
        }
    }
}

/// One try, which takes no longer than `time`.
fn call(request: &Request, headers: HeaderMap, time: Duration) -> Call {
    Call {
        method: request.method.clone(),
        url: request.url.clone(),
        headers,
        body: request.body.clone(),
        deadline: REQUEST_WAIT.min(time),
        answer_bytes_max: ANSWER_BYTES_MAX,
        // Square's own hosts, or what the operator has put in their place.
        reach: Reach::Anywhere,
    }
}

/// Whether the same request is worth another try. Square's own clients try 408, 429 and
/// everything from 500 again.
fn next(cause: &Cause, asked: Option<Duration>, tries: u32, left: Duration) -> Next {
    let is_passing = match cause {
        Cause::Answered(error) => matches!(error.status, 408 | 429 | 500..),
        Cause::Silent(NoAnswer::Failed(error)) => error.is_passing(),
        Cause::Silent(NoAnswer::Spent) | Cause::Unreadable => false,
    };
    let pause = PAUSE_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(TRIES_MAX));
    let pause = pause.saturating_add(jitter(pause / 4)).max(asked.unwrap_or_default());
    let fits = pause.saturating_add(TRY_MIN) <= left;
    if is_passing && tries < TRIES_MAX && fits { Next::Again(pause) } else { Next::GiveUp }
}

/// A part of `most` that differs from call to call, so that callers who were turned away
/// together do not come back together.
fn jitter(most: Duration) -> Duration {
    let drawn = u32::try_from(RandomState::new().hash_one(()) % 1000).unwrap_or(0);
    most.saturating_mul(drawn) / 1000
}

fn headers(token: Option<&Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Some endpoints are said to answer 406 to `*/*`.
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("square-version", HeaderValue::from_static(SQUARE_VERSION));
    if let Some(token) = token {
        let bearer = [b"Bearer ", token.expose()].concat();
        // A token that is no header's value goes nowhere, and Square says 401 to that.
        if let Ok(mut value) = HeaderValue::from_bytes(&bearer) {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
    }
    headers
}

/// The JSON object of an answer that is there as a whole.
fn read(answer: &Answer) -> Option<Value> {
    let value: Value =
        if answer.is_cut { None } else { serde_json::from_slice(&answer.body).ok() }?;
    value.is_object().then_some(value)
}

/// How long Square wants to be left alone, in seconds. It sends no dates there.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use hookgate_egress::EgressError;

    use super::*;

    fn answered(status: u16) -> Cause {
        Cause::Answered(SquareError { status, codes: Vec::new(), category: None, field: None })
    }

    fn pause(cause: &Cause, asked: Option<u64>, tries: u32, left: u64) -> Option<u128> {
        let asked = asked.map(Duration::from_secs);
        match next(cause, asked, tries, Duration::from_millis(left)) {
            Next::Again(pause) => Some(pause.as_millis()),
            Next::GiveUp => None,
        }
    }

    #[test]
    fn pauses_double_and_end_with_the_time() {
        for (tries, least) in [(1, 200), (2, 400), (3, 800), (4, 1600)] {
            let drawn = pause(&answered(500), None, tries, 60_000).unwrap();
            assert!((least..=least * 5 / 4).contains(&drawn), "{tries}: {drawn}");
        }
        assert_eq!(pause(&answered(500), None, 1, 249), None);
        assert_eq!(pause(&answered(500), None, TRIES_MAX, 60_000_000), None);
        assert_eq!(pause(&answered(500), None, u32::MAX, u64::MAX), None);
    }

    #[test]
    fn square_is_left_alone_for_as_long_as_it_says_if_there_is_time() {
        assert_eq!(pause(&answered(429), Some(2), 1, 60_000), Some(2_000));
        assert_eq!(pause(&answered(429), Some(2), 1, 2_000), None);
        assert!(pause(&answered(429), Some(0), 1, 60_000).unwrap() >= 200);
        assert_eq!(pause(&answered(429), Some(u64::MAX), 1, 60_000), None);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(pause(&answered(status), None, 1, 60_000).is_some(), "{status}");
        }
        for status in [300, 400, 401, 403, 404, 409, 422] {
            assert_eq!(pause(&answered(status), None, 1, 60_000), None, "{status}");
        }
        let silent = |error| Cause::Silent(NoAnswer::Failed(error));
        assert!(pause(&silent(EgressError::Broken), None, 1, 60_000).is_some());
        assert!(pause(&silent(EgressError::TimedOut), None, 1, 60_000).is_some());
        assert_eq!(pause(&silent(EgressError::Certificate), None, 1, 60_000), None);
        assert_eq!(pause(&Cause::Silent(NoAnswer::Spent), None, 1, 60_000), None);
        assert_eq!(pause(&Cause::Unreadable, None, 1, 60_000), None);
    }

    #[test]
    fn a_part_of_a_path_is_one_part() {
        let base = Url::parse("http://host/below/").unwrap();
        for (id, expected) in [
            ("BOOKING#123", "BOOKING%23123"),
            ("a/b", "a%2Fb"),
            ("a?b", "a%3Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a\\b", "a%5Cb"),
            ("é b", "%C3%A9%20b"),
        ] {
            let request = Request::new(Method::GET, &base, &["v2", "bookings", id]);
            let expected = format!("http://host/below/v2/bookings/{expected}");
            assert_eq!(request.url.as_str(), expected);
        }
    }
}
