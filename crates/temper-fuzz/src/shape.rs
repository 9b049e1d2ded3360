//! What a file is made of decides how it is mutated.

use crate::bytes::LARGEST;
use crate::{Random, bytes, framed, json, text};

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Anything.
    Bytes,
    /// Lines of text, numbers and delimiters among them.
    Text,
    /// One JSON value.
    Json,
    /// One JSON value on each line.
    JsonLines,
    /// TOML.
    Toml,
    /// The length of a JSON header, the header, data.
    Safetensors,
}

impl Shape {
    /// A mutation of one of the seeds, of which there is at least one.
    pub fn mutate(self, seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let (seed, other) = (random.pick(seeds), random.pick(seeds));
        // Now and then what does not look like the format at all.
        let shape = if random.one_in(8) { *random.pick(&[Self::Bytes, Self::Text]) } else { self };
        let mut input = match shape {
            Self::Bytes => bytes::mutated(seed, other, random),
            Self::Text => text::mutated(seed, other, random),
            Self::Json => json::mutated(seed, other, random),
            Self::JsonLines => framed::json_lines(seed, other, random),
            Self::Toml => framed::toml(seed, other, random),
            Self::Safetensors => framed::safetensors(seed, other, random),
        };
        input.truncate(LARGEST);
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(shape: Shape) -> Vec<Vec<u8>> {
        match shape {
            Shape::Bytes | Shape::Text => vec![b"text,label\na,1\n".to_vec(), b"x\ty\n".to_vec()],
            Shape::Json => vec![br#"{"a": [1, "b", {"c": null}], "d": 2.5}"#.to_vec()],
            Shape::JsonLines => vec![b"{\"a\": 1}\n{\"a\": 2}\n".to_vec()],
            Shape::Toml => vec![b"a = 1\n[b]\nc = [\"d\", \"e\"]\n".to_vec()],
            Shape::Safetensors => vec![framed::with_header(br#"{"a":{"dtype":"U8"}}"#, b"data")],
        }
    }

    const ALL: [Shape; 6] =
        [Shape::Bytes, Shape::Text, Shape::Json, Shape::JsonLines, Shape::Toml, Shape::Safetensors];

    #[test]
    fn an_input_is_a_function_of_seed_and_number_and_few_are_alike() {
        for shape in ALL {
            let input = |number| shape.mutate(&seeds(shape), &mut Random::new(7, number));
            let inputs: std::collections::HashSet<Vec<u8>> = (0..2000).map(input).collect();
            assert!((0..20).all(|number| input(number) == input(number)), "{shape:?}");
            assert!(inputs.len() > 1000, "{shape:?}: {}", inputs.len());
            assert!(inputs.iter().all(|input| input.len() <= LARGEST));
        }
    }

    #[test]
    fn mutations_stay_near_the_format() {
        let sound = |shape: Shape, is_sound: &dyn Fn(&[u8]) -> bool| {
            let count = (0..1000)
                .filter(|&number| is_sound(&shape.mutate(&seeds(shape), &mut Random::new(3, number))));
            let count = count.count();
            assert!((200..950).contains(&count), "{shape:?}: {count} of 1000 can be parsed");
        };
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned);
        sound(Shape::Json, &|bytes| serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
        sound(Shape::Toml, &|bytes| {
            is_text(bytes).is_ok_and(|text| toml::from_str::<toml::Table>(&text).is_ok())
        });
        sound(Shape::Safetensors, &|bytes| {
            framed::header(bytes)
                .is_some_and(|(header, _)| serde_json::from_slice::<serde_json::Value>(header).is_ok())
        });
    }
}
