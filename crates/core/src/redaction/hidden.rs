//! What a person is not shown of what a worker asks, and how the person's words get back to it: the worker is told its own
//! words, a person is shown those that hide its secrets. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use musher_backend::{ApprovalRequest, Found, MARK, Secrets, Verdict};
use musher_protocol::Answers;
use serde_json::Value;

use super::{any, texts, value};

/// What is not shown of one approval, while it is open. The log never has it.
#[derive(Clone, Default)]
pub(crate) struct Hidden {
    is_redacted: bool,
    /// Questions by what is shown of them.
    questions: BTreeMap<String, String>,
    /// Labels by what is shown of them.
    labels: BTreeMap<String, String>,
    /// What each mark in what is shown stands for: itself, where the worker said it so.
    marks: BTreeMap<String, BTreeSet<String>>,
}

/// A mark in a person's words that nobody can tell the meaning of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnclearMark {
    /// Where, as a JSON pointer into the request.
    pub(crate) place: &'static str,
    pub(crate) mark: String,
    /// It stands for several texts in what is asked; for none where not.
    pub(crate) is_ambiguous: bool,
}

impl Hidden {
    /// What is shown of a request, and what is not. Questions and labels that would be shown as the same are numbered.
    pub(super) fn part(request: ApprovalRequest, secrets: &Secrets) -> (ApprovalRequest, Self) {
        let ApprovalRequest { tool_call_id, kind, tool, input, questions, suggestions } = request;
        let mut hidden = Self::default();
        hidden.look_at(&tool, secrets);
        hidden.look_at_all(&input, secrets);
        hidden.look_at_all(&serde_json::to_value(&questions).expect("it is of the wire"), secrets);
        suggestions.iter().for_each(|suggestion| hidden.look_at_all(suggestion, secrets));
        let asked = told_apart(questions.iter().map(|asked| asked.question.as_str()), secrets);
        let options = questions.iter().flat_map(|asked| &asked.options);
        let offered = told_apart(options.map(|option| option.label.as_str()), secrets);
        let mut shown = any(questions.clone(), secrets);
        for (shown, original) in shown.iter_mut().zip(&questions) {
            shown.question.clone_from(&asked[&original.question]);
            for (shown, original) in shown.options.iter_mut().zip(&original.options) {
                shown.label.clone_from(&offered[&original.label]);
            }
        }
        hidden.questions = asked.into_iter().map(|(original, shown)| (shown, original)).collect();
        hidden.labels = offered.into_iter().map(|(original, shown)| (shown, original)).collect();
        let request = ApprovalRequest {
            tool_call_id,
            kind,
            tool: super::text(tool, secrets),
            input: value(input, secrets),
            questions: shown,
            suggestions: suggestions.into_iter().map(|suggestion| value(suggestion, secrets)).collect(),
        };
        (request, hidden)
    }

    /// Whether a secret is hidden.
    pub(crate) fn is_redacted(&self) -> bool {
        self.is_redacted
    }

    /// What the worker is told of a verdict about what is shown: its own questions, labels and secrets. A message is said
    /// as it stands.
    ///
    /// # Errors
    ///
    /// When a mark stands for several texts here, or for none: nobody wants it in the place of a secret, in a file or a
    /// command.
    pub(crate) fn uncover(&self, verdict: Verdict) -> Result<Verdict, UnclearMark> {
        let Verdict::Allow { updated_input, answers } = verdict else { return Ok(verdict) };
        let updated_input = updated_input.map(|input| self.input(input)).transpose()?;
        let answers = answers.map(|answers| self.answers(answers)).transpose()?;
        Ok(Verdict::Allow { updated_input, answers })
    }

    fn input(&self, input: Value) -> Result<Value, UnclearMark> {
        let unclear = std::cell::RefCell::new(None);
        let original = |said: String| {
            self.text("/updated_input", &said).unwrap_or_else(|found| {
                unclear.borrow_mut().get_or_insert(found);
                said
            })
        };
        let input = texts(input, &original, &original);
        unclear.into_inner().map_or(Ok(input), Err)
    }

    fn answers(&self, answers: Answers) -> Result<Answers, UnclearMark> {
        let label = |said: String| match self.labels.get(&said) {
            Some(original) => Ok(original.clone()),
            None => self.text("/answers", &said),
        };
        let answer = |(question, chosen): (String, Vec<String>)| {
            let question = self.questions.get(&question).cloned().unwrap_or(question);
            Ok((question, chosen.into_iter().map(label).collect::<Result<_, _>>()?))
        };
        answers.into_iter().map(answer).collect()
    }

    /// A person's words with what the marks in them stand for.
    fn text(&self, place: &'static str, said: &str) -> Result<String, UnclearMark> {
        let (mut original, mut rest) = (String::new(), said);
        while let Some((at, mark)) = self.first_mark(rest) {
            let meanings = self.marks.get(mark);
            let one = meanings.filter(|meanings| meanings.len() == 1).and_then(BTreeSet::first);
            let Some(meaning) = one else {
                let is_ambiguous = meanings.is_some();
                return Err(UnclearMark { place, mark: mark.to_owned(), is_ambiguous });
            };
            original.push_str(&rest[..at]);
            original.push_str(meaning);
            rest = &rest[at + mark.len()..];
        }
        Ok(original + rest)
    }

    /// The first mark in a text, and where: one that is known here, or what looks like one.
    fn first_mark<'a>(&self, text: &'a str) -> Option<(usize, &'a str)> {
        text.match_indices(MARK).find_map(|(at, _)| {
            let here = &text[at..];
            let known = self.marks.keys().filter(|mark| here.starts_with(*mark)).map(String::len).max();
            Some((at, known.map(|length| &here[..length]).or_else(|| mark_at(here))?))
        })
    }

    fn look_at_all(&mut self, said: &Value, secrets: &Secrets) {
        match said {
            Value::String(text) => self.look_at(text, secrets),
            Value::Array(items) => items.iter().for_each(|item| self.look_at_all(item, secrets)),
            Value::Object(fields) => {
                for (name, item) in fields {
                    self.look_at(name, secrets);
                    self.look_at_all(item, secrets);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Notes what the marks in a text will stand for.
    fn look_at(&mut self, text: &str, secrets: &Secrets) {
        let mut at = 0;
        for Found { place, name } in secrets.find(text.as_bytes()) {
            self.note_marks(&text[at..place.start]);
            self.note(name, &text[place.clone()]);
            self.is_redacted = true;
            at = place.end;
        }
        self.note_marks(&text[at..]);
    }

    /// Notes the marks that the worker said itself.
    fn note_marks(&mut self, text: &str) {
        for mark in text.match_indices(MARK).filter_map(|(at, _)| mark_at(&text[at..])) {
            self.note(mark, mark);
        }
    }

    fn note(&mut self, mark: &str, meaning: &str) {
        self.marks.entry(mark.to_owned()).or_default().insert(meaning.to_owned());
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.marks.keys()).finish()
    }
}

/// The mark that a text begins with, by its looks.
fn mark_at(text: &str) -> Option<&str> {
    let name = text.strip_prefix(MARK)?;
    let end = name.find(|letter: char| letter == ']' || letter.is_whitespace())?;
    (end > 0 && name[end..].starts_with(']')).then(|| &text[..MARK.len() + end + 1])
}

/// What is shown of these texts. Different ones that would be shown as the same get numbers, all of them: what they have in
/// common is then none of them.
fn told_apart<'a>(originals: impl Iterator<Item = &'a str>, secrets: &Secrets) -> BTreeMap<String, String> {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for original in originals {
        let same = alike.entry(super::text(original.to_owned(), secrets)).or_default();
        if !same.contains(&original) {
            same.push(original);
        }
    }
    let mut taken: BTreeSet<String> = alike.keys().cloned().collect();
    let mut shown = BTreeMap::new();
    for (text, originals) in alike {
        if let [original] = originals[..] {
            shown.insert(original.to_owned(), text);
            continue;
        }
        for original in originals {
            let numbered = (1..).map(|n| format!("{text} ({n})")).find(|numbered| !taken.contains(numbered));
            let numbered = numbered.expect("there are more numbers than texts");
            taken.insert(numbered.clone());
            shown.insert(original.to_owned(), numbered);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
