//! What a file gives back, and what it does not.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::ledger::Known;
use crate::registry::image::tests::memory;

/// Seals as a cipher with a key of one byte would that authenticates its label.
fn file(folder: &TempDir, key: u8, database: &str) -> CacheFile {
    use sha2::{Digest as _, Sha256};
    let sum = move |label: &str, bytes: &[u8]| {
        let parts = [&[key], label.as_bytes(), b"\0", bytes].concat();
        Sha256::digest(parts).to_vec()
    };
    let seal = Arc::new(move |label: &str, bytes: &[u8]| {
        let text = bytes.iter().map(|it| it ^ key);
        Ok(sum(label, bytes).into_iter().chain(text).collect())
    });
    let open = Arc::new(move |label: &str, sealed: &[u8]| {
        let (tag, text) = sealed.split_at_checked(32)?;
        let bytes: Vec<u8> = text.iter().map(|it| it ^ key).collect();
        (tag == sum(label, &bytes)).then_some(bytes)
    });
    CacheFile::new(folder.path().join("cache"), database.to_owned(), NodeSeal { seal, open })
}

fn snapshot() -> Snapshot {
    let acme = TenantId::parse("acme").unwrap();
    let at = Timestamp::from_millis(1_800_000_000_000);
    let conversation = Conversation {
        tenant: acme.clone(),
        agent_id: Some("agent".to_owned()),
        phone_number_id: None,
        origin: Origin::Adopted,
    };
    Snapshot {
        store_id: Uuid::from_u128(5),
        mask_key: MaskKey::new([6; 32]),
        at,
        memory: memory().image(),
        ledger: LedgerImage {
            owners: vec![("vapi".into(), ClaimKind::Agent, "asst".into(), acme)],
            conversations: vec![ConversationImage::new("vapi", "call", &conversation)],
        },
    }
}

#[test]
fn what_was_written_is_read_again_and_says_how_old_it_is() {
    let folder = TempDir::new().unwrap();
    let file = file(&folder, 9, "db:5432/hookgate");
    assert!(file.read().is_none());
    let written = snapshot();
    file.write(snapshot()).unwrap();
    let read = file.read().unwrap();
    assert_eq!((read.store_id, read.mask_key.expose()), (written.store_id, &[6; 32][..]));
    assert!(read.memory == written.memory);
    assert_eq!(read.ledger, written.ledger);
    let later = Timestamp::from_millis(written.at.millis() + 90_000);
    assert_eq!(read.age(later), Duration::from_secs(90));
    let conversation = read.ledger.conversations[0].conversation();
    assert_eq!(conversation.origin, Origin::Adopted);
}

#[test]
fn a_file_of_another_installation_or_database_or_with_any_other_byte_is_ignored() {
    let folder = TempDir::new().unwrap();
    let ours = file(&folder, 9, "db:5432/hookgate");
    ours.write(snapshot()).unwrap();
    assert!(file(&folder, 8, "db:5432/hookgate").read().is_none());
    assert!(file(&folder, 9, "db:5432/other").read().is_none());
    let path = folder.path().join("cache");
    let whole = fs::read(&path).unwrap();
    // The id of the store is not sealed, and bound all the same.
    for at in (0..60).chain((60..whole.len()).step_by(37)) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert!(ours.read().is_none(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(ours.read().is_none(), "{at} bytes");
    }
    fs::write(&path, &whole).unwrap();
    assert!(ours.read().is_some());
}

#[test]
fn many_changes_are_one_write_every_few_seconds() {
    let s = Duration::from_secs;
    let mut pace = Pace::default();
    assert_eq!(pace.due(), None);
    pace.changed(s(10));
    assert_eq!(pace.due(), Some(s(10)));
    pace.writing(s(10));
    assert_eq!(pace.due(), None);
    pace.changed(s(11));
    pace.changed(s(12));
    assert_eq!(pace.due(), Some(s(10) + WRITE_PAUSE));
    pace.writing(s(13));
    pace.changed(s(60));
    assert_eq!(pace.due(), Some(s(60)));
}

#[test]
fn what_the_ledger_knew_is_known_again_and_nobody_is_not() {
    let written = snapshot().ledger;
    let mut known = Known::default();
    known.restore(written.clone());
    assert_eq!(known.image(), written);
    let mut other = Known::default();
    other.restore(LedgerImage {
        owners: vec![("gone".into(), ClaimKind::Agent, "x".into(), written.owners[0].3.clone())],
        conversations: Vec::new(),
    });
    assert_eq!(other.image(), LedgerImage::default(), "of a provider that is no more");
}
