//! Which path is found, and that what is given beside it does not matter.

use proptest::prelude::*;

use super::*;

#[test]
fn a_chain_is_found_whatever_the_order_and_the_company() {
    let root = root();
    let upper = intermediate(&root, "upper");
    let lower = intermediate(&upper, "lower");
    let leaf = leaf(&lower);
    let stranger = intermediate(&root_with("elsewhere", &as_is), "stranger");
    let given = [
        &leaf,
        &stranger.certificate,
        &root.certificate,
        &upper.certificate,
        &lower.certificate,
        &upper.certificate,
    ];
    let given: Vec<Certificate> = given.into_iter().cloned().collect();
    let expected = [
        &leaf,
        &lower.certificate,
        &upper.certificate,
        &root.certificate,
    ]
    .map(Clone::clone);
    let anchors = [root.certificate.clone()];
    let path = verify(&leaf, &given, &anchors, &[], &PathRules::strict(), now()).unwrap();
    assert_eq!(path.certificates(), expected);
}

#[test]
fn an_anchor_need_not_be_self_signed() {
    let root = root();
    let ca = intermediate(&root, "issuing");
    let path = ask(&leaf(&ca), &[&root], &ca, &PathRules::strict()).unwrap();
    assert_eq!(path.certificates().len(), 2);
}

#[test]
fn another_path_is_taken_when_the_first_is_refused() {
    // One CA, certified by two roots; the first root has expired.
    let old = root_with("old root", &|params| params.not_after = moment(-1));
    let new = root_with("new root", &as_is);
    let by_new = intermediate_with(&new, "issuing", &|params| params.not_after = moment(10));
    let mut params = by_new.params.clone();
    params.not_after = moment(400);
    let by_old = read(params.signed_by(&by_new.key, &old.issuer()).unwrap().der());
    let leaf = leaf(&by_new);
    let anchors = [old.certificate.clone(), new.certificate.clone()];
    let sent = [by_old.clone(), by_new.certificate.clone()];
    let path = verify(&leaf, &sent, &anchors, &[], &PathRules::strict(), now()).unwrap();
    assert_eq!(path.anchor(), &new.certificate);
    let only_old = verify(&leaf, &[by_old], &anchors, &[], &PathRules::strict(), now());
    refused("anchor_expired", only_old);
}

#[test]
fn of_two_paths_the_longer_lived_is_taken() {
    let root = root();
    let short = intermediate_with(&root, "issuing", &|params| params.not_after = moment(2));
    let mut params = short.params.clone();
    params.not_after = moment(300);
    let long = read(params.signed_by(&short.key, &root.issuer()).unwrap().der());
    let anchors = [root.certificate.clone()];
    let leaf = leaf_with(&short, &|params| params.not_after = moment(200));
    for sent in [
        [short.certificate.clone(), long.clone()],
        [long.clone(), short.certificate.clone()],
    ] {
        let path = verify(&leaf, &sent, &anchors, &[], &plain(), now()).unwrap();
        assert_eq!(path.good_until(), at(200));
    }
}

#[test]
fn anchors_of_one_name_are_told_apart_by_their_keys() {
    let (one, other) = (root(), root());
    let leaf = leaf(&other);
    let anchors = [one.certificate.clone(), other.certificate.clone()];
    let path = verify(&leaf, &[], &anchors, &[], &PathRules::strict(), now()).unwrap();
    assert_eq!(path.anchor(), &other.certificate);
}

#[test]
fn a_heap_of_cas_that_certify_each_other_is_given_up_soon() {
    // All bear one name, so each could have signed each; none is signed by the anchor.
    let root = root();
    let stranger = root_with("ring", &as_is);
    let ring: Vec<Authority> = (0..SEARCHED_INTERMEDIATES_MAX)
        .map(|_| intermediate(&stranger, "ring"))
        .collect();
    let bridge = root_with("root", &as_is);
    let bridge = intermediate(&bridge, "ring");
    let mut sent: Vec<Certificate> = ring
        .iter()
        .skip(1)
        .map(|ca| ca.certificate.clone())
        .collect();
    let leaf = leaf(&ring[0]);
    let anchors = [root.certificate];
    refused(
        "signature_invalid",
        verify(&leaf, &sent, &anchors, &[], &plain(), now()),
    );
    // One that claims to come from the anchor does not let the search begin.
    sent.push(bridge.certificate);
    refused(
        "signature_invalid",
        verify(&leaf, &sent, &anchors, &[], &plain(), now()),
    );
}

#[test]
fn a_path_is_found_in_a_heap_of_cas() {
    let root = root();
    let upper = intermediate(&root, "upper");
    let lower = intermediate(&upper, "lower");
    let stranger = root_with("ring", &as_is);
    let heap =
        (2..SEARCHED_INTERMEDIATES_MAX).map(|_| intermediate(&stranger, "lower").certificate);
    let sent: Vec<Certificate> = heap
        .chain([lower.certificate.clone(), upper.certificate])
        .collect();
    let path = verify(
        &leaf(&lower),
        &sent,
        &[root.certificate],
        &[],
        &PathRules::strict(),
        now(),
    )
    .unwrap();
    assert_eq!(path.certificates().len(), 4);
}

#[test]
fn a_leaf_that_is_its_own_anchor_is_refused() {
    let key = KeyPair::generate().unwrap();
    let leaf = read(leaf_params(&as_is).self_signed(&key).unwrap().der());
    refused(
        "anchor_not_ca",
        verify(
            &leaf,
            &[],
            std::slice::from_ref(&leaf),
            &[],
            &plain(),
            now(),
        ),
    );
    let root = root().certificate;
    refused(
        "leaf_is_ca",
        verify(
            &root,
            &[],
            std::slice::from_ref(&root),
            &[],
            &plain(),
            now(),
        ),
    );
}

#[test]
fn self_issued_intermediates_do_not_count_towards_the_limit() {
    let root = root();
    let first = intermediate(&root, "issuing");
    let rolled = intermediate(&first, "issuing");
    let rules = PathRules {
        max_intermediates: 1,
        ..PathRules::strict()
    };
    ask(&leaf(&rolled), &[&first, &rolled], &root, &rules).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_intermediates(seed in any::<u64>(), drop in 0usize..8) {
        let given = graph();
        let mut sent: Vec<Certificate> = given.intermediates.clone();
        // Without one of them the answer may differ, yet by the same rule in every order.
        if drop < sent.len() {
            sent.remove(drop);
        }
        let ask = |sent: &[Certificate]| {
            verify(&given.leaf, sent, &given.anchors, &[], &PathRules::strict(), now())
                .map(|path| path.certificates().to_vec())
        };
        let expected = ask(&sent);
        let mut order = seed;
        for index in (1..sent.len()).rev() {
            order = order.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            sent.swap(index, (order >> 33) as usize % (index + 1));
        }
        prop_assert_eq!(ask(&sent), expected);
    }
}

struct Graph {
    leaf: Certificate,
    intermediates: Vec<Certificate>,
    anchors: Vec<Certificate>,
}

/// Two roots, an expired cross certificate, a good one, a CA below both, and a stranger.
fn graph() -> &'static Graph {
    static GRAPH: std::sync::OnceLock<Graph> = std::sync::OnceLock::new();
    GRAPH.get_or_init(|| {
        let (one, two) = (root_with("one", &as_is), root_with("two", &as_is));
        let issuing = intermediate(&one, "issuing");
        let again = |issuer: &Authority, end: i64| {
            let mut params = issuing.params.clone();
            params.not_after = moment(end);
            read(
                params
                    .signed_by(&issuing.key, &issuer.issuer())
                    .unwrap()
                    .der(),
            )
        };
        let lower = intermediate(&issuing, "lower");
        let intermediates = vec![
            again(&two, -1),
            again(&two, 20),
            issuing.certificate.clone(),
            lower.certificate.clone(),
            intermediate(&root(), "stranger").certificate,
            one.certificate.clone(),
        ];
        Graph {
            leaf: leaf(&lower),
            intermediates,
            anchors: vec![one.certificate, two.certificate],
        }
    })
}
