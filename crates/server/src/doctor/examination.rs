//! The checks, one after the other.

use std::time::Duration;

use musher_client::{Client, Error, Events};
use musher_protocol::{
    CommandRequest, CreateWorker, DeleteWorkerQuery, Delivery, DiagnosticCode, Envelope, EventsQuery,
    InputKind, InputRequest, Intent, ProfileSelector, Until, WorkerDetail, WorkerId, WorkerQuery,
};
use tokio::time::{Instant, timeout};

use super::{
    listening::{
        close_code, first_event, first_frame, heartbeat, next_event, ping, socket_behind, sse_behind,
    },
    report::{Finding, Problem, Report, within},
};

/// A server answers what it need not wait for at once, over any way.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// A stream says its first word at once; what is not here by then is held back.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// A turn that takes longer is not waited for; what it said so far will do.
const TURN_LIMIT: Duration = Duration::from_secs(30);
/// An event that is later than its own ack by this much was collected on the way.
const LATE: Duration = Duration::from_secs(2);
/// Enough to see that a stream is its pages, and little to read.
const TAIL: u64 = 200;

/// The worker that is looked at.
#[derive(Debug)]
pub(super) enum Subject {
    /// One that is there; it is only looked at.
    Known(WorkerId),
    /// One of our own, which goes when all is done.
    Own {
        /// What runs.
        profile: String,
    },
}

/// An examination under way.
#[derive(Debug)]
pub(super) struct Examination {
    client: Client,
    pub(super) report: Report,
    /// What has to be deleted.
    own: Option<WorkerId>,
}

impl Examination {
    pub(super) fn new(client: Client) -> Self {
        Self { client, report: Report::default(), own: None }
    }

    pub(super) async fn run(&mut self, subject: Subject) {
        let began = Instant::now();
        let reachable = within(ANSWER_LIMIT, self.client.livez()).await;
        let reachable = reachable.map(|()| format!("answers in {} ms", began.elapsed().as_millis()));
        if self.note("reachable", reachable).is_none() {
            return;
        }
        let runtime = within(ANSWER_LIMIT, self.client.runtime()).await;
        if self
            .note("token", runtime.map(|runtime| format!("may observe; Musher {}", runtime.version)))
            .is_none()
        {
            return;
        }
        let detail = match self.choose(subject).await {
            Ok(detail) => detail,
            Err(bad) => return self.report.note("worker", bad),
        };
        let worker = detail.worker_id;
        self.report.note("worker", Finding::Good(worker.to_string()));

        let began = Instant::now();
        let events = self.keep("sse snapshot", first_event(&self.client, &worker).await, began);
        let began = Instant::now();
        self.keep("socket snapshot", first_frame(&self.client, &worker).await, began);
        let latency = self.latency(&worker, events).await;
        self.report.note("latency", latency.unwrap_or_else(|bad| bad));

        match within(ANSWER_LIMIT, self.tail(&worker)).await {
            Err(bad) => self.report.note("pages", bad),
            Ok(log) => self.compare(&worker, &log).await,
        }
        let malformed =
            close_code(&self.client, &worker, Some("nonsense"), DiagnosticCode::CursorMalformed, 4400);
        let malformed = malformed.await;
        self.report.note("malformed cursor", malformed);
        let talking = close_code(&self.client, &worker, None, DiagnosticCode::ObservationOnly, 1008).await;
        self.report.note("talking", talking);
        if detail.status.is_terminal() {
            let over = || Finding::Skipped("the worker has ended, and its streams with it".to_owned());
            self.report.note("heartbeat", over());
            self.report.note("ping", over());
            return;
        }
        // Last, for it is silence that is listened to; both at the same time.
        let (heartbeat, ping) = tokio::join!(heartbeat(&self.client, &worker), ping(&self.client, &worker));
        self.report.note("heartbeat", heartbeat);
        self.report.note("ping", ping);
    }

    /// Deletes what was created for this, whatever became of it.
    pub(super) async fn clean_up(&mut self) {
        let Some(worker) = self.own.take() else { return };
        let deleted = within(TURN_LIMIT, async {
            self.client.cancel(&worker, &CommandRequest::default()).await?;
            self.client.delete_worker(&worker, &DeleteWorkerQuery::default()).await
        });
        let finding = match deleted.await {
            Ok(()) => Finding::Good(format!("{worker} is deleted")),
            Err(Finding::Bad(problem, why)) => Finding::Bad(problem, format!("{worker} stays: {why}")),
            Err(other) => other,
        };
        self.report.note("clean up", finding);
    }

    fn note(&mut self, name: &'static str, checked: Result<String, Finding>) -> Option<()> {
        let (finding, is_good) = match checked {
            Ok(message) => (Finding::Good(message), Some(())),
            Err(bad) => (bad, None),
        };
        self.report.note(name, finding);
        is_good
    }

    fn keep<T>(&mut self, name: &'static str, checked: Result<T, Finding>, began: Instant) -> Option<T> {
        let (finding, kept) = match checked {
            Ok(kept) => {
                (Finding::Good(format!("first, after {} ms", began.elapsed().as_millis())), Some(kept))
            }
            Err(bad) => (bad, None),
        };
        self.report.note(name, finding);
        kept
    }

    async fn choose(&mut self, subject: Subject) -> Result<WorkerDetail, Finding> {
        match subject {
            Subject::Known(worker) => {
                within(ANSWER_LIMIT, self.client.worker(&worker, &WorkerQuery::default())).await
            }
            Subject::Own { profile } => {
                let request = CreateWorker {
                    profile: ProfileSelector::Named { value: profile },
                    display_name: Some("musher doctor".to_owned()),
                    ..CreateWorker::new(Intent::Assistant { purpose: None })
                };
                let worker = within(ANSWER_LIMIT, self.client.create_worker(&request)).await?;
                self.own = Some(worker.worker_id.clone());
                Ok(worker)
            }
        }
    }

    /// Says something to a worker of our own, and looks how long after its ack the event comes.
    async fn latency(&self, worker: &WorkerId, events: Option<Events>) -> Result<Finding, Finding> {
        if self.own.is_none() {
            return Ok(Finding::Skipped(
                "the worker is only looked at; --profile makes one to talk to".to_owned(),
            ));
        }
        let request = InputRequest {
            kind: InputKind::User,
            content: "Say hello, and nothing else.".to_owned(),
            input_id: None,
            delivery: Delivery::Queue,
        };
        let ack = within(ANSWER_LIMIT, self.client.send_input(worker, &request)).await?;
        let acked_at = Instant::now();
        let Some(mut events) = events else {
            return Ok(Finding::Skipped("there is no stream to see it on".to_owned()));
        };
        let came = timeout(FIRST_LIMIT, async {
            loop {
                match next_event(&mut events).await? {
                    Some(event) if event.event_id == ack.event_id => return Ok(()),
                    Some(_) => {}
                    None => {
                        return Err(Finding::Bad(None, "the stream ended before the event came".to_owned()));
                    }
                }
            }
        });
        let after = match came.await {
            Ok(came) => came.map(|()| acked_at.elapsed())?,
            Err(_late) => FIRST_LIMIT,
        };
        // The turn fills the log for what is compared behind this; how it ends says nothing about streams.
        let _turn = self.client.wait_for(worker, Until::Idle, TURN_LIMIT).await;
        let says = format!("the event came {} ms after its ack", after.as_millis());
        Ok(if after < LATE { Finding::Good(says) } else { Finding::Bad(Some(Problem::ProxyBuffers), says) })
    }

    /// The end of the log as a page has it.
    async fn tail(&self, worker: &WorkerId) -> Result<Vec<Envelope>, Error> {
        let query = EventsQuery { tail: Some(TAIL), limit: Some(TAIL), ..EventsQuery::default() };
        Ok(self.client.events(worker, &query).await?.events)
    }

    /// Holds streams against a page: from its first event, and from its middle.
    async fn compare(&mut self, worker: &WorkerId, log: &[Envelope]) {
        let is_whole = log.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq);
        let [first, rest @ ..] = log else {
            self.report.note("pages", Finding::Bad(Some(Problem::LogDiffers), "the log is empty".to_owned()));
            return;
        };
        let says = format!("{} events, from {} on without a gap", log.len(), first.seq);
        self.report.note(
            "pages",
            if is_whole {
                Finding::Good(says)
            } else {
                Finding::Bad(Some(Problem::LogDiffers), "a page has a gap".to_owned())
            },
        );
        let middle = rest.len() / 2;
        let behind_middle = &rest[middle..];
        let at_middle = log[middle].cursor;
        for (name, after, expected) in
            [("sse is the log", first.cursor, rest), ("sse resumes", at_middle, behind_middle)]
        {
            let seen = timeout(ANSWER_LIMIT, sse_behind(&self.client, worker, after, expected.len())).await;
            self.report.note(name, held_against(expected, seen.ok(), Problem::ProxyBuffers));
        }
        for (name, after, expected) in
            [("socket is the log", first.cursor, rest), ("socket resumes", at_middle, behind_middle)]
        {
            let seen =
                timeout(ANSWER_LIMIT, socket_behind(&self.client, worker, after, expected.len())).await;
            self.report.note(name, held_against(expected, seen.ok(), Problem::ProxyBuffers));
        }
    }
}

/// Whether a stream is what a page has. What was not all there in time has this problem.
fn held_against(
    expected: &[Envelope],
    seen: Option<Result<Vec<Envelope>, Finding>>,
    late: Problem,
) -> Finding {
    let seen = match seen {
        Some(Ok(seen)) => seen,
        Some(Err(bad)) => return bad,
        None => {
            let says = format!("not all of {} events within {} s", expected.len(), ANSWER_LIMIT.as_secs());
            return Finding::Bad(Some(late), says);
        }
    };
    if seen == expected {
        return Finding::Good(format!("{} events, the same as in pages", seen.len()));
    }
    let same = seen.iter().zip(expected).take_while(|(seen, expected)| seen == expected).count();
    let says = format!("other events than pages have, from the {}th on", same + 1);
    Finding::Bad(Some(Problem::LogDiffers), says)
}
