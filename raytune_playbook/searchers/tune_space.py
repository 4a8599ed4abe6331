"""Ray Tune's search spaces as named dimensions: a nested dict of Tune's domains, mapped from the unit cube.

| Tune's domain | becomes | its values |
|---|---|---|
| `uniform`, `loguniform` | `Float` | all of [lower, upper] |
| `randint`, `lograndint` | `Int` | lower to upper - 1, the upper end excluded as in Tune |
| `quniform`, `qloguniform` | `Steps` | the multiples of q from lower to upper, both included |
| `qrandint`, `qlograndint` | `Steps` | the multiples of q in [lower, upper]; with q=1, as in Tune, upper is excluded |
| `randn`, `qrandn` | `Normal` | all numbers, or the multiples of q, each for what lies nearest to it |
| `choice` | `Categorical` | None, booleans, numbers and strings |

The values of a linear scale are equally likely; on a log scale, the k-th multiple owns [k, k + 1) of the logarithmic
axis, as `Int`'s values do. (Tune rounds quantized floats, which leaves the end values half of a bin.)

A dimension is called by its path, ``optimizer/learning_rate``, and dimensions stand in the order of their names, so
that neither the order of a dict nor a constant changes what a dimension gets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ray.tune.search import sample

from raytune_playbook.errors import InputError, SpaceError
from raytune_playbook.search.sequences import point_of
from raytune_playbook.searchers.tune_dimensions import Dimension, Normal, Steps, is_number
from raytune_playbook.study.fingerprints import space_fingerprint
from raytune_playbook.study.frozen import Value, plain
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.hyperparameters.space import num_points

FURTHEST_SD = 9.0
"""No point of 2^-54 or more lies further from a normal distribution's mean."""


class TuneSpace:
    """A search space in Ray Tune's notation.

    Args:
        space: domains and constants, in dicts as deep as one likes.
        emits_constants: whether `config` holds the constants too. In a `param_space`, Tune fills them in, and they may
            be any objects; otherwise they must be what JSON can hold.

    Attributes:
        dims: the dimensions by name, in the order of their names.
        hyperparameters: their hyperparameters, by name.

    Raises:
        SpaceError: the space holds `grid_search`, `sample_from`, a domain in a list, a choice between objects, or a
            range that cannot be sampled.
    """

    def __init__(self, space: Mapping[str, Any], *, emits_constants: bool) -> None:
        if not isinstance(space, Mapping):
            raise SpaceError(
                f"A search space must be a dict of domains, but got {space!r}; put them in a dict by name."
            )
        self.dims: dict[str, Dimension] = {}
        self._paths: dict[str, tuple[Any, ...]] = {}
        self._constants: dict[str, Any] = {}
        for name, path, leaf in sorted(_leaves(space, ()), key=lambda entry: entry[0]):
            if name in self._paths:
                raise SpaceError(
                    f"Names of hyperparameters must differ, but {name!r} stands twice; rename one of them."
                )
            if isinstance(leaf, sample.Domain):
                self.dims[name] = _dimension(name, leaf)
            elif emits_constants:
                self._constants[name] = _constant(name, leaf)
            self._paths[name] = path
        self.hyperparameters = {name: dim.hyperparameter for name, dim in self.dims.items()}

    @property
    def num_points(self) -> int | None:
        """How many points a small finite space has; None for no end. Without any dimension there is one."""
        return num_points(self.hyperparameters)

    @property
    def fingerprint(self) -> str:
        """Equal for two spaces exactly when all that decides about the values is."""
        return space_fingerprint({name: _described(dim) for name, dim in self.dims.items()}, self._constants)

    def values_at(self, position: int, seed: int) -> dict[str, Value]:
        """The values, by name, of the n-th Halton point; of the n-th different one in a small finite space."""
        return self.values_of(self.drawn_at(position, seed))

    def drawn_at(self, position: int, seed: int) -> dict[str, Value]:
        """The same point as values of `hyperparameters`."""
        return point_of(self.hyperparameters, "halton", seed, position)

    def values_of(self, drawn: Mapping[str, Value]) -> dict[str, Value]:
        """What values of `hyperparameters` stand for."""
        return {name: dim.value(drawn[name]) for name, dim in self.dims.items()}

    def config(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Values by name, and the constants, as a dict of the space's own shape."""
        config: dict[str, Any] = {}
        for name, value in sorted({**self._constants, **values}.items()):
            inner = config
            for key in self._paths[name][:-1]:
                inner = inner.setdefault(key, {})
            inner[self._paths[name][-1]] = value
        return config

    def admitted(self, point: Mapping[str, Any]) -> dict[str, Value]:
        """A point of the user's, flat or nested like the space, as values by name.

        Raises:
            SpaceError: it lacks a dimension, names something else, or leaves a dimension's domain.
        """
        if not isinstance(point, Mapping):
            raise SpaceError(
                f"A point of points_to_evaluate must be a dict of values, but got {point!r}; name its values."
            )
        values = {name: plain(value) for name, _, value in _leaves(point, ())}
        if values.keys() != self.dims.keys():
            missing, unknown = sorted(self.dims.keys() - values.keys()), sorted(values.keys() - self.dims.keys())
            raise SpaceError(
                f"A point of points_to_evaluate names each hyperparameter of the space and nothing else, but {point!r} "
                f"lacks {missing} and has {unknown} besides; correct its names."
            )
        for name, dim in self.dims.items():
            if not dim.contains(values[name]):
                raise SpaceError(
                    f"A point of points_to_evaluate must lie in the space, but {name}={values[name]!r} is none of the "
                    f"values of {dim}; change the point or the space."
                )
        return {name: values[name] for name in self.dims}


def _leaves(tree: Mapping[Any, Any], path: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """Name, path and content of all that is no dict, checked for what no searcher of Tune's can honour."""
    for key, value in tree.items():
        inner = (*path, key)
        name = "/".join(str(part) for part in inner)
        _check_form(name, value)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, inner)
        else:
            yield name, inner, value


def _check_form(name: str, value: Any) -> None:
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:
        raise SpaceError(
            f"Hyperparameter {name!r}: grid_search has no place beside a search algorithm (Ray Tune would ignore it), "
            "but the space holds one; use tune.choice."
        )
    is_function = isinstance(value, tuple) and len(value) == 2 and value[0] == "__fn_ph"  # as Tune passes them on
    if is_function or isinstance(value, sample.Function) or (isinstance(value, Mapping) and set(value) == {"eval"}):
        raise SpaceError(
            f"Hyperparameter {name!r}: a function draws values of its own, which no Halton point decides, but the "
            "space holds sample_from; compute the value in the trainable."
        )
    if isinstance(value, list | tuple):
        for _, _, leaf in _leaves(dict(enumerate(value)), (name,)):
            if isinstance(leaf, sample.Domain):
                raise SpaceError(
                    f"Hyperparameter {name!r}: a domain needs a key of its own, but one stands in a list; use a dict."
                )


def _dimension(name: str, domain: sample.Domain) -> Dimension:
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, sample.Quantized):
        sampler, step = sampler.get_sampler(), plain(sampler.q)
    try:
        match domain:
            case sample.Float() if isinstance(sampler, sample.Normal):
                return _normal(float(sampler.mean), float(sampler.sd), step)
            case sample.Float():
                return _real(float(domain.lower), float(domain.upper), step, _scale(sampler))
            case sample.Integer():
                return _whole(_integer(domain.lower), _integer(domain.upper), step, _scale(sampler))
            case sample.Categorical() if not isinstance(sampler, sample.Grid):
                return Dimension(Categorical([_choice(choice) for choice in domain.categories]))
        given = f"{type(domain).__name__} with {type(sampler).__name__}"
        raise SpaceError(f"a domain must be a range or tune.choice, but got {given}; use one of them.")
    except InputError as error:
        raise SpaceError(f"Hyperparameter {name!r}: {error}") from None
    except OverflowError:
        raise SpaceError(
            f"Hyperparameter {name!r}: bounds and q must be numbers that a double holds, but one is not; correct it."
        ) from None


def _normal(mean: float, sd: float, step: float | None) -> Dimension:
    if not (math.isfinite(mean) and 0 < sd < math.inf and (step is None or step > 0)):
        raise SpaceError(f"finite mean, sd > 0 and q > 0 must hold, but got {mean}, {sd} and q={step}; correct them.")
    furthest = abs(mean) + FURTHEST_SD * sd
    if not math.isfinite(furthest) or (step is not None and furthest / step > 2**53):
        raise SpaceError(
            f"a double must hold every value, and tell the multiples of q apart, but got mean {mean}, sd {sd} and "
            f"q={step}; correct them."
        )
    return Normal(Float(0.0, 1.0), mean, sd, step)


def _real(low: float, high: float, step: float | None, scale: Literal["linear", "log"]) -> Dimension:
    if step is None:
        return Dimension(Float(low, high, scale=scale))
    if not (step > 0 and low <= high):
        raise SpaceError(f"q > 0 and lower <= upper must hold, but got q={step}, {low} and {high}; correct them.")
    # Tune has made sure that both ends are multiples, up to rounding.
    return _steps(round(low / step), round(high / step), low, high, scale)


def _whole(low: int, end: int, step: float | None, scale: Literal["linear", "log"]) -> Dimension:
    step = 1 if step is None else _integer(step)
    high = end - 1 if step == 1 else end
    if step < 1 or -(-low // step) > high // step:
        raise SpaceError(
            f"a range of integers must hold a multiple of q (upper is excluded unless q > 1), but got q={step}, "
            f"lower={low}, upper={end}; widen it."
        )
    first, last = -(-low // step), high // step
    return _steps(first, last, first * step, last * step, scale)


def _steps(first: int, last: int, low: float, high: float, scale: Literal["linear", "log"]) -> Dimension:
    if first == last:
        return Dimension(Discrete([low]))
    numbers = Int(first, last, scale=scale)
    return Dimension(numbers) if low == first and high == last and isinstance(low, int) else Steps(numbers, low, high)


def _scale(sampler: sample.Sampler) -> Literal["linear", "log"]:
    if isinstance(sampler, sample.LogUniform):
        return "log"
    if isinstance(sampler, sample.Uniform):
        return "linear"
    raise SpaceError(
        f"a sampler must be uniform, loguniform or normal, but got {type(sampler).__name__}; use one of them."
    )


def _integer(number: Any) -> int:
    if not is_number(plain(number)) or int(number) != number:
        raise SpaceError(f"bounds and q of integers must be whole numbers, but got {number!r}; round it.")
    return int(number)


def _choice(choice: Any) -> Value:
    given = plain(choice)
    if not _is_primitive(given):
        raise SpaceError(
            f"choices must be None, booleans, numbers of 64 bits or strings, but got {_shown(choice)}; name it by a "
            "string and look it up in the trainable (numpy's numbers: pass array.tolist())."
        )
    value: Value = given
    return value


def _constant(name: str, value: Any) -> Any:
    given = plain(value)
    if isinstance(given, list | tuple):
        return [_constant(name, element) for element in given]
    if not _is_primitive(given) and given != {}:
        raise SpaceError(
            f"Hyperparameter {name!r}: a constant of space= must be what JSON can hold, but got {_shown(value)}; "
            "give objects in the Tuner's param_space."
        )
    return given


def _shown(value: Any) -> str:
    is_placeholder = isinstance(value, tuple) and len(value) == 2 and value[0] == "__ref_ph"
    return "an object (Ray Tune has put a placeholder for it)" if is_placeholder else repr(value)


def _described(dim: Dimension) -> dict[str, Any]:
    # Without defaults, so that a field that hyperparameters get some day changes no fingerprint.
    kind = [type(dim.hyperparameter).__name__, dim.hyperparameter.model_dump(mode="json", exclude_defaults=True)]
    rest = {name: value for name, value in vars(dim).items() if name != "hyperparameter"}
    return {"type": type(dim).__name__, **rest, "kind": kind}


def _is_primitive(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, bool | float | str)
