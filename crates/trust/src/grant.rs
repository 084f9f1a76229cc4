//! The one decision of the system: does this certificate get credentials of that role.

use std::net::IpAddr;

use bowline_policy::{Context, NamedPolicy, Principal, Request, SessionLayer, Tag};
use bowline_x509::Time;
use bowline_x509::path::VerifiedPath;
use chrono::{SubsecRound, TimeDelta};

use crate::anchor::TrustAnchor;
use crate::arns;
use crate::claims::Claims;
use crate::denial::Denial;
use crate::explanation::Explanation;
use crate::keyring::stamp;
use crate::profile::{Profile, REQUEST_LAYER};
use crate::role::Role;
use crate::rule::Rule;
use crate::subject::Subject;

/// A verified certificate that asks for a session of a role.
///
/// That the caller holds the certificate's key is proved by the signature of the request, before it comes here.
#[derive(Clone, Copy)]
pub struct SessionRequest<'a> {
    /// The certificate, verified against the trust anchor's certificates.
    pub path: &'a VerifiedPath,
    /// The partition of every ARN, such as `aws`.
    pub partition: &'a str,
    /// The region of the endpoint.
    pub region: &'a str,
    /// The trust anchor named in the request.
    pub trust_anchor: &'a TrustAnchor,
    /// The profile named in the request.
    pub profile: &'a Profile,
    /// The role named in the request.
    pub role: &'a Role,
    /// How long the session shall last, in seconds; none leaves it to the profile.
    pub duration_seconds: Option<u32>,
    /// What the session shall be called; none leaves it to the certificate's serial number.
    pub role_session_name: Option<&'a str>,
    /// Policies by which the caller narrows the session further than the profile does; empty for none.
    pub session_policies: &'a [NamedPolicy],
    /// The time.
    pub now: Time,
    /// Where the request came from, if that is known.
    pub source_ip: Option<IpAddr>,
    /// How the rules are set.
    pub settings: Settings,
}

/// Settings of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether credentials end with the certificate at the latest. AWS lets them outlive it.
    pub credentials_end_with_certificate: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            credentials_end_with_certificate: true,
        }
    }
}

/// Decides whether the request gets a session: the first rule that it breaks, or what it is granted.
pub fn authorize(request: &SessionRequest<'_>) -> Result<Grant, Denial> {
    let mut facts = Facts::of(request);
    for rule in Rule::ALL {
        rule.check(&mut facts, None)?;
    }
    Ok(facts.grant())
}

/// Decides as [`authorize`] does, and tells of every rule what it looked at and what it found.
///
/// Rules after the first broken one are checked too, so that everything wrong is seen at once.
pub fn explain(request: &SessionRequest<'_>) -> Explanation {
    let mut facts = Facts::of(request);
    let checks = Rule::ALL.map(|rule| {
        let mut trace = None;
        let outcome = rule.check(&mut facts, Some(&mut trace));
        (rule, outcome, rule.facts(&facts), trace)
    });
    Explanation::new(checks, || facts.grant())
}

/// A session that may be, made only by [`authorize`] and [`explain`]; [`crate::KeyRing::seal`] makes credentials of it.
#[derive(Debug, Clone)]
pub struct Grant {
    claims: Claims,
    subject: Subject,
    subject_arn: String,
    trust_anchor_arn: String,
    profile_arn: String,
}

impl Grant {
    /// The facts that the session will carry.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whose session it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The ARN of the subject.
    pub fn subject_arn(&self) -> &str {
        &self.subject_arn
    }

    /// The ARN of the trust anchor.
    pub fn trust_anchor_arn(&self) -> &str {
        &self.trust_anchor_arn
    }

    /// The ARN of the profile.
    pub fn profile_arn(&self) -> &str {
        &self.profile_arn
    }

    /// When the session ends by itself.
    pub fn expires_at(&self) -> Time {
        self.claims.expires_at
    }
}

/// Everything the rules look at, gathered once.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a SessionRequest<'a>,
    pub(crate) subject: Subject,
    pub(crate) role_arn: String,
    /// In seconds: the profile's, or less if less is asked for.
    pub(crate) duration: u32,
    pub(crate) claims: Claims,
    /// What the trust policy is asked, but for the action.
    pub(crate) trust_request: Request,
    trust_anchor_arn: String,
}

impl<'a> Facts<'a> {
    fn of(request: &'a SessionRequest<'a>) -> Facts<'a> {
        let SessionRequest {
            partition,
            region,
            trust_anchor,
            profile,
            role,
            ..
        } = *request;
        // Whole seconds: a token holds no more, and what is granted should be what is opened.
        let now = request.now.trunc_subsecs(0);
        let subject = Subject::from_path(request.path, &profile.attribute_mappings);
        let asked = request.duration_seconds.unwrap_or(profile.duration_seconds);
        let duration = asked.min(profile.duration_seconds);
        let not_after = request.path.leaf().validity().not_after;
        let session_name = request
            .role_session_name
            .unwrap_or(&subject.default_session_name)
            .to_owned();
        let claims = Claims {
            partition: partition.to_owned(),
            account: role.account,
            role_id: role.id,
            role_path: role.path.clone(),
            role_name: role.name.clone(),
            session_name,
            source_identity: subject.source_identity.clone(),
            trust_anchor: trust_anchor.id,
            profile: profile.id,
            subject: subject.id,
            certificate: subject.certificate.clone(),
            tags: subject.tags.clone(),
            layers: session_layers(request),
            issued_at: now,
            expires_at: session_end(now, duration, not_after, request.settings),
        };
        let trust_anchor_arn = trust_anchor.arn(partition, region);
        let role_arn = role.arn(partition);
        Facts {
            request,
            duration,
            trust_request: Request {
                principal: Principal::Service(SERVICE.to_owned()),
                action: String::new(),
                resource: role_arn.clone(),
                account: role.account,
                context: trust_context(request, &subject, &claims, &trust_anchor_arn),
            },
            role_arn,
            trust_anchor_arn,
            subject,
            claims,
        }
    }

    fn grant(self) -> Grant {
        let SessionRequest {
            partition,
            region,
            profile,
            ..
        } = *self.request;
        Grant {
            subject_arn: arns::subject_arn(partition, region, &profile.account, self.subject.id),
            profile_arn: profile.arn(partition, region),
            trust_anchor_arn: self.trust_anchor_arn,
            claims: self.claims,
            subject: self.subject,
        }
    }
}

/// The session's end: what was asked and allowed, but no later than the certificate's, unless set otherwise.
fn session_end(now: Time, duration_seconds: u32, not_after: Time, settings: Settings) -> Time {
    let end = now + TimeDelta::seconds(duration_seconds.into());
    if settings.credentials_end_with_certificate {
        end.min(not_after)
    } else {
        end
    }
}

/// The profile's layer, then the request's; a layer without policies is absent, not empty.
fn session_layers(request: &SessionRequest<'_>) -> Vec<SessionLayer> {
    let asked = (!request.session_policies.is_empty())
        .then(|| SessionLayer::new(REQUEST_LAYER, request.session_policies.to_vec()));
    request
        .profile
        .session_layer()
        .into_iter()
        .chain(asked)
        .collect()
}

/// The condition keys of the three actions, the same for each.
///
/// The tags are principal tags already, as IAM Roles Anywhere has them, and request tags too, as STS has them.
fn trust_context(
    request: &SessionRequest<'_>,
    subject: &Subject,
    claims: &Claims,
    trust_anchor_arn: &str,
) -> Context {
    let mut context = Context::new()
        .with("sts:SourceIdentity", subject.source_identity.as_str())
        .with("sts:RoleSessionName", claims.session_name.as_str())
        .with("aws:SourceArn", trust_anchor_arn)
        .with("aws:SourceAccount", request.trust_anchor.account.as_str())
        .with("aws:PrincipalServiceName", SERVICE)
        .with_many("aws:PrincipalServiceNamesList", [SERVICE])
        .with("aws:PrincipalIsAWSService", "true")
        .with("aws:CurrentTime", stamp(&request.now))
        .with("aws:EpochTime", request.now.timestamp().to_string())
        .with("aws:RequestedRegion", request.region)
        .with_many("aws:TagKeys", subject.tags.iter().map(Tag::key));
    if let Some(address) = request.source_ip {
        context.set("aws:SourceIp", address.to_canonical().to_string());
    }
    for tag in &subject.tags {
        context.set(&format!("aws:PrincipalTag/{}", tag.key()), tag.value());
        context.set(&format!("aws:RequestTag/{}", tag.key()), tag.value());
    }
    context
}

/// Who asks for the role on the certificate's behalf, and must be named in its trust policy.
pub const SERVICE: &str = "rolesanywhere.amazonaws.com";

#[cfg(test)]
mod tests;
