//! The process that reads inputs: it may crash, and says on the way which input it is at.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Part;
use crate::inputs::Inputs;

/// Names the folder with a worker's order.
pub(crate) const WORKER: &str = "TEMPER_FUZZ_WORKER";
/// What a worker has to do.
pub(crate) const ORDER: &str = "order.json";
/// The number of the input that is read, and how many were accepted before it.
pub(crate) const AT: &str = "at";
/// One line per fault: the number of its input and a reason.
pub(crate) const FAULTS: &str = "faults.jsonl";
/// How long an input may take; far more than any needs on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Which inputs a worker reads.
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) next: u64,
    pub(crate) step: u64,
    pub(crate) end: u64,
    pub(crate) accepted: u64,
    pub(crate) milliseconds: Option<u64>,
}

impl Order {
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let Self { seed, next, step, end, accepted, milliseconds } = self;
        let order = json!([seed, next, step, end, accepted, milliseconds]);
        fs::write(dir.join(ORDER), order.to_string())
    }

    fn read(dir: &Path) -> io::Result<Self> {
        let order: Value = serde_json::from_slice(&fs::read(dir.join(ORDER))?)?;
        let number = |place: usize| order[place].as_u64();
        let needed = |place| number(place).ok_or_else(|| io::Error::other("not an order"));
        Ok(Self {
            seed: needed(0)?,
            next: needed(1)?,
            step: needed(2)?.max(1),
            end: needed(3)?,
            accepted: needed(4)?,
            milliseconds: number(5),
        })
    }
}

/// The folder of the order, in a worker.
pub(crate) fn order() -> Option<PathBuf> {
    std::env::var_os(WORKER).map(PathBuf::from)
}

/// What a worker reports while it runs.
struct Journal {
    at: File,
    faults: PathBuf,
    /// Kinds of faults that were reported.
    seen: HashSet<String>,
}

impl Journal {
    fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self { at: File::create(dir.join(AT))?, faults: dir.join(FAULTS), seen: HashSet::new() })
    }

    fn begin(&mut self, number: u64, accepted: u64) -> io::Result<()> {
        self.at.seek(SeekFrom::Start(0))?;
        self.at.write_all(&[number.to_le_bytes(), accepted.to_le_bytes()].concat())
    }

    fn fault(&mut self, number: u64, reason: &str) -> io::Result<()> {
        if self.seen.insert(kind(reason)) { write_fault(&self.faults, number, reason) } else { Ok(()) }
    }
}

/// What faults of one kind have in common: the place of a panic, else the words without numbers.
pub(crate) fn kind(reason: &str) -> String {
    match reason.rsplit_once(" (") {
        Some((_, place)) if reason.starts_with("panic") => place.to_owned(),
        _ => reason.replace(|letter: char| letter.is_ascii_digit(), ""),
    }
}

/// Adds a line to the faults.
pub(crate) fn write_fault(faults: &Path, number: u64, reason: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(faults)?;
    file.write_all(format!("{}\n", json!([number, reason])).as_bytes())
}

/// Reads the inputs of an order.
pub(crate) fn work(target: &str, dir: &Path, parts: &[Part<'_>]) -> io::Result<()> {
    let order = Order::read(dir)?;
    let deadline = order.milliseconds.map(|left| Instant::now() + Duration::from_millis(left));
    let inputs = Inputs::new(target, order.seed, parts)?;
    let scratch = dir.join("scratch");
    fs::create_dir_all(&scratch)?;
    let mut journal = Journal::open(dir)?;
    let current = watch(journal.faults.clone());
    let last_panic = hear_panics();
    let (mut number, mut accepted) = (order.next, order.accepted);
    while number < order.end && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let input = inputs.get(number)?;
        journal.begin(number, accepted)?;
        *current.lock().unwrap_or_else(PoisonError::into_inner) = (number, Instant::now());
        let result = panic::catch_unwind(AssertUnwindSafe(|| (input.part.check)(&input.bytes, &scratch)));
        match result {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(refused)) if input.is_seed => {
                journal.fault(number, &format!("a seed is refused: {refused}"))?
            }
            Ok(Err(_)) => {}
            Err(_) => {
                let words = last_panic.lock().unwrap_or_else(PoisonError::into_inner).clone();
                journal.fault(number, &format!("panic: {words}"))?;
            }
        }
        number = number.saturating_add(order.step);
    }
    // The end of the order is no input.
    journal.begin(number, accepted)?;
    current.lock().unwrap_or_else(PoisonError::into_inner).0 = u64::MAX;
    Ok(())
}

/// Keeps the words and the place of the last panic, and prints none.
fn hear_panics() -> Arc<Mutex<String>> {
    let last: Arc<Mutex<String>> = Arc::default();
    let heard = last.clone();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or(String::new(), |place| format!(" ({place})"));
        let words: String = panic.payload_as_str().unwrap_or("without words").chars().take(300).collect();
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = words.replace('\n', " ") + &place;
    }));
    last
}

/// Ends the process where an input takes too long: nothing else ends a thread.
fn watch(faults: PathBuf) -> Arc<Mutex<(u64, Instant)>> {
    let current = Arc::new(Mutex::new((u64::MAX, Instant::now())));
    let watched = current.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(250));
            let (number, since) = *watched.lock().unwrap_or_else(PoisonError::into_inner);
            if number != u64::MAX && since.elapsed() > PATIENCE {
                let reason = format!("it does not end within {} s", PATIENCE.as_secs());
                let told = write_fault(&faults, number, &reason);
                process::exit(if told.is_ok() { HANGS } else { 1 });
            }
        }
    });
    current
}

/// The exit code of a worker whose input does not end.
pub(crate) const HANGS: i32 = 97;
