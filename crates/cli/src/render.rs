//! Results as text: tables for lists, `name: value` lines for one thing.

use std::fmt::{self, Display};

use bowline_service::{Time, format_time};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// A table without lines, its headings in capitals, as its rows are worth.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    let mut empty = true;
    for row in rows {
        table.add_row(row);
        empty = false;
    }
    if empty {
        return String::new();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The facts of one thing, one a line.
#[derive(Default)]
pub(crate) struct Facts {
    lines: Vec<(&'static str, String)>,
}

impl Facts {
    pub(crate) fn new() -> Facts {
        Facts::default()
    }

    /// Adds a fact.
    pub(crate) fn fact(mut self, name: &'static str, value: impl Display) -> Facts {
        self.lines.push((name, value.to_string()));
        self
    }

    /// Adds a fact if there is one.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Display>) -> Facts {
        match value {
            Some(value) => self.fact(name, value),
            None => self,
        }
    }

    /// Adds several values under one name; nothing if there are none.
    pub(crate) fn each(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = impl Display>,
    ) -> Facts {
        for (index, value) in values.into_iter().enumerate() {
            self.lines
                .push((if index == 0 { name } else { "" }, value.to_string()));
        }
        self
    }

    /// Adds a time.
    pub(crate) fn time(self, name: &'static str, time: Time) -> Facts {
        self.fact(name, format_time(time))
    }
}

impl Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        for (name, value) in &self.lines {
            let mut lines = value.lines();
            writeln!(f, "{name:width$}  {}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "{:width$}  {line}", "")?;
            }
        }
        Ok(())
    }
}

/// A JSON document, indented; as it is where it does not read.
pub(crate) fn pretty(document: &str) -> String {
    serde_json::from_str::<serde_json::Value>(document)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| document.into())
}

/// A word for a shell: as it is if that is safe, else in single quotes.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `yes` or `no`.
pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_its_columns_up_and_ends_every_line() {
        let text = table(
            &["name", "arn"],
            [
                vec!["a".into(), "x".into()],
                vec!["longer".into(), "y".into()],
            ],
        );
        assert_eq!(text, "NAME    ARN\na       x\nlonger  y\n");
        assert_eq!(table(&["name"], []), "");
    }

    #[test]
    fn facts_line_up_and_long_values_keep_their_column() {
        let facts = Facts::new()
            .fact("name", "web")
            .fact("policy", "{\n}")
            .each("role", ["a", "b"])
            .maybe("url", None::<&str>);
        assert_eq!(
            facts.to_string(),
            "name    web\npolicy  {\n        }\nrole    a\n        b\n"
        );
    }

    #[test]
    fn shell_words_are_quoted_when_they_must_be() {
        assert_eq!(shell_word("web-1.crt"), "web-1.crt");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("data/*"), "'data/*'");
    }
}
