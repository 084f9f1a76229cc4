//! What the rules of the decision look at, gathered once.

use bowline_policy::{
    AccountId, Context, Layers, NamedPolicy, Principal, Request, SessionLayer, Tag,
};
use bowline_x509::Time;
use chrono::{SubsecRound, TimeDelta};

use crate::arns;
use crate::claims::{
    CertificateOrigin, ChainLink, ChainRole, Claims, FederatedOrigin, Origin, RoleSession,
    SessionPrincipal, UserSession,
};
use crate::federated::FederationKind;
use crate::grant::{Grant, GrantedCertificate};
use crate::ids::Uuid;
use crate::keyring::stamp;
use crate::mapping::AttributeMappings;
use crate::payload::Packed;
use crate::profile::{DURATION_SECONDS_DEFAULT, ITSELF_DURATION_SECONDS_DEFAULT, REQUEST_LAYER};
use crate::request::{
    Asker, CertificateAsker, FederatedAsker, ItselfAsker, SessionAsker, SessionRequest,
};
use crate::role::Role;
use crate::subject::{SourceIdentityFrom, Subject};

/// Everything the rules look at.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a SessionRequest<'a>,
    /// Who a certificate is, where one asks.
    pub(crate) subject: Option<Subject>,
    /// Empty where no role is asked for.
    pub(crate) role_arn: String,
    /// In seconds: the profile's or the default, or what is asked for.
    pub(crate) duration: u32,
    /// The session must end by then, if by any time: with its certificate, or with what a provider said.
    pub(crate) end_by: Option<Time>,
    pub(crate) claims: Claims,
    /// What the policies are asked, but for the action; nothing where no role is asked for.
    pub(crate) question: Option<Question>,
    /// The claims as they go into a token, once a rule has asked for their size.
    packed: Option<Packed>,
    trust_anchor_arn: Option<String>,
}

/// A question to the policies, and those it is put to: the trust policy, and the asker's own where it has some.
pub(crate) struct Question {
    pub(crate) layers: Layers,
    pub(crate) request: Request,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(request: &'a SessionRequest<'a>) -> Facts<'a> {
        match &request.asker {
            Asker::Certificate(asker) => Facts::of_certificate(request, asker),
            Asker::Itself(asker) => Facts::of_itself(request, asker),
            Asker::Session(asker) => Facts::of_session(request, asker),
            Asker::Federated(asker) => Facts::of_federated(request, asker),
        }
    }

    fn of_certificate(request: &'a SessionRequest<'a>, asker: &CertificateAsker<'a>) -> Facts<'a> {
        let CertificateAsker {
            path,
            trust_anchor,
            profile,
            role,
        } = *asker;
        let subject = Subject::from_path(path, &profile.attribute_mappings);
        let asked = request.duration_seconds.unwrap_or(profile.duration_seconds);
        let duration = asked.min(profile.duration_seconds);
        let not_after = path.leaf().validity().not_after;
        let end_by = with_certificate(request, not_after);
        let session_name = request
            .role_session_name
            .unwrap_or(&subject.default_session_name);
        let layers = profile.session_layer().into_iter();
        let fingerprint = subject.certificate.fingerprint;
        let claims = Claims {
            source_identity: Some(subject.source_identity.clone()),
            tags: subject.tags.clone(),
            layers: layers.chain(request_layer(request)).collect(),
            confirmation: profile.sender_constrained.then_some(fingerprint),
            ..claims(
                request,
                role.account,
                role_principal(role, session_name),
                certificate_origin(&subject, trust_anchor.id, Some(profile.id)),
                duration,
                end_by,
            )
        };
        let trust_anchor_arn = trust_anchor.arn(request.partition, request.region);
        let role_arn = role.arn(request.partition);
        let mut context = common_context(request, Context::new())
            .with("sts:SourceIdentity", subject.source_identity.as_str())
            .with("sts:RoleSessionName", session_name)
            .with("aws:SourceArn", trust_anchor_arn.as_str())
            .with("aws:SourceAccount", trust_anchor.account.as_str())
            .with("aws:PrincipalServiceName", SERVICE)
            .with_many("aws:PrincipalServiceNamesList", [SERVICE])
            .with("aws:PrincipalIsAWSService", "true")
            .with_many("aws:TagKeys", subject.tags.iter().map(Tag::key));
        // The tags are principal tags already, as IAM Roles Anywhere has them, and request tags too, as STS has them.
        for tag in &subject.tags {
            context.set(&format!("aws:PrincipalTag/{}", tag.key()), tag.value());
            context.set(&format!("aws:RequestTag/{}", tag.key()), tag.value());
        }
        Facts {
            request,
            duration,
            end_by,
            claims,
            question: Some(Question::trust_alone(
                Principal::Service(SERVICE.to_owned()),
                role,
                &role_arn,
                context,
            )),
            role_arn,
            subject: Some(subject),
            packed: None,
            trust_anchor_arn: Some(trust_anchor_arn),
        }
    }

    fn of_itself(request: &'a SessionRequest<'a>, asker: &ItselfAsker<'a>) -> Facts<'a> {
        let ItselfAsker {
            path,
            trust_anchor,
            mfa_at,
        } = *asker;
        // No profile is named, so nothing narrows what is mapped.
        let subject = Subject::from_path(path, &AttributeMappings::default());
        let duration = request
            .duration_seconds
            .unwrap_or(ITSELF_DURATION_SECONDS_DEFAULT);
        let not_after = path.leaf().validity().not_after;
        let end_by = with_certificate(request, not_after);
        let principal = SessionPrincipal::User(UserSession {
            path: format!("/{}/", trust_anchor.id),
            name: user_name(&subject).to_owned(),
            id: subject.id,
        });
        let claims = Claims {
            tags: subject.tags.clone(),
            mfa_at: mfa_at.map(whole_seconds),
            ..claims(
                request,
                trust_anchor.account,
                principal,
                certificate_origin(&subject, trust_anchor.id, None),
                duration,
                end_by,
            )
        };
        Facts {
            request,
            duration,
            end_by,
            claims,
            question: None,
            role_arn: String::new(),
            subject: Some(subject),
            packed: None,
            trust_anchor_arn: Some(trust_anchor.arn(request.partition, request.region)),
        }
    }

    fn of_session(request: &'a SessionRequest<'a>, asker: &SessionAsker<'a>) -> Facts<'a> {
        let SessionAsker {
            session,
            layers,
            role,
            ..
        } = *asker;
        let own = session.claims();
        let duration = request.duration_seconds.unwrap_or(DURATION_SECONDS_DEFAULT);
        // A token of an earlier program does not tell the certificate's end, and its own end is never later.
        let end_by = own
            .certificate()
            .map(|origin| origin.certificate.not_after.unwrap_or(own.expires_at))
            .and_then(|not_after| with_certificate(request, not_after));
        let session_name = request.role_session_name.unwrap_or_default();
        let mut chain = own.chain.clone();
        chain.push(ChainLink {
            session_id: *session.id(),
            role: own.role().map(|role| ChainRole {
                account: own.account,
                id: role.id,
                name: role.name.clone(),
            }),
            issued_at: own.issued_at,
        });
        let source_identity = own.source_identity.as_deref().or(asker.source_identity);
        let inherited = own.tags.iter().filter(|tag| own.is_transitive(tag.key()));
        let tags: Vec<Tag> = inherited.chain(asker.tags).cloned().collect();
        let transitive = own.transitive_tag_keys.iter();
        let claims = Claims {
            source_identity: source_identity.map(str::to_owned),
            chain,
            transitive_tag_keys: transitive
                .chain(asker.transitive_tag_keys)
                .cloned()
                .collect(),
            tags,
            layers: request_layer(request).into_iter().collect(),
            mfa_at: asker.mfa_at.map(whole_seconds),
            // Whoever must show a certificate must go on showing it: else a further role would shed the constraint.
            confirmation: own.confirmation,
            ..claims(
                request,
                role.account,
                role_principal(role, session_name),
                own.origin.clone(),
                duration,
                end_by,
            )
        };
        let role_arn = role.arn(request.partition);
        let mut context = common_context(request, session.context_keys(request.now))
            .with("sts:RoleSessionName", session_name);
        if let Some(identity) = source_identity {
            context.set("sts:SourceIdentity", identity);
        }
        if let Some(id) = asker.external_id {
            context.set("sts:ExternalId", id);
        }
        if asker.mfa_at.is_some() {
            context.set("aws:MultiFactorAuthPresent", "true");
            context.set("aws:MultiFactorAuthAge", "0");
        }
        request_tags(&mut context, asker.tags, asker.transitive_tag_keys);
        Facts {
            request,
            duration,
            end_by,
            claims,
            question: Some(Question {
                layers: Layers {
                    resource: Some(trust_policy(role)),
                    ..layers.clone()
                },
                request: Request {
                    principal: session.principal().clone(),
                    action: String::new(),
                    resource: role_arn.clone(),
                    account: role.account,
                    context,
                },
            }),
            role_arn,
            subject: None,
            packed: None,
            trust_anchor_arn: None,
        }
    }

    fn of_federated(request: &'a SessionRequest<'a>, asker: &FederatedAsker<'a>) -> Facts<'a> {
        let FederatedAsker { identity, role } = *asker;
        let duration = request.duration_seconds.unwrap_or(DURATION_SECONDS_DEFAULT);
        let end_by = identity.not_after;
        let session_name = request.role_session_name.unwrap_or_default();
        let origin = FederatedOrigin {
            provider_arn: identity.provider_arn.clone(),
            subject: identity.subject.clone(),
            audience: identity.audience.clone(),
        };
        let claims = Claims {
            source_identity: identity.source_identity.clone(),
            tags: identity.tags.clone(),
            transitive_tag_keys: identity.transitive_tag_keys.clone(),
            layers: request_layer(request).into_iter().collect(),
            ..claims(
                request,
                role.account,
                role_principal(role, session_name),
                match identity.kind {
                    FederationKind::WebIdentity => Origin::WebIdentity(origin),
                    FederationKind::Saml => Origin::Saml(origin),
                },
                duration,
                end_by,
            )
        };
        let role_arn = role.arn(request.partition);
        let mut context = Context::new();
        for (key, values) in &identity.keys {
            // One value and a set of one are different things to an operator without a set qualifier.
            match values.as_slice() {
                [one] => context.set(key, one.as_str()),
                many => context.set_many(key, many.iter().map(String::as_str)),
            }
        }
        let mut context = common_context(request, context)
            .with("aws:FederatedProvider", identity.provider_arn.as_str())
            .with("sts:RoleSessionName", session_name);
        if let Some(identity) = &identity.source_identity {
            context.set("sts:SourceIdentity", identity.as_str());
        }
        for tag in &identity.tags {
            context.set(&format!("aws:PrincipalTag/{}", tag.key()), tag.value());
        }
        request_tags(&mut context, &identity.tags, &identity.transitive_tag_keys);
        Facts {
            request,
            duration,
            end_by,
            claims,
            question: Some(Question::trust_alone(
                Principal::Federated(identity.provider_arn.clone()),
                role,
                &role_arn,
                context,
            )),
            role_arn,
            subject: None,
            packed: None,
            trust_anchor_arn: None,
        }
    }

    /// The claims as they go into a token; made once.
    pub(crate) fn packed(&mut self) -> &Packed {
        self.packed.get_or_insert_with(|| Packed::of(&self.claims))
    }

    pub(crate) fn grant(mut self) -> Grant {
        let SessionRequest {
            partition, region, ..
        } = *self.request;
        let packed = match self.packed.take() {
            Some(packed) => packed,
            None => Packed::of(&self.claims),
        };
        let certificate =
            self.subject
                .zip(self.trust_anchor_arn)
                .map(|(subject, trust_anchor_arn)| {
                    let profile = self.request.asker.profile();
                    GrantedCertificate {
                        subject_arn: arns::subject_arn(
                            partition,
                            region,
                            &self.claims.account,
                            subject.id,
                        ),
                        profile_arn: profile.map(|profile| profile.arn(partition, region)),
                        trust_anchor_arn,
                        subject,
                    }
                });
        Grant {
            claims: self.claims,
            packed,
            token_bytes_min: self.request.token_bytes_min,
            certificate,
        }
    }
}

impl Question {
    /// For those who have no policies of their own.
    fn trust_alone(
        principal: Principal,
        role: &Role,
        role_arn: &str,
        context: Context,
    ) -> Question {
        Question {
            layers: Layers {
                resource: Some(trust_policy(role)),
                ..Layers::default()
            },
            request: Request {
                principal,
                action: String::new(),
                resource: role_arn.to_owned(),
                account: role.account,
                context,
            },
        }
    }
}

/// The claims that every session has, filled in; the rest is empty.
fn claims(
    request: &SessionRequest<'_>,
    account: AccountId,
    principal: SessionPrincipal,
    origin: Origin,
    duration_seconds: u32,
    end_by: Option<Time>,
) -> Claims {
    let issued_at = whole_seconds(request.now);
    let end = issued_at + TimeDelta::seconds(duration_seconds.into());
    Claims {
        partition: request.partition.to_owned(),
        account,
        principal,
        source_identity: None,
        origin,
        chain: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        layers: Vec::new(),
        issued_at,
        expires_at: end_by.map_or(end, |by| end.min(by)),
        mfa_at: None,
        confirmation: None,
    }
}

/// A token holds whole seconds, and what is granted should be what is opened.
fn whole_seconds(time: Time) -> Time {
    time.trunc_subsecs(0)
}

/// When the session must end with its certificate, unless that is set otherwise.
fn with_certificate(request: &SessionRequest<'_>, not_after: Time) -> Option<Time> {
    let ends = request.settings.credentials_end_with_certificate;
    ends.then_some(not_after)
}

fn role_principal(role: &Role, session_name: &str) -> SessionPrincipal {
    SessionPrincipal::Role(RoleSession {
        id: role.id,
        path: role.path.clone(),
        name: role.name.clone(),
        session_name: session_name.to_owned(),
    })
}

fn certificate_origin(subject: &Subject, trust_anchor: Uuid, profile: Option<Uuid>) -> Origin {
    Origin::Certificate(CertificateOrigin {
        trust_anchor,
        profile,
        subject: subject.id,
        certificate: subject.certificate.clone(),
    })
}

/// The name of a certificate as itself: its common name where that alone cannot pass for another's, else its source
/// identity.
fn user_name(subject: &Subject) -> &str {
    let identity = subject.source_identity.as_str();
    match subject.source_identity_from {
        SourceIdentityFrom::CommonName => identity
            .strip_prefix("CN=")
            .filter(|name| !name.starts_with("CN=") && !name.starts_with("ID="))
            .unwrap_or(identity),
        SourceIdentityFrom::BareCommonName | SourceIdentityFrom::Serial { .. } => identity,
    }
}

/// The request's session policies; a layer without policies is absent, not empty.
fn request_layer(request: &SessionRequest<'_>) -> Option<SessionLayer> {
    let policies = request.session_policies;
    (!policies.is_empty()).then(|| SessionLayer::new(REQUEST_LAYER, policies.to_vec()))
}

fn trust_policy(role: &Role) -> NamedPolicy {
    NamedPolicy::new(
        format!("role/{}/trust", role.name),
        role.trust_policy.clone(),
    )
}

/// The condition keys of the request at hand, whoever asks.
fn common_context(request: &SessionRequest<'_>, context: Context) -> Context {
    let mut context = context
        .with("aws:CurrentTime", stamp(&request.now))
        .with("aws:EpochTime", request.now.timestamp().to_string())
        .with("aws:RequestedRegion", request.region);
    if let Some(seconds) = request.duration_seconds {
        context.set("sts:DurationSeconds", seconds.to_string());
    }
    if let Some(address) = request.source_ip {
        context.set("aws:SourceIp", address.to_canonical().to_string());
    }
    context
}

/// The condition keys about the tags that are passed.
fn request_tags(context: &mut Context, tags: &[Tag], transitive: &[String]) {
    for tag in tags {
        context.set(&format!("aws:RequestTag/{}", tag.key()), tag.value());
    }
    if !tags.is_empty() {
        context.set_many("aws:TagKeys", tags.iter().map(Tag::key));
    }
    if !transitive.is_empty() {
        context.set_many(
            "sts:TransitiveTagKeys",
            transitive.iter().map(String::as_str),
        );
    }
}

/// Who asks for the role on the certificate's behalf, and must be named in its trust policy.
pub const SERVICE: &str = "rolesanywhere.amazonaws.com";
