//! Roles: who may take them, what they allow, and the profile that lists them.

use std::sync::Arc;

use bowline_policy::{Policy, PolicyKind};
use bowline_store::Commit;
use bowline_trust::{Profile, Role, RoleId, RolePolicy};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::anchors::DEFAULT_ANCHOR;
use crate::audit::Event;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::initialize::Settings;
use crate::keyspace;
use crate::operation::Operation;
use crate::profiles;
use crate::record::Record;
use crate::service::Service;

/// The role of operators.
pub(crate) const ADMINISTRATOR: &str = "administrator";

impl Record for Role {
    const WHAT: &'static str = "role";
}

/// A role as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// The longest its sessions may last, in seconds.
    pub max_session_duration: u32,
    /// The profiles that list it.
    pub profiles: Vec<String>,
    /// When it was made.
    pub created: Time,
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
            max_session_duration: role.max_session_duration,
            profiles: profiles
                .iter()
                .filter(|profile| profile.role_arns.contains(&arn))
                .map(|profile| profile.name.clone())
                .collect(),
            created: role.created_at,
            arn,
        }
    }
}

impl Settings {
    pub(crate) fn role_arn(&self, role: &Role) -> String {
        role.arn(&self.partition)
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
pub(crate) fn put_new(commit: Commit, role: &Role) -> Result<Commit, Error> {
    let key = keyspace::role(&role.name)?;
    Ok(commit.expect_absent(key.clone()).put(key, role.encode()?))
}

impl Service {
    /// The role with a name or ARN.
    pub(crate) fn role(&self, reference: &str) -> Result<Arc<Role>, Error> {
        let settings = self.settings()?;
        let name = match reference.strip_prefix("arn:") {
            Some(_) => reference
                .rsplit_once('/')
                .map_or(reference, |(_, name)| name),
            None => reference,
        };
        let found = self.load::<Role>(&keyspace::role(name)?)?;
        match found.filter(|role| name == reference || settings.role_arn(role) == reference) {
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
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
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
    /// The longest its sessions may last, in seconds: 3,600 to 43,200; 3,600 if not given.
    pub max_duration_seconds: Option<u32>,
    /// The profile to list it in; `default` if not given.
    pub profile: Option<String>,
    /// Whether a role of that name is answered as it is.
    pub if_missing: bool,
}

impl Operation for CreateRole {
    const NAME: &'static str = "create-role";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        service.authorize(caller, "iam:CreateRole", &self.name)?;
        let (settings, now) = (service.settings()?, service.now());
        let trust = self.trust(service, &settings)?;
        let policy = match (&self.policy, self.allow.is_empty(), self.on.is_empty()) {
            (Some(document), true, true) => document.clone(),
            (None, false, false) => permissions(&self.allow, &self.on),
            (None | Some(_), _, _) => return Err(Error::RolePermissionsNeeded),
        };
        let role = build(
            service,
            &settings,
            &self.name,
            &trust,
            &policy,
            self.max_duration_seconds,
            now,
        )?;
        let key = keyspace::role(&role.name)?;
        let profile =
            service.profile(self.profile.as_deref().unwrap_or(profiles::DEFAULT_PROFILE))?;
        if self.if_missing
            && let Some(existing) = service.load::<Role>(&key)?
        {
            let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
            return Ok(RoleView::of(&existing, &settings, &profiles));
        }
        // One commit: a role that no profile lists could be taken by nobody, and nothing would say why.
        let mut listed = Profile::clone(&profile);
        listed.role_arns.push(settings.role_arn(&role));
        let commit = profiles::put_changed(
            service,
            put_new(Commit::new(), &role)?,
            &profile,
            &mut listed,
            now,
        )?;
        let event = Event::RoleCreated {
            role: settings.role_arn(&role),
        };
        service.commit_new("role", &role.name, commit, caller, now, event)?;
        Ok(RoleView::of(&role, &settings, &[listed]))
    }
}

impl CreateRole {
    fn trust(&self, service: &Service, settings: &Settings) -> Result<String, Error> {
        if let Some(document) = &self.trust_policy {
            if !self.subjects.is_empty() || self.trust_anchor.is_some() {
                return Err(Error::RoleTrustTwice);
            }
            if !self.any_certificate {
                check_conditions(document)?;
            }
            return Ok(document.clone());
        }
        let anchor = service.anchor(self.trust_anchor.as_deref().unwrap_or(DEFAULT_ANCHOR))?;
        let tests = match self.subjects.as_slice() {
            [] => carries_role(&self.name),
            subjects => subjects
                .iter()
                .map(|text| subject_test(text))
                .collect::<Result<_, _>>()?,
        };
        Ok(trust_policy(&settings.anchor_arn(&anchor), &tests))
    }
}

/// A test of one principal tag: the tag's key, and the patterns of which one must fit.
type TagTest = (String, Vec<String>);

/// The test that a certificate's `OU` names the role, alone or among others joined by `/`.
fn carries_role(role: &str) -> Vec<TagTest> {
    let patterns = vec![
        role.into(),
        format!("{role}/*"),
        format!("*/{role}"),
        format!("*/{role}/*"),
    ];
    vec![("x509Subject/OU".into(), patterns)]
}

/// Reads `CN=web-*`, `x509SAN/DNS=*.example.com`.
fn subject_test(text: &str) -> Result<TagTest, Error> {
    let refuse = || Error::SubjectTestInvalid { text: text.into() };
    let (field, pattern) = text.split_once('=').ok_or_else(refuse)?;
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "./-_".contains(c))
    };
    if field.is_empty() || !plain(field) || pattern.is_empty() || pattern.contains("${") {
        return Err(refuse());
    }
    let key = if field.starts_with("x509") {
        field.to_owned()
    } else {
        format!("x509Subject/{field}")
    };
    Ok((key, vec![pattern.into()]))
}

/// A trust policy for one anchor: the three actions an exchange needs, and every test.
fn trust_policy(anchor_arn: &str, tests: &[TagTest]) -> String {
    let tests: serde_json::Map<String, serde_json::Value> = tests
        .iter()
        .map(|(key, patterns)| (format!("aws:PrincipalTag/{key}"), json!(patterns)))
        .collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "rolesanywhere.amazonaws.com" },
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": { "ArnEquals": { "aws:SourceArn": anchor_arn }, "StringLike": tests },
        }],
    })
    .to_string()
}

fn permissions(actions: &[String], resources: &[String]) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": "Allowed", "Effect": "Allow", "Action": actions, "Resource": resources }],
    })
    .to_string()
}

/// Refuses a trust policy by which any certificate, or a certificate of any anchor, could take the role.
/// Without such conditions every certificate of every anchor of the account can.
fn check_conditions(document: &str) -> Result<(), Error> {
    // What does not parse is refused a moment later, with its position.
    let Ok(serde_json::Value::Object(document)) = serde_json::from_str(document) else {
        return Ok(());
    };
    let statements = match document.get("Statement") {
        Some(serde_json::Value::Array(statements)) => statements.iter().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    for (index, statement) in statements.into_iter().enumerate() {
        if statement.get("Effect").and_then(|effect| effect.as_str()) != Some("Allow") {
            continue;
        }
        let keys: Vec<String> = statement
            .get("Condition")
            .and_then(|condition| condition.as_object())
            .into_iter()
            .flat_map(|operators| operators.values())
            .filter_map(|operator| operator.as_object())
            .flat_map(|keys| keys.keys().map(|key| key.to_ascii_lowercase()))
            .collect();
        let anchored = keys.iter().any(|key| key == "aws:sourcearn");
        let named = keys
            .iter()
            .any(|key| key.starts_with("aws:principaltag/") || key == "sts:sourceidentity");
        if !anchored || !named {
            return Err(Error::TrustPolicyOpen {
                statement: index,
                anchored,
                named,
            });
        }
    }
    Ok(())
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
    let trust = Policy::parse(trust, PolicyKind::Trust)?;
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
        let roles = service.load_all::<Role>(&keyspace::roles())?;
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
        service.authorize(caller, "iam:GetRole", &self.role)?;
        let profiles = service.load_all::<Profile>(&keyspace::profiles())?;
        Ok(RoleView::of(
            &*service.role(&self.role)?,
            &*service.settings()?,
            &profiles,
        ))
    }
}
