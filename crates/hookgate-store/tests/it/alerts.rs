//! Alerts as they are kept, and the deliveries of what was erased meanwhile.

use std::time::Duration;

use hookgate_core::alert::AlertKind;
use hookgate_core::delivery::Disabled;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{
    Cursor, DeliveryFilter, Erased, ErasureTarget, NewAlert, NewDelivery, Written,
};
use serde_json::json;

use crate::bench::Bench;
use crate::deliveries::{add, event, lease, seconds};
use crate::registry::{NOW, add_tenant};
use crate::tenancy::only;

fn new(subject: &str, tenant: Option<&TenantId>) -> NewAlert {
    NewAlert {
        kind: AlertKind::DestinationFailing,
        subject: subject.to_owned(),
        tenant: tenant.cloned(),
        text: format!("{subject} fails"),
        facts: "{}".to_owned(),
        at: NOW,
    }
}

#[tokio::test]
async fn an_alert_is_raised_once_with_its_deliveries_and_again_when_it_was_over() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let operators = add(registry, None, 1, &json!({})).await;
    let own = add(registry, Some(&acme), 2, &json!({})).await;
    let off = add(registry, None, 3, &json!({})).await;
    let by_hand = Some(Disabled::ByHand);
    registry.set_destination_disabled(&Scope::Operator, off.id, by_hand, NOW).await.unwrap();
    let told = vec![operators.id, own.id, off.id];
    let raised = registry.raise_alert(new("dst", Some(&acme)), told.clone()).await.unwrap();
    let id = raised.expect("it is new");
    assert_eq!(registry.raise_alert(new("dst", Some(&acme)), told.clone()).await.unwrap(), None);
    let leased = lease(registry, NOW, 10).await;
    let mut to: Vec<_> = leased.iter().map(|it| it.destination).collect();
    to.sort_unstable();
    assert_eq!(to, [operators.id, own.id], "who is disabled gets none");
    assert!(leased.iter().all(|it| it.event == id && it.kind == "alert.destination_failing"));

    let bench = bench.reopen();
    let registry = bench.store.registry();
    let alert = registry.alert(&Scope::Operator, id).await.unwrap().unwrap();
    assert_eq!((alert.text.as_str(), alert.cleared_at), ("dst fails", None));
    assert!(registry.alert(&only("acme"), id).await.unwrap().is_some());
    assert!(registry.alert(&only("other"), id).await.unwrap().is_none());
    registry.clear_alert(id, seconds(5)).await.unwrap();
    registry.clear_alert(id, seconds(9)).await.unwrap();
    let second = registry.raise_alert(new("other", None), Vec::new()).await.unwrap().unwrap();
    let listed = registry.alerts(10).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (it.id, it.cleared_at)).collect();
    assert_eq!(listed, [(second, None), (id, Some(seconds(5)))], "what is raised comes first");
    let again = registry.raise_alert(new("dst", Some(&acme)), Vec::new()).await.unwrap();
    assert!(again.is_some_and(|it| it != id));
    assert_eq!(registry.alerts_since(seconds(1)).await.unwrap().len(), 2, "what is raised");
    assert_eq!(registry.alerts_since(NOW).await.unwrap().len(), 3);
    let nobody = TenantId::parse("nobody").unwrap();
    assert_eq!(registry.raise_alert(new("dst2", Some(&nobody)), Vec::new()).await.unwrap(), None);
}

#[tokio::test]
async fn with_a_tenant_go_the_alerts_about_it() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    registry.raise_alert(new("dst", Some(&acme)), Vec::new()).await.unwrap().unwrap();
    registry.raise_alert(new("store", None), Vec::new()).await.unwrap().unwrap();
    registry.add_erasure(ErasureTarget::Tenant(acme), NOW).await.unwrap();
    let left = registry.alerts(10).await.unwrap();
    assert_eq!(left.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>(), ["store"]);
}

#[tokio::test]
async fn what_was_erased_since_it_was_read_is_not_delivered() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({})).await;
    let seen = registry.erasures_done().await.unwrap();
    let read = NewDelivery { conversation: Some("call-1".to_owned()), ..event(&destination, 1) };
    let (provider, external_id) = ("vapi".to_owned(), "call-1".to_owned());
    let target = ErasureTarget::Conversation { provider, external_id };
    let Written::Created(erasure) = registry.add_erasure(target, NOW).await.unwrap() else {
        panic!("it is new")
    };
    registry.finish_erasure(&erasure.id, Erased::default(), seconds(1)).unwrap();
    let cursor = |erasures| Cursor { name: "deliveries", from: 0, to: 1, erasures };
    let kept = registry.enqueue_deliveries(cursor(seen), vec![read], NOW).await.unwrap();
    assert!(!kept, "its event is to be read anew");
    assert_eq!(registry.cursor("deliveries").await.unwrap(), 0);
    let all = registry.deliveries(&Scope::Operator, DeliveryFilter::default(), None, 9).await;
    assert!(all.unwrap().is_empty());
    let now = registry.erasures_done().await.unwrap();
    let other = event(&destination, 2);
    assert!(registry.enqueue_deliveries(cursor(now), vec![other], NOW).await.unwrap());
    let waiting = lease(registry, NOW.plus(Duration::from_secs(1)), 9).await;
    assert_eq!(waiting.len(), 1);
}
