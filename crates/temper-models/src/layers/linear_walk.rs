//! Reaching the linear maps of a model: Burn's mappers see parameters alone.

use super::{Attention, Block, FeedForward, Linear, ParallelBlock};

/// A walk over linear maps, each of which is shown with its path and may be changed.
pub struct LinearWalk<'a> {
    path: String,
    visit: &'a mut dyn FnMut(&str, &mut Linear),
}

impl<'a> LinearWalk<'a> {
    /// A walk that shows every map to `visit`.
    pub fn new(visit: &'a mut dyn FnMut(&str, &mut Linear)) -> Self {
        Self { path: String::new(), visit }
    }

    /// Goes through a part under the name of its field.
    pub fn part(&mut self, name: &str, part: &mut impl HasLinears) {
        let above = self.path.len();
        if above > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        part.walk_linears(self);
        self.path.truncate(above);
    }
}

/// A part of a model with linear maps in it.
pub trait HasLinears {
    /// Leads the walk through the part's fields.
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>);
}

impl HasLinears for Linear {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        (walk.visit)(&walk.path, self);
    }
}

impl<P: HasLinears> HasLinears for Option<P> {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        if let Some(part) = self {
            part.walk_linears(walk);
        }
    }
}

impl<P: HasLinears> HasLinears for Vec<P> {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        for (index, part) in self.iter_mut().enumerate() {
            walk.part(&index.to_string(), part);
        }
    }
}

impl HasLinears for Attention {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("query", &mut self.query);
        walk.part("key", &mut self.key);
        walk.part("value", &mut self.value);
        walk.part("output", &mut self.output);
    }
}

impl HasLinears for FeedForward {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("inner", &mut self.inner);
        walk.part("gate", &mut self.gate);
        walk.part("outer", &mut self.outer);
    }
}

impl HasLinears for Block {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("attention", &mut self.attention);
        walk.part("cross_attention", &mut self.cross_attention);
        walk.part("ffn", &mut self.ffn);
    }
}

impl HasLinears for ParallelBlock {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("attention", &mut self.attention);
        walk.part("ffn", &mut self.ffn);
    }
}
