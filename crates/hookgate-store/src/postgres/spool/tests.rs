//! What the spool promises.

mod bench;

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use bytes::Bytes;
use hookgate_core::attribution::{Consulted, Quarantined};
use hookgate_core::received::Blob;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use self::bench::*;
use super::*;
use crate::head::{self, EventHead};
use crate::options::SPOOL_BYTES_MAX;
use crate::prepare::Judged;

fn head_of(entry: &Entry) -> EventHead<'_> {
    head::decode(&entry.head).unwrap()
}

#[test]
fn what_was_appended_is_there_after_a_crash_in_order_and_byte_for_byte() {
    let (spool, folder) = spool();
    for number in 1..=20 {
        put(&spool, number);
    }
    assert_eq!(spool.len(), 20);
    // Nothing was closed.
    let copied = folder.path().join("copy");
    copy(&folder.path().join("spool"), &copied);
    let (again, found) = open(&copied);
    assert_eq!((found.entries, found.damaged, found.torn), (20, 0, 0));
    let entries = again.oldest(100, u64::MAX).unwrap();
    let bodies: Vec<_> = entries.iter().map(|(_, it)| it.body.clone()).collect();
    for (number, body) in (1..).zip(bodies) {
        let EntryBody::Whole(body) = body else { panic!("it is small") };
        assert_eq!(body, status("call-1", number));
    }
    assert_eq!(numbers(&again), (1..=20).collect::<Vec<_>>());
    assert_eq!(again.status().oldest_at.map(Timestamp::millis), Some(NOON));
    assert_eq!(again.status().bytes, spool.status().bytes);
}

#[test]
fn no_token_of_a_header_and_no_body_of_a_large_request_is_in_the_log() {
    let (spool, folder) = spool();
    put(&spool, 1);
    spool.close();
    let text = std::fs::read(folder.path().join("spool/spool/0000000000000001.seg")).unwrap();
    let has = |what: &[u8]| text.windows(what.len()).any(|it| it == what);
    assert!(!has(SECRET.as_bytes()));
    assert!(has(b"status-update"));
}

#[test]
fn what_is_done_never_comes_again_and_what_is_not_does() {
    let (spool, folder) = spool();
    for number in 1..=9 {
        put(&spool, number);
    }
    let first = spool.oldest(4, u64::MAX).unwrap();
    assert_eq!(first.len(), 4);
    assert_eq!(numbers(&spool), (1..=9).collect::<Vec<_>>(), "nothing is done yet");
    spool.done(first[2].0).unwrap();
    assert_eq!(spool.len(), 6);
    assert_eq!(numbers(&spool), (4..=9).collect::<Vec<_>>());
    let copied = folder.path().join("copy");
    copy(&folder.path().join("spool"), &copied);
    let (again, found) = open(&copied);
    assert_eq!(found.entries, 6);
    assert_eq!(numbers(&again), (4..=9).collect::<Vec<_>>());
    put(&again, 10);
    let all = again.oldest(100, u64::MAX).unwrap();
    again.done(all.last().unwrap().0).unwrap();
    assert_eq!((again.len(), again.status().bytes, again.status().oldest_at), (0, 0, None));
    again.close();
    drop(again);
    let (empty, found) = open(&copied);
    assert_eq!(found.entries, 0);
    put(&empty, 11);
    assert_eq!(numbers(&empty), [11], "what comes after is not taken for drained");
}

#[test]
fn what_was_drained_stays_so_when_its_segments_are_gone() {
    let (spool, folder) = spool();
    for number in 1..=5 {
        put(&spool, number);
    }
    let all = spool.oldest(100, u64::MAX).unwrap();
    spool.done(all[4].0).unwrap();
    spool.close();
    drop(spool);
    std::fs::remove_dir_all(folder.path().join("spool/spool")).unwrap();
    let (again, found) = open(&folder.path().join("spool"));
    assert_eq!(found.entries, 0);
    put(&again, 6);
    assert_eq!(numbers(&again), [6], "it has a number above those that were drained");
    again.close();
    drop(again);
    let (again, _) = open(&folder.path().join("spool"));
    assert_eq!(numbers(&again), [6]);
}

#[test]
fn a_mark_that_is_damaged_drains_again_and_loses_nothing() {
    let (spool, folder) = spool();
    for number in 1..=3 {
        put(&spool, number);
    }
    let all = spool.oldest(100, u64::MAX).unwrap();
    spool.done(all[1].0).unwrap();
    spool.close();
    drop(spool);
    std::fs::write(folder.path().join("spool/drained"), b"nonsense").unwrap();
    let (again, found) = open(&folder.path().join("spool"));
    assert!(found.is_mark_lost);
    assert_eq!(numbers(&again), [1, 2, 3]);
}

#[test]
fn a_torn_tail_is_set_aside_and_said() {
    let (spool, folder) = spool();
    put(&spool, 1);
    let copied = folder.path().join("copy");
    copy(&folder.path().join("spool"), &copied);
    put(&spool, 2);
    let path = "spool/0000000000000001.seg";
    let whole = std::fs::read(folder.path().join("spool").join(path)).unwrap();
    let before = std::fs::read(copied.join(path)).unwrap();
    let at = (0..before.len()).find(|at| before[*at] != whole[*at]).unwrap();
    // Half of the second batch reached the disk.
    let file = std::fs::OpenOptions::new().write(true).open(copied.join(path)).unwrap();
    file.write_all_at(&whole[at..at + 200], at as u64).unwrap();
    let (again, found) = open(&copied);
    assert_eq!((found.entries, found.torn), (1, 1));
    assert_eq!(numbers(&again), [1]);
    assert!(std::fs::read_dir(copied.join("lost")).unwrap().count() > 0);
}

#[test]
fn damage_is_said_and_kept_and_stops_nobody_behind_it() {
    let (spool, folder) = spool();
    for number in 1..=6 {
        put(&spool, number);
    }
    spool.close();
    drop(spool);
    let root = folder.path().join("spool");
    let path = root.join("spool/0000000000000001.seg");
    let bytes = std::fs::read(&path).unwrap();
    let needle = br#""n":3"#;
    let at = bytes.windows(needle.len()).position(|it| it == needle).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"X", at as u64).unwrap();
    let (again, found) = open(&root);
    assert_eq!(found.damaged, 1);
    assert_eq!(numbers(&again), [1, 2, 4, 5, 6]);
    let all = again.oldest(100, u64::MAX).unwrap();
    again.done(all.last().unwrap().0).unwrap();
    assert!(again.oldest(100, u64::MAX).unwrap().is_empty());
    assert_eq!(again.len(), 0, "what is lost to damage is not waited for");
    assert_eq!(again.status().damaged, 1);
    // Until its segment goes.
    again.inner.drop_before(&mut lock(&again.inner.drain), 2);
    assert!(root.join("damaged/0000000000000001.seg").exists());
}

#[test]
fn drained_segments_give_their_space_back() {
    let folder = TempDir::new().unwrap();
    let (spool, _) = Spool::open(folder.path(), options(SPOOL_BYTES_MIN)).unwrap();
    let body = Bytes::from(vec![b' '; 900 << 10]);
    let text = [&body[..], &status("call-1", 1)[..]].concat();
    let text = Bytes::from(text);
    for number in 1..=20 {
        let entry = NewEntry::deferred(&readable(&text), id(number), &mask_key());
        let room = spool.admit(text.len() as u64).unwrap();
        spool.append(room, &entry, NewBody::Whole(&text)).unwrap().wait().unwrap();
    }
    let on_disk = || spool.inner.journal.statistics().logs[0].bytes_on_disk;
    let before = on_disk();
    assert!(before > 18 << 20, "{before}");
    let all = spool.oldest(100, u64::MAX).unwrap();
    spool.done(all.last().unwrap().0).unwrap();
    assert!(on_disk() < before / 2, "{} of {before}", on_disk());
}

#[test]
fn a_batch_has_a_bound_in_bytes_and_is_never_empty_for_it() {
    let (spool, _folder) = spool();
    for number in 1..=4 {
        put(&spool, number);
    }
    let one = status("call-1", 1).len() as u64;
    assert_eq!(spool.oldest(100, 0).unwrap().len(), 1);
    assert_eq!(spool.oldest(100, one * 2).unwrap().len(), 2);
    assert_eq!(spool.oldest(3, u64::MAX).unwrap().len(), 3);
}

#[test]
fn a_full_spool_refuses_before_the_body_and_takes_again_when_it_is_drained() {
    let folder = TempDir::new().unwrap();
    let (spool, _) = Spool::open(folder.path(), options(SPOOL_BYTES_MIN)).unwrap();
    let half = SPOOL_BYTES_MIN / 2;
    let first = spool.admit(half).unwrap();
    // What is admitted counts before it is there.
    assert_eq!(spool.admit(half).unwrap_err(), Unavailable::Behind);
    drop(first);
    let second = spool.admit(half).unwrap();
    drop(second);
    let large = Bytes::from([&vec![b' '; 33 << 20][..], &status("call-1", 1)[..]].concat());
    let entry = NewEntry::deferred(&readable(&large), id(1), &mask_key());
    let room = spool.admit(large.len() as u64).unwrap();
    spool.append(room, &entry, NewBody::Whole(&large)).unwrap().wait().unwrap();
    assert_eq!(spool.admit(half).unwrap_err(), Unavailable::Behind);
    // Without room of its own nothing gets in either.
    let little = spool.admit(0).unwrap();
    let refused = spool.append(little, &entry, NewBody::Whole(&large)).unwrap_err();
    assert_eq!(refused, Unavailable::Behind);
    let all = spool.oldest(1, 0).unwrap();
    spool.done(all[0].0).unwrap();
    drop(spool.admit(half).unwrap());
}

#[test]
fn a_large_body_is_a_file_until_it_is_drained() {
    let (spool, folder) = spool();
    let bytes = Bytes::from([&vec![b' '; 2 << 20][..], &status("call-1", 1)[..]].concat());
    let name = [9; 16];
    let file = folder.path().join("arriving");
    std::fs::write(&file, &bytes).unwrap();
    let blob = Blob { id: name, bytes: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
    let entry = NewEntry::deferred(&readable_large(blob, &bytes), id(1), &mask_key());
    let kept = spool.keep_body(name, &file).unwrap();
    let admitted = spool.admit(bytes.len() as u64).unwrap();
    spool.append(admitted, &entry, NewBody::Kept(kept)).unwrap().wait().unwrap();
    assert!(spool.status().bytes > 2 << 20, "it counts");
    // One that became no entry is gone, and so is what a crash left.
    std::fs::write(&file, b"abc").unwrap();
    drop(spool.keep_body([8; 16], &file).unwrap());
    let root = folder.path().join("spool");
    assert_eq!(std::fs::read_dir(root.join("bodies")).unwrap().count(), 1);
    let copied = folder.path().join("copy");
    copy(&root, &copied);
    std::fs::write(copied.join("bodies/77"), b"left").unwrap();
    let (again, found) = open(&copied);
    assert_eq!(found.entries, 1);
    assert_eq!(again.status().bytes, spool.status().bytes);
    assert_eq!(std::fs::read_dir(copied.join("bodies")).unwrap().count(), 1);
    let all = again.oldest(10, 0).unwrap();
    let EntryBody::File { id, bytes: length } = all[0].1.body else { panic!("it is large") };
    assert_eq!(length, bytes.len() as u64);
    let mut read = Vec::new();
    io::Read::read_to_end(&mut again.open_body(id).unwrap(), &mut read).unwrap();
    assert_eq!(read, bytes);
    again.done(all[0].0).unwrap();
    assert_eq!(again.open_body(id).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn one_process_has_it_and_only_its_owner_reads_it() {
    let (_spool, folder) = spool();
    let root = folder.path().join("spool");
    let again = Spool::open(&root, options(SPOOL_BYTES_MAX));
    assert!(matches!(again, Err(OpenError::Locked)));
    assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(Spool::open(&root.join("small"), options(1)).is_err());
}

#[test]
fn nothing_is_taken_once_it_is_closed_and_what_is_left_is_said() {
    let (spool, _folder) = spool();
    put(&spool, 1);
    assert_eq!(spool.close(), 1);
    let (entry, body) = deferred(2);
    let room = spool.admit(0).unwrap();
    let refused = spool.append(room, &entry, NewBody::Whole(&body)).unwrap_err();
    assert_eq!(refused, Unavailable::Closing);
    assert_eq!(spool.len(), 1);
}

/// Whose it is, whether it is accepted, and whether a repetition of it is recognised.
fn outcome(rejudged: &judge::Rejudged) -> (Option<String>, bool, bool) {
    let head: head::EventHead<'_> = head::decode(&rejudged.head).unwrap();
    (head.tenant.map(std::borrow::Cow::into_owned), head.status == 0, head.key.is_some())
}

#[test]
fn what_was_deferred_is_stored_as_if_it_had_been_decided_when_it_came() {
    let (spool, _folder) = spool();
    let body = status("call-1", 5);
    put(&spool, 5);
    let entry = spool.oldest(1, 0).unwrap().remove(0).1;
    assert!(entry.is_deferred);
    let question = entry.question().unwrap().unwrap();
    assert_eq!(question.provider, "vapi");
    assert_eq!(question.claims, readable(&body).claims());
    let consulted = known_as("acme", question.claims.len());
    let rejudged = entry.judge(&consulted, |_| true).unwrap().unwrap();
    assert_eq!(outcome(&rejudged), (Some("acme".to_owned()), true, true));
    // The same request, decided at once.
    let decided = accepted(&body, &consulted);
    let now = NewEntry::decided(Judged::Accepted(&decided), id(5), &mask_key());
    let now = Entry::decode(&now.record, body.to_vec()).unwrap();
    assert_eq!(rejudged.head, now.head);
    let again = now.judge(&consulted, |_| true).unwrap().unwrap();
    assert_eq!(again.head, now.head);
}

#[test]
fn what_is_known_otherwise_by_then_is_judged_by_what_is_known() {
    let (spool, _folder) = spool();
    put(&spool, 5);
    let entry = spool.oldest(1, 0).unwrap().remove(0).1;
    let claims = entry.question().unwrap().unwrap().claims.len();
    // Its tenant is being erased: it is nobody's.
    let rejudged = entry.judge(&known_as("acme", claims), |_| false).unwrap().unwrap();
    assert_eq!(outcome(&rejudged), (None, false, false), "nothing in quarantine is repeated");
    // The conversation is another tenant's than the assistant: it is not guessed.
    let mut mixed = known_as("acme", claims);
    mixed.conversation.as_mut().unwrap().tenant = tenant("other");
    let rejudged = entry.judge(&mixed, |_| true).unwrap().unwrap();
    assert_eq!(outcome(&rejudged), (None, false, false));
    // Nobody knows the conversation, and the assistant is bound: it makes it known.
    let mut adopting = known_as("acme", claims);
    adopting.conversation = None;
    let kinds = entry.question().unwrap().unwrap().claims;
    for (owner, claim) in adopting.owners.iter_mut().zip(&kinds) {
        if claim.kind == hookgate_core::event::ClaimKind::Conversation {
            *owner = None;
        }
    }
    let rejudged = entry.judge(&adopting, |_| true).unwrap().unwrap();
    assert_eq!(rejudged.adoption.map(|it| it.external_id).as_deref(), Some("call-1"));
}

#[test]
fn nothing_is_decided_about_what_is_not_proven() {
    let (spool, _folder) = spool();
    let body = status("call-1", 1);
    let recorded = Quarantined::unproven(unproven(&body));
    let entry = NewEntry::decided(Judged::Quarantined(&recorded), id(1), &mask_key());
    let room = spool.admit(0).unwrap();
    spool.append(room, &entry, NewBody::Whole(&body)).unwrap().wait().unwrap();
    let entry = spool.oldest(1, 0).unwrap().remove(0).1;
    assert_eq!(entry.question().unwrap(), None);
    assert!(entry.judge(&Consulted::default(), |_| true).unwrap().is_none());
    assert_eq!(head_of(&entry).cause.as_deref(), Some("unproven"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A crash is a copy of the folder at that moment.
    #[test]
    fn every_entry_is_drained_in_order_over_crashes_and_none_that_is_done_again(
        steps in proptest::collection::vec((0..4_u8, 1..6_usize), 1..40)
    ) {
        let folder = TempDir::new().unwrap();
        let mut generation = 0;
        let mut spool = open(&folder.path().join("0")).0;
        let (mut appended, mut done) = (0_u64, 0_u64);
        for (step, many) in steps {
            match step {
                0 | 1 => {
                    for _ in 0..many {
                        appended += 1;
                        put(&spool, appended);
                    }
                }
                2 => {
                    let given = spool.oldest(many, u64::MAX).unwrap();
                    if let Some((place, entry)) = given.last() {
                        spool.done(*place).unwrap();
                        done = entry.id.as_u64_pair().1 & 0xffff_ffff;
                    }
                }
                _ => {
                    let from = folder.path().join(generation.to_string());
                    generation += 1;
                    let to = folder.path().join(generation.to_string());
                    copy(&from, &to);
                    drop(std::mem::replace(&mut spool, open(&to).0));
                }
            }
            prop_assert_eq!(spool.len(), appended - done);
            prop_assert_eq!(numbers(&spool), (done + 1..=appended).collect::<Vec<_>>());
            prop_assert_eq!(spool.status().oldest_at.is_some(), appended > done);
        }
    }
}
