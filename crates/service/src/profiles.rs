//! Profiles of IAM Roles Anywhere: which roles, for how long, narrowed by what.

use bowline_policy::{Policy, PolicyKind};
use bowline_store::Commit;
use bowline_trust::{Profile, Uuid};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::Error;
use crate::keyspace;
use crate::named::{NameRecord, Named};
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

/// The profile that `role create` lists new roles in.
pub(crate) const DEFAULT_PROFILE: &str = "default";
/// The profile of operators.
pub(crate) const OPERATORS_PROFILE: &str = "operators";

impl Record for Profile {
    const WHAT: &'static str = "profile";
}

/// How profiles are found.
const PROFILES: Named<Profile> = Named {
    name_key: keyspace::profile_name,
    key: keyspace::profile,
    infix: ":profile/",
    arn: Settings::profile_arn,
};

/// A profile as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it can be used.
    pub enabled: bool,
    /// The ARNs of the roles it lists.
    pub roles: Vec<String>,
    /// The longest its sessions last, in seconds.
    pub duration_seconds: u32,
    /// Whether the caller may name the session.
    pub accept_role_session_name: bool,
    /// Whether its sessions count only over TLS with their certificate.
    #[serde(default)]
    pub sender_constrained: bool,
    /// The inline session policy.
    pub session_policy: Option<String>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

impl ProfileView {
    fn of(profile: &Profile, settings: &Settings) -> ProfileView {
        ProfileView {
            name: profile.name.clone(),
            id: profile.id.to_string(),
            arn: settings.profile_arn(profile),
            enabled: profile.enabled,
            roles: profile.role_arns.clone(),
            duration_seconds: profile.duration_seconds,
            accept_role_session_name: profile.accept_role_session_name,
            sender_constrained: profile.sender_constrained,
            session_policy: profile
                .session_policy
                .as_ref()
                .map(|policy| policy.text().to_owned()),
            created: profile.created_at,
            updated: profile.updated_at,
        }
    }
}

impl Settings {
    pub(crate) fn profile_arn(&self, profile: &Profile) -> String {
        profile.arn(&self.partition, &self.region)
    }
}

/// A profile with the defaults, listing `roles`.
pub(crate) fn fresh(
    service: &Service,
    settings: &Settings,
    name: &str,
    roles: Vec<String>,
    now: Time,
) -> Result<Profile, Error> {
    let mut profile = Profile::new(
        Uuid::from_random(draw(&*service.entropy)),
        settings.account_id()?,
        name,
        now,
    );
    profile.role_arns = roles;
    profile.validate()?;
    Ok(profile)
}

/// Adds a new profile to a commit, under a name nobody has.
pub(crate) fn put_new(commit: Commit, profile: &Profile) -> Result<Commit, Error> {
    let name_key = keyspace::profile_name(&profile.name)?;
    Ok(commit
        .expect_absent(name_key.clone())
        .put(
            name_key,
            NameRecord {
                id: profile.id.to_string(),
            }
            .encode()?,
        )
        .put(
            keyspace::profile(&profile.id.to_string())?,
            profile.encode()?,
        ))
}

/// Adds a changed profile to a commit, which then expects that nobody else changed it.
pub(crate) fn put_changed(
    commit: Commit,
    old: &Loaded<Profile>,
    new: &mut Profile,
    now: Time,
) -> Result<Commit, Error> {
    new.revision = old.revision + 1;
    new.updated_at = now;
    new.validate()?;
    let key = keyspace::profile(&new.id.to_string())?;
    Ok(old
        .expect_unchanged(commit, key.clone())
        .put(key, new.encode()?))
}

impl Service {
    /// The profile with a name, id or ARN.
    pub(crate) fn profile(&self, reference: &str) -> Result<Loaded<Profile>, Error> {
        let settings = self.settings()?;
        match self.find(&settings, &PROFILES, reference)? {
            Some(profile) => Ok(profile),
            None => {
                let known = self.load_all::<Profile>(&keyspace::profiles())?;
                Err(Error::ProfileUnknown {
                    name: reference.into(),
                    known: known.into_iter().map(|profile| profile.name).collect(),
                })
            }
        }
    }
}

impl Service {
    /// The profile a caller names, if the caller may take `action` on it.
    pub(crate) fn profile_for(
        &self,
        caller: &Caller,
        action: &str,
        reference: &str,
    ) -> Result<Loaded<Profile>, Error> {
        let settings = self.settings()?;
        let found = self.find(&settings, &PROFILES, reference)?;
        self.authorize_found(
            caller,
            action,
            found.as_ref().map(|profile| settings.profile_arn(profile)),
        )?;
        self.profile(reference)
    }

    /// The profile with exactly this ARN, as the exchange names it.
    pub(crate) fn profile_by_arn(
        &self,
        settings: &Settings,
        arn: &str,
    ) -> Result<Loaded<Profile>, Error> {
        let found = if arn.contains(PROFILES.infix) {
            self.find(settings, &PROFILES, arn)?
        } else {
            None
        };
        found.ok_or_else(|| Error::SessionProfileUnknown { arn: arn.into() })
    }
}

/// What the log says of a profile that was written.
pub(crate) fn written(profile: &Profile, settings: &Settings, created: bool) -> Event {
    Event::ProfileWritten {
        profile: settings.profile_arn(profile),
        created,
        enabled: profile.enabled,
        roles: profile.role_arns.clone(),
        session_policy: profile
            .session_policy
            .as_ref()
            .map(|policy| policy.text().to_owned()),
        duration_seconds: profile.duration_seconds,
        sender_constrained: profile.sender_constrained,
    }
}

/// Creates a profile.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateProfile {
    /// Its name.
    pub name: String,
    /// The roles it lists, each by name or ARN.
    pub roles: Vec<String>,
    /// The longest its sessions last, in seconds: 900 to 43,200; 3,600 if not given.
    pub duration_seconds: Option<u32>,
    /// An inline session policy.
    pub session_policy: Option<String>,
    /// Whether the caller may name the session.
    pub accept_role_session_name: bool,
    /// Whether its sessions count only over TLS with their certificate.
    pub sender_constrained: bool,
    /// Whether it starts disabled.
    pub disabled: bool,
    /// Whether a profile of that name is answered as it is.
    pub if_missing: bool,
}

impl Operation for CreateProfile {
    const NAME: &'static str = "create-profile";
    type Answer = ProfileView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProfileView, Error> {
        service.authorize(caller, "rolesanywhere:CreateProfile", "*")?;
        let (settings, now) = (service.settings()?, service.now());
        let roles = pass_roles(service, caller, &self.roles)?;
        let mut profile = fresh(service, &settings, &self.name, roles, now)?;
        profile.enabled = !self.disabled;
        profile.accept_role_session_name = self.accept_role_session_name;
        profile.sender_constrained = self.sender_constrained;
        if let Some(seconds) = self.duration_seconds {
            profile.duration_seconds = seconds;
        }
        profile.session_policy = session_policy(self.session_policy.as_deref())?;
        profile.validate()?;
        crate::named::check_name(&profile.name)?;
        let exists = service
            .load::<NameRecord>(&keyspace::profile_name(&profile.name)?)?
            .is_some();
        if exists && self.if_missing {
            return Ok(ProfileView::of(&*service.profile(&self.name)?, &settings));
        }
        let event = written(&profile, &settings, true);
        service.commit_new(
            "profile",
            &profile.name,
            put_new(Commit::new(), &profile)?,
            caller,
            now,
            event,
        )?;
        Ok(ProfileView::of(&profile, &settings))
    }
}

/// The ARNs of roles that the caller may hand out.
fn pass_roles(service: &Service, caller: &Caller, roles: &[String]) -> Result<Vec<String>, Error> {
    let settings = service.settings()?;
    roles
        .iter()
        .map(|reference| {
            let arn = settings.role_arn(&*service.role(reference)?);
            service.authorize(caller, "iam:PassRole", &arn)?;
            Ok(arn)
        })
        .collect()
}

/// An empty text clears the policy, as Terraform sends it.
fn session_policy(text: Option<&str>) -> Result<Option<Policy>, Error> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => Ok(Some(Policy::parse(text, PolicyKind::Session)?)),
    }
}

/// Lists the profiles.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListProfiles {}

impl Operation for ListProfiles {
    const NAME: &'static str = "list-profiles";
    type Answer = Vec<ProfileView>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<ProfileView>, Error> {
        service.authorize(caller, "rolesanywhere:ListProfiles", "*")?;
        let settings = service.settings()?;
        let mut profiles = service.load_all::<Profile>(&keyspace::profiles())?;
        profiles.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(profiles
            .iter()
            .map(|profile| ProfileView::of(profile, &settings))
            .collect())
    }
}

/// Shows one profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowProfile {
    /// Its name, id or ARN.
    pub profile: String,
}

impl Operation for ShowProfile {
    const NAME: &'static str = "show-profile";
    type Answer = ProfileView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProfileView, Error> {
        let profile = service.profile_for(caller, "rolesanywhere:GetProfile", &self.profile)?;
        Ok(ProfileView::of(&profile, &*service.settings()?))
    }
}

/// Changes a profile. What is not named stays.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateProfile {
    /// Its name, id or ARN.
    pub profile: String,
    /// Roles to list in addition, each by name or ARN.
    pub add_roles: Vec<String>,
    /// Roles to list no longer, each by name or ARN.
    pub remove_roles: Vec<String>,
    /// The longest its sessions last, in seconds.
    pub duration_seconds: Option<u32>,
    /// An inline session policy; the empty text clears it.
    pub session_policy: Option<String>,
    /// Whether the caller may name the session.
    pub accept_role_session_name: Option<bool>,
    /// Whether its sessions from now on count only over TLS with their certificate.
    pub sender_constrained: Option<bool>,
    /// Whether it can be used.
    pub enabled: Option<bool>,
}

impl Operation for UpdateProfile {
    const NAME: &'static str = "update-profile";
    type Answer = ProfileView;

    fn run(self, service: &Service, caller: &Caller) -> Result<ProfileView, Error> {
        let old = service.profile_for(caller, "rolesanywhere:UpdateProfile", &self.profile)?;
        let (settings, now) = (service.settings()?, service.now());
        let mut profile = Profile::clone(&old);
        for arn in pass_roles(service, caller, &self.add_roles)? {
            if !profile.role_arns.contains(&arn) {
                profile.role_arns.push(arn);
            }
        }
        for reference in &self.remove_roles {
            let arn = settings.role_arn(&*service.role(reference)?);
            profile.role_arns.retain(|listed| *listed != arn);
        }
        if let Some(seconds) = self.duration_seconds {
            profile.duration_seconds = seconds;
        }
        if self.session_policy.is_some() {
            profile.session_policy = session_policy(self.session_policy.as_deref())?;
        }
        if let Some(accept) = self.accept_role_session_name {
            profile.accept_role_session_name = accept;
        }
        if let Some(constrained) = self.sender_constrained {
            profile.sender_constrained = constrained;
        }
        if let Some(enabled) = self.enabled {
            profile.enabled = enabled;
        }
        let mut commit = put_changed(Commit::new(), &old, &mut profile, now)?;
        if self.enabled == Some(false) {
            commit = commit.from_reserve();
        }
        let event = written(&profile, &settings, false);
        service.commit(commit, caller, now, event)?;
        Ok(ProfileView::of(&profile, &settings))
    }
}
