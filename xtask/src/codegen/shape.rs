//! From a schema to a type, or to the reason why not.

use serde_json::{Map, Value};

use crate::codegen::Definitions;

/// Why a schema has no type; the place is a path from the definition's name on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{place}`: `{keyword}` is not understood")]
    Keyword { place: String, keyword: String },
    #[error("`{place}`: the type `{name}` is not understood")]
    Type { place: String, name: String },
    #[error("`{place}`: `{reference}` leads nowhere")]
    Reference { place: String, reference: String },
    #[error("`{place}`: it is no schema")]
    NoSchema { place: String },
    #[error("`{place}`: a literal must be a text, a number, a truth value or null")]
    Literal { place: String },
    #[error("`{place}`: it has both named fields and others")]
    OpenObject { place: String },
}

/// A type with a name.
#[derive(Debug)]
pub(super) struct Declaration<'a> {
    pub(super) name: &'a str,
    pub(super) described: Described<'a>,
}

/// A type and what its author says about it.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) description: Option<&'a str>,
    pub(super) shape: Shape<'a>,
}

/// A type, before it is one of some language.
#[derive(Debug)]
pub(super) enum Shape<'a> {
    Scalar(Scalar),
    /// A declared type.
    Name(&'a str),
    /// A JSON scalar, which is also its own type.
    Literal(&'a Value),
    Array(Box<Shape<'a>>),
    /// Any keys, values of one type.
    Map(Box<Shape<'a>>),
    Object(Vec<Field<'a>>),
    /// One of several.
    Union(Vec<Described<'a>>),
    /// All of several at once.
    Intersection(Vec<Shape<'a>>),
}

/// A type that every language has in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// Any JSON.
    Any,
    Text,
    Integer,
    Number,
    Truth,
    Null,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) required: bool,
    pub(super) described: Described<'a>,
}

/// Keywords that say what a type is.
const TYPING: &[&str] = &[
    "$ref",
    "type",
    "const",
    "enum",
    "oneOf",
    "anyOf",
    "items",
    "properties",
    "required",
    "additionalProperties",
];

/// Keywords that narrow a type in a way that languages have no words for.
const NARROWING: &[&str] = &[
    "description",
    "title",
    "default",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "maxItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
];

/// Reads a definition. Every reference in it leads to one of `definitions`.
pub(super) fn declaration<'a>(
    name: &'a str,
    schema: &'a Value,
    definitions: &Definitions,
) -> Result<Declaration<'a>, Error> {
    Ok(Declaration { name, described: Reader { definitions }.described(schema, name)? })
}

struct Reader<'d> {
    definitions: &'d Definitions,
}

impl Reader<'_> {
    fn described<'a>(&self, schema: &'a Value, place: &str) -> Result<Described<'a>, Error> {
        let description = schema.get("description").and_then(Value::as_str);
        Ok(Described { description, shape: self.shape(schema, place)? })
    }

    fn shape<'a>(&self, schema: &'a Value, place: &str) -> Result<Shape<'a>, Error> {
        if *schema == Value::Bool(true) {
            return Ok(Shape::Scalar(Scalar::Any));
        }
        let object = schema.as_object().ok_or_else(|| Error::NoSchema { place: place.to_owned() })?;
        let is_known = |keyword: &str, value: &Value| {
            // One value less: no request says `unknown`.
            let leaves_one_out = keyword == "not" && value.get("const").is_some();
            TYPING.contains(&keyword) || NARROWING.contains(&keyword) || leaves_one_out
        };
        if let Some((keyword, _)) = object.iter().find(|(keyword, value)| !is_known(keyword, value)) {
            return Err(Error::Keyword { place: place.to_owned(), keyword: keyword.clone() });
        }

        let mut all = Vec::new();
        if let Some(reference) = object.get("$ref") {
            all.push(self.reference(reference, place)?);
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(alternatives) = object.get(keyword) {
                all.push(self.union(alternatives, &format!("{place}/{keyword}"))?);
            }
        }
        // A literal says all that a type beside it could say.
        if let Some(literal) = object.get("const") {
            all.push(scalar(literal, &format!("{place}/const"))?);
        } else if let Some(literals) = object.get("enum") {
            all.push(literal_union(literals, &format!("{place}/enum"))?);
        } else if let Some(names) = object.get("type") {
            all.push(self.typed(names, object, place)?);
        } else if let Some(keyword) =
            ["items", "properties"].iter().find(|keyword| object.contains_key(**keyword))
        {
            return Err(Error::NoSchema { place: format!("{place}/{keyword}") });
        }
        Ok(match all.len() {
            0 => Shape::Scalar(Scalar::Any),
            1 => all.remove(0),
            _ => Shape::Intersection(all),
        })
    }

    fn reference<'a>(&self, reference: &'a Value, place: &str) -> Result<Shape<'a>, Error> {
        let name = reference.as_str().and_then(|text| text.strip_prefix("#/$defs/"));
        let name = name.filter(|name| self.definitions.contains_key(*name));
        name.map(Shape::Name).ok_or_else(|| {
            let reference = reference.as_str().map_or_else(|| reference.to_string(), str::to_owned);
            Error::Reference { place: place.to_owned(), reference }
        })
    }

    fn union<'a>(&self, alternatives: &'a Value, place: &str) -> Result<Shape<'a>, Error> {
        let alternatives =
            alternatives.as_array().ok_or_else(|| Error::NoSchema { place: place.to_owned() })?;
        let read = |(index, schema)| self.described(schema, &format!("{place}/{index}"));
        Ok(Shape::Union(alternatives.iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// What `type` names, which may be several.
    fn typed<'a>(
        &self,
        names: &'a Value,
        object: &'a Map<String, Value>,
        place: &str,
    ) -> Result<Shape<'a>, Error> {
        if let Some(name) = names.as_str() {
            return self.type_by_name(name, object, place);
        }
        let names = names.as_array().ok_or_else(|| Error::NoSchema { place: format!("{place}/type") })?;
        let read = |name: &'a Value| {
            let name = name.as_str().ok_or_else(|| Error::NoSchema { place: format!("{place}/type") })?;
            Ok(Described { description: None, shape: self.type_by_name(name, object, place)? })
        };
        Ok(Shape::Union(names.iter().map(read).collect::<Result<_, _>>()?))
    }

    fn type_by_name<'a>(
        &self,
        name: &'a str,
        object: &'a Map<String, Value>,
        place: &str,
    ) -> Result<Shape<'a>, Error> {
        match name {
            "string" => Ok(Shape::Scalar(Scalar::Text)),
            "integer" => Ok(Shape::Scalar(Scalar::Integer)),
            "number" => Ok(Shape::Scalar(Scalar::Number)),
            "boolean" => Ok(Shape::Scalar(Scalar::Truth)),
            "null" => Ok(Shape::Scalar(Scalar::Null)),
            "array" => {
                let items = object.get("items").unwrap_or(&Value::Bool(true));
                Ok(Shape::Array(Box::new(self.shape(items, &format!("{place}/items"))?)))
            }
            "object" => self.object(object, place),
            _ => Err(Error::Type { place: place.to_owned(), name: name.to_owned() }),
        }
    }

    fn object<'a>(&self, object: &'a Map<String, Value>, place: &str) -> Result<Shape<'a>, Error> {
        let others = object.get("additionalProperties");
        let Some(properties) = object.get("properties") else {
            let values = others.unwrap_or(&Value::Bool(true));
            if *values == Value::Bool(false) {
                return Ok(Shape::Object(Vec::new()));
            }
            let values = self.shape(values, &format!("{place}/additionalProperties"))?;
            return Ok(Shape::Map(Box::new(values)));
        };
        if others.is_some_and(|others| *others != Value::Bool(false)) {
            return Err(Error::OpenObject { place: place.to_owned() });
        }
        let place = format!("{place}/properties");
        let properties = properties.as_object().ok_or_else(|| Error::NoSchema { place: place.clone() })?;
        let required = object.get("required").and_then(Value::as_array);
        let read = |(name, schema): (&'a String, &'a Value)| {
            let is_required = required.is_some_and(|names| names.iter().any(|required| required == name));
            let described = self.described(schema, &format!("{place}/{name}"))?;
            Ok(Field { name, required: is_required, described })
        };
        Ok(Shape::Object(properties.iter().map(read).collect::<Result<_, _>>()?))
    }
}

fn scalar<'a>(literal: &'a Value, place: &str) -> Result<Shape<'a>, Error> {
    if literal.is_object() || literal.is_array() {
        return Err(Error::Literal { place: place.to_owned() });
    }
    Ok(Shape::Literal(literal))
}

fn literal_union<'a>(literals: &'a Value, place: &str) -> Result<Shape<'a>, Error> {
    let literals = literals.as_array().ok_or_else(|| Error::NoSchema { place: place.to_owned() })?;
    let read = |literal| Ok(Described { description: None, shape: scalar(literal, place)? });
    Ok(Shape::Union(literals.iter().map(read).collect::<Result<_, _>>()?))
}
