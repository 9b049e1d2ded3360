//! The one way in which Temper writes: a file or a folder is complete or absent, also after a crash or a power cut.
//!
//! - [`write()`] and [`fill`] make a file: a temporary file in the same folder, fsync, rename, fsync of the folder.
//! - [`publish`] makes a folder: everything in it is synced, then one rename puts it into its place. What was there
//!   before is removed afterwards.
//! - [`Owner`] is the one process that works in a folder.
//! - [`use_until_exit`] says what a process reads, so that no other process removes it: [`lock_unused`] refuses what is in use.
//! - [`sweep`] removes temporary files and folders that a killed process left.
//! - [`Checksums`] are the sha256 of a folder's files, which a later reader compares.
//!
//! Temporary names begin with [`TEMPORARY`]. Nothing with another name is ever removed.

mod checksums;
mod error;
mod folder;
mod hash;
mod in_use;
mod owner;
mod sync;
mod temporary;
mod write;

pub use checksums::Checksums;
pub use error::FileError;
pub use folder::{discard, publish, publish_new, remove_folder};
pub use hash::{hex, read_in_pieces, sha256_of};
pub use in_use::{is_in_use, lock_unused, use_until_exit};
pub use owner::{Owner, wait_for};
pub use sync::{create_folders, sync_folder};
pub use temporary::{TEMPORARY, sweep};
pub use write::{fill, write};
