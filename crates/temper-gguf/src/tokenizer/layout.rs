//! The tokens before and after a text: `post_processor` of tokenizer.json.

use serde_json::{Map, Value as Json, json};

/// A token and its id.
pub(super) type Named<'a> = (usize, &'a str);

/// A layout that puts a token before each text, or one after, or both.
pub(super) fn layout(before: Option<Named<'_>>, behind: Option<Named<'_>>) -> Json {
    let special = |token: Option<Named<'_>>, kind: u8| {
        token.map(|(_, text)| json!({"SpecialToken": {"id": text, "type_id": kind}}))
    };
    let text = |name: &str, kind: u8| {
        let text = json!({"Sequence": {"id": name, "type_id": kind}});
        [special(before, kind), Some(text), special(behind, kind)]
            .into_iter()
            .flatten()
            .collect::<Vec<Json>>()
    };
    let tokens = [before, behind].into_iter().flatten();
    let tokens: Map<String, Json> = tokens
        .map(|(id, text)| (text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let pair = [text("A", 0), text("B", 1)].concat();
    json!({
        "type": "TemplateProcessing",
        "single": text("A", 0),
        "pair": pair,
        "special_tokens": tokens,
    })
}

/// The ids before and after a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub before: Vec<u64>,
    pub behind: Vec<u64>,
}

/// What a layout puts around a text.
///
/// # Errors
/// A layout that is not understood, by its kind.
pub(super) fn around(layout: &Json) -> Result<Around, String> {
    match layout["type"].as_str() {
        None if layout.is_null() => Ok(Around::default()),
        Some("ByteLevel") => Ok(Around::default()),
        Some("TemplateProcessing") => of_template(layout),
        Some("Sequence") => {
            let steps = layout["processors"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut found = Around::default();
            for step in steps {
                let around = around(step)?;
                if found != Around::default() && around != Around::default() {
                    return Err("its tokenizer puts tokens around a text twice".into());
                }
                if around != Around::default() {
                    found = around;
                }
            }
            Ok(found)
        }
        _ => Err(format!("its tokenizer lays texts out by {}, which is not written", layout["type"])),
    }
}

fn of_template(layout: &Json) -> Result<Around, String> {
    let mut around = Around::default();
    let mut is_behind = false;
    for item in layout["single"].as_array().into_iter().flatten() {
        if item["Sequence"]["id"] == "A" {
            is_behind = true;
            continue;
        }
        let name = item["SpecialToken"]["id"].as_str().unwrap_or_default();
        let ids = layout["special_tokens"][name]["ids"].as_array();
        let ids = ids.and_then(|ids| ids.iter().map(Json::as_u64).collect::<Option<Vec<u64>>>());
        let ids = ids.ok_or_else(|| format!("its tokenizer's layout has no ids for `{name}`"))?;
        if is_behind { around.behind.extend(ids) } else { around.before.extend(ids) }
    }
    Ok(around)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_says_what_it_puts_around_a_text() {
        let (bos, eos) = (Some((1, "<s>")), Some((2, "</s>")));
        let of = |before: &[u64], behind: &[u64]| Around { before: before.into(), behind: behind.into() };
        assert_eq!(around(&layout(bos, None)), Ok(of(&[1], &[])));
        assert_eq!(around(&layout(bos, eos)), Ok(of(&[1], &[2])));
        let steps = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, layout(None, eos)]});
        assert_eq!(around(&steps), Ok(of(&[], &[2])));
        assert_eq!(around(&Json::Null), Ok(Around::default()));
        let other = around(&json!({"type": "BertProcessing"})).unwrap_err();
        assert!(other.contains("BertProcessing"), "{other}");
        let twice = json!({"type": "Sequence", "processors": [layout(bos, None), layout(bos, None)]});
        assert!(around(&twice).is_err());
    }
}
