//! The operator's own look at requests (`--inspect`): one print a request, in the lines
//! that the ElevenLabs seed shows, with every credential masked.

mod json;

use std::fmt::Write as _;

use hookgate_core::digest::Keyed;
use hookgate_core::headers::{Found, Text, Value};
use hookgate_core::mask;
use hookgate_core::providers::elevenlabs;
use hookgate_core::received::{Body, Received};
use hookgate_core::scheme::{Layout, Mac, Parts, Piece, Proof, Scheme};
use hookgate_core::secret::{MaskKey, Secret};
use hookgate_core::time::Timestamp;

use crate::answer::{Refusal, Reply};
use crate::metrics::Outcome;

/// How much of a body is printed as it came.
const PAYLOAD_BYTES_MAX: usize = 500;

/// A shorter secret is not looked for in other places: it would mask half the text.
const SECRET_BYTES_MIN: usize = 4;

/// The rule above and below.
const RULE_COLUMNS: usize = 80;

/// One judged request, safe to be shown: credentials are masked already.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// When its body was complete.
    pub at: Timestamp,
    /// The source.
    pub source: String,
    /// The provider's name.
    pub provider: &'static str,
    /// The provider's name as it writes it itself.
    pub title: &'static str,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// The body's length.
    pub body_bytes: u64,
    /// The first bytes of the body, or nothing if it is in a file.
    pub payload: Option<Vec<u8>>,
    /// The body as indented JSON, if it is JSON.
    pub json: Option<String>,
    /// The proof that the request carries. A token is masked.
    pub received_signature: Option<String>,
    /// Whether the source has a secret.
    pub secret_is_set: bool,
    /// The variable that holds it.
    pub secret_variable: Option<&'static str>,
    /// The proof that we expect: in full only if the request is proven.
    pub computed_signature: Option<String>,
    /// Whether the request is proven.
    pub is_valid: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// What became of it, for people.
    pub outcome: String,
}

impl Inspection {
    /// Looks at a judged request. `scheme` is the one that judged it, if one did; `fault`
    /// says why it is not proven.
    pub(crate) fn of(
        received: &Received,
        url: &str,
        scheme: Option<&str>,
        fault: Option<String>,
    ) -> Self {
        let source = &received.source;
        let is_valid = fault.is_none();
        let (policy, proving) = source.proving(received.tool.as_deref());
        let scheme = judge(policy.schemes(), scheme, received);
        let kinds = [source.secrets.shared(), source.secrets.account_keys(), proving.shared()];
        let secrets: Vec<&Secret> = kinds.into_iter().flatten().collect();
        let whole = match &received.body {
            Body::Whole(bytes) => Some(bytes.as_ref()),
            Body::Blob(_) => None,
        };
        let seen = whole.map(|body| look_into(body, &secrets));
        let (payload, json) = seen.map_or((None, None), |(payload, json)| (Some(payload), json));
        Self {
            at: received.at,
            source: source.name.clone(),
            provider: source.provider.name,
            title: source.provider.title,
            method: received.method.clone(),
            target: line(received.target.as_bytes(), &secrets),
            headers: headers(received, &secrets),
            body_bytes: received.body.len(),
            payload,
            json,
            received_signature: scheme.and_then(|scheme| presented(scheme, received)),
            secret_is_set: !proving.is_empty(),
            secret_variable: source.provider.secret_variables.first().copied(),
            computed_signature: scheme.and_then(|scheme| match &scheme.proof {
                Proof::Mac(mac) => compute(mac, received, url, is_valid),
                Proof::Token(_) | Proof::BodyKey(_) => None,
            }),
            is_valid,
            reason: fault,
            outcome: String::new(),
        }
    }

    /// Notes what became of it.
    pub(crate) fn conclude(&mut self, settled: &Result<Reply, Refusal>) {
        self.outcome = match settled {
            Ok(reply) => match reply.outcome {
                Outcome::Accepted => "✅ Webhook processed successfully".to_owned(),
                Outcome::Duplicate => {
                    "✅ Webhook processed successfully (it was here before)".to_owned()
                }
                Outcome::Handshake => "✅ Handshake answered".to_owned(),
                _ => "⚠️ Webhook kept in quarantine: it is not proven".to_owned(),
            },
            Err(refusal) => {
                let status = refusal.reply().status().as_u16();
                format!("❌ Webhook answered with {status}: {}", refusal.name())
            }
        };
    }
}

/// The print of a request.
#[must_use]
pub fn render(inspection: &Inspection) -> String {
    let mut out = String::with_capacity(4096);
    // Writing into a string does not fail.
    let _ = write(&mut out, inspection);
    out
}

fn write(out: &mut String, it: &Inspection) -> std::fmt::Result {
    let rule = "=".repeat(RULE_COLUMNS);
    let title = it.title.to_uppercase();
    // The seed's own words.
    let what = if it.provider == elevenlabs::PROVIDER.name { " POST-CONVERSATION" } else { "" };
    writeln!(out, "{rule}\n{title}{what} WEBHOOK RECEIVED\n{rule}")?;
    writeln!(out, "Timestamp: {}\n\nHeaders:", it.at)?;
    for (name, value) in &it.headers {
        writeln!(out, "  {name}: {value}")?;
    }
    writeln!(out, "\nRaw Payload (bytes length): {}", it.body_bytes)?;
    let payload = it.payload.as_deref().map_or("(large: kept in a file)".to_owned(), python_bytes);
    writeln!(out, "Raw Payload (first {PAYLOAD_BYTES_MAX} chars): {payload}")?;
    match &it.json {
        Some(json) => writeln!(out, "\nParsed JSON Payload:\n{json}")?,
        None => writeln!(out, "\nParsed JSON Payload: None")?,
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "None".to_owned());
    let python = |it: bool| if it { "True" } else { "False" };
    writeln!(out, "\n--- HMAC Verification ---")?;
    writeln!(out, "Received Signature: {}", or_none(&it.received_signature))?;
    writeln!(out, "Webhook Secret Set: {}", python(it.secret_is_set))?;
    if let (false, Some(variable)) = (it.secret_is_set, it.secret_variable) {
        writeln!(out, "⚠️ WARNING: {variable} not set")?;
    }
    writeln!(out, "Computed Signature: {}", or_none(&it.computed_signature))?;
    writeln!(out, "Signature Valid: {}", python(it.is_valid))?;
    if let Some(reason) = &it.reason {
        writeln!(out, "Reason: {reason}")?;
    }
    writeln!(out, "\n{}\n{rule}", it.outcome)
}

/// The scheme to show: the one that judged, else the first that the request carries
/// something of, else the first of all.
fn judge<'s>(schemes: &'s [Scheme], name: Option<&str>, received: &Received) -> Option<&'s Scheme> {
    let named = name.and_then(|name| schemes.iter().find(|scheme| scheme.name == name));
    let carried = || schemes.iter().find(|scheme| presented(scheme, received).is_some());
    named.or_else(carried).or_else(|| schemes.first())
}

/// The proof in the request's headers. A token is a credential.
fn presented(scheme: &Scheme, received: &Received) -> Option<String> {
    let found = |name| match received.headers.find(name) {
        Found::Once(Text::Plain(value)) => Some(value),
        _ => None,
    };
    match &scheme.proof {
        Proof::Mac(mac) => {
            let value = found(&mac.header)?;
            Some(mask::visible(&String::from_utf8_lossy(value)))
        }
        Proof::Token(token) => found(&token.header).map(|_| mask::MASK.to_owned()),
        Proof::BodyKey(_) => None,
    }
}

/// The digest that a proof would have to hold.
fn compute(mac: &Mac, received: &Received, url: &str, is_valid: bool) -> Option<String> {
    let Body::Whole(body) = &received.body else { return None };
    let header = received.headers.text(&mac.header);
    let time = match (&mac.clock, &mac.layout) {
        (Some(clock), _) if clock.header.is_some() => {
            clock.header.as_ref().and_then(|name| received.headers.text(name))
        }
        (_, Layout::Fields { time, .. }) => header.and_then(|header| {
            let mut elements = header.split(',').filter_map(|it| it.trim().split_once('='));
            elements.find(|(key, _)| key == time).map(|(_, value)| value)
        }),
        _ => None,
    };
    let message_id = mac.message_id_header.as_ref().and_then(|name| received.headers.text(name));
    let parts = Parts {
        time: time.unwrap_or_default().as_bytes(),
        method: received.method.as_bytes(),
        url: url.as_bytes(),
        message_id: message_id.unwrap_or_default().as_bytes(),
    };
    let digest = |secret: &Secret| {
        let key = if mac.secret_is_base64 {
            hookgate_core::digest::from_base64(secret.expose())?.to_vec()
        } else {
            secret.expose().to_vec()
        };
        let mut keyed = Keyed::new(mac.digest, &key);
        for piece in &mac.template {
            keyed.update(match piece {
                Piece::Body => body,
                _ => piece.bytes(&parts).unwrap_or_default(),
            });
        }
        Some(mac.encoding.encode(&keyed.finish()))
    };
    let digests: Vec<String> = received.source.secrets.shared().iter().filter_map(digest).collect();
    // Several secrets may be in force: show the one that proved it.
    let proved = digests.iter().find(|it| header.is_some_and(|header| header.contains(*it)));
    let digest = proved.or_else(|| digests.first())?;
    Some(if is_valid { digest.clone() } else { mask::digest(digest) })
}

/// Names and values. Credentials are masked, and the common names are written as people
/// are used to see them.
fn headers(received: &Received, secrets: &[&Secret]) -> Vec<(String, String)> {
    // The hash is thrown away: what counts is which values are replaced by one.
    let masked = received.headers.masked(&MaskKey::new([0; 32]), &received.source.token_headers);
    let show = |value: &Value| match value {
        Value::Plain(bytes) => line(bytes, secrets),
        Value::Hashed { prefix, .. } => {
            format!("{}{}", String::from_utf8_lossy(prefix), mask::MASK)
        }
    };
    masked.iter().map(|(name, value)| (title_case(name.as_str()), show(value))).collect()
}

/// HTTP does not care, and the bytes of a name are not kept.
fn title_case(name: &str) -> String {
    const COMMON: [&str; 14] = [
        "accept",
        "accept-encoding",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "host",
        "transfer-encoding",
        "user-agent",
    ];
    if !COMMON.contains(&name) {
        return name.to_owned();
    }
    let capital = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

/// A text of one line, without secrets and deceptive characters.
fn line(bytes: &[u8], secrets: &[&Secret]) -> String {
    mask::visible(&String::from_utf8_lossy(&scrub(bytes, secrets)))
}

/// The first bytes of a body, and its JSON, both without credentials.
fn look_into(body: &[u8], secrets: &[&Secret]) -> (Vec<u8>, Option<String>) {
    let scrubbed = scrub(body, secrets);
    let (shown, json) = match json::masked(&scrubbed) {
        Some(masked) => (masked.payload, Some(masked.indented)),
        None => (scrubbed, None),
    };
    let mut shown = shown;
    shown.truncate(PAYLOAD_BYTES_MAX);
    (shown, json)
}

/// The bytes without any of our own secrets.
fn scrub(bytes: &[u8], secrets: &[&Secret]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for secret in secrets.iter().filter(|it| it.expose().len() >= SECRET_BYTES_MIN) {
        bytes = replace(&bytes, secret.expose(), mask::MASK.as_bytes());
    }
    bytes
}

pub(crate) fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(what).filter(|_| !what.is_empty()) {
            out.extend_from_slice(by);
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    out
}

/// Bytes as Python prints them.
fn python_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::with_capacity(bytes.len().saturating_add(3));
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            it if char::from(*it) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}
