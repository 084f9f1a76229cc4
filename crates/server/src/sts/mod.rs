//! The STS query protocol: form-encoded in, XML out (API version 2011-06-15).
//!
//! - [`actions`]: every operation, from its parameters to its elements;
//! - [`form`]: the parameters;
//! - [`xml`]: the answers;
//! - [`errors`]: the refusals.

mod actions;
mod errors;
pub(crate) mod form;
mod xml;

use bowline_service::{
    Caller, DoorError, Error, GetCallerIdentity, Operation, Service, StsError, WireRequest,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::message::{Held, Response, Via, answer};
use crate::pool::Share;
use crate::router::{Router, note_refusal};

pub(crate) use errors::refuse;
use form::Form;
use xml::Members;

/// Answers an STS request, header-signed or presigned, POST or GET.
pub(crate) async fn serve(router: &Router, held: Held, via: &Via, request_id: &str) -> Response {
    let Held { request, memory } = held;
    let read = Form::read(&request).and_then(|form| Ok((action(&form)?, form)));
    let (action, form) = match read {
        Ok(read) => read,
        Err(error) => {
            note_refusal(&router.service, via, &error);
            return refuse(&error, request_id);
        }
    };
    let call = Call {
        router,
        request,
        form,
        memory,
        via,
        request_id,
    };
    match action.as_str() {
        "GetCallerIdentity" => {
            let build = |_: &Form| Ok(GetCallerIdentity {});
            let render = actions::caller_identity;
            call.run(Share::Read, "GetCallerIdentity", build, render)
                .await
        }
        "AssumeRole" => {
            let (build, render) = (actions::assume_role, actions::assumed_role);
            call.run(Share::Write, "AssumeRole", build, render).await
        }
        "AssumeRoleWithWebIdentity" => {
            let build = actions::assume_role_with_web_identity;
            let (name, render) = ("AssumeRoleWithWebIdentity", actions::federated_role);
            call.run(Share::Write, name, build, render).await
        }
        "AssumeRoleWithSAML" => {
            let (build, render) = (actions::assume_role_with_saml, actions::saml_role);
            call.run(Share::Write, "AssumeRoleWithSAML", build, render)
                .await
        }
        "GetSessionToken" => {
            let (build, render) = (actions::get_session_token, actions::session_token);
            call.run(Share::Write, "GetSessionToken", build, render)
                .await
        }
        "GetWebIdentityToken" => {
            let (build, render) = (actions::get_web_identity_token, actions::identity_token);
            call.run(Share::Write, "GetWebIdentityToken", build, render)
                .await
        }
        "DecodeAuthorizationMessage" => {
            let build = actions::decode_authorization_message;
            let (name, render) = ("DecodeAuthorizationMessage", actions::decoded_message);
            call.run(Share::Read, name, build, render).await
        }
        "GetAccessKeyInfo" => {
            let (build, render) = (actions::get_access_key_info, actions::access_key_info);
            call.run(Share::Read, "GetAccessKeyInfo", build, render)
                .await
        }
        _ => {
            let error = unsupported(action);
            note_refusal(&router.service, via, &error);
            refuse(&error, request_id)
        }
    }
}

/// A call that has been read.
struct Call<'a> {
    router: &'a Router,
    request: WireRequest,
    form: Form,
    memory: OwnedSemaphorePermit,
    via: &'a Via,
    request_id: &'a str,
}

impl Call<'_> {
    /// Finds out who calls, builds the operation from the parameters, runs it, and renders the answer.
    async fn run<O>(
        self,
        share: Share,
        action: &'static str,
        build: fn(&Form) -> Result<O, Error>,
        render: fn(&mut Members, &O::Answer),
    ) -> Response
    where
        O: Operation + 'static,
        O::Answer: Send + 'static,
    {
        let Call {
            router,
            request,
            form,
            memory,
            via,
            request_id,
        } = self;
        let (rates, replays, asked_via) =
            (router.rates.clone(), router.replays.clone(), via.clone());
        let run = move |service: &Service| {
            let note = |refusal: &Error| note_refusal(service, &asked_via, refusal);
            // 1. Once only, if that is asked for.
            let turn = replays.as_ref().map(|replays| replays.begin(&request));
            let turn = turn.transpose().inspect_err(note)?;
            // 2. Who calls. A refusal is told to the log there.
            let caller = service.identify_for_sts(&request, &asked_via.channel())?;
            rates.identified(&asked_via, &caller).inspect_err(note)?;
            let of_page = || OF_PAGES.iter().any(|name| request.header(name).is_some());
            if matches!(caller, Caller::Certificate { .. }) && of_page() {
                return Err(DoorError::OfPage.into()).inspect_err(note);
            }
            // 3. What is asked.
            let operation = build(&form).inspect_err(note)?;
            let answer = operation.perform(service, &caller);
            if let (Some(turn), Ok(_)) = (turn, &answer) {
                turn.keep();
            }
            drop(memory);
            answer
        };
        match router.run(via, share, run).await {
            Ok(answered) => {
                let fill = |result: &mut Members| render(result, &answered);
                answer(200, XML, xml::response(action, request_id, fill))
            }
            Err(error) => refuse(&error, request_id),
        }
    }
}

/// The name of the operation that is meant.
fn action(form: &Form) -> Result<String, Error> {
    let action = form.needed("Action")?;
    match form.text("Version").filter(|version| version != VERSION) {
        Some(version) => Err(StsError::VersionUnknown {
            version: shown(version),
        }
        .into()),
        None => Ok(action),
    }
}

/// The refusal of an operation that is not served: why, where it is one of AWS's.
fn unsupported(action: String) -> Error {
    let known = UNSUPPORTED.iter().find(|(known, _)| *known == action);
    match known {
        Some((action, reason)) => DoorError::ActionUnsupported { action, reason }.into(),
        None => StsError::ActionUnknown {
            action: shown(action),
        }
        .into(),
    }
}

/// A name as it is told back; what can be none is not, because it may be a secret that went into the wrong parameter.
fn shown(name: String) -> String {
    let is_name = name.len() <= NAME_BYTES_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
        || name.len() <= DATE_BYTES_MAX;
    match is_name {
        true => name,
        false => format!("({} bytes that are no name)", name.len()),
    }
}

/// What browsers add to the requests of pages.
const OF_PAGES: [&str; 2] = ["origin", "sec-fetch-site"];
/// The longest name of an operation of STS has 25 bytes.
const NAME_BYTES_MAX: usize = 32;
/// A version is a date.
const DATE_BYTES_MAX: usize = 10;

/// Operations of AWS that have no meaning here, and what to do instead.
const UNSUPPORTED: [(&str, &str); 3] = [
    (
        "GetFederationToken",
        "it is for brokers with a user's long-term key, and there are no such keys here; take AssumeRole with a session \
         policy and tags",
    ),
    (
        "AssumeRoot",
        "there are no root users of member accounts here; the operator acts on the machine of the home",
    ),
    (
        "GetDelegatedAccessToken",
        "there are no trade-in tokens of partners here; take AssumeRoleWithWebIdentity",
    ),
];
const VERSION: &str = "2011-06-15";
const XML: &str = "text/xml";
