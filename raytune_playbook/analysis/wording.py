"""Numbers, values and times as text: the same in a finding's sentence, on the page and in the terminal."""

from __future__ import annotations

ABSENT = "—"


def number_text(value: float | None, digits: int = 4) -> str:
    """A measured number."""
    return ABSENT if value is None else f"{value:.{digits}g}"


def count_text(count: int | None) -> str:
    """A whole number with its thousands apart."""
    return ABSENT if count is None else f"{count:,}"


def form_for(count: int, one: str, several: str) -> str:
    """The form of a word that agrees with a count: ``form_for(1, "was", "were")`` is ``was``."""
    return one if count == 1 else several


def bytes_text(num_bytes: float | None) -> str:
    """An amount of memory in the unit that suits it: ``512 B``, ``45.7 MiB`` or ``3.21 GiB``."""
    if num_bytes is None:
        return ABSENT
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if float(f"{size:.3g}") < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def duration_text(seconds: float | None) -> str:
    """A duration in the units that suit it: ``12.3 ms``, ``45.7 s``, ``3 min 05 s`` or ``2 h 10 min``.

    An estimate, which is known to no more than a second, is rounded by who tells it.
    """
    if seconds is None:
        return ABSENT
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if float(f"{seconds:.3g}") < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
