"""Fuzz what passes through Redis: `--cases 100000`, another `--seed`."""

from __future__ import annotations

import argparse
import sys

from tests.faults.fuzzing.fuzz import MOST_GROWTH_BYTES, fuzzed


def main() -> int:
    """0 if nothing died and nothing wrong was counted; a failure shows its case."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzzing", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="[default: 2000]")
    parser.add_argument("--seed", type=int, default=0, help="[default: 0]")
    options = parser.parse_args()
    found = fuzzed(options.cases, options.seed)
    print(*(f"{count:8} {what}" for what, count in sorted(found.seen.items())), sep="\n")
    growth = "unknown" if found.growth_bytes is None else f"{found.growth_bytes / 2**20:.0f}"
    limit = MOST_GROWTH_BYTES // 2**20
    print(
        f"fuzz: cases={found.cases} failed=0 seconds={found.seconds:.0f} "
        f"peak_growth_mib={growth} limit_mib={limit}"
    )
    return int(found.growth_bytes is not None and found.growth_bytes > MOST_GROWTH_BYTES)


if __name__ == "__main__":
    sys.exit(main())
