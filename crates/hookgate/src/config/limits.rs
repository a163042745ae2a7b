//! `[limits]`, checked.

use std::time::Duration;

use hookgate_ingress::Limits;
use hookgate_store::Quota;

use super::raw::RawLimits;
use super::usage;

/// The limits of the front door: what the file says over the defaults.
pub(super) fn check(raw: &RawLimits) -> anyhow::Result<Limits> {
    let counts = [
        ("connections", raw.connections),
        ("connections_per_peer", raw.connections_per_peer),
        ("in_flight_per_peer", raw.in_flight_per_peer),
        ("in_flight_per_source", raw.in_flight_per_source),
        ("headers", raw.headers),
    ];
    if let Some((name, _)) = counts.iter().find(|(_, value)| *value == Some(0)) {
        return Err(usage(format!("[limits] {name} = 0 would let nobody in")));
    }
    let times = [
        ("header_seconds", raw.header_seconds),
        ("body_seconds", raw.body_seconds),
        ("idle_seconds", raw.idle_seconds),
    ];
    if let Some((name, _)) = times.iter().find(|(_, value)| *value == Some(0)) {
        return Err(usage(format!("[limits] {name} = 0 would let nobody in")));
    }
    let seconds = |value: Option<u64>, default| value.map_or(default, Duration::from_secs);
    let default = Limits::default();
    let limits = Limits {
        connections_max: raw.connections.unwrap_or(default.connections_max),
        peer_connections_max: raw.connections_per_peer.unwrap_or(default.peer_connections_max),
        peer_in_flight_max: raw.in_flight_per_peer.unwrap_or(default.peer_in_flight_max),
        source_in_flight_max: raw.in_flight_per_source.unwrap_or(default.source_in_flight_max),
        headers_max: raw.headers.unwrap_or(default.headers_max),
        header_bytes_max: match raw.header_bytes {
            Some(bytes) => usize::try_from(bytes.0)
                .map_err(|_| usage("[limits] header_bytes is too large".to_owned()))?,
            None => default.header_bytes_max,
        },
        header_read: seconds(raw.header_seconds, default.header_read),
        body_deadline: seconds(raw.body_seconds, default.body_deadline),
        idle: seconds(raw.idle_seconds, default.idle),
        shutdown: seconds(raw.shutdown_seconds, default.shutdown),
        body_rate_min_bytes_per_second: raw
            .body_bytes_per_second
            .map_or(default.body_rate_min_bytes_per_second, |it| it.0),
        bodies_in_memory_bytes_max: raw
            .bodies_in_memory
            .map_or(default.bodies_in_memory_bytes_max, |it| it.0),
        ..default
    };
    if limits.header_bytes_max < HEADER_BYTES_MIN {
        return Err(usage("[limits] header_bytes must be 8 KiB or more".to_owned()));
    }
    Ok(limits)
}

/// What a tenant may have that has no quota of its own.
pub(super) fn quota(raw: &RawLimits) -> anyhow::Result<Quota> {
    let quota = Quota {
        events_per_second: raw.tenant_events_per_second,
        bytes_per_second: raw.tenant_bytes_per_second.map(|it| it.0),
        in_flight: raw.tenant_in_flight,
    };
    let is_none = quota.events_per_second == Some(0)
        || quota.bytes_per_second == Some(0)
        || quota.in_flight == Some(0);
    if is_none {
        return Err(usage("[limits] a tenant's share of 0 would let nothing in".to_owned()));
    }
    Ok(quota)
}

/// The least that the HTTP library works with, in bytes (hyper 1.12, `max_buf_size`).
const HEADER_BYTES_MIN: usize = 8 * 1024;
