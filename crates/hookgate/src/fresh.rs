//! Makes a sample a new event: other ids, the present time.
//!
//! Knows no provider: a field is an id by its name, and a time by its value. An id keeps
//! its form, the same id stays the same all over the body, and times keep their distance
//! from each other, so a call still ends after it began.

use std::collections::BTreeMap;

use hookgate_core::time::Timestamp;
use serde_json::Value;

/// Fields that hold the id of an event or a conversation, wherever they stand. Compared
/// without case and `_`.
const ID_FIELDS: [&str; 12] = [
    "conversationid",
    "systemconversationid",
    "callid",
    "chatid",
    "smsid",
    "recordingid",
    "reportid",
    "eventid",
    "guid",
    "toolcallid",
    "messageid",
    "callsid",
];

/// Objects and lists whose own `id` is such an id.
const ID_PARENTS: [&str; 9] = [
    "call",
    "chat",
    "session",
    "ticket",
    "body",
    "toolcalllist",
    "toolcalls",
    "toolcall",
    "message",
];

/// Whole numbers that are times in seconds: 2014 to 2033.
const SECONDS: std::ops::RangeInclusive<i64> = 1_400_000_000..=2_000_000_000;

/// The same in milliseconds.
const MILLIS: std::ops::RangeInclusive<i64> = 1_400_000_000_000..=2_000_000_000_000;

/// Makes `body` a new event at the time `now`. `random` gives the new ids' characters.
pub(crate) fn renew(body: &mut Value, now: Timestamp, random: &mut dyn FnMut() -> [u8; 16]) {
    let mut ids = BTreeMap::new();
    collect_ids(body, "", &mut ids, random);
    let latest = latest(body).unwrap_or(now.millis());
    let shift = now.millis().saturating_sub(latest);
    rewrite(body, &ids, shift);
}

fn plain(key: &str) -> String {
    key.chars().filter(|it| *it != '_').map(|it| it.to_ascii_lowercase()).collect()
}

fn collect_ids(
    value: &Value,
    parent: &str,
    ids: &mut BTreeMap<String, String>,
    random: &mut dyn FnMut() -> [u8; 16],
) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = plain(key);
                let is_id = ID_FIELDS.contains(&key.as_str())
                    || (key == "id" && ID_PARENTS.contains(&parent));
                match value {
                    Value::String(old) if is_id && !old.is_empty() => {
                        ids.entry(old.clone()).or_insert_with(|| like(old, random()));
                    }
                    _ => collect_ids(value, &key, ids, random),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect_ids(it, parent, ids, random)),
        _ => {}
    }
}

/// A new id of the form of `old`: a UUID for a UUID, else the same start and fresh digits.
fn like(old: &str, random: [u8; 16]) -> String {
    if uuid::Uuid::try_parse(old).is_ok() && old.contains('-') {
        return uuid::Builder::from_random_bytes(random).into_uuid().to_string();
    }
    let digits = hex::encode(random);
    match old.split_once('_') {
        Some((start, _)) => format!("{start}_{digits}"),
        None => digits,
    }
}

/// The latest time in a body, in milliseconds.
fn latest(value: &Value) -> Option<i64> {
    match value {
        Value::Object(fields) => fields.values().filter_map(latest).max(),
        Value::Array(items) => items.iter().filter_map(latest).max(),
        Value::Number(number) => match number.as_i64()? {
            seconds if SECONDS.contains(&seconds) => Some(seconds.saturating_mul(1000)),
            millis if MILLIS.contains(&millis) => Some(millis),
            _ => None,
        },
        Value::String(text) => Timestamp::parse(text).map(Timestamp::millis),
        _ => None,
    }
}

fn rewrite(value: &mut Value, ids: &BTreeMap<String, String>, shift: i64) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|it| rewrite(it, ids, shift)),
        Value::Array(items) => items.iter_mut().for_each(|it| rewrite(it, ids, shift)),
        Value::Number(number) => match number.as_i64() {
            Some(seconds) if SECONDS.contains(&seconds) => {
                *value = seconds.saturating_add(shift.div_euclid(1000)).into();
            }
            Some(millis) if MILLIS.contains(&millis) => {
                *value = millis.saturating_add(shift).into();
            }
            _ => {}
        },
        Value::String(text) => {
            if let Some(new) = ids.get(text.as_str()) {
                text.clone_from(new);
            } else if let Some(moment) = Timestamp::parse(text) {
                *text = Timestamp::from_millis(moment.millis().saturating_add(shift)).to_string();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use hookgate_core::provider;
    use serde_json::json;

    use super::*;

    fn renewed(mut body: Value, now: &str) -> Value {
        let mut count = 0;
        let mut random = || {
            count += 1;
            [count; 16]
        };
        renew(&mut body, Timestamp::parse(now).unwrap(), &mut random);
        body
    }

    #[test]
    fn ids_are_new_and_stay_the_same_all_over() {
        let body = json!({
            "call": {"id": "8a77c828-31c2-492a-b0c1-224cd94e9c3b", "assistantId": "asst_1"},
            "call_id": "call_123", "note": "call_123", "Body": {"Id": "plain"}, "id": "kept",
        });
        let digits = |it: u8| hex::encode([it; 16]);
        let new = renewed(body, "2026-11-22T10:00:00Z");
        let call = format!("call_{}", digits(3));
        assert_eq!(new["call_id"], json!(call));
        assert_eq!(new["note"], json!(call));
        assert_eq!(new["Body"]["Id"], json!(digits(1)));
        assert!(uuid::Uuid::try_parse(new["call"]["id"].as_str().unwrap()).is_ok());
        assert_eq!(new["call"]["assistantId"], json!("asst_1"));
        assert_eq!(new["id"], json!("kept"));
    }

    #[test]
    fn times_move_to_now_and_keep_their_distance() {
        let body = json!({"start": 1_714_608_475_945_i64, "end": 1_714_608_491_945_i64, "length": 16,
            "seconds": 1_714_608_475, "text": "2024-05-02T00:08:10.945Z"});
        let new = renewed(body, "2026-11-22T10:00:00Z");
        assert_eq!(
            new,
            json!({"start": 1_795_341_584_000_i64, "end": 1_795_341_600_000_i64, "length": 16,
            "seconds": 1_795_341_583, "text": "2026-11-22T09:59:59.000Z"})
        );
    }

    #[test]
    fn every_sample_becomes_a_new_event() {
        for provider in provider::ALL {
            for (name, sample) in provider.samples {
                let sample: Value = serde_json::from_str(sample).unwrap();
                assert_ne!(renewed(sample.clone(), "2026-11-22T10:00:00Z"), sample, "{name}");
            }
        }
    }
}
