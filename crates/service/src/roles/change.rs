//! Changing and deleting roles. A session is judged by its role as it is now, so that every change acts at once.

use bowline_policy::{Policy, PolicyKind};
use bowline_store::Commit;
use bowline_trust::{Boundary, Profile, Role, RolePolicy};
use bowline_x509::Time;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{RoleView, TrustAsk};
use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::error::{ChangeError, Error};
use crate::format_time;
use crate::keyspace;
use crate::operation::Operation;
use crate::profiles;
use crate::record::Record;
use crate::service::Service;

/// Changes a role. What is not named stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateRole {
    /// Its name or ARN.
    pub role: String,
    /// Who may take it, as a trust policy document.
    pub trust_policy: Option<String>,
    /// Who may take it, as `FIELD=PATTERN` tests of the certificate's subject, all of which must hold.
    pub subjects: Vec<String>,
    /// The trust anchor whose certificates may take it; with `subjects`, or alone for those whose `OU` names the role.
    pub trust_anchor: Option<String>,
    /// Whether a trust policy may leave open which anchor or which certificate.
    pub any_certificate: bool,
    /// Whether a trust policy may leave open who of those that a token issuer vouches for.
    pub any_identity: bool,
    /// The longest its sessions may last, in seconds: 3,600 to 43,200.
    pub max_duration_seconds: Option<u32>,
    /// Whether it may be taken, and its sessions live.
    pub enabled: Option<bool>,
    /// What it allows at most, as a policy document; the empty text takes that bound away.
    pub boundary: Option<String>,
    /// Policies to have, or to have otherwise: name and document.
    pub put_policies: Vec<(String, String)>,
    /// The names of policies to have no longer.
    pub delete_policies: Vec<String>,
}

impl Operation for UpdateRole {
    const NAME: &'static str = "update-role";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        let changes = self.actions();
        // Whoever names nothing is told so only if a change would have been allowed.
        let actions = match changes.as_slice() {
            [] => &["iam:UpdateRole"],
            actions => actions,
        };
        let old = service.role_for(caller, actions, &self.role)?;
        if changes.is_empty() {
            return Err(ChangeError::NothingToChange.into());
        }
        let (settings, now) = (service.settings()?, service.now());
        let mut role = Role::clone(&old);
        let mut event = RoleChange::default();
        if self.changes_trust() {
            let ask = TrustAsk {
                role: &role.name,
                document: self.trust_policy.as_deref(),
                subjects: &self.subjects,
                anchor: self.trust_anchor.as_deref(),
                any_certificate: self.any_certificate,
                any_identity: self.any_identity,
            };
            let document = ask.document(service, &settings)?;
            role.trust_policy =
                Policy::parse(&document, PolicyKind::Trust).map_err(Error::TrustPolicy)?;
            event.trust_policy = Some(document);
        }
        if let Some(seconds) = self.max_duration_seconds {
            role.max_session_duration = seconds;
            event.max_session_duration = Some(seconds);
        }
        if let Some(enabled) = self.enabled {
            role.enabled = enabled;
            event.enabled = Some(enabled);
        }
        if let Some(text) = self.boundary {
            role.boundary = boundary(&text)?;
            event.boundary = Some(text);
        }
        for name in self.delete_policies {
            delete_policy(&mut role, &name)?;
            event.policies_deleted.push(name);
        }
        for (name, text) in self.put_policies {
            put_policy(&mut role, &name, &text)?;
            event.policies_put.push((name, text));
        }
        service.commit_role(caller, &old, role, event, now)
    }
}

impl UpdateRole {
    /// The actions of IAM that it is made of.
    fn actions(&self) -> Vec<&'static str> {
        let boundary = match self.boundary.as_deref() {
            Some("") => Some("iam:DeleteRolePermissionsBoundary"),
            Some(_) => Some("iam:PutRolePermissionsBoundary"),
            None => None,
        };
        let changes = [
            (self.changes_trust(), "iam:UpdateAssumeRolePolicy"),
            (
                self.max_duration_seconds.is_some() || self.enabled.is_some(),
                "iam:UpdateRole",
            ),
            (!self.put_policies.is_empty(), "iam:PutRolePolicy"),
            (!self.delete_policies.is_empty(), "iam:DeleteRolePolicy"),
        ];
        let named = changes
            .into_iter()
            .filter_map(|(named, action)| named.then_some(action));
        named.chain(boundary).collect()
    }

    fn changes_trust(&self) -> bool {
        self.trust_policy.is_some() || !self.subjects.is_empty() || self.trust_anchor.is_some()
    }
}

/// An empty text takes the bound away.
pub(super) fn boundary(text: &str) -> Result<Option<Boundary>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Boundary {
        name: INLINE.into(),
        policy: Policy::parse(text, PolicyKind::Boundary)?,
    }))
}

fn put_policy(role: &mut Role, name: &str, text: &str) -> Result<(), Error> {
    let policy = Policy::parse(text, PolicyKind::Identity)?;
    match role
        .identity_policies
        .iter_mut()
        .find(|own| own.name == name)
    {
        Some(own) => own.policy = policy,
        None => role.identity_policies.push(RolePolicy {
            name: name.into(),
            policy,
        }),
    }
    Ok(())
}

fn delete_policy(role: &mut Role, name: &str) -> Result<(), Error> {
    let place = role
        .identity_policies
        .iter()
        .position(|own| own.name == name);
    let place = place.ok_or_else(|| ChangeError::RolePolicyUnknown {
        role: role.name.clone(),
        policy: name.into(),
        known: role
            .identity_policies
            .iter()
            .map(|own| own.name.clone())
            .collect(),
    })?;
    role.identity_policies.remove(place);
    Ok(())
}

/// Denies everything to the sessions that a role has now: whoever trades again is let in. Puts the policy that the
/// console of IAM puts, under its name, so that taking it away later is the same too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeOlderSessions {
    /// The role, by name or ARN.
    pub role: String,
}

impl Operation for RevokeOlderSessions {
    const NAME: &'static str = "revoke-older-sessions";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        let old = service.role_for(caller, &["iam:PutRolePolicy"], &self.role)?;
        let now = service.now();
        let mut role = Role::clone(&old);
        let text = older_than(now + SECOND);
        put_policy(&mut role, REVOKE_OLDER_SESSIONS, &text)?;
        let event = RoleChange {
            policies_put: vec![(REVOKE_OLDER_SESSIONS.into(), text)],
            denies_older: true,
            ..RoleChange::default()
        };
        service.commit_role(caller, &old, role, event, now)
    }
}

fn older_than(time: Time) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": ["*"],
            "Condition": { "DateLessThan": { "aws:TokenIssueTime": format_time(time) } },
        }],
    })
    .to_string()
}

/// Deletes a role. Its sessions end with it: one of the same name has another id.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRole {
    /// Its name or ARN.
    pub role: String,
    /// Whether profiles that list it shall list it no longer; else such a role stays.
    #[serde(default)]
    pub force: bool,
}

impl Operation for DeleteRole {
    const NAME: &'static str = "delete-role";
    type Answer = RoleView;

    fn run(self, service: &Service, caller: &Caller) -> Result<RoleView, Error> {
        let role = service.role_for(caller, &["iam:DeleteRole"], &self.role)?;
        let (settings, now) = (service.settings()?, service.now());
        let arn = settings.role_arn(&role);
        // 1. Who offers it.
        let all = service.load_all::<Profile>(&keyspace::profiles())?;
        let mut listing: Vec<Profile> = all
            .into_iter()
            .filter(|profile| profile.role_arns.contains(&arn))
            .collect();
        listing.sort_by(|one, other| one.name.cmp(&other.name));
        if !listing.is_empty() && !self.force {
            return Err(ChangeError::RoleListed {
                role: role.name.clone(),
                profiles: listing.into_iter().map(|profile| profile.name).collect(),
            }
            .into());
        }
        // 2. One commit: a role of the same name that is made later must not be offered because this one was.
        let key = settings.role_key(&role.account, &role.name)?;
        let mut commit = role
            .expect_unchanged(Commit::new().from_reserve(), key.clone())
            .delete(key);
        let mut profiles = Vec::with_capacity(listing.len());
        for profile in &listing {
            let id = profile.id.to_string();
            let old = service.profile_for(caller, "rolesanywhere:UpdateProfile", &id)?;
            let mut unlisted = Profile::clone(&old);
            unlisted.role_arns.retain(|listed| *listed != arn);
            commit = profiles::put_changed(commit, &old, &mut unlisted, now)?;
            profiles.push(settings.profile_arn(&unlisted));
        }
        let event = Event::RoleDeleted {
            role: arn,
            id: role.id.to_string(),
            profiles,
        };
        service.commit(commit, caller, now, event)?;
        Ok(RoleView::of(&role, &settings, &listing))
    }
}

/// What [`Event::RoleChanged`] tells.
#[derive(Default)]
struct RoleChange {
    trust_policy: Option<String>,
    max_session_duration: Option<u32>,
    enabled: Option<bool>,
    boundary: Option<String>,
    policies_put: Vec<(String, String)>,
    policies_deleted: Vec<String>,
    /// Whether all that is put denies the sessions of before. The log does not tell it apart.
    denies_older: bool,
}

impl RoleChange {
    /// Whether it ends what somebody may do: a role disabled, policies deleted and none put, older sessions denied.
    fn takes_away(&self) -> bool {
        let only_deletes = self.policies_put.is_empty()
            && !self.policies_deleted.is_empty()
            && self.trust_policy.is_none()
            && self.max_session_duration.is_none()
            && self.enabled.is_none()
            && self.boundary.is_none();
        self.enabled == Some(false) || only_deletes || self.denies_older
    }
}

impl Service {
    /// The role with a name or ARN, for a caller who may take every one of these actions on it.
    fn role_for(
        &self,
        caller: &Caller,
        actions: &[&str],
        reference: &str,
    ) -> Result<Loaded<Role>, Error> {
        let settings = self.settings()?;
        let arn = self
            .find_role(reference)?
            .map(|role| settings.role_arn(&role));
        for action in actions {
            self.authorize_found(caller, action, arn.clone())?;
        }
        self.role(reference)
    }

    /// Writes a changed role, unless somebody else changed it meanwhile.
    fn commit_role(
        &self,
        caller: &Caller,
        old: &Loaded<Role>,
        mut role: Role,
        change: RoleChange,
        now: Time,
    ) -> Result<RoleView, Error> {
        let settings = self.settings()?;
        role.revision = old.revision + 1;
        role.updated_at = now;
        role.validate()?;
        let key = settings.role_key(&role.account, &role.name)?;
        let mut commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, role.encode()?);
        if change.takes_away() {
            commit = commit.from_reserve();
        }
        let RoleChange {
            trust_policy,
            max_session_duration,
            enabled,
            boundary,
            policies_put,
            policies_deleted,
            denies_older: _,
        } = change;
        let event = Event::RoleChanged {
            role: settings.role_arn(&role),
            trust_policy,
            max_session_duration,
            enabled,
            boundary,
            policies_put,
            policies_deleted,
        };
        self.commit(commit, caller, now, event)?;
        let profiles = self.load_all::<Profile>(&keyspace::profiles())?;
        Ok(RoleView::of(&role, &settings, &profiles))
    }
}

/// What traces call the permissions boundary that a role has of its own.
const INLINE: &str = "inline";

/// The name of the policy by which the console of IAM ends the sessions of a role.
const REVOKE_OLDER_SESSIONS: &str = "AWSRevokeOlderSessions";

/// Times are whole seconds: a session of this very second may have begun before, so it is an older one too.
const SECOND: TimeDelta = TimeDelta::seconds(1);
