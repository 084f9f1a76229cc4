//! Answers as XML: elements in the order of the published model, texts that cannot leave their element.

use bowline_service::{Secret, Time, format_time};

/// The members of one element, in their order.
#[derive(Default)]
pub(super) struct Members(String);

impl Members {
    /// An element with a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.element(name, &escape(value));
    }

    /// An element with a text, where there is one.
    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// An element with a secret.
    pub(super) fn secret(&mut self, name: &str, value: &Secret) {
        self.text(name, value.reveal());
    }

    /// An element with a number.
    pub(super) fn number(&mut self, name: &str, value: u32) {
        self.element(name, &value.to_string());
    }

    /// An element with a time (ISO 8601, whole seconds, `Z`).
    pub(super) fn time(&mut self, name: &str, value: Time) {
        self.element(name, &format_time(value));
    }

    /// An element with members of its own.
    pub(super) fn group(&mut self, name: &str, fill: impl FnOnce(&mut Members)) {
        let mut members = Members::default();
        fill(&mut members);
        self.element(name, &members.0);
    }

    fn element(&mut self, name: &str, content: &str) {
        for part in ["<", name, ">", content, "</", name, ">"] {
            self.0.push_str(part);
        }
    }
}

/// The whole answer of an operation.
pub(super) fn response(action: &str, request_id: &str, fill: impl FnOnce(&mut Members)) -> String {
    let mut inside = Members::default();
    inside.group(&format!("{action}Result"), fill);
    inside.group("ResponseMetadata", |metadata| {
        metadata.text("RequestId", request_id);
    });
    document(&format!("{action}Response"), &inside)
}

/// The whole answer of a refusal.
pub(super) fn error(fault: &str, code: &str, message: &str, request_id: &str) -> String {
    let mut inside = Members::default();
    inside.group("Error", |error| {
        error.text("Type", fault);
        error.text("Code", code);
        error.text("Message", message);
    });
    inside.text("RequestId", request_id);
    document("ErrorResponse", &inside)
}

fn document(name: &str, inside: &Members) -> String {
    format!("<{name} xmlns=\"{NAMESPACE}\">{}</{name}>", inside.0)
}

/// Text that stays inside its element. What XML 1.0 §2.2 has no place for becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A parser makes a line feed of a bare one (XML 1.0 §2.11).
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                escaped.push(character);
            }
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_text_cannot_leave_its_element() {
        assert_eq!(
            escape("<a href=\"x\">&\r"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#13;"
        );
        assert_eq!(
            escape("a\u{0}\u{1b}[2J\u{ffff}é\n"),
            "a\u{fffd}\u{fffd}[2J\u{fffd}é\n"
        );
    }

    #[test]
    fn elements_stand_in_the_order_they_were_given() {
        let answer = response("DoThing", "id-1", |result| {
            result.group("Inner", |inner| inner.number("Size", 7));
            result.text("Name", "a&b");
            result.optional("Missing", None);
        });
        assert_eq!(
            answer,
            "<DoThingResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><DoThingResult><Inner><Size>7</Size>\
             </Inner><Name>a&amp;b</Name></DoThingResult><ResponseMetadata><RequestId>id-1</RequestId>\
             </ResponseMetadata></DoThingResponse>"
        );
    }
}
