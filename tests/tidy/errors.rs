//! The stable error codes in the source, and those on `docs/errors.md`.

use crate::source::{files_under, read};
use std::collections::BTreeSet;
use std::path::Path;

/// Every code that an error of the product can have: the texts in functions called `code` and `classify`.
pub fn in_source(root: &Path) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for file in files_under(&root.join("crates"), "rs") {
        let text = read(&file);
        for head in [
            "fn code(&self) -> &'static str {",
            "fn code(self) -> &'static str {",
            "fn code(&self) -> String {",
            "fn classify(&self)",
        ] {
            for (at, _) in text.match_indices(head) {
                // A method's body ends where its brace closes at the method's own indentation.
                let body = &text[at..];
                let end = body.find("\n    }\n").unwrap_or(body.len());
                codes.extend(literals(&body[..end]));
            }
        }
    }
    codes
}

/// Every code in the first column of a table on the page.
pub fn in_document(root: &Path) -> BTreeSet<String> {
    let page = read(&root.join("docs/errors.md"));
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(code, _)| code.to_owned())
        .collect()
}

fn literals(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .map(str::to_owned)
}
