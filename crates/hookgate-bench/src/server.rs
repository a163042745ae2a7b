//! The servers under load, each a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::body::SECRET;
use crate::load::{self, Measured};

/// How long a server may take to start, and its index to catch up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which server.
pub(crate) enum Kind {
    /// The bare handler.
    Bare,
    /// Hookgate, with its store in this folder.
    Hookgate {
        /// The program.
        program: PathBuf,
        /// The store.
        store: PathBuf,
    },
}

/// A running server.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: String,
    child: Child,
}

/// What a server has used of its machine.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// How often its threads gave a processor up or lost it (proc(5)).
    pub(crate) switches: f64,
}

impl Used {
    /// What of it came after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let cpu = self.cpu.saturating_sub(before.cpu);
        Self { cpu, switches: self.switches - before.switches }
    }
}

impl Server {
    /// Starts it and waits until it says where it listens.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        Self::start_with(kind, &[]).await
    }

    /// The same with more variables.
    pub(crate) async fn start_with(kind: Kind, variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = match kind {
            Kind::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("bare");
                command
            }
            Kind::Hookgate { program, store } => {
                std::fs::create_dir_all(&store)?;
                let mut command = Command::new(&program);
                command.args(["serve", "--listen", "127.0.0.1:0", "--store"]).arg(&store);
                command
                    .env("RETELL_API_KEY", SECRET)
                    .env("ELEVENLABS_WEBHOOK_SECRET", SECRET)
                    .env("HOOKGATE_ADMIN_TOKEN", SECRET);
                command.current_dir(store.parent().context("a folder")?);
                command
            }
        };
        let mut child = command
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a server")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let find = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(at) = line.find("127.0.0.1:").filter(|_| line.contains("istening")) {
                    let address = line.get(at..).unwrap_or_default();
                    let end = address.find(|it: char| !it.is_ascii_digit() && !".:".contains(it));
                    return Ok(address
                        .get(..end.unwrap_or(address.len()))
                        .unwrap_or_default()
                        .to_owned());
                }
            }
            bail!("the server ended before it listened")
        };
        let address =
            tokio::time::timeout(PATIENCE, find).await.context("waiting for a server")??;
        // What it goes on printing must be read, or it would wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { address, child })
    }

    /// Loads it for `seconds` after warming up.
    pub(crate) async fn load(&self, connections: usize, seconds: Duration) -> Result<Measured> {
        load::run(&self.address, || self.cpu(), connections, seconds).await
    }

    /// The processor time it has used so far, of all its threads, in and out of the kernel.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pid = self.child.id().context("the server has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Fields 14 and 15 behind the name in parentheses, in ticks of 10 ms (proc(5)).
        let fields = stat.rsplit_once(") ").context("a name")?.1;
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// What it has used so far.
    pub(crate) fn used(&self) -> Result<Used> {
        let pid = self.child.id().context("the server has ended")?;
        let mut switches = 0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // One that ended meanwhile takes its count with it.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
                continue;
            };
            let counts = status.lines().filter(|it| it.contains("ctxt_switches"));
            let counts = counts.filter_map(|it| it.rsplit_once('\t')?.1.parse::<u32>().ok());
            switches += counts.sum::<u32>();
        }
        Ok(Used { cpu: self.cpu()?, switches: f64::from(switches) })
    }

    /// The most memory it has had, in MiB (`VmHWM`, proc(5)).
    pub(crate) fn peak_memory_mib(&self) -> Result<u64> {
        let pid = self.child.id().context("the server has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).context("its memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }

    /// Waits until Hookgate's index has everything that was acknowledged.
    pub(crate) async fn wait_until_indexed(&self) -> Result<()> {
        let begin = Instant::now();
        let request = format!(
            "GET /api/v1/events?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nConnection: close\r\n\r\n"
        );
        while begin.elapsed() < PATIENCE {
            let mut stream = TcpStream::connect(&self.address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            if answer.starts_with(b"HTTP/1.1 200") {
                return Ok(());
            }
        }
        bail!("the index did not catch up within {} s", PATIENCE.as_secs())
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stopping a server")
    }
}
