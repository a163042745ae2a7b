//! The walk, whole and in pieces, beside `serde_json` as an oracle.

use super::*;

const PATHS: &[Path] =
    &[&["type"], &["call", "id"], &["tools", "*", "id"], &["call"], &["deep", "a", "b"]];

#[track_caller]
fn check(body: &str, expected: &str) {
    let told = match extract(body.as_bytes(), PATHS) {
        Ok(fields) => format!("{:?}", fields.0),
        Err(fault) => format!("{fault:?}"),
    };
    assert_eq!(told, expected, "in memory: {body}");
    let streamed = match extract_from(body.as_bytes(), PATHS) {
        Ok(fields) => format!("{:?}", fields.0),
        Err(fault) => format!("{fault:?}"),
    };
    assert_eq!(streamed, expected, "streamed: {body}");
}

#[test]
fn fields_are_found_in_any_order_and_depth() {
    check(r#"{"type":"a"}"#, r#"[(0, Text("a"))]"#);
    check(r#"{"x":{"type":"no"},"type":"a"}"#, r#"[(0, Text("a"))]"#);
    check(r#"{"call":{"z":[{"id":1}],"id":"c"}}"#, r#"[(3, Other), (1, Text("c"))]"#);
    check(
        r#"{"tools":[{"id":"1"},7,{"id":2},[{"id":"no"}]]}"#,
        r#"[(2, Text("1")), (2, Number(2))]"#,
    );
    check(r#"{"deep":{"a":{"b":null}}}"#, "[(4, Null)]");
}

#[test]
fn an_escaped_key_is_the_key() {
    check(r#"{"\u0074ype":"a"}"#, r#"[(0, Text("a"))]"#);
    check(r#"{"type":"a","\u0074ype":"b"}"#, "DuplicateKey");
}

#[test]
fn a_key_named_twice_is_refused_wherever_it_stands() {
    check(r#"{"type":"a","type":"a"}"#, "DuplicateKey");
    check(r#"{"x":[{"y":{"k":1,"k":2}}]}"#, "DuplicateKey");
    check(r#"{"a":{"k":1},"b":{"k":2},"c":[{"k":3},{"k":4}]}"#, "[]");
}

#[test]
fn keys_that_are_alike_are_told_apart() {
    check(r#"{"a_key_tzat_0":1,"a_key_tbat_1":2,"type":"a"}"#, r#"[(0, Text("a"))]"#);
    check(r#"{"k":1,"k\u0000":2,"k\u0000\u0000":3,"k\"":4,"":5,"\u0000":6}"#, "[]");
    check(r#"{"k\u0000":1,"\u006b\u0000":2}"#, "DuplicateKey");
    check(r#"{"":1,"":2}"#, "DuplicateKey");
}

#[test]
fn a_key_is_found_again_among_many_and_at_any_length() {
    for length in [1, 7, 8, 9, 15, 16, 17, 40, KEY_BYTES_MAX] {
        let key = "k".repeat(length);
        let others: Vec<String> =
            (0..200).map(|it| format!("\"{it}\":[{{\"{key}\":0}}]")).collect();
        let others = others.join(",");
        check(&format!(r#"{{"{key}":1,{others},"{key}":2}}"#), "DuplicateKey");
        check(&format!(r#"{{"{key}":1,{others},"type":"a"}}"#), r#"[(0, Text("a"))]"#);
    }
}

#[test]
fn the_length_of_a_key_is_bounded() {
    for escape in ["", "\\n"] {
        let key = format!("{}{escape}", "k".repeat(KEY_BYTES_MAX - escape.len() / 2));
        check(&format!(r#"{{"{key}":1,"type":"a"}}"#), r#"[(0, Text("a"))]"#);
        check(&format!(r#"{{"k{key}":1,"type":"a"}}"#), "TooManyKeys");
    }
}

#[test]
fn only_one_whole_object_is_read() {
    for body in ["", "{", "{}{}", "{} x", r#"{"a":}"#, "nul", "\u{feff}{}", r#"{"a":1,}"#] {
        check(body, "NotJson");
    }
    for body in ["[]", "1", "null", r#""x""#, "true", "1.5", "-2"] {
        check(body, "NotAnObject");
    }
    assert_eq!(extract(b"{\"a\":\"\xff\"}", PATHS), Err(Unreadable::NotJson));
}

#[test]
fn depth_and_key_count_are_bounded() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    check(&deep, "NotJson");
    let keys: Vec<String> = (0..=OBJECT_KEYS_MAX).map(|it| format!("\"{it}\":0")).collect();
    check(&format!("{{{}}}", keys.join(",")), "TooManyKeys");
}

#[test]
fn a_text_that_is_too_long_is_not_a_text() {
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
    check(&long, "[(0, Other)]");
}

#[test]
fn every_kind_of_value_is_told_apart() {
    for (value, expected) in [
        ("-3", "Number(-3)"),
        ("18446744073709551615", "Other"),
        ("1.5", "Other"),
        ("true", "Other"),
        ("{}", "Other"),
        ("[]", "Other"),
        ("null", "Null"),
    ] {
        check(&format!(r#"{{"type":{value}}}"#), &format!("[(0, {expected})]"));
    }
}

#[test]
fn escapes_are_decoded_and_half_characters_are_no_text() {
    check(r#"{"type":"\u00e9\ud83d\ude00\n\/"}"#, "[(0, Text(\"é😀\\n/\"))]");
    check(r#"{"type":"\ud83d"}"#, "[(0, Other)]");
    check(r#"{"type":"\ud83dx"}"#, "[(0, Other)]");
    check(r#"{"type":"\ude00"}"#, "[(0, Other)]");
    check(r#"{"type":"\ud83d\ud83d\ude00"}"#, "[(0, Other)]");
    check(r#"{"x":"\ud83d","type":"a"}"#, "[(0, Text(\"a\"))]");
    check(r#"{"\ud83d":1}"#, "NotJson");
    for body in
        [r#"{"a":"\x"}"#, r#"{"a":"\u12"}"#, r#"{"a":"\u12g4"}"#, "{\"a\":\"\n\"}", r#"{"a":"\"#]
    {
        check(body, "NotJson");
    }
}

#[test]
fn numbers_follow_the_grammar() {
    for number in [
        "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "1.5.2", "--1", "1e5.5", "Infinity", "NaN",
    ] {
        check(&format!(r#"{{"a":{number}}}"#), "NotJson");
    }
    for number in
        ["0", "-0", "10", "1.50", "1e5", "1E-05", "-0.0e+0", "1e999", "9".repeat(400).as_str()]
    {
        check(&format!(r#"{{"a":{number} }}"#), "[]");
    }
    check(r#"{"type":-0}"#, "[(0, Other)]");
    check(r#"{"type":9223372036854775807}"#, "[(0, Number(9223372036854775807))]");
}

#[test]
fn a_character_may_lie_across_two_pieces() {
    let body = format!(r#"{{"x":"{}","type":"é"}}"#, "é".repeat(200_000));
    for shift in 0..4 {
        let body = format!("{}{body}", " ".repeat(shift));
        check(&body, "[(0, Text(\"é\"))]");
    }
    let cut = &body.as_bytes()[..body.len() - 4];
    assert_eq!(extract_from(cut, PATHS), Err(Unreadable::NotJson));
}

/// What `serde_json` makes of a body, by the same rules.
fn oracle(body: &[u8]) -> Option<serde_json::Value> {
    struct Strict(serde_json::Value);
    impl<'de> serde::Deserialize<'de> for Strict {
        fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
            struct Visit;
            impl<'de> serde::de::Visitor<'de> for Visit {
                type Value = Strict;
                fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    out.write_str("JSON")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Strict, A::Error> {
                    let mut object = serde_json::Map::new();
                    while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
                        if object.insert(key, value).is_some() {
                            return Err(serde::de::Error::custom("twice"));
                        }
                    }
                    Ok(Strict(object.into()))
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut list: A,
                ) -> Result<Strict, A::Error> {
                    let mut array = Vec::new();
                    while let Some(Strict(value)) = list.next_element()? {
                        array.push(value);
                    }
                    Ok(Strict(array.into()))
                }
                fn visit_str<E>(self, text: &str) -> Result<Strict, E> {
                    Ok(Strict(text.into()))
                }
                fn visit_i64<E>(self, it: i64) -> Result<Strict, E> {
                    Ok(Strict(it.into()))
                }
                fn visit_u64<E>(self, it: u64) -> Result<Strict, E> {
                    Ok(Strict(it.into()))
                }
                fn visit_f64<E>(self, it: f64) -> Result<Strict, E> {
                    Ok(Strict(it.into()))
                }
                fn visit_bool<E>(self, it: bool) -> Result<Strict, E> {
                    Ok(Strict(it.into()))
                }
                fn visit_unit<E>(self) -> Result<Strict, E> {
                    Ok(Strict(serde_json::Value::Null))
                }
            }
            reader.deserialize_any(Visit)
        }
    }
    let value = serde_json::from_slice::<Strict>(body).ok()?.0;
    value.is_object().then_some(value)
}

fn agrees(body: &[u8]) {
    let ours = extract(body, PATHS);
    let streamed = extract_from(OneByte(body), PATHS);
    let text = String::from_utf8_lossy(body);
    // Only of a whole body it is known at once whether it is UTF-8, and of a root that is no
    // object whether it is JSON.
    let is_no_object = [&ours, &streamed].contains(&&Err(Unreadable::NotAnObject));
    if std::str::from_utf8(body).is_ok() && !is_no_object {
        assert_eq!(ours, streamed, "{text}");
    }
    assert_eq!(ours.is_ok(), streamed.is_ok(), "{text}");
    match oracle(body) {
        Some(value) => {
            let fields = ours.unwrap_or_else(|fault| panic!("{fault}: {text}"));
            let told = value.get("type").map(|it| match it {
                serde_json::Value::String(it) => Field::Text(it.clone()),
                serde_json::Value::Null => Field::Null,
                it => it.as_i64().filter(|_| !it.is_f64()).map_or(Field::Other, Field::Number),
            });
            assert_eq!(fields.get(0), told.as_ref(), "{text}");
            let id = value.get("call").and_then(|it| it.get("id")).is_some();
            assert_eq!(fields.get(1).is_some(), id, "{text}");
        }
        // Two things are JSON to us alone: numbers beyond a double, half characters.
        None => assert!(
            ours.is_err() || text.contains('e') || text.contains("\\u") || text.contains('E'),
            "{text}"
        ),
    }
}

#[test]
fn a_body_may_be_cut_anywhere() {
    let body = r#"{ "x" : [ {"kéy":-1.5e3 , "long key, longer than a word":"é\"\n\u00e9", "n":null} ,[],{},[{}], true,false ],
        "tools":[{"id":"one"},{"id":-12},{"id":{"a":[]}}],"call":{"id":"c\u0061ll","b":""},"type":null } "#;
    let whole = extract(body.as_bytes(), PATHS).unwrap();
    assert_eq!(whole.all(2).count(), 3);
    for (one, _) in body.char_indices() {
        for (other, _) in body.char_indices().filter(|(other, _)| *other >= one) {
            let mut walk = Walk::new(PATHS);
            for piece in [&body[..one], &body[one..other], &body[other..]] {
                walk.feed(piece).unwrap();
            }
            assert_eq!(walk.finish().as_ref(), Ok(&whole), "cut at {one} and {other}");
        }
    }
}

/// A reader that gives one byte at a time.
struct OneByte<'a>(&'a [u8]);

impl std::io::Read for OneByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        buffer[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

fn json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    let key = prop_oneof![
        Just("type"),
        Just("call"),
        Just("id"),
        Just("tools"),
        Just("é\"\\"),
        Just("longer than a word"),
        Just("a")
    ];
    let leaf = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        (-1e6..1e6).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|it| serde_json::Value::Object(it.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn what_serde_reads_is_read_alike(value in json()) {
        agrees(value.to_string().as_bytes());
        agrees(serde_json::to_string_pretty(&value).unwrap().as_bytes());
    }

    #[test]
    fn what_is_damaged_is_judged_alike(value in json(), at in 0usize..400, byte in proptest::sample::select(b" {}[]\",:\\0a-ntf\x01\x80".to_vec())) {
        for mut body in [serde_json::to_vec(&value).unwrap(), serde_json::to_vec_pretty(&value).unwrap()] {
            let at = at % body.len();
            body[at] = byte;
            agrees(&body);
            body.remove(at);
            agrees(&body);
            body.truncate(at);
            agrees(&body);
        }
    }
}
