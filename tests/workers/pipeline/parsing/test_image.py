"""Pictures: read whichever way they lie, and refused before they are decoded if they are too large."""

import io

import pytest
from PIL import Image

from apps.knowledge import media_types
from tests.fixtures import documents
from tests.fixtures.make_heic import HERON
from tests.fixtures.make_heic import TEXT as HERON_TEXT
from tests.workers.pipeline.parsing.conftest import Parse, text_of
from workers.pipeline.errors import Damaged, LimitExceeded, NoText

pytestmark = pytest.mark.once

FOX = "The quick brown fox jumps over the lazy dog."


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_picture_is_read(parse: Parse, image_format: str) -> None:
    (page,) = parse(documents.image(image_format=image_format), f"image/{image_format.lower()}")
    assert text_of([page]) == FOX
    assert page.number is None
    assert page.ocr_confidence is not None
    assert page.ocr_confidence > 0.8


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_picture_on_its_side_is_read(parse: Parse, degrees: int) -> None:
    lines = [documents.sentence_of_page(number) for number in range(1, 5)]
    (page,) = parse(documents.image(lines, rotate=degrees), media_types.PNG)
    assert documents.place_of_page(2) in text_of([page])


def test_orientation_the_camera_noted_is_followed(parse: Parse) -> None:
    picture = Image.open(io.BytesIO(documents.image(rotate=90)))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me clockwise"
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    assert text_of(parse(buffer.getvalue(), media_types.JPEG)) == FOX


def test_small_text_is_read(parse: Parse) -> None:
    assert text_of(parse(documents.image(font_size=13), media_types.PNG)) == FOX


def test_transparent_picture_is_read_on_white(parse: Parse) -> None:
    shape = Image.open(io.BytesIO(documents.image())).convert("L")
    picture = Image.new("RGBA", shape.size, (0, 0, 0, 0))
    picture.putalpha(shape.point(lambda value: 255 - value))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    assert text_of(parse(buffer.getvalue(), media_types.PNG)) == FOX


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_frames_are_pages(parse: Parse, image_format: str) -> None:
    frames = [["First frame of the film"], ["First frame of the film"], ["Second frame of it"]]
    content = documents.animation(frames, image_format=image_format)
    pages = parse(content, f"image/{image_format.lower()}")
    assert text_of(pages).split("\n\n") == ["First frame of the film", "Second frame of it"]
    assert pages[-1].number == pages[-1].total


@pytest.mark.parametrize("image_format", ["TIFF", "BMP"])
def test_picture_of_an_office_scanner_is_read(parse: Parse, image_format: str) -> None:
    content = documents.image(image_format=image_format)
    assert text_of(parse(content, f"image/{image_format.lower()}")) == FOX


def test_every_page_of_a_tiff_is_read_even_if_it_looks_like_the_last(parse: Parse) -> None:
    content = documents.animation(
        [["Page of the fax"], ["Page of the fax"], ["The last page"]], image_format="TIFF"
    )
    pages = parse(content, media_types.TIFF)
    assert [(page.number, page.total, text_of([page])) for page in pages] == [
        (1, 3, "Page of the fax"), (2, 3, "Page of the fax"), (3, 3, "The last page"),
    ]  # fmt: skip


def test_picture_of_a_phone_is_read(parse: Parse) -> None:
    assert text_of(parse(HERON.read_bytes(), media_types.HEIC)) == HERON_TEXT


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (HERON.read_bytes()[:1000], media_types.HEIC),
        (documents.image(image_format="TIFF")[:-500], media_types.TIFF),
        (documents.image(image_format="BMP")[:2000], media_types.BMP),
    ],
)
def test_picture_that_is_cut_short_is_damaged(parse: Parse, content: bytes, media_type: str) -> None:
    with pytest.raises(Damaged):
        parse(content, media_type)


@pytest.mark.parametrize("image_format", ["TIFF", "BMP"])
def test_too_many_pixels_are_refused_in_every_format(parse: Parse, image_format: str) -> None:
    with pytest.raises(LimitExceeded, match="more than 1,000 pixels, which is the limit"):
        parse(
            documents.image(image_format=image_format), f"image/{image_format.lower()}", max_image_pixels=1000
        )


def test_hundred_megapixels_are_refused_unread(parse: Parse) -> None:
    with pytest.raises(LimitExceeded, match="more than 60,000,000 pixels"):
        parse(documents.hundred_megapixel_png(), media_types.PNG)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (documents.truncated_image(), Damaged),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), Damaged),
        (documents.blank_image(), NoText),
    ],
)
def test_unreadable_picture_says_why(parse: Parse, content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(content, media_types.PNG)
