//! Whom a provider vouches for, and a certificate as itself.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::chain::{Chain, OWN_ACCOUNT, opened, role, trusts};
use crate::fixture::{Story, now};
use crate::{
    Asker, Denial, Explanation, FederatedAsker, FederatedIdentity, FederationKind, Grant,
    ItselfAsker, Origin, Role, SessionPrincipal, SessionRequest, Settings, authorize, explain,
};

pub(super) fn identity(kind: FederationKind) -> FederatedIdentity {
    FederatedIdentity {
        kind,
        provider_arn: PROVIDER.to_owned(),
        subject: "repo:org/app".to_owned(),
        issuer: "https://token.example".to_owned(),
        audience: "sts.amazonaws.com".to_owned(),
        keys: BTreeMap::from([
            (
                "token.example:aud".to_owned(),
                vec!["sts.amazonaws.com".to_owned()],
            ),
            (
                "token.example:sub".to_owned(),
                vec!["repo:org/app".to_owned()],
            ),
        ]),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        not_after: None,
    }
}

const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/token.example";

pub(super) fn federated(
    trust: &str,
    identity: &FederatedIdentity,
    change: impl FnOnce(&mut Role),
) -> (Result<Grant, Denial>, Explanation) {
    let mut role = role(OWN_ACCOUNT, trust);
    change(&mut role);
    let request = SessionRequest {
        asker: Asker::Federated(FederatedAsker {
            identity,
            role: &role,
        }),
        partition: "aws",
        region: "us-east-1",
        duration_seconds: None,
        role_session_name: Some("ci-7"),
        session_policies: &[],
        token_bytes_min: 0,
        now: now(),
        source_ip: None,
        settings: Settings::default(),
    };
    (authorize(&request), explain(&request))
}

pub(super) fn trusts_provider(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},"Action":["{action}","sts:TagSession","sts:SetSourceIdentity"],"Condition":{condition}}}]}}"#
    )
}

#[test]
fn whom_a_provider_vouches_for_gets_the_roles_that_trust_it() {
    let web = "sts:AssumeRoleWithWebIdentity";
    let subject = r#"{"StringLike":{"token.example:sub":"repo:org/*"}}"#;
    let code = |trust: &str, identity: &FederatedIdentity| {
        let (decided, told) = federated(trust, identity, |_| {});
        assert_eq!(decided.as_ref().err(), told.decision.as_ref().err());
        decided.map_err(|denial| denial.code())
    };
    let person = identity(FederationKind::WebIdentity);
    let grant = code(&trusts_provider(web, subject), &person).unwrap();
    let claims = grant.claims();
    assert!(
        matches!(&claims.origin, Origin::WebIdentity(origin) if origin.subject == "repo:org/app")
    );
    assert!(claims.chain.is_empty() && grant.certificate().is_none());
    let session = opened(&grant, now());
    assert_eq!(
        session.context_keys(now()).get("aws:FederatedProvider"),
        Some(&[PROVIDER.to_owned()][..])
    );

    let other = r#"{"StringEquals":{"token.example:sub":"repo:other/app"}}"#;
    for (trust, identity, expected) in [
        (
            trusts_provider(web, other),
            person.clone(),
            "federated_not_authorized",
        ),
        (
            trusts_provider(web, subject),
            identity(FederationKind::Saml),
            "federated_not_authorized",
        ),
        (
            trusts_provider(web, subject),
            FederatedIdentity {
                provider_arn: "arn:aws:iam::222222222222:oidc-provider/token.example".to_owned(),
                ..person.clone()
            },
            "provider_of_other_account",
        ),
        (
            trusts_provider(web, subject),
            FederatedIdentity {
                source_identity: Some("not one".to_owned()),
                ..person.clone()
            },
            "source_identity_invalid",
        ),
        (
            trusts_provider(web, subject),
            FederatedIdentity {
                not_after: Some(now() + TimeDelta::seconds(59)),
                ..person.clone()
            },
            "identity_ends_soon",
        ),
        (
            trusts_provider(web, subject),
            FederatedIdentity {
                transitive_tag_keys: vec!["team".to_owned()],
                ..person.clone()
            },
            "transitive_tag_missing",
        ),
    ] {
        assert_eq!(code(&trust, &identity).unwrap_err(), expected);
    }
    let bounded = FederatedIdentity {
        not_after: Some(now() + TimeDelta::minutes(20)),
        ..person
    };
    let grant = code(&trusts_provider(web, subject), &bounded).unwrap();
    assert_eq!(grant.expires_at(), now() + TimeDelta::minutes(20));
}

#[test]
fn a_certificate_as_itself_is_a_user_without_policies() {
    let story = Story::new();
    let ask = |seconds: Option<u32>, enabled: bool| {
        let mut anchor = story.trust_anchor.clone();
        anchor.enabled = enabled;
        authorize(&SessionRequest {
            asker: Asker::Itself(ItselfAsker {
                path: &story.path,
                trust_anchor: &anchor,
                mfa_at: Some(now()),
            }),
            partition: "aws",
            region: "us-east-1",
            duration_seconds: seconds,
            role_session_name: None,
            session_policies: &[],
            token_bytes_min: 0,
            now: now(),
            source_ip: None,
            settings: Settings::default(),
        })
    };
    let grant = ask(None, true).unwrap();
    let claims = grant.claims();
    let user = "arn:aws:iam::123456789012:user/01010101-0101-4101-8101-010101010101/web-1";
    assert_eq!(claims.principal_arn(), user);
    assert!(claims.user_id().starts_with("AIDA") && claims.user_id().len() == 20);
    assert_eq!(claims.source_identity, None);
    assert_eq!(grant.expires_at(), now() + TimeDelta::hours(12));
    assert_eq!(
        ask(Some(129_601), true).unwrap_err().code(),
        "duration_out_of_range"
    );
    assert_eq!(
        ask(Some(899), true).unwrap_err().code(),
        "duration_out_of_range"
    );
    assert_eq!(
        ask(None, false).unwrap_err().code(),
        "trust_anchor_disabled"
    );

    let session = opened(&grant, now());
    assert!(matches!(
        session.claims().principal,
        SessionPrincipal::User(_)
    ));
    assert_eq!(
        session
            .context_keys(now())
            .get("aws:MultiFactorAuthPresent"),
        Some(&["true".to_owned()][..])
    );
    // It has no policies, so that a role must name it; and a role that it assumes is not chained.
    let next = |principal: &str| {
        Chain::with(|chain| {
            chain.session = Some(session.clone());
            chain.role = role(OWN_ACCOUNT, &trusts(principal, "sts:*", ""));
            chain.role.max_session_duration = 7_200;
            chain.duration_seconds = Some(7_200);
        })
    };
    assert_eq!(
        next(OWN_ACCOUNT).denial().code(),
        "assume_role_not_authorized"
    );
    let claims = next(user).claims();
    assert_eq!(claims.expires_at, now() + TimeDelta::hours(2));
    assert_eq!(claims.chain.len(), 1);
    assert_eq!(claims.chain[0].role, None);
}
