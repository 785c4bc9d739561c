//! The names of the fields that a body has, asked of its type: whoever sends something else is told them.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

/// Those of a type; none where it is no struct.
pub(super) fn of<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Question) {
        Err(Asked(fields)) => fields,
        Ok(_) => &[],
    }
}

/// Has nothing to read, and hears what a type would read.
struct Question;

/// What the type asked for.
#[derive(Debug)]
struct Asked(&'static [&'static str]);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked for {}", self.0.join(", "))
    }
}

impl std::error::Error for Asked {}

impl Error for Asked {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Question {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::of;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "its fields are asked for, and none is read")]
    struct Wanted {
        reason: String,
        #[serde(default, rename = "as_of")]
        time: Option<String>,
    }

    #[test]
    fn a_struct_has_the_fields_that_callers_write_and_a_text_has_none() {
        assert_eq!(of::<Wanted>(), ["reason", "as_of"]);
        assert!(of::<String>().is_empty() && of::<Vec<Wanted>>().is_empty());
    }
}
