//! MPI. One thread makes all of its calls, since a communicator belongs to the thread that made it; the others wait for
//! its answers, and so notice when an answer does not come.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, sleep};
use std::time::Duration;

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::datatype::PartitionMut;
use ::mpi::environment::{library_version, processor_name};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives, Root};

use super::{Place, cores};
use crate::TrainError;
use crate::signals::Stop;
use crate::terminal::say;

/// How often a rank that waits without a limit looks whether the others are there.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of one message of a broadcast at most; MPI counts in 31 bits.
const MESSAGE: usize = 1 << 30;

/// The MPI library that this program uses, in its own words.
pub(crate) fn library() -> String {
    let text = library_version().unwrap_or_default();
    text.lines().next().unwrap_or("unknown").split(',').next().unwrap_or_default().trim().to_owned()
}

/// The other ranks, through the thread that calls MPI.
#[derive(Debug)]
pub(super) struct Group {
    calls: Sender<Call>,
    rank: usize,
}

/// What a rank knows when it has joined.
pub(super) struct Joined {
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) place: Place,
}

/// A call of MPI, and where its answer goes.
enum Call {
    Sum(Vec<f32>, Sender<Vec<f32>>),
    Broadcast(Vec<u8>, Sender<Vec<u8>>),
    Gather(Vec<u8>, Sender<Vec<Vec<u8>>>),
    Meet(Sender<()>),
    Leave(Sender<()>),
    Abort(u8),
}

impl Group {
    /// Initialises MPI.
    ///
    /// # Errors
    /// [`TrainError::File`] where the system gives no thread.
    pub(super) fn join() -> Result<(Self, Joined), TrainError> {
        let (calls, received) = channel();
        let (sender, joined) = channel();
        let thread = Builder::new().name("mpi".into()).spawn(move || serve(&received, &sender));
        thread.map_err(|error| TrainError::file("MPI", error))?;
        let joined: Joined = joined.recv().map_err(|error| TrainError::file("MPI", error))?;
        Ok((Self { calls, rank: joined.rank }, joined))
    }

    /// As `Ranks::sum`.
    pub(super) fn sum(&self, values: &mut Vec<f32>, longest_wait: Duration) {
        let (sender, answer) = channel();
        self.call(Call::Sum(std::mem::take(values), sender));
        *values = self.answer(&answer, longest_wait);
    }

    /// As `Ranks::broadcast`.
    pub(super) fn broadcast(&self, bytes: Vec<u8>, longest_wait: Duration) -> Vec<u8> {
        let (sender, answer) = channel();
        self.call(Call::Broadcast(bytes, sender));
        self.answer(&answer, longest_wait)
    }

    /// As `Ranks::gather`.
    pub(super) fn gather(&self, bytes: Vec<u8>, longest_wait: Duration) -> Vec<Vec<u8>> {
        let (sender, answer) = channel();
        self.call(Call::Gather(bytes, sender));
        self.answer(&answer, longest_wait)
    }

    /// As `Ranks::meet`.
    pub(super) fn meet(&self) {
        let (sender, answer) = channel();
        self.call(Call::Meet(sender));
        self.answer(&answer, Duration::MAX);
    }

    /// As `Ranks::leave`.
    pub(super) fn leave(&self) {
        let (sender, answer) = channel();
        self.call(Call::Leave(sender));
        self.answer(&answer, Duration::MAX);
    }

    /// As `Ranks::abort`.
    pub(super) fn abort(&self, exit_code: u8) {
        self.call(Call::Abort(exit_code));
        // MPI ends this process, too, but not before its own messages are out.
        sleep(Duration::from_secs(10));
    }

    fn call(&self, call: Call) {
        if self.calls.send(call).is_err() {
            self.lost("MPI has ended");
        }
    }

    fn answer<T>(&self, answer: &Receiver<T>, longest_wait: Duration) -> T {
        match answer.recv_timeout(longest_wait) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                let waited = humantime::format_duration(longest_wait);
                self.lost(&format!("another rank did not answer within {waited}"))
            }
            Err(RecvTimeoutError::Disconnected) => self.lost("MPI has ended"),
        }
    }

    /// Ends the process: what is not in a checkpoint is lost, and the same command continues from there.
    fn lost(&self, what: &str) -> ! {
        say(&format!("rank {}: {what}; start the same command again", self.rank));
        std::process::exit(Stop::Terminate.exit_code().into())
    }
}

/// The thread that calls MPI: from its initialisation to its end.
fn serve(calls: &Receiver<Call>, joined: &Sender<Joined>) {
    // One thread calls MPI, and others compute.
    let Some((universe, _)) = ::mpi::initialize_with_threading(Threading::Funneled) else { return };
    let world = universe.world();
    if joined.send(introduced(&world)).is_err() {
        return;
    }
    let mut spare = Vec::new();
    // A receiver that is gone has given up: its process is ending.
    for call in calls {
        match call {
            Call::Sum(values, answer) => drop(answer.send(sum(&world, values, &mut spare))),
            Call::Broadcast(bytes, answer) => drop(answer.send(broadcast(&world, bytes))),
            Call::Gather(bytes, answer) => drop(answer.send(gather(&world, &bytes))),
            Call::Meet(answer) => {
                meet(&world);
                let _ = answer.send(());
            }
            Call::Leave(answer) => {
                meet(&world);
                // Ends MPI.
                drop(universe);
                let _ = answer.send(());
                return;
            }
            Call::Abort(code) => world.abort(code.into()),
        }
    }
}

/// What this rank knows of itself and of those on its machine.
fn introduced(world: &SimpleCommunicator) -> Joined {
    let machine = world.split_shared(world.rank());
    let [local_rank, local_size] = [machine.rank(), machine.size()].map(number);
    let own = cores::allowed();
    let mut all = vec![0; own.len() * local_size];
    machine.all_gather_into(&own[..], &mut all[..]);
    let masks: Vec<&[u8]> = all.chunks(own.len()).collect();
    let (cores, share) = cores::share(&masks, local_rank);
    // A container may have less time than cores.
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let host = processor_name().unwrap_or_else(|_| "a machine without a name".into());
    let place = Place { host, local_rank, local_size, cores, threads: share.min(most) };
    Joined { rank: number(world.rank()), size: number(world.size()), place }
}

/// Sums numbers into `spare`, and leaves their memory there for the next ones.
fn sum(world: &SimpleCommunicator, values: Vec<f32>, spare: &mut Vec<f32>) -> Vec<f32> {
    spare.resize(values.len(), 0.0);
    world.all_reduce_into(&values[..], &mut spare[..], SystemOperation::sum());
    std::mem::replace(spare, values)
}

fn broadcast(world: &SimpleCommunicator, mut bytes: Vec<u8>) -> Vec<u8> {
    let first = world.process_at_rank(0);
    let mut length = bytes.len() as u64;
    first.broadcast_into(&mut length);
    bytes.resize(length as usize, 0);
    for part in bytes.chunks_mut(MESSAGE) {
        first.broadcast_into(part);
    }
    bytes
}

fn gather(world: &SimpleCommunicator, bytes: &[u8]) -> Vec<Vec<u8>> {
    let first = world.process_at_rank(0);
    let length = i32::try_from(bytes.len()).expect("a batch of outputs is below 2 GiB");
    if world.rank() != 0 {
        first.gather_into(&length);
        first.gather_varcount_into(bytes);
        return Vec::new();
    }
    let mut lengths = vec![0_i32; number(world.size())];
    first.gather_into_root(&length, &mut lengths[..]);
    let mut starts = Vec::with_capacity(lengths.len());
    let mut total = 0_i32;
    for length in &lengths {
        starts.push(total);
        total = total.checked_add(*length).expect("a batch of outputs of all ranks is below 2 GiB");
    }
    let mut all = vec![0_u8; number(total)];
    first.gather_varcount_into_root(
        bytes,
        &mut PartitionMut::new(&mut all[..], lengths.clone(), starts.clone()),
    );
    let each = starts.iter().zip(&lengths);
    each.map(|(&start, &length)| all[number(start)..number(start + length)].to_vec()).collect()
}

/// MPI's own barrier keeps a core busy.
fn meet(world: &SimpleCommunicator) {
    let mut barrier = world.immediate_barrier();
    while let Err(waiting) = barrier.test() {
        barrier = waiting;
        sleep(LOOK);
    }
}

/// A count of MPI's, which is never negative.
fn number(count: i32) -> usize {
    usize::try_from(count).unwrap_or_default()
}
