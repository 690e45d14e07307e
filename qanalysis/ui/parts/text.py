"""Foreign text on a page: what came from a name, a file or an error is shown as it is, never read as Markdown."""

import re

#: What makes Markdown of a text: links and pictures, tags, code, formulas, emphasis (not within a word).
_MARKS = re.compile(r"[\\`*\[\]<$~]|(?<![^\W_])_|_(?![^\W_])")
_BLOCK = re.compile(r"^(\s*)([#>+-]|\d+[.)](?=\s))")
_BREAKS = re.compile(r"\s*[\r\n\u2028\u2029]+\s*")


def plain(text: object) -> str:
    """Text for messages, captions, labels and help that reads as it was written, on one line."""
    one_line = _BREAKS.sub(" ", str(text))
    return _BLOCK.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", one_line))


def code(text: object) -> str:
    """Text in a code span, e.g. a name; it cannot end the span."""
    inner = _BREAKS.sub(" ", str(text)).replace("`", "ˋ").strip()
    return f"`{inner or ' '}`"
