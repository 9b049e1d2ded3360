// The threads of a block, as fibers: one runs until it waits for others. A warp's operation is done once all of its
// threads have come to it, or, where some went another way, once nobody else can go on.
#include "threads.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

namespace {
constexpr size_t STACK_BYTES = 256 << 10, SHARED_BYTES = 1 << 20;
constexpr unsigned MOST_THREADS = 1024, MOST_SHARED = 232448;
// What memory holds that nobody has written.
constexpr int UNWRITTEN = 0x7f;

struct Copy {
    void *to;
    const void *from;
    int size, length;
};
enum class State { ready, at_barrier, at_warp, done };

struct Thread : Position {
    void *stack_pointer = nullptr;
    char *stack = static_cast<char *>(malloc(STACK_BYTES));
    State state = State::ready;
    void *slot = nullptr;
    void (*operation)(void **, unsigned) = nullptr;
    std::deque<std::vector<Copy>> groups;
    std::vector<Copy> open_group;
};

std::deque<Thread> threads;
int count, running;
void *scheduler;
void (*kernel_)(void **);
void **arguments_;
} // namespace

// Saves the registers that a call preserves, and goes on with another stack.
extern "C" void switch_stack(void **from, void *to);
asm(R"(
.text
.globl switch_stack
.hidden switch_stack
switch_stack:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
)");

namespace {
void wait_as(State state) {
    threads[running].state = state;
    switch_stack(&threads[running].stack_pointer, scheduler);
}

void run_thread() {
    kernel_(arguments_);
    wait_as(State::done);
    abort();
}

void with_warp(void *mine, void (*operation)(void **, unsigned)) {
    threads[running].slot = mine;
    threads[running].operation = operation;
    wait_as(State::at_warp);
}

void wait_group(int pending) {
    auto &groups = threads[running].groups;
    for (; static_cast<int>(groups.size()) > pending; groups.pop_front()) {
        for (const Copy &copy : groups.front()) {
            memset(copy.to, 0, copy.size);
            if (copy.length) memcpy(copy.to, copy.from, copy.length);
        }
    }
}

void commit_group() {
    Thread &own = threads[running];
    own.groups.push_back(std::move(own.open_group));
    own.open_group.clear();
}

// Does the operation that a warp has come to; whether there was one.
bool do_operation(int first, int end, bool all_the_same) {
    unsigned present = 0;
    bool complete = true;
    void *slots[32] = {};
    void (*operation)(void **, unsigned) = nullptr;
    for (int i = first; i < end; i++) {
        Thread &thread = threads[i];
        bool joins = thread.state == State::at_warp && (!operation || operation == thread.operation);
        if (joins) {
            operation = thread.operation;
            present |= 1u << (i - first);
            slots[i - first] = thread.slot;
        } else if (thread.state != State::done) {
            complete = false;
        }
    }
    if (!present || (!complete && !all_the_same)) return false;
    operation(slots, present);
    for (int i = first; i < end; i++)
        if (present >> (i - first) & 1) threads[i].state = State::ready;
    return true;
}

// Runs a warp until it waits for others; whether it did anything.
bool run_warp(int first, int end) {
    for (bool did = false;; did = true) {
        bool ran = false;
        for (running = first; running < end; running++) {
            if (threads[running].state != State::ready) continue;
            emulator_of_kernels.current = &threads[running];
            switch_stack(&scheduler, threads[running].stack_pointer);
            ran = true;
        }
        if (!do_operation(first, end, false) && !ran) return did;
    }
}

void start(Thread &thread) {
    thread.state = State::ready;
    thread.groups.clear();
    thread.open_group.clear();
    auto top = reinterpret_cast<uintptr_t>(thread.stack + STACK_BYTES) & ~static_cast<uintptr_t>(15);
    void **stack = reinterpret_cast<void **>(top);
    // An address to return to that nobody uses, where to begin, and six registers.
    *--stack = nullptr;
    *--stack = reinterpret_cast<void *>(run_thread);
    for (int i = 0; i < 6; i++) *--stack = nullptr;
    thread.stack_pointer = stack;
}

void run_block() {
    for (int i = 0; i < count; i++) start(threads[i]);
    for (;;) {
        bool did = false;
        auto each_warp = [&](auto action) {
            for (int first = 0; first < count; first += 32)
                if (action(first, std::min(first + 32, count))) return true;
            return false;
        };
        each_warp([&](int first, int end) { return did |= run_warp(first, end), false; });
        auto in = [&](State state) {
            return std::count_if(threads.begin(), threads.begin() + count,
                                 [&](const Thread &thread) { return thread.state == state; });
        };
        if (in(State::done) == count) return;
        if (in(State::done) + in(State::at_barrier) == count) {
            for (int i = 0; i < count; i++)
                if (threads[i].state == State::at_barrier) threads[i].state = State::ready;
        } else if (!did && !each_warp([](int first, int end) { return do_operation(first, end, true); })) {
            fprintf(stderr, "emulator: threads wait for each other\n");
            abort();
        }
    }
}
} // namespace

Emulator emulator_of_kernels = {
    nullptr,
    static_cast<char *>(aligned_alloc(1024, SHARED_BYTES)),
    [] { wait_as(State::at_barrier); },
    with_warp,
    [](void *to, const void *from, int size, int length) {
        threads[running].open_group.push_back({to, from, size, length});
    },
    commit_group,
    wait_group,
};

void run_grid(void (*kernel)(void **), void **arguments, Index3 grid, Index3 block, unsigned shared_bytes) {
    unsigned size = block.x * block.y * block.z;
    if (size > MOST_THREADS || shared_bytes > MOST_SHARED) {
        fprintf(stderr, "emulator: a block of %u threads with %u bytes\n", size, shared_bytes);
        abort();
    }
    count = static_cast<int>(size);
    kernel_ = kernel, arguments_ = arguments;
    while (static_cast<int>(threads.size()) < count) threads.emplace_back();
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                memset(emulator_of_kernels.shared, UNWRITTEN, shared_bytes);
                for (unsigned i = 0; i < size; i++) {
                    Index3 thread = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
                    static_cast<Position &>(threads[i]) = {thread, {x, y, z}, block, grid};
                }
                run_block();
            }
}
