//! The walk over linear maps meets each of them under its parameters' path, in every family.

#[path = "common/zoo.rs"]
mod zoo;

use std::collections::BTreeSet;

use burn::tensor::Device;
use zoo::cases;

#[test]
fn the_walk_meets_exactly_the_linear_maps_of_the_backbone() {
    for case in cases() {
        let mut model = case.load(&Device::flex());
        // Matrices of a backbone are linear maps or tables, and tables are named so.
        let expected: BTreeSet<(String, Vec<usize>)> = model
            .parameters()
            .parameters
            .into_iter()
            .filter(|parameter| parameter.shape.len() == 2 && !parameter.path.starts_with("head."))
            .filter_map(|parameter| {
                Some((parameter.path.strip_suffix(".weight")?.to_owned(), parameter.shape))
            })
            .filter(|(path, _)| !path.ends_with("embedding") && !path.ends_with("relative_bias"))
            .collect();
        let mut met = BTreeSet::new();
        model.each_linear(&mut |path, linear| {
            let is_new = met.insert((path.to_owned(), linear.sizes().to_vec()));
            assert!(is_new, "{}: {path} was met twice", case.name);
        });
        assert_eq!(met, expected, "{}", case.name);
        // ALBERT has one layer's weights, and a map after the embeddings.
        assert!(met.len() >= 7, "{}: {} linear maps", case.name, met.len());
    }
}
