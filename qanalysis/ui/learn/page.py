"""The Learn page: the paper's fundamentals, one lesson to an address, with figures that answer at once."""

from pathlib import Path

import streamlit as st

from qanalysis.ui.learn import basics, calibration, networks, tables, training
from qanalysis.ui.learn.lesson import Lesson

#: In the order in which they are taught.
LESSONS: tuple[Lesson, ...] = (
    *basics.LESSONS,
    *calibration.LESSONS,
    *training.LESSONS,
    *networks.LESSONS,
    *tables.LESSONS,
)
#: Query parameter that names the lesson; without it there is the list of them.
LESSON = "lesson"
_SHOWN = "learn-answer-shown"
_LARGE = "learn"  # the style sheet enlarges what is in a container of this key


def page() -> None:
    """Draws the list of lessons, or the one that the address names."""
    names = [lesson.name for lesson in LESSONS]
    chosen = st.query_params.get(LESSON)
    with st.container(key=_LARGE):
        if chosen in names:
            _lesson(names.index(chosen))
            return
        if chosen:
            st.warning(f"There is no lesson {chosen!r}; choose one of these.", icon=":material/search_off:")
        _contents()


def open_lesson(name: str | None) -> None:
    """Opens a lesson, or the list of them; a callback."""
    st.session_state.pop(_SHOWN, None)
    if name is None:
        st.query_params.pop(LESSON, None)
    else:
        st.query_params[LESSON] = name


def _contents() -> None:
    st.title("Learn")
    st.markdown(
        "The fundamentals of integer quantization, from the paper, as figures that you can touch. Each lesson is two "
        "sentences, an equation, a figure and a question; keys N and P go to the next and the previous one."
    )
    for first in range(0, len(LESSONS), 2):
        for column, number in zip(st.columns(2), range(first, len(LESSONS)), strict=False):
            lesson = LESSONS[number]
            with column.container(border=True, height="stretch", gap=None):
                st.button(
                    f"{number + 1} · {lesson.title}",
                    key=f"learn-open-{lesson.name}",
                    on_click=open_lesson,
                    args=(lesson.name,),
                    type="tertiary",
                )
                st.caption(lesson.source)
    st.button(
        "Begin with the first",
        key="learn-begin",
        type="primary",
        icon=":material/play_arrow:",
        shortcut="N",
        on_click=open_lesson,
        args=(LESSONS[0].name,),
    )


def _lesson(number: int) -> None:
    lesson = LESSONS[number]
    _steps(number)
    st.title(lesson.title)
    st.markdown(lesson.words)
    for equation in lesson.equations:
        st.latex(equation)
    if lesson.erratum is not None:
        st.warning(f"**Erratum.** {lesson.erratum}", icon=":material/edit_note:")
    lesson.figure()
    _question(lesson)
    st.components.v2.component(
        "qanalysis_learn_keys",
        html="<span></span>",
        js=Path(__file__).with_name("keys.js").read_text(),
        isolate_styles=False,
    )(key="learn-keys", height="content")


def _steps(number: int) -> None:
    """Where one is, and the ways on."""
    before = LESSONS[number - 1].name if number else None
    after = LESSONS[number + 1].name if number + 1 < len(LESSONS) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous",
            key="learn-previous",
            icon=":material/arrow_back:",
            shortcut="P",
            disabled=before is None,
            on_click=open_lesson,
            args=(before,),
        )
        st.button(
            "Next",
            key="learn-next",
            icon=":material/arrow_forward:",
            icon_position="right",
            shortcut="N",
            disabled=after is None,
            on_click=open_lesson,
            args=(after,),
        )
        st.button(
            "All lessons",
            key="learn-contents",
            icon=":material/list:",
            type="tertiary",
            on_click=open_lesson,
            args=(None,),
        )
        st.caption(f"Lesson {number + 1} of {len(LESSONS)} · {LESSONS[number].source}", width="content")


@st.fragment
def _question(lesson: Lesson) -> None:
    shown = st.session_state.get(_SHOWN) == lesson.name
    with st.container(border=True):
        st.markdown(f"**Question.** {lesson.question}")

        def turn() -> None:
            st.session_state[_SHOWN] = None if shown else lesson.name

        st.button(
            "Hide the answer" if shown else "Show the answer",
            key="learn-answer",
            icon=":material/visibility_off:" if shown else ":material/visibility:",
            shortcut="A",
            on_click=turn,
        )
        if shown:
            st.markdown(lesson.answer)
