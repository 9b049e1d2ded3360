//! Logs with known operations.

use super::super::disk::ROOT;
use super::super::trace;
use super::*;

/// Text as strace -xx writes it.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// A log in which `'...'` stands for a string and `<...>` for the file of a descriptor.
fn recorded(lines: &[&str]) -> Result<Recorder> {
    let mut log = String::new();
    for line in lines {
        let mut parts = line.split(['\'', '<', '>']);
        log += &format!("1 {}", parts.next().unwrap_or_default());
        let mut marks = line.chars().filter(|letter| "'<>".contains(*letter));
        while let (Some(inside), Some(behind)) = (parts.next(), parts.next()) {
            let (open, close) = (marks.next().unwrap(), marks.next().unwrap());
            let [open, close] = [open, close].map(|mark| if mark == '\'' { '"' } else { mark });
            log += &format!("{open}{}{close}{behind}", hex(inside));
        }
        log.push('\n');
    }
    let mut recorder = Recorder::new(Path::new("/r"), Path::new("/elsewhere"), Tree::default());
    for call in trace::read(&log)? {
        recorder.take(&call)?;
    }
    Ok(recorder)
}

fn listing(recorder: &Recorder) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    recorder.tree.listing(ROOT).into_iter().map(|(path, content)| (path, content.map(text))).collect()
}

#[test]
fn a_file_is_written_synced_and_renamed() {
    let recorder = recorded(&[
        "openat(AT_FDCWD</r>, '/r/tmp', O_RDWR|O_CREAT|O_EXCL, 0600) = 3</r/tmp>",
        "write(3</r/tmp>, 'hello', 5) = 4",
        "write(3</r/tmp>, 'o!', 2) = 2",
        "fsync(3</r/tmp>) = 0",
        "rename('/r/tmp', '/r/a') = 0",
        "openat(AT_FDCWD</r>, '/r', O_RDONLY|O_CLOEXEC) = 4</r>",
        "fsync(4</r>) = 0",
        "write(1<pipe:[4]>, 'said', 4) = 4",
    ])
    .unwrap();
    assert_eq!(listing(&recorder), [("a".into(), Some("hello!".into()))]);
    let syncs: Vec<&Operation> = recorder
        .operations()
        .iter()
        .filter(|operation| matches!(operation, Operation::Sync { .. }))
        .collect();
    assert_eq!(syncs, [&Operation::Sync { inode: 1 }, &Operation::Sync { inode: ROOT }]);
}

#[test]
fn appends_offsets_and_shared_descriptors_are_followed() {
    let recorder = recorded(&[
        "openat(AT_FDCWD</r>, '/r/log', O_WRONLY|O_CREAT|O_APPEND, 0600) = 3</r/log>",
        "openat(AT_FDCWD</r>, '/r/log', O_RDWR) = 4</r/log>",
        "write(4</r/log>, 'abc', 3) = 3",
        "write(3</r/log>, 'd', 1) = 1",
        "fcntl(4</r/log>, F_DUPFD_CLOEXEC, 0) = 5</r/log>",
        "write(5</r/log>, 'D', 1) = 1",
        "lseek(4</r/log>, 1, SEEK_SET) = 1",
        "write(5</r/log>, 'B', 1) = 1",
        "pwrite64(4</r/log>, 'A', 1, 0) = 1",
        "ftruncate(4</r/log>, 6) = 0",
    ])
    .unwrap();
    assert_eq!(listing(&recorder), [("log".into(), Some("ABcD\0\0".into()))]);
}

#[test]
fn folders_are_exchanged_and_removed() {
    let recorder = recorded(&[
        "mkdir('/r/a', 0777) = 0",
        "mkdirat(AT_FDCWD</r>, 'b', 0777) = 0",
        "openat(AT_FDCWD</r>, '/r/a', O_RDONLY|O_DIRECTORY) = 3</r/a>",
        "openat(3</r/a>, 'x', O_WRONLY|O_CREAT, 0600) = 4</r/a/x>",
        "renameat2(AT_FDCWD</r>, '/r/a', AT_FDCWD</r>, '/r/b', RENAME_EXCHANGE) = 0",
        "rmdir('/r/a') = 0",
        "mkdir('/r/a/b', 0777) = -1 ENOENT (No such file)",
    ])
    .unwrap();
    assert_eq!(listing(&recorder), [("b".into(), None), ("b/x".into(), Some(String::new()))]);
}

#[test]
fn files_without_a_name_leave_nothing() {
    let recorder = recorded(&[
        "openat(AT_FDCWD</r>, '/r', O_RDWR|O_TMPFILE, 0600) = 3</r/#7>(deleted)",
        "write(3</r/#7>(deleted), 'x', 1) = 1",
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</r/#7>(deleted), 0) = 0x7f0000000000",
    ])
    .unwrap();
    assert!(listing(&recorder).is_empty() && recorder.operations().is_empty());
}

#[test]
fn what_is_not_modelled_is_an_error() {
    let open = "openat(AT_FDCWD</r>, '/r/a', O_RDWR|O_CREAT, 0600) = 3</r/a>";
    for line in [
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</r/a>, 0) = 0x7f0000000000",
        "symlink('x', '/r/link') = 0",
        "rename('/r/a', '/tmp/a') = 0",
        "fallocate(3</r/a>, FALLOC_FL_ZERO_RANGE, 0, 4) = 0",
        "splice(7<pipe:[1]>, NULL, 3</r/a>, NULL, 4, 0) = 4",
        "io_uring_setup(8, {flags=0}) = 9",
    ] {
        assert!(recorded(&[open, line]).is_err(), "{line}");
    }
    recorded(&[open, "mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</r/a>, 0) = 0x7f0000000000"]).unwrap();
}
