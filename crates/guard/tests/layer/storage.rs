//! A storage server on `s3s`: what comes past the layer opens nothing, and neither does what two readers read in two
//! ways.

use std::sync::Arc;

use bowline_guard::{Guard, GuardAccess, GuardAuth, GuardLayer};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use s3s::service::{S3Service, S3ServiceBuilder};
use tower::{Layer, Service};

use crate::world::{World, body};

/// A bucket `data` and a bucket `batch`, with an object each.
fn storage(folder: &std::path::Path) -> S3Service {
    for (bucket, key) in [("data/batch", "a"), ("batch", "a")] {
        std::fs::create_dir_all(folder.join(bucket)).unwrap();
        std::fs::write(folder.join(bucket).join(key), format!("in {bucket}")).unwrap();
    }
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(GuardAuth);
    builder.set_access(GuardAccess);
    builder.build()
}

/// Status and text of an answer.
async fn get<S, R>(mut service: S, request: Request<Full<Bytes>>) -> (u16, String)
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<R>>,
    S::Error: std::fmt::Debug,
    R: hyper::body::Body,
    R::Error: std::fmt::Debug,
{
    let answer = service.call(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = match answer.into_body().collect().await {
        Ok(text) => text.to_bytes(),
        Err(error) => panic!("the answer broke off: {error:?}"),
    };
    (status, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn what_comes_past_the_layer_opens_nothing() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    let anonymous = Request::get("/data/batch/a").header("host", "s3.test");
    for request in [
        world.signed("GET", "/data/batch/a", &[], b""),
        world.presigned("GET", "/data/batch/a", b""),
        anonymous.body(body(b"")).unwrap(),
    ] {
        let (status, text) = get(storage.clone(), request).await;
        assert_eq!(status, 403, "{text}");
        assert!(text.contains("did not come through the guard"), "{text}");
    }
    let layer = GuardLayer::s3(
        Arc::new(Guard::in_process(world.service.clone())),
        Vec::new(),
    );
    for request in [
        world.signed("GET", "/data/batch/a", &[], b""),
        world.presigned("GET", "/data/batch/a", b""),
    ] {
        let through = get(layer.layer(storage.clone()), request).await;
        assert_eq!(through, (200, "in data/batch".to_owned()));
    }
}

#[tokio::test]
async fn a_request_that_is_read_in_two_ways_is_refused() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let guard = Arc::new(Guard::in_process(world.service.clone()));
    // The layer takes data.s3.test for the bucket data; the library was not told, and would open the bucket batch.
    let layer = GuardLayer::s3(guard, vec!["s3.test".into()]);
    let request = world.signed_at("data.s3.test", "GET", "/batch/a");
    let (status, text) = get(layer.layer(storage(folder.path())), request).await;
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("read in two ways"), "{text}");
}
