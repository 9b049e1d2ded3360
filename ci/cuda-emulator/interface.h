// What a compiled kernel asks of the emulator.
#pragma once

struct Index3 {
    unsigned x, y, z;
};

struct Position {
    Index3 thread, block, block_dim, grid_dim;
};

struct Emulator {
    // The thread that runs.
    Position *current;
    // Shared memory of the block that runs.
    char *shared;
    // __syncthreads
    void (*sync_block)();
    // Waits for the other threads of the warp, then one of them does `operation` for all: `present` has a bit for each
    // thread that came, whose `mine` is in its slot.
    void (*with_warp)(void *mine, void (*operation)(void **slots, unsigned present));
    // cp.async with its groups: `length` bytes are copied and the rest of `size` is zero, once the group is waited for.
    void (*copy_async)(void *to, const void *from, int size, int length);
    void (*commit_group)();
    void (*wait_group)(int pending);
};
