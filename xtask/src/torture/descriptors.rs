//! Which descriptor of which process means which open file.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Result;

use super::disk::Inode;
use super::trace::Call;

/// What `open` makes; several descriptors may share it.
pub struct OpenFile {
    /// The file.
    pub place: Place,
    /// Where the next write goes.
    pub offset: usize,
    /// Whether each write goes to the end.
    pub appends: bool,
}

/// Where an open file is.
#[derive(Clone)]
pub enum Place {
    /// Below the recorded folder.
    Inside(Inode),
    /// There, without a name: nothing of it is left after a power cut.
    Unlinked,
    /// Elsewhere.
    Outside(PathBuf),
}

/// The descriptors of all recorded processes.
#[derive(Default)]
pub struct Descriptors {
    /// Threads of one process share a table; one that is not listed is of the first process, whose
    /// `clone` comes later in the log.
    tables: HashMap<u32, usize>,
    tables_made: usize,
    numbers: HashMap<(usize, i32), usize>,
    open: Vec<OpenFile>,
}

impl Descriptors {
    /// The open file behind an argument.
    pub fn file(&mut self, call: &Call, index: usize) -> Result<Option<&mut OpenFile>> {
        let number = (self.table(call.thread), call.descriptor(index)?);
        Ok(self.numbers.get(&number).and_then(|open| self.open.get_mut(*open)))
    }

    /// The call returned a descriptor of this file.
    pub fn open(&mut self, call: &Call, file: OpenFile) -> Result<()> {
        let number = i32::try_from(call.result.unwrap_or_default())?;
        self.numbers.insert((self.table(call.thread), number), self.open.len());
        self.open.push(file);
        Ok(())
    }

    /// `close`
    pub fn close(&mut self, call: &Call) -> Result<()> {
        self.numbers.remove(&(self.table(call.thread), call.descriptor(0)?));
        Ok(())
    }

    /// `close_range`
    pub fn close_range(&mut self, call: &Call) -> Result<()> {
        if call.argument(2).contains("CLOEXEC") {
            return Ok(());
        }
        let (table, first, last) = (self.table(call.thread), call.number(0)?, call.number(1)?);
        self.numbers.retain(|(of, number), _| {
            *of != table || !u64::try_from(*number).is_ok_and(|number| (first..=last).contains(&number))
        });
        Ok(())
    }

    /// `dup` and its like, and `fcntl`.
    pub fn duplicate(&mut self, call: &Call) -> Result<()> {
        if call.name == "fcntl" && !call.argument(1).contains("F_DUPFD") {
            return Ok(());
        }
        let table = self.table(call.thread);
        let copy = (table, i32::try_from(call.result.unwrap_or_default())?);
        match self.numbers.get(&(table, call.descriptor(0)?)).copied() {
            Some(open) => self.numbers.insert(copy, open),
            None => self.numbers.remove(&copy),
        };
        Ok(())
    }

    /// `clone` and its like: a thread shares the table, a process gets a copy.
    pub fn fork(&mut self, call: &Call) -> Result<()> {
        let child = u32::try_from(call.result.unwrap_or_default())?;
        let parent = self.table(call.thread);
        if call.arguments.join(" ").contains("CLONE_FILES") {
            self.tables.insert(child, parent);
            return Ok(());
        }
        self.tables_made += 1;
        let table = self.tables_made;
        let inherited = self.numbers.iter().filter(|((of, _), _)| *of == parent);
        let copies: Vec<_> = inherited.map(|((_, number), open)| ((table, *number), *open)).collect();
        self.numbers.extend(copies);
        self.tables.insert(child, table);
        Ok(())
    }

    fn table(&self, thread: u32) -> usize {
        self.tables.get(&thread).copied().unwrap_or_default()
    }
}
