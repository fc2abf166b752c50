//! Has a task done, shows what the worker says, and lets it use the tools that are named.
//!
//! ```sh
//! MUSHER_URL=http://127.0.0.1:7717 MUSHER_TOKEN_FILE=~/.local/share/musher/token \
//!     cargo run -p musher-client --example approve -- "fix the failing test" read_file edit_file
//! ```

use std::{error::Error, io::Write as _};

use musher_client::{Client, Following, Start, Whose};
use musher_protocol::{Approval, CreateWorker, DecisionRequest, Intent, OnIdle, Payload, Permission};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let objective = words.next().ok_or("what is to be done?")?;
    let tools: Vec<_> = words.collect();

    let client = Client::from_env()?;
    let task = CreateWorker { on_idle: OnIdle::Stop, ..CreateWorker::new(Intent::Task { objective }) };
    let worker = client.create_worker(&task).await?.worker_id;

    let rule = async |asked: &Approval| {
        let permission = if tools.contains(&asked.tool) { Permission::Allow } else { Permission::Deny };
        eprintln!("\n{permission:?} {} {}", asked.tool, asked.input);
        Some(DecisionRequest::new(permission))
    };
    tokio::select! {
        shown = show(client.follow(&worker, Start::Beginning)) => shown,
        failed = client.decide_by(Whose::Worker(worker.clone()), rule) => Err(failed.unwrap_err().into()),
    }
}

/// Shows what is said, to the end of the log, whatever becomes of the connection.
async fn show(mut events: Following) -> Result<(), Box<dyn Error>> {
    while let Some(event) = events.next().await? {
        if let Payload::TextDelta { text, .. } = event.payload {
            print!("{text}");
            std::io::stdout().flush()?;
        }
    }
    println!();
    Ok(())
}
