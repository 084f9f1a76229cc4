//! The STS query protocol: form-encoded in, XML out. So far `GetCallerIdentity`.

use bowline_service::{
    Caller, CallerIdentity, Error, GetCallerIdentity, Kind, Operation, Service, WireRequest,
};

use crate::message::{Response, Via, answer, with_header};
use crate::pool::Share;
use crate::router::Router;

/// Answers an STS request, header-signed or presigned, POST or GET.
pub(crate) async fn serve(router: &Router, request: WireRequest, via: Via) -> Response {
    let action = match parameter(&request, "Action") {
        Some(action) => action,
        None => {
            return refuse(
                router,
                &Error::StsParameterMissing {
                    parameter: "Action",
                },
            );
        }
    };
    if action != "GetCallerIdentity" {
        return refuse(router, &Error::StsActionUnknown { action });
    }
    match parameter(&request, "Version") {
        Some(version) if version != VERSION => {
            return refuse(router, &Error::StsVersionUnknown { version });
        }
        Some(_) | None => {}
    }
    let caller = Caller::Nobody {
        source: via.source(),
    };
    let run = move |service: &Service| GetCallerIdentity { request }.run(service, &caller);
    match router.run(Share::Read, run).await {
        Ok(identity) => answer(
            200,
            XML,
            identity_xml(&identity, &router.service.request_id()),
        ),
        Err(error) => refuse(router, &error),
    }
}

/// Renders a refusal.
pub(crate) fn refuse(router: &Router, error: &Error) -> Response {
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
         <RequestId>{}</RequestId></ErrorResponse>",
        escape(&format!("{} [{}]", public.message, public.code)),
        router.service.request_id(),
    );
    let response = answer(status, XML, body);
    if status == 503 {
        with_header(response, "retry-after", "1")
    } else {
        response
    }
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

/// A parameter of the query, else of the form in the body.
fn parameter(request: &WireRequest, name: &str) -> Option<String> {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    [query.as_bytes(), &request.body]
        .into_iter()
        .flat_map(form_urlencoded::parse)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
        assert_eq!(
            parameter(&request("/?Action=A%20b", ""), "Action").as_deref(),
            Some("A b")
        );
        assert_eq!(
            parameter(&request("/", "Version=1&Action=a+b"), "Action").as_deref(),
            Some("a b")
        );
        assert_eq!(parameter(&request("/", "Version=1"), "Action"), None);
    }

    #[test]
    fn xml_text_cannot_leave_its_element() {
        assert_eq!(
            escape("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
