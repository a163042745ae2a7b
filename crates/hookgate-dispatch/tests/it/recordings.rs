//! Recordings: fetched from servers that behave and from such that do not, decoded out of
//! bodies, whole after a crash, and gone with their events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate_core::tenant::Scope;
use hookgate_dispatch::Archiving;
use hookgate_store::{Body, EventId, Recording, RecordingFilter, RecordingState, Rows};
use http_body_util::channel::Channel;
use serde_json::json;
use tokio::sync::Notify;

use crate::bench::{Bench, tenant};
use crate::receiver::{PATIENCE, Receiver, Reply, status};

/// The largest recording of these tests.
const BYTES_MAX: u64 = 6 << 20;

fn archiving() -> Archiving {
    Archiving { by_default: true, sources: BTreeMap::new(), bytes_max: BYTES_MAX }
}

async fn bench() -> Bench {
    Bench::archiving(archiving()).await
}

/// A sound of so many bytes, told apart by a number.
fn sound(bytes: usize, number: u8) -> Bytes {
    let mut sound = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    let mut state = 0x9e37_79b9_u32 ^ u32::from(number);
    while sound.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        sound.push(state.to_be_bytes()[0]);
    }
    sound.into()
}

fn answer(body: Bytes) -> Reply {
    typed("audio/x-wav", body)
}

fn typed(content_type: &str, body: Bytes) -> Reply {
    let response = Response::builder().header("content-type", content_type);
    Reply::Now(response.body(HttpBody::from(body)).unwrap())
}

type Sender = http_body_util::channel::Sender<Bytes, std::io::Error>;

/// A body that somebody feeds.
fn fed<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(Sender) -> F) -> HttpBody {
    let (sender, body) = Channel::new(1);
    tokio::spawn(work(sender));
    HttpBody::new(body)
}

/// Says nothing more.
async fn stuck(sender: Sender) {
    std::future::pending::<()>().await;
    drop(sender);
}

/// The end of a call, with links to its recordings.
fn ended(owner: &str, call: &str, urls: &[String]) -> String {
    let recording = match urls {
        [mono] => json!({"mono": {"combinedUrl": mono}}),
        [mono, stereo] => json!({"mono": {"combinedUrl": mono}, "stereoUrl": stereo}),
        _ => json!({}),
    };
    json!({"message": {
        "type": "end-of-call-report",
        "call": {"id": call, "assistantId": format!("agent-{owner}")},
        "artifact": {"recording": recording},
    }})
    .to_string()
}

async fn all(bench: &Bench, scope: &Scope) -> Vec<Recording> {
    let filter = RecordingFilter::default();
    let mut all = bench.store.recordings(scope, filter, Rows::ALL).await.unwrap();
    all.sort_by_key(|it| it.n);
    all
}

/// Waits until the recordings are so.
async fn until(bench: &Bench, mut is_so: impl FnMut(&[Recording]) -> bool) -> Vec<Recording> {
    let mut changed = bench.store.registry().recordings_changed();
    let wait = async {
        loop {
            changed.borrow_and_update();
            let found = all(bench, &Scope::Operator).await;
            if is_so(&found) {
                return found;
            }
            // What is noted before its commit is looked at again.
            let _ = tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

async fn settled(bench: &Bench, count: usize) -> Vec<Recording> {
    until(bench, |it| it.len() == count && it.iter().all(|it| it.state != RecordingState::Pending))
        .await
}

/// Waits until an attempt failed, and lets the time pass to the next.
async fn retried(bench: &Bench, attempts: u32) -> Recording {
    let found =
        until(bench, |it| matches!(it, [only] if only.attempts == attempts && only.due.is_some()));
    let found = found.await.pop().unwrap();
    bench.pass(found.due.unwrap().ahead(bench.now()));
    found
}

async fn bytes_of(bench: &Bench, recording: &Recording) -> Bytes {
    match bench.store.recorded(recording).await.unwrap().unwrap() {
        Body::Whole(bytes) => bytes,
        Body::Large(mut large) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut large, &mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, large.len());
            bytes.into()
        }
    }
}

/// Files of recordings, with those that are unfinished.
fn files(bench: &Bench) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(bench.path().join("recordings")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files
}

#[tokio::test]
async fn a_recording_is_fetched_whole_and_its_link_is_kept_nowhere() {
    let bench = bench().await;
    let sounds = [sound(3 << 20, 1), sound(40, 2)];
    let given = sounds.clone();
    let server = Receiver::new(move |_, got| {
        answer(given[usize::from(got.path.contains("stereo"))].clone())
    })
    .await;
    bench.start();
    let urls = ["mono?sig=canary-77", "stereo?sig=canary-77"];
    let urls = urls.map(|it| server.url(&format!("/{it}")));
    let event = bench.receive(&ended("ada", "call_1", &urls)).await;
    // The same links again, in another event of the call.
    bench
        .receive(&ended("ada", "call_1", &urls).replace("end-of-call-report", "status-update"))
        .await;
    let found = settled(&bench, 2).await;
    for (recording, (sound, kind)) in
        found.iter().zip(sounds.iter().zip(["mixed", "multi_channel"]))
    {
        assert_eq!((recording.event, recording.state), (event, RecordingState::Fetched));
        assert_eq!((recording.kind.as_str(), recording.attempts), (kind, 0));
        assert_eq!(recording.tenant, Some(tenant("ada")));
        assert_eq!(recording.sha256, Some(hookgate_core::digest::sha256(sound)));
        assert!(bytes_of(&bench, recording).await == sound, "it is what was served");
    }
    for got in server.got() {
        assert_eq!(got.header("authorization"), "", "no credential goes along");
    }
    assert_eq!(server.got().len(), 2, "each link is asked once");
    // They are counted when they are on record.
    let counted = [
        "hookgate_recording_fetches_total{outcome=\"fetched\"} 2".to_owned(),
        format!("hookgate_recording_bytes_total {}", (3 << 20) + 40),
    ];
    until(&bench, |_| counted.iter().all(|it| bench.metrics().contains(it))).await;
    assert_eq!(files(&bench).len(), 2);
    // Not in the registry, nor in what stands beside it.
    for name in ["registry.sqlite", "registry.sqlite-wal"] {
        let bytes = std::fs::read(bench.path().join(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary-77"), "{name}");
    }
    // Another tenant does not see them.
    assert_eq!(all(&bench, &Scope::Tenant(tenant("ada"))).await.len(), 2);
    assert_eq!(all(&bench, &Scope::Tenant(tenant("bob"))).await, []);
    let bobs = Scope::Tenant(tenant("bob"));
    assert_eq!(bench.store.recording(&bobs, found[0].id).await.unwrap(), None);
}

#[tokio::test]
async fn what_goes_wrong_is_tried_again_after_5_s_30_s_2_min_and_10_min_and_then_given_up() {
    let bench = bench().await;
    let server = Receiver::new(|number, _| match number {
        0 => status(404),
        1 => typed("text/html", "<!DOCTYPE html><title>Expired</title>".into()),
        2 => typed("audio/wav", "  {\"error\":\"expired\"} and more".into()),
        3 => status(503),
        _ => answer(Bytes::new()),
    })
    .await;
    bench.start();
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    for (attempts, wait, reason) in [
        (1, 5, "the server does not have it (404)"),
        (2, 30, "what came is no sound"),
        (3, 120, "what came is no sound"),
        (4, 600, "the server failed (5xx)"),
    ] {
        let before = bench.now();
        let found = retried(&bench, attempts).await;
        assert_eq!(found.reason.as_deref(), Some(reason));
        assert_eq!(found.due.unwrap().ahead(before), Duration::from_secs(wait));
    }
    let given_up = settled(&bench, 1).await.pop().unwrap();
    assert_eq!((given_up.state, given_up.attempts), (RecordingState::Failed, 5));
    assert_eq!(given_up.reason.as_deref(), Some("nothing came"));
    assert_eq!(files(&bench), Vec::<PathBuf>::new());
    assert_eq!(server.got().len(), 5);
}

#[tokio::test]
async fn a_server_that_dies_half_way_leaves_nothing_and_the_next_attempt_has_all() {
    let bench = bench().await;
    let whole = sound(2 << 20, 3);
    let sent = whole.clone();
    let server = Receiver::new(move |number, _| {
        if number > 0 {
            return answer(sent.clone());
        }
        // It says more than it gives.
        let half = sent.slice(..sent.len() / 2);
        let response = Response::builder().header("content-length", sent.len().to_string());
        let body = fed(async move |mut sender| {
            let _ = sender.send_data(half).await;
            sender.abort(std::io::ErrorKind::ConnectionReset.into());
        });
        Reply::Now(response.body(body).unwrap())
    })
    .await;
    bench.start();
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    let broken = retried(&bench, 1).await;
    assert_eq!(broken.reason.as_deref(), Some("the connection broke off half-way"));
    let found = settled(&bench, 1).await.pop().unwrap();
    assert!(bytes_of(&bench, &found).await == whole);
    assert_eq!(files(&bench).len(), 1);
}

#[tokio::test]
async fn what_no_attempt_can_mend_is_given_up_at_once_with_a_reason() {
    let bench = bench().await;
    let server = Receiver::new(|_, got| match got.path.as_str() {
        "/moved" => {
            let response = Response::builder().status(302).header("location", "http://10.0.0.1/");
            Reply::Now(response.body(HttpBody::empty()).unwrap())
        }
        "/announced" => {
            let response =
                Response::builder().header("content-length", (BYTES_MAX + 1).to_string());
            Reply::Now(response.body(fed(stuck)).unwrap())
        }
        _ => answer(sound(usize::try_from(BYTES_MAX).unwrap() + 1, 4)),
    })
    .await;
    bench.start();
    for (number, (url, reason)) in [
        (server.url("/moved"), "the link leads on to another one, which is not followed"),
        (server.url("/large"), "it is larger than a recording may be ([recordings] max_bytes)"),
        (server.url("/announced"), "it is larger than a recording may be ([recordings] max_bytes)"),
        (
            "https://10.0.0.1/r.wav".to_owned(),
            "its link leads to an address that may not be reached",
        ),
        (
            "http://93.184.216.34/r.wav".to_owned(),
            "its link is plain http, which is only for networks that the operator allows",
        ),
        (
            "https://169.254.169.254/latest".to_owned(),
            "its link leads to an address that may not be reached",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        bench.receive(&ended("ada", &format!("call_{number}"), std::slice::from_ref(&url))).await;
        let found = settled(&bench, number + 1).await.pop().unwrap();
        assert_eq!(found.state, RecordingState::Failed, "{url}");
        assert_eq!((found.reason.as_deref(), found.attempts), (Some(reason), 1), "{url}");
    }
    assert_eq!(files(&bench), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_fetch_loses_nothing_and_leaves_no_file() {
    let mut bench = bench().await;
    let whole = sound(1 << 20, 5);
    let sent = whole.clone();
    let server = Receiver::new(move |number, _| {
        if number < 3 {
            // The head and a half, and then silence.
            let half = sent.slice(..sent.len() / 2);
            return Reply::Now(Response::new(fed(async move |mut sender| {
                let _ = sender.send_data(half).await;
                stuck(sender).await;
            })));
        }
        answer(sent.clone())
    })
    .await;
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    for crash in 1..=3 {
        bench.start();
        server.wait_for(crash).await;
        bench = bench.crash().await;
        assert_eq!(files(&bench), Vec::<PathBuf>::new(), "what was unfinished is gone");
    }
    bench.start();
    let found = settled(&bench, 1).await.pop().unwrap();
    assert_eq!((found.state, found.attempts), (RecordingState::Fetched, 0));
    assert!(bytes_of(&bench, &found).await == whole);
    assert_eq!(files(&bench).len(), 1);
}

#[tokio::test]
async fn a_file_that_a_crash_left_in_its_place_is_found_and_not_fetched_again() {
    let bench = bench().await;
    let server = Receiver::new(|_, _| answer(sound(100, 6))).await;
    let event = bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    let recording = hookgate_store::NewRecording {
        event,
        seq: 1,
        place: 0,
        tenant: Some(tenant("ada")),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: Some("call_1".to_owned()),
        kind: "mixed",
        digest: Some([7; 32]),
        received_at: bench.now(),
    };
    let cursor = hookgate_store::Cursor { name: "test", from: 0, to: 1, erasures: 0 };
    let made = hookgate_store::Made { recordings: vec![recording], ..Default::default() };
    let registry = bench.store.registry();
    assert!(registry.keep_made(cursor, made, bench.now()).await.unwrap());
    let id = all(&bench, &Scope::Operator).await[0].id.0.simple().to_string();
    let folder = bench.path().join("recordings").join(&id[30..]);
    std::fs::create_dir(&folder).unwrap();
    let left = sound(5_000, 7);
    std::fs::write(folder.join(&id), &left).unwrap();
    bench.start();
    let found = settled(&bench, 1).await.pop().unwrap();
    assert_eq!((found.state, found.size), (RecordingState::Fetched, Some(5_000)));
    assert!(bytes_of(&bench, &found).await == left);
    assert_eq!(server.got().len(), 0);
}

#[tokio::test]
async fn sound_inside_of_a_body_of_many_megabytes_is_kept_byte_by_byte() {
    let bench = bench().await;
    bench.start();
    let mut whole = b"ID3\x04\0\0\0\0\0\0".to_vec();
    whole.extend_from_slice(&sound(5 << 20, 8));
    let encoded = STANDARD.encode(&whole).replace('/', "\\/");
    let body = format!(
        r#"{{"type":"post_call_audio","event_timestamp":1739537319,"data":{{"note":"}}\"","agent_id":"agent-ada","conversation_id":"conv_1","full_audio":"{encoded}"}}}}"#
    );
    let event = bench.receive_large("elevenlabs", &body).await;
    // A small one is in the journal itself.
    let small = STANDARD.encode(&whole[..3_000]);
    let body = format!(
        r#"{{"type":"post_call_audio","event_timestamp":1739537320,"data":{{"agent_id":"agent-ada","conversation_id":"conv_2","full_audio":"{small}"}}}}"#
    );
    bench.receive_large("elevenlabs", &body).await;
    // One that is no base64, and one without any.
    for (number, audio) in [(3, r#""full_audio":"not base64!""#), (4, r#""full_audio":"QUJD""#)] {
        let body = format!(
            r#"{{"type":"post_call_audio","event_timestamp":1,"data":{{"agent_id":"agent-ada","conversation_id":"conv_{number}",{audio}}}}}"#
        );
        bench.receive_large("elevenlabs", &body).await;
    }
    let found = until(&bench, |it| {
        it.len() == 4 && it.iter().all(|it| it.state != RecordingState::Pending || it.attempts > 0)
    })
    .await;
    assert_eq!((found[0].event, found[0].sound), (event, Some(hookgate_core::sound::Sound::Mp3)));
    assert!(bytes_of(&bench, &found[0]).await == whole, "what was encoded");
    assert!(bytes_of(&bench, &found[1]).await == whole[..3_000]);
    assert_eq!(found[2].reason.as_deref(), Some("what the event's body holds is no base64"));
    assert_eq!(found[3].reason.as_deref(), Some("what came is no sound"));
    assert_eq!(files(&bench).len(), 2);
}

#[tokio::test]
async fn only_what_is_accepted_is_fetched_and_what_is_released_is_fetched_then() {
    let bench = bench().await;
    let server = Receiver::new(|_, _| answer(sound(500, 9))).await;
    bench.start();
    bench.event("ada", "call_1", "known").await;
    // Of ada's call, with bob's agent: a contradiction.
    let quarantined = bench.receive(&ended("bob", "call_1", &[server.url("/q.wav")])).await;
    bench.receive(&ended("ada", "call_2", &[server.url("/r.wav")])).await;
    settled(&bench, 1).await;
    assert_eq!(server.got().iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["/r.wav"]);
    release(&bench, quarantined, "ada").await;
    settled(&bench, 2).await;
    let paths: Vec<_> = server.got().into_iter().map(|it| it.path).collect();
    assert_eq!(paths, ["/r.wav", "/q.wav"]);
    assert_eq!(all(&bench, &Scope::Tenant(tenant("ada"))).await.len(), 2);
}

async fn release(bench: &Bench, event: EventId, owner: &str) {
    let owner = Some(tenant(owner));
    bench.store.release(event, owner, "operator", "correlation", bench.now()).await.unwrap();
}

#[tokio::test]
async fn what_is_erased_while_it_is_fetched_leaves_no_file() {
    let bench = bench().await;
    let (going, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, wait) = (Arc::clone(&going), Arc::clone(&go));
    let whole = sound(1 << 20, 10);
    let server = Receiver::new(move |_, _| {
        let (begun, wait, rest) = (Arc::clone(&begun), Arc::clone(&wait), whole.clone());
        Reply::Now(Response::new(fed(async move |mut sender| {
            let _ = sender.send_data(rest.slice(..rest.len() / 2)).await;
            begun.notify_one();
            wait.notified().await;
            let _ = sender.send_data(rest.slice(rest.len() / 2..)).await;
        })))
    })
    .await;
    bench.start();
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    going.notified().await;
    let mut erasing = bench.store.erasing();
    let erasure = bench.store.erase_tenant(&tenant("ada"), bench.now()).await.unwrap();
    loop {
        let now = bench.store.registry().erasure(&erasure.id).await.unwrap().unwrap();
        if now.finished_at.is_some() {
            break;
        }
        erasing.changed().await.unwrap();
    }
    assert_eq!(files(&bench), Vec::<PathBuf>::new(), "also what is on its way is gone");
    go.notify_one();
    until(&bench, |_| bench.metrics().contains("{outcome=\"gone\"} 1")).await;
    assert_eq!(files(&bench), Vec::<PathBuf>::new());
    assert_eq!(all(&bench, &Scope::Operator).await, []);
}

#[tokio::test]
async fn nothing_is_fetched_unless_it_is_asked_for() {
    let bench = Bench::new().await;
    let server = Receiver::new(|_, _| answer(sound(500, 11))).await;
    bench.start();
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    bench.idle().await;
    assert_eq!(all(&bench, &Scope::Operator).await, []);
    assert_eq!(server.got().len(), 0);
    // A source of its own may say otherwise.
    let own = Archiving { sources: [("vapi".to_owned(), false)].into(), ..archiving() };
    let bench = Bench::archiving(own).await;
    bench.start();
    bench.receive(&ended("ada", "call_1", &[server.url("/r.wav")])).await;
    bench.idle().await;
    assert_eq!(all(&bench, &Scope::Operator).await, []);
}
