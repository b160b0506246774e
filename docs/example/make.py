"""Makes handbook.pdf, the document of the README's session: `python docs/example/make.py`."""

from pathlib import Path

from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer

PAGES = [
    (
        "The Lighthouse Handbook",
        [
            "This handbook is kept in the watch room. Whoever has the watch may change it, and signs the change.",
            "The light is lit half an hour before sunset and put out half an hour after sunrise. In fog it burns "
            "all day, and the horn sounds two blasts every ninety seconds.",
        ],
    ),
    (
        "Supplies",
        [
            "The supply boat comes on the first Tuesday of the month if the swell is under two metres. "
            "Orders are sent by radio no later than the Friday before.",
            "Drinking water is taken from the north cistern only. The south cistern is for washing and for the boiler.",
        ],
    ),
    (
        "The lamp",
        [
            "The lens is cleaned with vinegar and a linen cloth, never with soap, which leaves a film that "
            "halves the range of the light.",
            "A spare mantle lies in the blue box under the stairs. Changing it takes ten minutes and two people.",
        ],
    ),
]


def make(path: Path) -> None:
    styles = getSampleStyleSheet()
    story = []
    for title, paragraphs in PAGES:
        story.append(Paragraph(title, styles["Heading1"]))
        for text in paragraphs:
            story += [Paragraph(text, styles["BodyText"]), Spacer(1, 8)]
        story.append(PageBreak())
    SimpleDocTemplate(str(path), pagesize=A5, title=PAGES[0][0], invariant=1).build(story)


if __name__ == "__main__":
    make(Path(__file__).parent / "handbook.pdf")
