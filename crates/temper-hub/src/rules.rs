//! What names from cards, indexes, servers and callers may look like: they become paths, addresses
//! and arguments of other programs.

use crate::files::stays_inside;
use crate::source::{PackageSource, Source};

/// The longest owner or name of a repository on the Hub.
const LONGEST_HUB_PART: usize = 96;

/// Whether `name` is a relative path that stays inside its folder and has no control characters:
/// what a file of a repository or a member of an archive may be called.
///
/// ```
/// assert!(temper_hub::is_inner_path("data/train-00000.parquet"));
/// assert!(!temper_hub::is_inner_path("../train.csv"));
/// ```
pub fn is_inner_path(name: &str) -> bool {
    stays_inside(name) && !name.chars().any(char::is_control)
}

/// Whether `name` has the form `org/name`, by the Hub's rules for repositories.
pub(crate) fn is_hub_id(name: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let part_is_good = |part: &str| {
        let bytes = part.as_bytes();
        bytes.len() <= LONGEST_HUB_PART
            && bytes.first().is_some_and(is_word)
            && bytes.last().is_some_and(is_word)
            && bytes.iter().all(|byte| is_word(byte) || b"-.".contains(byte))
            && !part.contains("--")
            && !part.contains("..")
    };
    name.split('/').count() == 2 && name.split('/').all(part_is_good) && !name.ends_with(".git")
}

/// Whether `text` is the hash of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hexadecimal(text)
}

/// Whether `text` consists only of hexadecimal digits.
pub(crate) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `name` can be a branch, tag or commit. It becomes a file of the cache.
pub(crate) fn is_revision(name: &str) -> bool {
    // From git-check-ref-format: what would also be hidden, an option or a pattern.
    is_inner_path(name)
        && !name.starts_with('-')
        && !name.contains("..")
        && !name.contains([' ', '~', '^', ':', '?', '*', '['])
}

/// A package's name by PEP 508.
fn is_package_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

/// A version in the characters of PEP 440: it begins with a number, perhaps after a `v`.
fn is_version(version: &str) -> bool {
    let number = version.strip_prefix('v').unwrap_or(version);
    number.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!+_-".contains(&byte))
}

impl Source {
    /// Whether each name in it can be used: the Hub's id, the package, and its files.
    ///
    /// # Errors
    /// Says which name is wrong and why, with control characters escaped.
    pub fn check(&self) -> Result<(), String> {
        if self.hub.is_none() && self.package.is_none() {
            return Err("it names neither a Hub repository nor a package".into());
        }
        match &self.hub {
            Some(id) if !is_hub_id(id) => Err(format!("{id:?} is not a Hub name `org/name`")),
            _ => self.package.as_ref().map_or(Ok(()), PackageSource::check),
        }
    }
}

impl PackageSource {
    /// As [`Source::check`], for the package.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_package_name(&self.name) {
            return Err(format!("{:?} is not the name of a package (PEP 508)", self.name));
        }
        if !is_version(&self.version) {
            return Err(format!("{:?} is not the version of a package (PEP 440)", self.version));
        }
        let is_lower_case = !self.sha256.bytes().any(|byte| byte.is_ascii_uppercase());
        if self.sha256.len() != 64 || !is_hexadecimal(&self.sha256) || !is_lower_case {
            return Err(format!("{:?} is not a sha256 in lower case", self.sha256));
        }
        for (file, member) in &self.files {
            // `outer!inner` names a member of a member.
            let path = [file.as_str()].into_iter().chain(member.splitn(2, '!'));
            if let Some(name) = path.into_iter().find(|name| !is_inner_path(name)) {
                return Err(format!("the file name {name:?} leads out of its folder, or cannot be written"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Archive;

    #[test]
    fn file_names_stay_inside_and_are_printable() {
        for good in ["a", "a/b.csv", "データ.parquet", "a b"] {
            assert!(is_inner_path(good), "{good:?}");
        }
        for bad in ["", "..", "a/../b/../../c", "/a", "a\\b", "a\nb", "a\u{1b}[2J", "a\0", "a\u{9b}"] {
            assert!(!is_inner_path(bad), "{bad:?}");
        }
    }

    #[test]
    fn hub_ids_follow_the_hubs_rules() {
        let longest = format!("org/{}", "n".repeat(96));
        for good in ["org/name", "a-b/c.d_e", "_x/y_", longest.as_str()] {
            assert!(is_hub_id(good), "{good:?}");
        }
        let too_long = format!("org/{}", "n".repeat(97));
        for bad in [
            "name",
            "a/b/c",
            "/b",
            "a/",
            "-a/b",
            "a/b-",
            ".a/b",
            "a/b.",
            "a/..",
            "a/b--c",
            "a/b..c",
            "a/b.git",
            "a/b\n",
            "a/b c",
            "ä/b",
            too_long.as_str(),
        ] {
            assert!(!is_hub_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn revisions_are_names_of_branches_tags_and_commits() {
        for good in ["main", "refs/pr/1", "v1.0", "a-branch", &"0a".repeat(20)] {
            assert!(is_revision(good), "{good:?}");
        }
        for bad in ["", "../x", "/x", "a..b", "-x", "a\nb", "a b", "a?b", "a:b"] {
            assert!(!is_revision(bad), "{bad:?}");
        }
    }

    fn package() -> PackageSource {
        PackageSource {
            name: "pack".into(),
            version: "1.0".into(),
            archive: Archive::Wheel,
            sha256: "0a".repeat(32),
            files: [("a".to_string(), "pack/a.tar.gz!b/c".to_string())].into(),
        }
    }

    #[test]
    fn names_and_versions_of_packages_are_those_of_python() {
        for (name, version) in [("pack", "1.0"), ("A.b_c-9", "v2!1.0a1.post2+local.3"), ("x", "2024.1.1")] {
            PackageSource { name: name.into(), version: version.into(), ..package() }.check().unwrap();
        }
        for name in ["", "-p", "p-", "a b", "a/b", "a\n--pre", "a==1", "a;b", "ä", "a[b]", "a\u{1b}"] {
            let refused = PackageSource { name: name.into(), ..package() }.check().unwrap_err();
            assert!(refused.contains("PEP 508") && !refused.contains(char::is_control), "{refused}");
        }
        for version in ["", "1 --pre", "1\n--pre", "*", "1.*", "-1", "x", "1/2", "1;a", "../1"] {
            let refused = PackageSource { version: version.into(), ..package() }.check().unwrap_err();
            assert!(refused.contains("PEP 440") && !refused.contains(char::is_control), "{refused}");
        }
    }

    #[test]
    fn hashes_and_members_of_packages_are_checked() {
        for sha256 in ["", "12", &"0A".repeat(32), &"0g".repeat(32)] {
            assert!(PackageSource { sha256: sha256.into(), ..package() }.check().is_err(), "{sha256}");
        }
        for (file, member) in [
            ("../a", "a"),
            ("a", "/a"),
            ("a", "../a"),
            ("a", "a!../b"),
            ("a", "a!"),
            ("a\n", "a"),
            ("a", "a\rb"),
        ] {
            let files = [(file.to_string(), member.to_string())].into();
            assert!(PackageSource { files, ..package() }.check().is_err(), "{file:?} {member:?}");
        }
    }
}
