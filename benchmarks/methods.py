"""What does capture cost with each of PEFT's methods that it follows? Beside the same training without it, in turn.

In processor time, which others on the machine do not change, and in which what is written beside training counts in
full. The embedded model, small on purpose: a larger one's steps are longer. What capture does not follow it refuses
before training.
"""

from collections.abc import Iterator

from benchmarks.capture import ADAPTED, OTHERS, overhead
from benchmarks.figures import Figure, Unmeasured, cpu_seconds

TITLE = "What capturing costs, by PEFT's method, in processor time"
STEPS, BATCH, REPEATS = 24, (16, 32), 3


def measure() -> Iterator[Figure | Unmeasured]:
    for method in [*ADAPTED, "QLoRA", *OTHERS]:
        yield from overhead("embedded", method, STEPS, BATCH, REPEATS, timed=cpu_seconds)
