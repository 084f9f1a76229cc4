//! Events as rows: a table for people, CSV for spreadsheets, JSON lines as they come.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Map, Value};

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Aligned, for people.
    Table,
    /// A JSON document a line.
    Jsonl,
    /// Comma-separated values (RFC 4180), the names first.
    Csv,
}

/// Takes lines of JSON, in whatever pieces they come, and writes rows.
pub(super) struct Rows<'w> {
    output: &'w mut dyn Write,
    form: Form,
    /// A line of which the end has not come.
    begun: Vec<u8>,
    /// Whether there was a row.
    any: bool,
}

impl<'w> Rows<'w> {
    pub(super) fn new(output: &'w mut dyn Write, form: Form) -> Rows<'w> {
        Rows {
            output,
            form,
            begun: Vec::new(),
            any: false,
        }
    }

    fn row(&mut self, line: &[u8]) -> io::Result<()> {
        // What is no event of ours is shown as it is, in the last column.
        let mut event: Map<String, Value> = serde_json::from_slice(line).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(line).into_owned();
            Map::from_iter([("unreadable".to_owned(), Value::String(text))])
        });
        let mut row: Vec<String> = COLUMNS.iter().map(|name| taken(&mut event, name)).collect();
        match self.form {
            Form::Table => {
                if !std::mem::replace(&mut self.any, true) {
                    self.table_line(&COLUMNS.map(str::to_uppercase), "DETAILS")?;
                }
                self.table_line(&row, &in_words(&event))
            }
            Form::Csv => {
                row.push(match event.is_empty() {
                    true => String::new(),
                    false => Value::Object(event).to_string(),
                });
                self.csv_line(row.iter().map(String::as_str))
            }
            Form::Jsonl => Ok(()),
        }
    }

    fn table_line(&mut self, row: &[String], details: &str) -> io::Result<()> {
        let mut text = String::new();
        for (value, width) in row.iter().zip(WIDTHS) {
            // A control character in a subject must not move the cursor.
            let value: String = value.chars().map(shown).collect();
            text.push_str(&format!("{value:width$}  "));
        }
        text.extend(details.chars().take(DETAILS_CHARACTERS).map(shown));
        if details.chars().nth(DETAILS_CHARACTERS).is_some() {
            text.push('…');
        }
        writeln!(self.output, "{}", text.trim_end())
    }

    fn csv_line<'v>(&mut self, values: impl Iterator<Item = &'v str>) -> io::Result<()> {
        let values: Vec<String> = values.map(csv_value).collect();
        write!(self.output, "{}\r\n", values.join(","))
    }
}

impl Write for Rows<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.form == Form::Jsonl {
            return self.output.write(bytes);
        }
        if self.form == Form::Csv && !std::mem::replace(&mut self.any, true) {
            self.csv_line(COLUMNS.into_iter().chain(["details"]))?;
        }
        self.begun.extend_from_slice(bytes);
        let mut begun = std::mem::take(&mut self.begun);
        let mut rest = begun.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.row(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        let done = begun.len() - rest.len();
        begun.drain(..done);
        self.begun = begun;
        Ok(bytes.len())
    }

    /// Writes what is left. A list without events still has its names in CSV.
    fn flush(&mut self) -> io::Result<()> {
        if self.form == Form::Csv && !std::mem::replace(&mut self.any, true) {
            self.csv_line(COLUMNS.into_iter().chain(["details"]))?;
        }
        self.output.flush()
    }
}

/// A member of an event as text, taken out of it.
fn taken(event: &mut Map<String, Value>, name: &str) -> String {
    match event.remove(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// What has no column, as `name=value`.
fn in_words(event: &Map<String, Value>) -> String {
    let words = event.iter().filter(|(_, value)| !is_nothing(value));
    let words = words.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn shown(character: char) -> char {
    match character.is_control() {
        true => '\u{fffd}',
        false => character,
    }
}

/// A value of CSV. What a spreadsheet would compute is text: some of it came from strangers.
fn csv_value(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let value = match formula {
        true => format!("'{value}"),
        false => value.to_owned(),
    };
    match value.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value,
    }
}

/// The columns; whatever else an event has is in the last one, `details`.
const COLUMNS: [&str; 8] = [
    "number", "at", "event", "caller", "source", "subject", "serial", "role",
];
/// How wide they are in a table: as wide as their usual values.
const WIDTHS: [usize; 8] = [6, 20, 22, 8, 12, 20, 32, 20];
/// How much of the details a table shows; policies are long, and whole in the other forms.
const DETAILS_CHARACTERS: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED: &str = r#"{"number":3,"at":"2026-06-01T12:00:00Z","caller":"operator","event":"certificate_issued","serial":"0aff","subject":"CN=a\"b, c","names":[],"authority":"issuing"}"#;

    fn written(form: Form, text: &str, piece: usize) -> String {
        let mut output = Vec::new();
        let mut rows = Rows::new(&mut output, form);
        for bytes in text.as_bytes().chunks(piece) {
            rows.write_all(bytes).unwrap();
        }
        rows.flush().unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let expected = "number,at,event,caller,source,subject,serial,role,details\r\n\
            3,2026-06-01T12:00:00Z,certificate_issued,operator,,\"CN=a\"\"b, c\",0aff,,\
            \"{\"\"authority\"\":\"\"issuing\"\",\"\"names\"\":[]}\"\r\n";
        for piece in [1, 7, 10_000] {
            assert_eq!(written(Form::Csv, &format!("{ISSUED}\n"), piece), expected);
        }
        let names = "number,at,event,caller,source,subject,serial,role,details\r\n";
        assert_eq!(written(Form::Csv, "", 1), names);
    }

    #[test]
    fn a_spreadsheet_computes_nothing() {
        for value in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert!(
                csv_value(value).trim_start_matches('"').starts_with('\''),
                "{value}"
            );
        }
        assert_eq!(csv_value("CN=web-1"), "CN=web-1");
    }

    #[test]
    fn a_table_has_its_headings_once_and_moves_no_cursor() {
        let event = ISSUED.replace("CN=a", "CN=a\\u001b[2J");
        let text = written(Form::Table, &format!("{event}\n{event}\n"), 11);
        assert_eq!(text.matches("NUMBER").count(), 1);
        assert_eq!(text.lines().count(), 3);
        assert!(
            !text.contains('\u{1b}') && text.contains("authority=issuing"),
            "{text}"
        );
        assert_eq!(written(Form::Table, "", 1), "");
    }

    #[test]
    fn json_lines_are_left_as_they_are() {
        let lines = format!("{ISSUED}\n{{}}\n");
        assert_eq!(written(Form::Jsonl, &lines, 5), lines);
    }

    #[test]
    fn what_does_not_read_is_shown() {
        let text = written(Form::Table, "dear\n", 4);
        assert!(text.contains("unreadable=dear"), "{text}");
    }
}
