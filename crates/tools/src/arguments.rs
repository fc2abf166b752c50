//! The arguments of a tool: their schema for the model, and what it sent.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::refusal::Refusal;

/// The schema as every vendor takes it: one object, nothing referred to, no dialect named.
pub(crate) fn schema<A: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Some(object) = schema.as_object_mut() {
        // The type's name tells a model nothing.
        object.remove("title");
    }
    schema
}

/// Reads what the model sent. What does not fit is named, for the model to mend.
pub(crate) fn parse<A: DeserializeOwned>(input: Value) -> Result<A, Refusal> {
    serde_json::from_value(input).map_err(|source| Refusal::Arguments { source })
}
