//! A client with nothing but the types of the wire and a plain HTTP library: it has a task done and shows what the worker
//! says, also over connections that break.
//!
//! ```sh
//! cargo run -p musher-protocol --example plain_http -- http://127.0.0.1:7717 "$TOKEN" "fix the failing test"
//! ```

use std::{
    error::Error,
    io::{BufRead as _, BufReader},
};

use musher_protocol::{CreateWorker, Cursor, Envelope, Intent, OnIdle, Payload, WorkerReply};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [url, token, objective] = &words[..] else { return Err("URL TOKEN OBJECTIVE".into()) };
    println!("{}", said(url, token, objective)?);
    Ok(())
}

/// Has a task done, and answers with what the worker said.
pub(crate) fn said(url: &str, token: &str, objective: &str) -> Result<String, Box<dyn Error>> {
    let authorization = format!("Bearer {token}");
    let intent = Intent::Task { objective: objective.to_owned() };
    let request = CreateWorker { on_idle: OnIdle::Stop, ..CreateWorker::new(intent) };
    let created = ureq::post(format!("{url}/v1/workers"))
        .header("authorization", &authorization)
        .header("content-type", "application/json")
        .send(serde_json::to_vec(&request)?)?
        .body_mut()
        .read_to_vec()?;
    let worker = serde_json::from_slice::<WorkerReply>(&created)?.worker.worker_id;

    let mut said = String::new();
    let mut place = Cursor::new(&worker, 0, 0);
    loop {
        let stream = ureq::get(format!("{url}/v1/workers/{worker}/events"))
            .header("authorization", &authorization)
            .header("accept", "text/event-stream")
            .header("last-event-id", place.to_string())
            .call()?;
        // A line that cannot be read is a connection that broke: the next one goes on behind the last event.
        for line in BufReader::new(stream.into_body().into_reader()).lines().map_while(Result::ok) {
            let Some(json) = line.strip_prefix("data: ") else { continue };
            let event: Envelope = serde_json::from_str(json)?;
            assert_eq!(event.seq, place.seq() + 1, "no event is missing");
            place = event.cursor;
            if let Payload::TextDelta { text, .. } = event.payload {
                said += &text;
            } else if let Payload::WorkerStopped(_) = event.payload {
                return Ok(said);
            }
        }
    }
}
