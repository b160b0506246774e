"""Pictures made ready to be read: grey, dark on light, evenly lit, without grain, upright to a degree.

Each step leaves alone what does not need it: a clean scan goes to the engine as it came.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

# The paper's brightness is looked at in a picture of this length, in which strokes are a pixel or two wide.
_PAPER_LENGTH = 500
_PAPER_REACH = 9
_PAPER_RETREAT = 5
# Light that varies less than this over the page, as a share of the brightest, reads as well as even light.
_UNEVEN = 0.12
_DARKEST_PAPER = 24
# Standard deviation of the grain, of 255. Sensors and JPEG stay below.
_GRAINY = 20.0
_GRAIN_RADIUS = 1.2
_SKEW_LENGTH = 1000
_MOST_SKEW_DEGREES = 12.0
# What Tesseract straightens by itself.
_LEAST_SKEW_DEGREES = 0.8
# How much sharper than as they stand the lines must get. Drawings get at most 1.1 times so.
_SKEW_GAIN = 1.15

Grey = npt.NDArray[np.uint8]


def flatten(picture: Image.Image) -> Image.Image:
    """The picture in grey, whatever its mode; what is transparent becomes white paper."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(paper, rgba)
    if picture.mode.startswith(("I", "F")):  # 16 bits a sample, which convert("L") would clip
        lowest, highest = picture.getextrema()
        span = max(float(highest) - float(lowest), 1.0)  # type: ignore[arg-type]
        return picture.point(lambda value: (value - lowest) * (255.0 / span)).convert("L")
    return picture.convert("L")


def clean(grey: Image.Image) -> Image.Image:
    """The picture with dark text on light paper, lit evenly, and straight."""
    if _is_inverted(grey):
        grey = ImageOps.invert(grey)
    return straighten(even_light(grey))


def even_light(grey: Image.Image) -> Image.Image:
    """The picture divided by the brightness of its paper, where that varies: shadows, lamps, folds.

    The paper is the picture's morphological closing, half way: strokes are gone, also blurred ones, and the
    edges of shadows are nearly where they were.
    """
    paper = _reduced(grey, _PAPER_LENGTH).filter(ImageFilter.MaxFilter(_PAPER_REACH))
    paper = paper.filter(ImageFilter.MinFilter(_PAPER_RETREAT)).filter(ImageFilter.BoxBlur(5))
    darkest, brightest = np.percentile(np.asarray(paper), [5, 95])
    if brightest - darkest < _UNEVEN * brightest:
        return grey
    light = np.asarray(paper.resize(grey.size, Image.Resampling.BILINEAR), dtype=np.float32)
    even = np.asarray(grey, dtype=np.float32)
    even *= 255 / np.maximum(light, _DARKEST_PAPER)
    return Image.fromarray(np.minimum(even, 255).astype(np.uint8))


def smooth(grey: Image.Image) -> Image.Image:
    """The picture without its grain, if it has so much that strokes are lost in it."""
    return grey.filter(ImageFilter.GaussianBlur(_GRAIN_RADIUS)) if grain(grey) > _GRAINY else grey


def grain(grey: Image.Image) -> float:
    """The standard deviation of the noise, after Immerkær, "Fast Noise Variance Estimation" (1996), with the
    median in place of the mean, so that strokes do not count."""
    values = np.asarray(grey, dtype=np.int16)
    if min(values.shape) < 3:
        return 0.0
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    residue = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(residue))) / 6 / 0.6745


def straighten(grey: Image.Image) -> Image.Image:
    """The picture turned so that its lines are level, if it lies askew by up to twelve degrees."""
    degrees = skew_degrees(grey)
    if abs(degrees) < _LEAST_SKEW_DEGREES:
        return grey
    return grey.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def skew_degrees(grey: Image.Image) -> float:
    """How far the picture must be turned clockwise for its lines to be level; 0 where that is not clear.

    The angle at which the rows' sums of ink differ most (Postl's projection profile).
    """
    small = np.asarray(_reduced(grey, _SKEW_LENGTH), dtype=np.float32)
    ink = small < small.mean() - small.std()
    rows, columns = np.nonzero(ink)
    if len(rows) < 100:
        return 0.0

    def sharpness(degrees: float) -> float:
        shifted = rows + columns * np.tan(np.radians(degrees))
        sums = np.bincount((shifted - shifted.min()).astype(np.int32)).astype(np.float64)
        return float(np.square(np.diff(sums)).sum())

    level = sharpness(0)
    best = max(np.arange(-_MOST_SKEW_DEGREES, _MOST_SKEW_DEGREES + 0.1, 0.5), key=sharpness)
    best = max(np.arange(best - 0.4, best + 0.45, 0.1), key=sharpness)
    return float(best) if sharpness(best) > _SKEW_GAIN * max(level, 1.0) else 0.0


def _is_inverted(grey: Image.Image) -> bool:
    """Whether the strokes are brighter than the paper around them, judged by the third moment of the detail:
    strokes are the smaller part, so they are the longer tail."""
    small = _reduced(grey, _SKEW_LENGTH)
    around = small.filter(ImageFilter.BoxBlur(_PAPER_REACH))
    detail = np.asarray(small, dtype=np.float32) - np.asarray(around, dtype=np.float32)
    return bool((detail**3).mean() > 0)


def _reduced(grey: Image.Image, length: int) -> Image.Image:
    scale = min(1.0, length / max(grey.size))
    size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
    return grey.resize(size, Image.Resampling.BOX)
