"""Scenes in, pixels out: Pillow primitives on a grid of cells, with a bitmap font of three by five dots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw

from loop.world.scenes import CELL, IMAGE_SIZE, TOP_PRICE, TOP_SMALL, TOP_VALUE, Mark, Scene
from loop.world.vocabulary import COLOURS

Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

_ROWS_BY_GLYPH = """
a=25755 b=65656 c=34443 d=65556 e=74647 f=74644 g=34553 h=55755 i=72227 j=11152 k=55655 l=44447 m=57755
n=65555 o=25552 p=65644 q=25563 r=65655 s=34216 t=72222 u=55557 v=55552 w=55775 x=55255 y=55222 z=71247
0=75557 1=26227 2=71747 3=71717 4=55711 5=74717 6=74757 7=71111 8=75757 9=75717
"""
_FONT = dict(glyph.split("=") for glyph in _ROWS_BY_GLYPH.split())
"""Five octal digits a glyph, one a row from the top, the leftmost dot the highest bit."""


@dataclass(frozen=True)
class Style:
    """How a scene looks, apart from its marks."""

    background: Colour
    ink: Colour
    lines: Colour | None = None
    framed: bool = False


STYLE_BY_NAME = {
    "white": Style(WHITE, BLACK),
    "cream": Style((255, 248, 225), (40, 20, 0)),
    "lines": Style(WHITE, BLACK, lines=(225, 225, 225)),
    "sky": Style((226, 240, 255), (0, 0, 60)),
    "night": Style((38, 38, 64), (240, 240, 240)),
    "mint": Style((214, 245, 222), (0, 50, 20), lines=(190, 225, 200)),
    "framed": Style((245, 245, 245), (30, 30, 30), framed=True),
}


def draw_scene(scene: Scene) -> Image.Image:
    """Draws a scene of any kind."""
    style = STYLE_BY_NAME[scene.style]
    picture = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), style.background)
    pen = ImageDraw.Draw(picture)
    if style.lines:
        for at in range(8, IMAGE_SIZE, CELL):
            pen.line((0, at, IMAGE_SIZE, at), style.lines)
    if scene.kind in ("bar", "grouped"):
        _draw_bars(pen, scene)
    elif scene.kind == "line":
        _draw_line(pen, scene, style)
    elif scene.kind == "pie":
        _draw_pie(pen, scene)
    elif scene.kind == "shapes":
        for mark in scene.marks:
            _draw_shape(pen, mark, style)
        return picture
    else:
        _draw_document(pen, scene, style)
        return picture
    for mark in scene.marks:
        _draw_data_cell(pen, mark, style)
    return picture


@cache
def _glyphs(text: str, scale: int) -> Image.Image:
    """The text as a one-bit picture, four dots a letter, each dot ``scale`` pixels wide."""
    bitmap = Image.new("1", (4 * len(text), 5))
    for index, letter in enumerate(text):
        for row, octal in enumerate(_FONT[letter]):
            for column in range(3):
                if int(octal) >> (2 - column) & 1:
                    bitmap.putpixel((4 * index + column, row), 1)
    return bitmap.resize((4 * len(text) * scale, 5 * scale), Image.Resampling.NEAREST)


def _print(pen: ImageDraw.ImageDraw, x: int, y: int, text: str, scale: int, ink: Colour) -> None:
    pen.bitmap((x, y), _glyphs(text, scale), fill=ink)


def _top_of(scene: Scene) -> int:
    """The number at which the value axis ends."""
    largest = max(mark.value for mark in scene.marks)
    return next(top for top in (TOP_PRICE, TOP_SMALL, TOP_VALUE) if largest <= top)


def _ink_on(colour: Colour) -> Colour:
    red, green, blue = colour
    return BLACK if 3 * red + 6 * green + blue > 1200 else WHITE


def _draw_data_cell(pen: ImageDraw.ImageDraw, mark: Mark, style: Style) -> None:
    """The cell under a bar or beside a pie: caption and number on the colour of the mark."""
    x, y, colour = mark.col * CELL, mark.row * CELL, COLOURS[mark.colour]
    pen.rectangle((x, y, x + CELL - 1, y + CELL - 1), colour, outline=style.ink if style.framed else None)
    _caption(pen, x, y, mark, _ink_on(colour))


def _caption(pen: ImageDraw.ImageDraw, x: int, y: int, mark: Mark, ink: Colour) -> None:
    _print(pen, x + (0 if len(mark.label) > 3 else 2), y, mark.label, 1, ink)
    _print(pen, x + 1, y + 6, str(mark.value), 2, ink)


def _draw_bars(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    top = _top_of(scene)
    for mark in scene.marks:
        height = round(mark.value / top * (mark.row * CELL - 4))
        x, floor = mark.col * CELL, mark.row * CELL
        pen.rectangle((x + 2, floor - height, x + CELL - 3, floor), COLOURS[mark.colour])


def _draw_line(pen: ImageDraw.ImageDraw, scene: Scene, style: Style) -> None:
    top = _top_of(scene)
    points = [(m.col * CELL + 8, m.row * CELL - 4 - round(m.value / top * (m.row * CELL - 10))) for m in scene.marks]
    pen.line(points, COLOURS[scene.marks[0].colour], width=2)
    for x, y in points:
        pen.rectangle((x - 2, y - 2, x + 2, y + 2), style.ink)


def _draw_pie(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    total, start = sum(mark.value for mark in scene.marks), -90.0
    for mark in scene.marks:
        end = start + 360 * mark.value / total
        pen.pieslice((2, 10, 74, 82), start, end, COLOURS[mark.colour])
        start = end


def _draw_document(pen: ImageDraw.ImageDraw, scene: Scene, style: Style) -> None:
    """Forms print a caption over each number; receipts and tables print it in the cell to the left."""
    first = scene.marks[0]
    for mark in scene.marks:
        x, y = mark.col * CELL, mark.row * CELL
        if scene.kind == "form":
            pen.line((x + CELL, y + CELL - 2, x + 2 * CELL - 4, y + CELL - 2), style.ink)
            _caption(pen, x, y, mark, style.ink)
            continue
        if mark.col == first.col:
            _print(pen, x - CELL + (0 if len(mark.label) > 3 else 2), y + 6, mark.label, 1, style.ink)
        if mark.row == first.row and mark.series:
            _print(pen, x, y - CELL + 6, mark.series, 1, style.ink)
        if scene.kind == "table":
            pen.line((x - 1, y, x - 1, y + CELL - 1), style.ink)
        _print(pen, x + 1, y + 3, str(mark.value), 2, style.ink)
        if style.framed:
            pen.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=style.ink)


_RADIUS = {"small": 3, "medium": 5, "large": 7}


def _draw_shape(pen: ImageDraw.ImageDraw, mark: Mark, style: Style) -> None:
    x, y, r = mark.col * CELL + 8, mark.row * CELL + 8, _RADIUS[mark.size]
    fill, edge = COLOURS[mark.colour], style.ink if style.framed else None
    box = (x - r, y - r, x + r, y + r)
    if mark.shape == "circle":
        pen.ellipse(box, fill, outline=edge)
    elif mark.shape == "square":
        pen.rectangle(box, fill, outline=edge)
    elif mark.shape == "triangle":
        pen.polygon(((x, y - r), (x + r, y + r), (x - r, y + r)), fill, outline=edge)
    elif mark.shape == "diamond":
        pen.polygon(((x, y - r), (x + r, y), (x, y + r), (x - r, y)), fill, outline=edge)
    elif mark.shape == "cross":
        third = max(1, r // 3)
        pen.rectangle((x - r, y - third, x + r, y + third), fill)
        pen.rectangle((x - third, y - r, x + third, y + r), fill)
    else:
        pen.ellipse(box, outline=fill, width=max(2, r // 3))
