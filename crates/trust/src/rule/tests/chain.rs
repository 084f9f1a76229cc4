//! A session that assumes further roles, for tests.

use bowline_policy::{NamedPolicy, Policy, PolicyKind, Tag};
use bowline_x509::Time;

use crate::fixture::{Story, allow, now};
use crate::{
    Asker, Claims, Denial, Draw, Grant, KeyRing, Role, RoleId, RolePolicy, Session, SessionAsker,
    SessionRequest, Settings, authorize, explain,
};

/// A session that assumes a further role, good unless a test changes it: role `web` of the account assumes `deploy` of
/// the same account, which trusts the account.
pub(super) struct Chain {
    /// The session that asks, as it was granted.
    pub(super) own: Story,
    pub(super) session: Option<Session>,
    /// The role it is of, as it is now.
    pub(super) own_role: Role,
    pub(super) role: Role,
    pub(super) name: &'static str,
    pub(super) duration_seconds: Option<u32>,
    pub(super) session_policies: Vec<NamedPolicy>,
    pub(super) tags: Vec<Tag>,
    pub(super) transitive: Vec<String>,
    pub(super) external_id: Option<&'static str>,
    pub(super) source_identity: Option<&'static str>,
    pub(super) mfa_at: Option<Time>,
    pub(super) token_bytes_min: usize,
    pub(super) now: Time,
    pub(super) settings: Settings,
}

pub(super) const OWN_ACCOUNT: &str = "123456789012";
pub(super) const OTHER_ACCOUNT: &str = "222222222222";
pub(super) const THE_SESSION: &str = "arn:aws:sts::123456789012:assumed-role/web/1f71c5";
pub(super) const THE_ROLE: &str = "arn:aws:iam::123456789012:role/app/web";

impl Chain {
    pub(super) fn new() -> Chain {
        let own = Story::new();
        let mut own_role = own.role.clone();
        own_role.identity_policies = vec![RolePolicy {
            name: "assume".to_owned(),
            policy: allow("sts:*", PolicyKind::Identity),
        }];
        Chain {
            own_role,
            session: None,
            role: role(OWN_ACCOUNT, &trusts(OWN_ACCOUNT, "sts:*", "")),
            own,
            name: "deploy-7",
            duration_seconds: None,
            session_policies: Vec::new(),
            tags: Vec::new(),
            transitive: Vec::new(),
            external_id: None,
            source_identity: None,
            mfa_at: None,
            token_bytes_min: 0,
            now: now(),
            settings: Settings::default(),
        }
    }

    pub(super) fn with(change: impl FnOnce(&mut Chain)) -> Chain {
        let mut chain = Chain::new();
        change(&mut chain);
        chain
    }

    /// Goes on from the session that is granted: what asks next is that one.
    pub(super) fn then(self, change: impl FnOnce(&mut Chain)) -> Chain {
        let grant = self.decide().unwrap();
        let mut next = Chain {
            session: Some(opened(&grant, self.now)),
            own_role: Role {
                identity_policies: self.own_role.identity_policies.clone(),
                ..self.role.clone()
            },
            ..Chain::new()
        };
        change(&mut next);
        next
    }

    pub(super) fn ask<T>(&self, answer: impl FnOnce(&SessionRequest<'_>) -> T) -> T {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => opened(&self.own.decide().unwrap(), self.own.now),
        };
        let layers = session.layers(Some(&self.own_role), None).unwrap();
        answer(&SessionRequest {
            asker: Asker::Session(SessionAsker {
                session: &session,
                layers: &layers,
                role: &self.role,
                tags: &self.tags,
                transitive_tag_keys: &self.transitive,
                external_id: self.external_id,
                source_identity: self.source_identity,
                mfa_at: self.mfa_at,
            }),
            partition: "aws",
            region: "us-east-1",
            duration_seconds: self.duration_seconds,
            role_session_name: Some(self.name),
            session_policies: &self.session_policies,
            token_bytes_min: self.token_bytes_min,
            now: self.now,
            source_ip: None,
            settings: self.settings,
        })
    }

    pub(super) fn decide(&self) -> Result<Grant, Denial> {
        let decided = self.ask(authorize);
        let told = self.ask(explain).decision;
        assert_eq!(
            decided.as_ref().err(),
            told.as_ref().err(),
            "explained otherwise"
        );
        decided
    }

    pub(super) fn claims(&self) -> Claims {
        self.decide().unwrap().claims().clone()
    }

    pub(super) fn denial(&self) -> Denial {
        let denial = self.decide().unwrap_err();
        assert!(!denial.fix().is_empty() && denial.aws_message().len() > 10);
        denial
    }

    pub(super) fn code(change: impl FnOnce(&mut Chain)) -> &'static str {
        Chain::with(change).denial().code()
    }
}

pub(super) fn opened(grant: &Grant, at: Time) -> Session {
    let ring = KeyRing::new(0, [(0, &[1; 32])]).unwrap();
    let credentials = ring.seal(grant, &Draw::from([9; 37]));
    let id = credentials.access_key_id.as_str();
    ring.open(id, &credentials.session_token, at).unwrap()
}

pub(super) fn role(account: &str, trust: &str) -> Role {
    Role::new(
        RoleId::from_random([7; 10]),
        account.parse().unwrap(),
        "deploy",
        Policy::parse(trust, PolicyKind::Trust).unwrap(),
        now(),
    )
}

/// A trust policy for one AWS principal, on a condition (a JSON object, or nothing).
pub(super) fn trusts(principal: &str, actions: &str, condition: &str) -> String {
    let condition = match condition {
        "" => String::new(),
        condition => format!(r#","Condition":{condition}"#),
    };
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"{actions}"{condition}}}]}}"#
    )
}

pub(super) fn tag(key: &str, value: &str) -> Tag {
    Tag::new(key, value).unwrap()
}
