//! The checks, one after the other.

use std::time::Duration;

use musher_client::{Client, Error, Events};
use musher_protocol::{
    CommandRequest, CreateWorker, Cursor, DeleteWorkerQuery, DiagnosticCode, Envelope, EventId, EventsQuery,
    IdempotencyKey, InputRequest, Intent, ListWorkersQuery, ProfileSelector, StopRequest, Until,
    WorkerDetail, WorkerId, WorkerQuery,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    listening::{
        close_code, ends_with_its_log, first_event, first_frame, heartbeat, next_event, over, ping,
        socket_behind, sse_behind,
    },
    pace::in_time,
    report::{Finding, Problem, Report, answered, within},
};

/// An event comes with its own ack; what is later than this was collected on the way.
const LATE: Duration = Duration::from_secs(2);
/// So many events as are compared come at once.
const LOG_LIMIT: Duration = Duration::from_secs(10);
/// A turn that takes longer is not waited for; what it said so far will do.
const TURN_LIMIT: Duration = Duration::from_secs(30);
/// What a session may take to end.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Enough to see that a stream is its pages, and little to read.
const TAIL: u64 = 200;
/// How often a create that was not answered is asked for again: for a quarter of a minute where answers come at once, which is
/// time for a server to end what it is at, or for a proxy to find it again.
const MOST_REPETITIONS: u32 = 6;
/// The wait before the second of them; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// A place that no log has come to.
const FUTURE: u64 = 1 << 40;
/// The label by which a worker of our own is found whose creation was not answered.
const MARK: &str = "musher-doctor";

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
    own: Option<Own>,
}

/// A worker of our own.
#[derive(Debug)]
enum Own {
    Created(WorkerId),
    /// It may be there, or come yet: nobody answered.
    Asked(Box<Asked>),
}

/// A create of our own.
#[derive(Debug)]
struct Asked {
    request: CreateWorker,
    /// Whoever asks again under it learns what became of it.
    key: IdempotencyKey,
    /// The worker's label would have it.
    mark: String,
}

impl Asked {
    fn what_may_stay(&self) -> String {
        format!("a worker labeled {MARK}={} may stay", self.mark)
    }
}

impl Examination {
    pub(super) fn new(client: Client) -> Self {
        Self { client, report: Report::default(), own: None }
    }

    /// Whether there is a server that lets us in.
    pub(super) async fn reach(&mut self) -> bool {
        let began = Instant::now();
        let reachable = answered(self.client.livez()).await;
        let reachable = reachable.map(|()| format!("answers in {} ms", began.elapsed().as_millis()));
        if !self.note("reachable", reachable) {
            return false;
        }
        let runtime = answered(self.client.runtime()).await;
        self.note("token", runtime.map(|runtime| format!("may observe; Musher {}", runtime.version)))
    }

    /// The worker that is looked at, where there is one. When dropped early, a worker of our own may be left.
    pub(super) async fn choose(&mut self, subject: Subject) -> Option<WorkerId> {
        let chosen = match subject {
            Subject::Known(worker) => answered(self.client.worker(&worker, &WorkerQuery::default())).await,
            Subject::Own { profile } => self.create(profile).await,
        };
        let running =
            chosen.and_then(|worker| if worker.status.is_terminal() { Err(over()) } else { Ok(worker) });
        let worker = running.map(|worker| worker.worker_id);
        self.note("worker", worker.as_ref().map(ToString::to_string).map_err(Finding::clone));
        worker.ok()
    }

    /// Looks at the streams of a worker.
    pub(super) async fn look(&mut self, worker: &WorkerId) {
        let began = Instant::now();
        let events = self.keep("sse snapshot", first_event(&self.client, worker).await, began);
        let began = Instant::now();
        self.keep("socket snapshot", first_frame(&self.client, worker).await, began);
        let latency = self.latency(worker, events).await;
        self.report.note("latency", latency.unwrap_or_else(|bad| bad));

        match answered(self.tail(worker)).await {
            Err(bad) => self.report.note("pages", bad),
            Ok(log) => self.compare(worker, &log).await,
        }
        let malformed =
            close_code(&self.client, worker, Some("nonsense"), DiagnosticCode::CursorMalformed, 4400);
        let malformed = malformed.await;
        self.report.note("malformed cursor", malformed);
        let future = Cursor::new(worker, FUTURE, 0).to_string();
        let unknown = DiagnosticCode::CursorUnknownOrExpired;
        let future = close_code(&self.client, worker, Some(&future), unknown, 4410).await;
        self.report.note("future cursor", future);
        let talking = close_code(&self.client, worker, None, DiagnosticCode::ObservationOnly, 1008).await;
        self.report.note("talking", talking);
        // Late, for it is silence that is listened to; both at the same time.
        let (heartbeat, ping) = tokio::join!(heartbeat(&self.client, worker), ping(&self.client, worker));
        self.report.note("heartbeat", heartbeat);
        self.report.note("ping", ping);
        let last = self.last_event(worker).await;
        self.report.note("last event", last.unwrap_or_else(|bad| bad));
    }

    /// Deletes what was created for this, whatever became of it.
    pub(super) async fn clean_up(&mut self) {
        let worker = match &self.own {
            None => return,
            Some(Own::Created(worker)) => Ok(worker.clone()),
            Some(Own::Asked(asked)) => {
                self.ask_again(asked).await.map_err(|bad| bad.of_what_stays(&asked.what_may_stay()))
            }
        };
        let finding = match worker {
            Ok(worker) => match within(END_LIMIT, self.delete(&worker)).await {
                Ok(()) => Finding::Good(format!("{worker} is deleted")),
                Err(bad) => bad.of_what_stays(&format!("{worker} stays")),
            },
            Err(bad) => bad,
        };
        self.report.note("clean up", finding);
        self.own = None;
    }

    /// Leaves what was created for this.
    pub(super) fn leave(&mut self) {
        let says = match self.own.take() {
            None => return,
            Some(Own::Created(worker)) => format!("{worker} may stay: another signal came"),
            Some(Own::Asked(asked)) => format!("{}: another signal came", asked.what_may_stay()),
        };
        self.report.note("clean up", Finding::Bad(None, says));
    }

    async fn create(&mut self, profile: String) -> Result<WorkerDetail, Finding> {
        let mark = Uuid::now_v7().simple().to_string();
        let request = CreateWorker {
            profile: ProfileSelector::Named { value: profile },
            display_name: Some("musher doctor".to_owned()),
            labels: [(MARK.to_owned(), mark.clone())].into(),
            ..CreateWorker::new(Intent::Assistant { purpose: None })
        };
        let key = mark.parse().expect("the digits of a UUID are a key");
        let mut is_refused = false;
        let created = answered(async {
            let created = self.client.create_worker_once(&key, &request).await;
            is_refused = created.as_ref().is_err_and(|error| error.refusal().is_some());
            created
        });
        let created = created.await;
        self.own = match &created {
            Ok(worker) => Some(Own::Created(worker.worker_id.clone())),
            Err(_) if is_refused => None,
            Err(_) => Some(Own::Asked(Box::new(Asked { request, key, mark }))),
        };
        created
    }

    /// The worker that came of a create which was not answered. The server may do it yet: so it is asked for the same again,
    /// and not only for what is there by now. What comes of both is one worker.
    async fn ask_again(&self, Asked { request, key, mark }: &Asked) -> Result<WorkerId, Finding> {
        let mut wait = FIRST_WAIT;
        let mut n = 1;
        loop {
            let error = match self.client.create_worker_once(key, request).await {
                Ok(worker) => return Ok(worker.worker_id),
                Err(error) => error,
            };
            // Where only answers to creates are lost.
            if let Ok(Some(worker)) = answered(self.marked(mark)).await {
                return Ok(worker);
            }
            if n == MOST_REPETITIONS {
                return Err(Finding::of(&error));
            }
            sleep(wait).await;
            wait *= 2;
            n += 1;
        }
    }

    /// The worker of our own that has this mark.
    async fn marked(&self, mark: &str) -> Result<Option<WorkerId>, Error> {
        let query = ListWorkersQuery { label: vec![format!("{MARK}={mark}")], ..ListWorkersQuery::default() };
        let mut listed = self.client.workers(&query).await?.workers;
        Ok(listed.pop().map(|worker| worker.worker_id))
    }

    async fn delete(&self, worker: &WorkerId) -> Result<(), Error> {
        self.client.cancel(worker, &CommandRequest::default()).await?;
        self.client.delete_worker(worker, &DeleteWorkerQuery::default()).await
    }

    fn note(&mut self, name: &'static str, checked: Result<String, Finding>) -> bool {
        let is_good = checked.is_ok();
        self.report.note(name, checked.map_or_else(|bad| bad, Finding::Good));
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

    /// Says something to a worker of our own, and looks how long after its ack the event comes.
    async fn latency(&self, worker: &WorkerId, events: Option<Events>) -> Result<Finding, Finding> {
        if self.own.is_none() {
            return Ok(Finding::Skipped(
                "the worker is only looked at; --profile makes one to talk to".to_owned(),
            ));
        }
        let request = InputRequest::user("Say hello, and nothing else.");
        let ack = answered(self.client.send_input(worker, &request)).await?;
        let finding = match events {
            Some(events) => self.comes(events, &ack.event_id).await,
            None => Finding::Skipped("there is no stream to see it on".to_owned()),
        };
        // The turn fills the log for what is compared behind this; how it ends says nothing about streams.
        let _turn = self.client.wait_for(worker, Until::Idle, TURN_LIMIT).await;
        Ok(finding)
    }

    /// How soon an event comes that was acknowledged just now.
    async fn comes(&self, mut events: Events, event: &EventId) -> Finding {
        let acked_at = Instant::now();
        let came = in_time(&self.client, LATE, async {
            loop {
                match next_event(&mut events).await? {
                    Some(came) if came.event_id == *event => return Ok(()),
                    Some(_) => {}
                    None => {
                        return Err(Finding::Bad(None, "the stream ended before the event came".to_owned()));
                    }
                }
            }
        });
        match came.await {
            Some(Ok(())) => {
                Finding::Good(format!("the event came {} ms after its ack", acked_at.elapsed().as_millis()))
            }
            Some(Err(bad)) => bad,
            None => {
                let says = format!("the event did not come within {} s of its ack", LATE.as_secs());
                Finding::Bad(Some(Problem::ProxyBuffers), says)
            }
        }
    }

    /// Ends a worker of our own, and looks how a socket ends with its log.
    async fn last_event(&self, worker: &WorkerId) -> Result<Finding, Finding> {
        if self.own.is_none() {
            return Ok(Finding::Skipped(
                "the worker is only looked at; --profile makes one to stop".to_owned(),
            ));
        }
        let socket = first_frame(&self.client, worker).await?;
        within(END_LIMIT, self.client.stop(worker, &StopRequest::default())).await?;
        Ok(ends_with_its_log(&self.client, socket).await)
    }

    /// The end of the log as a page has it.
    async fn tail(&self, worker: &WorkerId) -> Result<Vec<Envelope>, Error> {
        let query = EventsQuery { tail: Some(TAIL), ..EventsQuery::default() };
        Ok(self.client.events(worker, &query).await?.events)
    }

    /// Holds streams against a page: from its first event, and from its middle.
    async fn compare(&mut self, worker: &WorkerId, log: &[Envelope]) {
        let [first, rest @ ..] = log else {
            return self.report.note("pages", nothing_seen());
        };
        if rest.is_empty() {
            return self.report.note("pages", nothing_seen());
        }
        let is_whole = log.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq);
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
        let (behind_middle, at_middle) = (&rest[middle..], log[middle].cursor);
        let client = &self.client;
        let sse = async |after, expected: &[Envelope]| {
            let seen = sse_behind(client, worker, after, expected.len());
            held_against(expected, in_time(client, LOG_LIMIT, seen).await)
        };
        let socket = async |after, expected: &[Envelope]| {
            let seen = socket_behind(client, worker, after, expected.len());
            held_against(expected, in_time(client, LOG_LIMIT, seen).await)
        };
        let (sse_whole, sse_rest, socket_whole, socket_rest) = tokio::join!(
            sse(first.cursor, rest),
            sse(at_middle, behind_middle),
            socket(first.cursor, rest),
            socket(at_middle, behind_middle),
        );
        self.report.note("sse is the log", sse_whole);
        self.report.note("sse resumes", sse_rest);
        self.report.note("socket is the log", socket_whole);
        self.report.note("socket resumes", socket_rest);
    }
}

/// Whether a stream is what a page has. What was not all there in time was held back.
fn held_against(expected: &[Envelope], seen: Option<Result<Vec<Envelope>, Finding>>) -> Finding {
    let seen = match seen {
        Some(Ok(seen)) => seen,
        Some(Err(bad)) => return bad,
        None => {
            let says = format!("not all of {} events within {} s", expected.len(), LOG_LIMIT.as_secs());
            return Finding::Bad(Some(Problem::ProxyBuffers), says);
        }
    };
    if seen == expected {
        return Finding::Good(format!("{} events, the same as in pages", seen.len()));
    }
    let same = seen.iter().zip(expected).take_while(|(seen, expected)| seen == expected).count();
    let says = format!("other events than pages have, from the {}th on", same + 1);
    Finding::Bad(Some(Problem::LogDiffers), says)
}

/// Nothing can be held against a log of one event, so nothing would be proved.
fn nothing_seen() -> Finding {
    let says = "the log has no second event, so nothing shows how streams go on";
    Finding::Bad(Some(Problem::NothingSeen), says.to_owned())
}
