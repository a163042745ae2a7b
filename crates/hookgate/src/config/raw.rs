//! `hookgate.toml` as it is written: every key, nothing checked yet but names and types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hookgate_secrets::SecretsSettings;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::store::StoreText;
use crate::exit::Usage;

/// The file that is read when `--config` names no other, in the working folder.
const FILE: &str = "hookgate.toml";

/// The largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The whole file.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    /// `[server]`
    pub(crate) server: RawServer,
    /// `[store]`
    pub(crate) store: RawStore,
    /// `[limits]`
    pub(crate) limits: RawLimits,
    /// `[tls]`
    pub(crate) tls: RawTls,
    /// `[log]`
    pub(crate) log: RawLog,
    /// `[secrets]`
    pub(crate) secrets: SecretsSettings,
    /// `[egress]`
    pub(crate) egress: RawEgress,
    /// `[tools]`
    pub(crate) tools: RawTools,
    /// `[delivery]`
    pub(crate) delivery: RawDelivery,
    /// `[recordings]`
    pub(crate) recordings: RawRecordings,
    /// `[alerts]`
    pub(crate) alerts: RawAlerts,
    /// `[source.NAME]`
    pub(crate) source: BTreeMap<String, RawSource>,
}

/// `[server]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawServer {
    /// Address and port.
    pub(crate) listen: Option<String>,
    /// Address and port of the API and the metrics, if they get a listener of their own.
    pub(crate) admin_listen: Option<String>,
    /// What providers call: scheme and host.
    pub(crate) public_url: Option<String>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<String>,
    /// Refuses what a trusted proxy did not receive by HTTPS.
    pub(crate) require_https: Option<bool>,
    /// Threads that serve requests.
    pub(crate) workers: Option<usize>,
}

/// `[store]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawStore {
    /// The folder, or the URL of a database.
    pub(crate) path: Option<StoreText>,
    /// The folder of what belongs to this node alone, beside a database.
    pub(crate) folder: Option<String>,
    /// Where events wait while the database is away, or `off`.
    pub(crate) spool: Option<String>,
    /// What may wait there.
    pub(crate) spool_bytes: Option<Bytes>,
    /// How long a start waits for a database that is away.
    pub(crate) start_seconds: Option<u64>,
    /// What is kept of accepted requests without proof.
    pub(crate) unproven: RawRing,
    /// What is kept of refused requests.
    pub(crate) rejections: RawRing,
    /// The largest segment file of the journal.
    pub(crate) segment_bytes: Option<Bytes>,
    /// From here on the disk is reported as filling up.
    pub(crate) disk_warn_percent: Option<u8>,
    /// From here on nothing is accepted.
    pub(crate) disk_full_percent: Option<u8>,
}

/// Bounds of what is overwritten when it is full.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRing {
    /// Bytes on disk.
    pub(crate) bytes: Option<Bytes>,
    /// Requests.
    pub(crate) records: Option<u64>,
}

/// `[limits]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    /// Connections in all.
    pub(crate) connections: Option<usize>,
    /// Connections of one peer.
    pub(crate) connections_per_peer: Option<usize>,
    /// Requests in flight of one peer.
    pub(crate) in_flight_per_peer: Option<usize>,
    /// Requests in flight of one source.
    pub(crate) in_flight_per_source: Option<usize>,
    /// Bytes of a request's head.
    pub(crate) header_bytes: Option<Bytes>,
    /// Headers of a request.
    pub(crate) headers: Option<usize>,
    /// How long a head may take.
    pub(crate) header_seconds: Option<u64>,
    /// How long a body may take, whatever its rate.
    pub(crate) body_seconds: Option<u64>,
    /// How slow a body may come after its first seconds.
    pub(crate) body_bytes_per_second: Option<Bytes>,
    /// What all arriving bodies may hold in memory together.
    pub(crate) bodies_in_memory: Option<Bytes>,
    /// How long a connection may stand idle.
    pub(crate) idle_seconds: Option<u64>,
    /// How long a stopping server waits for what it accepted.
    pub(crate) shutdown_seconds: Option<u64>,
    /// Events a second of a tenant without a quota of its own.
    pub(crate) tenant_events_per_second: Option<u32>,
    /// Bytes of bodies a second of such a tenant.
    pub(crate) tenant_bytes_per_second: Option<Bytes>,
    /// Events of such a tenant on their way to the disk.
    pub(crate) tenant_in_flight: Option<u32>,
}

/// `[tls]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTls {
    /// PEM file with the certificate chain.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub(crate) key: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLog {
    /// `human` or `json`.
    pub(crate) format: Option<String>,
    /// A level, or directives as in `RUST_LOG`.
    pub(crate) level: Option<String>,
}

/// `[egress]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawEgress {
    /// Networks that tenants may make the gateway reach although they are private.
    pub(crate) allow: Vec<String>,
}

/// `[tools]`
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTools {
    /// How long a caller is kept waiting.
    pub(crate) budget_ms: Option<u64>,
    /// What the agents of a tenant may do that has no settings of its own.
    pub(crate) defaults: serde_json::Value,
}

impl Default for RawTools {
    fn default() -> Self {
        Self { budget_ms: None, defaults: serde_json::json!({}) }
    }
}

/// `[delivery]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawDelivery {
    /// The waits after the first attempt.
    pub(crate) retry: Option<Vec<String>>,
    /// Attempts under way at once.
    pub(crate) in_flight: Option<usize>,
    /// Deliveries that are replayed or tried again in bulk, a second.
    pub(crate) bulk_per_second: Option<u32>,
}

/// `[alerts]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAlerts {
    /// Whether it is looked.
    pub(crate) enabled: Option<bool>,
    /// How often.
    pub(crate) interval: Option<String>,
    /// Refused requests of a source from which on there may be an alert.
    pub(crate) rejections: Option<u64>,
    /// No source is silent within this.
    pub(crate) silence: Option<String>,
}

/// `[recordings]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRecordings {
    /// Whether recordings are fetched and kept.
    pub(crate) archive: Option<bool>,
    /// Bytes of the largest.
    pub(crate) max_bytes: Option<Bytes>,
}

/// `[source.NAME]`
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSource {
    /// The provider; the source's name by default.
    pub(crate) provider: Option<String>,
    /// More paths that lead here.
    pub(crate) path: OneOrMore<String>,
    /// The schemes that it accepts.
    pub(crate) schemes: OneOrMore<RawScheme>,
    /// References to its secrets.
    pub(crate) secret: OneOrMore<String>,
    /// References to what proves tool calls that their provider does not sign.
    pub(crate) tool_secret: OneOrMore<String>,
    /// References to the account keys that stand inside its bodies.
    pub(crate) account_key: OneOrMore<String>,
    /// `auto`, `enforce` or `record`.
    pub(crate) verification: Option<String>,
    /// `auto`, `observe` or `enforce`.
    pub(crate) ownership: Option<String>,
    /// Whether the first event of a conversation may make it known.
    pub(crate) adopt: Option<bool>,
    /// `exact` or `same_tenant`.
    pub(crate) assistant_match: Option<String>,
    /// Whether an organisation's id in the body names a tenant.
    pub(crate) trust_body_org: Option<bool>,
    /// Whether ids among the arguments of a tool call count.
    pub(crate) flat_agent_id: Option<bool>,
    /// The tenant whose events alone come here.
    pub(crate) tenant: Option<String>,
    /// After how many days its events are erased.
    pub(crate) retention_days: Option<u32>,
    /// Whether its recordings are kept, whatever `[recordings]` says.
    pub(crate) archive_recordings: Option<bool>,
    /// Networks whose requests are let in.
    pub(crate) allow_from: Vec<String>,
    /// `limits = { … }`
    pub(crate) limits: RawSourceLimits,
}

/// The limits of one source.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSourceLimits {
    /// Bytes of a body.
    pub(crate) body: Option<Bytes>,
    /// Bytes of a body once a plausible signature was seen.
    pub(crate) large_body: Option<Bytes>,
}

/// A scheme: its name, or a table as in the test vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawScheme {
    /// Its name.
    pub(crate) scheme: String,
    /// Its options.
    pub(crate) config: serde_json::Value,
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

/// A number of bytes: `1048576`, or a text as `"1 MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl RawConfig {
    /// Reads the file at `path`; where none is named, [`FILE`] if it is there. Says too
    /// which file it was.
    pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<(Self, Option<PathBuf>)> {
        let path = match path {
            Some(path) => path,
            None if Path::new(FILE).exists() => Path::new(FILE),
            None => return Ok((Self::default(), None)),
        };
        let bytes = std::fs::metadata(path)
            .map_err(|error| Usage::new(format!("cannot read {}: {error}", path.display())))?
            .len();
        anyhow::ensure!(bytes <= FILE_BYTES_MAX, "{} is larger than 1 MiB", path.display());
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let config = Self::parse(&text)
            .map_err(|fault| Usage::new(format!("{}, {fault}", path.display())))?;
        Ok((config, Some(path.to_owned())))
    }

    /// Reads a text, or says in which line it is wrong. The line itself is not repeated:
    /// somebody may have written a secret there.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            format!("line {line}: {}", error.message().replace('\n', " "))
        })
    }
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("one value or a list")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|it| OneOrMore(vec![it]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|it| OneOrMore(vec![it]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMore(values))
            }
        }

        deserializer.deserialize_any(Values(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for RawScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            scheme: String,
            #[serde(default)]
            config: serde_json::Value,
        }

        struct Scheme;

        impl<'de> Visitor<'de> for Scheme {
            type Value = RawScheme;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a scheme's name, or { scheme = \"…\", config = { … } }")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RawScheme, E> {
                Ok(RawScheme { scheme: name.to_owned(), config: serde_json::Value::Null })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawScheme, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawScheme { scheme: table.scheme, config: table.config })
            }
        }

        deserializer.deserialize_any(Scheme)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Bytes;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number of bytes, as in 1048576 or \"1 MiB\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
                u64::try_from(number).map(Bytes).map_err(wrong)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

impl Bytes {
    /// Reads `"1 MiB"`, `"64KiB"`, `"1048576"`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}
