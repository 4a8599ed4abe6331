"""Examples told apart by what they are, divided by it, and counted where splits overlap (rules AD6, AD7, EV3, IN10)."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

from raytune_playbook.data.splits import (
    BLOCK_EXAMPLES,
    Overlap,
    division_by_hash,
    exact_division,
    example_hashes,
    overlaps,
)
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.study.datasets import SPLITS, Split

FRACTIONS = {"train": 0.6, "validation": 0.3, "test": 0.1}

GOLDEN = ["0eaf9a0d50a0bd05", "87c332ccb14da5e7"]
GOLDEN_OF_MANY = "9f45ed5ee1b7ea0c"
GOLDEN_DIVISION = {
    "train": [0, 1, 3, 4, 7, 8, 9, 12, 13, 16, 20, 21, 27, 29],
    "validation": [2, 5, 10, 11, 15, 17, 18, 23, 25, 26, 28],
    "test": [6, 14, 19, 22, 24],
}
GOLDEN_VALIDATION_1 = [0, 3, 5, 8, 10, 13, 16, 25, 27, 28, 29]

NO_LONG_DOUBLE = pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="a long double is a double here")


def uniform(num_examples: int, seed: int = 0):
    """Hashes of so many different examples."""
    return np.random.default_rng(seed).integers(0, 2**64, num_examples, np.uint64)


def table(num_examples: int = 3000):
    """Columns of every kind."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (num_examples, 2, 3), np.uint8),
        "weight": rng.normal(size=num_examples).astype(np.float32),
        "flag": rng.random(num_examples) < 0.5,
        "day": np.datetime64("2024-01-01") + rng.integers(0, 1000, num_examples),
        "patient": np.array([f"p{number}é" for number in rng.integers(0, 200, num_examples)]),
        "words": objects([list("abcdefg")[: number % 7] for number in range(num_examples)]),
    }


def objects(values: list[object]):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def one(value: object) -> int:
    """The hash of an example that has one column."""
    return int(example_hashes({"x": np.asarray(value)[None]})[0])


def of_object(value: object) -> int:
    column = np.empty(1, object)
    column[0] = value
    return int(example_hashes({"x": column})[0])


def ragged(values: list[object]):
    """What Arrow's lists of different lengths are read as."""
    array = np.empty(len(values), object)
    for number, value in enumerate(values):
        array[number] = value
    return array


# ------------------------------------------------------------------ hashes


def test_hashes_are_the_same_on_every_machine_and_in_every_version():
    examples = {
        "x": np.array([[0.5, -1.0], [0.0, np.nan]], np.float32),
        "label": np.array([3, -4], np.int64),
        "name": np.array(["a", "é"]),
    }
    assert [f"{each:016x}" for each in example_hashes(examples)] == GOLDEN
    many = example_hashes({"x": np.arange(3000) / 7, "patient": np.array([f"p{i % 200}é" for i in range(3000)])})
    assert hashlib.sha256(many.astype("<u8").tobytes()).hexdigest()[:16] == GOLDEN_OF_MANY


def test_a_hash_is_blake2b_of_names_types_shapes_and_values():
    content = json.dumps(["label", "x"]).encode()
    content += b'["<i8", []]' + (3).to_bytes(8, "little") + b'["<f4", [2]]' + np.array([0.5, -1.0], "<f4").tobytes()
    expected = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    found = example_hashes({"x": np.array([[0.5, -1.0]], np.float32), "label": np.array([3])})
    assert (found.dtype, found.tolist()) == (np.uint64, [expected])


def test_blocks_and_the_order_of_columns_change_no_hash():
    columns = table()
    assert len(columns["flag"]) > 2 * BLOCK_EXAMPLES
    whole = example_hashes(columns)
    assert len(np.unique(whole)) == len(whole)
    assert np.array_equal(example_hashes(dict(reversed(columns.items()))), whole)
    ends = [0, 1, 7, BLOCK_EXAMPLES, 2000, 2000, len(whole)]
    parts = [{n: c[a:b] for n, c in columns.items()} for a, b in itertools.pairwise(ends)]
    assert np.array_equal(np.concatenate([example_hashes(part) for part in parts]), whole)
    some = np.random.default_rng(1).permutation(len(whole))[:100]
    assert np.array_equal(example_hashes({name: column[some] for name, column in columns.items()}), whole[some])


def test_a_block_whose_examples_happen_to_have_one_shape_or_width_hashes_like_any_other():
    images = [np.arange(12, dtype=np.uint8).reshape(shape) for shape in [(2, 6), (3, 4), (2, 6)]]
    ragged = example_hashes({"x": objects(images)})
    assert len(set(ragged.tolist())) == 2
    assert np.array_equal(example_hashes({"x": np.stack(images[::2])}), ragged[::2])
    texts = np.array(["a", "long", "a"])
    assert np.array_equal(example_hashes({"x": texts.astype(object)}), example_hashes({"x": texts}))
    assert example_hashes({"x": texts[:1]})[0] == example_hashes({"x": texts})[0]
    words = [["a", "bc"], ["bc", "a"]]
    assert np.array_equal(example_hashes({"x": objects(words)}), example_hashes({"x": np.array(words)}))


def test_memory_layout_and_byte_order_change_no_hash():
    values = np.random.default_rng(0).normal(size=(50, 4, 3))
    whole = example_hashes({"x": values})
    assert np.array_equal(example_hashes({"x": np.asfortranarray(values)}), whole)
    assert np.array_equal(example_hashes({"x": values.astype(">f8")}), whole)
    assert np.array_equal(example_hashes({"x": values[::-2]}), whole[::-2])
    numbers = np.arange(-5, 5)
    assert np.array_equal(example_hashes({"x": numbers.astype(">i8")}), example_hashes({"x": numbers}))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_zeros_of_both_signs_are_equal_and_nan_equals_its_copy(kind):
    bits = np.dtype(f"u{np.dtype(kind).itemsize}")
    nan = np.array([np.nan], kind)
    other_nan = (nan.view(bits) | bits.type(1) | bits.type(1 << (8 * bits.itemsize - 1))).view(kind)
    assert np.isnan(other_nan).all()
    assert other_nan.tobytes() != nan.tobytes()
    assert one(nan[0]) == one(other_nan[0]) == of_object(other_nan[0])
    assert one(kind(0.0)) == one(kind(-0.0))
    assert len({one(value) for value in (nan[0], kind(0), kind(np.inf), kind(-np.inf), kind(1))}) == 5


def test_what_differs_in_type_shape_or_name_has_another_hash():
    zeros = [
        np.zeros(shape, kind)
        for kind in ("f4", "i4", "u4", "f8", "i8", "b1", "M8[s]", "M8[ms]")
        for shape in [2, (1, 2)]
    ]
    zeros += [np.zeros(4, "f4"), np.zeros((2, 2), "f4"), np.zeros((4, 0), "f4"), np.zeros(0, "f4")]
    found = [one(value) for value in zeros]
    texts = ["", "a", b"", b"a", ["a"], ["a", ""], ["", "a"], [["a"]], None]
    found += [of_object(value) for value in texts]
    assert len(set(found)) == len(zeros) + len(texts)
    assert example_hashes({"x": np.zeros(1)})[0] != example_hashes({"y": np.zeros(1)})[0]


def test_values_that_move_between_columns_make_another_example():
    def pair(a: object, b: object) -> int:
        return int(example_hashes({"a": np.array([a]), "b": np.array([b])})[0])

    assert len({pair("ab", "c"), pair("a", "bc"), pair("", "abc"), pair("abc", "")}) == 4
    assert pair(1, 2) != pair(2, 1)


def test_examples_whose_concatenated_bytes_agree_are_still_different():
    """Wherever texts are cut, into columns or into lists, and whatever they say about lengths themselves."""
    alphabet = ["s", "b", "a", "-", "0", "x"]
    texts = ["".join(each) for size in range(5) for each in itertools.product(alphabet[:3], repeat=size)]
    texts += ["".join(each) for size in range(3) for each in itertools.product(alphabet, repeat=size)]
    cuts = {(text[:at], text[at:]) for text in texts for at in range(len(text) + 1)}
    in_columns = [example_hashes({"a": np.array([a], object), "b": np.array([b], object)})[0] for a, b in cuts]
    assert len(set(in_columns)) == len(cuts)
    in_bytes = [of_object([a.encode(), b.encode()]) for a, b in cuts]
    in_lists = [of_object([a, b]) for a, b in cuts]
    nested = [of_object(ragged([[a], [b, "s"]])) for a, b in cuts]
    nested += [of_object(ragged([[a, b], ["s"]])) for a, b in cuts]
    nested += [of_object(ragged([[a], b])) for a, b in cuts] + [of_object(ragged([[a, b]])) for a, b in cuts]
    apart = [of_object(ragged([a, [b, "s"]])) for a, b in cuts] + [of_object(ragged([[a, b], "s"])) for a, b in cuts]
    whole = [of_object(text) for text in set(texts)]
    found = [*in_bytes, *in_lists, *nested, *apart, *whole]
    assert len(set(found)) == len(found)


def test_names_that_are_cut_elsewhere_are_other_columns():
    def named(*names: str) -> int:
        return int(example_hashes({name: np.array([7]) for name in names})[0])

    names = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ('a", "b', "c"), ("a, b", "c"), ("", "abc")]
    assert len({named(*each) for each in names}) == len(names)


def test_a_key_names_the_columns_that_count():
    columns = table()
    found = example_hashes(columns, ["patient"])
    assert len(set(found.tolist())) == len(set(columns["patient"].tolist()))
    for patient in set(columns["patient"].tolist()):
        assert len(set(found[columns["patient"] == patient].tolist())) == 1
    both = example_hashes(columns, ("patient", "day"))
    assert np.array_equal(both, example_hashes({name: columns[name] for name in ("day", "patient")}))
    assert np.array_equal(both, example_hashes(columns, ["day", "patient", "day"]))


def test_no_examples_have_no_hashes():
    found = example_hashes({"x": np.zeros((0, 3)), "t": np.array([], object)})
    assert (found.shape, found.dtype) == ((0,), np.uint64)


@pytest.mark.parametrize("key", [["patient"], ["x", "patient"], []])
def test_a_key_that_is_no_column_is_one_sentence(key):
    with pytest.raises(SpecError, match=r"Split.key: at least one of the columns \['x'\] must be named, .*but got \["):
        example_hashes({"x": np.zeros(2)}, key)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.zeros(2, complex), "complex128"),
        pytest.param(np.zeros(2, np.longdouble), "float128", marks=NO_LONG_DOUBLE),
        (objects([{"a": 1}, {}]), "dict"),
        (objects([["a", {1}], None]), "set"),
        (objects([[[1], [1, 2]]]), "lists of lists of different lengths"),
    ],
)
def test_what_has_no_bytes_of_its_own_is_one_sentence(values, kind):
    with pytest.raises(DataError, match=rf"column 'x' holds {kind}; leave it out, or name .* in Split\(key=...\)"):
        example_hashes({"x": values})


# ------------------------------------------------------------------ divisions by hash


def split_rows(hashes, fractions, number: int = 0):
    return division_by_hash(fractions, number).rows(hashes)


def exact_rows(hashes, fractions, number: int = 0):
    return exact_division(hashes, fractions, number).rows(hashes)


def mixed(hash_: int, stream: str) -> int:
    """SplitMix64 in Python's own integers."""
    mask = 2**64 - 1
    z = (hash_ + int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")) & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return z ^ (z >> 31)


@pytest.mark.parametrize("number", [0, 1, 2**70])
def test_a_division_is_the_exact_comparison_of_mixed_integers(number):
    hashes = uniform(2000)
    hashes[:3] = [0, 1, 2**64 - 1]
    expected: dict[str, list[int]] = {split: [] for split in SPLITS}
    rest = Fraction(0.3) / (Fraction(0.6) + Fraction(0.3))
    for row, hash_ in enumerate(hashes.tolist()):
        if Fraction(mixed(hash_, "test"), 2**64) < Fraction(0.1):
            expected["test"].append(row)
        elif Fraction(mixed(hash_, f"validation/{number}"), 2**64) < rest:
            expected["validation"].append(row)
        else:
            expected["train"].append(row)
    assert {split: rows.tolist() for split, rows in split_rows(hashes, FRACTIONS, number).items()} == expected


def test_divisions_are_the_same_in_every_version():
    hashes = example_hashes({"x": np.arange(30)})
    assert {split: rows.tolist() for split, rows in split_rows(hashes, FRACTIONS).items()} == GOLDEN_DIVISION
    assert split_rows(hashes, FRACTIONS, 1)["validation"].tolist() == GOLDEN_VALIDATION_1


def test_ev3_every_example_is_in_one_split():
    for number in range(3):
        rows = split_rows(uniform(1000), FRACTIONS, number)
        assert list(rows) == list(SPLITS)
        assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(1000))
        assert all(np.array_equal(each, np.sort(each)) and each.dtype == np.int64 for each in rows.values())


@pytest.mark.parametrize("number", [0, 1, 12345])
@pytest.mark.parametrize("fractions", [(0.6, 0.3, 0.1), (0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.01, 0.01, 0.98)])
@pytest.mark.parametrize("values", [np.arange(100_000), np.arange(100_000) / 7], ids=["numbers", "fractions"])
def test_shares_are_binomial_about_their_fractions(values, fractions, number):
    rows = split_rows(example_hashes({"x": values}), dict(zip(SPLITS, fractions, strict=True)), number)
    for split, share in zip(SPLITS, fractions, strict=True):
        assert abs(len(rows[split]) - 1e5 * share) <= 4 * math.sqrt(1e5 * share * (1 - share))


def test_ad6_the_test_set_is_the_same_in_every_division():
    hashes = uniform(5000)
    first = split_rows(hashes, FRACTIONS)
    for number in range(1, 20):
        other = split_rows(hashes, FRACTIONS, number)
        assert np.array_equal(other["test"], first["test"])
        assert not np.array_equal(other["validation"], first["validation"])
        assert np.array_equal(other["validation"], split_rows(hashes, FRACTIONS, number)["validation"])


def test_ad6_the_shares_of_train_and_validation_leave_the_test_set_as_it_is():
    hashes = uniform(5000)
    for train, validation in [(0.2, 0.7), (0.7, 0.2)]:
        others = {"train": train, "validation": validation, "test": 0.1}
        assert np.array_equal(split_rows(hashes, others)["test"], split_rows(hashes, FRACTIONS)["test"])
    smaller = split_rows(hashes, {"train": 0.8, "validation": 0.15, "test": 0.05})["test"]
    assert set(smaller.tolist()) < set(split_rows(hashes, FRACTIONS)["test"].tolist())


def test_ad7_two_divisions_share_as_many_validation_examples_as_chance_has_it():
    """Of two sets of sizes a and b drawn apart from n, the common part is hypergeometric."""
    hashes = uniform(20_000)
    sets = [split_rows(hashes, FRACTIONS, number) for number in range(12)]
    n = len(hashes) - len(sets[0]["test"])
    scores = []
    for one_set, other in itertools.combinations(sets, 2):
        a, b = len(one_set["validation"]), len(other["validation"])
        common = len(np.intersect1d(one_set["validation"], other["validation"]))
        spread = math.sqrt(a * b * (n - a) * (n - b) / n**2 / (n - 1))
        scores.append((common - a * b / n) / spread)
    assert max(map(abs, scores)) < 4.5
    assert abs(np.mean(scores)) < 0.6  # 66 scores of standard deviation 1
    assert 0.7 < np.std(scores) < 1.3


def test_ad7_what_is_a_test_example_says_nothing_about_the_division_of_the_others():
    """A larger test set takes validation examples in proportion."""
    hashes = uniform(50_000)
    few = split_rows(hashes, {"train": 0.6, "validation": 0.3, "test": 0.1})["validation"]
    many = split_rows(hashes, {"train": 0.4, "validation": 0.2, "test": 0.4})["validation"]
    assert set(many.tolist()) < set(few.tolist())
    left, n = 0.6 / 0.9, len(few)
    assert abs(len(many) - n * left) < 4 * math.sqrt(n * left * (1 - left))


@pytest.mark.parametrize("number", [0, 3])
def test_equal_examples_share_a_split_and_no_example_moves_when_others_come(number):
    hashes = uniform(2000)
    alone = split_of_each(hashes, number)
    more = np.concatenate([uniform(500, seed=1), hashes[::-1], hashes])
    assert split_of_each(more, number)[500:] == alone[::-1] + alone
    assert split_of_each(hashes[10:20], number) == alone[10:20]


def split_of_each(hashes, number: int) -> list[str]:
    rows = split_rows(hashes, FRACTIONS, number)
    return [next(split for split in SPLITS if row in set(rows[split].tolist())) for row in range(len(hashes))]


def test_a_split_may_get_no_example():
    assert {split: len(rows) for split, rows in split_rows(uniform(0), FRACTIONS).items()} == dict.fromkeys(SPLITS, 0)


# ------------------------------------------------------------------ exact divisions


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("shares", [(0.6, 0.4, 0.0), (0.8, 0.1, 0.1), (0.01, 0.01, 0.98), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("num", [10, 178, 1797])
def test_exact_shares_are_off_by_less_than_one_example_of_each_split(num, shares, number):
    fractions = dict(zip(SPLITS, shares, strict=True))
    rows = exact_rows(uniform(num, seed=1), fractions, number)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(num))
    assert all(abs(len(rows[split]) - num * fractions[split]) <= 0.5 + 1e-9 for split in ("validation", "test"))
    assert abs(len(rows["train"]) - num * fractions["train"]) <= 1 + 1e-9


def test_exact_shares_go_by_rank_of_the_mixed_hash():
    hashes = uniform(40)
    in_test = sorted(range(40), key=lambda row: mixed(int(hashes[row]), "test"))[:4]
    rest = [row for row in range(40) if row not in in_test]
    in_validation = sorted(rest, key=lambda row: mixed(int(hashes[row]), "validation/2"))[:12]
    rows = exact_rows(hashes, FRACTIONS, 2)
    assert rows["test"].tolist() == sorted(in_test)
    assert rows["validation"].tolist() == sorted(in_validation)


def test_equal_examples_share_a_split_of_exact_shares_and_their_order_does_not_matter():
    hashes = np.repeat(uniform(100), np.random.default_rng(0).integers(1, 6, 100))
    order = np.random.default_rng(1).permutation(len(hashes))
    rows, shuffled = exact_rows(hashes, FRACTIONS), exact_rows(hashes[order], FRACTIONS)
    for split, each in rows.items():
        assert not np.isin(hashes[each], np.delete(hashes, each)).any()
        assert np.array_equal(np.sort(order[shuffled[split]]), each)
        assert abs(len(each) - len(hashes) * FRACTIONS[split]) <= 5


def test_few_examples_of_exact_shares_move_when_others_come():
    hashes, more = uniform(1000), uniform(100, seed=1)
    before, after = exact_rows(hashes, FRACTIONS), exact_rows(np.concatenate([hashes, more]), FRACTIONS)
    moved = {split: np.setdiff1d(before[split], after[split]) for split in SPLITS}
    assert sum(map(len, moved.values())) <= 30  # chance has it: the square root of what came, at each boundary
    # What does not leave its rank does not move.
    assert set(before["test"]) <= set(after["test"]) or set(after["test"][after["test"] < 1000]) <= set(before["test"])


def test_ad6_the_test_set_is_the_same_in_every_exact_division():
    hashes = uniform(999)
    first = exact_rows(hashes, FRACTIONS)
    for number in range(1, 10):
        other = exact_rows(hashes, FRACTIONS, number)
        assert np.array_equal(other["test"], first["test"])
        assert len(other["validation"]) == len(first["validation"])
        assert not np.array_equal(other["validation"], first["validation"])
    other_shares = exact_rows(hashes, {"train": 0.2, "validation": 0.7, "test": 0.1})
    assert np.array_equal(other_shares["test"], first["test"])


def test_exact_shares_of_all_examples_divide_each_block_of_them():
    hashes = uniform(500)
    division = exact_division(hashes, FRACTIONS, 1)
    whole = division.rows(hashes)
    parts = {split: [] for split in SPLITS}
    for first in range(0, 500, 77):
        for split, rows in division.rows(hashes[first : first + 77]).items():
            parts[split] += (rows + first).tolist()
    assert parts == {split: rows.tolist() for split, rows in whole.items()}


# ------------------------------------------------------------------ overlaps


@pytest.mark.parametrize("seed", range(5))
def test_in10_overlaps_are_those_of_pythons_sets(seed):
    rng = np.random.default_rng(seed)
    hashes = {
        split: rng.integers(0, 400, size, np.uint64)
        for split, size in zip(SPLITS, rng.integers(20, 200, len(SPLITS)), strict=True)
    }
    expected = {}
    for a, b in itertools.combinations(SPLITS, 2):
        smaller, larger = (a, b) if len(hashes[a]) < len(hashes[b]) else (b, a)
        known = set(hashes[larger].tolist())
        expected[smaller, larger] = sum(each in known for each in hashes[smaller].tolist())
    found = overlaps(hashes)
    assert {(each.split_a, each.split_b): each.num_examples for each in found} == expected
    assert all(each.num_examples_a == len(hashes[each.split_a]) for each in found)


def test_in10_splits_without_equal_examples_have_no_overlap():
    hashes = uniform(300)
    assert overlaps({"train": hashes[:200], "validation": hashes[200:], "test": hashes[:0]}) == []
    assert overlaps({"train": hashes}) == []


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        (
            Overlap("validation", "train", 35, 352),
            "train holds 35 of the 352 validation examples, so the validation error flatters a model that memorizes; ",
        ),
        (Overlap("test", "train", 1, 10), "so the test error flatters a model that memorizes; "),
        (Overlap("train", "validation", 2, 10), "so the validation error flatters a model that memorizes; "),
        (Overlap("test", "validation", 3, 9), "so the test error flatters what was chosen by the validation error; "),
    ],
)
def test_in10_an_overlap_says_what_it_does_and_what_to_do(overlap, words):
    assert words in overlap.sentence
    assert overlap.sentence.endswith("or let a Split divide the examples, which puts equal ones in one split.")
    assert "\n" not in overlap.sentence


# ------------------------------------------------------------------ real data


def test_real_digits_and_tumours_have_no_equal_examples_and_irises_have_two():
    assert {load.__name__: duplicates(load().data) for load in (load_digits, load_breast_cancer, load_iris)} == {
        "load_digits": 0,
        "load_breast_cancer": 0,
        "load_iris": 1,
    }


def duplicates(rows) -> int:
    return len(rows) - len(set(example_hashes({"row": rows}).tolist()))


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer, load_iris])
def test_in10_a_split_of_real_data_overlaps_nowhere_in_any_division(load):
    data = load()
    division = Split({"row": data.data, "label": data.target}, train=0.6, validation=0.2, test=0.2)
    hashes = example_hashes(division.source, division.key)
    for number in range(10):
        for rows in (split_rows(hashes, division.fractions, number), exact_rows(hashes, division.fractions, number)):
            assert overlaps({split: hashes[each] for split, each in rows.items()}) == []
            assert min(map(len, rows.values())) > 0.1 * len(hashes)


def test_in10_the_two_equal_irises_are_found_in_splits_that_part_them():
    data = load_iris().data
    hashes = example_hashes({"row": data})
    (where,) = [np.flatnonzero(hashes == each) for each in set(hashes.tolist()) if (hashes == each).sum() == 2]
    assert np.array_equal(data[where[0]], data[where[1]])
    validation = np.union1d(where[:1], np.arange(20))
    train = np.setdiff1d(np.arange(len(data)), validation)
    found = overlaps({"train": hashes[train], "validation": hashes[validation]})
    assert found == [Overlap("validation", "train", 1, len(validation))]
