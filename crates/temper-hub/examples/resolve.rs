//! Prints where the files of a model are: `cargo run --release -p temper-hub --example resolve bert`.

use std::process::ExitCode;

use temper_hub::{Hub, HubSettings};

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: resolve MODEL");
        return ExitCode::from(2);
    };
    let hub = Hub::new(HubSettings::from_environment());
    match hub.model(&name) {
        Ok(model) => {
            if let Some(notice) = model.notice() {
                eprintln!("{notice}");
            }
            for file in &model.files {
                println!("{} {:>12} {}", file.sha256, file.bytes, file.path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 4 })
        }
    }
}
