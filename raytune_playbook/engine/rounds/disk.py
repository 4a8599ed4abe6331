"""What a round's checkpoints will take of its storage, said before the first trial."""

from __future__ import annotations

from rich.text import Text

from raytune_playbook.analysis.wording import bytes_text
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.errors import SpecError
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.checks.disk_price import DiskPrice
from raytune_playbook.study.settings import GIB, Budget


def say_disk_price(running: RunningRound, price: DiskPrice | None, storage: Storage) -> None:
    """Say what the trials that are left take, and where there is no room for it.

    Args:
        running: the round.
        price: of its checkpoints; None where that is not known, of which nothing is said.
        storage: where they will be.

    Raises:
        SpecError: ``Budget.max_checkpoint_gib`` has no room for what is always kept.
    """
    if price is None:
        return
    budget = running.round.budget
    _refuse_too_little(price, budget)
    running.console.print(f"  {price_sentence(price, budget)}", soft_wrap=True)
    free_bytes, needed_bytes = storage.free_bytes(), price.most_bytes(budget.max_checkpoint_gib)
    if free_bytes is not None and free_bytes < needed_bytes:
        running.console.print(
            Text(
                f"  Warning: {storage.uri} has {bytes_text(free_bytes)} left, and the checkpoints take up to "
                f"{bytes_text(needed_bytes)}; make room there, give another --storage, or set "
                "Budget(max_checkpoint_gib=...) to keep those of the best trials only."
            ),
            soft_wrap=True,
        )


def price_sentence(price: DiskPrice, budget: Budget) -> str:
    """What the checkpoints take, and which are kept where that is more than they may."""
    found: dict[str, int] = {}
    for num, each_bytes in price.trials.values():
        found[bytes_text(each_bytes)] = found.get(bytes_text(each_bytes), 0) + num
    parts = [f"{num} x {each}" for each, num in found.items() if num]
    sentence = f"Checkpoints: {' + '.join(parts)} = {bytes_text(price.kept_bytes)} at most"
    limit_gib = budget.max_checkpoint_gib
    if limit_gib is None or price.kept_bytes + price.running_bytes <= limit_gib * GIB:
        return sentence
    return (
        f"{sentence}, of which {bytes_text(int(limit_gib * GIB) - price.running_bytes)} are kept beside "
        f"{bytes_text(price.running_bytes)} for the trials that run: each study's best trial's, then those of the best "
        "of the others"
    )


def _refuse_too_little(price: DiskPrice, budget: Budget) -> None:
    always_bytes = price.first_bytes + price.running_bytes
    limit_gib = budget.max_checkpoint_gib
    if limit_gib is not None and always_bytes > limit_gib * GIB:
        raise SpecError(
            "Budget.max_checkpoint_gib: there must be room for the checkpoints of each study's best trial "
            f"({bytes_text(price.first_bytes)}) and of those that run at once ({bytes_text(price.running_bytes)}), but "
            f"got {limit_gib:g}; allow at least {1.01 * always_bytes / GIB:.3g}, or run fewer at once by "
            "Resources(num_gangs=...)."
        )
