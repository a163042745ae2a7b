//! A barber's shop on the telephone: the stand-in Square, a gateway before it, two tenants, and
//! the three platforms that call.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hookgate_core::digest::hmac_sha256;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, Gateway, request_to};

pub(crate) const RETELL_KEY: &str = "key_0123456789abcdef0123456789abcdef";
pub(crate) const VAPI_SECRET: &str = "vapi-0123456789abcdef0123456789abcdef";
pub(crate) const TOOL_SECRET: &str = "tool-0123456789abcdef0123456789abcdef";
const OPERATOR: &str = "operator-0123456789abcdef";

/// Acme's agents at Retell and Vapi, and those of the other tenant.
pub(crate) const AGENT: &str = "elite-barbershop-main";
pub(crate) const OTHER_AGENT: &str = "globex-main";

/// The stand-in. It is killed when the test is over.
pub(crate) struct Square {
    child: Child,
    address: String,
}

/// All of it.
pub(crate) struct Shop {
    pub(crate) bench: Bench,
    pub(crate) square: Square,
    pub(crate) gateway: Gateway,
    /// The path of Acme's URL token at ElevenLabs.
    pub(crate) elevenlabs: String,
}

impl Square {
    fn start(bench: &Bench) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["dev", "square", "--listen", "127.0.0.1:0"])
            .current_dir(bench.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|it| it.contains("HOOKGATE_SQUARE_URL=")).unwrap();
        let address = line.trim().strip_prefix("HOOKGATE_SQUARE_URL=http://").unwrap().to_owned();
        // What it has to say besides must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn state(&self) -> Value {
        request_to(&self.address, "GET", "/stand-in/state", &[], "").json()
    }

    pub(crate) fn set_faults(&self, faults: &Value) {
        let answer =
            request_to(&self.address, "POST", "/stand-in/faults", &[], &faults.to_string());
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    pub(crate) fn booking(&self, id: &str) -> Value {
        let state = self.state();
        let bookings = state["bookings"].as_array().unwrap().clone();
        bookings.into_iter().find(|it| it["id"] == id).unwrap_or(Value::Null)
    }

    /// Bookings that are not cancelled, besides the one that was there.
    pub(crate) fn made(&self) -> Vec<Value> {
        let state = self.state();
        let bookings = state["bookings"].as_array().unwrap().clone();
        bookings
            .into_iter()
            .filter(|it| it["id"] != "BOOKING#123" && it["status"] == "ACCEPTED")
            .collect()
    }
}

impl Drop for Square {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_in(Bench::new())
    }

    /// The same with what is set in `bench`: where the store is.
    pub(crate) fn open_in(mut bench: Bench) -> Self {
        let square = Square::start(&bench);
        bench
            .set("HOOKGATE_ADMIN_TOKEN", OPERATOR)
            .set("RETELL_API_KEY", RETELL_KEY)
            .set("VAPI_WEBHOOK_SECRET", VAPI_SECRET)
            .set("ELEVENLABS_TOOL_SECRET", TOOL_SECRET)
            .set("ELEVENLABS_WEBHOOK_SECRET", "wsec-0123456789abcdef0123456789")
            .set("HOOKGATE_SQUARE_URL", &format!("http://{}", square.address));
        let gateway = bench.serve(&[]);
        let agents = [("acme", AGENT, "LSTANDIN00001"), ("globex", OTHER_AGENT, "LOTHER0000001")];
        for (tenant, agent, location) in agents {
            bench.done(&["tenant", "add", tenant, "--name", tenant]);
            for provider in ["retell", "vapi"] {
                let arguments =
                    ["--tenant", tenant, "--provider", provider, "--kind", "agent", agent];
                bench.done(&[&["binding", "add"], &arguments[..]].concat());
            }
            let credential = json!({
                "access_token": format!("sq-token-of-{tenant}"),
                "location_id": location,
                "environment": "sandbox",
                "timezone": "America/New_York",
            });
            let set = bench.run_with(
                &["credential", "set", tenant, "square"],
                credential.to_string().as_bytes(),
            );
            assert_eq!(set.code, 0, "{set:?}");
        }
        let token =
            bench.done(&["source", "token", "add", "elevenlabs", "--tenant", "acme", "--json"]);
        let token: Value = serde_json::from_str(&token).unwrap();
        let url = token["url"].as_str().unwrap();
        let elevenlabs = url[url.find("/in/").unwrap()..].to_owned();
        Self { bench, square, gateway, elevenlabs }
    }

    /// The same shop behind a gateway that was started again.
    pub(crate) fn restarted(self) -> Self {
        let Self { mut bench, square, gateway, elevenlabs } = self;
        drop(gateway);
        let gateway = bench.serve(&[]);
        Self { bench, square, gateway, elevenlabs }
    }

    /// Calls a tool as Retell does, "args only", on the seed's path.
    pub(crate) fn retell(&self, path: &str, body: &Value) -> Answer {
        retell_at(&self.gateway, path, body)
    }

    /// Calls a tool as Vapi does.
    pub(crate) fn vapi(&self, agent: &str, call: &str, tools: &[(&str, Value)]) -> Answer {
        let list: Vec<Value> = tools
            .iter()
            .map(|(tool, arguments)| {
                json!({"id": unique("toolu"), "name": tool, "arguments": arguments})
            })
            .collect();
        let body = json!({"message": {
            "type": "tool-calls",
            "call": {"id": call, "assistantId": agent, "customer": {"number": "+12125550123"}},
            "toolCallList": list,
        }});
        self.gateway.post("/webhook/vapi", &[("x-vapi-secret", VAPI_SECRET)], &body.to_string())
    }

    /// Calls a server tool as ElevenLabs does.
    pub(crate) fn elevenlabs(&self, tool: &str, body: &Value) -> Answer {
        let path = format!("{}/tools/{tool}", self.elevenlabs);
        let headers = [("x-hookgate-tool-secret", TOOL_SECRET)];
        self.gateway.post(&path, &headers, &body.to_string())
    }

    /// Tool calls as the API lists them, the newest first.
    pub(crate) fn tool_calls(&self) -> Vec<Value> {
        let authorization = format!("Bearer {OPERATOR}");
        let headers = [("authorization", authorization.as_str())];
        let answer = self.gateway.get("/api/v1/tool-calls?limit=1000", &headers);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"].as_array().unwrap().clone()
    }

    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {OPERATOR}");
        let headers = [("authorization", authorization.as_str())];
        self.gateway.request(method, path, &headers, body)
    }
}

/// Calls a tool as Retell does, at this gateway.
pub(crate) fn retell_at(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    gateway.post(path, &[("x-retell-signature", &retell_signature(&body))], &body)
}

/// The header that Retell would send now.
pub(crate) fn retell_signature(body: &str) -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let digest = hmac_sha256(RETELL_KEY.as_bytes(), format!("{body}{millis}").as_bytes());
    format!("v={millis},d={}", hex(&digest))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A word that no other request has.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The result of each call in an answer to Vapi: what the reply says, or the error.
pub(crate) fn results(answer: &Answer) -> Vec<Result<Value, String>> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let results = body["results"].as_array().unwrap();
    let read = |it: &Value| match it["result"].as_str() {
        Some(text) => Ok(serde_json::from_str(text).unwrap()),
        None => Err(it["error"].as_str().unwrap().to_owned()),
    };
    results.iter().map(read).collect()
}
