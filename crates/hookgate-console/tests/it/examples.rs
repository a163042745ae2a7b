//! The examples of `docs/api.md`, run in their order: what the page shows works.

use axum::body::Body;
use axum::http::Request;
use hookgate_core::headers::Headers;
use serde_json::Value;

use crate::bench::{Answer, Bench, TOKEN};

const PAGE: &str = include_str!("../../../../docs/api.md");

/// The fenced blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|it| it.split("```").next().unwrap()).collect()
}

/// The words of a line of shell: bare ones, and ones in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, tail) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').expect("a quote that ends"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = tail.trim_start();
    }
    words
}

/// The request that `curl` sends with these arguments behind the path.
fn request(path: &str, arguments: &[String], token: &str) -> Request<Body> {
    let mut request = Request::builder()
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"));
    let (mut method, mut body) = (None, None);
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { panic!("a flag without its value: {arguments:?}") };
        match flag.as_str() {
            "-X" => method = Some(value.clone()),
            "-d" => body = Some(value.clone()),
            "-H" => {
                let (name, value) = value.split_once(": ").unwrap();
                request = request.header(name, value);
            }
            other => panic!("what is {other}?"),
        }
    }
    let usual = if body.is_some() { "POST" } else { "GET" };
    let method = method.unwrap_or_else(|| usual.to_owned());
    request.method(method.as_str()).body(Body::from(body.unwrap_or_default())).unwrap()
}

/// What a variable of the page stands for.
async fn value(bench: &mut Bench, variable: &str) -> String {
    match variable {
        "$EVENT" => bench.call("call_1", "agent_1").await.to_string(),
        "$TOOL_CALL" => {
            let event = bench.call("call_1", "agent_1").await;
            bench.tool_call("acme", event, "call_1").await.to_string()
        }
        "$RECORDING" => {
            let event = bench.call("call_1", "agent_1").await;
            bench.recording("acme", event, b"ID3").await
        }
        "$DESTINATION" => {
            let all = bench.get("/api/v1/destinations").await;
            all.column("id").last().unwrap().as_str().unwrap().to_owned()
        }
        "$DELIVERY" => {
            let all = bench.get("/api/v1/deliveries").await;
            all.column("id")[0].as_str().unwrap().to_owned()
        }
        "$QUARANTINED" => {
            bench.tenant("other").await;
            bench.bind("other", "agent", "agent_2").await;
            bench.call("call_1", "agent_2").await.to_string()
        }
        "$REJECTION" => {
            let received = bench.received("retell", Headers::new(), b"{}");
            bench.refuse(received).await
        }
        "$TOKEN_ID" => {
            let tokens = bench.get("/api/v1/sources/acme-retell/tokens").await;
            tokens.column("id")[0].as_str().unwrap().to_owned()
        }
        other => panic!("what is {other}?"),
    }
}

#[tokio::test]
async fn every_example_of_the_page_works() {
    let mut bench = Bench::new();
    let mut key = String::new();
    let mut run = 0;
    for line in blocks("sh").into_iter().flat_map(str::lines) {
        let is_asked = line.starts_with("api ") || line.starts_with("mine ");
        if !is_asked {
            continue;
        }
        let mut line = line.to_owned();
        while let Some(start) = line.find('$') {
            let rest = &line[start..];
            let fits = |it: char| !(it.is_ascii_uppercase() || it == '_' || it == '$');
            let variable = rest[..rest.find(fits).unwrap_or(rest.len())].to_owned();
            let value = value(&mut bench, &variable).await;
            line = line.replace(&variable, &value);
        }
        let words = words(&line);
        let token = if words[0] == "mine" { key.as_str() } else { TOKEN };
        let answer: Answer = bench.send(request(&words[1], &words[2..], token)).await;
        assert!(answer.status.is_success(), "{line}: {answer:?}");
        if let Ok(body) = serde_json::from_slice::<Value>(&answer.body)
            && let Some(made) = body["key"].as_str()
        {
            made.clone_into(&mut key);
        }
        run += 1;
    }
    assert!(run > 30, "{run}");
}

#[test]
fn every_answer_on_the_page_is_json() {
    let blocks = blocks("json");
    assert!(blocks.len() > 8);
    for block in blocks {
        let read: Result<Value, _> = serde_json::from_str(block);
        assert!(read.is_ok(), "{block}");
    }
    assert_eq!(words("api '/a?b=c d' -d '{}'"), ["api", "/a?b=c d", "-d", "{}"]);
}
