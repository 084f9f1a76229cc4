//! Each operation: its parameters on the way in, its elements on the way out, both in the order of the published model
//! (API version 2011-06-15).

use bowline_service::{
    AccessKeyInfo, AssumeRole, AssumeRoleWithSaml, AssumeRoleWithWebIdentity, AssumedRole,
    CallerIdentity, DecodeAuthorizationMessage, DecodedMessage, Error, FederatedRole,
    GetAccessKeyInfo, GetSessionToken, GetWebIdentityToken, IdentityToken, SamlRole, SessionToken,
    StsCredentials,
};

use super::form::Form;
use super::xml::Members;

pub(super) fn caller_identity(result: &mut Members, identity: &CallerIdentity) {
    // AWS itself answers in this order.
    result.text("Arn", &identity.arn);
    result.text("UserId", &identity.user_id);
    result.text("Account", &identity.account);
}

pub(super) fn assume_role(form: &Form) -> Result<AssumeRole, Error> {
    form.refuse(
        "ProvidedContexts",
        "contexts of other identity providers are not understood here: leave them out",
    )?;
    Ok(AssumeRole {
        role_arn: form.needed("RoleArn")?,
        role_session_name: form.needed("RoleSessionName")?,
        policy: form.text("Policy"),
        policy_arns: form.list_of("PolicyArns", "arn")?,
        duration_seconds: form.number("DurationSeconds")?,
        tags: form.pairs("Tags")?,
        transitive_tag_keys: form.list("TransitiveTagKeys")?,
        external_id: form.text("ExternalId"),
        serial_number: form.text("SerialNumber"),
        token_code: form.text("TokenCode"),
        source_identity: form.text("SourceIdentity"),
        minimum_session_token_size: form.number("MinimumSessionTokenSize")?,
    })
}

pub(super) fn assumed_role(result: &mut Members, assumed: &AssumedRole) {
    credentials(result, &assumed.credentials);
    assumed_role_user(result, assumed);
    result.number("PackedPolicySize", assumed.packed_policy_size);
    ending(result, assumed);
}

pub(super) fn assume_role_with_web_identity(
    form: &Form,
) -> Result<AssumeRoleWithWebIdentity, Error> {
    Ok(AssumeRoleWithWebIdentity {
        role_arn: form.needed("RoleArn")?,
        role_session_name: form.needed("RoleSessionName")?,
        web_identity_token: form.needed("WebIdentityToken")?.into(),
        provider_id: form.text("ProviderId"),
        policy: form.text("Policy"),
        policy_arns: form.list_of("PolicyArns", "arn")?,
        duration_seconds: form.number("DurationSeconds")?,
        minimum_session_token_size: form.number("MinimumSessionTokenSize")?,
    })
}

pub(super) fn federated_role(result: &mut Members, role: &FederatedRole) {
    credentials(result, &role.assumed.credentials);
    result.text("SubjectFromWebIdentityToken", &role.subject);
    assumed_role_user(result, &role.assumed);
    result.number("PackedPolicySize", role.assumed.packed_policy_size);
    result.text("Provider", &role.provider);
    result.text("Audience", &role.audience);
    ending(result, &role.assumed);
}

pub(super) fn assume_role_with_saml(form: &Form) -> Result<AssumeRoleWithSaml, Error> {
    Ok(AssumeRoleWithSaml {
        role_arn: form.needed("RoleArn")?,
        principal_arn: form.needed("PrincipalArn")?,
        saml_assertion: form.needed("SAMLAssertion")?.into(),
        policy: form.text("Policy"),
        policy_arns: form.list_of("PolicyArns", "arn")?,
        duration_seconds: form.number("DurationSeconds")?,
        minimum_session_token_size: form.number("MinimumSessionTokenSize")?,
    })
}

pub(super) fn saml_role(result: &mut Members, role: &SamlRole) {
    credentials(result, &role.assumed.credentials);
    assumed_role_user(result, &role.assumed);
    result.number("PackedPolicySize", role.assumed.packed_policy_size);
    result.text("Subject", &role.subject);
    result.text("SubjectType", &role.subject_type);
    result.text("Issuer", &role.issuer);
    result.text("Audience", &role.audience);
    result.text("NameQualifier", &role.name_qualifier);
    ending(result, &role.assumed);
}

pub(super) fn get_session_token(form: &Form) -> Result<GetSessionToken, Error> {
    Ok(GetSessionToken {
        duration_seconds: form.number("DurationSeconds")?,
        serial_number: form.text("SerialNumber"),
        token_code: form.text("TokenCode"),
        minimum_session_token_size: form.number("MinimumSessionTokenSize")?,
    })
}

pub(super) fn session_token(result: &mut Members, token: &SessionToken) {
    credentials(result, &token.credentials);
    sizes(result, token.packed_policy_size, token.session_token_size);
}

pub(super) fn decode_authorization_message(
    form: &Form,
) -> Result<DecodeAuthorizationMessage, Error> {
    Ok(DecodeAuthorizationMessage {
        encoded_message: form.needed("EncodedMessage")?,
    })
}

pub(super) fn decoded_message(result: &mut Members, message: &DecodedMessage) {
    result.text("DecodedMessage", &message.decoded_message);
}

pub(super) fn get_access_key_info(form: &Form) -> Result<GetAccessKeyInfo, Error> {
    Ok(GetAccessKeyInfo {
        access_key_id: form.needed("AccessKeyId")?,
    })
}

pub(super) fn access_key_info(result: &mut Members, info: &AccessKeyInfo) {
    result.text("Account", &info.account);
}

pub(super) fn get_web_identity_token(form: &Form) -> Result<GetWebIdentityToken, Error> {
    Ok(GetWebIdentityToken {
        audiences: form.list("Audience")?,
        signing_algorithm: form.needed("SigningAlgorithm")?,
        duration_seconds: form.number("DurationSeconds")?,
        tags: form.pairs("Tags")?,
    })
}

pub(super) fn identity_token(result: &mut Members, token: &IdentityToken) {
    result.secret("WebIdentityToken", &token.web_identity_token);
    result.time("Expiration", token.expiration);
}

fn credentials(result: &mut Members, credentials: &StsCredentials) {
    result.group("Credentials", |inside| {
        inside.text("AccessKeyId", &credentials.access_key_id);
        inside.secret("SecretAccessKey", &credentials.secret_access_key);
        inside.secret("SessionToken", &credentials.session_token);
        inside.time("Expiration", credentials.expiration);
    });
}

fn assumed_role_user(result: &mut Members, assumed: &AssumedRole) {
    result.group("AssumedRoleUser", |user| {
        user.text("AssumedRoleId", &assumed.assumed_role_id);
        user.text("Arn", &assumed.assumed_role_arn);
    });
}

/// What stands last in the answer of every role that was assumed.
fn ending(result: &mut Members, assumed: &AssumedRole) {
    result.optional("SourceIdentity", assumed.source_identity.as_deref());
    let share = assumed.packed_policy_size;
    sizes(result, share, assumed.session_token_size);
}

/// The share of the largest token, in percent, and the bytes.
fn sizes(result: &mut Members, share: u32, bytes: u32) {
    result.number("SessionTokenUtilization", share);
    result.number("SessionTokenSize", bytes);
}
