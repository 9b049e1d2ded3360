//! What a power cut may leave of recorded operations, as ext4, XFS and Btrfs behave.
//!
//! Content of a file that was not synced may be missing, cut at any length, or zero. A change of entries is
//! certain after a sync of one of its folders, and a file's first entry after a sync of the file. Of other
//! changes a journal keeps a prefix ([`Order::Journal`]); POSIX promises less: any subset that respects
//! dependencies ([`Order::Any`]). Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), describe
//! both; SQLite's tests do the same for single files.

use std::collections::BTreeMap;

use super::content::{Fate, after, applied};
use super::disk::{Change, Edit, Inode, Node, Operation, Tree};
use super::draw::Draw;

/// Which changes of entries may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All after some point.
    Journal,
    /// Any on which nothing depends that is there.
    Any,
}

/// Operations before a power cut.
pub struct PowerCut<'a> {
    initial: &'a Tree,
    operations: &'a [Operation],
    /// Changes of entries.
    changes: Vec<&'a Change>,
    /// For each change those that it needs, by place in `changes`.
    needs: Vec<Vec<usize>>,
    /// For each change whether it is certain.
    certain: Vec<bool>,
}

impl<'a> PowerCut<'a> {
    /// A cut after `operations`, which began with `initial` on the disk.
    pub fn new(initial: &'a Tree, operations: &'a [Operation]) -> Self {
        let changes: Vec<&Change> = operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Change(change) => Some(change),
                _ => None,
            })
            .collect();
        let needs = needs(&changes);
        let mut cut = Self { initial, operations, certain: vec![false; changes.len()], changes, needs };
        cut.mark_certain();
        cut
    }

    fn mark_certain(&mut self) {
        // The changes so far that a sync of an inode makes certain.
        let mut awaiting: BTreeMap<Inode, Vec<usize>> = BTreeMap::new();
        let mut index = 0;
        for operation in self.operations {
            match operation {
                Operation::Change(change) => {
                    for inode in synced_with(change) {
                        awaiting.entry(inode).or_default().push(index);
                    }
                    index += 1;
                }
                Operation::Sync { inode } => {
                    let synced = awaiting.remove(inode).unwrap_or_default();
                    synced.into_iter().for_each(|index| self.certain[index] = true);
                }
                Operation::SyncAll => self.certain[..index].fill(true),
                Operation::Edit { .. } => {}
            }
        }
        // What is needed comes before what needs it.
        for index in (0..self.changes.len()).rev() {
            if self.certain[index] {
                self.needs[index].iter().for_each(|needed| self.certain[*needed] = true);
            }
        }
    }

    /// What is there whatever the disk did: certain changes, synced content.
    pub fn certain(&self) -> Tree {
        self.tree(&self.certain, |base, synced, _| applied(base, synced))
    }

    /// One legal state.
    pub fn draw(&self, order: Order, draw: &mut Draw) -> Tree {
        let included = match order {
            Order::Journal => self.prefix(draw),
            Order::Any => self.subset(draw),
        };
        // All files alike, each with a fate of its own, or most of them whole.
        let common = draw.pick(&Fate::ALL).copied().unwrap_or(Fate::Kept);
        let style = draw.below(3);
        self.tree(&included, |base, synced, pending| {
            let fate = match style {
                0 => common,
                1 => draw.pick(&Fate::ALL).copied().unwrap_or(common),
                _ if draw.once_in(8) => common,
                _ => Fate::Kept,
            };
            after(fate, applied(base, synced), pending, draw)
        })
    }

    fn prefix(&self, draw: &mut Draw) -> Vec<bool> {
        let shortest = self.certain.iter().rposition(|certain| *certain).map_or(0, |last| last + 1);
        let open = self.changes.len() - shortest;
        let length = match draw.below(4) {
            0 => shortest,
            1 => self.changes.len(),
            _ => shortest + draw.up_to(open),
        };
        (0..self.changes.len()).map(|index| index < length).collect()
    }

    fn subset(&self, draw: &mut Draw) -> Vec<bool> {
        // Mostly there, half there or mostly missing; or all but one.
        let out_of_ten = [9, 5, 1, 10][draw.below(4)];
        let missing = if out_of_ten == 10 { draw.below(self.changes.len()) } else { self.changes.len() };
        let mut included = self.certain.clone();
        for index in 0..self.changes.len() {
            let wanted = index != missing && draw.below(10) < out_of_ten;
            included[index] |= wanted && self.needs[index].iter().all(|needed| included[*needed]);
        }
        included
    }

    /// The tree of some changes, with contents that `content` derives from what a file held at first, of synced
    /// edits, and of those that were not.
    fn tree(&self, included: &[bool], mut content: impl FnMut(&[u8], &[&Edit], &[&Edit]) -> Vec<u8>) -> Tree {
        let mut tree = self.initial.clone();
        for (change, _) in self.changes.iter().zip(included).filter(|(_, included)| **included) {
            tree.change(change);
        }
        let mut edits = self.edits();
        for inode in tree.files() {
            if let Some((synced, pending)) = edits.remove(&inode) {
                let base = self.initial.content(inode).unwrap_or_default();
                tree.set_content(inode, content(base, &synced, &pending));
            }
        }
        tree
    }

    /// The edits of each file: those before its last sync, and the others.
    fn edits(&self) -> BTreeMap<Inode, (Vec<&'a Edit>, Vec<&'a Edit>)> {
        let mut edits: BTreeMap<Inode, (Vec<&Edit>, Vec<&Edit>)> = BTreeMap::new();
        for operation in self.operations {
            match operation {
                Operation::Edit { inode, edit } => edits.entry(*inode).or_default().1.push(edit),
                Operation::Sync { inode } => {
                    if let Some((synced, pending)) = edits.get_mut(inode) {
                        synced.append(pending);
                    }
                }
                Operation::SyncAll => {
                    edits.values_mut().for_each(|(synced, pending)| synced.append(pending));
                }
                Operation::Change(_) => {}
            }
        }
        edits
    }
}

/// What has to be synced for a change to be certain: one of its folders, or the file that it makes.
fn synced_with(change: &Change) -> Vec<Inode> {
    let mut inodes: Vec<Inode> = change.entries().iter().map(|entry| entry.folder).collect();
    if let Change::Make { inode, empty: Node::File(_), .. } = change {
        inodes.push(*inode);
    }
    inodes
}

/// The earlier changes without which each cannot be: the last of the same entry; those that made the inodes
/// that it speaks of; and, where a folder goes, everything that emptied it.
fn needs(changes: &[&Change]) -> Vec<Vec<usize>> {
    let mut last: BTreeMap<(Inode, &str), usize> = BTreeMap::new();
    let mut made: BTreeMap<Inode, usize> = BTreeMap::new();
    let mut all = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let entries = change.entries();
        let mut needed: Vec<usize> = Vec::new();
        for entry in &entries {
            needed.extend(last.get(&(entry.folder, entry.name.as_str())));
            needed.extend(made.get(&entry.folder));
        }
        let (linked, gone) = match change {
            Change::Link { inode, .. } => (Some(*inode), None),
            Change::Remove { inode, .. } => (None, Some(*inode)),
            Change::Rename { replaced, .. } => (None, *replaced),
            Change::Make { .. } | Change::Exchange { .. } => (None, None),
        };
        needed.extend(linked.and_then(|inode| made.get(&inode)));
        if let Some(folder) = gone {
            needed.extend(last.range((folder, "")..(folder + 1, "")).map(|(_, index)| index));
        }
        for entry in entries {
            last.insert((entry.folder, entry.name.as_str()), index);
        }
        if let Change::Make { inode, .. } = change {
            made.insert(*inode, index);
        }
        all.push(needed);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::disk::{Entry, ROOT};
    use super::*;

    const FILE: Inode = 10;
    const FOLDER: Inode = 20;

    fn at(folder: Inode, name: &str) -> Entry {
        Entry { folder, name: name.into() }
    }

    fn make_file(folder: Inode, name: &str, inode: Inode) -> Operation {
        Operation::Change(Change::Make { at: at(folder, name), inode, empty: Node::File(Vec::new()) })
    }

    fn make_folder(name: &str, inode: Inode) -> Operation {
        let empty = Node::Folder(BTreeMap::new());
        Operation::Change(Change::Make { at: at(ROOT, name), inode, empty })
    }

    fn write(inode: Inode, offset: usize, bytes: &[u8]) -> Operation {
        Operation::Edit { inode, edit: Edit::Write { offset, bytes: bytes.into() } }
    }

    fn rename(from: &str, to: &str, inode: Inode, replaced: Option<Inode>) -> Operation {
        Operation::Change(Change::Rename { from: at(ROOT, from), to: at(ROOT, to), inode, replaced })
    }

    fn remove(folder: Inode, name: &str, inode: Inode) -> Operation {
        Operation::Change(Change::Remove { at: at(folder, name), inode })
    }

    /// A tree with one file, `a`, that says `old`.
    fn with_old() -> Tree {
        let mut tree = Tree::default();
        tree.change(&Change::Make { at: at(ROOT, "a"), inode: 1, empty: Node::File(Vec::new()) });
        tree.set_content(1, b"old".to_vec());
        tree
    }

    /// What many draws find at a path, in both orders.
    fn found(initial: &Tree, operations: &[Operation], path: &str) -> BTreeSet<Option<Vec<u8>>> {
        let cut = PowerCut::new(initial, operations);
        let orders = [Order::Journal, Order::Any];
        let states = (0..600).map(|stream| cut.draw(orders[stream % 2], &mut Draw::new(1, stream as u64)));
        states
            .map(|tree| tree.find(Path::new(path)).map(|inode| tree.content(inode).unwrap_or(b"/").to_vec()))
            .collect()
    }

    fn set(contents: &[Option<&str>]) -> BTreeSet<Option<Vec<u8>>> {
        contents.iter().map(|content| content.map(|text| text.as_bytes().to_vec())).collect()
    }

    /// Temporary file, write, sync, rename, sync of the folder.
    fn replacement() -> Vec<Operation> {
        vec![
            make_file(ROOT, "tmp", FILE),
            write(FILE, 0, b"new"),
            Operation::Sync { inode: FILE },
            rename("tmp", "a", FILE, Some(1)),
            Operation::Sync { inode: ROOT },
        ]
    }

    #[test]
    fn a_replaced_file_is_old_or_new_and_new_behind_the_sync_of_its_folder() {
        let operations = replacement();
        for cut in 0..=3 {
            assert_eq!(found(&with_old(), &operations[..cut], "a"), set(&[Some("old")]), "{cut}");
        }
        assert_eq!(found(&with_old(), &operations[..4], "a"), set(&[Some("old"), Some("new")]));
        assert_eq!(found(&with_old(), &operations, "a"), set(&[Some("new")]));
    }

    #[test]
    fn without_a_sync_of_the_file_its_content_may_be_anything_of_its_own() {
        let mut operations = replacement();
        operations.remove(2);
        let found = found(&with_old(), &operations, "a");
        let legal =
            set(&[Some(""), Some("n"), Some("ne"), Some("new"), Some("n\0\0"), Some("ne\0"), Some("\0\0\0")]);
        assert_eq!(found, legal);
    }

    #[test]
    fn removing_first_may_leave_neither() {
        let operations = [remove(ROOT, "a", 1), rename("b", "a", 2, None)];
        let mut initial = with_old();
        initial.change(&Change::Make { at: at(ROOT, "b"), inode: 2, empty: Node::File(Vec::new()) });
        initial.set_content(2, b"new".to_vec());
        assert_eq!(found(&initial, &operations, "a"), set(&[None, Some("old"), Some("new")]));
    }

    #[test]
    fn an_exchange_never_leaves_nothing() {
        let operations = [
            make_file(ROOT, "tmp", FILE),
            write(FILE, 0, b"new"),
            Operation::Sync { inode: FILE },
            Operation::Change(Change::Exchange { one: at(ROOT, "tmp"), other: at(ROOT, "a") }),
            remove(ROOT, "tmp", 1),
        ];
        assert_eq!(found(&with_old(), &operations, "a"), set(&[Some("old"), Some("new")]));
    }

    #[test]
    fn a_sync_of_a_file_keeps_its_first_entry_and_the_folders_above() {
        let operations = [
            make_folder("d", FOLDER),
            make_file(FOLDER, "f", FILE),
            write(FILE, 0, b"x"),
            Operation::Sync { inode: FILE },
        ];
        assert_eq!(found(&Tree::default(), &operations, "d/f"), set(&[Some("x")]));
        assert_eq!(
            found(&Tree::default(), &operations[..3], "d/f"),
            set(&[None, Some(""), Some("x"), Some("\0")])
        );
    }

    #[test]
    fn a_folder_is_removed_behind_its_files_alone() {
        let operations = [
            make_folder("d", FOLDER),
            make_file(FOLDER, "f", FILE),
            Operation::Sync { inode: FILE },
            Operation::Sync { inode: ROOT },
            remove(FOLDER, "f", FILE),
            remove(ROOT, "d", FOLDER),
        ];
        let initial = Tree::default();
        let cut = PowerCut::new(&initial, &operations);
        let mut seen = BTreeSet::new();
        for stream in 0..200 {
            let tree = cut.draw(Order::Any, &mut Draw::new(2, stream));
            seen.insert((tree.find(Path::new("d")).is_some(), tree.find(Path::new("d/f")).is_some()));
        }
        assert_eq!(seen, BTreeSet::from([(true, true), (true, false), (false, false)]));
    }

    #[test]
    fn a_journal_keeps_a_prefix_and_posix_any_subset() {
        let operations = [make_file(ROOT, "x", 11), make_file(ROOT, "y", 12)];
        let initial = Tree::default();
        let cut = PowerCut::new(&initial, &operations);
        let seen = |order| -> BTreeSet<(bool, bool)> {
            let trees = (0..200).map(|stream| cut.draw(order, &mut Draw::new(3, stream)));
            trees
                .map(|tree| (tree.find(Path::new("x")).is_some(), tree.find(Path::new("y")).is_some()))
                .collect()
        };
        assert_eq!(seen(Order::Journal), BTreeSet::from([(false, false), (true, false), (true, true)]));
        assert!(seen(Order::Any).contains(&(false, true)));
    }

    #[test]
    fn what_was_synced_stays_under_later_edits() {
        let operations = [
            make_file(ROOT, "log", FILE),
            write(FILE, 0, b"one"),
            Operation::Sync { inode: FILE },
            write(FILE, 3, b"two"),
        ];
        for content in found(&Tree::default(), &operations, "log") {
            assert!(content.unwrap().starts_with(b"one"));
        }
    }

    #[test]
    fn certain_is_what_was_synced() {
        let operations = replacement();
        let initial = with_old();
        let certain = |end: usize| {
            let tree = PowerCut::new(&initial, &operations[..end]).certain();
            tree.content(tree.find(Path::new("a")).unwrap()).unwrap().to_vec()
        };
        assert_eq!((certain(4), certain(5)), (b"old".to_vec(), b"new".to_vec()));
    }
}
