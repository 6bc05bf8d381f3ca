"""Stop strings: whether a token completes one, and where the text then ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class StopStrings:
    """Looks for strings at the end of a growing completion, decoding only as many tokens as they can lie in.

    A string may begin in the middle of a token, end in the middle of another, and have characters whose bytes are
    spread over tokens. Every token must hold at least one byte, as those of byte-level tokenizers do.
    """

    def __init__(self, strings: Sequence[str], decode: Callable[[Sequence[int]], str]) -> None:
        """ValueError for a string with U+FFFD, which stands for bytes that are no text (yet).

        Args:
            strings: at least one, none of them empty.
            decode: the text of token ids, U+FFFD for bytes that are no text.
        """
        for string in strings:
            if REPLACEMENT in string:
                raise ValueError(f"the stop string {string!r} holds U+FFFD, which no completion spells out")
        self._strings = tuple(strings)
        self._decode = decode
        self._reach = max(len(string.encode()) for string in strings)

    def completed(self, tokens: Sequence[int]) -> bool:
        """Whether the last of `tokens` completes a string; none of those before it did."""
        # What is cut off before the tail can spoil a character of its beginning, but cannot make one of a string's.
        tail = self._decode(tokens[-self._reach :])
        return any(string in tail for string in self._strings)

    def cut(self, text: str) -> str:
        """What comes before the first of the strings in `text`, which holds one."""
        return text[: min(at for string in self._strings if (at := text.find(string)) >= 0)]
