//! Reads a stream of server-sent events as it comes.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower_service::Service;

use crate::bench::{Bench, TOKEN, WAIT_MAX};

/// An open stream, and what came of it.
pub(crate) struct Following {
    body: Body,
    text: String,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    /// The words of a comment.
    pub(crate) comment: String,
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Message {
    fn read(text: &str) -> Self {
        let mut message = Self::default();
        for line in text.lines() {
            match line.split_once(": ").expect("a field") {
                ("", comment) => comment.clone_into(&mut message.comment),
                ("id", id) => id.clone_into(&mut message.id),
                ("event", event) => event.clone_into(&mut message.event),
                ("data", data) => message.data = serde_json::from_str(data).unwrap(),
                ("retry", _) => {}
                (field, _) => panic!("no field: {field}"),
            }
        }
        message
    }
}

impl Following {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, text: String::new() }
    }

    /// The next message; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message = Message::read(&self.text[..end]);
                self.text.drain(..end + 2);
                return Some(message);
            }
            let frame = tokio::time::timeout(WAIT_MAX, self.body.frame());
            let frame = frame.await.expect("the stream says something")?;
            let bytes = frame.expect("the stream is whole").into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next message, which is of this kind.
    #[track_caller]
    pub(crate) fn expect(&mut self, event: &'static str) -> impl Future<Output = Message> {
        let caller = std::panic::Location::caller();
        async move {
            let message = self.next().await.expect("a message");
            assert_eq!(message.event, event, "{caller}: {message:?}");
            message
        }
    }

    /// All messages up to this comment, as they came.
    pub(crate) async fn until(mut self, comment: &str) -> String {
        let mut all = String::new();
        while let Some(message) = self.next().await {
            if message.comment == comment {
                break;
            }
            writeln!(all, "{message:?}").unwrap();
        }
        all
    }

    /// The values of `field` of the next events, up to this comment.
    pub(crate) async fn column(&mut self, field: &str, comment: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let message = self.next().await.expect("a message");
            if message.comment == comment {
                return all;
            }
            if message.event == "event" {
                all.push(message.data[field].clone());
            }
        }
    }
}

impl Bench {
    /// Opens the stream as the operator.
    pub(crate) async fn follow(&self, query: &str) -> Following {
        self.follow_as(TOKEN, query, None).await
    }

    /// Opens the stream as whoever has this token, behind `last`.
    pub(crate) async fn follow_as(
        &self,
        token: &str,
        query: &str,
        last: Option<&str>,
    ) -> Following {
        let mut request = Request::builder()
            .uri(format!("/api/v1/events/stream{query}"))
            .header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().call(request).await.unwrap();
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Following::new(response.into_body())
    }
}
