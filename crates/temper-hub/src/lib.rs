//! Turns the names of models and datasets into local files whose sha256 is known.
//!
//! Sources are asked in one order, always: a folder the user names, a mirror folder, the Hugging
//! Face Hub, a copy inside a Python package. When none of them can be reached, a stand-in may be
//! taken, and the result says so ([`Resolved::stand_in_for`]). No other crate downloads, and this
//! one knows nothing of tensors. Without the feature `online` it has no HTTP client: the Hub's cache is read, and nothing
//! is downloaded from it.
//!
//! ```no_run
//! use temper_hub::{Hub, HubSettings};
//!
//! let hub = Hub::new(HubSettings::from_environment());
//! let model = hub.model("bert")?;
//! if let Some(notice) = model.notice() {
//!     eprintln!("{notice}");
//! }
//! if let Some(config) = model.file("config.json") {
//!     println!("{} {}", config.sha256, config.path.display());
//! }
//! # Ok::<(), temper_hub::HubError>(())
//! ```

mod announced;
#[cfg(feature = "online")]
mod announcing;
mod archive;
mod cached;
mod catalogue;
#[cfg(feature = "online")]
mod client;
#[cfg(not(feature = "online"))]
#[path = "no_client.rs"]
mod client;
mod environment;
mod error;
mod failure;
mod files;
mod hub;
mod hub_cache;
mod location;
mod names;
mod online;
mod package;
mod pip;
mod progress;
#[cfg(feature = "online")]
mod reach;
mod resolved;
mod rules;
mod settings;
mod source;
mod transfer;
mod verify;
#[cfg(feature = "online")]
mod watch;

pub use cached::{CacheEntry, CacheKind};
pub use catalogue::{Catalogue, CatalogueEntry, NotPublicNames, catalogue};
pub use error::HubError;
pub use hub::Hub;
pub use names::near_names;
pub use resolved::{Origin, Replaced, Resolved, ResolvedFile};
pub use rules::is_inner_path;
pub use settings::HubSettings;
pub use source::{Archive, PackageSource, RepoKind, Source, WantedFile};
