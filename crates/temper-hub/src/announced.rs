//! What the Hub's headers say of a file. They are data of a stranger: hash and commit become paths
//! of the cache, so both are checked here, before any file is touched.

#[cfg(feature = "online")]
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap};

#[cfg(feature = "online")]
use crate::rules::is_commit;
use crate::verify::ContentHash;

/// A file as the Hub announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) hash: ContentHash,
    pub(crate) commit: String,
    pub(crate) size: u64,
}

/// Why an answer announces nothing that can be used.
#[cfg(feature = "online")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It lacks the Hub's headers: it comes from something in between.
    NoHub(&'static str),
    /// It has them, with values that the Hub never sends.
    Wrong(String),
}

#[cfg(feature = "online")]
impl Announced {
    /// Reads the headers of the answer about a file at `revision`.
    pub(crate) fn read(headers: &HeaderMap, revision: &str) -> Result<Self, Unusable> {
        let commit = text(headers, "x-repo-commit")?.ok_or(Unusable::NoHub("it names no commit"))?;
        if !is_commit(&commit) {
            return Err(Unusable::Wrong(format!("{commit:?} is not the hash of a commit (X-Repo-Commit)")));
        }
        if is_commit(revision) && !commit.eq_ignore_ascii_case(revision) {
            return Err(Unusable::Wrong(format!(
                "it is of the commit {commit}, and {revision} was asked for"
            )));
        }
        let tag = match text(headers, "x-linked-etag")? {
            Some(tag) => tag,
            None => text(headers, ETAG.as_str())?.ok_or(Unusable::NoHub("it has no ETag"))?,
        };
        let plain = tag.strip_prefix("W/").unwrap_or(&tag).trim_matches('"');
        let hash = ContentHash::parse(plain).ok_or_else(|| {
            Unusable::Wrong(format!("its ETag {tag:?} is neither a sha256 nor a git blob id (sha1)"))
        })?;
        Ok(Self { hash, commit: commit.to_lowercase(), size: size(headers)? })
    }
}

#[cfg(feature = "online")]
fn size(headers: &HeaderMap) -> Result<u64, Unusable> {
    let size = match text(headers, "x-linked-size")? {
        Some(size) => Some(size),
        None => text(headers, CONTENT_LENGTH.as_str())?,
    };
    let size = size.ok_or_else(|| Unusable::Wrong("it announces no size".into()))?;
    size.parse().map_err(|_| Unusable::Wrong(format!("its size {size:?} is not a number of bytes")))
}

#[cfg(feature = "online")]
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Unusable> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let readable = value.to_str().map_err(|_| Unusable::Wrong(format!("its header {name} is not text")))?;
    Ok(Some(readable.trim().to_string()))
}

#[cfg(all(test, feature = "online"))]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(changes: &[(&str, Option<&str>)]) -> Result<Announced, Unusable> {
        let tag = format!("W/\"{}\"", "0a".repeat(32));
        let good = [("x-repo-commit", COMMIT), ("etag", tag.as_str()), ("content-length", "7")];
        let mut headers = HeaderMap::new();
        let all = good.into_iter().map(|(name, value)| (name, Some(value)));
        for (name, value) in all.chain(changes.iter().copied()) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            match value {
                Some(value) => {
                    headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
                None => {
                    headers.remove(name);
                }
            }
        }
        Announced::read(&headers, "main")
    }

    #[test]
    fn the_hubs_own_headers_are_read() {
        let small = read(&[]).unwrap();
        assert_eq!((small.hash.as_str(), small.size), ("0a".repeat(32).as_str(), 7));
        assert_eq!(small.commit, COMMIT);
        let sha1 = format!("\"{COMMIT}\"");
        let linked = read(&[("x-linked-etag", Some(&sha1)), ("x-linked-size", Some("9"))]).unwrap();
        assert_eq!((linked.hash.as_str(), linked.size), (COMMIT, 9));
    }

    #[test]
    fn whatever_is_no_hash_commit_or_size_is_refused() {
        let paths = ["../../x", "/etc/x", "", "\"\"", "a b", "x\u{e9}", "..", &COMMIT[1..]];
        for value in paths {
            for header in ["etag", "x-linked-etag", "x-repo-commit"] {
                let refused = read(&[(header, Some(value))]);
                assert!(matches!(refused, Err(Unusable::Wrong(_))), "{header}: {value:?}: {refused:?}");
            }
        }
        for value in ["-1", "x", "", "99999999999999999999999"] {
            let refused = read(&[("x-linked-size", Some(value))]);
            assert!(matches!(refused, Err(Unusable::Wrong(_))), "{value:?}: {refused:?}");
        }
        assert!(matches!(read(&[("content-length", None)]), Err(Unusable::Wrong(_))));
    }

    #[test]
    fn an_answer_without_the_hubs_headers_is_not_the_hubs() {
        for header in ["x-repo-commit", "etag"] {
            assert!(matches!(read(&[(header, None)]), Err(Unusable::NoHub(_))), "{header}");
        }
    }

    #[test]
    fn another_commit_than_the_one_asked_for_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("x-repo-commit", HeaderValue::from_static(COMMIT));
        headers.insert("etag", HeaderValue::from_static(COMMIT));
        headers.insert("content-length", HeaderValue::from_static("0"));
        assert!(Announced::read(&headers, COMMIT).is_ok());
        let refused = Announced::read(&headers, &"f".repeat(40));
        assert!(matches!(refused, Err(Unusable::Wrong(_))), "{refused:?}");
    }
}
