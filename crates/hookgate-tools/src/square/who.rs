//! Who a booking is for: found, or made.

use std::fmt;

use hookgate_core::tool::Reply;
use http::StatusCode;
use serde_json::{Map, Value};

use super::api::By;
use super::arguments::{Arguments, invalid};
use super::client::Session;
use super::error::Failure;
use super::ids::Id;
use super::objects::Customer;
use super::phone::Phone;
use super::words::even;
use crate::work::End;

/// What a call says of a customer.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) id: Option<Id>,
    pub(crate) phone: Option<Phone>,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
}

/// It is about a person.
impl fmt::Debug for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Who")
    }
}

impl Who {
    /// What the arguments say. Without a number it is the one that is calling.
    pub(crate) fn read(arguments: &Arguments<'_>, caller: Option<Phone>) -> Result<Self, End> {
        Ok(Self {
            id: arguments.customer()?,
            phone: arguments.phone()?.or(caller),
            email: arguments.email()?,
            name: arguments.text("name")?,
        })
    }

    /// The same person always, whatever else is said.
    pub(crate) fn key(&self) -> String {
        let id = self.id.as_ref().map_or("", Id::as_str);
        let phone = self.phone.as_ref().map_or("", Phone::as_str);
        let email = self.email.as_deref().unwrap_or_default().to_lowercase();
        let name = self.name.as_deref().map(even).unwrap_or_default();
        format!("{id}|{phone}|{email}|{name}")
    }

    /// Whether a customer is this one.
    pub(crate) fn is(&self, customer: &Customer) -> bool {
        if let Some(id) = &self.id {
            return id.as_str() == customer.id;
        }
        let same_email = |mine: &String| {
            customer.email.as_ref().is_some_and(|it| it.to_lowercase() == mine.to_lowercase())
        };
        self.phone.is_some() && self.phone == customer.phone
            || self.email.as_ref().is_some_and(same_email)
    }
}

impl Session<'_> {
    /// The customer, if Square has one.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn find(&self, who: &Who) -> Result<Option<Customer>, End> {
        if let Some(id) = &who.id {
            let found = self.customer(id.as_str()).await?;
            return found.map(Some).ok_or_else(nobody);
        }
        let mut found = Vec::new();
        if let Some(phone) = &who.phone {
            found = self.customers(By::Phone(phone)).await?;
        }
        if let (true, Some(email)) = (found.is_empty(), &who.email) {
            found = self.customers(By::Email(email)).await?;
        }
        // A family has one number. Without a name that tells, it is whoever was there first.
        let name = who.name.as_deref().map(even);
        let named = found.iter().position(|it| Some(even(&it.name)) == name).unwrap_or(0);
        Ok(if found.is_empty() { None } else { Some(found.swap_remove(named)) })
    }

    /// Makes the customer. It cannot be found by searching for a while, so nobody searches.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn add(&self, who: &Who, key: &str) -> Result<Customer, End> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            let value = value.filter(|it| !it.is_empty());
            body.extend(value.map(|it| (name.to_owned(), Value::from(it))));
        };
        let (given, family) = who.name.as_deref().map(split).unwrap_or_default();
        put("idempotency_key", Some(key));
        put("given_name", Some(given));
        put("family_name", Some(family));
        put("phone_number", who.phone.as_ref().map(Phone::as_str));
        put("email_address", who.email.as_deref());
        match self.add_customer(&Value::Object(body)).await {
            Ok(customer) => Ok(customer),
            // An earlier try made one, from other words.
            Err(failure) if failure.is_key_reused() => {
                self.find(who).await?.ok_or_else(|| failure.end())
            }
            Err(failure) => Err(not_added(&failure)),
        }
    }
}

/// The last word is the family's.
fn split(name: &str) -> (&str, &str) {
    let name = name.trim();
    name.rsplit_once(char::is_whitespace)
        .map_or((name, ""), |(given, family)| (given.trim(), family))
}

fn not_added(failure: &Failure) -> End {
    match failure.error() {
        Some(error) if error.has("INVALID_PHONE_NUMBER") || error.is_about("phone_number") => {
            invalid("I didn't get that phone number. Could you say it again, with the area code?")
        }
        Some(error) if error.has("INVALID_EMAIL_ADDRESS") || error.is_about("email_address") => {
            invalid("I didn't get that email address. Could you spell it for me?")
        }
        Some(_) if failure.is(StatusCode::BAD_REQUEST) => {
            invalid("I couldn't save that. Could you tell me your name and phone number again?")
        }
        _ => failure.end(),
    }
}

/// There is no such customer.
fn nobody() -> End {
    End::Refused(Reply::sorry("not_found", "I couldn't find that customer."))
}
