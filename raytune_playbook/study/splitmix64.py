"""The finalizer of splitmix64: 64 bits scrambled so that each depends on all (Steele, Lea & Flood 2014).

"Fast splittable pseudorandom number generators", as numbers of numpy; unsigned 64-bit integers wrap alike everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN = 0x9E3779B97F4A7C15
"""2^64 / golden ratio: by how much splitmix64's state grows from one number to the next."""


def scrambled(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The words with their bits scrambled, of the same shape; distinct words stay distinct."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
