//! Vocabularies of SentencePiece (`spm.model`, `spiece.model`, `tokenizer.model`).
//!
//! The format is google/sentencepiece's sentencepiece_model.proto, of which these fields matter. What a class makes of it
//! follows transformers 5.23: `SentencePieceExtractor` and `convert_from_spm` of convert_slow_tokenizer.py, and
//! `generate_merges` of tokenization_utils_base.py.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::class::Recipe;
use super::settings::TokenizerSettings;
use super::tokens::FileToken;
use crate::DataError;

/// The types of model that are read. Unigram is also the default.
const UNIGRAM: i32 = 1;
const BYTE_PAIRS: i32 = 2;
/// Types of pieces that a text does not contain, and that a user added.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

#[derive(Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<NormalizerSpec>,
}

#[derive(Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
}

#[derive(Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
}

/// The name of the file that a class reads, if it reads one.
pub(super) fn file_name(recipe: Recipe) -> Option<&'static str> {
    match recipe {
        Recipe::Albert | Recipe::T5 => Some("spiece.model"),
        Recipe::DebertaV2 => Some("spm.model"),
        Recipe::Gemma | Recipe::Llama => Some("tokenizer.model"),
        Recipe::Camembert | Recipe::XlmRoberta => Some("sentencepiece.bpe.model"),
        _ => None,
    }
}

/// What a tokenizer.json would say of the vocabulary in a file, with its tokens that are added.
pub(super) fn read(
    file: &Path,
    recipe: Recipe,
    settings: &TokenizerSettings,
) -> Result<(Value, Vec<FileToken>), DataError> {
    let bytes = std::fs::read(file).map_err(|source| DataError::io(file, source))?;
    let damaged = |reason: String| DataError::damaged(file, reason);
    let model = ModelProto::decode(bytes.as_slice()).map_err(|error| damaged(error.to_string()))?;
    let trainer = model.trainer.unwrap_or_default();
    let (expected, name) = match recipe {
        Recipe::Gemma | Recipe::Llama => (BYTE_PAIRS, "byte pairs"),
        _ => (UNIGRAM, "Unigram"),
    };
    let found = trainer.model_type.unwrap_or(UNIGRAM);
    if found != expected {
        let reason =
            format!("it has a model of type {found}; this class has {name} models, of type {expected}");
        return Err(damaged(reason));
    }
    let pieces: Vec<(String, f64)> = model
        .pieces
        .iter()
        .map(|piece| (piece.piece.clone().unwrap_or_default(), f64::from(piece.score.unwrap_or_default())))
        .collect();
    let charsmap = model.normalizer.and_then(|normalizer| normalizer.precompiled_charsmap);
    let normalizer = charsmap
        .filter(|map| !map.is_empty())
        .map(|map| json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(map)}));
    let added = model.pieces.iter().filter_map(|piece| {
        let kind = piece.kind.filter(|kind| [CONTROL, USER_DEFINED].contains(kind))?;
        let token = AddedToken::from(piece.piece.clone().unwrap_or_default(), kind == CONTROL);
        Some(FileToken::Full(token.normalized(false)))
    });
    let sentinels = if recipe == Recipe::T5 { 0..settings.extra_ids()? } else { 0..0 };
    let sentinels = sentinels.map(|id| FileToken::Text(format!("<extra_id_{id}>")));
    let added = added.chain(sentinels).collect();
    let model = if expected == BYTE_PAIRS {
        byte_pairs(&pieces)
    } else {
        // Where the unknown token is not among the pieces.
        let unk_id = trainer.unk_id.unwrap_or_default();
        json!({"type": "Unigram", "vocab": vocabulary(pieces, recipe, settings)?, "unk_id": unk_id})
    };
    Ok((json!({"model": model, "normalizer": normalizer}), added))
}

/// A model of byte pairs: a piece is made of any two that are pieces, too; what makes earlier pieces comes first.
fn byte_pairs(pieces: &[(String, f64)]) -> Value {
    let ids: HashMap<&str, usize> =
        pieces.iter().enumerate().map(|(id, (piece, _))| (piece.as_str(), id)).collect();
    // Looked at first, so that a piece as long as its file takes no time.
    let lengths: HashSet<usize> = ids.keys().map(|piece| piece.len()).collect();
    let mut merges = Vec::new();
    for (id, (piece, _)) in pieces.iter().enumerate() {
        if ids[piece.as_str()] != id {
            continue; // Of equal pieces the last one counts.
        }
        for (cut, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(cut);
            let may_be = lengths.contains(&left.len()) && lengths.contains(&right.len());
            if may_be && ids.contains_key(left) && ids.contains_key(right) {
                merges.push([left, right]);
            }
        }
    }
    json!({"type": "BPE", "vocab": ids, "merges": merges})
}

/// The pieces as a class numbers them, which has tokens of its own before or after them.
fn vocabulary(
    pieces: Vec<(String, f64)>,
    recipe: Recipe,
    settings: &TokenizerSettings,
) -> Result<Vec<(String, f64)>, DataError> {
    let token = |part: &str, default: &str| (settings.token_text(part).unwrap_or(default).to_owned(), 0.0);
    let mask = token("mask_token", "<mask>");
    Ok(match recipe {
        Recipe::T5 => {
            let extra = (0..settings.extra_ids()?).rev();
            pieces.into_iter().chain(extra.map(|id| (format!("<extra_id_{id}>"), 0.0))).collect()
        }
        Recipe::XlmRoberta => {
            let first =
                [("bos_token", "<s>"), ("pad_token", "<pad>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
            let first = first.map(|(part, default)| token(part, default));
            first.into_iter().chain(pieces.into_iter().skip(3)).chain([mask]).collect()
        }
        Recipe::Camembert => {
            let first = [
                ("<s>NOTUSED".to_owned(), 0.0),
                token("pad_token", "<pad>"),
                ("</s>NOTUSED".to_owned(), 0.0),
                token("unk_token", "<unk>"),
                ("<unk>NOTUSED".to_owned(), -100.0),
            ];
            first.into_iter().chain(pieces.into_iter().skip(1)).chain([mask]).collect()
        }
        _ => pieces,
    })
}
