//! The folder of a server, the user it runs as, and who clears up when a test is killed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Removes the folder once its standard input ends, which it does with the process that
/// holds the other end, however that dies. First it ends the servers whose numbers the
/// `*.pid` files of the folder hold; PostgreSQL removes its own when it is done.
const KEEPER: &str = r#"
cat >/dev/null
for file in "$1"/*.pid "$1"/data/postmaster.pid; do
    [ -f "$file" ] && kill -QUIT "$(head -n 1 "$file")" 2>/dev/null
done
tries=0
while [ -f "$1/data/postmaster.pid" ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
rm -rf "$1"
"#;

/// A folder under the temporary one, for a user that is not root.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    user: Option<User>,
    keeper: Child,
}

/// Who a server runs as, where the test runs as root: PostgreSQL refuses to be root.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Place {
    pub(crate) fn new() -> Self {
        // A path of a Unix socket has at most 107 bytes, so a long TMPDIR does not do.
        let folder = tempfile::Builder::new().prefix("hookgate-pg-").tempdir_in("/tmp").unwrap();
        let user = rustix::process::getuid().is_root().then(User::find);
        if let Some(user) = user {
            std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What interrupts the tests does not interrupt who clears up after them.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { folder, user, keeper }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program as that user, in that folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::null()).process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Writes a file that only that user may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(user) = self.user {
            std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).unwrap();
        }
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl User {
    /// `postgres`, else `nobody`.
    fn find() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let find = |name: &str| {
            let line = passwd.lines().find(|it| it.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            let uid = fields.next()?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self { uid, gid })
        };
        find("postgres").or_else(|| find("nobody")).expect("there is a user postgres or nobody")
    }
}

/// A program of PostgreSQL: the newest in Debian's folders, else in the path.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .collect();
    found.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|it| it.join(name))
            .find(|it| it.exists())
    };
    found
        .pop()
        .map(|(_, path)| path)
        .or_else(in_path)
        .unwrap_or_else(|| panic!("{name} is not installed: scripts/test installs what is missing"))
}
