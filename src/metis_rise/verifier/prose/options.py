"""The option that a text names, by its letter or by its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.problems.answers import MAX_CHOICES, letter_of
from metis_rise.verifier.extraction import Extraction, Rule
from metis_rise.verifier.prose.sentences import last_sentences

_LETTER = r"(?:\(\s?[A-Za-z]\s?\)|\[[A-Z]\]|[A-Z](?![A-Za-z'\u2019]))"
_DRESS = re.compile(
    r"[\s*_\"'`$:]{0,8}(?:\\(?:text|textbf|mathrm|mathbf)\s?\{\s?)?(?:option|choice)?\s{0,4}", re.IGNORECASE
)
_LETTERS = re.compile(rf"{_LETTER}(?:(?:\s?[,;&/]\s?|,?\s(?:and|or)\s|\s?,\s?(?:and|or)\s|\s?(?=\()){_LETTER}){{0,26}}")
# What follows a bare letter that names an option; "A triangle" and "B lies on" name none.
_AFTER = re.compile(
    r"[*_\"'`$}]{0,4}(?:\s{0,4}(?:$|[.,:;)\]\n(\u2013\u2014-]|\\)"
    r"|\s{1,4}(?:because|since|as|for|with|which|is|was|option|choice)\b)",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"[\s)*_]{0,4}(?:is|was)(?:n['\u2019]t|\s(?:not|wrong|incorrect|false))\b", re.IGNORECASE)
_NAMED = re.compile(
    r"\((?P<bracketed>[A-Z])\)"
    r"|\b(?i:options?|choices?|answer|choose|select|pick)\s{1,4}\(?(?P<called>[A-Z])\)?(?![A-Za-z'\u2019])"
    r"|\b(?i:is|it['\u2019]s|be|think|guess)\s{1,4}\(?(?P<said>[A-Z])\)?[.\s*_]{0,8}$"
    r"|^[\s*_#>]{0,8}(?P<alone>[A-Z])[.):]?[\s*_]{0,8}$",
    re.MULTILINE,
)
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|except|unlike|incorrect|wrong|instead|rather|eliminate[ds]?|rule[sd]? out)\b"
    r"|n't\b",
    re.IGNORECASE,
)
# Words of everyday sentences: as options they count only where a sentence begins with them.
_EVERYDAY = frozenset({"yes", "no", "true", "false", "a", "an", "the", "all", "none", "both", "other", "one", "na"})
_MAX_LETTERS = 100


def leading_option(text: str, choices: Sequence[str] | None) -> Extraction | None:
    """The option letters that `text` begins with; None if it begins with none.

    "(B) no, as …" is B, "A triangle" names no option, and "(A) no" where no is option B is refused. Letters that
    are alternatives ("A or B") come as they stand.
    """
    start = _DRESS.match(text)
    assert start is not None
    letters = _LETTERS.match(text, start.end(), start.end() + _MAX_LETTERS)
    if letters is None or _REFUSED.match(text, letters.end()):
        return None
    if letters[0][-1] not in ")]" and not _AFTER.match(text, letters.end()):
        return None
    named = re.sub(r"[\s()\[\]]", "", letters[0]).upper()
    if len(named) > 1 or not choices:
        return Extraction(letters[0] if len(named) > 1 else named, Rule.OPTION_LETTER)
    rest = _plain(text[letters.end() :].lstrip(" \t.,:;)(*-=}$"))
    texts = {letter_of(i): _plain(choice) for i, choice in enumerate(choices[:MAX_CHOICES])}
    begun = {letter for letter, option in texts.items() if option and _begins(rest, option)}
    if begun and named not in begun and named in texts:
        return Extraction(None, Rule.OTHER_OPTION_TEXT)
    return Extraction(named, Rule.OPTION_LETTER)


def named_letter(text: str) -> Extraction:
    """The letter in the last sentence that names options; several, or one that is denied, are no answer."""
    for sentence in last_sentences(text):
        letters = {str(match[str(match.lastgroup)]) for match in _NAMED.finditer(sentence)}
        if len(letters) > 1:
            return Extraction(None, Rule.SEVERAL_OPTIONS)
        if letters:
            denied = _DENIED.search(sentence)
            return Extraction(None, Rule.NO_ANSWER) if denied else Extraction(letters.pop(), Rule.OPTION_LETTER)
    return Extraction(None, Rule.NO_ANSWER)


def named_text(sentence: str, choices: Sequence[str]) -> Extraction:
    """The only option whose text stands in `sentence` as whole words, which must not be denied.

    Of options that are part of each other ("SFT", "SFT 1/8") the longest counts.
    """
    plain = _plain(sentence)
    found = [choice for choice in choices[:MAX_CHOICES] if _stands_in(plain, _plain(choice))]
    texts = {_plain(choice) for choice in found}
    longest = [c for c in found if not any(_plain(c) != other and _plain(c) in other for other in texts)]
    if len(longest) > 1:
        return Extraction(None, Rule.SEVERAL_OPTIONS)
    if not longest or _DENIED.search(sentence):
        return Extraction(None, Rule.NO_ANSWER)
    return Extraction(longest[0], Rule.OPTION_TEXT)


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("*", "").replace("$", "").split())


def _begins(text: str, option: str) -> bool:
    return text.startswith(option) and not (option[-1].isalnum() and text[len(option) :][:1].isalnum())


def _stands_in(sentence: str, option: str) -> bool:
    if not option:
        return False
    if option in _EVERYDAY:
        return _begins(sentence, option) and sentence[len(option) :][:1] in ("", ".", ",", ";", ":", "!")
    return re.search(rf"(?<![\w.,/^-]){re.escape(option)}(?!\w|[.,/^-]\w)", sentence) is not None
