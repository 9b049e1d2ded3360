// The threads of a block.
#pragma once

#include "interface.h"

// Runs every block of a grid, one after the other, on the thread that calls.
void run_grid(void (*kernel)(void **), void **arguments, Index3 grid, Index3 block, unsigned shared_bytes);

// What kernels ask.
extern Emulator emulator_of_kernels;
