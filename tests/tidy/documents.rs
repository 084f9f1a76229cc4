//! Reads the Markdown of the tree and follows its relative links.

use crate::source::{files_under, read, relative};
use std::path::{Path, PathBuf};

/// Every Markdown file of ours: the top level, `docs/`, `crates/` and `tests/`.
pub fn all(root: &Path) -> Vec<PathBuf> {
    let top = std::fs::read_dir(root).expect("the workspace root is readable");
    let mut found: Vec<PathBuf> = top
        .map(|entry| entry.expect("a directory entry is readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    for folder in ["docs", "crates", "tests"] {
        found.extend(files_under(&root.join(folder), "md"));
    }
    found.sort();
    found
}

/// Follows every relative link: how many there were, and which lead nowhere.
pub fn check_links(root: &Path, documents: &[PathBuf]) -> (usize, Vec<String>) {
    let mut seen = 0;
    let mut broken = Vec::new();
    for document in documents {
        for link in links(&read(document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            if let Err(why) = follow(document, &link) {
                broken.push(format!("{}: {link}: {why}", relative(root, document)));
            }
        }
    }
    (seen, broken)
}

fn follow(document: &Path, link: &str) -> Result<(), String> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        document.to_path_buf()
    } else {
        // Cannot fail: a document is a file in a folder.
        document.parent().expect("a file has a folder").join(file)
    };
    if !target.exists() {
        return Err("no such file".to_string());
    }
    if !heading.is_empty() && !anchors(&read(&target)).iter().any(|a| a == heading) {
        return Err("no such heading".to_string());
    }
    Ok(())
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let mut rest = line.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push(rest[..end].to_string());
                rest = &rest[end..];
            }
        }
    }
    found
}

/// The anchors a reader's browser makes of the headings: lower case, spaces to hyphens, no
/// punctuation.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// The lines outside fenced blocks, with `code` in a line taken out.
fn prose(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && line.starts_with('#') {
            lines.push(line.to_string());
        } else if !fenced {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

mod tests {
    use super::{anchors, links};

    #[test]
    fn links_in_code_do_not_count() {
        let text = "see [a](b.md) and `[c](d.md)`\n```\n[e](f.md)\n```\n[g](h.md#i) [j](k)";
        assert_eq!(links(text), ["b.md", "h.md#i", "k"]);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(
            anchors("# The `x509` crate, now\n#### Two-fold"),
            ["the-x509-crate-now", "two-fold"]
        );
    }
}
