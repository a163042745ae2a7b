//! Policies by name, with their options, as configuration and the command line give them.
//!
//! [`TABLE`] is the one list: the parser, the help text and the tests read it. A name
//! without options means what its provider documents.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value};

use crate::scheme::{
    Clock, Digest, Encoding, Layout, Mac, Piece, Policy, Proof, Scheme, Token, Unit,
};

/// A policy that has a name.
#[derive(Debug)]
pub struct Named {
    /// Its name, `provider.scheme`.
    pub name: &'static str,
    /// What it accepts, in one line.
    pub about: &'static str,
    /// The options that it knows.
    pub options: &'static [&'static str],
    make: fn(&'static str, &Options<'_>) -> Result<Policy, NamedError>,
}

/// Every named policy.
pub const TABLE: &[Named] = &[
    Named {
        name: "elevenlabs.official",
        about: "`t=<s>,v0=<hex>` in elevenlabs-signature: HMAC-SHA256 over `t.body`",
        options: &["max_age_s", "max_future_s"],
        make: |name, options| Ok(one(elevenlabs_official(name, options)?)),
    },
    Named {
        name: "elevenlabs.seed_plain_hex",
        about: "hex HMAC-SHA256 of the body in elevenlabs-signature",
        options: &[],
        make: |name, _| Ok(one(body_mac(name, ELEVENLABS_SIGNATURE, Digest::HmacSha256))),
    },
    Named {
        name: "elevenlabs.auto",
        about: "elevenlabs.official, and with allow_seed_plain_hex a header without `=` as elevenlabs.seed_plain_hex",
        options: &["max_age_s", "max_future_s", "allow_seed_plain_hex"],
        make: elevenlabs_auto,
    },
    Named {
        name: "retell.v_d",
        about: "`v=<ms>,d=<hex>` in x-retell-signature: HMAC-SHA256 over body and time",
        options: &["tolerance_ms"],
        make: |name, options| Ok(one(retell(name, options)?)),
    },
    Named {
        name: "vapi.hmac",
        about: "Vapi's HMAC credential with all its settings",
        options: HMAC_OPTIONS,
        make: |name, options| Ok(one(hmac(name, options)?)),
    },
    Named {
        name: "vapi.seed_hex",
        about: "hex HMAC-SHA256 of the body in x-vapi-signature",
        options: &[],
        make: |name, _| Ok(one(body_mac(name, VAPI_SIGNATURE, Digest::HmacSha256))),
    },
    Named {
        name: "vapi.secret",
        about: "the secret itself in x-vapi-secret",
        options: &[],
        make: |name, _| Ok(one(token_in(name, VAPI_SECRET, false))),
    },
    Named {
        name: "vapi.token",
        about: "the secret itself, in authorization behind `Bearer ` unless set otherwise",
        options: TOKEN_OPTIONS,
        make: |name, options| Ok(one(token(name, options)?)),
    },
    Named {
        name: "vapi.auto",
        about: "the first present of vapi.hmac, vapi.seed_hex, vapi.secret, vapi.token",
        options: &["tolerance_ms"],
        make: vapi_auto,
    },
    Named {
        name: "mightycall.bearer",
        about: "the secret itself in authorization, behind `Bearer `",
        options: &[],
        make: |name, _| Ok(one(token_in(name, AUTHORIZATION, true))),
    },
    Named {
        name: "mightycall.hmac",
        about: "HMAC-SHA256 of the body, hex or base64, in x-signature, x-mc-signature or x-mightycall-signature",
        options: &[],
        make: |_, _| Ok(Policy::Any(mightycall_macs())),
    },
    Named {
        name: "mightycall.header",
        about: "any of mightycall.bearer and mightycall.hmac",
        options: &[],
        make: |_, _| Ok(Policy::Any(mightycall_headers())),
    },
    Named {
        name: "mightycall.body_api_key",
        about: "the account key as `ApiKey` in the JSON body",
        options: &[],
        make: |name, _| Ok(one(mightycall_body(name))),
    },
    Named {
        name: "mightycall.auto",
        about: "any of mightycall.header and mightycall.body_api_key",
        options: &[],
        make: |_, _| {
            let mut schemes = mightycall_headers();
            schemes.push(mightycall_body("mightycall.body_api_key"));
            Ok(Policy::Any(schemes))
        },
    },
    Named {
        name: "tawk.hmac_sha1",
        about: "hex HMAC-SHA1 of the body in x-tawk-signature",
        options: &[],
        make: |name, _| Ok(one(body_mac(name, TAWK_SIGNATURE, Digest::HmacSha1))),
    },
    Named {
        name: "tool.secret",
        about: "the secret itself in authorization behind `Bearer `, else in x-hookgate-tool-secret",
        options: &[],
        make: |name, _| {
            let bearer = token_in(name, AUTHORIZATION, true);
            Ok(Policy::First(vec![bearer, token_in(name, TOOL_SECRET, false)]))
        },
    },
    Named {
        name: "hmac",
        about: "any digest over a request, with the settings of vapi.hmac",
        options: HMAC_OPTIONS,
        make: |name, options| Ok(one(hmac(name, options)?)),
    },
    Named {
        name: "token",
        about: "any shared secret in a header, with the settings of vapi.token",
        options: TOKEN_OPTIONS,
        make: |name, options| Ok(one(token(name, options)?)),
    },
];

/// A provider's default policy.
struct Default {
    provider: &'static str,
    policy: &'static str,
    /// The switches that the gateway gives it, where they differ from the policy's own.
    switches: &'static [(&'static str, bool)],
}

const DEFAULTS: &[Default] = &[
    Default {
        provider: "elevenlabs",
        policy: "elevenlabs.auto",
        // The project was asked for with the plain form, so it is on.
        switches: &[("allow_seed_plain_hex", true)],
    },
    Default { provider: "retell", policy: "retell.v_d", switches: &[] },
    Default { provider: "vapi", policy: "vapi.auto", switches: &[] },
    Default { provider: "mightycall", policy: "mightycall.auto", switches: &[] },
    Default { provider: "tawk", policy: "tawk.hmac_sha1", switches: &[] },
];

const TOKEN_OPTIONS: &[&str] = &["header_name", "bearer_prefix"];

const HMAC_OPTIONS: &[&str] = &[
    "algorithm",
    "signature_header",
    "timestamp_header",
    "message_id_header",
    "include_timestamp",
    "payload_format",
    "encoding",
    "signature_prefix",
    "secret_is_base64",
    "tolerance_ms",
    "multi",
    // Facts of one request, not of the scheme. A captured request that is judged offline
    // brings them along with its options; whoever judges it puts them into the envelope.
    "method",
    "url",
];

const ELEVENLABS_SIGNATURE: HeaderName = HeaderName::from_static("elevenlabs-signature");
const RETELL_SIGNATURE: HeaderName = HeaderName::from_static("x-retell-signature");
const TAWK_SIGNATURE: HeaderName = HeaderName::from_static("x-tawk-signature");
const TOOL_SECRET: HeaderName = HeaderName::from_static("x-hookgate-tool-secret");
const VAPI_SECRET: HeaderName = HeaderName::from_static("x-vapi-secret");
const VAPI_SIGNATURE: HeaderName = HeaderName::from_static("x-vapi-signature");
const MIGHTYCALL_SIGNATURES: [HeaderName; 3] = [
    HeaderName::from_static("x-signature"),
    HeaderName::from_static("x-mc-signature"),
    HeaderName::from_static("x-mightycall-signature"),
];

/// How old ElevenLabs' signatures may be. Its SDKs allow 30 minutes back and any time
/// ahead (elevenlabs 2.78.0 and elevenlabs-js 2.73.0, `construct_event`, read 2026-11);
/// the bound ahead is ours.
const ELEVENLABS_AGE_SECONDS_MAX: u64 = 1800;

/// How far Retell's signatures may be off, either way (retell-sdk 6.2.13 and 5.66.1,
/// `webhook_auth`, read 2026-11). Vapi documents no window; the same is used there.
const TOLERANCE_MILLIS: u64 = 300_000;

/// Why a named policy cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamedError {
    /// No policy has this name.
    #[error("no scheme is called `{0}`; there are: {list}", list = List(&names()))]
    UnknownName(String),
    /// The options are not an object.
    #[error("the options of a scheme are an object, as in `{{\"tolerance_ms\": 300000}}`")]
    NotAnObject,
    /// The policy has no such option.
    #[error("`{name}` has no option `{option}`; {list}", list = Known(options))]
    UnknownOption {
        /// The policy.
        name: &'static str,
        /// What was given.
        option: String,
        /// What there is.
        options: &'static [&'static str],
    },
    /// The option's value is of another kind.
    #[error("option `{option}` must be {wanted}")]
    WrongValue {
        /// The option.
        option: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// Two options contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

/// Makes the policy of this name. `options` is an object, or null for none.
///
/// # Errors
///
/// A [`NamedError`] that says which word is wrong and what would be right.
pub fn policy(name: &str, options: &Value) -> Result<Policy, NamedError> {
    let row = TABLE.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| NamedError::UnknownName(name.to_owned()))?;
    let options = Options::read(row, options)?;
    (row.make)(row.name, &options)
}

/// The names of all policies.
#[must_use]
pub fn names() -> Vec<&'static str> {
    TABLE.iter().map(|row| row.name).collect()
}

/// The name of a provider's default policy.
#[must_use]
pub fn for_provider(provider: &str) -> Option<&'static str> {
    DEFAULTS.iter().find(|row| row.provider == provider).map(|row| row.policy)
}

/// What a provider's source accepts unless configured otherwise.
#[must_use]
pub fn default_policy(provider: &str) -> Option<Policy> {
    let row = DEFAULTS.iter().find(|row| row.provider == provider)?;
    let options = row.switches.iter().map(|(name, on)| ((*name).to_owned(), Value::Bool(*on)));
    policy(row.policy, &Value::Object(options.collect())).ok()
}

fn one(scheme: Scheme) -> Policy {
    Policy::First(vec![scheme])
}

fn elevenlabs_official(name: &'static str, options: &Options<'_>) -> Result<Scheme, NamedError> {
    let seconds = |option| options.number(option, ELEVENLABS_AGE_SECONDS_MAX);
    let clock = Clock {
        header: None,
        unit: Unit::Seconds,
        age_max: Duration::from_secs(seconds("max_age_s")?),
        ahead_max: Duration::from_secs(seconds("max_future_s")?),
    };
    let mac = Mac {
        header: ELEVENLABS_SIGNATURE,
        digest: Digest::HmacSha256,
        encoding: Encoding::LowerHex,
        layout: Layout::Fields { time: "t", digest: "v0", exact: false },
        template: vec![Piece::TimeAsSent, Piece::Text(".".to_owned()), Piece::Body],
        clock: Some(clock),
        message_id_header: None,
        secret_is_base64: false,
    };
    Ok(Scheme { name, proof: Proof::Mac(mac) })
}

fn elevenlabs_auto(_: &'static str, options: &Options<'_>) -> Result<Policy, NamedError> {
    let mut schemes = vec![elevenlabs_official("elevenlabs.official", options)?];
    if options.switch("allow_seed_plain_hex", false)? {
        let name = "elevenlabs.seed_plain_hex";
        schemes.push(body_mac(name, ELEVENLABS_SIGNATURE, Digest::HmacSha256));
    }
    Ok(Policy::First(schemes))
}

fn retell(name: &'static str, options: &Options<'_>) -> Result<Scheme, NamedError> {
    let tolerance = options.tolerance()?;
    let mac = Mac {
        header: RETELL_SIGNATURE,
        digest: Digest::HmacSha256,
        encoding: Encoding::Hex,
        layout: Layout::Fields { time: "v", digest: "d", exact: true },
        template: vec![Piece::Body, Piece::TimeAsNumber],
        clock: Some(Clock {
            header: None,
            unit: Unit::Millis,
            age_max: tolerance,
            ahead_max: tolerance,
        }),
        message_id_header: None,
        secret_is_base64: false,
    };
    Ok(Scheme { name, proof: Proof::Mac(mac) })
}

fn vapi_auto(_: &'static str, options: &Options<'_>) -> Result<Policy, NamedError> {
    Ok(Policy::First(vec![
        hmac("vapi.hmac", options)?,
        body_mac("vapi.seed_hex", VAPI_SIGNATURE, Digest::HmacSha256),
        token_in("vapi.secret", VAPI_SECRET, false),
        token_in("vapi.token", AUTHORIZATION, true),
    ]))
}

fn mightycall_headers() -> Vec<Scheme> {
    let mut schemes = vec![token_in("mightycall.bearer", AUTHORIZATION, true)];
    schemes.extend(mightycall_macs());
    schemes
}

/// One scheme a header. Any of them will do, as the seed asks.
fn mightycall_macs() -> Vec<Scheme> {
    let scheme = |header| {
        let mut scheme = body_mac("mightycall.hmac", header, Digest::HmacSha256);
        if let Proof::Mac(mac) = &mut scheme.proof {
            mac.encoding = Encoding::HexOrBase64;
        }
        scheme
    };
    MIGHTYCALL_SIGNATURES.into_iter().map(scheme).collect()
}

fn mightycall_body(name: &'static str) -> Scheme {
    Scheme { name, proof: Proof::BodyKey(&["ApiKey"]) }
}

/// A bare hex digest of the body.
fn body_mac(name: &'static str, header: HeaderName, digest: Digest) -> Scheme {
    let mac = Mac {
        header,
        digest,
        encoding: Encoding::Hex,
        layout: Layout::Bare { prefix: String::new() },
        template: vec![Piece::Body],
        clock: None,
        message_id_header: None,
        secret_is_base64: false,
    };
    Scheme { name, proof: Proof::Mac(mac) }
}

fn token_in(name: &'static str, header: HeaderName, bearer: bool) -> Scheme {
    Scheme { name, proof: Proof::Token(Token { header, bearer }) }
}

fn token(name: &'static str, options: &Options<'_>) -> Result<Scheme, NamedError> {
    let header = options.header("header_name")?.unwrap_or(AUTHORIZATION);
    Ok(token_in(name, header, options.switch("bearer_prefix", true)?))
}

/// Source of the settings and their defaults: Vapi's OpenAPI document, HMAC credential,
/// and the form in its dashboard (read 2026-11).
fn hmac(name: &'static str, options: &Options<'_>) -> Result<Scheme, NamedError> {
    let digest = options.choice(
        "algorithm",
        "`sha1`, `sha256` or `sha512`",
        &[
            ("sha256", Digest::HmacSha256),
            ("sha1", Digest::HmacSha1),
            ("sha512", Digest::HmacSha512),
        ],
    )?;
    let encoding = options.choice(
        "encoding",
        "`hex` or `base64`",
        &[("hex", Encoding::Hex), ("base64", Encoding::Base64)],
    )?;
    let signature = options.header("signature_header")?;
    let timestamp = options.header("timestamp_header")?;
    let message_id_header = options.header("message_id_header")?;
    let prefix = options.text("signature_prefix", "")?.to_owned();
    let layout = if options.switch("multi", false)? {
        Layout::Several { prefix }
    } else {
        Layout::Bare { prefix }
    };
    let tolerance = options.tolerance()?;
    let timed = options.switch("include_timestamp", true)?;
    let clock = timed.then(|| Clock {
        header: Some(timestamp.unwrap_or(HeaderName::from_static("x-timestamp"))),
        unit: Unit::ByMagnitude,
        age_max: tolerance,
        ahead_max: tolerance,
    });
    let format = if timed { "{timestamp}.{body}" } else { "{body}" };
    let template = template(options.text("payload_format", format)?)?;

    if !template.contains(&Piece::Body) {
        return Err(NamedError::Contradiction(
            "`payload_format` without `{body}` would leave the body unproven",
        ));
    }
    if template.contains(&Piece::TimeAsSent) && clock.is_none() {
        return Err(NamedError::Contradiction(
            "`payload_format` has `{timestamp}`, but `include_timestamp` is false",
        ));
    }
    if template.contains(&Piece::MessageId) && message_id_header.is_none() {
        return Err(NamedError::Contradiction(
            "`payload_format` has `{svix-id}`, but there is no `message_id_header`",
        ));
    }
    let mac = Mac {
        header: signature.unwrap_or(HeaderName::from_static("x-signature")),
        digest,
        encoding,
        layout,
        template,
        clock,
        message_id_header,
        secret_is_base64: options.switch("secret_is_base64", false)?,
    };
    Ok(Scheme { name, proof: Proof::Mac(mac) })
}

/// Reads Vapi's `payloadFormat`.
fn template(format: &str) -> Result<Vec<Piece>, NamedError> {
    let wrong = NamedError::WrongValue {
        option: "payload_format",
        wanted: "a text with the placeholders `{body}`, `{timestamp}`, `{method}`, `{url}` and `{svix-id}`, and no other",
    };
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('{') {
        text.push_str(before);
        let piece = match behind.split_once('}').map(|(name, _)| name) {
            Some("body") => Some(Piece::Body),
            Some("timestamp") => Some(Piece::TimeAsSent),
            Some("method") => Some(Piece::Method),
            Some("url") => Some(Piece::Url),
            Some("svix-id") => Some(Piece::MessageId),
            // What looks like a placeholder is a typing error, anything else is text.
            Some(name) if is_word(name) => return Err(wrong),
            _ => None,
        };
        let Some(piece) = piece else {
            text.push('{');
            rest = behind;
            continue;
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(piece);
        rest = behind.split_once('}').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
}

/// The options of one policy, read strictly.
struct Options<'a>(Option<&'a Map<String, Value>>);

impl<'a> Options<'a> {
    fn read(row: &'static Named, options: &'a Value) -> Result<Self, NamedError> {
        let map = match options {
            Value::Null => return Ok(Self(None)),
            Value::Object(map) => map,
            _ => return Err(NamedError::NotAnObject),
        };
        match map.keys().find(|option| !row.options.contains(&option.as_str())) {
            None => Ok(Self(Some(map))),
            Some(option) => Err(NamedError::UnknownOption {
                name: row.name,
                option: option.clone(),
                options: row.options,
            }),
        }
    }

    fn get(&self, option: &str) -> Option<&'a Value> {
        self.0?.get(option).filter(|value| !value.is_null())
    }

    fn text(&self, option: &'static str, default: &'a str) -> Result<&'a str, NamedError> {
        match self.get(option) {
            None => Ok(default),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(NamedError::WrongValue { option, wanted: "a text" }),
        }
    }

    fn switch(&self, option: &'static str, default: bool) -> Result<bool, NamedError> {
        match self.get(option) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(NamedError::WrongValue { option, wanted: "true or false" }),
        }
    }

    fn number(&self, option: &'static str, default: u64) -> Result<u64, NamedError> {
        match self.get(option) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .ok_or(NamedError::WrongValue { option, wanted: "a whole number, not negative" }),
        }
    }

    fn tolerance(&self) -> Result<Duration, NamedError> {
        self.number("tolerance_ms", TOLERANCE_MILLIS).map(Duration::from_millis)
    }

    /// The first choice is the default.
    fn choice<T: Copy>(
        &self,
        option: &'static str,
        wanted: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<T, NamedError> {
        let default = choices.first().map_or("", |(name, _)| name);
        let chosen = self.text(option, default)?;
        let found = choices.iter().find(|(name, _)| *name == chosen);
        found.map(|(_, it)| *it).ok_or(NamedError::WrongValue { option, wanted })
    }

    /// A header's name. An empty one is none, as in Vapi's form.
    fn header(&self, option: &'static str) -> Result<Option<HeaderName>, NamedError> {
        match self.text(option, "")? {
            "" => Ok(None),
            name => HeaderName::from_bytes(name.as_bytes())
                .map(Some)
                .map_err(|_| NamedError::WrongValue { option, wanted: "a header's name" }),
        }
    }
}

/// Prints words as a sentence has them.
struct List<'a>(&'a [&'static str]);

impl fmt::Display for List<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join(", "))
    }
}

/// Prints the options that there are.
struct Known<'a>(&'a [&'static str]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => out.write_str("it has none"),
            options => write!(out, "it has: {}", List(options)),
        }
    }
}

#[cfg(test)]
mod tests;
