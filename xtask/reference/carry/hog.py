"""Take the GPU's memory but for some bytes, say so, and wait for the end of stdin."""

import sys

import torch


def main() -> None:
    """Allocate, then wait."""
    free, _ = torch.cuda.mem_get_info()
    # The allocator's caches would keep what it rounds up.
    blocks = [torch.empty(free - int(sys.argv[1]), dtype=torch.uint8, device="cuda")]
    print(f"{sum(block.numel() for block in blocks)} bytes taken", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
