//! What a power cut may leave of a file's content.

use super::disk::Edit;
use super::draw::Draw;

/// What became of content that was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// All of it is there.
    Kept,
    /// None of it is.
    Lost,
    /// Cut at some length.
    Cut,
    /// The length is there, what is after some point is zero.
    Zeroed,
    /// Some blocks are there.
    Blocks,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kept, Self::Lost, Self::Cut, Self::Zeroed, Self::Blocks];
}

/// What file systems write at once.
const BLOCK: usize = 4096;

/// A content after edits.
pub fn applied(base: &[u8], edits: &[&Edit]) -> Vec<u8> {
    let mut content = base.to_vec();
    edits.iter().for_each(|edit| edit.apply(&mut content));
    content
}

/// A synced content after edits that were not synced.
pub fn after(fate: Fate, mut content: Vec<u8>, pending: &[&Edit], draw: &mut Draw) -> Vec<u8> {
    match fate {
        Fate::Kept => pending.iter().for_each(|edit| edit.apply(&mut content)),
        Fate::Lost => {}
        Fate::Cut => {
            let whole = draw.up_to(pending.len());
            pending[..whole].iter().for_each(|edit| edit.apply(&mut content));
            if let Some(Edit::Write { offset, bytes }) = pending.get(whole) {
                let length = draw.up_to(bytes.len());
                if length > 0 {
                    Edit::Write { offset: *offset, bytes: bytes[..length].to_vec() }.apply(&mut content);
                }
            }
        }
        Fate::Zeroed => {
            // The length is there, blocks after some point are not. Bytes that were synced are not zeroed.
            let mut synced = content.len();
            let mut end = content.len();
            for edit in pending {
                edit.apply(&mut content);
                synced = synced.min(content.len());
                end = end.max(content.len());
            }
            let from = synced.max(draw.up_to(end));
            content.iter_mut().skip(from).for_each(|byte| *byte = 0);
        }
        Fate::Blocks => pending.iter().for_each(|edit| in_blocks(edit, &mut content, draw)),
    }
    content
}

/// Applies an edit, without some of its blocks.
fn in_blocks(edit: &Edit, content: &mut Vec<u8>, draw: &mut Draw) {
    let Edit::Write { offset, bytes } = edit else { return edit.apply(content) };
    let mut done = 0;
    while done < bytes.len() {
        let start = offset + done;
        let length = (BLOCK - start % BLOCK).min(bytes.len() - done);
        if draw.once_in(2) {
            Edit::Write { offset: start, bytes: bytes[done..done + length].to_vec() }.apply(content);
        }
        done += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synced_bytes_are_never_zeroed_nor_cut() {
        let more = Edit::Write { offset: 4, bytes: vec![b'x'; 10_000] };
        for stream in 0..100 {
            for fate in Fate::ALL {
                let content = after(fate, b"kept".to_vec(), &[&more], &mut Draw::new(4, stream));
                assert!(content.starts_with(b"kept") && content.len() <= 10_004, "{fate:?}");
                assert!(content[4..].iter().all(|byte| [0, b'x'].contains(byte)), "{fate:?}");
            }
        }
    }

    #[test]
    fn an_emptied_file_may_be_old_empty_or_partly_new() {
        let edits = [Edit::Truncate { length: 0 }, Edit::Write { offset: 0, bytes: b"new".to_vec() }];
        let pending: Vec<&Edit> = edits.iter().collect();
        let of = |fate, stream| after(fate, b"older".to_vec(), &pending, &mut Draw::new(5, stream));
        assert_eq!(of(Fate::Lost, 0), b"older");
        assert_eq!(of(Fate::Kept, 0), b"new");
        let cut: std::collections::BTreeSet<Vec<u8>> = (0..200).map(|stream| of(Fate::Cut, stream)).collect();
        let legal = ["older", "", "n", "ne", "new"].map(|text| text.as_bytes().to_vec());
        assert_eq!(cut, legal.into());
        let zeroed: std::collections::BTreeSet<Vec<u8>> =
            (0..200).map(|stream| of(Fate::Zeroed, stream)).collect();
        let legal = ["new", "ne\0", "n\0\0", "\0\0\0"].map(|text| text.as_bytes().to_vec());
        assert_eq!(zeroed, legal.into());
    }
}
