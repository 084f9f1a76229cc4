use proptest::prelude::*;

use super::*;

const ACTIONS: [&str; 6] = [
    "s3:GetObject",
    "s3:PutObject",
    "s3:*",
    "s3:Get*",
    "*",
    "ec2:*",
];
const RESOURCES: [&str; 5] = [
    "*",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/${x:user, 'k'}",
    "arn:aws:s3:::b/${x:user}",
    "arn:aws:s3:::c/*",
];
const CONDITIONS: [&str; 9] = [
    "{}",
    r#"{"StringEquals":{"x:team":"a"}}"#,
    r#"{"StringNotEquals":{"x:team":["a","b"]}}"#,
    r#"{"StringLikeIfExists":{"x:team":"${x:user}*"}}"#,
    r#"{"ForAllValues:StringEquals":{"x:many":["a","b"]}}"#,
    r#"{"ForAnyValue:StringNotEquals":{"x:many":["a"]}}"#,
    r#"{"Null":{"x:team":"true"}}"#,
    r#"{"NumericLessThan":{"x:n":"5"},"NotIpAddress":{"x:team":"10.0.0.0/8"}}"#,
    r#"{"DateGreaterThan":{"x:n":"2020"},"Bool":{"x:team":"true"}}"#,
];

/// One statement, as the parts it is made of.
type Parts = (bool, bool, usize, bool, usize, usize);

fn parts() -> impl Strategy<Value = Parts> {
    (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.15),
        0..ACTIONS.len(),
        prop::bool::weighted(0.15),
        0..RESOURCES.len(),
        0..CONDITIONS.len(),
    )
}

fn print((denies, not_action, action, not_resource, resource, condition): &Parts) -> String {
    format!(
        r#"{{"Effect":"{}","{}Action":"{}","{}Resource":"{}","Condition":{}}}"#,
        if *denies { "Deny" } else { "Allow" },
        if *not_action { "Not" } else { "" },
        ACTIONS[*action],
        if *not_resource { "Not" } else { "" },
        RESOURCES[*resource],
        CONDITIONS[*condition],
    )
}

fn document(kind: PolicyKind, statements: &[Parts]) -> NamedPolicy {
    let printed: Vec<String> = statements.iter().map(print).collect();
    policy(kind, &printed.join(","))
}

#[derive(Debug, Clone)]
struct World {
    identity: Vec<Parts>,
    boundary: Option<Vec<Parts>>,
    guardrail: Option<Vec<Parts>>,
    sessions: Vec<Vec<Parts>>,
    bucket: Option<(bool, usize)>,
    cross_account: bool,
    context: Context,
    action: usize,
}

fn statements() -> impl Strategy<Value = Vec<Parts>> {
    prop::collection::vec(parts(), 0..4)
}

fn world() -> impl Strategy<Value = World> {
    let context = (
        prop::option::of(prop::sample::select(vec![
            "a", "b", "true", "10.0.0.1", "k*",
        ])),
        prop::option::of(prop::sample::select(vec!["k", "*", ""])),
        prop::option::of(prop::collection::vec(
            prop::sample::select(vec!["a", "b", ""]),
            0..3,
        )),
        prop::option::of(prop::sample::select(vec!["4", "5.0", "2021", "x"])),
    );
    let context = context.prop_map(|(team, user, many, n)| {
        let mut context = Context::new();
        let singles = [("x:team", team), ("x:user", user), ("x:n", n)];
        for (key, value) in singles {
            if let Some(value) = value {
                context.set(key, value);
            }
        }
        if let Some(many) = many {
            context.set_many("x:many", many);
        }
        context
    });
    let absent_or = || prop::option::weighted(0.4, statements());
    (
        statements(),
        absent_or(),
        absent_or(),
        prop::collection::vec(statements(), 0..3),
        prop::option::of((any::<bool>(), 0..4_usize)),
        prop::bool::weighted(0.2),
        context,
        0..2_usize,
    )
        .prop_map(
            |(identity, boundary, guardrail, sessions, bucket, cross_account, context, action)| {
                World {
                    identity,
                    boundary,
                    guardrail,
                    sessions,
                    bucket,
                    cross_account,
                    context,
                    action,
                }
            },
        )
}

impl World {
    fn layers(&self) -> Layers {
        let one = |kind, parts: &Vec<Parts>| vec![document(kind, parts)];
        let sessions = self
            .sessions
            .iter()
            .enumerate()
            .map(|(n, parts)| session_layer(&n.to_string(), one(PolicyKind::Session, parts)));
        Layers {
            guardrail: self
                .guardrail
                .as_ref()
                .map(|p| one(PolicyKind::Guardrail, p)),
            identity: one(PolicyKind::Identity, &self.identity),
            boundary: self.boundary.as_ref().map(|p| one(PolicyKind::Boundary, p)),
            sessions: sessions.collect(),
            resource: self.bucket.map(|(denies, who)| {
                let effect = if denies { "Deny" } else { "Allow" };
                bucket(effect, &aws([ROLE, SESSION, ACCOUNT, OTHER][who]))
            }),
        }
    }

    fn request(&self) -> Request {
        Request {
            account: if self.cross_account { OTHER } else { ACCOUNT }
                .parse()
                .unwrap(),
            context: self.context.clone(),
            action: ACTIONS[self.action].into(),
            ..request()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn a_decision_with_trace_equals_the_decision_without(world in world()) {
        let (layers, request) = (world.layers(), world.request());
        let (traced, trace) = evaluate_traced(&layers, &request);
        prop_assert_eq!(&evaluate(&layers, &request), &traced);
        prop_assert_eq!(trace.decision, traced.effect);
        prop_assert_eq!(trace.layers.len(), 4 + world.sessions.len());
        prop_assert!(trace.layers.iter().all(|layer| layer.nearest.len() <= 3));
    }

    #[test]
    fn an_explicit_deny_anywhere_wins(world in world(), place in 0..5_usize) {
        let mut layers = world.layers();
        match place {
            0 => layers.guardrail.get_or_insert_default().push(deny(PolicyKind::Guardrail)),
            1 => layers.identity.push(deny(PolicyKind::Identity)),
            2 => layers.boundary.get_or_insert_default().push(deny(PolicyKind::Boundary)),
            3 => layers.sessions.push(session_layer("x", vec![deny(PolicyKind::Session)])),
            _ => layers.resource = Some(bucket("Deny", "\"*\"")),
        }
        prop_assert_eq!(evaluate(&layers, &world.request()).effect, Effect::ExplicitDeny);
    }

    #[test]
    fn widening_an_allow_never_removes_access(world in world(), widen in any::<[bool; 3]>()) {
        let before = evaluate(&world.layers(), &world.request()).is_allowed();
        let mut wider = world.clone();
        let every = wider.identity.iter_mut()
            .chain(wider.sessions.iter_mut().flatten())
            .chain(wider.boundary.iter_mut().flatten());
        for statement in every.filter(|statement| !statement.0) {
            let (_, not_action, action, not_resource, resource, condition) = statement;
            if widen[0] { (*not_action, *action) = (false, 4) }
            if widen[1] { (*not_resource, *resource) = (false, 0) }
            if widen[2] { *condition = 0 }
        }
        let after = evaluate(&wider.layers(), &wider.request()).is_allowed();
        prop_assert!(!before || after);
    }

    #[test]
    fn adding_an_allow_never_removes_access(world in world(), extra in parts()) {
        let before = evaluate(&world.layers(), &world.request()).is_allowed();
        let mut wider = world.clone();
        wider.identity.push((false, extra.1, extra.2, extra.3, extra.4, extra.5));
        let after = evaluate(&wider.layers(), &wider.request()).is_allowed();
        prop_assert!(!before || after);
    }

    #[test]
    fn a_session_layer_only_narrows(world in world(), extra in statements()) {
        let before = evaluate(&world.layers(), &world.request()).is_allowed();
        let mut narrower = world.clone();
        narrower.sessions.push(extra);
        let after = evaluate(&narrower.layers(), &narrower.request()).is_allowed();
        prop_assert!(before || !after);
    }

    #[test]
    fn an_empty_layer_denies_what_an_absent_one_let_through(world in world()) {
        let mut empty = world.clone();
        empty.sessions.push(Vec::new());
        let named_itself = world.bucket == Some((false, 1)) && !world.cross_account;
        if !named_itself {
            prop_assert!(!evaluate(&empty.layers(), &empty.request()).is_allowed());
        }
    }

    #[test]
    fn case_of_keys_and_actions_does_not_matter(world in world()) {
        let mut other = world.request();
        other.action = other.action.to_uppercase();
        let mut context = Context::new();
        for (key, values) in other.context.iter() {
            let key = key.to_uppercase();
            match key.as_str() {
                "X:MANY" => context.set_many(&key, values),
                _ => context.set(&key, &values[0]),
            }
        }
        other.context = context;
        let layers = world.layers();
        prop_assert_eq!(evaluate(&layers, &other), evaluate(&layers, &world.request()));
    }

    #[test]
    fn no_request_panics(action in ".{0,30}", resource in ".{0,60}", value in ".{0,30}") {
        let layers = World {
            identity: (0..9).map(|n| (false, false, 4, false, n % 5, n)).collect(),
            boundary: None, guardrail: None, sessions: vec![], bucket: Some((false, 0)),
            cross_account: false, context: Context::new(), action: 0,
        }.layers();
        let context = Context::new().with("x:team", &value).with("x:user", &value)
            .with("x:n", &value).with_many("x:many", [&value]);
        let request = Request { action, resource, context, ..request() };
        let (decision, trace) = evaluate_traced(&layers, &request);
        prop_assert_eq!(&evaluate(&layers, &request), &decision);
        prop_assert!(trace.to_string().lines().count() < 20);
    }
}
