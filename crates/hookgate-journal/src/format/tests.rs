//! The bytes of version 1, made by Python's `struct` and `zlib` from the tables of
//! `docs/journal-format.md`, not by this code. They never change.

use super::*;

const SALT: u64 = 0x1122_3344_5566_7788;

const BATCH: &str = "\
    484b474241544348887766554433221103000000000000000020000038000000\
    4d0000000000000001000000001000000300000000000000001000007126ce6e";

const RECORD: &str = "\
    4d0000000000000004000000090000007456278b00000000f3efcfd100000000\
    6865616461207061796c6f6164000000";

/// The segment header up to the zeros behind the name, and its last four bytes.
const SEGMENT: &str = "\
    484b474a524e4c0a01000000c643a80688776655443322110300000000000000\
    4d000000000000000068e5cf8b01000000001000000000000200000000000000\
    00300000001000006576656e74730000";
const SEGMENT_SUM: &str = "86655206";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, it| text + &format!("{it:02x}"))
}

#[test]
fn a_batch_header_is_these_bytes() {
    let position = Position { segment: 3, offset: 8192 };
    let header = BatchHeader {
        position,
        body_bytes: 56,
        first_seq: 77,
        records: 1,
        durable_end: Position { segment: 3, offset: 4096 },
    };
    let bytes = header.encode(SALT);
    assert_eq!(hex(&bytes), BATCH);
    assert_eq!(BatchHeader::decode(&bytes, SALT, position, 1 << 20), Some(header));
    assert_eq!(BatchHeader::decode(&bytes, SALT + 1, position, 1 << 20), None, "another salt");
    let elsewhere = Position { segment: 3, offset: 12288 };
    assert_eq!(BatchHeader::decode(&bytes, SALT, elsewhere, 1 << 20), None, "another place");
    assert_eq!(BatchHeader::decode(&bytes, SALT, position, 12287), None, "beyond the file");
    for at in 0..64 {
        let mut bytes = bytes;
        bytes[at] ^= 1;
        assert_eq!(BatchHeader::decode(&bytes, SALT, position, 1 << 20), None, "{at}");
    }
}

#[test]
fn a_record_is_these_bytes() {
    let (head, payload) = (b"head", b"a payload");
    let mut body = Vec::new();
    let sums = Sums::of(SALT, head, payload);
    put_record(&mut body, 77, (head, 4), (payload, 9), sums);
    assert_eq!(hex(&body), RECORD);
    let record = Proven::decode(&body, SALT).unwrap();
    assert_eq!((record.header.seq, record.head, record.payload), (77, &head[..], &payload[..]));
    assert_eq!(record.payload_state(), PayloadState::Whole);
    assert!(Proven::decode(&body, SALT + 1).is_none(), "another salt");
    for at in (0..16).chain(20..28).chain(32..36) {
        let mut body = body.clone();
        body[at] ^= 1;
        assert!(Proven::decode(&body, SALT).is_none(), "{at}");
    }
    for at in (16..20).chain(36..45) {
        let mut body = body.clone();
        body[at] ^= 1;
        let state = Proven::decode(&body, SALT).map(|it| it.payload_state());
        assert!(matches!(state, None | Some(PayloadState::Damaged)), "{at}");
    }
}

#[test]
fn a_segment_header_is_these_bytes() {
    let header = SegmentHeader {
        salt: SALT,
        number: 3,
        first_seq: 77,
        created_at_ms: 1_700_000_000_000,
        size: 1 << 20,
        previous_end: Position { segment: 2, offset: 12288 },
        log: "events".to_owned(),
    };
    let bytes = header.encode();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(hex(&bytes[..80]), SEGMENT);
    assert!(is_zero(&bytes[80..4092]));
    assert_eq!(hex(&bytes[4092..]), SEGMENT_SUM);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    for at in 0..4096 {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Damaged), "{at}");
    }
}
