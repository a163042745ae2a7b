//! What templates promise.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn context() -> Value {
    json!({
        "body": {
            "name": "Ann \"{{body.number}}\" \\ O'Neil",
            "number": 7,
            "list": [{"id": "first"}, true, null],
            "empty": "",
            "null": null,
            "a-b": "dashed",
        },
        "caller": "+14155550142",
        "none": null,
    })
}

#[track_caller]
fn check(template: &Value, expected: &Value) {
    assert_eq!(render(template, &context()), *expected, "{template}");
}

#[test]
fn a_text_that_is_one_placeholder_takes_the_values_type() {
    check(&json!("{{body.number}}"), &json!(7));
    check(&json!("{{ body.list }}"), &json!([{"id": "first"}, true, null]));
    check(&json!("{{body.list.0.id}}"), &json!("first"));
    check(&json!({"x": ["{{body.list.1}}"]}), &json!({"x": [true]}));
    check(&json!("{{body.a-b}}"), &json!("dashed"));
    check(&json!("{{body.missing}}"), &Value::Null);
    check(&json!("{{none}}"), &Value::Null);
    check(&json!("{{body.list.9}}"), &Value::Null);
    check(&json!("{{body.name.x}}"), &Value::Null);
}

#[test]
fn inside_text_a_value_is_text() {
    check(&json!("n={{body.number}}!"), &json!("n=7!"));
    check(&json!(" {{body.number}}"), &json!(" 7"));
    check(&json!("{{body.number}}{{body.number}}"), &json!("77"));
    check(&json!("l={{body.list.0}}"), &json!("l={\"id\":\"first\"}"));
    check(&json!("m={{body.missing}}{{body.null}}."), &json!("m=."));
}

#[test]
fn a_default_stands_for_what_is_missing_or_empty() {
    check(&json!("Hi {{body.missing|there}}!"), &json!("Hi there!"));
    check(&json!("Hi {{ body.empty | my friend }}!"), &json!("Hi my friend!"));
    check(&json!("{{body.null|}}"), &json!(""));
    check(&json!("{{body.number|8}}"), &json!(7));
    check(&json!("{{body.missing|a|b}}"), &json!("a|b"));
}

#[test]
fn braces_that_are_no_placeholder_of_ours_stay() {
    for text in [
        "{",
        "{{",
        "{{}}",
        "{{ }}",
        "{{body",
        "{{body}",
        "{body}",
        "}}{{",
        "{{body.}}",
        "{{.body}}",
        "{{body..number}}",
        "{{body number}}",
        "{{|x}}",
        "{{\"now\" | date}}",
        "{{customer_name}}",
        "{{customer.name|there}}",
        "{ {body.number} }",
        "{{body.{number}}",
    ] {
        check(&json!(text), &json!(text));
    }
    check(&json!("{{{body.number}}}"), &json!("{7}"));
    check(&json!("{{{{body.number}}}}"), &json!("{{7}}"));
    check(&json!("{{x{{body.number}}"), &json!("{{x7"));
    check(&json!({"{{body.number}}": 1}), &json!({"{{body.number}}": 1}));
}

#[test]
fn a_value_is_never_read_again_and_never_becomes_structure() {
    let name = "Ann \"{{body.number}}\" \\ O'Neil";
    check(&json!("{{body.name}}"), &json!(name));
    check(&json!({"a": "<{{body.name}}>"}), &json!({"a": format!("<{name}>")}));
    check(&json!("{{body.missing|{{caller}}}}"), &json!("{{body.missing|+14155550142}}"));
}

#[test]
fn a_template_fills_in_so_much_and_no_more() {
    let context = json!({"a": "x".repeat(FILLED_BYTES_MAX / 2), "b": 1});
    let filled = render(&json!(["{{a}}", "{{a}}", "{{a|much}}", "{{b}}"]), &context);
    assert_eq!(filled[0].as_str().map(str::len), Some(FILLED_BYTES_MAX / 2));
    assert_eq!((&filled[1], &filled[2], &filled[3]), (&Value::Null, &json!("much"), &json!(1)));

    let many = "{{b}}".repeat(PLACEHOLDERS_MAX + 5);
    assert_eq!(render_text(&many, &context, str::to_owned).len(), PLACEHOLDERS_MAX);
}

#[test]
fn what_comes_out_can_be_read_again_however_deep_it_is() {
    let nest = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let context = json!({"fits": nest(60), "deep": nest(DEPTH_MAX)});
    assert_eq!(render(&json!(["{{fits}}"]), &context), json!([nest(60)]));
    assert_eq!(render(&json!(["{{deep}}"]), &context), json!([null]));
    let rendered = render(&nest(400), &context).to_string();
    assert!(serde_json::from_str::<Value>(&rendered).is_ok());
}

#[test]
fn placeholders_are_listed_and_escaped() {
    let text = "/a/{{x.y}}/{{ z|no }}?{{";
    assert_eq!(placeholders(text).collect::<Vec<_>>(), ["x.y", "z"]);
    let escape = |text: &str| format!("<{text}>");
    let context = json!({"x": {"y": 1}, "z": null});
    assert_eq!(render_text(text, &context, escape), "/a/<1>/<no>?{{");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c]|\\PC{0,3}", inner, 0..5)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

/// Texts in which braces and paths are frequent.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("{".to_owned()),
        Just("|".to_owned()),
        Just("{{a}}".to_owned()),
        Just("{{a.b.0|c d}}".to_owned()),
        "[a-c. \"\\\\]{0,4}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|it| it.concat())
}

fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => placeholders(text).next().is_some(),
        Value::Array(list) => list.iter().any(has_placeholder),
        Value::Object(object) => object.values().any(has_placeholder),
        _ => false,
    }
}

/// Where objects, lists and names are, without what stands in them.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Object(object) => {
            object.iter().map(|(name, it)| (name.clone(), shape(it))).collect()
        }
        _ => Value::Null,
    }
}

proptest! {
    #[test]
    fn the_pieces_of_a_text_are_the_text(text in text()) {
        let all: String = pieces(&text)
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Placeholder(it) => it.whole,
            })
            .collect();
        prop_assert_eq!(all, text);
    }

    #[test]
    fn nothing_panics_and_all_of_it_can_be_written(template in value(), context in value()) {
        let rendered = render(&template, &context);
        let again: Value = serde_json::from_str(&rendered.to_string()).unwrap();
        prop_assert_eq!(again, rendered);
    }

    #[test]
    fn a_template_without_placeholders_is_itself(template in value(), context in value()) {
        prop_assume!(!has_placeholder(&template));
        prop_assert_eq!(render(&template, &context), template);
    }

    #[test]
    fn a_text_fills_in_as_itself_wherever_it_stands(text in text(), before in "[a-z ]{0,3}") {
        let context = json!({ "a": text });
        prop_assert_eq!(render(&json!("{{a}}"), &context), json!(text));
        let expected = json!(format!("{before}{text}."));
        prop_assert_eq!(render(&json!(format!("{before}{{{{a}}}}.")), &context), expected);
    }

    #[test]
    fn texts_change_no_structure(template in value(), text in text()) {
        let context = json!({ "a": text, "b": text });
        prop_assert_eq!(shape(&render(&template, &context)), shape(&template));
    }

    #[test]
    fn no_more_is_filled_in_than_the_limit(repeat in 0..40usize, size in 0..8000usize) {
        let context = json!({ "a": "\"".repeat(size) });
        let template = vec!["{{a}}"; repeat];
        let filled = render(&json!(template), &context).to_string().len();
        prop_assert!(filled <= FILLED_BYTES_MAX + repeat * 8 + 2);
    }
}
