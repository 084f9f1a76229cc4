//! Ending the sessions that an identity provider vouched for.

use bowline_service::{RevokeSessions, ShowSession};

use super::*;

#[test]
fn the_sessions_of_a_provider_end_together_also_when_it_is_gone() {
    let arn = "arn:aws:iam::000000000000:oidc-provider/issuer.example/ci";
    for (named, deleted) in [("ci", false), (arn, false), (arn, true)] {
        let stage = Stage::new();
        let assumed = stage.assume(json!({})).unwrap().assumed;
        stage.caller(&assumed);
        if deleted {
            let delete = DeleteProvider {
                provider: "ci".into(),
            };
            delete.run(&stage.world.service, &OPERATOR).unwrap();
        }
        let revoke = RevokeSessions {
            provider: Some(named.into()),
            reason: "the issuer was broken into".into(),
            ..RevokeSessions::default()
        };
        let revoked = revoke.run(&stage.world.service, &OPERATOR).unwrap();
        assert_eq!(revoked.ids, [arn]);
        let show = ShowSession {
            session: assumed.credentials.access_key_id.clone(),
        };
        let shown = show.run(&stage.world.service, &OPERATOR).unwrap();
        assert_eq!(shown.ended_by.as_deref(), Some("provider"));
        let refusal = stage.signer(&assumed).err().expect("a refusal");
        assert_eq!(refusal.code(), "session_revoked", "{named}");
    }
}

#[test]
fn the_sessions_of_a_provider_end_with_it_and_stay_over() {
    let stage = Stage::new();
    let assumed = stage.assume(json!({})).unwrap().assumed;
    stage.caller(&assumed);
    let delete = DeleteProvider {
        provider: "ci".into(),
    };
    delete.run(&stage.world.service, &OPERATOR).unwrap();
    let over = |assumed| {
        let refusal = stage.signer(assumed).err().expect("a refusal");
        assert_eq!(refusal.code(), "session_revoked");
    };
    over(&assumed);
    stage.world.pass(6);
    // A provider of the same name and issuer vouches for others only.
    provider("ci").run(&stage.world.service, &OPERATOR).unwrap();
    over(&assumed);
    stage.caller(&stage.assume(json!({})).unwrap().assumed);
}
