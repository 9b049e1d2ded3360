//! The depth of a model below which nothing trains.

use crate::FreezePlan;
use crate::levels::{Stacks, is_embedding};

/// Number of lowest layers whose output for an example no update changes, at an optimiser step (counted
/// from 0): neither they nor anything below them trains then. An encoder's layers count first.
///
/// Of the embeddings of a decoder that has an encoder, only those are below the decoder that are its own.
pub fn trunk_depth(plan: &FreezePlan, step: usize) -> usize {
    let stacks = Stacks::of_paths(plan.rows.iter().map(|row| row.path.as_str()));
    let trained = plan.rows.iter().filter(|row| row.trains_in(step));
    trained.map(|row| limit(&row.path, stacks)).min().unwrap_or(stacks.layers()).min(stacks.layers())
}

/// Layers below a parameter that do not depend on it.
fn limit(path: &str, stacks: Stacks) -> usize {
    let is_of_decoder = path.starts_with("decoder.");
    if is_embedding(path) {
        return if is_of_decoder { stacks.encoder_layers() } else { 0 };
    }
    if path.starts_with("encoder.") && !path.starts_with("encoder.layers.") {
        // The final norm: stored states of only the encoder are those before it.
        return stacks.encoder_layers();
    }
    stacks.level(path)
}

#[cfg(test)]
mod tests {
    use temper_models::{Parameter, ParameterTable};

    use super::*;
    use crate::Strategy;

    const BERT: [&str; 8] = [
        "token_embedding.weight",
        "embedding_norm.gamma",
        "layers.0.attention.query.weight",
        "layers.1.ffn.inner.weight",
        "layers.10.ffn.inner.weight",
        "layers.2.ffn.inner.weight",
        "pooler.weight",
        "head.output.weight",
    ];
    const T5: [&str; 10] = [
        "token_embedding.weight",
        "encoder.relative_bias.weight",
        "encoder.layers.0.attention.query.weight",
        "encoder.layers.1.attention.query.weight",
        "encoder.final_norm.gamma",
        "decoder.relative_bias.weight",
        "decoder.layers.0.attention.query.weight",
        "decoder.layers.1.cross_attention.query.weight",
        "decoder.final_norm.gamma",
        "head.output.weight",
    ];

    fn depth(paths: &[&str], strategy: &str) -> usize {
        trunk_depth(&plan(paths, strategy), 0)
    }

    fn plan(paths: &[&str], strategy: &str) -> FreezePlan {
        let parameter = |path: &&str| Parameter {
            path: (*path).to_owned(),
            shape: vec![1],
            id: burn::module::ParamId::new(),
            trains: true,
        };
        let table = ParameterTable { parameters: paths.iter().map(parameter).collect() };
        let strategy: Strategy = strategy.parse().expect("a strategy");
        FreezePlan::new(&strategy, &table, &[]).expect("a plan")
    }

    #[test]
    fn the_lowest_part_that_trains_decides() {
        for (strategy, expected) in [
            ("all", 0),
            ("head", 11),
            ("last:1", 10),
            ("last:11", 0),
            ("freeze-embeddings", 0),
            ("embeddings", 0),
            (r"pattern:embedding_norm\..*", 0),
            (r"pattern:layers\.2\..*", 2),
            (r"pattern:pooler\..*,head\..*", 11),
        ] {
            assert_eq!(depth(&BERT, strategy), expected, "{strategy}");
        }
    }

    #[test]
    fn gradual_unfreezing_shrinks_it() {
        let plan = plan(&BERT, "gradual");
        let depths: Vec<usize> = (0..20).map(|step| trunk_depth(&plan, step)).collect();
        assert_eq!((depths[0], depths[19]), (11, 0), "{depths:?}");
        assert!(depths.is_sorted_by(|left, right| left >= right), "{depths:?}");
    }

    #[test]
    fn a_decoder_stands_on_its_encoder() {
        for (strategy, expected) in [
            ("head", 4),
            ("last:1", 3),
            ("last:3", 1),
            ("all", 0),
            (r"pattern:token_embedding\..*", 0),
            (r"pattern:encoder\.relative_bias\..*", 0),
            (r"pattern:decoder\.relative_bias\..*", 2),
            (r"pattern:encoder\.final_norm\..*", 2),
            (r"pattern:decoder\.final_norm\..*", 4),
            (r"pattern:decoder\.layers\.1\..*,encoder\.layers\.1\..*", 1),
        ] {
            assert_eq!(depth(&T5, strategy), expected, "{strategy}");
        }
    }
}
