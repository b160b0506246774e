import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.retrieval.languages import UNDETERMINED, detect_language, detect_languages

pytestmark = pytest.mark.once

TEXTS = {
    "ar": "الغاق يجفف جناحيه عند السد بعد أن اصطاد السمك في النهر طوال الصباح.",
    "de": "Der Kormoran trocknet seine Flügel am Wehr, nachdem er gefischt hat.",
    "en": "The cormorant dries its wings at the weir after it has been fishing.",
    "es": "El cormorán seca sus alas junto a la presa después de haber pescado.",
    "fr": "Le cormoran sèche ses ailes près du barrage après avoir pêché.",
    "it": "Il cormorano asciuga le ali vicino alla diga dopo avere pescato.",
    "ja": "鵜は魚を捕った後、堰のそばで翼を乾かしている。",
    "ko": "가마우지가 물고기를 잡은 뒤 둑에서 날개를 말린다.",
    "nl": "De aalscholver droogt zijn vleugels bij de stuw nadat hij heeft gevist.",
    "pl": "Kormoran suszy skrzydła przy jazie po całym poranku łowienia ryb.",
    "pt": "O corvo-marinho seca as asas junto à barragem depois de ter pescado.",
    "ru": "Баклан сушит крылья у плотины после того, как всё утро ловил рыбу.",
    "th": "นกกาน้ำตากปีกข้างฝายหลังจากจับปลาในแม่น้ำตลอดเช้า",
    "tr": "Karabatak balık tuttuktan sonra bendin yanında kanatlarını kurutuyor.",
    "zh": "鸬鹚在捕鱼之后站在堰边晾干它的翅膀。",
}


@pytest.mark.parametrize("language", TEXTS)
def test_language_is_told_from_a_sentence(language: str) -> None:
    assert detect_language(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "INV-2231", "| 2019 | 12.5 |\n| 2020 | 11.2 |", "Re: Q3", "\x00\n\n"])
def test_what_has_no_words_has_no_language(text: str) -> None:
    assert detect_language(text) is None


def test_text_that_cannot_be_told_has_the_language_before_it() -> None:
    texts = [TEXTS["de"], "INV-2231", TEXTS["fr"], "2019"]
    assert detect_languages(texts) == ["de", "de", "fr", "fr"]
    assert detect_languages(["INV-2231"], before="zh") == ["zh"]


def test_at_the_beginning_it_has_the_language_after_it() -> None:
    assert detect_languages(["2019", "Re: Q3", TEXTS["de"]]) == ["de", "de", "de"]


def test_document_without_words_has_no_language_until_one_is_told() -> None:
    assert detect_languages(["2019", "2020"]) == [UNDETERMINED] * 2
    assert detect_languages(["2021", TEXTS["zh"]], before=UNDETERMINED) == ["zh", "zh"]
    assert detect_languages(["2022"], before=UNDETERMINED) == [UNDETERMINED]
    assert detect_languages([], before="de") == []


@given(st.lists(st.text(max_size=200), max_size=5))
def test_every_text_gets_one_language_whatever_is_in_it(texts: list[str]) -> None:
    languages = detect_languages(texts)
    assert len(languages) == len(texts)
    assert all(len(language) == 2 or language == UNDETERMINED for language in languages)
