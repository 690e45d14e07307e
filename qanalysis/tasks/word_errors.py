"""Word errors: how many words of a transcript have to be changed to make it the reference (Levenshtein 1966).

What a task of speech needs, which is not here yet; tests hold it against jiwer.
"""

from collections.abc import Sequence


def edits(said: Sequence[str], wanted: Sequence[str]) -> int:
    """The least number of words to replace, leave out and put in."""
    row = list(range(len(wanted) + 1))  # from the words so far to every beginning of the reference
    for count, word in enumerate(said, 1):
        diagonal, row[0] = row[0], count
        for place, other in enumerate(wanted, 1):
            replaced = diagonal + (word != other)
            diagonal = row[place]
            row[place] = min(replaced, row[place] + 1, row[place - 1] + 1)
    return row[-1]


def errors(transcript: str, reference: str) -> tuple[int, int]:
    """Edits, and words of the reference: the word error rate is the ratio of their sums."""
    wanted = reference.split()
    return edits(transcript.split(), wanted), len(wanted)
