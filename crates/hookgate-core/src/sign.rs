//! Makes the headers that a provider would send: the other side of [`crate::verify`], for
//! samples, for replays into a developer's machine, and for the tests.

use http::{HeaderName, HeaderValue};

use crate::digest::{Keyed, from_base64};
use crate::json::Path;
use crate::scheme::{Clock, Layout, Mac, Parts, Piece, Proof, Scheme, Unit};
use crate::secret::Secret;
use crate::time::Timestamp;

/// What a signature may cover besides the body.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The public URL that the request will be sent to.
    pub url: &'a str,
    /// The message's id, for schemes that sign one.
    pub id: &'a str,
}

/// Why no headers can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The proof stands inside the body: put the account key there, at this path.
    #[error("this scheme has no header: the body carries the account key as `{}`", .0.join("."))]
    InBody(Path),
    /// The secret is empty.
    #[error("the secret is empty")]
    NoSecret,
    /// The scheme takes the secret as base64, and it is not.
    #[error("the secret is not base64, as this scheme wants it")]
    UnusableSecret,
    /// The secret cannot stand in a header as it is.
    #[error("the secret cannot stand in a header: it has a control character or an outer blank")]
    Unprintable,
}

/// The headers that prove `body` under `scheme`, signed with `secret` at `now`.
///
/// Of several headers that may carry a digest the first is made, of two encodings hex.
///
/// # Errors
///
/// [`Unsigned`]: give another secret, or write the key into the body.
pub fn sign(
    scheme: &Scheme,
    secret: &Secret,
    message: Message<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Vec<(HeaderName, String)>, Unsigned> {
    if secret.is_empty() {
        return Err(Unsigned::NoSecret);
    }
    match &scheme.proof {
        Proof::BodyKey(path) => Err(Unsigned::InBody(path)),
        Proof::Token(token) => {
            let text = std::str::from_utf8(secret.expose()).map_err(|_| Unsigned::Unprintable)?;
            if text.trim_matches([' ', '\t']) != text || HeaderValue::from_str(text).is_err() {
                return Err(Unsigned::Unprintable);
            }
            let prefix = if token.bearer { "Bearer " } else { "" };
            Ok(vec![(token.header.clone(), format!("{prefix}{text}"))])
        }
        Proof::Mac(mac) => sign_mac(mac, secret, message, body, now),
    }
}

fn sign_mac(
    mac: &Mac,
    secret: &Secret,
    message: Message<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Vec<(HeaderName, String)>, Unsigned> {
    let mut state = if mac.secret_is_base64 {
        let key = from_base64(secret.expose()).ok_or(Unsigned::UnusableSecret)?;
        Keyed::new(mac.digest, &key)
    } else {
        Keyed::new(mac.digest, secret.expose())
    };
    let time = mac.clock.as_ref().map_or(now.millis(), |clock| written(clock, now)).to_string();
    let parts = Parts {
        time: time.as_bytes(),
        method: message.method.as_bytes(),
        url: message.url.as_bytes(),
        message_id: message.id.as_bytes(),
    };
    for piece in &mac.template {
        state.update(piece.bytes(&parts).unwrap_or(body));
    }
    let digest = mac.encoding.encode(&state.finish());

    let mut headers = Vec::new();
    if let Some(name) = mac.message_id_header.as_ref().filter(|_| mac.covers(&Piece::MessageId)) {
        headers.push((name.clone(), message.id.to_owned()));
    }
    if let Some(name) = mac.clock.as_ref().and_then(|clock| clock.header.as_ref()) {
        headers.push((name.clone(), time.clone()));
    }
    let value = match &mac.layout {
        Layout::Bare { prefix } | Layout::Several { prefix } => format!("{prefix}{digest}"),
        Layout::Fields { time: time_name, digest: digest_name, .. } => {
            format!("{time_name}={time},{digest_name}={digest}")
        }
    };
    headers.push((mac.header.clone(), value));
    Ok(headers)
}

/// The number that stands for `now`. Before 1970 it is zero: no provider writes a sign.
/// A time of either unit is written in milliseconds, as four of five receivers of Vapi's
/// say it is.
fn written(clock: &Clock, now: Timestamp) -> i64 {
    let millis = now.millis().max(0);
    match clock.unit {
        Unit::Seconds => millis.checked_div(1000).unwrap_or(0),
        Unit::Millis | Unit::ByMagnitude => millis,
    }
}
