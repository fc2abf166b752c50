use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use musher_backend::{Input, Link, Report};
use tokio::{net::TcpSocket, time::sleep};

use super::*;
use crate::{Pace, session::scene};

/// The time between two pieces of an answer.
const STEP: Duration = Duration::from_secs(100);

/// An answer in pieces, with a step before each: a comment (`c`), an event (`e`), or nothing more for ever (`_`).
fn exchange(pieces: &'static str) -> Exchange {
    let body = stream::unfold(pieces.chars(), |mut pieces| async move {
        let piece = pieces.next()?;
        sleep(STEP).await;
        let bytes = match piece {
            'c' => ": still here\n\n",
            'e' => "data: {}\n\n",
            _ => std::future::pending().await,
        };
        let frame = Frame::data(Bytes::from_static(bytes.as_bytes()));
        Some((Ok::<_, Infallible>(frame), pieces))
    });
    let body = reqwest::Body::wrap(StreamBody::new(Box::pin(body)));
    Exchange::of(http::Response::new(body).into(), Pace::default().silence)
}

/// Takes every event for progress, and never hears of an end.
#[derive(Debug)]
struct Working;

impl Reader for Working {
    fn event(&mut self, _: &SseEvent, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        pieces.push(Piece::Progress);
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<Piece>) -> Result<(), Failure> {
        Err(Failure::broken("the stream is over"))
    }
}

#[tokio::test(start_paused = true)]
async fn any_byte_proves_a_connection_and_only_an_event_is_progress() {
    for (pieces, expected, steps) in [
        ("ccccceccccceccccc", "the stream is over", 17.0),
        ("cccceccccccc", "the model made no progress for 600 s", 12.0),
        ("ccccccc", "the model made no progress for 600 s", 7.0),
        ("ce_", "the provider sent nothing for 120 s", 3.2),
        ("_", "the provider sent nothing for 120 s", 1.2),
    ] {
        let (link, _runtime) = Link::pair();
        let mut session = scene::session(link, "http://nobody", Vec::new());
        let mut turn = Turn::new(Input::user("go"));
        let before = Instant::now();
        let mut reading = Reading::new(exchange(pieces), Box::new(Working), 0);
        let read = session.read(&mut reading, &mut turn, &Purpose::Turn).await.unwrap();
        assert_eq!(
            (read, before.elapsed()),
            (Err(Failure::broken(expected)), STEP.mul_f64(steps)),
            "{pieces}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_vendor_comes_back_behind_its_wait_and_not_all_at_once() {
    let wait = Duration::from_secs(100);
    let (link, _runtime) = Link::pair();
    let line = scene::session(link, "http://nobody", Vec::new()).line;
    let before = Instant::now();
    line.be_quiet(wait);
    let waiting = (0..20).map(|_| {
        let line = line.clone();
        async move {
            let (link, _runtime) = Link::pair();
            let mut session = Session { line, ..scene::session(link, "http://nobody", Vec::new()) };
            session.keep_quiet().await.unwrap();
            before.elapsed()
        }
    });
    let mut back = futures_util::future::join_all(waiting).await;
    back.sort();
    assert!(wait <= back[0] && back[19] <= wait.mul_f64(1.26), "{back:?}");
    assert!(back[19] - back[0] > Duration::from_secs(1), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_vendor_makes_longer_meanwhile_is_waited_out() {
    let (link, _runtime) = Link::pair();
    let mut session = scene::session(link, "http://nobody", Vec::new());
    let line = session.line.clone();
    let before = Instant::now();
    line.be_quiet(Duration::from_secs(10));
    let longer = async {
        sleep(Duration::from_secs(5)).await;
        line.be_quiet(Duration::from_secs(60));
    };
    let (kept, ()) = tokio::join!(session.keep_quiet(), longer);
    kept.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(65), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_cannot_be_reached_is_tried_five_times() {
    // It has its port, so that nobody else gets it, and does not listen.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = deaf.local_addr().unwrap();
    let (link, mut runtime) = Link::pair();
    let mut session = scene::session(link, &format!("http://{nobody}"), Vec::new());
    let mut turn = Turn::new(Input::user("go"));
    let halted = session.ask(&mut turn, &mut Purpose::Turn).await;
    let Err(Halt::End(TurnEnd::Failed(error))) = halted else { panic!("{halted:?}") };
    assert_eq!(error.code, "provider_unreachable");
    drop(session);
    let mut attempts = Vec::new();
    while let Some(report) = runtime.reports.recv().await {
        let Report::Event(Event::Retrying { attempt, max_attempts, .. }) = report else {
            panic!("{report:?}")
        };
        attempts.push((attempt, max_attempts));
    }
    assert_eq!(attempts, [(2, 5), (3, 5), (4, 5), (5, 5)]);
}
