//! Runs a process to its end, alone or under strace.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Calls that change files, or say which file a descriptor means: what the model of a disk needs.
const RECORDED: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "creat",
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "chdir",
    "fchdir",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "copy_file_range",
    "sendfile",
    "lseek",
    "ftruncate",
    "truncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "fdatasync",
    "sync",
    "syncfs",
    "sync_file_range",
    "chmod",
    "fchmod",
    "fchmodat",
    // Refused where they touch the recorded files.
    "mmap",
    "ioctl",
    "io_uring_setup",
    "io_submit",
    "splice",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "setxattr",
    "fsetxattr",
    "open_by_handle_at",
];

/// How a process ended.
pub struct Ended {
    /// Its status; `None` where it hung and was killed.
    pub status: Option<ExitStatus>,
    /// What it wrote on stderr.
    pub stderr: String,
}

impl Ended {
    /// The exit code, where it ended by itself.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// For messages: `exit code 1`, `signal 9`.
    pub fn says(&self) -> String {
        let Some(status) = self.status else { return "no end within three minutes".into() };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".into(),
        }
    }
}

/// What strace does to a system call.
pub struct Injection {
    /// The call's name.
    pub call: String,
    /// Which one of a thread: the first thread that gets there.
    pub nth: usize,
    /// What happens: `signal=SIGKILL` or `error=ENOSPC`.
    pub what: String,
    /// Whether it happens to every later one, too.
    pub lasts: bool,
}

/// Runs a command in a folder, with its output in files there.
pub fn run(arguments: &[OsString], folder: &Path) -> Result<Ended> {
    let (program, rest) = arguments.split_first().context("no command")?;
    let stderr = folder.join("stderr.txt");
    let mut child = Command::new(program)
        .args(rest)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("HF_HUB_OFFLINE", "1")
        // Two of these run at once.
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(create(&folder.join("stdout.txt"))?)
        .stderr(create(&stderr)?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("{} could not be started", program.display()))?;
    let status = wait(&mut child)?;
    let text = std::fs::read(&stderr).with_context(|| stderr.display().to_string())?;
    Ok(Ended { status, stderr: String::from_utf8_lossy(&text).into_owned() })
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("{} cannot be written", path.display()))
}

fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(Duration::from_millis(5));
    }
    // The whole group: a signal only to strace would leave the traced process running.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
    child.wait()?;
    Ok(None)
}

/// Refuses to begin without a strace that works here.
pub fn find_strace(folder: &Path) -> Result<()> {
    let arguments = ["strace", "-f", "-o", "/dev/null", "true"].map(OsString::from);
    match run(&arguments, folder) {
        Ok(ended) if ended.code() == Some(0) => Ok(()),
        Ok(ended) => bail!("strace cannot trace a process here: {}", ended.stderr.trim()),
        Err(error) => Err(error.context(
            "cargo xtask torture needs strace: apt-get install strace, dnf install strace or apk add strace",
        )),
    }
}

/// A command under a strace that writes every change of files to a log.
pub fn recorded(arguments: &[OsString], log: &Path) -> Vec<OsString> {
    let calls: Vec<String> = RECORDED.iter().map(|call| format!("?{call}")).collect();
    // Strings whole, whatever is written at once.
    strace(
        arguments,
        log,
        &["-s".into(), "1000000000".into(), "-e".into(), format!("trace={}", calls.join(","))],
    )
}

/// A command under a strace that strikes at one system call, and logs those of its name.
///
/// Without `--seccomp-bpf`: strace 6.1 then loses signals that are injected.
pub fn injected(arguments: &[OsString], injection: &Injection, log: &Path) -> Vec<OsString> {
    let Injection { call, nth, what, lasts } = injection;
    let all = if *lasts { "+" } else { "" };
    let inject = format!("inject={call}:{what}:when={nth}{all}");
    strace(arguments, log, &["-e".into(), format!("trace={call}"), "-e".into(), inject])
}

fn strace(arguments: &[OsString], log: &Path, options: &[String]) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["strace", "-f", "-y", "-xx", "-o"].map(OsString::from).to_vec();
    all.push(log.into());
    all.extend(options.iter().map(OsString::from));
    all.push("--".into());
    all.extend_from_slice(arguments);
    all
}

/// The log of a process in a trial's folder.
pub fn log_in(folder: &Path) -> PathBuf {
    folder.join("strace.txt")
}
