//! Large bodies, whole and in ranges.

use musher_protocol::{Digest, ErrorCode, EventsReply, Payload, WorkerId};

use crate::{
    client::{Ask, Reply},
    world::World,
};

/// A worker that was told something large, and where that is.
async fn told(world: &World, words: &str) -> (WorkerId, String) {
    let worker = world.worker_id().await;
    world.say(&worker, words).await;
    let events: EventsReply =
        world.client().get(&format!("/v1/workers/{worker}/events?types=user_message")).await.read();
    let Payload::UserMessage { blob: Some(blob), .. } = &events.events[0].payload else {
        panic!("a large body: {events:?}")
    };
    assert_eq!(blob.bytes, words.len() as u64);
    let target = format!("/v1/workers/{worker}/blobs/{}", blob.digest);
    (worker, target)
}

/// The status, and what says which bytes these are.
fn shape(reply: &Reply) -> (u16, Option<&str>, Option<&str>) {
    (reply.status, reply.header("content-range"), reply.header("content-length"))
}

#[tokio::test]
async fn a_body_comes_as_plain_bytes_whole_or_in_ranges() {
    let world = World::new().await;
    let words: String = (0..20_000).map(|n| format!("{n:05} ")).collect();
    let (_, target) = told(&world, &words).await;

    let whole = world.client().get(&target).await;
    assert_eq!(shape(&whole), (200, None, Some("120000")));
    assert_eq!(whole.body, words);
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    whole.assert_guarded();

    let cases = [
        ("bytes=0-5", 0..6, Some("bytes 0-5/120000")),
        ("bytes=6-11", 6..12, Some("bytes 6-11/120000")),
        ("bytes=119994-", 119_994..120_000, Some("bytes 119994-119999/120000")),
        ("bytes=-6", 119_994..120_000, Some("bytes 119994-119999/120000")),
        ("bytes=119999-200000", 119_999..120_000, Some("bytes 119999-119999/120000")),
        ("bytes=0-1,3-4", 0..120_000, None),
    ];
    for (range, expected, place) in cases {
        let reply = world.client().ask(Ask::get(&target).with("range", range)).await;
        let status = if place.is_some() { 206 } else { 200 };
        let length = expected.len().to_string();
        assert_eq!(shape(&reply), (status, place, Some(length.as_str())), "{range}");
        assert_eq!(reply.body, words[expected], "{range}");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"), "{range}");
        reply.assert_guarded();
    }

    let beyond = world.client().ask(Ask::get(&target).with("range", "bytes=120000-")).await;
    assert_eq!(beyond.error(), ErrorCode::RangeNotSatisfiable);
    assert_eq!(beyond.header("content-range"), Some("bytes */120000"));
    let head =
        world.client().ask(Ask { method: "HEAD", ..Ask::get(&target).with("range", "bytes=0-5") }).await;
    assert_eq!((shape(&head), head.body.as_str()), ((200, None, Some("120000")), ""));
    world.end().await;
}

#[tokio::test]
async fn a_body_is_of_one_worker_only() {
    let world = World::new().await;
    let (worker, target) = told(&world, &"x".repeat(100_000)).await;
    let other = world.worker_id().await;
    let elsewhere = target.replace(worker.as_str(), other.as_str());
    assert_eq!(world.client().get(&elsewhere).await.error(), ErrorCode::BlobNotFound);
    let (_, digest) = target.rsplit_once('/').expect("a digest");
    digest.parse::<Digest>().expect("a digest");
    world.client().get(&target).await.ok();
    world.end().await;
}
