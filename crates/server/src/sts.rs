//! The STS query protocol: form-encoded in, XML out. So far `GetCallerIdentity`.

use bowline_service::{
    Caller, CallerIdentity, Error, GetCallerIdentity, Kind, Operation, Service, WireRequest,
};

use crate::message::{Held, Response, Via, answer, log_fault};
use crate::pool::Share;
use crate::router::{Router, note_refusal};

/// Answers an STS request, header-signed or presigned, POST or GET.
pub(crate) async fn serve(router: &Router, held: Held, via: Via, request_id: &str) -> Response {
    let Held { request, memory } = held;
    if let Err(error) = asks_for_identity(&request) {
        note_refusal(&router.service, via, &error);
        return refuse(&error, request_id);
    }
    let caller = Caller::Nobody {
        source: via.source(),
    };
    let run = move |service: &Service| {
        let result = GetCallerIdentity { request }.run(service, &caller);
        drop(memory);
        result
    };
    match router.run(via, Share::Read, run).await {
        Ok(identity) => answer(200, XML, identity_xml(&identity, request_id)),
        Err(error) => refuse(&error, request_id),
    }
}

/// Whether the request is the one that is served.
fn asks_for_identity(request: &WireRequest) -> Result<(), Error> {
    match parameter(request, "Action")? {
        Some(action) if action == "GetCallerIdentity" => {}
        Some(action) => return Err(Error::StsActionUnknown { action }),
        None => {
            return Err(Error::StsParameterMissing {
                parameter: "Action",
            });
        }
    }
    match parameter(request, "Version")? {
        Some(version) if version != VERSION => Err(Error::StsVersionUnknown { version }),
        Some(_) | None => Ok(()),
    }
}

/// Renders a refusal.
pub(crate) fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let (status, fallback) = match error.kind() {
        Kind::Invalid | Kind::Conflict => (400, "ValidationError"),
        Kind::Unauthenticated => (403, "SignatureDoesNotMatch"),
        Kind::Denied => (403, "AccessDenied"),
        Kind::NotFound => (404, "NoSuchEntity"),
        Kind::Limit => (429, "Throttling"),
        Kind::Internal => (500, "InternalFailure"),
        Kind::Unavailable => (503, "ServiceUnavailable"),
    };
    let code = error.sts_code().unwrap_or(fallback);
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    let public = error.public();
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(&format!("{} [{}]", public.message, public.code)),
    );
    answer(status, XML, body)
}

fn identity_xml(identity: &CallerIdentity, request_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult><Arn>{}</Arn><UserId>{}</UserId>\
         <Account>{}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>",
        escape(&identity.arn),
        escape(&identity.user_id),
        escape(&identity.account),
        request_id,
    )
}

/// A parameter of the query or of the form in the body. Given more than once, it must say the same.
fn parameter(request: &WireRequest, name: &str) -> Result<Option<String>, Error> {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    // In a query a plus sign is itself, as it is for the signature; a form writes a space so.
    let query = query.replace('+', "%2B");
    let mut values = [query.as_bytes(), &request.body]
        .into_iter()
        .flat_map(form_urlencoded::parse)
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned());
    let first = values.next();
    if let Some(first) = &first
        && let Some(other) = values.find(|value| value != first)
    {
        return Err(Error::SessionParameterTwice {
            parameter: name.into(),
            query: first.clone(),
            body: other,
        });
    }
    Ok(first)
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
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                escaped.push(character);
            }
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const VERSION: &str = "2011-06-15";
const XML: &str = "text/xml";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, body: &str) -> WireRequest {
        WireRequest {
            method: "POST".into(),
            target: target.into(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn parameters_come_from_query_or_form() {
        let value = |target, body| parameter(&request(target, body), "Action").unwrap();
        assert_eq!(value("/?Action=A%20b", "").as_deref(), Some("A b"));
        assert_eq!(value("/", "Version=1&Action=a+b").as_deref(), Some("a b"));
        assert_eq!(value("/", "Version=1"), None);
        assert_eq!(value("/?Action=a", "Action=a").as_deref(), Some("a"));
    }

    #[test]
    fn a_parameter_does_not_say_two_things() {
        for (target, body) in [("/?Action=a", "Action=b"), ("/?Action=a&Action=b", "")] {
            assert!(matches!(
                parameter(&request(target, body), "Action"),
                Err(Error::SessionParameterTwice { .. })
            ));
        }
    }

    #[test]
    fn xml_text_cannot_leave_its_element() {
        assert_eq!(
            escape("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
        assert_eq!(
            escape("a\u{0}\u{1b}[2J\u{ffff}é\n"),
            "a\u{fffd}\u{fffd}[2J\u{fffd}é\n"
        );
    }
}
