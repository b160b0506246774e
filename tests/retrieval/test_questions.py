"""What is told of a query before anything is looked for."""

import pytest

from apps.retrieval.questions import Question


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("How wide is the ditch around the castle?", "en", {"wide", "ditch", "around", "castle"}),
        ("Wie breit ist der Graben um die Burg?", "de", {"breit", "Graben", "Burg"}),
    ],
)
def test_sentence_is_told_by_its_language_and_left_with_the_words_that_say_something(
    text: str, language: str, words: set[str]
) -> None:
    question = Question.read(text)
    assert question.language == language
    assert set(question.words.replace("?", "").split()) == words


@pytest.mark.parametrize(
    "text",
    [
        "turbine blades",
        "GmbH",
        "DIN 1998",
        "Johannes Kepler Sternwarte",
        "鸬鹚在捕鱼之后站在哪里晾干它的翅膀?",
        "…",
    ],
)
def test_names_numbers_and_what_can_not_be_told_stay_as_they_are(text: str) -> None:
    assert Question.read(text) == Question(text, None)


def test_nothing_but_stop_words_leaves_nothing_to_look_for_by_words() -> None:
    assert Question.read("What is it, and who is that?").words.strip(" ,?") == ""
