//! The dispatcher: [`Dispatcher::run`] is its life. A reader makes deliveries of events
//! (`reader.rs`); what is due is leased here, and each lease is one attempt (`attempt.rs`).

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_egress::Egress;
use hookgate_secrets::Secrets;
use hookgate_store::{Leased, RegistryError, Store, is_database_away};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::archive::{self, Archiving};
use crate::attempt::{self, Ended};
use crate::bodies::Bodies;
use crate::metrics::DeliveryMetrics;
use crate::reader;

/// How long an attempt has its delivery for itself. The longest deadline of a destination is
/// shorter, so that an attempt that runs into it can still be settled.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Attempts under way at once. Each is a connection, and some KiB.
pub const IN_FLIGHT_MAX: usize = 256;

/// Deliveries that are leased in one transaction.
const LEASED_MAX: u32 = 64;

/// The longest wait until it is looked whether something has become due: a clock may be set.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// The time from one look at what is due to the next while attempts end one after the other:
/// they are settled together, and what is stored meanwhile waits for fewer syncs of the disk.
/// When all have ended nothing waits for it.
const GATHERING: Duration = Duration::from_millis(10);

/// How long nothing is tried after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How often the counters of what waits are read.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a dispatcher that stops waits for attempts under way, unless set: less than
/// process managers wait before they kill (Docker: 10 s).
pub const STOP_WAIT: Duration = Duration::from_secs(5);

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a dispatcher is made of.
pub struct DispatchSettings {
    /// Where events and deliveries are.
    pub store: Store,
    /// What opens the secrets of destinations.
    pub secrets: Arc<Secrets>,
    /// The way out.
    pub egress: Egress,
    /// The waits between attempts.
    pub schedule: Arc<[Duration]>,
    /// Which recordings are kept.
    pub archiving: Archiving,
    /// The counters.
    pub metrics: DeliveryMetrics,
    /// What time it is.
    pub clock: Clock,
    /// Draws a number of 0 to 1, which moves waits a little.
    pub chance: fn() -> f64,
    /// Where the gateway is reached from outside.
    pub public_url: Option<String>,
    /// Attempts under way at once, at most.
    pub in_flight_max: usize,
    /// How long attempts under way may take when it stops.
    pub stop_wait: Duration,
}

/// Delivers events to destinations. Clones share it.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

/// What the reader, the loop and every attempt share.
pub(crate) struct Shared {
    pub(crate) settings: DispatchSettings,
    pub(crate) bodies: Bodies,
    /// How often somebody asked whether everything is done.
    pub(crate) asked: watch::Sender<u64>,
    /// Up to which of those questions every event was read.
    pub(crate) read: watch::Sender<u64>,
    /// Up to which of them nothing was left to be tried.
    idle: watch::Sender<u64>,
}

impl Dispatcher {
    /// A dispatcher. Nothing happens before [`Self::run`].
    #[must_use]
    pub fn new(mut settings: DispatchSettings) -> Self {
        if let Some(url) = &mut settings.public_url {
            url.truncate(url.trim_end_matches('/').len());
        }
        Self(Arc::new(Shared {
            settings,
            bodies: Bodies::new(),
            asked: watch::Sender::new(0),
            read: watch::Sender::new(0),
            idle: watch::Sender::new(0),
        }))
    }

    /// Delivers until `stop` is done. Then nothing new is begun, and what is under way may
    /// take a little longer; what is cut off is tried again after the next start. True if
    /// nothing was.
    ///
    /// Only one runs at a time for a store, which takes leases back that were left when it was
    /// opened.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) -> bool {
        let shared = &self.0;
        let mut under_way = UnderWay::default();
        let mut beside = JoinSet::new();
        {
            tokio::pin!(stop);
            let delivering = shared.deliver(&mut under_way);
            tokio::pin!(delivering);
            loop {
                beside.spawn(reader::follow(Arc::clone(shared)));
                beside.spawn(archive::fetch_all(Arc::clone(shared)));
                beside.spawn(count(Arc::clone(shared)));
                tokio::select! {
                    () = &mut stop => break,
                    () = &mut delivering => break,
                    // None of them ends by itself. Where the reader was is in its cursor.
                    _ = beside.join_next() => {
                        shared.settings.metrics.panics.inc();
                        tracing::error!("work beside deliveries ended in a panic: it begins anew");
                        beside.shutdown().await;
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                }
            }
        }
        beside.shutdown().await;
        let settled = async {
            let unsettled = std::mem::take(&mut under_way.unsettled);
            let unsettled = shared.settle(unsettled);
            let ended = shared.settle(under_way.take_ended());
            // What is not kept now is tried again by whoever has the lease next.
            tokio::join!(unsettled, ended);
            while let Some(ended) = under_way.attempts.join_next().await {
                under_way.ended.extend(ended);
                shared.settle(under_way.take_ended()).await;
            }
        };
        let all = tokio::time::timeout(shared.settings.stop_wait, settled).await.is_ok();
        under_way.attempts.shutdown().await;
        all
    }

    /// Waits until every event that was stored before is read and nothing is left that is due
    /// now: all of it arrived, or is due later. For those who want to see the end of
    /// something.
    pub async fn idle(&self) {
        let shared = &self.0;
        let mut idle = shared.idle.subscribe();
        let mut question = 0;
        shared.asked.send_modify(|asked| {
            *asked = asked.saturating_add(1);
            question = *asked;
        });
        // The sender is as old as the dispatcher.
        let _ = idle.wait_for(|answered| *answered >= question).await;
    }
}

/// Attempts that were begun.
#[derive(Default)]
struct UnderWay {
    attempts: JoinSet<Ended>,
    /// Those that have ended and are not settled.
    ended: Vec<Ended>,
    /// Those whose end the store did not keep when it was asked to.
    unsettled: Vec<Ended>,
}

impl UnderWay {
    /// All that have ended by now.
    fn take_ended(&mut self) -> Vec<Ended> {
        while let Some(ended) = self.attempts.try_join_next() {
            self.ended.extend(ended);
        }
        std::mem::take(&mut self.ended)
    }

    /// All that are not settled.
    fn count(&self) -> usize {
        self.attempts.len().saturating_add(self.unsettled.len())
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// Settles what has ended, leases what is due and makes an attempt of each lease. Never ends
    /// by itself.
    async fn deliver(self: &Arc<Self>, under_way: &mut UnderWay) {
        let registry = self.settings.store.registry();
        let mut changed = registry.deliveries_changed();
        let mut read = self.read.subscribe();
        let mut is_away = false;
        loop {
            changed.borrow_and_update();
            let asked = *read.borrow_and_update();
            let (now, looked_at) = (self.now(), Instant::now());
            // It is queued here, and makes room for what is leased in the same transaction.
            let settled = self.settle(under_way.take_ended());
            let free = self.settings.in_flight_max.saturating_sub(under_way.count());
            // Apart from the others: if it is one of them that cannot be kept, it is them alone.
            let settled_late = self.settle(std::mem::take(&mut under_way.unsettled));
            let wanted = u32::try_from(free).unwrap_or(LEASED_MAX).min(LEASED_MAX);
            let (leased, unsettled, still) =
                tokio::join!(self.lease(now, wanted), settled, settled_late);
            under_way.unsettled.extend(unsettled.into_iter().chain(still));
            let looked = match leased {
                Ok(leased) => {
                    if leased.is_empty() && under_way.count() == 0 {
                        self.idle.send_replace(asked);
                    }
                    for leased in leased {
                        under_way.attempts.spawn(attempt::run(Arc::clone(self), leased));
                    }
                    registry.next_delivery().await
                }
                Err(error) => Err(error),
            };
            let count = i64::try_from(under_way.attempts.len()).unwrap_or(i64::MAX);
            self.settings.metrics.in_flight.set(count);
            let next = match looked {
                Ok(next) => next,
                Err(error) => {
                    // Said here, once: everything else that the dispatcher does fails with it.
                    if is_database_away(&error) && !std::mem::replace(&mut is_away, true) {
                        let cause = error.source().map(tracing::field::display);
                        tracing::error!(cause, "PostgreSQL is away: deliveries wait for it");
                    }
                    failed(&error, "deliveries cannot be leased");
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            if std::mem::take(&mut is_away) {
                tracing::info!("PostgreSQL is back: deliveries go on");
            }
            let pause =
                next.map_or(LOOK_INTERVAL, |at| at.ahead(now).clamp(LOOK_PAUSE, LOOK_INTERVAL));
            let slept = tokio::time::sleep(pause);
            let gathered = tokio::time::sleep_until(looked_at + GATHERING);
            tokio::pin!(slept, gathered);
            let mut is_due = false;
            loop {
                let is_full = under_way.attempts.len() >= self.settings.in_flight_max;
                tokio::select! {
                    Some(ended) = under_way.attempts.join_next() => {
                        under_way.ended.extend(ended);
                        if under_way.attempts.is_empty() {
                            break;
                        }
                        is_due = true;
                    }
                    _ = changed.changed(), if !is_due && !is_full => is_due = true,
                    _ = read.changed(), if !is_due && !is_full => is_due = true,
                    () = &mut gathered, if is_due => break,
                    () = &mut slept, if !is_full => break,
                }
            }
        }
    }

    /// Keeps how attempts ended. It is queued when this is called. Gives those back whose end
    /// could not be kept, or may not be, and that have their leases still.
    fn settle(&self, ended: Vec<Ended>) -> impl Future<Output = Vec<Ended>> + Send + use<'_> {
        let settlings: Vec<_> = ended.iter().map(|it| it.settling.clone()).collect();
        let registry = self.settings.store.registry();
        let kept = (!settlings.is_empty()).then(|| registry.settle_deliveries(settlings));
        async move {
            let Some(kept) = kept else { return ended };
            let settlements = match kept.await {
                Ok(settlements) => settlements,
                Err(error) => {
                    failed(&error, "the end of attempts cannot be kept");
                    // The other leases run out, and their deliveries are tried again.
                    let now = self.now();
                    let is_leased = |it: &Ended| it.settling.began_at.plus(LEASE) > now;
                    return ended.into_iter().filter(is_leased).collect();
                }
            };
            let metrics = &self.settings.metrics;
            for (ended, settlement) in ended.into_iter().zip(settlements) {
                let Some(settlement) = settlement else {
                    // Somebody else has it by now, it is gone with its destination, or it was
                    // kept before and nobody heard of it.
                    metrics.leases_lost.inc();
                    continue;
                };
                if let Some(why) = settlement.disables {
                    metrics.disabled.inc();
                    tracing::warn!(
                        destination.id = %ended.destination,
                        tenant.id = ended.tenant.as_ref().map(TenantId::as_str),
                        reason = why.name(),
                        "a destination was disabled by its endpoint"
                    );
                }
            }
            Vec::new()
        }
    }

    async fn lease(&self, now: Timestamp, wanted: u32) -> Result<Vec<Leased>, RegistryError> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        self.settings.store.registry().lease_deliveries(now, wanted, now.plus(LEASE)).await
    }
}

/// Keeps the counters of what waits.
async fn count(shared: Arc<Shared>) {
    let registry = shared.settings.store.registry();
    let metrics = &shared.settings.metrics;
    loop {
        let now = shared.now();
        match registry.delivery_counts(now).await {
            Ok(counts) => metrics.waiting(&counts, now),
            Err(error) => failed(&error, "deliveries cannot be counted"),
        }
        match registry.recording_counts().await {
            Ok(counts) => metrics.recordings(counts),
            Err(error) => failed(&error, "recordings cannot be counted"),
        }
        tokio::time::sleep(COUNT_INTERVAL).await;
    }
}

/// The chain of causes, once, where it is handled. A database that is away is said by
/// [`Shared::deliver`].
pub(crate) fn failed(error: &(dyn Error + 'static), what: &'static str) {
    if is_database_away(error) {
        tracing::debug!(error, "{what}");
    } else {
        tracing::error!(error, "{what}");
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Dispatcher").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for DispatchSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DispatchSettings")
            .field("schedule", &self.schedule)
            .field("in_flight_max", &self.in_flight_max)
            .field("stop_wait", &self.stop_wait)
            .finish_non_exhaustive()
    }
}
