//! The real Hub client against a server on loopback.
#![cfg(feature = "online")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use common::{Answer, COMMIT, FakeHub, nobody, on_hub, required, settings, sha256};
use temper_hub::{Hub, HubError, HubSettings, Origin, RepoKind, WantedFile};

const DATASET: RepoKind = RepoKind::Dataset;

#[test]
fn a_file_comes_once_and_is_then_in_the_cache() {
    let linked = Answer { linked: true, ..Answer::large("rows") };
    let server = FakeHub::start(&[("datasets/org/data/train/0.parquet", linked)]);
    let folder = tempfile::tempdir().unwrap();
    let wanted = required("train/0.parquet");
    for _ in 0..2 {
        let hub = Hub::new(settings(folder.path(), &server.endpoint));
        let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &wanted).unwrap();
        assert_eq!((found.origin, found.id.as_str()), (Origin::Hub, "org/data"));
        assert_eq!(found.revision.as_deref(), Some(COMMIT));
        let file = found.file("train/0.parquet").unwrap();
        assert_eq!(fs::read(&file.path).unwrap(), b"rows");
        assert_eq!((file.sha256.clone(), file.bytes), (sha256(b"rows"), 4));
        assert_eq!(found.notice(), None);
    }
    assert_eq!(server.requests(&["GET", "/resolve/"]), 1);
}

#[test]
fn without_a_way_to_the_hub_the_cache_answers_and_offline_asks_nobody() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::small("one"))]);
    let folder = tempfile::tempdir().unwrap();
    let source = on_hub("org/data");
    let online = settings(folder.path(), &server.endpoint);
    Hub::new(online.clone()).fetch(DATASET, "data", &source, &required("a")).unwrap();
    let so_far = server.requests(&[]);

    let offline = HubSettings { offline: true, ..online };
    let found = Hub::new(offline.clone()).fetch(DATASET, "data", &source, &required("a")).unwrap();
    assert_eq!(found.revision.as_deref(), Some(COMMIT));
    let error = Hub::new(offline).fetch(DATASET, "data", &source, &required("b")).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    assert_eq!(server.requests(&[]), so_far);

    let cut_off = settings(folder.path(), &nobody());
    let found = Hub::new(cut_off.clone()).fetch(DATASET, "data", &source, &required("a")).unwrap();
    assert_eq!(found.origin, Origin::Hub);
    let error = Hub::new(cut_off).fetch(DATASET, "data", &source, &required("b")).unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_missing_file_and_a_refusal_are_different_and_take_no_stand_in() {
    let server = FakeHub::start(&[
        ("datasets/org/private/a", Answer::refusal(401, Some("RepoNotFound"))),
        ("datasets/org/gated/a", Answer::refusal(403, Some("GatedRepo"))),
        ("datasets/org/other/a", Answer::small("x")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let wanted = required("a");
    let fetch = |id: &str| {
        let stand_in = on_hub("org/other");
        let stand_in = Some(("other", &stand_in, wanted.as_slice()));
        hub.fetch_or_stand_in(DATASET, id, &on_hub(id), &wanted, stand_in).unwrap_err()
    };
    let missing = fetch("org/missing");
    assert!(matches!(&missing, HubError::NotFound { file, .. } if file == "a"), "{missing}");
    assert!(!missing.is_unreachable());
    for (id, code, word) in [("org/private", 401, "check the name"), ("org/gated", 403, "accept")] {
        let refused = fetch(id);
        assert!(matches!(refused, HubError::Forbidden { status, .. } if status == code));
        let text = refused.to_string();
        assert!(text.contains("HF_TOKEN") && text.contains(word) && text.contains(id), "{text}");
    }
}

#[test]
fn a_renamed_repository_is_followed_on_the_same_machine() {
    let moved = |to: &str| Answer { status: 307, ..Answer::large("") }.with("Location", to);
    let server = FakeHub::start(&[
        ("datasets/org/data/a", Answer::small("rows")),
        ("datasets/org/old/a", moved("/datasets/org/data/resolve/main/a")),
        ("datasets/org/circle/a", moved("/datasets/org/circle/resolve/main/a")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let fetch = |id: &str| hub.fetch(DATASET, id, &on_hub(id), &required("a"));
    assert_eq!(fs::read(&fetch("org/old").unwrap().files[0].path).unwrap(), b"rows");
    let error = fetch("org/circle").unwrap_err();
    assert!(matches!(&error, HubError::BadAnswer { reason, .. } if reason.contains("redirects")), "{error}");
}

#[test]
fn a_server_that_fails_is_asked_again_and_then_out_of_reach() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::refusal(503, None))]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let error = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("503"), "{error}");
    assert_eq!(server.requests(&["HEAD"]), 4);
}

#[test]
fn a_broken_transfer_leaves_nothing_that_looks_whole() {
    let cut = Answer { cut: usize::MAX, ranges: false, ..Answer::large(vec![7; 4096]) };
    let server = FakeHub::start(&[("datasets/org/data/a", cut)]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let fetch = || hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a"));
    let error = fetch().unwrap_err();
    assert!(matches!(&error, HubError::BrokenTransfer { file, .. } if file == "a"), "{error}");
    assert!(!folder.path().join("hub/datasets--org--data/snapshots").exists());

    server.put("datasets/org/data/a", Answer::large(vec![7; 4096]));
    assert_eq!(fetch().unwrap().files[0].bytes, 4096);
}

#[test]
fn a_transfer_that_broke_goes_on_where_it_stopped() {
    let content: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    let cut = Answer { cut: 1, ..Answer::large(content.clone()) };
    let server = FakeHub::start(&[("datasets/org/data/a", cut)]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap();
    assert_eq!(fs::read(&found.files[0].path).unwrap(), content);
    let middle = format!("bytes={}-", content.len() / 2);
    assert_eq!(server.requests(&["GET", &middle]), 1);
    assert_eq!(server.requests(&["GET"]), 2);
}

/// What another process left of a download: `part` of a content with the hash of `content`.
fn left_over(folder: &Path, content: &str, part: &str) -> PathBuf {
    let blobs = folder.join("hub/datasets--org--data/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(content.as_bytes()))), part).unwrap();
    blobs
}

#[test]
fn what_an_earlier_process_left_is_used_only_if_it_fits() {
    // Fits; fits and is complete; has other bytes; is longer than the file.
    for (part, gets) in [("con", 1), ("content", 0), ("xyz", 2), ("content and more", 1)] {
        let server = FakeHub::start(&[("datasets/org/data/a", Answer::large("content"))]);
        let folder = tempfile::tempdir().unwrap();
        let blobs = left_over(folder.path(), "content", part);
        let hub = Hub::new(settings(folder.path(), &server.endpoint));
        let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap();
        assert_eq!(fs::read(&found.files[0].path).unwrap(), b"content");
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1, "{part}");
        assert_eq!(server.requests(&["GET"]), gets, "{part}");
    }
}

#[test]
fn a_server_without_ranges_starts_over() {
    let content = "x".repeat((16 << 20) + 1);
    let plain = Answer { ranges: false, ..Answer::large(content.as_str()) };
    let server = FakeHub::start(&[("datasets/org/data/a", plain)]);
    let folder = tempfile::tempdir().unwrap();
    left_over(folder.path(), &content, "xxx");
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap();
    assert_eq!(found.files[0].sha256, sha256(content.as_bytes()));
}

#[test]
fn content_with_another_hash_is_refused_and_not_kept() {
    let wrong = Answer { etag: sha256(b"right"), linked: true, ..Answer::large("wrong") };
    let server = FakeHub::start(&[("datasets/org/data/a", wrong.clone())]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let fetch = || hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a"));
    let error = fetch().unwrap_err();
    let HubError::WrongHash { expected, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (&wrong.etag, &sha256(b"wrong")));
    assert!(error.to_string().contains(expected) && error.to_string().contains(found));
    let blobs = folder.path().join("hub/datasets--org--data/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);

    server.put("datasets/org/data/a", Answer::large("right"));
    assert_eq!(fs::read(&fetch().unwrap().files[0].path).unwrap(), b"right");
}

#[test]
fn the_page_of_an_error_is_not_the_file() {
    let error_page = Answer { get_status: Some(410), ..Answer::small("gone") };
    let server = FakeHub::start(&[("datasets/org/data/a", error_page)]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let error = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap_err();
    assert!(matches!(error, HubError::Forbidden { status: 410, .. }), "{error}");
    assert!(!folder.path().join("hub/datasets--org--data/snapshots").exists());
}

#[test]
fn a_damaged_file_of_the_cache_is_fetched_again() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::large("right"))]);
    let folder = tempfile::tempdir().unwrap();
    let online = settings(folder.path(), &server.endpoint);
    let fetch = |settings: HubSettings| {
        Hub::new(settings).fetch(DATASET, "data", &on_hub("org/data"), &required("a"))
    };
    let path = fetch(online.clone()).unwrap().files[0].path.clone();
    fs::write(&path, "wrong").unwrap();
    let offline = fetch(HubSettings { offline: true, ..online.clone() }).unwrap_err();
    assert!(matches!(offline, HubError::WrongHash { .. }), "{offline}");
    assert_eq!(fetch(online).unwrap().files[0].sha256, sha256(b"right"));
}

#[test]
fn a_model_brings_its_shards_and_all_files_are_of_one_commit() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let server = FakeHub::start(&[
        ("org/name/config.json", Answer::small("{}")),
        ("org/name/model.safetensors.index.json", Answer::small(index)),
        ("org/name/model-1.safetensors", Answer::large("1")),
        ("org/name/model-2.safetensors", Answer::large("2")),
        ("org/name/tokenizer.json", Answer::small("{ }")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let found = hub.model("org/name").unwrap();
    let names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
    let expected = [
        "config.json",
        "model.safetensors.index.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "tokenizer.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(server.requests(&["GET", "/main/"]), 1);
    assert_eq!(server.requests(&["GET", COMMIT]), 4);

    server.put("org/name/model-2.safetensors", Answer::refusal(404, None));
    let elsewhere = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(elsewhere.path(), &server.endpoint));
    let error = hub.model("org/name").unwrap_err();
    assert!(matches!(error, HubError::MissingShard { shard, .. } if shard == "model-2.safetensors"));
}

#[test]
fn a_revision_is_asked_for() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::small("x"))]);
    let folder = tempfile::tempdir().unwrap();
    let revision = Some("a-branch".to_string());
    let hub = Hub::new(HubSettings { revision, ..settings(folder.path(), &server.endpoint) });
    hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a")).unwrap();
    assert_eq!(server.requests(&["GET", "/a-branch/"]), 1);
    let error = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("b")).unwrap_err();
    assert!(error.to_string().contains("at a-branch"), "{error}");
}

#[test]
fn two_at_once_download_once() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::large(vec![1; 1 << 20]))]);
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let hub = Hub::new(settings(folder.path(), &server.endpoint));
                let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &required("a"));
                assert_eq!(found.unwrap().files[0].bytes, 1 << 20);
            });
        }
    });
    assert_eq!(server.requests(&["GET"]), 1);
}

#[test]
fn an_optional_file_may_be_missing() {
    let server = FakeHub::start(&[("datasets/org/data/a", Answer::small("x"))]);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(settings(folder.path(), &server.endpoint));
    let wanted = [WantedFile::Optional("b".into()), WantedFile::Required("a".into())];
    let found = hub.fetch(DATASET, "data", &on_hub("org/data"), &wanted).unwrap();
    assert!(found.file("b").is_none() && found.file("a").is_some());
}

/// Runs in a process of its own, started by the test below with the variables that it reads.
#[test]
#[ignore = "the other half of `the_environment_is_honoured`"]
fn child_of_the_environment_test() {
    let hub = Hub::new(HubSettings::from_environment());
    match hub.model("org/name") {
        Ok(found) => println!("found {}", found.files[0].path.display()),
        Err(error) => println!("failed {error}"),
    }
}

#[test]
fn the_environment_is_honoured() {
    let server = FakeHub::start(&[
        ("org/name/config.json", Answer::small("{}")),
        ("org/name/model.safetensors", Answer::large("x")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let child = |further: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child_of_the_environment_test", "--ignored", "--nocapture"])
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HOME", folder.path().join("hf"))
            .env("TEMPER_CACHE", folder.path().join("temper"));
        for variable in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TEMPER_MIRROR", "HF_TOKEN_PATH"] {
            command.env_remove(variable);
        }
        command.envs(further.iter().copied());
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let offline = child(&[("HF_HUB_OFFLINE", "1")]);
    assert!(offline.contains("failed org/name cannot be reached"), "{offline}");
    assert_eq!(server.requests(&[]), 0);

    let found = child(&[("HF_TOKEN", "secret-1")]);
    let home = folder.path().join("hf/hub/models--org--name");
    assert!(found.contains(&format!("found {}", home.display())), "{found}");
    assert!(server.requests(&["GET", "Bearer secret-1"]) > 0);

    fs::write(folder.path().join("hf/token"), "secret-2\n").unwrap();
    let cache = folder.path().join("elsewhere");
    let found = child(&[("HF_HUB_CACHE", cache.to_str().unwrap())]);
    assert!(found.contains(&format!("found {}", cache.display())), "{found}");
    assert!(server.requests(&["GET", "Bearer secret-2"]) > 0);
}
