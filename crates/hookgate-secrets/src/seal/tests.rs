//! What opens, and all that does not.

use proptest::prelude::*;

use super::*;
use crate::key::KEY_BYTES;

fn key(byte: u8) -> Key {
    Key::from_slice(&[byte; KEY_BYTES]).unwrap()
}

#[test]
fn a_sealed_value_of_version_1_opens_in_later_versions_too() {
    // Made with Python's `cryptography` (AESGCM), not with this code.
    let sealed = hex(SEALED_BY_PYTHON);
    let purpose = Purpose::Credential { tenant: "acme", name: "square" };
    let opened = open(&key(7), purpose, &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"{\"access_token\":\"t\"}");
}

const SEALED_BY_PYTHON: &str = "01000102030405060708090a0b63a388137e6caa3a28c68af787364ec0c3\
    4894f3899b026685092b09f3cc8a8266db14c6";

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let purpose = Purpose::Credential { tenant: "acme", name: "square" };
    let sealed = seal(&key(1), purpose, b"value").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 8 { NotOpened::Format } else { NotOpened::Wrong };
        assert_eq!(open(&key(1), purpose, &changed).unwrap_err(), expected, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(open(&key(1), purpose, &sealed[..length]).is_err(), "{length} bytes");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert!(open(&key(1), purpose, &longer).is_err());
}

#[test]
fn the_same_value_never_looks_the_same_twice() {
    let purpose = Purpose::Installation { label: "x" };
    let one = seal(&key(1), purpose, b"value").unwrap();
    assert_ne!(one, seal(&key(1), purpose, b"value").unwrap());
    assert_eq!(one.len(), b"value".len() + 1 + NONCE_BYTES + 16);
}

#[test]
fn a_data_key_opens_for_its_tenant_under_its_master_key_only() {
    let masters = crate::MasterKeys::parse(
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    );
    let masters = masters.unwrap();
    let first = masters.first();
    let (other, _) = crate::MasterKeys::generate().unwrap();
    let wrapped = wrap(first, "acme", &key(9)).unwrap();
    assert_eq!(unwrap(first, "acme", &wrapped).unwrap().expose(), key(9).expose());
    assert_eq!(unwrap(first, "other", &wrapped).err(), Some(NotOpened::Wrong));
    assert_eq!(unwrap(first, "", &wrapped).err(), Some(NotOpened::Wrong));
    assert_eq!(unwrap(other.first(), "acme", &wrapped).err(), Some(NotOpened::Wrong));
    // A value that was sealed with the master key is no data key.
    let value = seal(&first.key, Purpose::DataKey { tenant: "acme" }, b"short").unwrap();
    assert_eq!(unwrap(first, "acme", &value).err(), Some(NotOpened::Wrong));
}

fn purpose<'a>(kind: u8, one: &'a str, two: &'a str) -> Purpose<'a> {
    match kind % 3 {
        0 => Purpose::DataKey { tenant: one },
        1 => Purpose::Credential { tenant: one, name: two },
        _ => Purpose::Installation { label: two },
    }
}

/// What a purpose is about, to compare two.
fn about(kind: u8, one: &str, two: &str) -> (u8, String, String) {
    match kind % 3 {
        0 => (0, one.to_owned(), String::new()),
        1 => (1, one.to_owned(), two.to_owned()),
        _ => (2, String::new(), two.to_owned()),
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_for_no_other(
        value: Vec<u8>,
        (kind, one, two) in (0..3_u8, "[a-c/\\.]{0,3}", "[a-c/\\.]{0,3}"),
        (kind_too, one_too, two_too) in (0..3_u8, "[a-c/\\.]{0,3}", "[a-c/\\.]{0,3}"),
    ) {
        let sealed = seal(&key(1), purpose(kind, &one, &two), &value).unwrap();
        let opened = open(&key(1), purpose(kind, &one, &two), &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), value.as_slice());
        let again = open(&key(1), purpose(kind_too, &one_too, &two_too), &sealed);
        let is_same = about(kind, &one, &two) == about(kind_too, &one_too, &two_too);
        prop_assert_eq!(again.is_ok(), is_same);
        prop_assert!(open(&key(2), purpose(kind, &one, &two), &sealed).is_err());
    }

    #[test]
    fn no_bytes_of_somebody_else_open(bytes: Vec<u8>) {
        let opened = open(&key(1), Purpose::Installation { label: "x" }, &bytes);
        prop_assert!(opened.is_err());
    }
}
