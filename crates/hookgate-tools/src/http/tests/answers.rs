//! What is made of what an endpoint says.

use serde_json::{Value, json};

use super::bench::{Asked, Bench, Endpoint, Say, TOKEN, shown, tool};
use crate::work::End;

fn read() -> Value {
    json!({"writes": false})
}

/// Calls a tool whose endpoint says this; gives back what is there for programs.
async fn check(bench: &Bench, say: Say, more: Value, expected: (&str, &str)) -> Value {
    let endpoint = Endpoint::start([say]).await;
    let asked = Asked::new(json!({"order": "A-1"}));
    let end = bench.call(&tool(&endpoint.url("/"), more), &asked).await;
    assert_eq!((shown(&end).as_str(), end.reply().message.as_str()), expected);
    assert_eq!(end.reply().ok, matches!(end, End::Done(_)));
    Value::Object(end.reply().data.clone())
}

#[tokio::test]
async fn an_object_says_how_it_went() {
    let bench = Bench::new().await;
    let say = json!({"message": " Your order\n\nleaves today. ", "status": "found", "total": 12});
    let data =
        check(&bench, Say::Json(200, say), json!({}), ("Done found", "Your order leaves today."))
            .await;
    assert_eq!(data, json!({"total": 12}));
    let say = json!({"ok": false, "message": "We are closed."});
    check(&bench, Say::Json(200, say), json!({}), ("Refused refused", "We are closed.")).await;
    let say = json!({"ok": false, "status": "two words"});
    check(
        &bench,
        Say::Json(201, say),
        json!({}),
        ("Refused refused", "Sorry, that is not possible."),
    )
    .await;
    let data = json!({"total": 12, "message": 7});
    check(&bench, Say::Json(200, data.clone()), json!({}), ("Done done", "That is done.")).await;
    check(&bench, Say::Json(200, data), read(), ("Done done", "Here is what I found.")).await;
}

#[tokio::test]
async fn a_list_is_for_programs_and_a_text_is_for_people() {
    let bench = Bench::new().await;
    let data =
        check(&bench, Say::Json(200, json!([1])), read(), ("Done done", "Here is what I found."))
            .await;
    assert_eq!(data, json!({"result": [1]}));
    check(&bench, Say::Json(200, json!("Two\tleft.")), read(), ("Done done", "Two left.")).await;
    check(&bench, Say::Text(200, "Two left.\n".to_owned()), read(), ("Done done", "Two left."))
        .await;
    check(&bench, Say::Text(200, "42".to_owned()), read(), ("Done done", "42")).await;
    for say in [Say::Text(204, String::new()), Say::Text(200, " \n".to_owned())] {
        check(&bench, say.clone(), json!({}), ("Done done", "That is done.")).await;
        check(&bench, say, read(), ("Done done", "That is done.")).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_success_only_of_what_was_to_be_done() {
    let bench = Bench::new().await;
    let sorry = "Sorry, I cannot do that right now. Please try again later.";
    let says = [
        Say::Text(200, "x".repeat(1001)),
        Say::Text(200, "x".repeat(64 * 1024 + 1)),
        Say::Json(200, json!({"message": "x", "rest": "y".repeat(64 * 1024)})),
        Say::Text(200, "<html><body>Welcome".to_owned()),
        Say::Text(200, "{\"message\": \"cut".to_owned()),
        Say::Text(200, format!("{}1", "[".repeat(300))),
    ];
    for say in says {
        check(&bench, say.clone(), json!({}), ("Done done", "That is done.")).await;
        check(&bench, say, read(), ("Failed unavailable", sorry)).await;
    }
    check(&bench, Say::Text(200, "x".repeat(1000)), read(), ("Done done", &"x".repeat(1000))).await;
    let long = json!({"message": "ü".repeat(2000)});
    let said = format!("{}…", "ü".repeat(999));
    check(&bench, Say::Json(200, long), read(), ("Done done", &said)).await;
}

#[tokio::test]
async fn a_refusal_is_said_if_it_is_meant_for_people() {
    let bench = Bench::new().await;
    let plain = "Sorry, that is not possible.";
    for status in [400, 401, 404, 409, 422] {
        let say = json!({"message": "That order\nis  closed.", "trace": "canary"});
        let data = check(
            &bench,
            Say::Json(status, say),
            json!({}),
            ("Refused refused", "That order is closed."),
        );
        assert_eq!(data.await, json!({}));
        check(&bench, Say::Json(status, json!({"error": "x"})), read(), ("Refused refused", plain))
            .await;
        check(
            &bench,
            Say::Json(status, json!({"message": {}})),
            read(),
            ("Refused refused", plain),
        )
        .await;
        check(&bench, Say::Text(status, "No.".to_owned()), read(), ("Refused refused", plain))
            .await;
    }
    let long = json!({"message": "a".repeat(501)});
    let said = format!("{}…", "a".repeat(499));
    check(&bench, Say::Json(400, long), read(), ("Refused refused", &said)).await;
}

#[tokio::test]
async fn a_template_makes_the_reply() {
    let bench = Bench::new().await;
    let template = json!({
        "message": "Order {{arguments.order}} has {{response.items.0.n|no}} parts, {{call.caller_number}}.",
        "ok": "{{response.found}}",
        "status": "{{response.state}}",
        "data": {"items": "{{response.items}}"},
        "more": "{{response.nothing}}",
    });
    let more = json!({"answer": template, "writes": false});
    let say = json!({"items": [{"n": 3}], "found": true, "state": "open", "secret": "unsaid"});
    let message = "Order A-1 has 3 parts, +14155550142.";
    let data = check(&bench, Say::Json(200, say), more.clone(), ("Done open", message)).await;
    assert_eq!(data, json!({"items": [{"n": 3}], "more": null}));
    let say = json!({"found": false});
    let message = "Order A-1 has no parts, +14155550142.";
    check(&bench, Say::Json(200, say), more.clone(), ("Refused refused", message)).await;

    // What an endpoint says is not read as a template.
    let more = json!({"answer": {"message": "{{response.text}}"}});
    let say = json!({"text": "{{arguments.order}} \"x\""});
    check(&bench, Say::Json(200, say), more, ("Done done", "{{arguments.order}} \"x\"")).await;
    // A text or an empty answer can be filled in too, and so can a list.
    let more = json!({"answer": "Said: {{response|nothing}}"});
    check(&bench, Say::Text(200, "hello".to_owned()), more.clone(), ("Done done", "Said: hello"))
        .await;
    check(&bench, Say::Text(204, String::new()), more, ("Done done", "Said: nothing")).await;
    let more = json!({"answer": {"message": "{{response.1}}"}});
    check(&bench, Say::Json(200, json!(["a", "b"])), more, ("Done done", "b")).await;
}

#[tokio::test]
async fn a_credential_does_not_come_back() {
    let bench = Bench::new().await;
    let headers = json!({
        "A": "Bearer {{credential.plain}}", "B": "{{credential.crm.token}}",
        "C": "{{credential.crm.number}}",
    });
    let bare = super::bench::SIGNING.trim_start_matches("whsec_");
    let echo = json!({
        "message": format!("You sent Bearer plain-canary and {TOKEN}."),
        "number": 74_210_993, "other": 7,
        "deep": [{"plain-canary": "xplain-canaryx"}],
        "signing": bare,
    });
    let more = json!({"headers": headers, "signed_with": "signing"});
    let message = "You sent Bearer ••• and •••.";
    let data =
        check(&bench, Say::Json(200, echo.clone()), more.clone(), ("Done done", message)).await;
    let expected = json!({
        "number": "•••", "other": 7, "deep": [{"•••": "x•••x"}], "signing": "•••",
    });
    assert_eq!(data, expected);
    check(&bench, Say::Json(403, echo.clone()), more.clone(), ("Refused refused", message)).await;
    // Escapes hide nothing.
    let escaped = "{\"message\": \"\\u0070lain-canary\"}".to_owned();
    check(&bench, Say::Text(200, escaped), more.clone(), ("Done done", "•••")).await;
    let text = format!("Bearer plain-canary {TOKEN}");
    check(&bench, Say::Text(200, text), more.clone(), ("Done done", "Bearer ••• •••")).await;
    let mut templated = more;
    templated["answer"] = json!({"message": "{{response.message}}"});
    check(&bench, Say::Json(200, echo), templated, ("Done done", message)).await;
}
