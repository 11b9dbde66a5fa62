"""Charts: a Vega-Lite specification, rendered here to SVG that is put into the page.

No script draws in the browser, so the pages need none from elsewhere and allow no evaluation. Text takes the colour of
the page (`currentColor`), for light and dark. Every chart stands beside a table of its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from loop.text import clean
from store.records import DeltaHistogram

HERE = "http://deltaloop.invalid"
"""The renderer makes links absolute: this stands for the server, and is taken out again."""

BLUE, ORANGE = "#3b8fc2", "#d9691e"  # of Okabe and Ito's palette, readable on white and on black
TEXT = {"labelColor": "currentColor", "titleColor": "currentColor"}
CONFIG = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {**TEXT, "domainColor": "currentColor", "tickColor": "currentColor", "gridOpacity": 0.25},
    "legend": TEXT,
}


def delta_chart(histogram: DeltaHistogram) -> Markup:
    """How Δ is distributed; zero-delta prompts are a bar of their own, left of the axis."""
    width = histogram.edges[1] - histogram.edges[0]
    bars = [{"from": -2 * width, "to": -width, "prompts": histogram.zero, "kind": "zero-delta"}]
    for low, high, num in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        bars.append({"from": low, "to": high, "prompts": num, "kind": "delta"})
    return _svg(
        bars,
        "bar",
        x={"field": "from", "type": "quantitative", "bin": {"binned": True}, "title": "Δ [nats]"},
        x2={"field": "to"},
        y={"field": "prompts", "type": "quantitative"},
        color={"field": "kind", "type": "nominal", "scale": {"range": [BLUE, ORANGE]}, "title": None},
    )


def accuracy_chart(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy over rounds, a line per suite; points are {round, suite, accuracy}."""
    return _svg(
        points,
        {"type": "line", "point": True},
        x={"field": "round", "type": "ordinal", "axis": {"labelAngle": 0}},
        y={"field": "accuracy", "type": "quantitative", "axis": {"format": ".0%"}, "scale": {"zero": False}},
        color={"field": "suite", "type": "nominal"},
    )


def region_chart(points: Sequence[Mapping[str, Any]], spots: Sequence[Mapping[str, Any]]) -> Markup:
    """Prompts in the plane, and their regions as rings on top.

    Regions are {x, y, size, delta, label}, and lead to their `link` if they have one; spots, a prompt or the prompts of
    a cell, are {x, y, size, delta}.
    """
    linked = {"href": {"field": "link"}} if points and "link" in points[0] else {}
    place: dict[str, Any] = {
        axis: {"field": axis, "type": "quantitative", "title": f"{which} component", "scale": {"zero": False}}
        for axis, which in (("x", "first"), ("y", "second"))
    }
    place["color"] = {"field": "delta", "type": "quantitative", "title": "Δ [nats]", "scale": {"scheme": "viridis"}}
    cloud = {
        "data": {"values": list(spots)},
        # The table of regions tells what a screen reader can say of them; hundreds of spots would only be in the way.
        "mark": {"type": "circle", "opacity": 0.75, "aria": False},
        "encoding": place | {"size": _size(12, 200)},
    }
    rings = {
        "data": {"values": [{**point, "link": HERE + point["link"]} if linked else point for point in points]},
        "mark": {"type": "circle", "opacity": 0.9, "stroke": "currentColor", "strokeWidth": 1.5},
        "encoding": place | {"size": _size(80, 1000), "description": {"field": "label"}} | linked,
    }
    return _drawn({"layer": [cloud, rings], "resolve": {"scale": {"size": "independent"}}})


def _size(least: int, most: int) -> dict[str, Any]:
    """Without a legend: two beside each other would be higher than the chart, and the caption tells."""
    return {"field": "size", "type": "quantitative", "legend": None, "scale": {"range": [least, most]}}


def _svg(values: Sequence[Mapping[str, Any]], mark: Any, **encoding: Any) -> Markup:
    return _drawn({"data": {"values": list(values)}, "mark": mark, "encoding": encoding})


def _drawn(view: Mapping[str, Any]) -> Markup:
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "config": CONFIG,
        "width": 460,
        "height": 220,
        **view,
    }
    return Markup(_rendered(json.dumps(_fit(spec))))  # the renderer escapes text


@lru_cache(maxsize=512)
def _rendered(spec: str) -> str:
    """Kept: a chart takes up to 0.3 s, and completed rounds do not change."""
    import vl_convert

    return vl_convert.vegalite_to_svg(spec).replace(f'href="{HERE}', 'href="')


def _fit(value: Any) -> Any:
    """A specification whose texts are clean. Before they are JSON: there, a control character is an escape."""
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {key: _fit(held) for key, held in value.items()}
        case list() | tuple():
            return [_fit(held) for held in value]
        case _:
            return value
