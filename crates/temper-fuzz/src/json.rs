//! Mutations of JSON: values take extreme ones, other types, other places; keys go or come twice.

use serde_json::{Map, Value, json};

use crate::text::{NUMBERS, TROUBLE};
use crate::{Random, text};

/// Begins a text that represents JSON which `Value` cannot hold, such as very deep nesting.
const MARK: &str = "\u{e000}";

/// A mutation of a JSON value; of the text where it is none.
pub(crate) fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let (Ok(value), Ok(other_value)) = (serde_json::from_slice(seed), serde_json::from_slice(other)) else {
        return text::mutated(seed, other, random);
    };
    let written = written(&mutated_value(value, &other_value, random), |value| value.to_string(), random);
    if random.one_in(10) { text::mutated(&written, other, random) } else { written }
}

/// Some mutations of a value, perhaps with parts of another.
pub(crate) fn mutated_value(mut value: Value, other: &Value, random: &mut Random) -> Value {
    for _ in 0..random.few(6) {
        let donor = pick_node(other, random).clone();
        let place = random.below(count(&value));
        if let Some(node) = node_mut(&mut value, place) {
            change(node, donor, random);
        }
    }
    value
}

/// The text of a value, with each marked text replaced by JSON of its kind.
pub(crate) fn written(value: &Value, write: impl FnOnce(&Value) -> String, random: &mut Random) -> Vec<u8> {
    let mut text = write(value);
    while let Some(start) = text.find(&format!("\"{MARK}")) {
        let end = text[start + 1..].find('"').map_or(text.len(), |length| start + length + 2);
        let kind = text[start + 1 + MARK.len()..end - 1].to_owned();
        let raw = match kind.as_str() {
            "deep" => {
                let depth = *random.pick(&[20, 126, 127, 128, 129, 5_000, 100_000]);
                let (open, close) = *random.pick(&[("[", "]"), ("{\"a\":", "}")]);
                format!("{}0{}", open.repeat(depth), close.repeat(depth))
            }
            "number" => random.pick(&NUMBERS).to_string(),
            // What is left is the name of a key that is there already.
            key => format!("\"{key}\""),
        };
        text.replace_range(start..end, &raw);
    }
    text.into_bytes()
}

fn change(node: &mut Value, donor: Value, random: &mut Random) {
    match random.below(10) {
        0 => *node = donor,
        1 => *node = any_value(random),
        2 => *node = json!(format!("{MARK}deep")),
        3 => *node = json!(format!("{MARK}number")),
        4 => *node = extreme_number(random),
        _ => change_within(node, donor, random),
    }
}

/// A change that leaves the type as it is.
fn change_within(node: &mut Value, donor: Value, random: &mut Random) {
    match node {
        Value::Object(map) => change_keys(map, donor, random),
        Value::Array(items) => change_items(items, donor, random),
        Value::String(string) => {
            let changed = text::mutated(string.as_bytes(), string.as_bytes(), random);
            *string = String::from_utf8_lossy(&changed).replace(MARK, "");
        }
        Value::Number(_) => *node = extreme_number(random),
        Value::Bool(flag) => *flag = !*flag,
        Value::Null => *node = donor,
    }
}

fn change_keys(map: &mut Map<String, Value>, donor: Value, random: &mut Random) {
    let Some(key) = map.keys().nth(random.below(map.len())).cloned() else {
        map.insert("a".into(), donor);
        return;
    };
    match random.below(4) {
        0 => drop(map.shift_remove(&key)),
        1 if !key.contains(['"', '\\']) => drop(map.insert(format!("{MARK}{key}"), donor)),
        2 => {
            let value = map.shift_remove(&key).unwrap_or_default();
            map.insert(format!("{key}{}", trouble(random)), value);
        }
        _ => drop(map.insert(key, donor)),
    }
}

fn change_items(items: &mut Vec<Value>, donor: Value, random: &mut Random) {
    let (here, there) = (random.below(items.len()), random.below(items.len()));
    match random.below(5) {
        _ if items.is_empty() => items.push(donor),
        0 => drop(items.remove(here)),
        1 => items.swap(here, there),
        2 => items[here] = donor,
        3 => items.truncate(here),
        _ => {
            let times = *random.pick(&[1, 2, 50]);
            let item = items[here].clone();
            items.splice(there..there, std::iter::repeat_n(item, times));
        }
    }
}

fn extreme_number(random: &mut Random) -> Value {
    match random.below(3) {
        0 => json!(random.pick(&[0, 1, 2, 3, 7, 1 << 16, 1 << 31, 1 << 32, 1 << 40, 1 << 62, u64::MAX])),
        1 => json!(random.pick(&[-1, i64::from(i32::MIN), i64::MIN])),
        _ => json!(random.pick(&[0.0, -0.0, 0.5, 1e-320, 1e38, 1e39, f64::MAX, f64::MIN])),
    }
}

fn trouble(random: &mut Random) -> String {
    let bytes: &&[u8] = random.pick(&TROUBLE);
    String::from_utf8_lossy(bytes).into_owned()
}

fn any_value(random: &mut Random) -> Value {
    let trouble = trouble(random);
    let values =
        [Value::Null, json!(true), json!(0), json!(""), json!([]), json!({}), json!([null]), json!(trouble)];
    random.pick(&values).clone()
}

/// How many values there are, those within others too.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(map) => map.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        _ => 0,
    }
}

fn pick_node<'a>(value: &'a Value, random: &mut Random) -> &'a Value {
    let mut place = random.below(count(value));
    let mut node = value;
    while place > 0 {
        place -= 1;
        let inner: Vec<&Value> = match node {
            Value::Object(map) => map.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => return node,
        };
        for next in inner {
            let size = count(next);
            if place < size {
                node = next;
                break;
            }
            place -= size;
        }
    }
    node
}

/// The value with that many before it.
fn node_mut(value: &mut Value, place: usize) -> Option<&mut Value> {
    let Some(mut place) = place.checked_sub(1) else { return Some(value) };
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Object(map) => Box::new(map.values_mut()),
        Value::Array(items) => Box::new(items.iter_mut()),
        _ => return None,
    };
    for next in inner {
        let size = count(next);
        if place < size {
            return node_mut(next, place);
        }
        place -= size;
    }
    None
}
