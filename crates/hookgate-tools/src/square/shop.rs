//! What is remembered of a shop for some minutes: its time zone and its services. Bookings,
//! free times and customers never are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hookgate_core::tenant::TenantId;
use hookgate_core::tool::Reply;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::arguments::{Arguments, missing};
use super::client::Session;
use super::error::not_configured;
use super::ids::Id;
use super::objects::{each, text};
use super::words::{even, listed, short};
use crate::work::End;

/// How long a time zone is believed. Shops do not move.
const ZONE_FRESH: Duration = Duration::from_mins(10);

/// How long services are believed. Somebody who changes a price tries it out.
const SERVICES_FRESH: Duration = Duration::from_mins(5);

/// Shops that are remembered: more than are called within those minutes.
const SHOPS_MAX: usize = 1_000;

/// Services on a page: Square's limit.
const PAGE: usize = 100;

/// Pages that are read. No caller is told of a thousand services.
const PAGES_MAX: usize = 10;

/// Services that a question names.
const CHOICES_MAX: usize = 5;

/// Something that can be booked: a variation of an item of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) item: String,
    pub(crate) variation: String,
    pub(crate) name: String,
    pub(crate) minutes: Option<i64>,
    /// In the smallest unit of a currency.
    pub(crate) price: Option<(i64, String)>,
}

/// What is remembered of shops.
#[derive(Debug, Default)]
pub(crate) struct Shops(Mutex<HashMap<(TenantId, Id), Known>>);

#[derive(Clone, Debug, Default)]
struct Known {
    zone: Option<(Instant, TimeZone)>,
    services: Option<(Instant, Arc<Vec<Service>>)>,
}

impl Known {
    fn is_stale(&self) -> bool {
        let zone = self.zone.as_ref().is_some_and(|it| it.0.elapsed() < ZONE_FRESH);
        let services = self.services.as_ref().is_some_and(|it| it.0.elapsed() < SERVICES_FRESH);
        !zone && !services
    }
}

impl Shops {
    /// Forgets a tenant that is erased.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.lock().retain(|(whose, _), _| whose != tenant);
    }

    fn known(&self, session: &Session<'_>) -> Known {
        let key = (session.work.tenant.clone(), session.account.location.clone());
        self.lock().get(&key).cloned().unwrap_or_default()
    }

    fn keep(&self, session: &Session<'_>, change: impl FnOnce(&mut Known)) {
        let key = (session.work.tenant.clone(), session.account.location.clone());
        let mut shops = self.lock();
        if shops.len() >= SHOPS_MAX && !shops.contains_key(&key) {
            shops.retain(|_, it| !it.is_stale());
        }
        if shops.len() >= SHOPS_MAX && !shops.contains_key(&key) {
            shops.clear();
        }
        change(shops.entry(key).or_default());
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, Id), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// The shop's time zone: what the credential says, else what Square says.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn zone(&self) -> Result<TimeZone, End> {
        if let Some(name) = &self.account.timezone {
            if let Ok(zone) = TimeZone::get(name) {
                return Ok(zone);
            }
            tracing::warn!(tenant.id = %self.work.tenant, "the time zone in the credential for Square is none: Square is asked for it");
        }
        if let Some((at, zone)) = self.shops.known(self).zone
            && at.elapsed() < ZONE_FRESH
        {
            return Ok(zone);
        }
        let answer = self.get(&["v2", "locations", self.account.location.as_str()], &[]).await?;
        let name = answer.pointer("/location/timezone").and_then(Value::as_str);
        let Some(zone) = name.and_then(|it| TimeZone::get(it).ok()) else {
            tracing::warn!(tenant.id = %self.work.tenant, "Square knows no time zone of the tenant's location: set `timezone` in its credential");
            return Err(End::Failed(not_configured()));
        };
        self.shops.keep(self, |it| it.zone = Some((Instant::now(), zone.clone())));
        Ok(zone)
    }

    /// What can be booked at the shop.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn services(&self) -> Result<Arc<Vec<Service>>, End> {
        if let Some((at, services)) = self.shops.known(self).services
            && at.elapsed() < SERVICES_FRESH
        {
            return Ok(services);
        }
        let location = self.account.location.as_str();
        let (mut services, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let mut body = json!({
                "product_types": ["APPOINTMENTS_SERVICE"],
                "enabled_location_ids": [location],
                "limit": PAGE,
            });
            if let (Some(cursor), Some(body)) = (cursor.take(), body.as_object_mut()) {
                body.insert("cursor".to_owned(), Value::String(cursor));
            }
            let answer = self.ask(&["v2", "catalog", "search-catalog-items"], &body).await?;
            let items = each(&answer, "items", |it| Some(of_item(it, location)));
            services.extend(items.into_iter().flatten());
            cursor = text(&answer, "cursor");
            if cursor.is_none() {
                break;
            }
        }
        let services = Arc::new(services);
        self.shops.keep(self, |it| it.services = Some((Instant::now(), Arc::clone(&services))));
        Ok(services)
    }

    /// The service that a call means, by its id or its name. Where there is only one it need
    /// not be said.
    ///
    /// # Errors
    ///
    /// The end of the call: a question, if it is not clear.
    pub(crate) async fn service(&self, arguments: &Arguments<'_>) -> Result<Service, End> {
        let (id, name) = (arguments.service_id()?, arguments.text("service")?);
        let services = self.services().await?;
        if let Some(id) = id {
            let by_variation = services.iter().find(|it| it.variation == id.as_str());
            let by_item = || sole(services.iter().filter(|it| it.item == id.as_str()));
            if let Some(found) = by_variation.or_else(by_item) {
                return Ok(found.clone());
            }
            // A model may put the name there.
            let name = name.unwrap_or_else(|| id.as_str().to_owned());
            return by_name(&services, &name);
        }
        match (name, services.as_slice()) {
            (Some(name), _) => by_name(&services, &name),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let question = format!("Which service would you like? {}", offered(&services));
                Err(missing(question.trim_end()))
            }
        }
    }
}

/// The services that an item of the catalog holds.
fn of_item(item: &Value, location: &str) -> Vec<Service> {
    let Some(data) = item.get("item_data").filter(|_| is_here(item, location)) else {
        return Vec::new();
    };
    let (Some(id), Some(name)) = (text(item, "id"), text(data, "name")) else { return Vec::new() };
    let variations = data.get("variations").and_then(Value::as_array);
    let variations = variations.map_or(&[][..], Vec::as_slice);
    let services = variations.iter().filter(|it| is_here(it, location)).filter_map(|it| {
        let data = it.get("item_variation_data")?;
        if data.get("available_for_booking").and_then(Value::as_bool) == Some(false) {
            return None;
        }
        // The only variation of an item has a name that nobody says: "Regular".
        let name = match text(data, "name") {
            Some(variation) if variations.len() > 1 => format!("{name} ({variation})"),
            _ => name.clone(),
        };
        let price = data.get("price_money").and_then(|it| {
            Some((it.get("amount").and_then(Value::as_i64)?, text(it, "currency")?))
        });
        Some(Service {
            item: id.clone(),
            variation: text(it, "id")?,
            name: short(&name),
            // Square counts milliseconds.
            minutes: data.get("service_duration").and_then(Value::as_i64).map(|it| it / 60_000),
            price,
        })
    });
    services.collect()
}

/// Whether an object of the catalog is there, and at this location.
fn is_here(object: &Value, location: &str) -> bool {
    let flag = |name| object.get(name).and_then(Value::as_bool);
    let listed = |name| {
        let list = object.get(name).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|it| it == location))
    };
    let is_deleted = flag("is_deleted") == Some(true);
    let is_present = if flag("present_at_all_locations").unwrap_or(true) {
        !listed("absent_at_location_ids")
    } else {
        listed("present_at_location_ids")
    };
    !is_deleted && is_present
}

/// The one service of this name: said exactly, or in part, or with words around it.
fn by_name(services: &[Service], name: &str) -> Result<Service, End> {
    let wanted = even(name);
    let exact = sole(services.iter().filter(|it| even(&it.name) == wanted));
    let part = || sole(services.iter().filter(|it| even(&it.name).contains(&wanted)));
    let within = || sole(services.iter().filter(|it| wanted.contains(&even(&it.name))));
    if let Some(found) = exact.or_else(part).or_else(within) {
        return Ok(found.clone());
    }
    let close: Vec<Service> =
        services.iter().filter(|it| even(&it.name).contains(&wanted)).cloned().collect();
    let (status, begin, choices) = if close.is_empty() {
        ("unknown_service", "I couldn't find that service.", services)
    } else {
        ("ambiguous_service", "Which one would you like?", close.as_slice())
    };
    let message = format!("{begin} {}", offered(choices));
    Err(End::Refused(Reply::sorry(status, message.trim_end())))
}

/// What a question about services ends with.
fn offered(services: &[Service]) -> String {
    let names: Vec<String> = services.iter().take(CHOICES_MAX).map(|it| it.name.clone()).collect();
    match names.len() {
        0 => "There is nothing that can be booked by phone right now.".to_owned(),
        _ if services.len() > CHOICES_MAX => format!("We have {}, among others.", names.join(", ")),
        _ => format!("We have {}.", listed(&names, "and")),
    }
}

fn sole<'a>(mut services: impl Iterator<Item = &'a Service>) -> Option<&'a Service> {
    let first = services.next()?;
    services.next().is_none().then_some(first)
}
