//! A server that behaves like Vault (and OpenBao): key/value engine version 2, roles, tokens
//! that end and are renewed. As their API documentation says; it is not either of them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::bench::Time;
use crate::server::{self, Reply, Request};

/// What is wrong with it.
#[derive(Clone)]
pub enum Mood {
    Well,
    Status(u16),
    Redirects(String),
    Hangs,
    Closes,
    /// Answers a read when there is a permit.
    Waits(Arc<Semaphore>),
    /// Answers reads with this.
    Says(String),
}

pub struct State {
    pub mood: Mood,
    /// By path under the mount; null is a deleted version.
    pub secrets: HashMap<String, Value>,
    /// Tokens, and the second when each ends.
    pub tokens: HashMap<String, Option<u64>>,
    /// Paths that no token may read.
    pub denied: HashSet<String>,
    pub role: (String, String),
    /// Seconds; 0: for ever.
    pub lease: u64,
    pub is_renewable: bool,
    pub namespace: Option<String>,
    pub reads: Vec<String>,
    pub logins: usize,
    pub renewals: usize,
    issued: usize,
}

pub struct FakeVault {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl FakeVault {
    pub async fn start(time: &Time) -> Self {
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            secrets: HashMap::new(),
            tokens: HashMap::new(),
            denied: HashSet::new(),
            role: ("role-canary".to_owned(), "secret-id-canary".to_owned()),
            lease: 3_600,
            is_renewable: true,
            namespace: None,
            reads: Vec::new(),
            logins: 0,
            renewals: 0,
            issued: 0,
        }));
        let (shared, time) = (Arc::clone(&state), time.clone());
        let handler =
            move |request: &Request| shared.lock().unwrap().answer(request, time.seconds());
        Self { address: server::start(Arc::new(handler)).await, state }
    }

    pub fn set(&self, path: &str, value: Value) {
        self.state.lock().unwrap().secrets.insert(path.to_owned(), value);
    }

    pub fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// How many reads there were since this was asked last.
    pub fn reads(&self) -> usize {
        std::mem::take(&mut self.state.lock().unwrap().reads).len()
    }

    /// Sign-ins and renewals since this was asked last.
    pub fn sign_ins(&self) -> (usize, usize) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.logins), std::mem::take(&mut state.renewals))
    }

    pub fn revoke_all(&self) {
        self.state.lock().unwrap().tokens.clear();
    }

    /// `[secrets]` for it, with more lines.
    pub fn settings(&self, more: &str) -> String {
        format!("backend = 'vault'\n[vault]\naddress = 'http://{}'\n{more}", self.address)
    }

    pub fn by_role(&self) -> String {
        self.settings("role_id = 'env:ROLE'\nsecret_id = 'env:SECRET'")
    }
}

fn errors(status: u16, texts: &[&str]) -> Reply {
    Reply::Json(status, json!({ "errors": texts }).to_string())
}

impl State {
    fn answer(&mut self, request: &Request, now: u64) -> Reply {
        match self.mood.clone() {
            Mood::Status(status) => return errors(status, &["canary of the server"]),
            Mood::Redirects(to) => return Reply::Redirect(to),
            Mood::Hangs => return Reply::Hang,
            Mood::Closes => return Reply::Close,
            Mood::Well | Mood::Waits(_) | Mood::Says(_) => {}
        }
        if request.headers.get("x-vault-request").map(String::as_str) != Some("true") {
            return errors(412, &["required request header missing"]);
        }
        if request.headers.get("x-vault-namespace") != self.namespace.as_ref() {
            return errors(403, &["permission denied"]);
        }
        let token = request.headers.get("x-vault-token").cloned().unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/auth/approle/login") => self.login(&request.body, now),
            (_, path) if !self.is_in_force(&token, now) => {
                if path.starts_with("/v1/secret/data/") {
                    self.reads.push(path.to_owned());
                }
                errors(403, &["permission denied", "invalid token"])
            }
            ("POST", "/v1/auth/token/renew-self") => {
                self.renewals += 1;
                if !self.is_renewable {
                    return errors(400, &["lease is not renewable"]);
                }
                self.tokens.insert(token.clone(), self.ends(now));
                self.signed_in(&token)
            }
            ("GET", path) => match path.strip_prefix("/v1/secret/data/") {
                Some(name) => self.read(path, name),
                None => errors(404, &["no handler for route \"canary\". route entry not found."]),
            },
            _ => errors(405, &["unsupported operation"]),
        }
    }

    fn read(&mut self, path: &str, name: &str) -> Reply {
        self.reads.push(path.to_owned());
        if self.denied.contains(name) {
            return errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
        }
        let metadata = json!({
            "created_time": "2026-11-01T00:00:00Z", "custom_metadata": null,
            "deletion_time": "", "destroyed": false, "version": 3,
        });
        let reply = match (&self.mood, self.secrets.get(name)) {
            (Mood::Says(text), _) => Reply::Json(200, text.clone()),
            (_, None) => errors(404, &[]),
            (_, Some(value)) => {
                let status = if value.is_null() { 404 } else { 200 };
                let body = json!({
                    "request_id": "b1", "lease_id": "", "renewable": false, "lease_duration": 0,
                    "data": { "data": value, "metadata": metadata }, "wrap_info": null,
                    "warnings": null, "auth": null, "mount_type": "kv",
                });
                Reply::Json(status, body.to_string())
            }
        };
        match &self.mood {
            Mood::Waits(permit) => Reply::When(Arc::clone(permit), Box::new(reply)),
            _ => reply,
        }
    }

    fn login(&mut self, body: &str, now: u64) -> Reply {
        self.logins += 1;
        let body: Value = serde_json::from_str(body).unwrap();
        let (role, secret) = &self.role;
        if body["role_id"] != role.as_str() || body["secret_id"] != secret.as_str() {
            return errors(400, &["invalid role or secret ID"]);
        }
        self.issued += 1;
        let token = format!("hvs.canary-{}", self.issued);
        self.tokens.insert(token.clone(), self.ends(now));
        self.signed_in(&token)
    }

    fn signed_in(&self, token: &str) -> Reply {
        let auth = json!({
            "client_token": token, "accessor": "a", "policies": ["default"],
            "token_policies": ["default"], "metadata": { "role_name": "hookgate" },
            "lease_duration": self.lease, "renewable": self.is_renewable, "entity_id": "e",
            "token_type": "service", "orphan": true, "num_uses": 0,
        });
        Reply::Json(200, json!({ "request_id": "b2", "auth": auth, "data": null }).to_string())
    }

    fn ends(&self, now: u64) -> Option<u64> {
        (self.lease > 0).then_some(now + self.lease)
    }

    fn is_in_force(&self, token: &str, now: u64) -> bool {
        self.tokens.get(token).is_some_and(|ends| ends.is_none_or(|it| now < it))
    }
}
