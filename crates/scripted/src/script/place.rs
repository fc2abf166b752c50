//! JSON with the place it stands at, so that every refusal names it.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{ScriptError, ScriptProblem};

/// Long enough to outlast every limit that a script is written to show; a longer one is a slip of the unit.
const MAX_DELAY_MS: u64 = 60 * 60 * 1000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Place<'a> {
    value: &'a Value,
    pointer: String,
}

/// An object whose fields are taken one by one, so that what nobody took is refused.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pointer: String,
    taken: Vec<&'static str>,
}

impl<'a> Place<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, pointer: String::new() }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn refuse(&self, problem: ScriptProblem) -> ScriptError {
        ScriptError { pointer: self.pointer.clone(), problem }
    }

    pub(super) fn text(&self) -> Result<&'a str, ScriptError> {
        self.expect(self.value.as_str(), "a text")
    }

    pub(super) fn flag(&self) -> Result<bool, ScriptError> {
        self.expect(self.value.as_bool(), "true or false")
    }

    /// The value of a step that says nothing but its name.
    pub(super) fn only_true(&self) -> Result<(), ScriptError> {
        self.expect(self.value.as_bool().filter(|flag| *flag).map(drop), "true")
    }

    pub(super) fn number(&self) -> Result<f64, ScriptError> {
        self.expect(self.value.as_f64(), "a number")
    }

    pub(super) fn count(&self, max: u64) -> Result<u64, ScriptError> {
        let count = self.expect(self.value.as_u64(), "a whole number")?;
        if count > max { Err(self.refuse(ScriptProblem::TooLarge(max))) } else { Ok(count) }
    }

    pub(super) fn delay(&self) -> Result<Duration, ScriptError> {
        Ok(Duration::from_millis(self.count(MAX_DELAY_MS)?))
    }

    pub(super) fn items_up_to(&self, max: u64) -> Result<Vec<Place<'a>>, ScriptError> {
        let items = self.items()?;
        if items.len() as u64 > max { Err(self.refuse(ScriptProblem::TooLarge(max))) } else { Ok(items) }
    }

    pub(super) fn items(&self) -> Result<Vec<Place<'a>>, ScriptError> {
        let items = self.expect(self.value.as_array(), "a list")?;
        let item = |(item_idx, value)| Place { value, pointer: format!("{}/{item_idx}", self.pointer) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn fields(&self, expected: &'static str) -> Result<Fields<'a>, ScriptError> {
        let object = self.expect(self.value.as_object(), expected)?;
        Ok(Fields { object, pointer: self.pointer.clone(), taken: Vec::new() })
    }

    fn expect<T>(&self, found: Option<T>, expected: &'static str) -> Result<T, ScriptError> {
        found.ok_or_else(|| self.refuse(ScriptProblem::Expected(expected)))
    }
}

impl<'a> Fields<'a> {
    pub(super) fn root(object: &'a Map<String, Value>) -> Self {
        Self { object, pointer: String::new(), taken: Vec::new() }
    }

    pub(super) fn optional(&mut self, name: &'static str) -> Option<Place<'a>> {
        self.taken.push(name);
        let value = self.object.get(name)?;
        Some(Place { value, pointer: self.pointer_to(name) })
    }

    pub(super) fn required(&mut self, name: &'static str) -> Result<Place<'a>, ScriptError> {
        self.optional(name).ok_or_else(|| self.refuse(ScriptProblem::MissingField(name)))
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<String, ScriptError> {
        Ok(self.required(name)?.text()?.to_owned())
    }

    pub(super) fn optional_delay(&mut self, name: &'static str) -> Result<Option<Duration>, ScriptError> {
        self.optional(name).map(|place| place.delay()).transpose()
    }

    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, ScriptError> {
        self.optional(name).map(|place| place.text().map(str::to_owned)).transpose()
    }

    pub(super) fn optional_count(&mut self, name: &'static str) -> Result<Option<u64>, ScriptError> {
        self.optional(name).map(|place| place.count(u64::MAX)).transpose()
    }

    /// A flag that is off where it is not set.
    pub(super) fn optional_flag(&mut self, name: &'static str) -> Result<bool, ScriptError> {
        self.optional(name).map_or(Ok(false), |place| place.flag())
    }

    /// A list that is empty where it is left out.
    pub(super) fn optional_list<T>(
        &mut self,
        name: &'static str,
        read: fn(&Place<'a>) -> Result<T, ScriptError>,
    ) -> Result<Vec<T>, ScriptError> {
        let Some(place) = self.optional(name) else { return Ok(Vec::new()) };
        place.items()?.iter().map(read).collect()
    }

    pub(super) fn refuse(&self, problem: ScriptProblem) -> ScriptError {
        ScriptError { pointer: self.pointer.clone(), problem }
    }

    /// Refuses the fields that nobody took.
    pub(super) fn finish(self) -> Result<(), ScriptError> {
        match self.object.keys().find(|name| !self.taken.contains(&name.as_str())) {
            Some(name) => {
                Err(ScriptError { pointer: self.pointer_to(name), problem: ScriptProblem::UnknownField })
            }
            None => Ok(()),
        }
    }

    fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }
}
