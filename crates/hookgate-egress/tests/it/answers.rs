//! Answers of servers that behave, and of those that do not.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::delivery::CONCURRENCY_MAX;
use hookgate_egress::{Call, EgressError, Reach, origin};
use http::{HeaderValue, Method, header};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use crate::bench::{Act, PATIENCE, Server, answer, call, egress};

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

#[tokio::test]
async fn a_request_arrives_as_it_was_given_and_its_answer_comes_back() {
    let mut server = Server::start(Act::Say(answer("201 Created", "made"))).await;
    let mut post = call(&server.url("/hooks?key=1"));
    post.method = Method::POST;
    post.headers.insert("x-test", HeaderValue::from_static("one"));
    post.body = Bytes::from_static(b"{\"a\":1}");
    let answer = egress(LOOPBACK).send(post).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.is_cut), (201, false));
    assert_eq!(answer.body, "made");
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "4");
    let request = server.request().await;
    assert!(request.starts_with("POST /hooks?key=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-test: one\r\n"), "{request}");
    assert!(request.contains("user-agent: Hookgate/"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
    assert!(!request.contains("accept-encoding"), "nothing is compressed: {request}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(Act::Say(answer("200 OK", "ok"))).await;
    let egress = egress(LOOPBACK);
    for _ in 0..5 {
        assert_eq!(egress.send(call(&server.url("/"))).await.unwrap().body, "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn so_are_all_that_a_destination_may_use_at_once() {
    let all = usize::try_from(CONCURRENCY_MAX).unwrap();
    let act = Act::SayTogether(answer("200 OK", "ok"), Arc::new(Barrier::new(all)));
    let server = Server::start(act).await;
    let egress = egress(LOOPBACK);
    for _ in 0..3 {
        let calls: Vec<_> = (0..all)
            .map(|_| {
                let (egress, call) = (egress.clone(), call(&server.url("/")));
                tokio::spawn(async move { egress.send(call).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().body, "ok");
        }
    }
    // A few may not be back in their place when the next call looks for one.
    assert!(server.connections() < all + all / 4, "{} connections", server.connections());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let mut other = Server::start(Act::Say(answer("200 OK", "secret"))).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let location = other.url("/");
        let moved =
            format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::start(Act::Say(moved.into())).await;
        let answer = egress(LOOPBACK).send(call(&server.url("/"))).await.unwrap();
        assert!(answer.status.is_redirection());
        assert_eq!(answer.headers[header::LOCATION], location.as_str());
    }
    assert!(other.is_untouched());
}

#[tokio::test]
async fn an_answer_is_read_to_its_limit() {
    let rows = [(9, "123456789", true), (10, "1234567890", false), (11, "1234567890", false)];
    for (limit, expected, is_cut) in rows {
        let server = Server::start(Act::Say(answer("200 OK", "1234567890"))).await;
        let mut get = call(&server.url("/"));
        get.answer_bytes_max = limit;
        let answer = egress(LOOPBACK).send(get).await.unwrap();
        assert_eq!((answer.body.as_ref(), answer.is_cut), (expected.as_bytes(), is_cut));
    }
    let server = Server::start(Act::Endless).await;
    let answer = egress(LOOPBACK).send(call(&server.url("/"))).await.unwrap();
    assert_eq!((answer.body.len(), answer.is_cut), (1024, true));
}

#[tokio::test]
async fn the_deadline_covers_head_and_body() {
    let heads: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1234",
    ];
    for head in heads {
        let server = Server::start(Act::SayAndHang(Bytes::from_static(head))).await;
        let mut get = call(&server.url("/"));
        get.deadline = Duration::from_millis(100);
        let error = egress(LOOPBACK).send(get).await.unwrap_err();
        assert_eq!(error, EgressError::TimedOut);
        assert!(!error.is_unsent() && error.is_passing());
    }
}

#[tokio::test]
async fn a_server_that_closes_early_is_a_broken_connection() {
    let texts: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1234",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n123",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for text in texts {
        let server = Server::start(Act::SayAndClose(Bytes::from_static(text))).await;
        let error = egress(LOOPBACK).send(call(&server.url("/"))).await.unwrap_err();
        assert_eq!(error, EgressError::Broken, "{}", String::from_utf8_lossy(text));
        assert!(!error.is_unsent());
        assert_eq!(server.connections(), 1, "nothing is sent twice");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = egress(LOOPBACK).send(call(&url)).await.unwrap_err();
    assert_eq!(error, EgressError::Connect(ErrorKind::ConnectionRefused));
    assert!(error.is_unsent() && error.is_passing());
}

#[tokio::test]
async fn a_name_without_an_address_does_not_resolve() {
    // RFC 6761: `.invalid` never has one.
    let error = egress(&[]).send(call("https://nobody.invalid/")).await.unwrap_err();
    assert_eq!(error, EgressError::Unresolved);
    assert!(error.is_unsent());
}

#[tokio::test]
async fn headers_that_frame_a_request_are_not_the_callers() {
    let mut server = Server::start(Act::Say(answer("200 OK", ""))).await;
    for name in ["host", "content-length", "transfer-encoding", "connection", "upgrade"] {
        let mut get = call(&server.url("/"));
        get.headers.insert(name, HeaderValue::from_static("1"));
        let error = egress(LOOPBACK).send(get).await.unwrap_err();
        assert_eq!(error, EgressError::Header(name.parse().unwrap()));
    }
    assert!(server.is_untouched());
}

#[tokio::test]
async fn an_error_and_a_debug_name_no_more_than_the_host() {
    let server = Server::start(Act::SayAndClose(Bytes::new())).await;
    let closed = format!("http://user:canary@{}/canary?canary", server.address);
    let refused = "https://user:canary@127.0.0.1:1/canary?canary";
    let unresolved = "https://user:canary@nobody.invalid/canary?canary";
    let plain = "http://user:canary@93.184.216.34/canary?canary";
    let egress = egress(&["127.0.0.1/32"]);
    for url in [closed.as_str(), refused, unresolved, plain] {
        let mut post = call(url);
        post.method = Method::POST;
        post.headers.insert("x-canary", HeaderValue::from_static("canary"));
        post.body = Bytes::from_static(b"canary");
        let shown = format!("{post:?}");
        let error = egress.send(post).await.unwrap_err();
        let mut texts = vec![shown, format!("{error} {error:?}")];
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            texts.push(format!("{cause} {cause:?}"));
            next = cause.source();
        }
        for text in texts {
            assert!(!text.contains("canary"), "{text}");
        }
    }
    let server = Server::start(Act::Say(answer("200 OK", "canary"))).await;
    let answer = egress.send(call(&server.url("/canary"))).await.unwrap();
    assert!(!format!("{answer:?} {egress:?}").contains("canary"));
    let call: Call = call("https://user:canary@example.com:444/canary?canary");
    assert_eq!(origin(&call.url), "https://example.com:444");
}

#[tokio::test]
async fn the_operators_word_is_not_judged() {
    let server = Server::start(Act::Say(answer("200 OK", "ok"))).await;
    let mut get = call(&server.url("/"));
    get.reach = Reach::Anywhere;
    assert_eq!(egress(&[]).send(get).await.unwrap().body, "ok");
    let mut by_name = call(&format!("http://localhost:{}/", server.address.port()));
    by_name.reach = Reach::Anywhere;
    by_name.deadline = PATIENCE;
    assert_eq!(egress(&[]).send(by_name).await.unwrap().body, "ok");
}
