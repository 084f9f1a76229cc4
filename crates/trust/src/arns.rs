//! The names of things: ARNs of trust anchors, profiles, subjects, roles and sessions.
//!
//! Each is made in one place, so that what a token says, what a policy tests and what a client reads cannot differ.

use bowline_policy::AccountId;

use crate::ids::Uuid;

/// `arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/<uuid>`.
pub fn trust_anchor_arn(partition: &str, region: &str, account: &AccountId, id: Uuid) -> String {
    format!("arn:{partition}:rolesanywhere:{region}:{account}:trust-anchor/{id}")
}

/// `arn:aws:rolesanywhere:us-east-1:123456789012:profile/<uuid>`.
pub fn profile_arn(partition: &str, region: &str, account: &AccountId, id: Uuid) -> String {
    format!("arn:{partition}:rolesanywhere:{region}:{account}:profile/{id}")
}

/// `arn:aws:rolesanywhere:us-east-1:123456789012:subject/<uuid>`.
pub fn subject_arn(partition: &str, region: &str, account: &AccountId, id: Uuid) -> String {
    format!("arn:{partition}:rolesanywhere:{region}:{account}:subject/{id}")
}

/// `arn:aws:iam::123456789012:role/path/name`; the path begins and ends with `/`.
pub fn role_arn(partition: &str, account: &AccountId, path: &str, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:role{path}{name}")
}

/// `arn:aws:iam::123456789012:user/path/name`; the path begins and ends with `/`.
pub fn user_arn(partition: &str, account: &AccountId, path: &str, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:user{path}{name}")
}

/// `arn:aws:sts::123456789012:assumed-role/name/session`: the role's name **without** its path.
pub fn assumed_role_arn(
    partition: &str,
    account: &AccountId,
    role_name: &str,
    session_name: &str,
) -> String {
    format!("arn:{partition}:sts::{account}:assumed-role/{role_name}/{session_name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arn_has_the_form_that_clients_know() {
        let account: AccountId = "123456789012".parse().unwrap();
        let id: Uuid = "11111111-2222-3333-4444-555555555555".parse().unwrap();
        assert_eq!(
            trust_anchor_arn("aws", "us-east-1", &account, id),
            "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/11111111-2222-3333-4444-555555555555"
        );
        assert_eq!(
            profile_arn("aws-cn", "cn-north-1", &account, id),
            "arn:aws-cn:rolesanywhere:cn-north-1:123456789012:profile/11111111-2222-3333-4444-555555555555"
        );
        assert_eq!(
            subject_arn("aws", "us-east-1", &account, id),
            "arn:aws:rolesanywhere:us-east-1:123456789012:subject/11111111-2222-3333-4444-555555555555"
        );
        assert_eq!(
            role_arn("aws", &account, "/", "demo"),
            "arn:aws:iam::123456789012:role/demo"
        );
        assert_eq!(
            role_arn("aws", &account, "/app/web/", "demo"),
            "arn:aws:iam::123456789012:role/app/web/demo"
        );
        assert_eq!(
            user_arn("aws", &account, &format!("/{id}/"), "web-1"),
            "arn:aws:iam::123456789012:user/11111111-2222-3333-4444-555555555555/web-1"
        );
        assert_eq!(
            assumed_role_arn("aws", &account, "demo", "1f71"),
            "arn:aws:sts::123456789012:assumed-role/demo/1f71"
        );
    }
}
