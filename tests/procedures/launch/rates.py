"""How often the launch test is wrong: ``python -m tests.procedures.launch.rates``.

Each row draws the retrainings of a candidate and of a baseline many times. Where their medians are equal it must not
adopt, and where the candidate's is two standard deviations better it must.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from raytune_playbook.procedures.launch.comparison import Verdict, compare

Floats = npt.NDArray[np.float64]

Draw = Callable[[np.random.Generator, int], Floats]
"""Losses of so many runs, whose median is 0."""

NOISES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, number: rng.normal(size=number), 1.0),
    "skewed to the worse (lognormal)": (lambda rng, number: rng.lognormal(size=number) - 1, 2.1612),
    "skewed to the better (lognormal)": (lambda rng, number: 1 - rng.lognormal(size=number), 2.1612),
    "skewed to the worse (exponential)": (lambda rng, number: rng.exponential(size=number) - log(2), 1.0),
    "heavy tails (t with 3 degrees)": (lambda rng, number: rng.standard_t(3, size=number), 3**0.5),
    "uniform": (lambda rng, number: rng.uniform(-1, 1, size=number), 3**-0.5),
    "counts (steps of half a deviation)": (
        lambda rng, number: np.round(2 * rng.normal(size=number)) / 2,
        1.0,
    ),
}
"""By name: the noise, and its standard deviation."""


@dataclass(frozen=True)
class Case:
    """What is drawn.

    Fields:
        gain: by how much the candidate is better, in standard deviations of the baseline.
        scales: the spread of the candidate and of the baseline.
    """

    noise: str
    num_retrains: int
    gain: float = 0.0
    scales: tuple[float, float] = (1.0, 1.0)


def adopted(case: Case, num_launches: int, seed: int = 0) -> float:
    """The share of launches that are adopted."""
    draw, deviation = NOISES[case.noise]
    rng = np.random.default_rng([seed, case.num_retrains, len(case.noise)])
    count = 0
    for _ in range(num_launches):
        candidate = draw(rng, case.num_retrains) * case.scales[0] - case.gain * deviation
        baseline = draw(rng, case.num_retrains) * case.scales[1]
        found = compare(candidate.tolist(), baseline.tolist())
        count += found is not None and found.verdict is Verdict.ADOPT
    return count / num_launches


def main(num_launches: int = 4000) -> None:
    """Print the table."""
    print(f"Adopted, of {num_launches} generated launches each; spreads are of candidate : baseline.\n")
    print("| noise | retrains of each | no difference, 1:1 | 3:1 | 1:3 | two standard deviations better |")
    print("|---|---:|---:|---:|---:|---:|")
    for noise in NOISES:
        for number in (20, 10, 5):
            cases = [Case(noise, number, scales=scales) for scales in ((1, 1), (3, 1), (1, 3))]
            shares = [adopted(case, num_launches) for case in [*cases, Case(noise, number, gain=2.0)]]
            print(f"| {noise} | {number} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
