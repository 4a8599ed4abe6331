"""The rules of the quasi-random sequence (QR1 to QR4), tested through `points` and `point`."""

from __future__ import annotations

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, pairwise
from types import FrameType

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import qmc

from raytune_playbook.errors import InputError, SpaceError
from raytune_playbook.search import halton

PRIMES = [number for number in range(2, 4000) if all(number % factor for factor in range(2, math.isqrt(number) + 1))]
TRILLION = 10**12
SEEDS = range(20)

Points = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def wide() -> list[Points]:
    """The first 100 points in 32 dimensions of some seeds."""
    return [halton.points(100, 32, seed) for seed in SEEDS]


def discrepancy(points: Points) -> float:
    return float(qmc.discrepancy(points, method="CD"))


def uniform_median(num_points: int, num_dims: int) -> float:
    """The median centered discrepancy of uniform random points."""
    rng = np.random.default_rng(0)
    return float(np.median([discrepancy(rng.random((num_points, num_dims))) for _ in range(101)]))


# QR1: a scrambled, seeded, non-adaptive Halton sequence that is more even than random points.


def digits_of(index: int, base: int, num_digits: int) -> list[int]:
    return [index // base**position % base for position in range(num_digits)]


def permutations_of(dim: int, seed: int, num_positions: int) -> list[list[int]]:
    """Recovers the digit permutations: points that differ in one digit are ordered by that digit's permuted value."""
    base = PRIMES[dim]
    rows = []
    for position in range(num_positions):
        values = [halton.point(digit * base**position, dim + 1, seed)[dim] for digit in range(base)]
        rows.append([sorted(values).index(value) for value in values])
    return rows


@pytest.mark.parametrize(("dim", "seed"), [(0, 0), (1, 1), (2, 2), (4, 3), (9, 2**64 - 1)])
def test_qr1_points_are_permuted_digits_mirrored_about_the_radix_point(dim: int, seed: int) -> None:
    base = PRIMES[dim]
    num_positions = int(42 / math.log2(base))
    permutations = permutations_of(dim, seed, num_positions)
    resolution = Fraction(1, base**num_positions)
    for index in [*range(40), 999, 123_456, TRILLION, TRILLION + 1, 2**62]:
        digits = digits_of(index, base, num_positions)
        mirrored = sum(
            Fraction(permutations[position][digit], base ** (position + 1)) for position, digit in enumerate(digits)
        )
        rest = Fraction(float(halton.point(index, dim + 1, seed)[dim])) - mirrored
        assert -Fraction(1, 2**53) <= rest < resolution, index


def test_qr1_every_digit_position_has_its_own_permutation() -> None:
    rows = permutations_of(9, 0, 6)
    assert all(sorted(row) == list(range(29)) for row in rows)
    assert len({tuple(row) for row in rows}) == 6


def rank_correlation(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """How alike two orders are, in standard deviations of independent ones."""
    num = min(len(one), len(other))
    ranks = [np.argsort(np.argsort(order[:num])) for order in (one, other)]
    return abs(float(np.corrcoef(ranks)[0, 1])) * math.sqrt(num - 1)


def test_qr1_permutations_differ_between_dimensions_and_seeds_as_independent_ones_do() -> None:
    """Of bases so large that the choice of even first points leaves most of a permutation as it was drawn."""
    dims, orders = range(44, 50), []
    for seed in (0, 1, halton.MAX_SEED):
        points = halton.points(PRIMES[dims.stop], dims.stop, seed)
        # The first points of a dimension differ in their first digit alone: by its permutation they are ordered.
        orders += [np.argsort(np.argsort(points[: PRIMES[dim], dim])) for dim in dims]
    # As the digits go to values, and as the values come from digits: 153 pairs each.
    for each in (orders, [np.argsort(order) for order in orders]):
        assert max(rank_correlation(one, other) for one, other in combinations(each, 2)) < 4


@pytest.mark.parametrize(("dim", "power"), [(0, 9), (1, 5), (2, 4), (3, 3), (5, 2), (9, 2), (31, 1)])
def test_qr1_every_aligned_run_of_a_power_of_the_base_is_stratified(dim: int, power: int) -> None:
    cells = PRIMES[dim] ** power
    for seed in range(3):
        for start in (0, cells, 7 * cells, TRILLION // cells * cells):
            column = halton.points(cells, dim + 1, seed, start=start)[:, dim]
            taken = sorted(math.floor(Fraction(float(value)) * cells) for value in column)
            assert taken == list(range(cells)), (seed, start)


def test_qr1_values_fill_the_unit_interval_without_reaching_one() -> None:
    points = halton.points(500, halton.MAX_DIMS, 0)
    assert points.shape == (500, halton.MAX_DIMS)
    assert points.dtype == np.float64
    assert points.min() >= 0.0
    assert points.max() < 1.0
    grid = points * 2.0**53
    assert np.array_equal(grid, np.floor(grid))
    # Even the last bit is set in about half of the values. (In base 2 it is a digit that the first points share.)
    assert np.all(np.abs(np.mean(grid[:, 1:] % 2, axis=0) - 0.5) < 0.15)


def test_qr1_distinct_indices_up_to_a_trillion_have_distinct_values() -> None:
    num_dims = halton.MAX_DIMS
    starts = (0, 10**6, 10**9, TRILLION - 500)
    points = np.concatenate([halton.points(500, num_dims, 0, start=start) for start in starts])
    assert all(len(np.unique(column)) == len(points) for column in points.T)
    # The indices that are hardest to tell apart: they differ in the last digit that an index below 10^12 has.
    for dim in (0, 1, 9, 31, 400, num_dims - 1):
        base = PRIMES[dim]
        last = base ** int(math.log(TRILLION, base))
        column = [halton.point(index, num_dims, 0)[dim] for index in range(0, min(TRILLION, 40 * last), last)]
        assert len(set(column)) == len(column)


def test_qr1_seeds_scramble_every_bit() -> None:
    first = np.array([halton.point(0, 1, seed)[0] for seed in range(200)]) * 2.0**53
    assert all(abs(np.mean(first // 2.0**bit % 2) - 0.5) < 0.15 for bit in range(53))


def test_qr1_seeds_give_different_points() -> None:
    seeds = [*range(50), 2**32, 2**63, halton.MAX_SEED]
    assert len({halton.points(3, 2, seed).tobytes() for seed in seeds}) == len(seeds)


def test_qr1_is_more_even_than_independent_random_permutations(wide: list[Points]) -> None:
    reference = [qmc.Halton(d=32, scramble=True, seed=seed).random(100) for seed in range(60)]
    ratios = {}
    for num_dims in (2, 4, 8, 16, 32):
        for num_points in (20, 50, 100):
            ours = np.median([discrepancy(points[:num_points, :num_dims]) for points in wide])
            theirs = np.median([discrepancy(points[:num_points, :num_dims]) for points in reference])
            ratios[num_dims, num_points] = float(ours / theirs)
    assert max(ratios.values()) < 1.0, ratios
    assert math.exp(np.mean(np.log(list(ratios.values())))) < 0.9, ratios


def test_qr1_large_budgets_are_as_even_as_independent_random_permutations() -> None:
    ours = np.median([discrepancy(halton.points(1000, 8, seed)) for seed in SEEDS])
    theirs = np.median([discrepancy(qmc.Halton(d=8, scramble=True, seed=seed).random(1000)) for seed in SEEDS])
    assert ours / theirs < 1.05


def test_qr1_no_seed_is_worse_than_uniform_random_points(wide: list[Points]) -> None:
    for num_points in (20, 50, 100):
        for num_dims in range(1, 11):
            limit = uniform_median(num_points, num_dims)
            for seed, points in enumerate(wide):
                assert discrepancy(points[:num_points, :num_dims]) < limit, (seed, num_points, num_dims)


def test_qr1_neighbouring_dimensions_do_not_line_up(wide: list[Points]) -> None:
    limit = uniform_median(100, 2)
    for seed, points in enumerate(wide):
        correlations = np.abs(np.corrcoef(points.T) - np.eye(32))
        assert correlations.max() <= 0.3, seed
        assert all(discrepancy(points[:, dim : dim + 2]) <= limit for dim in range(31)), seed


def test_qr1_choosing_even_points_does_not_favour_the_centre(wide: list[Points]) -> None:
    for num_points in (1, 20, 100):
        values = np.array([points[:num_points] for points in wide])
        from_centre = np.abs(values - 0.5).reshape(len(wide), -1)
        # A uniform value is 1/4 from the centre on average; its deviation from that, over all the draws, is small.
        assert abs(from_centre.mean() - 0.25) < 4 * math.sqrt(1 / 48 / from_centre.size)


# QR2: the bits depend on (seed, dimension, index) alone.


@pytest.mark.parametrize(
    ("num_points", "num_dims", "seed", "start", "digest"),
    [
        (1, 1, 0, 0, "ac9089315b81f344b66d9605863bab6c3c0e055c1a6abae0ed9f897386ccc7e1"),
        (1000, 10, 0, 0, "3e2fa65ef0c0427e4350db2280c2dda611c172c9cb21a7950cd1ceaf3cac821e"),
        (100, 32, 1, 0, "23551090b85498ac09ea4f15c888017b682731aa7c91f9d38b99b83dbc81039f"),
        (50, 64, 2**64 - 1, 10**12, "f4a82af764a8d1d2bba07eeaa4a05b7ed6ddd675ff489ee4e90dc41905ee3ccc"),
        (20, 150, 12345, 2**63 - 21, "1c9dac6f01c4caa339e16ec6dcd0271260400df702fad5e260dfba816e0711b7"),
    ],
)
def test_qr2_bits_never_change(num_points: int, num_dims: int, seed: int, start: int, digest: str) -> None:
    points = halton.points(num_points, num_dims, seed, start=start)
    assert hashlib.sha256(points.astype("<f8").tobytes()).hexdigest() == digest


def test_qr2_bits_do_not_depend_on_earlier_calls_or_on_global_random_state() -> None:
    before = halton.points(20, 5, 7)
    np.random.seed(1)
    for seed in range(100, 140):  # more than any bounded cache of scrambles keeps
        halton.point(0, 2, seed)
    state = np.random.get_state()[1]
    after = halton.points(20, 5, 7)
    assert np.array_equal(before, after)
    assert np.array_equal(np.random.get_state()[1], state)


def test_qr2_callers_cannot_change_later_points() -> None:
    first = halton.points(10, 3, 0)
    kept = first.copy()
    first[:] = 0.5
    assert np.array_equal(halton.points(10, 3, 0), kept)


# QR3 and QR4: any split of the indices over calls, and any extension, gives the same points.


def splits(total: int) -> Iterator[list[int]]:
    """Ways to cut ``total`` points into consecutive calls."""
    yield [1] * total
    yield [0, total, 0]
    rng = np.random.default_rng(0)
    for _ in range(5):
        cuts = [0, *sorted(rng.integers(0, total + 1, size=4).tolist()), total]
        yield [high - low for low, high in pairwise(cuts)]


@pytest.mark.parametrize("start", [0, 97, TRILLION])
def test_qr3_any_split_over_calls_gives_the_same_points(start: int) -> None:
    whole = halton.points(130, 6, 3, start=start)
    for sizes in splits(130):
        parts, begin = [], start
        for size in sizes:
            parts.append(halton.points(size, 6, 3, start=begin))
            begin += size
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_qr3_point_is_the_row_of_points() -> None:
    whole = halton.points(50, 12, 4, start=80)
    assert all(np.array_equal(halton.point(80 + row, 12, 4), whole[row]) for row in range(50))
    for index in (0, TRILLION, halton.MAX_INDEX - 1):
        assert halton.point(index, 12, 4).shape == (12,)
        assert np.array_equal(halton.point(index, 12, 4), halton.points(1, 12, 4, start=index)[0])


@pytest.mark.parametrize("num_dims", [1, 5, 12])
def test_qr4_more_points_and_more_dimensions_keep_the_earlier_ones(num_dims: int) -> None:
    small = halton.points(60, num_dims, 9)
    assert np.array_equal(halton.points(600, num_dims, 9)[:60], small)
    assert np.array_equal(halton.points(60, num_dims + 8, 9)[:, :num_dims], small)


def lines_run(index: int) -> Counter[int]:
    """Counts how often each line of the module runs for one point."""
    counts: Counter[int] = Counter()

    def count(frame: FrameType, event: str, _: object) -> object:
        if frame.f_code.co_filename != halton.__file__:
            return None
        if event == "line":
            counts[frame.f_lineno] += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        halton.point(index, 10, 0)
    finally:
        sys.settrace(before)
    return counts


def test_qr4_a_point_takes_the_same_steps_at_any_index() -> None:
    halton.point(0, 10, 0)  # the first call chooses the scramble
    steps = lines_run(0)
    assert steps.total() > 0
    assert lines_run(TRILLION) == steps
    assert lines_run(halton.MAX_INDEX - 1) == steps


# Bad input.


def test_no_points_and_no_dimensions_are_empty() -> None:
    assert halton.points(0, 3, 0).shape == (0, 3)
    assert halton.points(4, 0, 0).shape == (4, 0)
    assert halton.point(4, 0, 0).shape == (0,)


def test_numpy_integers_are_integers() -> None:
    given = halton.points(np.int64(3), np.int32(2), np.uint64(2**64 - 1), start=np.int16(5))  # type: ignore[arg-type]
    assert np.array_equal(given, halton.points(3, 2, 2**64 - 1, start=5))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, 2, 0, 0), "num_points"),
        ((3.0, 2, 0, 0), "num_points"),
        ((3, -1, 0, 0), "num_dims"),
        ((3, 501, 0, 0), "num_dims"),
        ((3, "2", 0, 0), "num_dims"),
        ((3, 2, -1, 0), "seed"),
        ((3, 2, 2**64, 0), "seed"),
        ((3, 2, None, 0), "seed"),
        ((3, 2, 0, -1), "start"),
        ((3, 2, 0, 2**63), "start"),
        ((3, 2, 0, 2**63 - 2), "start + num_points"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments: tuple[int, int, int, int], named: str) -> None:
    with pytest.raises(SpaceError) as caught:
        halton.points(*arguments)
    message = str(caught.value)
    assert isinstance(caught.value, InputError)
    assert message.startswith(f"{named} ")
    assert "must be an integer from 0 to" in message
    assert "\n" not in message


@pytest.mark.parametrize("index", [-1, 1.5, 2**63 - 1])
def test_bad_index_is_refused(index: int) -> None:
    with pytest.raises(SpaceError, match=r"^index of a quasi-random sequence must be an integer from 0 to"):
        halton.point(index, 2, 0)


@pytest.mark.parametrize(("dim", "base"), [(0, 2), (1, 3), (2, 5), (9, 29)])
def test_qr1_the_first_points_fill_equal_cells_once_each_in_exact_arithmetic(dim, base):
    """What defines a scrambled Halton sequence: of any b^k consecutive points from a multiple, each cell has one."""
    for power in (1, 2) if base < 10 else (1,):
        num_cells = base**power
        for start in (0, num_cells, 7 * num_cells):
            fractions = [halton.fractions(index, 10, 11)[dim] for index in range(start, start + num_cells)]
            assert sorted(int(fraction * num_cells) for fraction in fractions) == list(range(num_cells))


def test_qr1_floats_are_the_fractions_rounded_down():
    for index in (0, 1, 17, 10**12):
        floats = halton.point(index, 32, 5)
        for value, exact in zip(floats, halton.fractions(index, 32, 5), strict=True):
            assert 0 <= exact - Fraction(float(value)) < Fraction(1, 2**52)
