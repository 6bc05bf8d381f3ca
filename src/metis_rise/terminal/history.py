"""The past of a number, in bounded memory, as a line of small blocks."""

from __future__ import annotations

_BLOCKS = "▁▂▃▄▅▆▇█"
_FLAT = "▄"
_MOST = 512


class History:
    """Values in the order in which they came; of very many every second one is dropped, again and again."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._stride = 1
        self._seen = 0

    def add(self, value: float) -> None:
        """One more value."""
        if self._seen % self._stride == 0:
            self._values.append(value)
        self._seen += 1
        if len(self._values) > _MOST:
            self._values, self._stride = self._values[::2], 2 * self._stride

    def spark(self, width: int) -> str:
        """All of it in at most `width` blocks, from its lowest value to its highest; "" while there is no course."""
        # Another thread may add to it, or put a shorter list in its place.
        values = self._values
        if len(values) < 2 or width < 1:
            return ""
        cells = min(width, len(values))
        means = [_mean(values, cell, cells) for cell in range(cells)]
        low, high = min(means), max(means)
        if low == high:
            return _FLAT * cells
        scale = (len(_BLOCKS) - 1) / (high - low)
        return "".join(_BLOCKS[round((mean - low) * scale)] for mean in means)


def _mean(values: list[float], cell: int, cells: int) -> float:
    """Mean of the values that fall into one of `cells` equal parts, of which none is empty."""
    start, end = len(values) * cell // cells, len(values) * (cell + 1) // cells
    return sum(values[start:end]) / (end - start)
