//! A small stand-in for the Hub on loopback, and what the tests share.

#![allow(dead_code)] // Each test program uses its own part.

#[cfg(unix)]
pub mod packages;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use temper_hub::{HubSettings, Source, WantedFile};

/// The commit that the fake Hub's branch points to.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the fake Hub answers for one file.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    /// What GET answers, when not the same.
    pub get_status: Option<u16>,
    pub body: Vec<u8>,
    /// The hash announced.
    pub etag: String,
    pub error_code: Option<&'static str>,
    /// GETs that close the connection in the middle of the body.
    pub cut: usize,
    /// Whether ranges are served.
    pub ranges: bool,
    /// Whether the content is elsewhere, as the Hub's large files are: the answer is a redirection
    /// with the hash in `X-Linked-ETag`.
    pub linked: bool,
    /// Headers that take the place of those of the same name; an empty value is sent as such.
    pub headers: Vec<(&'static str, String)>,
    /// Headers that are left out.
    pub without: Vec<&'static str>,
    /// Where it stops for good, without hanging up.
    pub silent: Silence,
}

/// Where a server stops to answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    Never,
    /// Before HEAD is answered.
    BeforeHead,
    /// Before GET is answered.
    BeforeGet,
    /// After half of GET's body.
    InBody,
}

impl Answer {
    /// A large file: its sha256 is announced.
    pub fn large(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let etag = sha256(&body);
        Self {
            status: 200,
            get_status: None,
            body,
            etag,
            error_code: None,
            cut: 0,
            ranges: true,
            linked: false,
            headers: Vec::new(),
            without: Vec::new(),
            silent: Silence::Never,
        }
    }

    /// As this answer, with a header of another value.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The headers as they go over the line.
    fn write_headers(&self, stream: &mut TcpStream, own: &[(&'static str, String)]) -> std::io::Result<()> {
        let is_changed = |name: &str| {
            self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
                || self.without.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let kept = own.iter().filter(|(name, _)| !is_changed(name));
        for (name, value) in kept.chain(&self.headers) {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "\r\n")
    }

    /// A small file: its git blob id is announced.
    pub fn small(body: &str) -> Self {
        let mut hash = sha1::Sha1::new();
        hash.update(format!("blob {}\0{body}", body.len()));
        let etag = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { etag, ..Self::large(body) }
    }

    /// A refusal.
    pub fn refusal(status: u16, error_code: Option<&'static str>) -> Self {
        Self { status, error_code, ..Self::large("") }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that speaks the Hub's file endpoint, for as long as the tests run.
pub struct FakeHub {
    pub endpoint: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    /// Files by `repository/file`; datasets begin with `datasets/`.
    pub fn start(files: &[(&str, Answer)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers: HashMap<String, Answer> =
            files.iter().map(|(name, answer)| (name.to_string(), answer.clone())).collect();
        let hub = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers)),
            log: Arc::default(),
        };
        let (answers, log) = (Arc::clone(&hub.answers), Arc::clone(&hub.log));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                thread::spawn(move || {
                    // A client that hangs up is part of the tests.
                    let _ = serve(stream, &answers, &log);
                });
            }
        });
        hub
    }

    pub fn put(&self, name: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(name.to_string(), answer);
    }

    /// The requests so far that contain all of these words: method, path, `range`, `token ...`.
    pub fn requests(&self, words: &[&str]) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

fn serve(
    stream: TcpStream,
    answers: &Mutex<HashMap<String, Answer>>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(());
    };
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_string());
    }
    let range = headers.get("range").cloned();
    let token = headers.get("authorization").cloned().unwrap_or_default();
    log.lock().unwrap().push(format!("{first} {} {token}", range.as_deref().unwrap_or("")));

    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let elsewhere = path.strip_prefix("/elsewhere/").map(String::from);
    let host = headers.get("host").cloned().unwrap_or_default();
    let mut answers = answers.lock().unwrap();
    let name = elsewhere.clone().or_else(|| named_in(path)).unwrap_or_else(|| path.to_string());
    match answers.get_mut(&name) {
        Some(known) if known.linked && elsewhere.is_none() => redirect(stream, known, &host, &name),
        Some(known) if elsewhere.is_some() => {
            // Only the Hub itself sends these.
            let mut there = known.clone();
            there.headers.retain(|(name, _)| !name.starts_with("X-Linked-"));
            known.cut = known.cut.saturating_sub(usize::from(method == "GET"));
            answer(stream, method, Some(&mut there), range)
        }
        known => answer(stream, method, known, range),
    }
}

/// `repository/file` of `/repository/resolve/revision/file`.
fn named_in(path: &str) -> Option<String> {
    let (repository, rest) = path.trim_start_matches('/').split_once("/resolve/")?;
    let (_revision, file) = rest.split_once('/')?;
    Some(format!("{repository}/{file}"))
}

fn redirect(mut stream: TcpStream, answer: &Answer, host: &str, name: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 302 x\r\n")?;
    let own = [
        ("Connection", "close".to_string()),
        ("Content-Length", "0".to_string()),
        ("ETag", "\"of-the-link\"".to_string()),
        ("X-Linked-ETag", format!("\"{}\"", answer.etag)),
        ("X-Linked-Size", answer.body.len().to_string()),
        ("X-Repo-Commit", COMMIT.to_string()),
        ("Location", format!("http://{host}/elsewhere/{name}")),
    ];
    answer.write_headers(&mut stream, &own)
}

fn answer(
    mut stream: TcpStream,
    method: &str,
    known: Option<&mut Answer>,
    range: Option<String>,
) -> std::io::Result<()> {
    let mut nothing = Answer::refusal(404, Some("EntryNotFound"));
    let answer = known.unwrap_or(&mut nothing);
    let mut status = answer.status;
    let mut body = answer.body.as_slice();
    let mut own = vec![
        ("Connection", "close".to_string()),
        ("ETag", format!("\"{}\"", answer.etag)),
        ("X-Repo-Commit", COMMIT.to_string()),
    ];
    own.extend(answer.error_code.map(|code| ("X-Error-Code", code.to_string())));
    if method == "GET" {
        status = answer.get_status.unwrap_or(status);
        if let Some((from, to)) = range.filter(|_| answer.ranges).as_deref().and_then(ends) {
            let to = to.min(body.len() - 1);
            own.push(("Content-Range", format!("bytes {from}-{to}/{}", body.len())));
            status = if from < body.len() { 206 } else { 416 };
            body = &body[from.min(body.len())..=to];
        }
    }
    own.push(("Content-Length", body.len().to_string()));
    match (method, answer.silent) {
        ("HEAD", Silence::BeforeHead) | ("GET", Silence::BeforeGet) => return keep_silent(stream),
        _ => {}
    }
    write!(stream, "HTTP/1.1 {status} x\r\n")?;
    answer.write_headers(&mut stream, &own)?;
    if method != "GET" {
        return Ok(());
    }
    if answer.silent == Silence::InBody {
        stream.write_all(&body[..body.len() / 2])?;
        return keep_silent(stream);
    }
    if answer.cut > 0 {
        answer.cut -= 1;
        body = &body[..body.len() / 2];
    }
    stream.write_all(body)
}

/// Leaves the connection open, and says nothing on it, on a thread that nobody waits for.
fn keep_silent(stream: TcpStream) -> std::io::Result<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(600));
        drop(stream);
    });
    Ok(())
}

/// The first and the last byte of `bytes=a-b`.
fn ends(range: &str) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// Settings that touch nothing outside `folder` and ask the Hub at `endpoint`.
pub fn settings(folder: &Path, endpoint: &str) -> HubSettings {
    HubSettings {
        mirror: None,
        offline: false,
        stand_ins: true,
        revision: None,
        cache: folder.join("temper"),
        progress: false,
        endpoint: Some(endpoint.to_string()),
        hub_cache: Some(folder.join("hub")),
        python: Some(folder.join("no-python")),
        timeout: Duration::from_secs(30),
    }
}

/// An address on which nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub fn on_hub(id: &str) -> Source {
    Source { hub: Some(id.to_string()), package: None }
}

pub fn required(file: &str) -> Vec<WantedFile> {
    vec![WantedFile::Required(file.to_string())]
}
