"""New charts: a Vega-Lite specification by a generator, held to a strict allow-list, rebuilt, and drawn.

    JSON -> Chart (pydantic: every key, type and size is checked, any other key is refused)
         -> table of its data        what questions are computed from (policies/chart_questions.py)
         -> a specification of known keys only -> vl-convert -> PNG

What a model wrote is never executed: no expression, transform, parameter or address is among the allowed keys, the
specification that is drawn is made anew from the checked values, and the renderer may fetch nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.chart_questions import OPERATIONS, ChartTable
from store.errors import DeltaloopError

VEGA_LITE = "5.21"
"""The version that charts are drawn with: another one draws other pixels."""
MAX_ROWS = 40
MAX_DECIMALS = 3
"""More cannot be read off a chart."""

Mark = Literal["bar", "line", "point", "area", "tick", "arc"]
MARKS: tuple[str, ...] = get_args(Mark)
Column = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_ ]{0,39}$")]
"""A plain name: Vega-Lite reads dots, brackets and quotes in a field's name as a path."""
Text = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
Number = Annotated[int | float, Field(gt=-1e9, lt=1e9, allow_inf_nan=False)]
Row = Annotated[dict[Column, Text | Number], Field(max_length=8)]
Kind = Literal["nominal", "ordinal", "quantitative"]


class Checked(BaseModel):
    """JSON of a model: unknown keys refused, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Channel(Checked):
    """What a channel of the chart shows."""

    field: Column
    type: Kind
    title: Text | None = None


class Encoding(Checked):
    """Which column is shown by what."""

    x: Channel | None = None
    y: Channel | None = None
    color: Channel | None = None
    theta: Channel | None = None


class Data(Checked):
    """Inline data."""

    values: Annotated[list[Row], Field(min_length=2, max_length=MAX_ROWS)]


class Chart(Checked):
    """A Vega-Lite specification of the allowed kind: one value per category and series, nothing aggregated."""

    schema_address: Annotated[str, Field(alias="$schema", max_length=200)] = ""
    """Models like to write it; it is dropped."""
    title: Text
    width: Annotated[int, Field(ge=100, le=800)] = 400
    height: Annotated[int, Field(ge=100, le=800)] = 300
    mark: Mark
    data: Data
    encoding: Encoding

    @property
    def category(self) -> Channel:
        """The channel of the categories."""
        return self._roles()[0]

    @property
    def value(self) -> Channel:
        """The channel of the values."""
        return self._roles()[1]

    @property
    def series(self) -> Channel | None:
        """The channel that tells series apart."""
        return None if self.mark == "arc" else self.encoding.color

    def table(self) -> ChartTable:
        """What the chart shows."""
        names = tuple(dict.fromkeys(series for _, series in self._values())) if self.series else ()
        return ChartTable(_title(self.category), _title(self.value), names, self._values())

    def specification(self) -> dict[str, Any]:
        """The specification to draw, of the checked values alone. Categories keep the order of the data."""
        channels = {name: channel for name in ("x", "y", "color", "theta") if (channel := getattr(self.encoding, name))}
        fields = [channel.field for channel in channels.values()]
        encoding: dict[str, dict[str, Any]] = {
            name: {"field": channel.field, "type": channel.type, "title": _title(channel)}
            for name, channel in channels.items()
        }
        for channel in encoding.values():
            if channel["type"] != "quantitative":
                channel["sort"] = None
        return {
            "title": self.title,
            "width": self.width,
            "height": self.height,
            "background": "white",
            "mark": {"type": self.mark, "point": True} if self.mark == "line" else self.mark,
            "data": {"values": [{field: row[field] for field in fields} for row in self.data.values]},
            "encoding": encoding,
        }

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        """Channels, rows and values fit together. ValueError says what does not."""
        channels = [channel for channel in (self.category, self.value, self.series) if channel is not None]
        if len({channel.field for channel in channels}) < len(channels):
            raise ValueError("two channels show the same column")
        if self.series is not None and self.series.type == "quantitative":
            raise ValueError("color is quantitative: series have names")
        for number, row in enumerate(self.data.values):
            for channel in channels:
                if channel.field not in row:
                    raise ValueError(f"row {number} has no {channel.field!r}")
            value = row[self.value.field]
            if isinstance(value, str):
                raise ValueError(f"row {number}: {self.value.field!r} is {value!r}, no number")
            if -Decimal(str(value)).as_tuple().exponent > MAX_DECIMALS:  # type: ignore[operator]
                raise ValueError(f"row {number}: {value} has more than {MAX_DECIMALS} decimals")
        if len(self._values()) < len(self.data.values):
            raise ValueError("two rows have the same category and series")
        return self

    def _roles(self) -> tuple[Channel, Channel]:
        """Category and value."""
        encoding = self.encoding
        if self.mark == "arc":
            pair = (encoding.color, encoding.theta)
            stray = encoding.x or encoding.y
        else:
            pair = (encoding.x, encoding.y)
            stray = encoding.theta
        if stray is not None or None in pair:
            raise ValueError("encoding needs color and theta for mark arc, and x and y for the others")
        first, second = (channel for channel in pair if channel is not None)
        if (first.type == "quantitative") == (second.type == "quantitative"):
            raise ValueError("of the two main channels one must be quantitative, and the other not")
        return (second, first) if first.type == "quantitative" else (first, second)

    def _values(self) -> dict[tuple[str, str], Decimal]:
        category, value = self.category.field, self.value.field
        series = self.series.field if self.series else None
        return {
            (str(row[category]), str(row[series]) if series else ""): Decimal(str(row[value]))
            for row in self.data.values
        }


def draw(chart: Chart) -> bytes:
    """The chart as PNG. ValueError if the renderer refuses it; DeltaloopError if there is no renderer."""
    try:
        import vl_convert
    except ImportError:
        raise DeltaloopError(
            "`generation.charts`: vl-convert-python is not installed; pip install 'deltaloop[charts]', or say 0"
        ) from None
    png: bytes = vl_convert.vegalite_to_png(chart.specification(), vl_version=VEGA_LITE, allowed_base_urls=[])
    return png


def _title(channel: Channel) -> str:
    return channel.title or channel.field


_CHANNEL: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "field": {"type": "string"},
        "type": {"type": "string", "enum": list(get_args(Kind))},
        "title": {"type": "string"},
    },
    "required": ["field", "type", "title"],
    "additionalProperties": False,
}

CHART_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "mark": {"type": "string", "enum": list(MARKS)},
        "data": {
            "type": "object",
            "properties": {
                "values": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
                }
            },
            "required": ["values"],
            "additionalProperties": False,
        },
        "encoding": {
            "type": "object",
            "properties": dict.fromkeys(Encoding.model_fields, _CHANNEL),
            "additionalProperties": False,
        },
    },
    "required": ["title", "width", "height", "mark", "data", "encoding"],
    "additionalProperties": False,
}
"""The form of a chart in the plainest JSON schema: engines differ in what else they enforce."""

QUESTION_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "operation": {"type": "string", "enum": list(OPERATIONS)},
        "categories": {"type": "array", "items": {"type": "string"}},
        "series": {"type": ["string", "null"]},
        "threshold": {"type": ["number", "null"]},
    },
    "required": ["operation", "categories", "series", "threshold"],
    "additionalProperties": False,
}
"""The form of a question on it."""
