//! The real program as a child process, with its data in a temporary folder.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder, Response, multipart};
use serde_json::Value;

pub const TOKEN: &str = "test-token-0123456789abcdef";

/// Where the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

pub const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// A running program; dropped, it is killed.
pub struct Server {
    pub data: tempfile::TempDir,
    pub http: SocketAddr,
    pub dicom: SocketAddr,
    database_url: Option<String>,
    settings: Vec<(String, String)>,
    child: Option<Child>,
    client: Client,
}

/// The program, with nothing of the developer's own settings.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medilink"));
    let others = [
        "DATABASE_URL",
        "CONNECTION_STRING",
        "DICOM_STORAGE_PATH",
        "MAX_FILE_SIZE",
        "OPENVINO_INSTALL_DIR",
        "ORT_DYLIB_PATH",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "SENTRY_DSN",
    ];
    #[expect(clippy::disallowed_methods, reason = "what is there is taken away")]
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("MEDILINK_") || others.contains(&name)) {
            command.env_remove(name);
        }
    }
    command
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Server {
    /// Starts the program over a new, empty database of `engine`.
    pub fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[])
    }

    /// The same, with further settings by their names in the environment.
    pub fn start_with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let database_url = (engine == Engine::Postgres).then(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(storage::testing::fresh_postgres_url())
        });
        let mut server = Self {
            data: tempfile::tempdir().unwrap(),
            http: free_port(),
            dicom: free_port(),
            database_url,
            settings: settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            child: None,
            client: Client::builder().timeout(Duration::from_secs(60)).build().unwrap(),
        };
        server.resume();
        server
    }

    /// A command of the program over the same data.
    pub fn command(&self) -> Command {
        let mut command = program();
        command.arg("--data-dir").arg(self.data.path()).env("MEDILINK_TOKEN", TOKEN);
        command.env("MEDILINK_ANALYZE_AFTER_SECONDS", "1").stdin(Stdio::null());
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the program again over what is there, and waits until all doors are open.
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.command();
        command.args(["serve", "--http-listen", &self.http.to_string()]);
        command.args(["--dicom-listen", &self.dicom.to_string(), "--ae-title", "MEDILINK", "--any-ae"]);
        command.env("MEDILINK_ANY_QUERY_AE", "true");
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let started = Instant::now();
        while !self.is_ready() {
            assert!(started.elapsed() < Duration::from_secs(60), "not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_ready(&self) -> bool {
        self.client.get(self.url("/ready")).send().is_ok_and(|answer| answer.status() == 200)
    }

    fn log_path(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Takes note of an end by SIGKILL that the test has sent itself.
    pub fn kill_reaped(&mut self) {
        self.child.take().unwrap().wait().unwrap();
    }

    /// Makes every blob two hours old, so that the next start sweeps what no row names.
    pub fn make_blobs_old(&self) {
        let folder = self.data.path().join("archive");
        let find = ["-type", "f", "-exec", "touch", "-d", "2 hours ago", "{}", "+"];
        assert!(Command::new("find").arg(folder).args(find).status().unwrap().success());
    }

    /// How many rows the table has, asked behind the program's back.
    pub fn count(&self, table: &'static str) -> usize {
        let sqlite = || format!("sqlite:{}", self.data.path().join("medilink.sqlite").display());
        let url = self.database_url.clone().unwrap_or_else(sqlite);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let db = storage::db::Db::open(&url).await.unwrap();
            storage::testing::count(&db, table).await as usize
        })
    }

    /// SIGTERM, and the wait for its end; whether it ended well.
    pub fn stop(&mut self) -> bool {
        let mut child = self.child.take().unwrap();
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        child.wait().unwrap().success()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(TOKEN)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(TOKEN)
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(self.url(path)).bearer_auth(TOKEN)
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.url(path)).bearer_auth(TOKEN)
    }

    /// The JSON answer of a path that must answer 200.
    pub fn json(&self, path: &str) -> Value {
        let answer =
            self.get(path).header("Accept", "application/dicom+json, application/json").send().unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", self.log());
        answer.json().unwrap()
    }

    /// `POST /api/dicom/upload`.
    pub fn upload(&self, name: &str, bytes: Vec<u8>) -> reqwest::Result<Response> {
        let part = multipart::Part::bytes(bytes).file_name(name.to_owned());
        self.post("/api/dicom/upload").multipart(multipart::Form::new().part("file", part)).send()
    }

    /// STOW-RS with these files.
    pub fn stow(&self, files: &[Vec<u8>]) -> reqwest::Result<Response> {
        let mut body = Vec::new();
        for file in files {
            body.extend_from_slice(b"--frontier\r\nContent-Type: application/dicom\r\n\r\n");
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--frontier--\r\n");
        self.post("/dicom-web/studies")
            .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=frontier")
            .header("Accept", "application/dicom+json")
            .body(body)
            .send()
    }

    /// The instance as one file, if it is there.
    pub fn retrieve(&self, wado: &str) -> Option<Vec<u8>> {
        let answer = self.get(wado).header("Accept", "application/dicom; transfer-syntax=*").send().unwrap();
        (answer.status() == 200).then(|| answer.bytes().unwrap().to_vec())
    }

    /// dcmtk's storescu, from Debian (pynetdicom installs a program of the same name).
    pub fn storescu(&self, files: &[PathBuf]) -> Command {
        let mut command = Command::new("/usr/bin/storescu");
        command.args(["-v", "-aec", "MEDILINK", "127.0.0.1", &self.dicom.port().to_string()]).args(files);
        command.env("TCP_NODELAY", "1").stdin(Stdio::null());
        command
    }

    /// How many blobs lie in the archive.
    pub fn blob_count(&self) -> usize {
        fn files(folder: PathBuf) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            entries.map(|entry| entry.unwrap().path()).map(|it| if it.is_dir() { files(it) } else { 1 }).sum()
        }
        files(self.data.path().join("archive/clinics"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end; its output, which a failing test shows.
pub fn output(command: &mut Command) -> (bool, String) {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; ./test installs what is missing"));
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Waits until `ready` gives a value.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads what a raw connection answers until it ends or falls silent.
pub fn drain(stream: &mut std::net::TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = Vec::new();
    // Silence is an answer too.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}
