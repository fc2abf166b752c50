//! The wait for MCP servers before the first message, and what is told of those that cannot be had.
//!
//! The oldest version begins a turn after two seconds without the tools of servers that have not answered by then, and no
//! version says there why one failed. So the program is asked how they are until none is on its way any more.

use std::collections::BTreeSet;

use musher_backend::Event;
use serde_json::Value;

use super::remarks;
use crate::{
    say::{self, Said},
    servers::Servers,
    wire::{Init, Response},
};

/// What the requests are called, before their number.
const REQUEST: &str = "servers-";

/// How the program says that it has a server's tools, or will.
const CONNECTED: &str = "connected";
const PENDING: &str = "pending";

/// The servers of a session, and how far they are.
#[derive(Debug)]
pub(super) struct Lookout {
    servers: Servers,
    /// Those of which it was told that they cannot be had.
    told: BTreeSet<String>,
    state: State,
    n_asked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The program is not ready.
    Ahead,
    /// It was asked, and has not answered.
    Asked,
    /// It answered that some are on their way.
    Pending,
    /// There is nothing to wait for.
    Over,
}

impl Lookout {
    pub(super) fn of(servers: &Servers) -> Self {
        Self { servers: servers.clone(), told: BTreeSet::new(), state: State::Ahead, n_asked: 0 }
    }

    /// The program is ready: what there is to tell, and what to ask.
    pub(super) fn begin(&mut self) -> (Vec<Event>, Option<Said>) {
        let told =
            self.servers.left_out().map(|(name, why)| remarks::no_server(name, &why.to_string())).collect();
        let has_any = self.servers.given().next().is_some();
        self.state = if has_any { State::Pending } else { State::Over };
        (told, self.look())
    }

    /// Whether messages wait.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Asked | State::Pending)
    }

    /// Whether messages may be sent.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Asks how the servers are; nothing while an answer is still to come.
    pub(super) fn look(&mut self) -> Option<Said> {
        if self.state != State::Pending {
            return None;
        }
        self.state = State::Asked;
        self.n_asked += 1;
        Some(say::mcp_status(&self.request_id()))
    }

    /// What there is to tell when this is the answer; none when it is another's.
    pub(super) fn answer(&mut self, response: &Response) -> Option<Vec<Event>> {
        if !response.request_id.starts_with(REQUEST) {
            return None;
        }
        if self.state != State::Asked || response.request_id != self.request_id() {
            return Some(Vec::new());
        }
        // One that cannot say how they are says it at the turn's beginning.
        let servers = response.response["mcpServers"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |server: &Value, key: &str| server[key].as_str().unwrap_or_default().to_owned();
        let states: Vec<_> = servers
            .iter()
            .map(|server| (text(server, "name"), text(server, "status"), text(server, "error")))
            .filter(|(name, ..)| self.servers.given().any(|(given, _)| given == name))
            .collect();
        let is_pending = states.iter().any(|(_, status, _)| status == PENDING);
        self.state = if is_pending { State::Pending } else { State::Over };
        let lost = states.into_iter().filter(|(_, status, _)| status != PENDING && status != CONNECTED);
        let told = lost.filter_map(|(name, status, error)| self.tell(&name, &said(&status, &error)));
        Some(told.collect())
    }

    /// Waits no longer.
    pub(super) fn give_up(&mut self) {
        self.state = State::Over;
    }

    /// What there is to tell when a turn begins with these.
    pub(super) fn begins_with(&mut self, init: &Init) -> Vec<Event> {
        let names: Vec<_> = self.servers.given().map(|(name, _)| name.to_owned()).collect();
        let why = |name: &str| {
            let Some(server) = init.mcp_servers.iter().find(|server| server.name == name) else {
                return Some("Claude Code does not know it".to_owned());
            };
            let tools = format!("mcp__{name}__");
            match server.status.as_str() {
                CONNECTED if init.tools.iter().any(|tool| tool.starts_with(&tools)) => None,
                CONNECTED => Some("it is connected, and Claude Code took no tool of it".to_owned()),
                PENDING => Some("it has not answered yet; they come with the turn after it has".to_owned()),
                status => Some(said(status, "")),
            }
        };
        let lost = names.into_iter().filter_map(|name| why(&name).map(|why| (name, why)));
        lost.filter_map(|(name, why)| self.tell(&name, &why)).collect()
    }

    /// Tells that a server cannot be had, once.
    fn tell(&mut self, name: &str, why: &str) -> Option<Event> {
        let mut addresses =
            self.servers.given().filter(|(given, _)| *given == name).filter_map(|(_, address)| address);
        let address = addresses.next().filter(|address| !address.is_empty());
        // A key may be in it.
        let why = address.map_or_else(|| why.to_owned(), |address| why.replace(address, "[its address]"));
        self.told.insert(name.to_owned()).then(|| remarks::no_server(name, &why))
    }

    fn request_id(&self) -> String {
        format!("{REQUEST}{}", self.n_asked)
    }
}

/// A state in the program's words.
fn said(status: &str, error: &str) -> String {
    if error.is_empty() { format!("Claude Code says `{status}`") } else { error.to_owned() }
}
