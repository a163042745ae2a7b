//! Every sample of every provider in the canonical shape.

use std::collections::BTreeSet;

use hookgate_core::canonical::{CanonicalEvent, schema};
use serde_json::Value;

use crate::bench::{Sample, folder, samples};
use crate::checker::faults;

#[test]
fn every_sample_is_what_its_snapshot_says() {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        for sample in samples() {
            let event = serde_json::to_value(sample.event()).unwrap();
            insta::assert_snapshot!(snapshot(&sample), serde_json::to_string_pretty(&event).unwrap());
        }
    });
}

fn snapshot(sample: &Sample) -> String {
    format!("{}.{}", sample.provider, sample.name)
}

#[test]
fn every_snapshot_is_of_a_sample() {
    let kept: BTreeSet<String> = std::fs::read_dir(folder().join("tests/canonical/snapshots"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = samples().iter().map(|it| format!("{}.snap", snapshot(it))).collect();
    assert_eq!(kept, named);
}

#[test]
fn every_sample_fits_the_schema_and_is_read_back() {
    for sample in samples() {
        let event = sample.event();
        let printed = serde_json::to_value(&event).unwrap();
        assert_eq!(faults(&printed), Vec::<String>::new(), "{}", snapshot(&sample));
        let read: CanonicalEvent = serde_json::from_value(printed).unwrap();
        assert_eq!(read, event, "{}", snapshot(&sample));
    }
}

/// The paths of all values of an event, as `sources` writes them.
pub(crate) fn leaves(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    let under = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, it)| leaves(it, &under(name), into));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, it)| leaves(it, &under(&index.to_string()), into));
        }
        _ => {
            into.insert(at.to_owned());
        }
    }
}

/// Whether a leaf has a source: itself, or what it is a part of.
fn has_source(sources: &Value, leaf: &str) -> bool {
    let mut path = leaf;
    loop {
        if sources.get(path).is_some() {
            return true;
        }
        // What an item of a list is, the item's source says.
        let item = sources.as_object().unwrap().keys();
        let mut item = item.filter_map(|it| it.strip_prefix(path)?.strip_prefix('.'));
        let is_item = path.rsplit('.').next().is_some_and(|it| it.parse::<u32>().is_ok());
        if is_item && item.next().is_some() {
            return true;
        }
        match path.rsplit_once('.') {
            Some((rest, _)) => path = rest,
            None => return false,
        }
    }
}

#[test]
fn every_value_of_a_sample_has_a_source_in_its_body() {
    // What the gateway knows of a request besides its body.
    let beside = ["version", "kind", "provider", "source", "event_id", "received_at", "type"];
    let mut without = BTreeSet::new();
    for sample in samples() {
        let mut event = serde_json::to_value(sample.event()).unwrap();
        let sources = event.as_object_mut().unwrap().remove("sources").unwrap();
        let mut paths = BTreeSet::new();
        leaves(&event, "", &mut paths);
        for path in paths.iter().filter(|it| !beside.contains(&it.as_str())) {
            if !has_source(&sources, path) {
                without.insert(format!("{} {path}", snapshot(&sample)));
            }
        }
    }
    let expected = [
        // The path of the request says these.
        "elevenlabs.initiation_webhook.request conversation.channel",
        "elevenlabs.initiation_webhook.request conversation.direction",
        "retell.custom_function.args_only tools.0.name",
        // Tawk.to sends its id in a header.
        "tawk.chat.end external_id",
        "tawk.chat.start external_id",
        "tawk.chat.transcript_created external_id",
        "tawk.ticket.create external_id",
    ];
    assert_eq!(without.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn every_member_of_the_schema_is_in_some_sample() {
    let schema = schema::schema();
    let mut named = BTreeSet::new();
    let mut add = |of: &str, schema: &Value| {
        named.extend(
            schema["properties"].as_object().unwrap().keys().map(|it| format!("{of}.{it}")),
        );
    };
    add("", &schema);
    schema["$defs"].as_object().unwrap().iter().for_each(|(name, it)| add(name, it));
    for sample in samples() {
        let event = serde_json::to_value(sample.event()).unwrap();
        met(&schema, &schema, &event, "", &mut named);
    }
    // No sample has these; `odd.rs` makes bodies that do.
    let expected = [
        ".truncated",
        "Attachment.kind",
        "Attachment.name",
        "Attachment.url",
        "Message.attachments",
        "PhoneNumber.raw",
    ];
    assert_eq!(named.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

fn met(root: &Value, schema: &Value, value: &Value, of: &str, open: &mut BTreeSet<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        return met(root, &root["$defs"][name], value, name, open);
    }
    if let Some(items) = value.as_array() {
        for it in items {
            met(root, &schema["items"], it, of, open);
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        open.remove(&format!("{of}.{name}"));
        if let Some(schema) = schema["properties"].get(name) {
            met(root, schema, value, of, open);
        }
    }
}

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    let file = folder().join("../../docs/canonical-event.schema.json");
    // Written anew by `hookgate events schema > docs/canonical-event.schema.json`.
    let printed = serde_json::to_string_pretty(&schema::schema()).unwrap() + "\n";
    assert_eq!(std::fs::read_to_string(file).unwrap(), printed);
}
