//! What every report.html has to be: well-formed, whole, without network.

use super::Bench;

/// Reads the report of a run, and fails where it is not well-formed, reaches for the network, or lacks a part.
pub fn assert_report(bench: &Bench, run: &str, parts: &[&str]) -> String {
    let page = bench.read(&format!("runs/{run}/report.html"));
    assert_balanced(&page);
    for outside in ["src=", "url(http", "@import", "<link", "href=\"http", "xlink:href"] {
        assert!(!page.contains(outside), "{outside} is in the report");
    }
    let sections = ["curves", "scores", "errors", "trained", "cost", "data", "sources"];
    for id in sections {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "there is no section {id}");
        assert!(page.contains(&format!("<a href=\"#{id}\">")), "there is no link to {id}");
    }
    let always =
        ["<dt>training time</dt>", "data-series=", "How far each part moved", "Files and their checksums"];
    for part in always.iter().chain(parts) {
        assert!(page.contains(part), "{part} is not in the report of {run}");
    }
    page
}

/// Fails where a tag is not closed, or closed in the wrong order. Style sheets and scripts are passed over.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let tag = &rest[..end_of_tag(rest)];
        rest = &rest[tag.len() + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => {
                assert_eq!(open.pop(), Some(name), "</{name}> before {}", &rest[..rest.len().min(200)]);
            }
            _ => open.push(name),
        }
        if matches!(open.last(), Some(&("script" | "style"))) {
            let end = format!("</{name}>");
            let at = rest.find(&end).unwrap_or_else(|| panic!("<{name}> is not closed"));
            rest = &rest[at..];
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert!(page.trim_end().ends_with("</html>"));
}

/// Where a tag ends: the first `>` outside of quoted values.
fn end_of_tag(text: &str) -> usize {
    let mut quoted = false;
    let end = text.char_indices().find(|&(_, character)| {
        quoted ^= character == '"';
        character == '>' && !quoted
    });
    end.unwrap_or_else(|| panic!("a tag without end: {}", &text[..text.len().min(200)])).0
}
