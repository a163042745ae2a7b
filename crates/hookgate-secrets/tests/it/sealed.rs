//! Credentials that are sealed in the store itself.

use hookgate_secrets::{OpenError, Secrets, SecretsError, VALUE_BYTES_MAX};
use hookgate_store::{RegistryError, SealedCredential, SealedKey};

use crate::bench::{Bench, KEYS, NOW, causes, keys, shown, tenant};

#[tokio::test]
async fn a_credential_is_kept_and_opens_after_a_restart() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), "-");
    secrets.put(&tenant("acme"), "square", b"{\"access_token\":\"t\"}", NOW).await.unwrap();
    secrets.put(&tenant("acme"), "other", b"plain", NOW).await.unwrap();
    drop(secrets);
    let bench = bench.reopen();
    let secrets = bench.sealed(&KEYS[..1]).await;
    let value = secrets.get(&tenant("acme"), "square").await.unwrap().unwrap();
    assert_eq!(value.as_json().unwrap()["access_token"], "t");
    let plain = secrets.get(&tenant("acme"), "other").await.unwrap().unwrap();
    assert_eq!((plain.expose(), plain.as_json()), (b"plain".as_slice(), None));
    secrets.put(&tenant("acme"), "other", b"newer", NOW).await.unwrap();
    assert_eq!(shown(secrets.get(&tenant("acme"), "other").await), "newer");
    assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "-");
}

#[tokio::test]
async fn a_row_that_is_moved_to_another_tenant_or_name_does_not_open() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    secrets.put(&tenant("acme"), "square", b"acme's", NOW).await.unwrap();
    secrets.put(&tenant("other"), "square", b"other's", NOW).await.unwrap();
    let registry = bench.store.registry();
    let stolen = registry.credential(&tenant("acme"), "square").await.unwrap().unwrap();
    for (id, name) in [("other", "square"), ("acme", "moved")] {
        let row = SealedCredential { tenant: tenant(id), name: name.to_owned(), ..stolen.clone() };
        registry.put_credential(row).await.unwrap();
        let got = secrets.get(&tenant(id), name).await;
        assert!(matches!(got, Err(SecretsError::NotOpened(_))), "{id} {name}");
    }
    // Not even together with the key that seals it.
    let mut key = registry.data_key("acme").await.unwrap().unwrap();
    key.tenant = "other".to_owned();
    registry.replace_data_key(key).await.unwrap();
    let got = secrets.get(&tenant("other"), "square").await;
    assert!(matches!(got, Err(SecretsError::NotOpened(_))));
}

#[tokio::test]
async fn names_and_sizes_are_checked() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    let acme = tenant("acme");
    for name in ["", "Square", "../x", "a/b", ".x", "a b", &"a".repeat(65)] {
        let put = secrets.put(&acme, name, b"x", NOW).await;
        assert!(matches!(put, Err(SecretsError::Name)), "{name}");
        assert!(matches!(secrets.get(&acme, name).await, Err(SecretsError::Name)), "{name}");
    }
    let largest = vec![b'x'; VALUE_BYTES_MAX];
    secrets.put(&acme, "large", &largest, NOW).await.unwrap();
    assert_eq!(secrets.get(&acme, "large").await.unwrap().unwrap().expose(), largest);
    let larger = vec![b'x'; VALUE_BYTES_MAX + 1];
    let put = secrets.put(&acme, "large", &larger, NOW).await;
    assert!(matches!(put, Err(SecretsError::TooLarge)));
    let put = secrets.put(&tenant("nobody"), "x", b"x", NOW).await;
    let Err(SecretsError::Registry(cause)) = put else { panic!("{put:?}") };
    assert!(matches!(*cause, RegistryError::NoSuchTenant));
}

#[tokio::test]
async fn the_installation_seals_for_itself_and_by_label() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    let sealed = secrets.seal_for_installation("answer/1", b"answer").await.unwrap();
    assert!(!sealed.windows(6).any(|it| it == b"answer"));
    let opened = secrets.open_for_installation("answer/1", &sealed).await.unwrap();
    assert_eq!(opened.expose(), b"answer");
    let other = secrets.open_for_installation("answer/2", &sealed).await;
    assert!(matches!(other, Err(SecretsError::NotOpened(_))));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(secrets.open_for_installation("answer/1", &changed).await.is_err());
    }
}

#[tokio::test]
async fn without_a_master_key_nothing_is_sealed_and_a_gateway_without_credentials_starts() {
    let bench = Bench::new().await;
    let secrets = Secrets::open(bench.store.registry().clone(), None).await.unwrap();
    let put = secrets.put(&tenant("acme"), "square", b"x", NOW).await;
    assert!(matches!(put, Err(SecretsError::NoMasterKey)));
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), "-");
    assert!(matches!(secrets.rewrap().await, Err(SecretsError::NoMasterKey)));
}

#[tokio::test]
async fn a_start_without_the_master_key_of_sealed_rows_is_refused() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    secrets.put(&tenant("acme"), "square", b"x", NOW).await.unwrap();
    secrets.put(&tenant("other"), "square", b"x", NOW).await.unwrap();
    let registry = bench.store.registry().clone();
    let none = Secrets::open(registry.clone(), None).await.unwrap_err();
    assert!(matches!(none, OpenError::NoMasterKey { tenants: 2 }));
    assert!(none.to_string().contains("HOOKGATE_MASTER_KEY"), "{none}");
    let wrong = Secrets::open(registry.clone(), Some(keys(&KEYS[1..2]))).await.unwrap_err();
    assert!(matches!(wrong, OpenError::WrongMasterKey { closed: 2, tenants: 2, .. }), "{wrong}");
    assert!(wrong.to_string().contains("id is "), "{wrong}");
    for given in [[KEYS[0], KEYS[1]], [KEYS[1], KEYS[0]]] {
        let secrets = Secrets::open(registry.clone(), Some(keys(&given))).await.unwrap();
        assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), "x");
    }
}

#[tokio::test]
async fn a_start_with_some_of_the_keys_is_refused_too() {
    let bench = Bench::new().await;
    let one = bench.sealed(&KEYS[..1]).await;
    one.put(&tenant("acme"), "square", b"x", NOW).await.unwrap();
    let two = bench.sealed(&[KEYS[1], KEYS[0]]).await;
    two.put(&tenant("other"), "square", b"y", NOW).await.unwrap();
    let registry = bench.store.registry().clone();
    let error = Secrets::open(registry, Some(keys(&KEYS[1..2]))).await.unwrap_err();
    assert!(matches!(error, OpenError::WrongMasterKey { closed: 1, tenants: 2, .. }), "{error}");
}

#[tokio::test]
async fn one_damaged_data_key_keeps_nobody_from_starting() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    secrets.put(&tenant("acme"), "square", b"x", NOW).await.unwrap();
    secrets.put(&tenant("other"), "square", b"y", NOW).await.unwrap();
    let registry = bench.store.registry();
    let mut row = registry.data_key("acme").await.unwrap().unwrap();
    row.wrapped[20] ^= 1;
    registry.replace_data_key(row).await.unwrap();
    let secrets = bench.sealed(&KEYS[..1]).await;
    let got = secrets.get(&tenant("acme"), "square").await;
    assert!(matches!(got, Err(SecretsError::NotOpened(_))));
    assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "y");
    // And no rotation hides it, nor does it keep the others from being rotated.
    let secrets = bench.sealed(&[KEYS[1], KEYS[0]]).await;
    assert!(matches!(secrets.rewrap().await, Err(SecretsError::NotOpened(_))));
    assert_eq!(masters(&bench).await, ["other"]);
}

/// The tenants whose data keys are wrapped by the second key.
async fn masters(bench: &Bench) -> Vec<String> {
    let other = Bench::new().await;
    let secrets = other.sealed(&KEYS[1..2]).await;
    secrets.seal_for_installation("x", b"x").await.unwrap();
    let second = other.store.registry().data_key("").await.unwrap().unwrap().master;
    let rows = bench.store.registry().data_keys().await.unwrap();
    rows.into_iter().filter(|it| it.master == second).map(|it| it.tenant).collect()
}

#[tokio::test]
async fn rewrapping_lets_the_old_key_go_and_touches_no_value() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    for index in 0..20 {
        let id = format!("t{index}");
        bench.add_tenant(&id).await;
        secrets.put(&tenant(&id), "square", id.as_bytes(), NOW).await.unwrap();
    }
    let sealed = secrets.seal_for_installation("x", b"installation").await.unwrap();
    let registry = bench.store.registry();
    let before = registry.credential(&tenant("t7"), "square").await.unwrap().unwrap();

    // Half of it is done already, as after a kill.
    let secrets = bench.sealed(&[KEYS[1], KEYS[0]]).await;
    let rows = registry.data_keys().await.unwrap();
    assert_eq!(rows.len(), 21);
    assert_eq!(secrets.rewrap().await.unwrap(), 21);
    for row in rows.iter().skip(10) {
        registry.replace_data_key(row.clone()).await.unwrap();
    }
    assert_eq!(secrets.rewrap().await.unwrap(), 11);
    assert_eq!(secrets.rewrap().await.unwrap(), 0);

    let after = registry.credential(&tenant("t7"), "square").await.unwrap().unwrap();
    assert_eq!(after.sealed, before.sealed);
    let secrets = bench.sealed(&KEYS[1..2]).await;
    for index in 0..20 {
        let id = format!("t{index}");
        assert_eq!(shown(secrets.get(&tenant(&id), "square").await), id);
    }
    let opened = secrets.open_for_installation("x", &sealed).await.unwrap();
    assert_eq!(opened.expose(), b"installation");
    let old = Secrets::open(registry.clone(), Some(keys(&KEYS[..1]))).await;
    assert!(matches!(old, Err(OpenError::WrongMasterKey { closed: 21, .. })));
}

#[tokio::test]
async fn two_first_credentials_at_once_share_one_data_key() {
    let bench = Bench::new().await;
    let (one, two) = (bench.sealed(&KEYS[..1]).await, bench.sealed(&KEYS[..1]).await);
    let acme = tenant("acme");
    let (first, second) =
        tokio::join!(one.put(&acme, "a", b"a", NOW), two.put(&acme, "b", b"b", NOW));
    first.unwrap();
    second.unwrap();
    assert_eq!(shown(one.get(&acme, "b").await), "b");
    assert_eq!(shown(two.get(&acme, "a").await), "a");
    assert_eq!(bench.store.registry().data_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_data_key_of_an_unknown_master_key_that_comes_later_is_said() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    secrets.put(&tenant("acme"), "square", b"x", NOW).await.unwrap();
    let registry = bench.store.registry();
    let row = registry.data_key("acme").await.unwrap().unwrap();
    registry.replace_data_key(SealedKey { master: [9; 8], ..row }).await.unwrap();
    let error = secrets.get(&tenant("acme"), "square").await.unwrap_err();
    assert!(causes(&error).contains("0909090909090909"), "{error}");
}

#[tokio::test]
async fn no_file_of_the_store_holds_a_credential() {
    let bench = Bench::new().await;
    let secrets = bench.sealed(&KEYS[..1]).await;
    secrets.put(&tenant("acme"), "square", b"canary-51c7e0", NOW).await.unwrap();
    secrets.seal_for_installation("x", b"canary-51c7e0").await.unwrap();
    drop(secrets);
    let bench = bench.reopen();
    let mut folders = vec![bench.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for canary in [b"canary-51c7e0".as_slice(), &[1; 32], KEYS[0].as_bytes()] {
                let is_there = bytes.windows(canary.len()).any(|it| it == canary);
                assert!(!is_there, "{}", path.display());
            }
        }
    }
    assert!(files > 1, "the store has files");
}
