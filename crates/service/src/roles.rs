//! Roles: who may take them, what they allow, and the profile that lists them.

mod change;

use bowline_policy::{AccountId, Arn, Policy, PolicyKind};
use bowline_store::{Commit, Key, StoreError};
use bowline_trust::{Profile, Role, RoleId, RolePolicy, role_arn};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::anchors::DEFAULT_ANCHOR;
use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::{Error, StsError};
use crate::keyspace;
use crate::operation::Operation;
use crate::profiles;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;
use crate::trust_policies::{
    carries_role, check_conditions, check_identities, subject_test, trust_policy,
};

pub use change::{DeleteRole, RevokeOlderSessions, UpdateRole};

/// The role of operators.
pub(crate) const ADMINISTRATOR: &str = "administrator";

impl Record for Role {
    const WHAT: &'static str = "role";
}

/// A role as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleView {
    /// Its name.
    pub name: String,
    /// Its unique id; a role that is deleted and made again has another.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Who may take it.
    pub trust_policy: String,
    /// What it allows: policies by name.
    pub policies: Vec<(String, String)>,
    /// What it allows at most, if there is such a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Whether it may be taken, and its sessions live.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The longest its sessions may last, in seconds.
    pub max_session_duration: u32,
    /// The profiles that list it.
    pub profiles: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Time>,
}

// Servers from before a role could be disabled do not say so.
fn yes() -> bool {
    true
}

impl RoleView {
    fn of(role: &Role, settings: &Settings, profiles: &[Profile]) -> RoleView {
        let arn = settings.role_arn(role);
        RoleView {
            name: role.name.clone(),
            id: role.id.to_string(),
            trust_policy: role.trust_policy.text().to_owned(),
            policies: role
                .identity_policies
                .iter()
                .map(|policy| (policy.name.clone(), policy.policy.text().to_owned()))
                .collect(),
            boundary: role
                .boundary
                .as_ref()
                .map(|bound| bound.policy.text().to_owned()),
            enabled: role.enabled,
            max_session_duration: role.max_session_duration,
            profiles: profiles
                .iter()
                .filter(|profile| profile.role_arns.contains(&arn))
                .map(|profile| profile.name.clone())
                .collect(),
            created: role.created_at,
            updated: Some(role.updated_at),
            arn,
        }
    }
}

impl Settings {
    pub(crate) fn role_arn(&self, role: &Role) -> String {
        role.arn(&self.partition)
    }

    /// Where a role lies. Names are unique in an account only.
    pub(crate) fn role_key(&self, account: &AccountId, name: &str) -> Result<Key, Error> {
        if account.as_str() == self.account {
            keyspace::role(name)
        } else {
            keyspace::account_role(account, name)
        }
    }
}

/// The role of operators: everything, for the certificates of the operators' own authority only.
pub(crate) fn administrator(
    service: &Service,
    settings: &Settings,
    operators_anchor: &str,
    now: Time,
) -> Result<Role, Error> {
    let trust = trust_policy(operators_anchor, &carries_role(ADMINISTRATOR));
    let policy = permissions(&["*".into()], &["*".into()]);
    build(service, settings, ADMINISTRATOR, &trust, &policy, None, now)
}

/// Adds a new role to a commit, under a name nobody has.
pub(crate) fn put_new(commit: Commit, settings: &Settings, role: &Role) -> Result<Commit, Error> {
    let key = settings.role_key(&role.account, &role.name)?;
    Ok(commit.expect_absent(key.clone()).put(key, role.encode()?))
}

impl Service {
    /// The role with a name or ARN, if there is one. A name alone is that of a role of the home's account.
    pub(crate) fn find_role(&self, reference: &str) -> Result<Option<Loaded<Role>>, Error> {
        let settings = self.settings()?;
        if !reference.starts_with("arn:") {
            return self.load::<Role>(&keyspace::role(reference)?);
        }
        let name = reference.rsplit_once('/').map(|(_, name)| name);
        let account = reference
            .parse::<Arn>()
            .ok()
            .and_then(|arn| arn.account_id());
        let (Some(name), Some(account)) = (name, account) else {
            return Ok(None);
        };
        let found = self.role_of(&account, name)?;
        Ok(found.filter(|role| settings.role_arn(role) == reference))
    }

    /// The role of an account with a name, if there is one.
    pub(crate) fn role_of(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<Loaded<Role>>, Error> {
        let key = self.settings()?.role_key(account, name)?;
        self.load::<Role>(&key)
    }

    /// The role with a name or ARN; an error that lists those there are.
    pub(crate) fn role(&self, reference: &str) -> Result<Loaded<Role>, Error> {
        match self.find_role(reference)? {
            Some(role) => Ok(role),
            None => {
                let known = self.load_all::<Role>(&keyspace::roles())?;
                Err(Error::RoleUnknown {
                    name: reference.into(),
                    known: known.into_iter().map(|role| role.name).collect(),
                })
            }
        }
    }
}

/// Creates a role and lists it in a profile.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateRole {
    /// Its name.
    pub name: String,
    /// What it allows, as a policy document.
    pub policy: Option<String>,
    /// What it allows, as a list of actions; with `on`, instead of a document.
    pub allow: Vec<String>,
    /// The resources that `allow` is about.
    pub on: Vec<String>,
    /// Who may take it, as a trust policy document.
    pub trust_policy: Option<String>,
    /// Who may take it, as `FIELD=PATTERN` tests of the certificate's subject, all of which must hold.
    pub subjects: Vec<String>,
    /// The trust anchor whose certificates may take it; `default` if not given. Not with a document.
    pub trust_anchor: Option<String>,
    /// Whether a trust policy may leave open which anchor or which certificate.
    pub any_certificate: bool,
    /// Whether a trust policy may leave open who of those that a token issuer vouches for.
    pub any_identity: bool,
    /// What it allows at most, as a policy document.
    pub boundary: Option<String>,
    /// The longest its sessions may last, in seconds: 3,600 to 43,200; 3,600 if not given.
    pub max_duration_seconds: Option<u32>,
    /// The profile to list it in; `default` if not given.
    pub profile: Option<String>,
    /// The account it belongs to; the home's if not given. No profile lists a role of another account: it is assumed
    /// from sessions of other roles.
    pub account: Option<String>,
    /// Whether a role of that name is answered as it is.
    pub if_missing: bool,
}

impl Operation for CreateRole {
    const NAME: &'static str = "create-role";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        let (settings, now) = (service.settings()?, service.now());
        let account = match &self.account {
            Some(account) => account.parse()?,
            None => settings.account_id()?,
        };
        let foreign = account != settings.account_id()?;
        if foreign && (self.profile.is_some() || self.trust_policy.is_none()) {
            return Err(StsError::RoleOfOtherAccount {
                account: account.to_string(),
            }
            .into());
        }
        // 1. A new role is three things at once: a role, what it allows, and a profile that offers it.
        let arn = role_arn(&settings.partition, &account, "/", &self.name);
        for action in ["iam:CreateRole", "iam:PutRolePolicy", "iam:PassRole"] {
            service.authorize(caller, action, &arn)?;
        }
        let profile_name = self.profile.as_deref().unwrap_or(profiles::DEFAULT_PROFILE);
        if !foreign {
            service.profile_for(caller, "rolesanywhere:UpdateProfile", profile_name)?;
        }

        // 2. The role.
        let ask = TrustAsk {
            role: &self.name,
            document: self.trust_policy.as_deref(),
            subjects: &self.subjects,
            anchor: self.trust_anchor.as_deref(),
            any_certificate: self.any_certificate,
            any_identity: self.any_identity,
        };
        let trust = ask.document(service, &settings)?;
        let policy = match (&self.policy, self.allow.is_empty(), self.on.is_empty()) {
            (Some(document), true, true) => document.clone(),
            (None, false, false) => permissions(&self.allow, &self.on),
            (None | Some(_), _, _) => return Err(Error::RolePermissionsNeeded),
        };
        let mut role = build(
            service,
            &settings,
            &self.name,
            &trust,
            &policy,
            self.max_duration_seconds,
            now,
        )?;
        role.account = account;
        if let Some(text) = &self.boundary {
            service.authorize(caller, "iam:PutRolePermissionsBoundary", &arn)?;
            role.boundary = change::boundary(text)?;
            role.validate()?;
        }

        // 3. One commit for role and profile: a role that no profile lists could be taken by nobody, and nothing would
        //    say why. Others write the profile too, so try again on what they left.
        for attempt in 1.. {
            if let Some(existing) = service.role_of(&account, &role.name)? {
                if !self.if_missing {
                    return Err(Error::Exists {
                        what: "role",
                        name: self.name,
                    });
                }
                let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
                return Ok(RoleView::of(&existing, &settings, &profiles));
            }
            let mut commit = put_new(Commit::new(), &settings, &role)?;
            let mut listing = Vec::new();
            if !foreign {
                let profile = service.profile(profile_name)?;
                let mut listed = Profile::clone(&profile);
                // A profile may list a role of that name that is not there any more.
                if !listed.role_arns.contains(&arn) {
                    listed.role_arns.push(arn.clone());
                }
                commit = profiles::put_changed(commit, &profile, &mut listed, now)?;
                listing.push(listed);
            }
            let event = Event::RoleCreated {
                role: arn.clone(),
                trust_policy: trust.clone(),
                policy: policy.clone(),
                boundary: self.boundary.clone(),
                profile: listing
                    .first()
                    .map_or_else(String::new, |profile| settings.profile_arn(profile)),
            };
            match service.commit(commit, caller, now, event) {
                Ok(()) => return Ok(RoleView::of(&role, &settings, &listing)),
                Err(Error::Store(StoreError::Conflict { .. })) if attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("a loop that returns did not"))
    }
}

/// Who shall be trusted with a role: a document, or an anchor and tests of the subject.
struct TrustAsk<'a> {
    role: &'a str,
    document: Option<&'a str>,
    subjects: &'a [String],
    anchor: Option<&'a str>,
    any_certificate: bool,
    any_identity: bool,
}

impl TrustAsk<'_> {
    /// The trust policy. One that is open to everybody is refused unless that is asked for.
    fn document(&self, service: &Service, settings: &Settings) -> Result<String, Error> {
        if let Some(document) = self.document {
            if !self.subjects.is_empty() || self.anchor.is_some() {
                return Err(Error::RoleTrustTwice);
            }
            if !self.any_certificate {
                check_conditions(document)?;
            }
            if !self.any_identity {
                check_identities(document)?;
            }
            return Ok(document.to_owned());
        }
        let anchor = service.anchor(self.anchor.unwrap_or(DEFAULT_ANCHOR))?;
        let tests = match self.subjects {
            [] => carries_role(self.role),
            subjects => subjects
                .iter()
                .map(|text| subject_test(text))
                .collect::<Result<_, _>>()?,
        };
        Ok(trust_policy(&settings.anchor_arn(&anchor), &tests))
    }
}

fn permissions(actions: &[String], resources: &[String]) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": "Allowed", "Effect": "Allow", "Action": actions, "Resource": resources }],
    })
    .to_string()
}

fn build(
    service: &Service,
    settings: &Settings,
    name: &str,
    trust: &str,
    policy: &str,
    max_duration_seconds: Option<u32>,
    now: Time,
) -> Result<Role, Error> {
    let trust = Policy::parse(trust, PolicyKind::Trust).map_err(Error::TrustPolicy)?;
    let policy = Policy::parse(policy, PolicyKind::Identity)?;
    let id = RoleId::from_random(draw(&*service.entropy));
    let mut role = Role::new(id, settings.account_id()?, name, trust, now);
    role.identity_policies.push(RolePolicy {
        name: "inline".into(),
        policy,
    });
    if let Some(seconds) = max_duration_seconds {
        role.max_session_duration = seconds;
    }
    role.validate()?;
    Ok(role)
}

/// Lists the roles.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRoles {}

impl Operation for ListRoles {
    const NAME: &'static str = "list-roles";
    type Answer = Vec<RoleView>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<RoleView>, Error> {
        service.authorize(caller, "iam:ListRoles", "*")?;
        let settings = service.settings()?;
        let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
        let mut roles = service.load_all::<Role>(&keyspace::roles())?;
        roles.extend(service.load_all::<Role>(&keyspace::account_roles())?);
        Ok(roles
            .iter()
            .map(|role| RoleView::of(role, &settings, &profiles))
            .collect())
    }
}

/// Shows one role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowRole {
    /// Its name or ARN.
    pub role: String,
}

impl Operation for ShowRole {
    const NAME: &'static str = "show-role";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        let settings = service.settings()?;
        let found = service.find_role(&self.role)?;
        service.authorize_found(
            caller,
            "iam:GetRole",
            found.as_ref().map(|role| settings.role_arn(role)),
        )?;
        let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
        Ok(RoleView::of(
            &*service.role(&self.role)?,
            &settings,
            &profiles,
        ))
    }
}

/// How often a new role is tried again after somebody else wrote its profile meanwhile.
const ATTEMPTS_MAX: u32 = 16;
