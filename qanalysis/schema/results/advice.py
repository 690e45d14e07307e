"""Advice: what a result shows that a person should know, with this model's own numbers and what to do about it."""

from typing import Literal

from qanalysis.schema.base import Record

Severity = Literal["note", "warning"]


class Advice(Record):
    """One piece of advice.

    Attributes:
        rule: name of the rule that gave it; the same rule speaks once.
        symptom: what is wrong or remarkable, in a few words.
        evidence: a sentence with the numbers that show it.
        remedy: what to do, in a sentence.
        source: section, equation or table of the paper; empty where it says nothing about it.
        severity: a warning where accuracy or speed is at stake, else a note.
        sites: names of the sites concerned, the worst first.
    """

    rule: str
    symptom: str
    evidence: str
    remedy: str
    source: str = ""
    severity: Severity = "note"
    sites: tuple[str, ...] = ()
