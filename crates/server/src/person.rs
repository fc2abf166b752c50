//! The person at the terminal of a run, who may be asked.

use std::{future::pending, io};

use musher_core::{Error, Runtime};
use musher_protocol::{Actor, Approval, ApprovalId, DecisionRequest, Payload, WorkerId};

use crate::{
    asking::{Asking, nobody_here},
    keyboard::Keyboard,
    rule::{Presence, Rule, Ruling},
    terminal::Printer,
};

/// What takes a prompt off the last line of the terminal.
pub(crate) const CLEAR_LINE: &str = "\r\x1b[2K";

/// What is said where the person is not asked, and what is decided then.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) said: String,
    ruled: Option<(ApprovalId, DecisionRequest, Actor)>,
}

impl Aside {
    /// Decides what is to be decided.
    pub(crate) async fn decide(self, runtime: &Runtime, worker: &WorkerId) -> Result<(), Error> {
        let Some((approval_id, request, by)) = self.ruled else { return Ok(()) };
        match runtime.decide(worker, &approval_id, request, by).await {
            // The log says how it was decided, and by whom.
            Ok(_) | Err(Error::ApprovalNotPending(_) | Error::TurnEnding(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The person who may be asked, and what they are asked.
#[derive(Debug)]
pub(crate) struct Person {
    /// In whose name the person decides.
    by: Actor,
    /// What the person is not asked.
    rule: Option<Rule>,
    asking: Asking,
    is_there: bool,
    keyboard: Option<Keyboard>,
    /// The person looks at the first question.
    is_asked: bool,
}

impl Person {
    pub(crate) fn new(by: Actor, rule: Option<Rule>) -> Self {
        let is_there = Keyboard::is_there();
        Self { by, rule, asking: Asking::default(), is_there, keyboard: None, is_asked: false }
    }

    /// Takes in what the log says of approvals. What is to be done about it at once, where the person is not asked.
    pub(crate) fn follow(&mut self, payload: &Payload) -> Option<Aside> {
        if let Payload::ApprovalRequested(approval) = payload {
            let aside = self.aside(approval);
            if aside.is_some() {
                return aside;
            }
            self.asking.ask((**approval).clone());
        }
        if let Payload::ApprovalResolved { approval_id, .. } = payload
            && self.asking.resolve(approval_id)
        {
            self.is_asked = false;
        }
        None
    }

    /// What becomes of a question that is not put to the person.
    fn aside(&self, approval: &Approval) -> Option<Aside> {
        let presence = if self.is_there { Presence::Here } else { Presence::Gone };
        if let Some(Ruling { request, by, said }) = self.rule.and_then(|rule| rule(approval, presence)) {
            return Some(Aside { said, ruled: Some((approval.approval_id.clone(), request, by)) });
        }
        let gone = presence == Presence::Gone;
        gone.then(|| Aside { said: nobody_here(approval), ruled: None })
    }

    /// Whether something is about to be asked anew.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.is_asked && !self.asking.is_empty()
    }

    /// Whether a prompt stands on the last line.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Puts the first question, or its prompt again where something was said since.
    pub(crate) async fn put(&mut self, printer: &Printer, said: bool) -> io::Result<()> {
        if self.asking.is_empty() {
            return Ok(());
        }
        if self.is_asked {
            if said {
                printer.err(self.asking.prompt()).await;
            }
            return Ok(());
        }
        printer.err(self.asking.show()).await;
        printer.done().await;
        let keyboard = match self.keyboard.take() {
            Some(keyboard) => keyboard,
            None => Keyboard::open()?,
        };
        // Before the prompt: what is typed after that is meant.
        self.keyboard.insert(keyboard).forget();
        printer.err(self.asking.prompt()).await;
        self.is_asked = true;
        Ok(())
    }

    /// The next line that the person types, once they are asked; `None` when they have gone. Cancel safe.
    pub(crate) async fn line(&mut self) -> Option<String> {
        match &mut self.keyboard {
            Some(keyboard) if self.is_asked => keyboard.line().await,
            Some(_) | None => pending().await,
        }
    }

    /// Does what a line says. What else waits is put when this returns.
    pub(crate) async fn hear(
        &mut self,
        line: Option<String>,
        runtime: &Runtime,
        worker: &WorkerId,
        printer: &Printer,
    ) -> Result<(), Error> {
        // Whatever it was, the terminal has ended the prompt's line.
        self.is_asked = false;
        let Some(line) = line else {
            self.is_there = false;
            for left in self.asking.give_up() {
                let Some(aside) = self.aside(&left) else { continue };
                printer.err(format!("\n{}", aside.said)).await;
                aside.decide(runtime, worker).await?;
            }
            return Ok(());
        };
        let Some((approval_id, request)) = self.asking.hear(&line) else { return Ok(()) };
        match runtime.decide(worker, &approval_id, request, self.by.clone()).await {
            Ok(_) => {}
            // The log says how it was decided, and by whom.
            Err(Error::ApprovalNotPending(_) | Error::TurnEnding(_)) => {
                printer.err("! too late\n".to_owned()).await
            }
            // It can be answered otherwise.
            Err(error @ Error::InvalidRequest { .. }) => {
                printer.err(format!("! {error}\n")).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.asking.resolve(&approval_id);
        Ok(())
    }
}
