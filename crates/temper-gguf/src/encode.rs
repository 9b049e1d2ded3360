//! Numbers, texts and lists as bytes of a file: what the parser reads.

use crate::metadata::{Metadata, Value};
use crate::types;

/// The bytes of all values with their keys.
///
/// # Errors
/// The key of a list whose values are not of one type.
pub(crate) fn metadata(values: &Metadata) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for (key, value) in values {
        text(key, &mut bytes);
        let kind = kind_of(value);
        bytes.extend(kind.to_le_bytes());
        encode(value, kind, &mut bytes).map_err(|()| format!("the values of {key} are not of one type"))?;
    }
    Ok(bytes)
}

/// A text preceded by its length.
pub(crate) fn text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The narrowest type that llama.cpp's converter would use: 32 bits where they suffice.
fn kind_of(value: &Value) -> u32 {
    match value {
        Value::Unsigned(number) if u32::try_from(*number).is_ok() => types::U32,
        Value::Unsigned(_) => types::U64,
        Value::Signed(number) if i32::try_from(*number).is_ok() => types::I32,
        Value::Signed(_) => types::I64,
        Value::Float(_) => types::F32,
        Value::Double(_) => types::F64,
        Value::Bool(_) => types::BOOL,
        Value::Text(_) => types::TEXT,
        Value::List(_) => types::LIST,
    }
}

/// The type of all values of a list: the widest of them. An empty list has any.
fn kind_of_all(values: &[Value]) -> u32 {
    values.iter().map(kind_of).max().unwrap_or(types::U32)
}

fn encode(value: &Value, kind: u32, bytes: &mut Vec<u8>) -> Result<(), ()> {
    match (value, kind) {
        (Value::Unsigned(number), types::U32) => {
            bytes.extend(u32::try_from(*number).map_err(drop)?.to_le_bytes());
        }
        (Value::Unsigned(number), types::U64) => bytes.extend(number.to_le_bytes()),
        (Value::Signed(number), types::I32) => {
            bytes.extend(i32::try_from(*number).map_err(drop)?.to_le_bytes());
        }
        (Value::Signed(number), types::I64) => bytes.extend(number.to_le_bytes()),
        (Value::Float(number), types::F32) => bytes.extend(number.to_le_bytes()),
        (Value::Double(number), types::F64) => bytes.extend(number.to_le_bytes()),
        (Value::Bool(truth), types::BOOL) => bytes.push(u8::from(*truth)),
        (Value::Text(content), types::TEXT) => text(content, bytes),
        (Value::List(values), types::LIST) => {
            let kind = kind_of_all(values);
            bytes.extend(kind.to_le_bytes());
            bytes.extend((values.len() as u64).to_le_bytes());
            for value in values {
                encode(value, kind, bytes)?;
            }
        }
        _ => return Err(()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::Parser;

    fn values() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            any::<u64>().prop_map(Value::Unsigned),
            (0..1000_u64).prop_map(Value::Unsigned),
            any::<i64>().prop_map(Value::Signed),
            prop::num::f32::NORMAL.prop_map(Value::Float),
            prop::num::f64::NORMAL.prop_map(Value::Double),
            any::<bool>().prop_map(Value::Bool),
            ".*".prop_map(Value::Text),
        ];
        let lists = prop_oneof![
            prop::collection::vec(any::<u64>().prop_map(Value::Unsigned), 0..9).prop_map(Value::List),
            prop::collection::vec(any::<i64>().prop_map(Value::Signed), 0..9).prop_map(Value::List),
            prop::collection::vec(".*".prop_map(Value::Text), 0..9).prop_map(Value::List),
            prop::collection::vec(prop::num::f32::NORMAL.prop_map(Value::Float), 0..9).prop_map(Value::List),
        ];
        prop_oneof![plain, lists]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in values(), key in "[a-z.]{1,20}") {
            let bytes = metadata(&Metadata::from([(key.clone(), value.clone())])).unwrap();
            let mut parser = Parser::new(&bytes);
            prop_assert_eq!(parser.text().unwrap(), key);
            prop_assert_eq!(parser.value().unwrap(), value);
            prop_assert_eq!(parser.place, bytes.len());
        }
    }

    #[test]
    fn a_list_of_two_types_is_refused() {
        let mixed = Value::List(vec![Value::Bool(true), Value::Text("a".into())]);
        let refused = metadata(&Metadata::from([("a.b".into(), mixed)])).unwrap_err();
        assert!(refused.contains("a.b"), "{refused}");
    }
}
