//! A server that behaves like Azure Key Vault, Entra's token endpoint and a machine's
//! metadata service. As their documentation says; it is none of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::bench::Time;
use crate::server::{self, Reply, Request};

/// What stands under a name.
#[derive(Clone)]
pub enum Kept {
    Value(String),
    Disabled,
}

pub struct State {
    /// Every answer, if something is wrong with it.
    pub status: Option<u16>,
    /// Answers of the token endpoints, if something is wrong with those.
    pub token_status: Option<u16>,
    /// By name, in lower case: Key Vault does not tell cases apart.
    pub secrets: HashMap<String, Kept>,
    pub client_secret: String,
    /// Tokens, and the second when each ends.
    pub tokens: HashMap<String, u64>,
    pub reads: Vec<String>,
    pub sign_ins: Vec<String>,
}

pub struct FakeAzure {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

const LIFE: u64 = 3_600;

impl FakeAzure {
    pub async fn start(time: &Time) -> Self {
        let state = Arc::new(Mutex::new(State {
            status: None,
            token_status: None,
            secrets: HashMap::new(),
            client_secret: "client+secret/canary=&".to_owned(),
            tokens: HashMap::new(),
            reads: Vec::new(),
            sign_ins: Vec::new(),
        }));
        let (shared, time) = (Arc::clone(&state), time.clone());
        let handler =
            move |request: &Request| shared.lock().unwrap().answer(request, time.seconds());
        Self { address: server::start(Arc::new(handler)).await, state }
    }

    pub fn set(&self, name: &str, value: &str) {
        let kept = Kept::Value(value.to_owned());
        self.state.lock().unwrap().secrets.insert(name.to_owned(), kept);
    }

    /// The names that were read since this was asked last.
    pub fn reads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().reads)
    }

    /// How often a token was asked for since this was asked last.
    pub fn sign_ins(&self) -> usize {
        std::mem::take(&mut self.state.lock().unwrap().sign_ins).len()
    }

    pub fn as_client(&self) -> String {
        let address = self.address;
        format!(
            "backend = 'azure'\n[azure]\nvault = 'http://{address}'\nidentity = 'client'\n\
             directory = 'directory-1'\nclient_id = 'app-1'\nclient_secret = 'env:CLIENT_SECRET'\n\
             authority = 'http://{address}'\n"
        )
    }

    pub fn as_machine(&self) -> String {
        let address = self.address;
        format!(
            "backend = 'azure'\n[azure]\nvault = 'http://{address}'\nidentity = 'managed'\n\
             metadata = 'http://{address}'\n"
        )
    }
}

fn fault(status: u16, code: &str, inner: Option<&str>) -> Reply {
    let inner = inner.map(|it| json!({ "code": it }));
    let error = json!({ "code": code, "message": "canary of the server", "innererror": inner });
    Reply::Json(status, json!({ "error": error }).to_string())
}

impl State {
    fn answer(&mut self, request: &Request, now: u64) -> Reply {
        if let Some(status) = self.status {
            return fault(status, "ServiceUnavailable", None);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/directory-1/oauth2/v2.0/token") => self.of_client(request, now),
            ("GET", "/metadata/identity/oauth2/token") => self.of_machine(request, now),
            ("GET", path) => match path.strip_prefix("/secrets/") {
                Some(name) => self.read(name, request, now),
                None => fault(404, "NotFound", None),
            },
            _ => fault(405, "MethodNotAllowed", None),
        }
    }

    fn of_client(&mut self, request: &Request, now: u64) -> Reply {
        self.sign_ins.push(request.body.clone());
        if let Some(status) = self.token_status {
            return Reply::Json(status, json!({ "error": "invalid_client" }).to_string());
        }
        assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
        let form = form(&request.body);
        let wanted = [
            ("grant_type", "client_credentials"),
            ("client_id", "app-1"),
            ("scope", "https://vault.azure.net/.default"),
        ];
        for (name, value) in wanted {
            if form.get(name).map(String::as_str) != Some(value) {
                let error = json!({ "error": "invalid_request", "error_description": name });
                return Reply::Json(400, error.to_string());
            }
        }
        if form.get("client_secret") != Some(&self.client_secret) {
            return Reply::Json(401, json!({ "error": "invalid_client" }).to_string());
        }
        let token = self.issue(now);
        let body = json!({
            "token_type": "Bearer", "expires_in": LIFE, "ext_expires_in": LIFE,
            "access_token": token,
        });
        Reply::Json(200, body.to_string())
    }

    fn of_machine(&mut self, request: &Request, now: u64) -> Reply {
        self.sign_ins.push(request.query.clone());
        if let Some(status) = self.token_status {
            return Reply::Json(status, json!({ "error": "too_many_requests" }).to_string());
        }
        if request.headers.get("metadata").map(String::as_str) != Some("true") {
            return Reply::Json(400, json!({ "error": "invalid_request" }).to_string());
        }
        let query = form(&request.query);
        if query["api-version"] != "2018-02-01" || query["resource"] != "https://vault.azure.net" {
            return Reply::Json(400, json!({ "error": "invalid_resource" }).to_string());
        }
        let token = self.issue(now);
        // The metadata service writes its numbers as texts.
        let body = json!({
            "access_token": token, "client_id": "c", "expires_in": LIFE.to_string(),
            "expires_on": "1800003600", "ext_expires_in": "86399", "not_before": "1800000000",
            "resource": "https://vault.azure.net", "token_type": "Bearer",
        });
        Reply::Json(200, body.to_string())
    }

    fn issue(&mut self, now: u64) -> String {
        let token = format!("eyJ0canary.{}", self.sign_ins.len() + self.tokens.len());
        self.tokens.insert(token.clone(), now + LIFE);
        token
    }

    fn read(&mut self, name: &str, request: &Request, now: u64) -> Reply {
        self.reads.push(name.to_owned());
        let token = request.headers.get("authorization").and_then(|it| it.strip_prefix("Bearer "));
        if token.and_then(|it| self.tokens.get(it)).is_none_or(|ends| *ends <= now) {
            return fault(401, "Unauthorized", None);
        }
        if request.query != "api-version=7.4" {
            return fault(400, "BadParameter", None);
        }
        match self.secrets.get(&name.to_ascii_lowercase()) {
            None => fault(404, "SecretNotFound", None),
            Some(Kept::Disabled) => fault(403, "Forbidden", Some("SecretDisabled")),
            Some(Kept::Value(value)) => {
                let body = json!({
                    "value": value,
                    "id": format!("https://x.vault.azure.net/secrets/{name}/4387e9f3d6e14c459867"),
                    "attributes": {
                        "enabled": true, "created": 1_493_938_410, "updated": 1_493_938_410,
                        "recoveryLevel": "Recoverable+Purgeable",
                    },
                });
                Reply::Json(200, body.to_string())
            }
        }
    }
}

/// The pairs of a form, decoded.
fn form(text: &str) -> HashMap<String, String> {
    let url = hookgate_egress::Url::parse(&format!("http://x/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}
