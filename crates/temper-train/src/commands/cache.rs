//! `temper cache`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use serde_json::{Value, json};
use temper_hub::{CacheEntry, CacheKind, HubSettings};

use super::compare::TextTable;
use crate::TrainError;
use crate::terminal::{print, print_line, say};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Temporary files of younger age may belong to a process that has not locked them yet.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Show what the caches on this machine hold, or remove what has not been used for long
#[derive(Clone, Debug, clap::Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    action: Option<CacheAction>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum CacheAction {
    /// List what the caches hold, with sizes (the default)
    List,
    /// Remove what has not been used for some time; it is fetched or computed again when it is needed
    Prune(PruneArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct PruneArgs {
    /// Remove what has not been used for this many days; 0 removes all that no process uses now
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    older_than: u32,
    /// Only list what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Remove from the Hub's cache, too, which other programs share
    #[arg(long)]
    hub: bool,
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::Hub`] for a cache that cannot be read or written.
pub fn cache(args: &CacheArgs) -> Result<(), TrainError> {
    let settings = HubSettings::from_environment();
    match &args.action {
        None | Some(CacheAction::List) => list(&settings, args.json),
        Some(CacheAction::Prune(prune_args)) => prune(&settings, prune_args, args.json),
    }
}

/// The entries of all kinds.
fn entries(settings: &HubSettings) -> Result<Vec<CacheEntry>, TrainError> {
    let kinds = CacheKind::ALL.into_iter().map(|kind| settings.cached(kind));
    Ok(kinds.collect::<Result<Vec<_>, _>>()?.concat())
}

fn list(settings: &HubSettings, json: bool) -> Result<(), TrainError> {
    let (entries, now) = (entries(settings)?, SystemTime::now());
    let mut sizes: BTreeMap<CacheKind, u64> = CacheKind::ALL.map(|kind| (kind, 0)).into();
    for entry in &entries {
        *sizes.entry(entry.kind).or_default() += entry.bytes;
    }
    let total: u64 = sizes.values().sum();
    let (temper, hub) = (&settings.cache, settings.hub_cache_folder());
    if json {
        let sizes: BTreeMap<&str, u64> = sizes.iter().map(|(kind, bytes)| (kind.folder(), *bytes)).collect();
        let entries: Vec<Value> = entries.iter().map(|entry| described(entry, now)).collect();
        let listed = json!({ "cache": temper, "hub_cache": hub, "bytes_by_kind": sizes, "total_bytes": total,
            "entries": entries });
        return print_line(&listed.to_string());
    }
    print(&table(&entries, now))?;
    for (kind, bytes) in sizes {
        print_line(&format!("{}: {}", kind.folder(), ByteSize(bytes)))?;
    }
    print_line(&format!(
        "{} in all, in {} and in the Hub's cache {}",
        ByteSize(total),
        temper.display(),
        hub.display()
    ))
}

/// An entry as JSON.
fn described(entry: &CacheEntry, now: SystemTime) -> Value {
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    value["unused_days"] = days(entry, now).into();
    value
}

/// One line for each entry. Encoded texts are one line together, because their names are hashes.
fn table(entries: &[CacheEntry], now: SystemTime) -> String {
    let mut table = TextTable::new(&["name", "kind", "files", "size", "last used"]);
    let row = |name: &str, kind: CacheKind, files: u64, bytes: u64, used: String| {
        vec![name.into(), kind.folder().into(), files.to_string(), ByteSize(bytes).to_string(), used]
    };
    let (encoded, others): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.kind == CacheKind::Encoded);
    for entry in others {
        table.push(row(&entry.name, entry.kind, entry.files, entry.bytes, last_used(entry, now)));
    }
    if let Some(newest) = encoded.iter().max_by_key(|entry| entry.last_used) {
        let bytes = encoded.iter().map(|entry| entry.bytes).sum();
        let name = "token ids of texts";
        table.push(row(name, CacheKind::Encoded, encoded.len() as u64, bytes, last_used(newest, now)));
    }
    table.text()
}

/// Whole days since the last use; a time in the future is now.
fn days(entry: &CacheEntry, now: SystemTime) -> u64 {
    now.duration_since(entry.last_used).unwrap_or_default().as_secs() / DAY.as_secs()
}

fn last_used(entry: &CacheEntry, now: SystemTime) -> String {
    match days(entry, now) {
        _ if entry.in_use => "now".into(),
        0 => "today".into(),
        1 => "1 day ago".into(),
        days => format!("{days} days ago"),
    }
}

fn prune(settings: &HubSettings, args: &PruneArgs, json: bool) -> Result<(), TrainError> {
    let now = SystemTime::now();
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for entry in entries(settings)? {
        let is_old = days(&entry, now) >= u64::from(args.older_than);
        if !is_old || entry.kind.is_of_hub() && !args.hub {
            continue;
        }
        let is_gone = if args.dry_run { !entry.in_use } else { entry.remove()? };
        if is_gone { removed.push(entry) } else { kept.push(entry) }
    }
    if !args.dry_run {
        sweep(settings, args.hub)?;
    }
    for entry in &kept {
        say(&format!("note: {} is in use and stays", entry.path.display()));
    }
    let total: u64 = removed.iter().map(|entry| entry.bytes).sum();
    if json {
        let described = |entries: &[CacheEntry]| -> Vec<Value> {
            entries.iter().map(|entry| described(entry, now)).collect()
        };
        let pruned = json!({ "is_dry_run": args.dry_run, "bytes": total, "removed": described(&removed),
            "in_use": described(&kept) });
        return print_line(&pruned.to_string());
    }
    print(&table(&removed, now))?;
    let total = ByteSize(total);
    match args.dry_run {
        true => print_line(&format!("{total} would be removed")),
        false => print_line(&format!("removed {total}")),
    }
}

/// Removes what a killed process left half written.
fn sweep(settings: &HubSettings, of_hub: bool) -> Result<(), TrainError> {
    let parts = CacheKind::ALL.into_iter().filter(|kind| !kind.is_of_hub());
    let mut folders: Vec<_> = parts.map(|kind| settings.cache.join(kind.folder())).collect();
    folders.extend(of_hub.then(|| settings.hub_cache_folder()));
    for folder in folders.iter().filter(|folder| !Path::new(folder).is_symlink()) {
        temper_files::sweep(folder, ABANDONED)?;
    }
    Ok(())
}
