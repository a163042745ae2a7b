//! What is asked and what is remembered, with a clock that a test moves.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hookgate_egress::EgressError;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::*;
use crate::error::BackendError;

const TIMES: Times = Times {
    fresh: Duration::from_mins(5),
    absent: Duration::from_secs(30),
    stale_max: Duration::from_hours(1),
    failed: Duration::from_secs(10),
};

struct Bench {
    cache: Cache,
    seconds: Arc<AtomicU64>,
    asked: AtomicUsize,
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(Zeroizing::new(text.as_bytes().to_vec()))
}

fn away() -> SecretsError {
    let cause = BackendError::Unreachable(EgressError::TimedOut);
    SecretsError::Backend { place: "test", cause }
}

fn key(tenant: &str, name: &str) -> Key {
    (TenantId::parse(tenant).unwrap(), name.to_owned())
}

impl Bench {
    fn new(slots_max: usize) -> Self {
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, of_clock) = (Instant::now(), Arc::clone(&seconds));
        let clock: Clock =
            Arc::new(move || start + Duration::from_secs(of_clock.load(Ordering::SeqCst)));
        Self { cache: Cache::new(slots_max, TIMES, clock), seconds, asked: AtomicUsize::new(0) }
    }

    fn wait(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    /// What is said when the store says `text`, as `text`, `-` for none, `!` for an error.
    async fn get(&self, name: &str, text: &str) -> String {
        let said = match text {
            "!" => Err(away()),
            "-" => Ok(None),
            "?" => Err(SecretsError::Ambiguous),
            text => Ok(Some(value(text))),
        };
        let ask = async || {
            self.asked.fetch_add(1, Ordering::SeqCst);
            said
        };
        match self.cache.get(key("acme", name), ask).await {
            Ok(Some(value)) => String::from_utf8(value.expose().to_vec()).unwrap(),
            Ok(None) => "-".to_owned(),
            Err(_) => "!".to_owned(),
        }
    }
}

#[tokio::test]
async fn a_value_is_asked_for_once_until_it_is_old() {
    let bench = Bench::new(8);
    assert_eq!(bench.get("a", "one").await, "one");
    bench.wait(299);
    assert_eq!(bench.get("a", "two").await, "one");
    assert_eq!(bench.asked(), 1);
    bench.wait(1);
    assert_eq!(bench.get("a", "two").await, "two");
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn an_absent_value_is_believed_for_a_short_time() {
    let bench = Bench::new(8);
    assert_eq!(bench.get("a", "-").await, "-");
    bench.wait(29);
    assert_eq!(bench.get("a", "one").await, "-");
    bench.wait(1);
    assert_eq!(bench.get("a", "one").await, "one");
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_removed_value_is_gone_when_the_store_says_so() {
    let bench = Bench::new(8);
    bench.get("a", "one").await;
    bench.wait(300);
    assert_eq!(bench.get("a", "-").await, "-");
    bench.wait(30);
    assert_eq!(bench.get("a", "!").await, "-", "and what was before it does not come back");
}

#[tokio::test]
async fn an_old_value_stands_in_for_a_failing_store_up_to_its_age() {
    let bench = Bench::new(8);
    bench.get("a", "one").await;
    bench.wait(300);
    assert_eq!(bench.get("a", "!").await, "one");
    assert_eq!(bench.get("a", "!").await, "one");
    assert_eq!(bench.asked(), 2, "a store that failed is not asked again at once");
    bench.wait(10);
    assert_eq!(bench.get("a", "!").await, "one");
    assert_eq!(bench.asked(), 1);
    bench.wait(3_600 - 310 - 1);
    assert_eq!(bench.get("a", "!").await, "one");
    bench.wait(10);
    assert_eq!(bench.get("a", "!").await, "!");
    bench.wait(10);
    assert_eq!(bench.get("a", "two").await, "two");
}

#[tokio::test]
async fn a_failure_without_a_value_before_is_remembered_for_seconds() {
    let bench = Bench::new(8);
    assert_eq!(bench.get("a", "!").await, "!");
    assert_eq!(bench.get("a", "one").await, "!");
    assert_eq!(bench.asked(), 1);
    bench.wait(10);
    assert_eq!(bench.get("a", "one").await, "one");
}

#[tokio::test]
async fn nothing_stands_in_when_it_is_a_matter_of_whose_it_is() {
    let bench = Bench::new(8);
    bench.get("a", "one").await;
    bench.wait(300);
    assert_eq!(bench.get("a", "?").await, "!");
    assert_eq!(bench.get("a", "!").await, "!");
}

#[tokio::test]
async fn many_at_once_are_one_question() {
    let bench = Bench::new(8);
    let open = Semaphore::new(0);
    let asked = AtomicUsize::new(0);
    let ask = async || {
        asked.fetch_add(1, Ordering::SeqCst);
        open.acquire().await.unwrap().forget();
        Ok(Some(value("one")))
    };
    let gets: Vec<_> = (0..50).map(|_| bench.cache.get(key("acme", "a"), ask)).collect();
    let (answers, ()) = tokio::join!(all(gets), async { open.add_permits(1) });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(answers.iter().all(|it| it.as_ref().unwrap().as_ref().unwrap().expose() == b"one"));
}

#[tokio::test]
async fn when_the_first_gives_up_the_next_one_asks() {
    let bench = Bench::new(8);
    let mut first = Box::pin(bench.cache.get(key("acme", "a"), async || {
        std::future::pending::<()>().await;
        Ok(None)
    }));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(first.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    let second = bench.get("a", "one");
    drop(first);
    assert_eq!(second.await, "one");
}

#[tokio::test]
async fn while_a_failing_store_is_asked_again_others_do_not_wait() {
    let bench = Bench::new(8);
    bench.get("a", "one").await;
    bench.wait(300);
    assert_eq!(bench.get("a", "!").await, "one");
    bench.wait(10);
    let mut slow = Box::pin(bench.cache.get(key("acme", "a"), async || {
        std::future::pending::<()>().await;
        Ok(None)
    }));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(slow.as_mut().poll(context).is_pending())
    });
    assert!(polled.await);
    assert_eq!(bench.get("a", "two").await, "one");
}

#[tokio::test]
async fn a_value_is_its_tenants_and_can_be_forgotten_with_it() {
    let bench = Bench::new(8);
    bench.get("a", "one").await;
    let other = bench.cache.get(key("other", "a"), async || Ok(None)).await;
    assert!(other.unwrap().is_none());
    bench.cache.forget(&TenantId::parse("acme").unwrap());
    assert_eq!(bench.get("a", "two").await, "two");
}

#[tokio::test]
async fn the_number_of_values_is_bounded() {
    let bench = Bench::new(3);
    for name in ["a", "b", "c"] {
        bench.get(name, name).await;
        bench.wait(1);
    }
    bench.get("a", "a").await;
    bench.wait(1);
    bench.get("d", "d").await;
    bench.asked();
    assert_eq!(lock(&bench.cache.slots).len(), 3);
    assert_eq!(bench.get("a", "again").await, "a", "the one used last is still there");
    assert_eq!(bench.get("b", "again").await, "again", "the one not used for longest is not");
    for name in 0..100 {
        bench.get(&name.to_string(), "!").await;
        assert!(lock(&bench.cache.slots).len() <= 3);
    }
}

/// Waits for all of them on this one task, each polled in turn.
async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}
