//! Datasets of the user's in a folder, and hubs that reach nothing else.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::Path;

use temper_data::RowsRequest;
use temper_hub::{Hub, HubSettings};

/// A hub that sees nothing but a mirror; what it keeps is in `root`.
pub fn hub(root: &Path, mirror: &Path) -> Hub {
    Hub::new(HubSettings {
        mirror: Some(mirror.to_path_buf()),
        offline: true,
        stand_ins: false,
        cache: root.join("cache"),
        hub_cache: Some(root.join("hub")),
        progress: false,
        ..HubSettings::from_environment()
    })
}

/// Writes a file below `root`, with its folders.
pub fn write(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Asks for a card of `root/cards`, or for a path.
pub fn request(root: &Path, name_or_path: impl ToString) -> RowsRequest {
    RowsRequest {
        name_or_path: name_or_path.to_string(),
        card_directories: vec![root.join("cards")],
        seed: 42,
        ..RowsRequest::default()
    }
}
