//! A server that lies, sends too much or too little, or says nothing.
#![cfg(feature = "online")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Answer, COMMIT, FakeHub, Silence, on_hub, required, settings, sha256};
use temper_hub::{Hub, HubError, HubSettings, RepoKind, Resolved};

const NAME: &str = "datasets/org/data/a";

fn fetch_with(settings: HubSettings) -> Result<Resolved, HubError> {
    Hub::new(settings).fetch(RepoKind::Dataset, "data", &on_hub("org/data"), &required("a"))
}

fn fetch(folder: &Path, server: &FakeHub) -> Result<Resolved, HubError> {
    fetch_with(settings(folder, &server.endpoint))
}

/// All files under a folder, but for locks.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let below = entries.flatten().flat_map(|entry| match entry.file_type().unwrap().is_dir() {
        true => files(&entry.path()),
        false => vec![entry.path().display().to_string()],
    });
    below.filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn a_hash_or_commit_that_is_none_is_refused_before_a_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    let outside = outside.to_str().unwrap();
    let short = "0a".repeat(19);
    let values = ["../../../../outside", outside, "", "..", "some-tag", "a b", &short, "0123456789abcdef"];
    for value in values {
        for header in ["ETag", "X-Linked-ETag", "X-Repo-Commit"] {
            for linked in [false, true] {
                // A redirection says in X-Linked-ETag what the other says in ETag.
                if linked && header == "ETag" {
                    continue;
                }
                let sent = if header == "X-Repo-Commit" { value.to_string() } else { format!("\"{value}\"") };
                let answer = Answer { linked, ..Answer::large("rows") }.with(header, sent);
                let server = FakeHub::start(&[(NAME, answer)]);
                let home = tempfile::tempdir_in(folder.path()).unwrap();
                let error = fetch(home.path(), &server).unwrap_err();
                assert!(matches!(error, HubError::BadAnswer { .. }), "{header} {value:?}: {error}");
                assert_eq!(files(home.path()), Vec::<String>::new(), "{header} {value:?}");
                assert_eq!(server.requests(&["GET"]), 0, "{header} {value:?}");
            }
        }
    }
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn another_commit_for_the_next_file_is_refused() {
    let other = Answer::small("y").with("X-Repo-Commit", "f".repeat(40));
    let server = FakeHub::start(&[(NAME, Answer::small("x")), ("datasets/org/data/b", other)]);
    let folder = tempfile::tempdir().unwrap();
    let wanted = [required("a"), required("b")].concat();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let error = hub.fetch(RepoKind::Dataset, "data", &on_hub("org/data"), &wanted).unwrap_err();
    assert!(matches!(&error, HubError::BadAnswer { file, .. } if file == "b"), "{error}");
    assert!(error.to_string().contains(COMMIT), "{error}");
}

#[test]
fn more_or_less_than_the_announced_size_is_an_error() {
    let large = || Answer { linked: true, ..Answer::large("content") };
    for (size, content_length) in [("6", None), ("8", None), ("6", Some("6")), ("1000000", Some("7"))] {
        let mut answer = large().with("X-Linked-Size", size);
        match content_length {
            Some(length) => answer = answer.with("Content-Length", length),
            None => answer.without.push("Content-Length"),
        }
        let server = FakeHub::start(&[(NAME, answer)]);
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(folder.path(), &server).unwrap_err();
        let is_named = match &error {
            HubError::BadAnswer { reason, .. } => reason.contains(size),
            HubError::BrokenTransfer { reason, .. } => size == "8" && reason.contains("7 of 8 bytes"),
            HubError::WrongHash { .. } => size == "6" && content_length.is_some(),
            _ => false,
        };
        assert!(is_named, "{size} {content_length:?}: {error}");
        assert!(!folder.path().join("hub/datasets--org--data/snapshots").exists());
    }
    let mut unsized_answer = Answer::large("content");
    unsized_answer.without.push("Content-Length");
    let server = FakeHub::start(&[(NAME, unsized_answer)]);
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(folder.path(), &server).unwrap_err();
    assert!(matches!(&error, HubError::BadAnswer { reason, .. } if reason.contains("no size")), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    // Each would hang for good.
    for silent in [Silence::BeforeHead, Silence::BeforeGet, Silence::InBody] {
        let answer = Answer { silent, ..Answer::large(vec![7; 4096]) };
        let server = FakeHub::start(&[(NAME, answer)]);
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), &server.endpoint);
        let error = fetch_with(HubSettings { timeout: Duration::from_millis(300), ..settings }).unwrap_err();
        assert!(error.is_unreachable(), "{error}");
        let is_right = match silent {
            Silence::BeforeHead => error.to_string().contains("no answer within 0.3 s"),
            _ => matches!(error, HubError::BrokenTransfer { .. }),
        };
        assert!(is_right, "{error}");
        assert!(!folder.path().join("hub/datasets--org--data/snapshots").exists());
    }
}

#[test]
fn what_came_before_a_silence_is_gone_on_with() {
    let content: Vec<u8> = (0..4096u32).flat_map(u32::to_le_bytes).collect();
    let server =
        FakeHub::start(&[(NAME, Answer { silent: Silence::InBody, ..Answer::large(content.clone()) })]);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &server.endpoint);
    fetch_with(HubSettings { timeout: Duration::from_millis(300), ..settings.clone() }).unwrap_err();
    server.put(NAME, Answer::large(content.clone()));
    let found = fetch_with(settings).unwrap();
    assert_eq!(found.files[0].sha256, sha256(&content));
    assert!(server.requests(&["GET", "bytes="]) > 0);
}

#[test]
fn a_reference_or_name_in_the_cache_is_believed_only_if_it_is_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "secret").unwrap();
    let repository = folder.path().join("hub/datasets--org--data");
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::create_dir_all(repository.join("snapshots")).unwrap();
    fs::write(repository.join("refs/main"), "../../..").unwrap();
    let offline = HubSettings { offline: true, ..settings(folder.path(), &common::nobody()) };
    let error = fetch_with(offline.clone()).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");

    #[cfg(unix)]
    {
        fs::write(repository.join("refs/main"), COMMIT).unwrap();
        let snapshot = repository.join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("blobs")).unwrap();
        fs::write(repository.join("blobs/some-tag"), "unchecked").unwrap();
        std::os::unix::fs::symlink("../../blobs/some-tag", snapshot.join("a")).unwrap();
        let error = fetch_with(offline).unwrap_err();
        assert!(matches!(&error, HubError::Format { reason, .. } if reason.contains("some-tag")), "{error}");
        // With a way to the Hub, the file comes again, under its hash.
        let server = FakeHub::start(&[(NAME, Answer::large("checked"))]);
        let found = fetch(folder.path(), &server).unwrap();
        assert_eq!(found.files[0].sha256, sha256(b"checked"));
    }
}

#[test]
fn a_revision_that_leads_out_of_the_cache_is_refused() {
    let server = FakeHub::start(&[(NAME, Answer::small("x"))]);
    for revision in ["../../x", "/tmp/x", "a\nb", ""] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), &server.endpoint);
        let error = fetch_with(HubSettings { revision: Some(revision.into()), ..settings }).unwrap_err();
        assert!(matches!(error, HubError::BadRevision { .. }) && error.is_usage(), "{error}");
    }
    assert_eq!(server.requests(&[]), 0);
}

#[test]
fn a_store_that_the_server_names_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    let store =
        format!(r#"{{"accessToken": "x", "exp": 4102444800, "casUrl": "local://{}"}}"#, outside.display());
    let token = "/api/datasets/org/data/xet-read-token/main";
    let content = Answer::large("rows").with("X-Xet-Hash", "0a".repeat(32));
    let server = FakeHub::start(&[(NAME, content), (token, Answer::small(&store))]);
    let error = fetch(folder.path(), &server).unwrap_err();
    assert!(!outside.exists());
    assert!(matches!(&error, HubError::BadAnswer { reason, .. } if reason.contains("Xet")), "{error}");
    assert!(server.requests(&["GET", token]) > 0);
    assert!(!folder.path().join("hub/datasets--org--data/snapshots").exists());
}

#[test]
fn the_body_of_an_error_is_not_waited_for() {
    for (status, gets) in [(403, 1), (410, 1), (503, 12)] {
        // It would never end.
        let error_page = Answer { get_status: Some(status), silent: Silence::InBody, ..Answer::small("no") };
        let server = FakeHub::start(&[(NAME, error_page)]);
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(folder.path(), &server).unwrap_err();
        let is_right = match &error {
            HubError::Forbidden { status: said, .. } => *said == status,
            HubError::BrokenTransfer { reason, .. } => reason.contains("it answers 503"),
            _ => false,
        };
        assert!(is_right, "{status}: {error}");
        assert_eq!(server.requests(&["GET"]), gets, "{status}");
    }
}
