//! A cassette as it is played. Pure: what happened goes in, what is to be done comes out.

use super::{
    Misfit,
    shape::{self, Ids},
    stdin::Heard,
};
use crate::cassette::{Cassette, What, session_id};

/// A cassette that is played.
#[derive(Debug)]
pub(super) struct Player {
    ids: Ids,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Play<'a> {
    /// Wait for what was heard then: this line, or the end without one.
    Hear(Option<&'a [u8]>),
    Write(Vec<u8>),
    Complain(Vec<u8>),
    Exit(u8),
    Signal(i32),
    /// This cannot be played.
    Misfit(String),
    Nothing,
}

impl Player {
    /// # Errors
    ///
    /// When the program is not asked for a session as the recorded one was.
    pub(super) fn new(cassette: &Cassette, args: &[String]) -> Result<Self, Misfit> {
        let mut ids = Ids::default();
        let recorded = cassette.args.iter().find(|arg| session_id(arg).is_some());
        let here = args.iter().find(|arg| session_id(arg).is_some());
        let option = |arg: Option<&String>| arg.and_then(|arg| Some(arg.split_once('=')?.0.to_owned()));
        if option(recorded) != option(here) {
            return Err(Misfit(format!("recorded with {recorded:?}, started with {here:?}")));
        }
        if let (Some(recorded), Some(here)) = (recorded, here) {
            let (recorded, here) = (session_id(recorded), session_id(here));
            ids.add(recorded.unwrap_or_default(), here.unwrap_or_default()).map_err(Misfit)?;
        }
        Ok(Self { ids })
    }

    /// What comes next.
    pub(super) fn play<'a>(&self, what: &'a What) -> Play<'a> {
        match what {
            // A line that never became whole was never heard.
            What::Stdin(line) if !line.ends_with(b"\n") => Play::Nothing,
            What::Stdin(line) => Play::Hear(Some(line)),
            What::StdinClosed => Play::Hear(None),
            What::Stdout(line) => Play::Write(self.translate(line)),
            What::Stderr(line) => Play::Complain(self.translate(line)),
            What::Exit { signal: Some(signal), .. } => Play::Signal(*signal),
            What::Exit { code: Some(code), signal: None } => match u8::try_from(*code) {
                Ok(code) => Play::Exit(code),
                Err(_out_of_range) => Play::Misfit(format!("no program exits with {code}")),
            },
            What::Exit { code: None, signal: None } => {
                Play::Misfit("nobody knows how the recorded program ended".to_owned())
            }
            What::Cut(why) => Play::Misfit(format!("the recording ends here: {why}")),
        }
    }

    /// Compares what was heard with what was heard then.
    pub(super) fn heard(&mut self, recorded: Option<&[u8]>, heard: &Heard) -> Result<(), String> {
        let shown = |line: &[u8]| String::from_utf8_lossy(line).trim_end().to_owned();
        match (recorded, heard) {
            (None, Heard::End) => Ok(()),
            (Some(recorded), Heard::Line(line)) => {
                let compared = shape::compare(recorded, line, &mut self.ids);
                compared.map_err(|why| format!("{why}; the line is {}", shown(line)))
            }
            (None, Heard::Line(line)) => {
                Err(format!("the input was to end, not to go on with {}", shown(line)))
            }
            (Some(recorded), Heard::End) => Err(format!("the input ends where it had {}", shown(recorded))),
            (_, Heard::Nothing) => Err("nothing comes".to_owned()),
            (_, Heard::TooLong) => Err("a line is longer than anybody writes".to_owned()),
        }
    }

    /// What is no text has no ids.
    fn translate(&self, line: &[u8]) -> Vec<u8> {
        match str::from_utf8(line) {
            Ok(text) => self.ids.translate(text).into_bytes(),
            Err(_no_text) => line.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "11111111-1111-4111-8111-111111111111";
    const NOW: &str = "22222222-2222-4222-8222-222222222222";

    fn player(recorded: &str, here: &str) -> Result<Player, String> {
        let cassette = Cassette { args: vec!["-p".to_owned(), recorded.to_owned()], entries: Vec::new() };
        Player::new(&cassette, &[here.to_owned()]).map_err(|Misfit(why)| why)
    }

    #[test]
    fn what_was_said_is_said_with_the_ids_of_here() {
        let player = player(&format!("--session-id={THEN}"), &format!("--session-id={NOW}")).unwrap();
        let said = What::Stdout(format!("{{\"session_id\":\"{THEN}\"}}\n").into_bytes());
        assert_eq!(player.play(&said), Play::Write(format!("{{\"session_id\":\"{NOW}\"}}\n").into_bytes()));
        assert_eq!(player.play(&What::Stdout(b"\xff".to_vec())), Play::Write(b"\xff".to_vec()));
    }

    #[test]
    fn a_new_session_is_no_continued_one() {
        let why = player(&format!("--session-id={THEN}"), &format!("--resume={NOW}")).unwrap_err();
        assert!(why.contains("--session-id") && why.contains("--resume"), "{why}");
    }

    #[test]
    fn each_end_is_played_as_it_was() {
        let player = player("-p", "-p").unwrap();
        let exit = |code, signal| What::Exit { code, signal };
        assert_eq!(player.play(&exit(Some(3), None)), Play::Exit(3));
        assert_eq!(player.play(&exit(None, Some(9))), Play::Signal(9));
        for what in [exit(None, None), exit(Some(300), None), What::Cut("full".to_owned())] {
            assert!(matches!(player.play(&what), Play::Misfit(_)), "{what:?}");
        }
    }

    #[test]
    fn what_is_heard_must_be_what_was_heard() {
        let mut player = player("-p", "-p").unwrap();
        let line = || Heard::Line(b"{\"type\":\"user\"}\n".to_vec());
        assert_eq!(player.heard(Some(b"{\"type\":\"user\"}\n"), &line()), Ok(()));
        assert_eq!(player.heard(None, &Heard::End), Ok(()));
        for (recorded, heard) in [
            (Some(&b"{\"type\":\"control_request\"}\n"[..]), line()),
            (Some(b"{}\n"), Heard::End),
            (Some(b"{}\n"), Heard::Nothing),
            (None, line()),
        ] {
            assert!(player.heard(recorded, &heard).is_err(), "{recorded:?} {heard:?}");
        }
    }
}
