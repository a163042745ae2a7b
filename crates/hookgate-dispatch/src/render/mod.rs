//! What is made of an event for a destination: one file for each kind of message.
//!
//! What holds:
//!
//! - **Nothing of the sender's becomes a header's name**, and nothing of it reaches a value
//!   before it was made printable ASCII ([`http::header_value`]).
//! - **No proof of the provider's goes on**: its signatures and tokens are nobody's business
//!   but ours. A receiver verifies our signature.
//! - **A tenant gets no credentials**: where a body has some (an account's key, the URL that
//!   steers a call) they are masked. The operator's own destinations get the exact bytes.
//! - **A message for people says what happened, not what was said**, unless a template asks
//!   for it.

pub mod cloudevents;
pub mod discord;
pub mod http;
pub mod ntfy;
pub mod slack;
pub mod text;

use std::fmt;

use ::http::HeaderMap;
use bytes::Bytes;
use hookgate_core::alert::AlertKind;
use hookgate_core::delivery::{DestinationKind, DestinationSettings, Format};
use hookgate_core::tenant::Scope;
use hookgate_egress::Url;
use hookgate_store::Event;
use serde_json::Value;

/// What is to be told.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its body, byte for byte.
    pub body: &'a Bytes,
    /// What it says, in the form that is the same for every provider.
    pub canonical: &'a Value,
    /// The id of the message: the same for each attempt, another for each replay.
    pub id: &'a str,
    /// Which replay this is; 0 for the first delivery.
    pub replay: u32,
    /// Whose destination it is.
    pub scope: &'a Scope,
    /// Where the gateway is reached from outside, without a slash at its end.
    pub public_url: Option<&'a str>,
}

/// What is sent, by `POST`. An HTTP destination's is signed besides.
#[derive(Clone)]
pub struct Rendered {
    /// Where to.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What a destination gets of this event.
///
/// # Errors
///
/// Why there is nothing to send.
pub fn render(
    subject: &Subject<'_>,
    settings: &DestinationSettings,
) -> Result<Rendered, Unrenderable> {
    let url: Url = settings.url.parse().map_err(|_| Unrenderable::Url)?;
    // What an alert says is in our words: a template and the provider's bytes are of events.
    let is_alert = AlertKind::named(&subject.event.kind).is_some();
    let template = settings.template.as_deref().filter(|_| !is_alert);
    Ok(match (settings.kind, settings.format) {
        (DestinationKind::Http, Format::Raw) if is_alert => http::canonical(subject, url),
        (DestinationKind::Http, Format::Raw) => return http::raw(subject, url),
        (DestinationKind::Http, Format::Canonical) => http::canonical(subject, url),
        (DestinationKind::Http, Format::Cloudevents) => cloudevents::structured(subject, url),
        (DestinationKind::Slack, _) => slack::message(subject, url, template),
        (DestinationKind::Discord, _) => discord::message(subject, url, template),
        (DestinationKind::Ntfy, _) => ntfy::message(subject, url, template),
    })
}

/// Why there is nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrenderable {
    /// The destination's URL is none.
    #[error("the destination's URL cannot be read")]
    Url,
    /// The body is no JSON object, so its credentials cannot be masked, and the destination
    /// is a tenant's.
    #[error("the body cannot be read, and so its credentials cannot be masked")]
    Unmaskable,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subject")
            .field("event", &self.event.id)
            .field("body_bytes", &self.body.len())
            .field("id", &self.id)
            .field("replay", &self.replay)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rendered")
            .field("origin", &hookgate_egress::origin(&self.url))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
