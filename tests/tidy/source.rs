//! Reads Rust source the way the tidy rules need it: without comments, without text in quotes and
//! without test code, but with every line where it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file, and what is left of it once everything that is not product code is blanked out.
pub struct SourceFile {
    /// Path from the workspace root, with `/` between the parts.
    pub name: String,
    /// The file as it is.
    pub text: String,
    /// The same lines with comments, literals and `#[cfg(test)]` items replaced by spaces.
    pub code: String,
}

impl SourceFile {
    /// The lines of product code that match, each as `name:line: text`.
    pub fn lines_where(&self, matches: impl Fn(&str) -> bool) -> Vec<String> {
        self.code
            .lines()
            .zip(self.text.lines())
            .enumerate()
            .filter(|(_, (code, _))| matches(code))
            .map(|(index, (_, text))| format!("{}:{}: {}", self.name, index + 1, text.trim()))
            .collect()
    }
}

/// Every `.rs` file under `folder`, sorted, with the files that only a `#[cfg(test)] mod name;`
/// brings in left out.
pub fn product_files(root: &Path, folder: &str) -> Vec<SourceFile> {
    let paths = files_under(&root.join(folder), "rs");
    let mut test_modules = BTreeSet::new();
    let mut files = Vec::new();
    for path in &paths {
        let text = read(path);
        let (code, modules) = product_code(&text);
        for module in modules {
            // An attribute counts from the folder the file is in, a name from the module's own.
            let folder = path.parent().unwrap_or(Path::new(""));
            if module.ends_with(".rs") {
                test_modules.insert(folder.join(module));
            } else {
                test_modules.insert(children_of(path).join(format!("{module}.rs")));
                test_modules.insert(children_of(path).join(module));
            }
        }
        files.push((path.clone(), text, code));
    }
    files
        .into_iter()
        .filter(|(path, _, _)| !path.ancestors().any(|above| test_modules.contains(above)))
        .map(|(path, text, code)| SourceFile {
            name: relative(root, &path),
            text,
            code,
        })
        .collect()
}

/// Every file under `folder` whose name ends in `.extension`, sorted.
pub fn files_under(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        let entries = fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display()));
        for entry in entries {
            let path = entry.expect("a directory entry is readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The file's text. A file that cannot be read is a broken checkout, so it ends the test.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The path from the workspace root, with `/` between the parts.
pub fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Where `mod name;` inside this file is looked for.
fn children_of(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    if stem == "lib" || stem == "main" || stem == "mod" {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    }
}

/// The text with everything that is not product code blanked out, and the modules that
/// `#[cfg(test)] mod name;` declares: their names, or the file that `#[path]` gives.
pub fn product_code(text: &str) -> (String, Vec<String>) {
    blank_tests(text, &blank_comments_and_literals(text))
}

/// Replaces comments, strings and characters by spaces; newlines stay.
pub fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => end_of_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !follows_name(bytes, at, 1) => end_of_raw_string(bytes, at).unwrap_or(at),
            b'\'' => end_of_character(bytes, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // Cannot fail: whole characters inside literals became spaces, the rest is untouched.
    String::from_utf8(out).expect("blanking keeps UTF-8")
}

/// Replaces every item under `#[cfg(test)]` by spaces and lists the modules that live in files of
/// their own. `code` is `text` without comments and literals, byte for byte in the same place.
fn blank_tests(text: &str, code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let item = start + MARK.len();
        let end = end_of_item(code.as_bytes(), item);
        if let Some(name) = code[item..end]
            .trim()
            .strip_suffix(';')
            .and_then(declared_module)
        {
            let module = path_attribute(&text[item..end]).unwrap_or(name);
            modules.push(module.to_string());
        }
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    // Cannot fail: items end at ASCII bytes, so only whole characters were replaced.
    let code = String::from_utf8(out).expect("blanking keeps UTF-8");
    (code, modules)
}

/// The file that `#[path = "…"]` names.
fn path_attribute(item: &str) -> Option<&str> {
    let (_, rest) = item.split_once("#[path")?;
    rest.split('"').nth(1)
}

fn declared_module(item: &str) -> Option<&str> {
    let (_, name) = item.rsplit_once("mod ")?;
    Some(name.trim())
}

/// The first byte after the item that starts at `at`: past its `;`, or past its closing brace.
fn end_of_item(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            b';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    bytes.len()
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    let rest = bytes[at..].iter().position(|byte| *byte == b'\n');
    rest.map_or(bytes.len(), |length| at + length)
}

fn end_of_block_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"` or `r#"…"#`, if that is what starts here.
fn end_of_raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let body = at + 2 + hashes;
    let length = bytes[body..].windows(end.len()).position(|w| w == end)?;
    Some(body + length + end.len())
}

/// The end of `'x'`, `'\n'` or `'\u{1f}'`; nothing for a lifetime.
fn end_of_character(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let rest = std::str::from_utf8(&bytes[at + 1..]).ok()?;
    let character = rest.chars().next()?;
    let close = at + 1 + character.len_utf8();
    (bytes.get(close) == Some(&b'\'')).then_some(close + 1)
}

/// Whether the byte before `at` belongs to a name; `back` bytes of prefix (`b` in `br"…"`) aside.
fn follows_name(bytes: &[u8], at: usize, back: usize) -> bool {
    let before = |distance: usize| at.checked_sub(distance).map(|index| bytes[index]);
    match before(1) {
        Some(b'b' | b'c') => before(1 + back).is_some_and(is_name_byte),
        Some(byte) => is_name_byte(byte),
        None => false,
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `code` names `path` (`std::fs`, `Utc::now`, `println!`) as a whole word.
pub fn names(code: &str, path: &str) -> bool {
    let last = path.as_bytes()[path.len() - 1];
    code.match_indices(path).any(|(at, _)| {
        let before = at.checked_sub(1).map(|index| code.as_bytes()[index]);
        let after = code.as_bytes().get(at + path.len()).copied();
        !before.is_some_and(is_name_byte)
            && (!is_name_byte(last) || !after.is_some_and(is_name_byte))
    })
}

/// Every path that a `use` in `code` brings in, with groups written out:
/// `use std::{fs, net::IpAddr};` gives `std::fs` and `std::net::IpAddr`. Each with its line.
pub fn imported_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("use ") {
        let start = from + at;
        from = start + 4;
        let before = start.checked_sub(1).map(|index| code.as_bytes()[index]);
        if before.is_some_and(is_name_byte) {
            continue;
        }
        let Some(length) = code[from..].find(';') else {
            break;
        };
        let line = code[..start].matches('\n').count() + 1;
        let tree: String =
            code[from..from + length]
                .split_whitespace()
                .fold(String::new(), |text, word| {
                    // `as` renames, it does not change what is imported.
                    if text.is_empty()
                        || text.ends_with([':', '{', ','])
                        || word.starts_with([':', '{', ',', '}'])
                    {
                        text + word
                    } else {
                        text + " " + word
                    }
                });
        expand("", &tree, line, &mut found);
        from += length;
    }
    found
}

fn expand(prefix: &str, tree: &str, line: usize, found: &mut Vec<(usize, String)>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        if !tree.is_empty() {
            let path = tree.split(" as ").next().unwrap_or(tree);
            found.push((line, format!("{prefix}{path}")));
        }
        return;
    };
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let inner = restore_balance(inner);
    let prefix = format!("{prefix}{}", &tree[..open]);
    let mut depth = 0_usize;
    let mut part = String::new();
    for character in inner.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                expand(&prefix, &part, line, found);
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    expand(&prefix, &part, line, found);
}

/// Gives back the closing braces that trimming the outer one took along.
fn restore_balance(inner: &str) -> String {
    let open = inner.matches('{').count();
    let closed = inner.matches('}').count();
    format!("{inner}{}", "}".repeat(open.saturating_sub(closed)))
}

mod tests {
    use super::{blank_comments_and_literals, imported_paths, names, product_code};

    #[test]
    fn comments_and_quotes_are_blank_and_lines_stay() {
        let text = "a // std::fs\nb \"std::fs \\\" x\" c /* std::\nfs */ d r#\"q\"std::env\"# e";
        let code = blank_comments_and_literals(text);
        assert_eq!(code.lines().count(), 3);
        assert!(!code.contains("std"), "{code}");
        for kept in ["a", "b", "c", "d", "e"] {
            assert!(names(&code, kept), "{kept} is gone from {code:?}");
        }
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        let code = blank_comments_and_literals("fn f<'a>(x: &'a str) { let q = '\"'; std::fs }");
        assert!(names(&code, "std::fs"), "{code}");
        assert!(!code.contains('"'), "{code}");
    }

    #[test]
    fn test_modules_are_blank_and_outside_ones_are_named() {
        let text = "std::fs\n#[cfg(test)]\nmod tests { fn f() { if a { Utc::now(); } } }\nlater\n#[cfg(test)]\npub(crate) mod cases;\n#[cfg(test)]\n#[path = \"f_tests.rs\"]\nmod more;\nend";
        let (code, modules) = product_code(text);
        assert!(names(&code, "std::fs") && names(&code, "later") && names(&code, "end"));
        assert!(!names(&code, "Utc::now"), "{code}");
        assert_eq!(modules, ["cases", "f_tests.rs"]);
    }

    #[test]
    fn names_are_whole_words() {
        assert!(names("let a = log::info!();", "log::"));
        assert!(!names("catalog::read()", "log::"));
        assert!(!names("std::fsync", "std::fs"));
    }

    #[test]
    fn groups_of_imports_are_written_out() {
        let code = "use std::{\n    fs::{self, File},\n    net::IpAddr,\n};\nuse std::env as e;";
        let paths: Vec<String> = imported_paths(code)
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        assert_eq!(
            paths,
            [
                "std::fs::self",
                "std::fs::File",
                "std::net::IpAddr",
                "std::env"
            ]
        );
    }
}
