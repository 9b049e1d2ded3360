//! Files and folders in memory, and operations that change them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};

/// Names a file or folder, whatever folders call it.
pub type Inode = usize;

/// The folder that everything is below.
pub const ROOT: Inode = 0;

/// A file's content or a folder's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Bytes.
    File(Vec<u8>),
    /// What is there under which name.
    Folder(BTreeMap<String, Inode>),
}

/// A place in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The folder.
    pub folder: Inode,
    /// The name in it.
    pub name: String,
}

/// A change of entries. Each is atomic, as journals make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new, empty file or folder.
    Make { at: Entry, inode: Inode, empty: Node },
    /// A second name.
    Link { at: Entry, inode: Inode },
    /// A name goes, of a file or of an empty folder.
    Remove { at: Entry, inode: Inode },
    /// Another name or folder; `replaced` was there before.
    Rename { from: Entry, to: Entry, inode: Inode, replaced: Option<Inode> },
    /// Two things change places.
    Exchange { one: Entry, other: Entry },
}

/// A change of a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Bytes at an offset; what is between the end and them is zero.
    Write { offset: usize, bytes: Vec<u8> },
    /// Another length; what is new is zero.
    Truncate { length: usize },
}

/// One thing that a process asked a disk to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Entries of folders change.
    Change(Change),
    /// A file's content changes.
    Edit { inode: Inode, edit: Edit },
    /// Waits until a file or folder is on the disk.
    Sync { inode: Inode },
    /// Waits until everything is.
    SyncAll,
}

impl Change {
    /// The entries that it touches.
    pub fn entries(&self) -> Vec<&Entry> {
        match self {
            Self::Make { at, .. } | Self::Link { at, .. } | Self::Remove { at, .. } => vec![at],
            Self::Rename { from, to, .. } => vec![from, to],
            Self::Exchange { one, other } => vec![one, other],
        }
    }
}

impl Edit {
    /// Changes a content.
    pub fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }
}

/// Everything below a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<Inode, Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::Folder(BTreeMap::new()))]) }
    }
}

impl Tree {
    /// What a folder on this machine holds.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_into(folder, ROOT)?;
        Ok(tree)
    }

    fn read_into(&mut self, folder: &Path, inode: Inode) -> Result<()> {
        let unreadable = || format!("{} cannot be read", folder.display());
        for entry in std::fs::read_dir(folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let at = Entry { folder: inode, name: entry.file_name().to_string_lossy().into_owned() };
            let child = self.free_inode();
            let path = entry.path();
            let kind = entry.file_type().with_context(unreadable)?;
            let empty = if kind.is_dir() { Node::Folder(BTreeMap::new()) } else { Node::File(Vec::new()) };
            self.change(&Change::Make { at, inode: child, empty });
            if kind.is_dir() {
                self.read_into(&path, child)?;
            } else if kind.is_file() {
                let bytes =
                    std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
                self.set_content(child, bytes);
            } else {
                bail!("{} is neither a file nor a folder", path.display());
            }
        }
        Ok(())
    }

    /// Writes everything below a folder, which is made.
    pub fn lay_out(&self, folder: &Path) -> Result<()> {
        self.lay_out_from(ROOT, folder)
    }

    fn lay_out_from(&self, inode: Inode, place: &Path) -> Result<()> {
        let failed = || format!("{} cannot be written", place.display());
        match &self.nodes[&inode] {
            Node::File(content) => std::fs::write(place, content).with_context(failed),
            Node::Folder(entries) => {
                std::fs::create_dir_all(place).with_context(failed)?;
                entries.iter().try_for_each(|(name, child)| self.lay_out_from(*child, &place.join(name)))
            }
        }
    }

    /// A number that is not used yet.
    pub fn free_inode(&self) -> Inode {
        self.nodes.last_key_value().map_or(ROOT, |(inode, _)| inode + 1)
    }

    /// A file's content.
    pub fn content(&self, inode: Inode) -> Option<&[u8]> {
        match self.nodes.get(&inode) {
            Some(Node::File(content)) => Some(content),
            _ => None,
        }
    }

    /// Every file's inode, linked or not.
    pub fn files(&self) -> Vec<Inode> {
        let files = self.nodes.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(inode, _)| *inode).collect()
    }

    /// Replaces a file's content.
    pub fn set_content(&mut self, inode: Inode, content: Vec<u8>) {
        self.nodes.insert(inode, Node::File(content));
    }

    /// What is at a path; `None` where nothing is.
    pub fn find(&self, path: &Path) -> Option<Inode> {
        path.components().try_fold(ROOT, |inode, part| match (part, self.nodes.get(&inode)?) {
            (Component::Normal(name), Node::Folder(entries)) => entries.get(name.to_str()?).copied(),
            (Component::CurDir, _) => Some(inode),
            _ => None,
        })
    }

    /// The entry that a path means; its folder has to be there.
    pub fn entry(&self, path: &Path) -> Option<Entry> {
        let folder = self.find(path.parent()?)?;
        Some(Entry { folder, name: path.file_name()?.to_str()?.to_owned() })
    }

    /// What is at an entry.
    pub fn at(&self, entry: &Entry) -> Option<Inode> {
        match self.nodes.get(&entry.folder)? {
            Node::Folder(entries) => entries.get(&entry.name).copied(),
            Node::File(_) => None,
        }
    }

    /// Changes entries. What the kernel did is done without a second look.
    pub fn change(&mut self, change: &Change) {
        match change {
            Change::Make { at, inode, empty } => {
                self.nodes.insert(*inode, empty.clone());
                self.set(at, Some(*inode));
            }
            Change::Link { at, inode } => self.set(at, Some(*inode)),
            Change::Remove { at, .. } => self.set(at, None),
            Change::Rename { from, to, inode, .. } => {
                self.set(from, None);
                self.set(to, Some(*inode));
            }
            Change::Exchange { one, other } => {
                let (first, second) = (self.at(one), self.at(other));
                self.set(one, second);
                self.set(other, first);
            }
        }
    }

    /// Changes a file's content.
    pub fn edit(&mut self, inode: Inode, edit: &Edit) {
        if let Some(Node::File(content)) = self.nodes.get_mut(&inode) {
            edit.apply(content);
        }
    }

    fn set(&mut self, entry: &Entry, inode: Option<Inode>) {
        if let Some(Node::Folder(entries)) = self.nodes.get_mut(&entry.folder) {
            match inode {
                Some(inode) => entries.insert(entry.name.clone(), inode),
                None => entries.remove(&entry.name),
            };
        }
    }

    /// Path and content of every file, and the path of every folder, below an inode.
    pub fn listing(&self, inode: Inode) -> BTreeMap<String, Option<&[u8]>> {
        let mut listing = BTreeMap::new();
        self.list_into(inode, "", &mut listing);
        listing
    }

    fn list_into<'a>(&'a self, inode: Inode, prefix: &str, listing: &mut BTreeMap<String, Option<&'a [u8]>>) {
        let Some(Node::Folder(entries)) = self.nodes.get(&inode) else { return };
        for (name, child) in entries {
            let path = format!("{prefix}{name}");
            listing.insert(path.clone(), self.content(*child));
            self.list_into(*child, &(path + "/"), listing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(folder: Inode, name: &str) -> Entry {
        Entry { folder, name: name.into() }
    }

    #[test]
    fn writes_past_the_end_leave_zeros() {
        let mut content = b"ab".to_vec();
        Edit::Write { offset: 4, bytes: b"c".to_vec() }.apply(&mut content);
        assert_eq!(content, b"ab\0\0c");
        Edit::Truncate { length: 1 }.apply(&mut content);
        assert_eq!(content, b"a");
    }

    #[test]
    fn a_folder_keeps_its_files_when_it_is_renamed_or_exchanged() {
        let mut tree = Tree::default();
        for (name, inode) in [("new", 1), ("old", 2)] {
            let empty = Node::Folder(BTreeMap::new());
            tree.change(&Change::Make { at: entry(ROOT, name), inode, empty });
        }
        tree.change(&Change::Make { at: entry(1, "file"), inode: 3, empty: Node::File(Vec::new()) });
        tree.edit(3, &Edit::Write { offset: 0, bytes: b"x".to_vec() });
        tree.change(&Change::Exchange { one: entry(ROOT, "new"), other: entry(ROOT, "old") });
        assert_eq!(tree.find(Path::new("old/file")), Some(3));
        assert_eq!(tree.find(Path::new("new/file")), None);
        tree.change(&Change::Remove { at: entry(ROOT, "new"), inode: 2 });
        assert_eq!(
            tree.listing(ROOT),
            BTreeMap::from([("old".into(), None), ("old/file".into(), Some(&b"x"[..]))])
        );
    }

    #[test]
    fn what_is_laid_out_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.change(&Change::Make { at: entry(ROOT, "a"), inode: 1, empty: Node::Folder(BTreeMap::new()) });
        tree.change(&Change::Make { at: entry(1, "b"), inode: 2, empty: Node::File(Vec::new()) });
        tree.set_content(2, vec![0, 255]);
        tree.lay_out(&folder.path().join("copy")).unwrap();
        assert_eq!(Tree::read(&folder.path().join("copy")).unwrap(), tree);
    }
}
