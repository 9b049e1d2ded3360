//! The optimiser's operations on several tensors in one launch: on a GPU, small tensors cost launches, not arithmetic.

#[cfg(feature = "gpu")]
use burn::backend::{
    Backend, ExtensionType, backend_extension, fusion::custom::TensorSpec, tensor::FloatTensor,
};
use burn::backend::{Dispatch, DispatchTensor};
#[cfg(feature = "gpu")]
use burn::tensor::Shape;
use burn::tensor::{Device, Tensor};

use crate::backend::{has_gpu_kernels, has_kernels};
use crate::cpu::AdamW;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::optimizer::OptimizerOps;

/// A parameter of any rank, its moments, its gradient, and the step of it that is to be done.
#[derive(Clone, Debug)]
pub struct AdamWTask {
    /// The parameter.
    pub parameter: DispatchTensor,
    /// Mean of the gradients.
    pub first_moment: DispatchTensor,
    /// Mean of the squared gradients.
    pub second_moment: DispatchTensor,
    /// The gradient.
    pub gradient: DispatchTensor,
    /// The rule.
    pub adamw: AdamW,
    /// Counts from 1.
    pub step: u32,
}

/// Whether [`adamw_steps`] is worth its trouble on a device: whether it has a kernel for several parameters.
pub fn steps_in_groups(device: &Device) -> bool {
    // Four tensors of each parameter, the clip factor, and what CubeCL passes besides.
    crate::backend::has_planes(device) && crate::backend::bindings(device) >= 4 * GROUP + 4
}

/// As [`crate::adamw_step`] for each task, in order, in groups on devices of [`steps_in_groups`]; the gradients are left as
/// they are. Tensors are f32.
pub fn adamw_steps(tasks: Vec<AdamWTask>, gradient_factor: Option<Tensor<1>>) -> Vec<AdamWTask> {
    let Some(first) = tasks.first() else { return tasks };
    let device = Tensor::<1>::from_dispatch(first.gradient.clone()).device();
    let most = if steps_in_groups(&device) { GROUP } else { 1 };
    let mut groups: Vec<Vec<(usize, AdamWTask)>> = Vec::new();
    for (place, task) in tasks.into_iter().enumerate() {
        let alike = |group: &&mut Vec<(usize, AdamWTask)>| {
            group.len() < most && (group[0].1.adamw, group[0].1.step) == (task.adamw, task.step)
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push((place, task)),
            None => groups.push(vec![(place, task)]),
        }
    }
    let mut done: Vec<(usize, AdamWTask)> =
        groups.into_iter().flat_map(|group| stepped(group, gradient_factor.clone())).collect();
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, task)| task).collect()
}

/// Tensors in one launch.
#[cfg(feature = "gpu")]
const GROUP: usize = gpu::GROUP;
#[cfg(not(feature = "gpu"))]
const GROUP: usize = 1;

/// A group of tasks with one rule and step.
fn stepped(group: Vec<(usize, AdamWTask)>, gradient_factor: Option<Tensor<1>>) -> Vec<(usize, AdamWTask)> {
    #[cfg(feature = "gpu")]
    if group.len() == GROUP {
        return stepped_at_once(group, gradient_factor);
    }
    let one = |(place, task): (usize, AdamWTask)| {
        let AdamWTask { parameter, first_moment, second_moment, gradient, adamw, step } = task;
        let factor = gradient_factor.clone().unwrap_or_else(|| ones(&gradient));
        let (parameter, first_moment, second_moment) = Dispatch::fused_adamw(
            parameter,
            first_moment,
            second_moment,
            gradient.clone(),
            factor.into_dispatch(),
            adamw,
            step,
        );
        (place, AdamWTask { parameter, first_moment, second_moment, gradient, adamw, step })
    };
    group.into_iter().map(one).collect()
}

fn ones(beside: &DispatchTensor) -> Tensor<1> {
    Tensor::ones([1], &Tensor::<1>::from_dispatch(beside.clone()).device())
}

/// A tensor of any rank whose elements are added up.
#[derive(Clone, Debug)]
pub enum Elements {
    /// On a GPU, of a type that has kernels.
    OnGpu(DispatchTensor),
    /// On a CPU, of a type that has kernels.
    OnCpu(DispatchTensor),
    /// Of another type, `[elements]`.
    Composed(Tensor<1>),
}

impl Elements {
    /// Of a tensor.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        match (has_kernels(&tensor), has_gpu_kernels(&tensor)) {
            (true, true) => Self::OnGpu(tensor.into_dispatch()),
            (true, false) => Self::OnCpu(tensor.into_dispatch()),
            // [..] -> [elements]
            (false, _) => Self::Composed(tensor.flatten(0, D - 1)),
        }
    }

    /// `[1]`
    fn sum_of_squares(self) -> Tensor<1> {
        match self {
            Self::OnGpu(tensor) | Self::OnCpu(tensor) => {
                Tensor::from_dispatch(Dispatch::fused_sum_of_squares(tensor))
            }
            Self::Composed(tensor) => tensor.square().sum(),
        }
    }
}

/// The sum of the squares of all elements of each tensor, in their order, in one tensor or several.
///
/// # Shapes
/// - tensors: any; outputs: `[sums]`, together one number a tensor
pub fn sums_of_squares(tensors: Vec<Elements>) -> Vec<Tensor<1>> {
    #[cfg(feature = "gpu")]
    let (mut sums, tensors) = sums_of_groups(tensors);
    #[cfg(not(feature = "gpu"))]
    let mut sums = Vec::new();
    sums.extend(tensors.into_iter().map(Elements::sum_of_squares));
    sums
}

/// The sums of as many groups as there are, and the tensors that are left: all of them where one is not on a GPU.
#[cfg(feature = "gpu")]
fn sums_of_groups(mut tensors: Vec<Elements>) -> (Vec<Tensor<1>>, Vec<Elements>) {
    let mut sums = Vec::new();
    if tensors.iter().all(|elements| matches!(elements, Elements::OnGpu(_))) {
        while tensors.len() >= GROUP {
            let on_gpu = |elements| match elements {
                Elements::OnGpu(tensor) => Some(tensor),
                Elements::OnCpu(_) | Elements::Composed(_) => None,
            };
            let group = tensors.drain(..GROUP).filter_map(on_gpu).collect();
            sums.push(Tensor::from_dispatch(Dispatch::sums_of_group(Group::of(group))));
        }
    }
    (sums, tensors)
}

#[cfg(feature = "gpu")]
fn stepped_at_once(
    group: Vec<(usize, AdamWTask)>,
    gradient_factor: Option<Tensor<1>>,
) -> Vec<(usize, AdamWTask)> {
    let (adamw, step) = (group[0].1.adamw, group[0].1.step);
    let factor = gradient_factor.unwrap_or_else(|| ones(&group[0].1.gradient)).into_dispatch();
    let places: Vec<usize> = group.iter().map(|(place, _)| *place).collect();
    let mut columns: [Vec<DispatchTensor>; 4] = Default::default();
    for (_, task) in group {
        let AdamWTask { parameter, first_moment, second_moment, gradient, .. } = task;
        for (column, tensor) in columns.iter_mut().zip([parameter, first_moment, second_moment, gradient]) {
            column.push(tensor);
        }
    }
    let gradients = columns[3].clone();
    let [parameters, first_moments, second_moments, of_group] = columns.map(Group::of);
    let before = AdamWGroup { parameters, first_moments, second_moments };
    let after = Dispatch::adamw_of_group(before, of_group, factor, adamw, step);
    let AdamWGroup { parameters, first_moments, second_moments } = after;
    let [parameters, first_moments, second_moments] =
        [parameters, first_moments, second_moments].map(Group::into_array);
    let tensors = parameters.into_iter().zip(first_moments).zip(second_moments).zip(gradients);
    let tasks = tensors.map(|(((parameter, first_moment), second_moment), gradient)| AdamWTask {
        parameter,
        first_moment,
        second_moment,
        gradient,
        adamw,
        step,
    });
    places.into_iter().zip(tasks).collect()
}

/// Eight tensors: Burn's dispatch knows no lists.
#[cfg(feature = "gpu")]
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Group<B: Backend> {
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    c: FloatTensor<B>,
    d: FloatTensor<B>,
    e: FloatTensor<B>,
    f: FloatTensor<B>,
    g: FloatTensor<B>,
    h: FloatTensor<B>,
}

#[cfg(feature = "gpu")]
impl<B: Backend> Group<B> {
    fn of(tensors: Vec<FloatTensor<B>>) -> Self {
        let Ok([a, b, c, d, e, f, g, h]) = <[_; GROUP]>::try_from(tensors) else {
            unreachable!("a group has {GROUP} tensors")
        };
        Self { a, b, c, d, e, f, g, h }
    }

    fn into_array(self) -> [FloatTensor<B>; GROUP] {
        let Self { a, b, c, d, e, f, g, h } = self;
        [a, b, c, d, e, f, g, h]
    }
}

/// Parameters with their moments.
#[cfg(feature = "gpu")]
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct AdamWGroup<B: Backend> {
    #[extension_type]
    parameters: Group<B>,
    #[extension_type]
    first_moments: Group<B>,
    #[extension_type]
    second_moments: Group<B>,
}

#[cfg(feature = "gpu")]
#[backend_extension(Cube, Fusion)]
pub(crate) trait GroupOps: Backend {
    #[fusion(meta = |group| TensorSpec::new(Shape::new([gpu::GROUP]), group.a.dtype))]
    fn sums_of_group(#[extension_type] group: Group<Self>) -> FloatTensor<Self>;

    #[fusion(meta = |before, _, _, _, _| before.clone())]
    fn adamw_of_group(
        #[extension_type] before: AdamWGroup<Self>,
        #[extension_type] gradients: Group<Self>,
        gradient_factor: FloatTensor<Self>,
        adamw: AdamW,
        step: u32,
    ) -> AdamWGroup<Self>;
}

#[cfg(feature = "gpu")]
impl GroupOps for burn_cubecl::CubeBackend {
    fn sums_of_group(group: Group<Self>) -> FloatTensor<Self> {
        gpu::sums_of_squares(group.into_array())
    }

    fn adamw_of_group(
        before: AdamWGroup<Self>,
        gradients: Group<Self>,
        gradient_factor: FloatTensor<Self>,
        adamw: AdamW,
        step: u32,
    ) -> AdamWGroup<Self> {
        let AdamWGroup { parameters, first_moments, second_moments } = before;
        let tensors = [parameters, first_moments, second_moments].map(Group::into_array);
        let tensors = gpu::adamw_group(tensors, gradients.into_array(), gradient_factor, adamw, step);
        let [parameters, first_moments, second_moments] = tensors.map(|tensors| Group::of(tensors.into()));
        AdamWGroup { parameters, first_moments, second_moments }
    }
}
