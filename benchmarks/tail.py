"""How busy the engine is from the first request to the last answer, with dialogues of very uneven length.

    python -m benchmarks.tail [--dialogues 1000] [--cores N] [--rounds 3]

A dialogue may take up to 40 turns and ends when its speakers say so, or when a turn is broken thrice. Busy is the share
of the whole time that vLLM's engine is at work: in its steps, and in taking requests between them (`add_request`); that
of the steps alone is shown too. Seats are the requests that it could run at once: their share in
use is shown too, beside that of an ideal queue, which starts the same dialogues, of the same tokens, in the same order,
each the moment a seat is free; what both lack are the longest of the last dialogues, which nobody can know before.
Limitations: one engine; with more of them the shards that are left are spread by the pool.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
import tempfile
from pathlib import Path

from benchmarks.machine import print_machine
from benchmarks.recording import Asked, chains
from benchmarks.talking import arguments, factory_run, job_of, settle_model


def seats(asked: list[Asked], room: int) -> float:
    """The share of the seats that are taken, over all the time."""
    changes = sorted([(one.began, 1) for one in asked] + [(one.ended, -1) for one in asked])
    taken = running = 0.0
    for (time, change), (after, _) in itertools.pairwise(changes):
        running += change
        taken += min(running, room) * (after - time)
    return taken / (room * (changes[-1][0] - changes[0][0]))


def ideal(lengths: list[int], room: int) -> float:
    """The same of an ideal queue, a token of each dialogue taking as long as any other."""
    free = [0] * room
    for length in lengths:
        heapq.heappush(free, heapq.heappop(free) + length)
    return sum(lengths) / (room * max(free))


def main() -> None:
    """Measure, and print a line a round and the medians."""
    given = arguments(__doc__, 1000).parse_args()
    print_machine()
    shares = []
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as temporary:
            settle_model(given, Path(temporary))
            asked = factory_run(job_of(Path(temporary), given, turns=40, min_turns=2), given.cores)
        wall = max(one.ended for one in asked) - asked[0].began
        lengths = [sum(one.tokens for one in chain) for chain in chains(asked)]
        # The clocks stand at zero when the first request comes: nothing else has been asked of this engine.
        steps, taking = max(one.stepping for one in asked) / wall, max(one.taking for one in asked) / wall
        shares.append(steps + taking)
        tenths = statistics.quantiles(lengths, n=10)
        print(
            f"round {number}: {len(lengths)} dialogues of {min(lengths)} to {max(lengths)} tokens (tenths "
            f"{tenths[0]:.0f}, {tenths[4]:.0f}, {tenths[8]:.0f}), {sum(lengths)} in {wall:.1f} s; busy "
            f"{steps + taking:.3f}, in steps {steps:.3f}; seats {seats(asked, given.in_flight):.3f}, of an ideal queue "
            f"{ideal(lengths, given.in_flight):.3f}",
            flush=True,
        )
    print(f"busy: {statistics.median(shares):.3f} (median of {given.rounds})")


if __name__ == "__main__":
    main()
