//! The head of a record, there and back.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use hookgate_core::event::ClaimKind;
use hookgate_core::headers::{Headers, Value};
use http::HeaderName;

use super::*;

fn sample() -> EventHead<'static> {
    let mut headers = Headers::new();
    headers.push_plain(HeaderName::from_static("content-type"), "application/json");
    headers.push_plain(HeaderName::from_static("x-odd"), Bytes::from_static(b"\xff\x00"));
    let hashed = Value::Hashed { prefix: Bytes::from_static(b"Bearer "), hash: [7; 32] };
    headers.push(HeaderName::from_static("authorization"), hashed);
    EventHead {
        record: EVENT,
        id: Octets([3; 16]),
        at: 1_800_000_000_123,
        source: "retell".into(),
        provider: "retell".into(),
        event_type: "call_ended".into(),
        kind: "call.ended".into(),
        conversation: Some("call_1".into()),
        correlation_id: "abc".into(),
        peer: Peer(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        method: "POST".into(),
        target: "/webhook/retell".into(),
        verdict: "verified".into(),
        scheme: Some("retell.v_d".into()),
        ownership: "unattributed".into(),
        claims: vec![Claim::new(ClaimKind::Agent, Some("a".into()))].into(),
        size: 2,
        sha256: Octets([9; 32]),
        key: Some(Octets([1; 16])),
        headers: HeaderList(Cow::Owned(headers)),
        ..EventHead::default()
    }
}

fn encoded(head: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    encode(head, &mut out);
    out
}

#[test]
fn a_head_is_read_as_it_was_written() {
    let bytes = encoded(&sample());
    let head: EventHead<'_> = decode(&bytes).unwrap();
    assert_eq!(format!("{head:?}"), format!("{:?}", sample()));
    assert_eq!(head.headers, sample().headers);
    let slim: SlimHead<'_> = decode(&bytes).unwrap();
    assert_eq!(slim.conversation.as_deref(), Some("call_1"));
}

#[test]
fn an_erased_event_names_nobody() {
    let head = EventHead { external_id: Some("x".into()), target: "/in/a?id=x".into(), ..sample() };
    let event = head.into_event(Since { is_erased: true, ..Since::default() });
    assert_eq!((event.external_id, event.conversation_id, event.headers.len()), (None, None, 0));
    assert_eq!(event.claims, [Claim::new(ClaimKind::Agent, None)]);
    assert_eq!((event.target.as_str(), event.sha256), ("/in/a", [9; 32]));
}

#[test]
fn a_link_is_as_if_it_had_been_written_at_once() {
    let mut linked = encoded(&sample());
    link(&mut linked, Uuid::from_bytes([5; 16]));
    let at_once = EventHead { original: Some(Octets([5; 16])), ..sample() };
    assert_eq!(linked, encoded(&at_once));
}

#[test]
fn unknown_keys_are_ignored_and_missing_ones_default() {
    let bytes = encoded(&serde_json::json!({"k": 1, "from_the_future": {"x": [1, 2]}, "s": "a"}));
    let head: EventHead<'_> = decode(&bytes).unwrap();
    assert_eq!((head.record, &*head.source, head.size), (1, "a", 0));
    let event = head.into_event(Since { seq: 1, ..Since::default() });
    assert_eq!((event.status, event.rule, event.decision), (Status::Accepted, 0, None));
}

#[test]
fn a_head_of_another_kind_is_read_as_far_as_it_goes() {
    let repetition = RepetitionHead {
        record: REPETITION,
        id: Octets([1; 16]),
        at: 5,
        correlation_id: "c",
        of: 17,
        original: Octets([2; 16]),
    };
    let bytes = encoded(&repetition);
    let slim: SlimHead<'_> = decode(&bytes).unwrap();
    assert_eq!((slim.record, slim.of, slim.original), (REPETITION, 17, Some(Octets([2; 16]))));
    let settlement =
        SettlementHead { record: SETTLEMENT, id: Octets([1; 16]), at: 5, event: Octets([2; 16]) };
    let bytes = encoded(&settlement);
    let slim: SlimRejection<'_> = decode(&bytes).unwrap();
    assert_eq!((slim.record, slim.event), (SETTLEMENT, Some(Octets([2; 16]))));
}

#[test]
fn no_bytes_make_it_panic() {
    let bytes = encoded(&sample());
    for cut in 0..bytes.len() {
        let _ = decode::<EventHead<'_>>(&bytes[..cut]);
        let mut flipped = bytes.clone();
        flipped[cut] ^= 0x55;
        let _ = decode::<EventHead<'_>>(&flipped).map(|it| it.into_event(Since::default()));
        let _ = decode::<RejectionHead<'_>>(&flipped).map(|it| it.into_rejection(1, None));
    }
    assert!(decode::<EventHead<'_>>(b"").is_err(), "nothing is no head");
}
