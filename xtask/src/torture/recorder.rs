//! From system calls to operations on the disk of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::descriptors::{Descriptors, OpenFile, Place};
use super::disk::{Change, Edit, Entry, Inode, Node, Operation, Tree};
use super::trace::{Call, FileName};

/// What a process did to the files below a folder.
pub struct Recorder {
    root: PathBuf,
    /// Relative paths begin here.
    current: PathBuf,
    tree: Tree,
    next: Inode,
    operations: Vec<Operation>,
    descriptors: Descriptors,
}

impl Recorder {
    /// A recorder for what is below `root`, which holds `initial`.
    pub fn new(root: &Path, current: &Path, initial: Tree) -> Self {
        Self {
            root: root.into(),
            current: current.into(),
            next: initial.free_inode(),
            tree: initial,
            operations: Vec::new(),
            descriptors: Descriptors::default(),
        }
    }

    /// What was done so far.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations, and the tree as the process left it.
    pub fn finish(self) -> (Vec<Operation>, Tree) {
        (self.operations, self.tree)
    }

    /// Takes a call. One that changes files in a way that is not modelled is an error.
    pub fn take(&mut self, call: &Call) -> Result<()> {
        if call.result.is_none_or(|result| result < 0) {
            return Ok(());
        }
        self.dispatch(call).with_context(|| format!("{}({})", call.name, short(&call.arguments)))
    }

    fn dispatch(&mut self, call: &Call) -> Result<()> {
        match call.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => self.opened(call),
            "close" => self.descriptors.close(call),
            "close_range" => self.descriptors.close_range(call),
            "dup" | "dup2" | "dup3" | "fcntl" => self.descriptors.duplicate(call),
            "clone" | "clone3" | "fork" | "vfork" => self.descriptors.fork(call),
            "chdir" => self.moved(call),
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => self.written(call),
            "copy_file_range" | "sendfile" => self.copied(call),
            "lseek" => self.sought(call),
            "ftruncate" | "truncate" => self.truncated(call),
            "fallocate" => self.allocated(call),
            "mkdir" | "mkdirat" => self.made(call),
            "rename" | "renameat" | "renameat2" => self.renamed(call),
            "link" | "linkat" => self.linked(call),
            "unlink" | "unlinkat" | "rmdir" => self.removed(call),
            "fsync" | "fdatasync" => self.synced(call),
            "sync" | "syncfs" => {
                self.operations.push(Operation::SyncAll);
                Ok(())
            }
            // They promise nothing, or are no matter of a power cut.
            "sync_file_range" | "chmod" | "fchmod" | "fchmodat" => Ok(()),
            _ => self.refused(call),
        }
    }

    /// Calls that may change files unseen: refused where they do.
    fn refused(&self, call: &Call) -> Result<()> {
        let touches = match call.name.as_str() {
            "mmap" => {
                let writes =
                    call.argument(2).contains("PROT_WRITE") && call.argument(3).contains("MAP_SHARED");
                writes && self.is_linked_inside(call.file(4)?)
            }
            "ioctl" => call.argument(1).contains("FICLONE") && self.is_linked_inside(call.file(0)?),
            "io_uring_setup" | "io_submit" => true,
            _ => !self.names(call)?.is_empty(),
        };
        if touches {
            bail!(
                "changes files in a way that power cuts are not modelled for; teach xtask/src/torture/recorder.rs"
            );
        }
        Ok(())
    }

    /// The recorded files that a call names, relative to the root.
    pub fn names(&self, call: &Call) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for index in 0..call.arguments.len() {
            if call.argument(index).starts_with('"') && !call.name.contains("write") {
                paths.push(self.path(call, index)?);
            } else if let Some(file) = call.file(index)? {
                paths.push(file.path.into());
            }
        }
        paths.extend(call.returned_path.iter().map(|file| PathBuf::from(&file.path)));
        Ok(paths.iter().filter_map(|path| self.inside(path)).collect())
    }

    fn is_linked_inside(&self, file: Option<FileName>) -> bool {
        file.is_some_and(|file| !file.unlinked && self.inside(Path::new(&file.path)).is_some())
    }

    fn opened(&mut self, call: &Call) -> Result<()> {
        let name = call.returned_path.clone().context("strace names no file")?;
        let flags = call.arguments.join(" ");
        let place = match self.inside(Path::new(&name.path)) {
            _ if name.unlinked => Place::Unlinked,
            None => Place::Outside(name.path.into()),
            Some(path) => Place::Inside(self.find_or_make(&path, &flags)?),
        };
        if let Place::Inside(inode) = place
            && (flags.contains("O_TRUNC") || call.name == "creat")
            && self.tree.content(inode).is_some_and(|content| !content.is_empty())
        {
            self.edit(inode, Edit::Truncate { length: 0 });
        }
        self.descriptors.open(call, OpenFile { place, offset: 0, appends: flags.contains("O_APPEND") })
    }

    fn find_or_make(&mut self, path: &Path, flags: &str) -> Result<Inode> {
        if let Some(inode) = self.tree.find(path) {
            return Ok(inode);
        }
        if !flags.contains("O_CREAT") {
            bail!("opens {}, of which nothing is known", path.display());
        }
        let at = self.entry(path)?;
        Ok(self.make(at, Node::File(Vec::new())))
    }

    fn make(&mut self, at: Entry, empty: Node) -> Inode {
        let inode = self.next;
        self.next += 1;
        self.change(Change::Make { at, inode, empty });
        inode
    }

    fn moved(&mut self, call: &Call) -> Result<()> {
        self.current = self.absolute(&call.text(0)?);
        Ok(())
    }

    /// The open file behind a descriptor; `None` where it does not matter.
    fn file(&mut self, call: &Call, index: usize) -> Result<Option<&mut OpenFile>> {
        let linked = self.is_linked_inside(call.file(index)?);
        let known = self.descriptors.file(call, index)?;
        if known.is_none() && linked {
            bail!("uses a file that was not seen being opened");
        }
        Ok(known)
    }

    fn written(&mut self, call: &Call) -> Result<()> {
        let mut bytes = call.bytes(1)?;
        bytes.truncate(usize::try_from(call.result.unwrap_or_default())?);
        let at = if call.name.starts_with('p') { Some(usize::try_from(call.number(3)?)?) } else { None };
        self.write(call, 0, bytes, at)
    }

    /// Writes at an offset, or where the open file is.
    fn write(&mut self, call: &Call, index: usize, bytes: Vec<u8>, at: Option<usize>) -> Result<()> {
        let Some(inode) = self.inode(call, index)? else { return Ok(()) };
        let end = self.tree.content(inode).map_or(0, <[u8]>::len);
        let Some(file) = self.file(call, index)? else { return Ok(()) };
        let offset = if file.appends { end } else { at.unwrap_or(file.offset) };
        if at.is_none() {
            file.offset = offset + bytes.len();
        }
        self.edit(inode, Edit::Write { offset, bytes });
        Ok(())
    }

    fn copied(&mut self, call: &Call) -> Result<()> {
        let (from, from_offset, to) = if call.name == "sendfile" { (1, 2, 0) } else { (0, 1, 2) };
        if self.inode(call, to)?.is_none() {
            return Ok(());
        }
        let by_file = call.name == "sendfile" || call.argument(3) == "NULL";
        if call.argument(from_offset) != "NULL" || !by_file {
            bail!("copies from or to an offset of its own");
        }
        let length = usize::try_from(call.result.unwrap_or_default())?;
        let source = self.file(call, from)?.context("its source is not known")?;
        let (place, start) = (source.place.clone(), source.offset);
        source.offset += length;
        let content = match place {
            Place::Inside(inode) => self.tree.content(inode).unwrap_or_default().to_vec(),
            Place::Outside(path) => std::fs::read(&path).with_context(|| path.display().to_string())?,
            Place::Unlinked => bail!("copies from a file without a name"),
        };
        let bytes = content.get(start..start + length).context("its source is shorter now")?.to_vec();
        self.write(call, to, bytes, None)
    }

    fn sought(&mut self, call: &Call) -> Result<()> {
        let offset = usize::try_from(call.result.unwrap_or_default())?;
        if let Some(file) = self.file(call, 0)? {
            file.offset = offset;
        }
        Ok(())
    }

    fn truncated(&mut self, call: &Call) -> Result<()> {
        let inode = if call.name == "truncate" {
            let path = self.inside(&self.absolute(&call.text(0)?));
            path.and_then(|path| self.tree.find(&path))
        } else {
            self.inode(call, 0)?
        };
        if let Some(inode) = inode {
            self.edit(inode, Edit::Truncate { length: usize::try_from(call.number(1)?)? });
        }
        Ok(())
    }

    fn allocated(&mut self, call: &Call) -> Result<()> {
        let Some(inode) = self.inode(call, 0)? else { return Ok(()) };
        let end = usize::try_from(call.number(2)? + call.number(3)?)?;
        match call.argument(1) {
            "0" if self.tree.content(inode).is_some_and(|content| content.len() < end) => {
                self.edit(inode, Edit::Truncate { length: end });
            }
            "0" | "FALLOC_FL_KEEP_SIZE" => {}
            mode => bail!("mode {mode} is not modelled"),
        }
        Ok(())
    }

    fn made(&mut self, call: &Call) -> Result<()> {
        let path = self.path(call, if call.name == "mkdir" { 0 } else { 1 })?;
        if let Some(path) = self.inside(&path) {
            let at = self.entry(&path)?;
            self.make(at, Node::Folder(BTreeMap::new()));
        }
        Ok(())
    }

    fn renamed(&mut self, call: &Call) -> Result<()> {
        let (from, to) = if call.name == "rename" { (0, 1) } else { (1, 3) };
        let (from, to) = (self.path(call, from)?, self.path(call, to)?);
        let (from, to) = match (self.inside(&from), self.inside(&to)) {
            (None, None) => return Ok(()),
            (Some(from), Some(to)) => (self.entry(&from)?, self.entry(&to)?),
            _ => bail!("moves something into or out of the recorded folder"),
        };
        let flags = call.argument(4);
        if flags.contains("EXCHANGE") {
            self.change(Change::Exchange { one: from, other: to });
        } else if flags.contains("WHITEOUT") {
            bail!("{flags} is not modelled");
        } else {
            let inode = self.tree.at(&from).context("renames what is not known")?;
            let replaced = self.tree.at(&to);
            self.change(Change::Rename { from, to, inode, replaced });
        }
        Ok(())
    }

    fn linked(&mut self, call: &Call) -> Result<()> {
        let (from, to) = if call.name == "link" { (0, 1) } else { (1, 3) };
        let (from, to) = (self.path(call, from)?, self.path(call, to)?);
        let Some(to) = self.inside(&to) else { return Ok(()) };
        let inode = self.inside(&from).and_then(|from| self.tree.find(&from));
        let inode = inode.context("links something that has no name in the recorded folder")?;
        let at = self.entry(&to)?;
        self.change(Change::Link { at, inode });
        Ok(())
    }

    fn removed(&mut self, call: &Call) -> Result<()> {
        let path = self.path(call, if call.name == "unlinkat" { 1 } else { 0 })?;
        if let Some(path) = self.inside(&path) {
            let at = self.entry(&path)?;
            let inode = self.tree.at(&at).context("removes what is not known")?;
            self.change(Change::Remove { at, inode });
        }
        Ok(())
    }

    fn synced(&mut self, call: &Call) -> Result<()> {
        if let Some(inode) = self.inode(call, 0)? {
            self.operations.push(Operation::Sync { inode });
        }
        Ok(())
    }

    fn inode(&mut self, call: &Call, index: usize) -> Result<Option<Inode>> {
        Ok(match self.file(call, index)?.map(|file| &file.place) {
            Some(Place::Inside(inode)) => Some(*inode),
            _ => None,
        })
    }

    fn change(&mut self, change: Change) {
        self.tree.change(&change);
        self.operations.push(Operation::Change(change));
    }

    fn edit(&mut self, inode: Inode, edit: Edit) {
        self.tree.edit(inode, &edit);
        self.operations.push(Operation::Edit { inode, edit });
    }

    /// The path at an argument, after the folder in the argument before, where the call takes one.
    fn path(&self, call: &Call, index: usize) -> Result<PathBuf> {
        let path = call.text(index)?;
        let folder = if index > 0 { call.file(index - 1)? } else { None };
        Ok(match folder {
            Some(folder) if !call.argument(index - 1).starts_with('"') => Path::new(&folder.path).join(path),
            _ => self.absolute(&path),
        })
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.current.join(path)
    }

    fn inside(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_path_buf)
    }

    fn entry(&self, path: &Path) -> Result<Entry> {
        self.tree.entry(path).with_context(|| format!("the folder of {} is not known", path.display()))
    }
}

/// Arguments for a message.
fn short(arguments: &[String]) -> String {
    let text = arguments.join(", ");
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests;
