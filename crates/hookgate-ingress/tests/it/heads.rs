//! What stands in an answer's head, and which requests' heads are refused.

use crate::bench::{Bench, CALL_ENDED, genuine, genuine_with, head, request, retell_event};

#[tokio::test]
async fn every_answer_has_a_correlation_id_and_is_kept_from_caches() {
    let bench = Bench::new().await;
    let requests = [
        genuine(),
        request("POST", "/webhook/retell", &[], b"{}"),
        request("POST", "/in/nobody", &[], b"{}"),
        request("GET", "/webhook/retell", &[], b""),
    ];
    let mut ids = Vec::new();
    for bytes in requests {
        let answer = bench.send(bytes).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        ids.push(answer.header("x-correlation-id").unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let answer = bench.send(request("GET", "/elsewhere", &[], b"")).await;
    assert!(answer.header("x-correlation-id").is_some());
}

#[tokio::test]
async fn a_callers_own_id_is_kept_if_it_is_well_formed() {
    let bench = Bench::new().await;
    let longest = "a".repeat(64);
    for id in ["abc-1._Z", &longest] {
        let answer = bench.send(genuine_with(&[("X-Correlation-ID", id)])).await;
        assert_eq!(answer.header("x-correlation-id"), Some(id));
    }
    let too_long = "a".repeat(65);
    for id in ["a b", "", "ä", "a/b", &too_long] {
        let answer = bench.send(genuine_with(&[("X-Correlation-ID", id)])).await;
        let given = answer.header("x-correlation-id").unwrap();
        assert!(given != id && given.len() <= 64, "{id}");
    }
    let twice = [("x-correlation-id", "a"), ("x-correlation-id", "a")];
    assert_ne!(bench.send(genuine_with(&twice)).await.header("x-correlation-id"), Some("a"));
    let ids: Vec<String> = bench.events().await.into_iter().map(|it| it.correlation_id).collect();
    assert_eq!(ids[0], "abc-1._Z");
}

#[tokio::test]
async fn headers_are_kept_in_order_with_their_bytes() {
    let bench = Bench::new().await;
    bench.send(genuine_with(&[("x-b", "1"), ("x-a", "ü 2"), ("x-empty", "")])).await;
    let event = bench.events().await.remove(0);
    let names: Vec<&str> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["host", "x-retell-signature", "x-b", "x-a", "x-empty", "content-length"];
    assert_eq!(names, expected);
    let value = event.headers.text(&http::HeaderName::from_static("x-a"));
    assert_eq!(value, Some("ü 2"));
}

#[tokio::test]
async fn a_hundred_headers_are_enough() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    for (count, expected) in [(97, 200), (98, 431)] {
        let names: Vec<String> = (0..count).map(|it| format!("x-{it}")).collect();
        // And host, the signature and the length.
        let mut headers = vec![("x-retell-signature", signature.as_str())];
        headers.extend(names.iter().map(|name| (name.as_str(), "1")));
        let answer = bench.send(request("POST", "/in/retell", &headers, &body)).await;
        assert_eq!(answer.status, expected, "{count}");
    }
}

#[tokio::test]
async fn a_head_of_more_than_16_kib_is_refused_whether_or_not_it_ends() {
    let bench = Bench::new().await;
    let value = "a".repeat(17 * 1024);
    assert_eq!(bench.send(genuine_with(&[("x-large", &value)])).await.status, 431);
    let mut endless = b"POST /in/retell HTTP/1.1\r\nx-large: ".to_vec();
    endless.extend_from_slice(value.as_bytes());
    assert_eq!(bench.send(endless).await.status, 431);
    let fits = "a".repeat(15 * 1024);
    assert_eq!(bench.send(genuine_with(&[("x-large", &fits)])).await.status, 200);
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let bench = Bench::new().await;
    let post = "POST /webhook/retell HTTP/1.1\r\nhost: a\r\n";
    let rows = [
        "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        "content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        "content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "content-length: +2\r\n\r\n{}",
        "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "x-a: b\r\n c: d\r\n\r\n",
        "x-a : b\r\n\r\n",
        "x-a: b\nx-c: d\r\n\r\n",
        "x-a: b\rx-c: d\r\n\r\n",
    ];
    for rest in rows {
        let mut line = bench.connect().await;
        line.write(format!("{post}{rest}").as_bytes()).await;
        let text = line.ended().await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{rest:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{rest:?}: {text}");
    }
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_refused_request() {
    let bench = Bench::new().await;
    let mut bytes = head(
        "POST",
        "/webhook/retell",
        &[],
        &[("content-length", "5"), ("transfer-encoding", "chunked")],
    );
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes.extend_from_slice(&genuine());
    let mut line = bench.connect().await;
    line.write(&bytes).await;
    let text = line.ended().await;
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn another_version_of_http_is_not_spoken() {
    let bench = Bench::new().await;
    let mut line = bench.connect().await;
    line.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let text = line.ended().await;
    assert!(!text.contains(" 200 "), "{text}");
}
