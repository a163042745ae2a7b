//! Lists in pages.

use serde_json::Value;

use crate::bench::{Bench, SECRET};

async fn fill(bench: &mut Bench, count: usize) -> Vec<Value> {
    let mut ids = Vec::new();
    for number in 0..count {
        let body = format!(r#"{{"event":"chat:start","chatId":"chat_{number}"}}"#);
        let received = bench.signed("tawk", "tawk.hmac_sha1", SECRET, body.as_bytes());
        ids.push(Value::from(bench.accept(received).await.to_string()));
    }
    ids
}

/// All pages from the first on, until there is none or an empty one.
async fn walk(bench: &Bench, query: &str) -> (Vec<Value>, Value) {
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let from = cursor.as_str().map(|it| format!("&cursor={it}")).unwrap_or_default();
        let page = bench.get(&format!("/api/v1/events?{query}{from}")).await;
        let ids = page.column("id");
        cursor = page.json()["next_cursor"].clone();
        if ids.is_empty() || cursor.is_null() {
            seen.extend(ids);
            return (seen, cursor);
        }
        seen.extend(ids);
    }
}

#[tokio::test]
async fn pages_visit_each_event_once() {
    let mut bench = Bench::new();
    let ids = fill(&mut bench, 7).await;
    let newest_first: Vec<Value> = ids.iter().rev().cloned().collect();
    for limit in 1..=8 {
        let (seen, end) = walk(&bench, &format!("limit={limit}")).await;
        assert_eq!(seen, newest_first, "limit {limit}");
        assert_eq!(end, Value::Null);
        let (seen, end) = walk(&bench, &format!("order=asc&limit={limit}")).await;
        assert_eq!(seen, ids, "limit {limit}");
        assert!(end.is_string(), "a tail goes on");
    }
}

#[tokio::test]
async fn a_tail_goes_on_where_it_stopped() {
    let mut bench = Bench::new();
    let (seen, cursor) = walk(&bench, "order=asc").await;
    assert_eq!(seen.len(), 0);
    let mut path = format!("/api/v1/events?order=asc&cursor={}", cursor.as_str().unwrap());

    let first = fill(&mut bench, 2).await;
    let page = bench.get(&path).await;
    assert_eq!(page.column("id"), first);
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    path = format!("/api/v1/events?order=asc&cursor={cursor}");
    let page = bench.get(&path).await;
    assert_eq!(page.column("id"), Vec::<Value>::new());
    assert_eq!(page.json()["next_cursor"], cursor, "nothing came, nothing moved");

    let body = br#"{"event":"chat:start","chatId":"later"}"#;
    let later = bench.signed("tawk", "tawk.hmac_sha1", SECRET, body);
    let later = bench.accept(later).await.to_string();
    assert_eq!(bench.get(&path).await.column("id"), [later]);
}

#[tokio::test]
async fn an_event_that_comes_in_between_moves_no_page() {
    let mut bench = Bench::new();
    let ids = fill(&mut bench, 4).await;
    let first = bench.get("/api/v1/events?limit=2").await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    fill(&mut bench, 3).await;
    let second = bench.get(&format!("/api/v1/events?limit=2&cursor={cursor}")).await;
    assert_eq!(second.column("id"), [ids[1].clone(), ids[0].clone()]);
}

#[tokio::test]
async fn limits_are_clamped_above_and_refused_below() {
    let mut bench = Bench::new();
    fill(&mut bench, 55).await;
    for (limit, shown) in
        [("", 50), ("limit=51", 51), ("limit=1001", 55), ("limit=99999999999999999999999", 55)]
    {
        let page = bench.get(&format!("/api/v1/events?{limit}")).await;
        assert_eq!(page.column("id").len(), shown, "{limit}");
    }
    for limit in ["0", "00", "-1", "+5", "1.5", "1e3", "ten", "", "0x10", "%EF%BC%95"] {
        let problem = bench.get(&format!("/api/v1/events?limit={limit}")).await.problem(400);
        assert_eq!(problem, "`limit` must be a number from 1 to 1000.", "{limit}");
    }
}

#[tokio::test]
async fn a_cursor_leads_nowhere_in_another_list_or_order() {
    let mut bench = Bench::new();
    fill(&mut bench, 3).await;
    let page = bench.get("/api/v1/events?limit=1").await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    bench.get(&format!("/api/v1/events?order=asc&cursor={cursor}")).await.problem(400);
    bench.get(&format!("/api/v1/rejections?cursor={cursor}")).await.problem(400);
    for broken in ["", "!", "ZWQ=", "AAAA", &cursor[1..], &format!("{cursor}AA")] {
        bench.get(&format!("/api/v1/events?cursor={broken}")).await.problem(400);
    }
}
