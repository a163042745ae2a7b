//! Questions to a secret store over HTTP.

use std::time::Duration;

use bytes::Bytes;
use hookgate_core::secret::Secret;
use hookgate_egress::{Answer, Call, Egress, Reach, Url};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::BackendError;

/// The largest answer, in bytes: a value of 64 KiB with each of its bytes escaped, and what
/// stands around it.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// A secret store's address, and the way there.
#[derive(Clone)]
pub(crate) struct Remote {
    egress: Egress,
    base: Url,
    deadline: Duration,
}

/// One question.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// What stands behind the base address, part by part.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Remote {
    /// The store at `address`, or what is wrong with it.
    pub(crate) fn new(
        egress: Egress,
        address: &str,
        deadline: Duration,
    ) -> Result<Self, &'static str> {
        let base = Url::parse(address).map_err(|_| "is no URL")?;
        egress.check(&base, Reach::Anywhere).map_err(|_| "is neither http nor https")?;
        let has_login = !base.username().is_empty() || base.password().is_some();
        if has_login || base.query().is_some() || base.fragment().is_some() {
            return Err("must be scheme, host and path only");
        }
        Ok(Self { egress, base, deadline })
    }

    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, BackendError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| BackendError::NoSuchPlace)?
            .pop_if_empty()
            .extend(question.path);
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(question.query);
        }
        let call = Call {
            method: question.method,
            url,
            headers: question.headers,
            body: question.body,
            deadline: self.deadline,
            answer_bytes_max: ANSWER_BYTES_MAX,
            // The operator named it.
            reach: Reach::Anywhere,
        };
        let answer = self.egress.send(call).await.map_err(BackendError::Unreachable)?;
        if answer.is_cut {
            return Err(BackendError::TooLarge);
        }
        Ok(answer)
    }
}

/// Sets a header to `before` and a secret. It prints as nothing.
///
/// # Errors
///
/// The secret holds what a header cannot, a line break for one.
pub(crate) fn set_secret(
    headers: &mut HeaderMap,
    name: HeaderName,
    before: &str,
    secret: &Secret,
) -> Result<(), BackendError> {
    let bytes = zeroize::Zeroizing::new([before.as_bytes(), secret.expose()].concat());
    let mut value = HeaderValue::from_bytes(&bytes)
        .map_err(|_| BackendError::Reference("it holds what no header can".to_owned()))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
