"""When a checkpoint is due: seldom where little comes, within seconds where much comes.

Every checkpoint makes up to two files per partition. At low rates the number of files is what
matters (at most 300 a day), at high rates freshness is. Pure arithmetic; the caller has the clock.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLimits:
    """The bounds of the time between two checkpoints.

    Attributes:
        slowest: Seconds, at ``low_rate`` or below. 600 s make 144 checkpoints a day.
        fastest: Seconds, at ``high_rate`` or above.
        low_rate: Records per second and instance.
        high_rate: Records per second and instance.
        first: Seconds after the start; doubled each time until ``slowest`` is reached, so that
            whoever has just started a stream sees rows soon.
        most_rows: Records that make a checkpoint due at once.
        most_bytes: Memory held by records that makes a checkpoint due at once, roughly.
    """

    slowest: float = 600.0
    fastest: float = 2.5
    low_rate: float = 100.0
    high_rate: float = 500.0
    first: float = 5.0
    most_rows: int = 50_000
    most_bytes: int = 48 << 20

    def __post_init__(self) -> None:
        if not (0 < self.fastest <= self.slowest and 0 < self.low_rate < self.high_rate):
            raise ValueError("checkpoint limits must be positive and in order")


@dataclass(slots=True)
class CheckpointPace:
    """Decides whether a checkpoint is due.

    Args:
        limits: The bounds.
        started: The caller's clock now, seconds.
    """

    limits: CheckpointLimits
    started: float
    _allowance: float = field(init=False)

    def __post_init__(self) -> None:
        self._allowance = min(self.limits.first, self.limits.slowest)

    def due(self, now: float, rows: int, held_bytes: int) -> bool:
        """Whether to checkpoint now, given that there is something to land.

        Args:
            now: The caller's clock, seconds.
            rows: Records held since the last checkpoint.
            held_bytes: Memory that these records take, roughly.
        """
        if rows >= self.limits.most_rows or held_bytes >= self.limits.most_bytes:
            return True
        age = now - self.started
        return age >= self.wait_for(rows / max(age, 0.5))

    def wait_for(self, rate: float) -> float:
        """Seconds between two checkpoints at a rate of records per second.

        Between the two rates the seconds fall along a straight line of their logarithms.
        """
        limits = self.limits
        slowest = min(limits.slowest, max(self._allowance, limits.fastest))
        if rate <= limits.low_rate:
            return slowest
        if rate >= limits.high_rate:
            return min(limits.fastest, slowest)
        share = (rate - limits.low_rate) / (limits.high_rate - limits.low_rate)
        return float(min(slowest, limits.slowest ** (1 - share) * limits.fastest**share))

    def done(self, now: float) -> None:
        """A checkpoint has been made."""
        self.started = now
        self._allowance = min(self._allowance * 2, self.limits.slowest)
