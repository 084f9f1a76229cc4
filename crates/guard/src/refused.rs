//! A refusal, and how the clients of a service read it.

use std::fmt;

use bowline_service::{Authorization, ServiceError};

/// Why a request is refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Code, sentence and status as S3 has them.
    pub error: ServiceError,
    /// Our own stable code, where there is one.
    pub code: Option<String>,
    /// Why, in one sentence, for the log of the relying service.
    pub reason: String,
}

impl Refused {
    /// A refusal of the relying service itself.
    pub(crate) fn new(code: &str, message: &str, status: u16) -> Refused {
        Refused {
            error: ServiceError::new(code, message, status),
            code: None,
            reason: message.into(),
        }
    }

    /// No answer was to be had. Nothing is let through for want of one.
    pub(crate) fn unavailable(reason: impl fmt::Display) -> Refused {
        Refused {
            reason: reason.to_string(),
            ..Refused::new(
                "ServiceUnavailable",
                "Service is unable to handle request.",
                503,
            )
        }
    }

    pub(crate) fn of(answer: Authorization) -> Refused {
        let error = answer.error.unwrap_or_else(|| {
            ServiceError::new("AccessDenied", answer.reason.as_str(), answer.http_status)
        });
        Refused {
            error,
            code: answer.code,
            reason: answer.reason,
        }
    }

    /// The status to answer with.
    pub fn status(&self) -> u16 {
        self.error.status
    }

    /// The body that clients of S3 read.
    pub fn xml(&self, resource: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{}</Code><Message>{}</Message><Resource>{}</Resource></Error>",
            Escaped(&self.error.code),
            Escaped(&self.error.message),
            Escaped(resource)
        )
    }

    /// The same as JSON, as AWS's JSON services put it.
    pub fn json(&self) -> String {
        serde_json::json!({"__type": self.error.code, "message": self.error.message}).to_string()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error.code, self.reason)
    }
}

impl std::error::Error for Refused {}

/// Text inside an XML element.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                // XML 1.0 has no form for them.
                character if character.is_control() => f.write_str("?")?,
                character => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_xml_and_as_json() {
        let refused = Refused::new("AccessDenied", "no <b> & \u{1}", 403);
        assert!(
            refused
                .xml("/b/<k>")
                .contains("<Message>no &lt;b&gt; &amp; ?</Message><Resource>/b/&lt;k&gt;<")
        );
        assert_eq!(
            refused.json(),
            r#"{"__type":"AccessDenied","message":"no <b> & \u0001"}"#
        );
    }
}
