//! Connections: their times, their number, and what happens on one of them.

use std::time::Duration;

use crate::bench::{Bench, Setup, genuine, request};

#[tokio::test]
async fn a_slow_head_is_given_up() {
    let bench = Bench::limited(|limits| limits.header_read = Duration::from_millis(50)).await;
    let mut line = bench.connect().await;
    line.write(b"POST /webhook/retell HTTP/1.1\r\nhost: a\r\n").await;
    let text = line.ended().await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.ends_with(r#"{"error":"Request timeout"}"#), "{text}");
    // One that says nothing at all is closed without a word.
    assert_eq!(bench.connect().await.ended().await, "");
    // The second head on a connection has the same time as the first.
    let mut line = bench.connect().await;
    line.write(&genuine()).await;
    assert_eq!(line.answer().await.status, 200);
    line.write(b"POST /webhook/retell HT").await;
    assert!(line.ended().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_idle_connection_stands_longer_than_a_head_may_take() {
    let bench = Bench::limited(|limits| {
        limits.header_read = Duration::from_millis(20);
        limits.idle = Duration::from_millis(400);
    })
    .await;
    let mut line = bench.connect().await;
    line.write(&genuine()).await;
    assert_eq!(line.answer().await.status, 200);
    let since = tokio::time::Instant::now();
    assert_eq!(line.ended().await, "");
    assert!(since.elapsed() >= Duration::from_millis(390), "{:?}", since.elapsed());
}

#[tokio::test]
async fn requests_follow_one_another_on_a_connection() {
    let bench = Bench::new().await;
    let mut line = bench.connect().await;
    for _ in 0..3 {
        line.write(&genuine()).await;
        assert_eq!(line.answer().await.status, 200);
    }
    let three = [genuine(), request("POST", "/webhook/retell", &[], b"{}"), genuine()].concat();
    line.write(&three).await;
    let statuses =
        [line.answer().await.status, line.answer().await.status, line.answer().await.status];
    assert_eq!(statuses, [200, 401, 200]);
}

#[tokio::test]
async fn slow_senders_do_not_stop_a_good_one() {
    let bench = Bench::new().await;
    let mut slow = Vec::new();
    for number in 0..500 {
        let mut line = bench.connect().await;
        let start = if number % 2 == 0 {
            "POST /webhook/retell HTTP/1.1\r\nhost: a\r\n"
        } else {
            "POST /webhook/retell HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{"
        };
        line.write(start.as_bytes()).await;
        slow.push(line);
    }
    for _ in 0..20 {
        assert_eq!(bench.send(genuine()).await.status, 200);
    }
}

#[tokio::test]
async fn a_peer_has_so_many_connections_and_no_more() {
    let bench = Bench::limited(|limits| limits.peer_connections_max = 2).await;
    let mut first = bench.connect().await;
    let mut second = bench.connect().await;
    first.write(&genuine()).await;
    assert_eq!(first.answer().await.status, 200);
    second.write(&genuine()).await;
    assert_eq!(second.answer().await.status, 200);
    assert_eq!(bench.connect().await.ended().await, "");
    assert!(bench.metrics().contains("hookgate_ingress_refused_connections_total 1"));
    drop((first, second));
    let accepted = async {
        loop {
            let mut line = bench.connect().await;
            // Refused at once, the write may fail.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut line.stream, &genuine()).await;
            if line.next_answer().await.is_some_and(|it| it.status == 200) {
                break;
            }
        }
    };
    crate::bench::within("a place for another connection", accepted).await;
}

#[tokio::test]
async fn there_are_so_many_connections_in_all() {
    let bench = Bench::limited(|limits| limits.connections_max = 1).await;
    let mut first = bench.connect().await;
    first.write(&genuine()).await;
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(bench.connect().await.ended().await, "");
}

#[tokio::test]
async fn what_is_not_the_front_doors_stands_behind_it() {
    let bench = Bench::new().await;
    let answer = bench.send(request("POST", "/api/v1/events", &[], b"abc")).await;
    assert_eq!(answer.short(), "200 behind: POST /api/v1/events 3 https=false loopback=true");
    let forwarded = [("x-forwarded-for", "127.0.0.1")];
    let answer = bench.send(request("GET", "/metrics", &forwarded, b"")).await;
    assert_eq!(answer.short(), "200 behind: GET /metrics 0 https=false loopback=false");
}

#[tokio::test]
async fn a_listener_of_the_operators_own_has_no_front_door() {
    let bench = Bench::with(Setup { has_door: false, ..Setup::default() }).await;
    let answer = bench.send(genuine()).await;
    assert_eq!(answer.short(), "200 behind: POST /webhook/retell 62 https=false loopback=true");
    assert!(bench.journal().await.is_empty());
}
