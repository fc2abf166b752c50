//! Checks of large bodies beside the log.

use bytes::Bytes;
use musher_core::Blob;

use super::{
    Place,
    pair::Pair,
    read::{Read, Reply},
};

/// A body is found by the worker whose commit brought it, and by nobody else.
pub async fn a_body_belongs_to_its_worker(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [one, other] = [pair.create().await, pair.create().await];
    let bodies = [Bytes::new(), Bytes::from_static(b"a body"), Bytes::from(vec![0, 0xff, 0xfe])];
    for body in bodies {
        let commit = pair.draft(&one).blob(body.clone()).commit();
        assert_eq!(pair.append(commit).await, Ok(()));
        let digest = Blob::digest_of(&body);
        assert_eq!(pair.read(Read::Blob(one.clone(), digest)).await, Ok(Reply::Blob(Some(body))));
        assert_eq!(pair.read(Read::Blob(other.clone(), digest)).await, Ok(Reply::Blob(None)));
    }
}

/// A body may come again, in the same commit, in a later one and with another worker, whose stays when this one goes.
pub async fn a_body_may_come_again(place: &dyn Place) {
    let mut pair = Pair::open(place).await;
    let [one, other] = [pair.create().await, pair.create().await];
    let body = "a body that comes again";
    for worker in [&one, &one, &other] {
        let commit = pair.draft(worker).blob(body).blob(body).commit();
        assert_eq!(pair.append(commit).await, Ok(()));
    }
    assert!(pair.delete(&one).await);
    let digest = Blob::digest_of(body.as_bytes());
    assert_eq!(pair.read(Read::Blob(one, digest)).await, Ok(Reply::Blob(None)));
    assert_eq!(pair.read(Read::Blob(other, digest)).await, Ok(Reply::Blob(Some(body.into()))));
}
