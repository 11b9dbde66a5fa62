"""Charts that generators specify: what is drawn, and what is refused."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loop.adapters.charts import CHART_SCHEMA, MAX_ROWS, QUESTION_SCHEMA, Chart, draw
from loop.adapters.images import decode
from loop.adapters.model_synthesizer import WrittenChartQuestion
from tests.fake_generator import chart

ARC = {
    "mark": "arc",
    "data": {"values": [{"month": "Jan", "sales": 3}, {"month": "Feb", "sales": 4}]},
    "encoding": {
        "color": {"field": "month", "type": "nominal"},
        "theta": {"field": "sales", "type": "quantitative"},
    },
}


def test_the_table_is_what_the_chart_shows() -> None:
    table = Chart.model_validate(chart()).table()
    assert (table.category, table.value, table.series) == ("month", "Sales (M$)", ("North", "South"))
    assert table.values["Jan", "North"] == Decimal(4)
    assert len(table.values) == 6
    turned = chart()["encoding"]
    turned["x"], turned["y"] = turned["y"], turned["x"]
    assert Chart.model_validate(chart(encoding=turned)).table() == table


def test_a_pie_has_no_series() -> None:
    table = Chart.model_validate(chart(**ARC)).table()
    assert (table.series, table.values) == ((), {("Jan", ""): Decimal(3), ("Feb", ""): Decimal(4)})


def test_numbers_are_categories_as_well() -> None:
    rows = [{"month": 2019, "sales": 1, "team": "a"}, {"month": 2020, "sales": 2, "team": "a"}]
    assert ("2020", "a") in Chart.model_validate(chart(data={"values": rows})).table().values


def test_the_same_chart_is_drawn_with_the_same_bytes_and_another_one_with_others() -> None:
    png = draw(Chart.model_validate(chart()))
    assert draw(Chart.model_validate(chart())) == png
    assert draw(Chart.model_validate(chart(mark="line"))) != png
    assert decode(png).size >= (400, 300)
    assert draw(Chart.model_validate(chart(**ARC)))


def test_what_is_drawn_holds_known_keys_only() -> None:
    asked = chart(**{"$schema": "https://vega.github.io/schema/vega-lite/v5.json"})
    asked["data"]["values"] = [row | {"note": "not drawn"} for row in asked["data"]["values"]]
    specification = Chart.model_validate(asked).specification()
    assert "http" not in json.dumps(specification)
    assert "note" not in json.dumps(specification)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The allowed chart with one place changed, added if it is new."""
    whole: Any = copy.deepcopy(chart())
    *parents, leaf = path.split("/")
    place = whole
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[int(leaf) if leaf.isdigit() else leaf] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data", {"url": "https://example.com/data.csv"}),
        ("data/url", "file:///etc/passwd"),
        ("data/name", "table"),
        ("data/values", []),
        ("data/values", "a,b"),
        ("data/values", [{"month": str(row), "sales": row, "team": "a"} for row in range(MAX_ROWS + 1)]),
        ("data/values/0/sales", "3"),
        ("data/values/0/sales", True),
        ("data/values/0/sales", None),
        ("data/values/0/sales", 1e300),
        ("data/values/0/sales", float("nan")),
        ("data/values/0/sales", 0.12345),
        ("data/values/0/sales", {"signal": "1"}),
        ("data/values/0/month", "x" * 81),
        ("data/values/0/month", "a\x00"),
        ("data/values/0/month", "Jan"),
        ("transform", [{"calculate": "1", "as": "b"}]),
        ("params", [{"name": "p", "expr": "1"}]),
        ("config", {}),
        ("usermeta", {}),
        ("layer", []),
        ("datasets", {}),
        ("mark", {"type": "image", "url": "https://example.com"}),
        ("mark", "image"),
        ("mark", "geoshape"),
        ("title", {"expr": "1"}),
        ("title", ""),
        ("width", 100_000),
        ("height", "container"),
        ("encoding/x/field", "month.a"),
        ("encoding/x/field", "sales"),
        ("encoding/x/field", "absent"),
        ("encoding/x/aggregate", "sum"),
        ("encoding/x/type", "quantitative"),
        ("encoding/y/type", "nominal"),
        ("encoding/color/type", "quantitative"),
        ("encoding/x/axis", {"labelExpr": "datum.label"}),
        ("encoding/href", {"field": "month", "type": "nominal"}),
        ("encoding/url", {"field": "month", "type": "nominal"}),
        ("encoding/theta", {"field": "sales", "type": "quantitative"}),
        ("encoding/x", None),
        ("encoding", {}),
    ],
)
def test_what_is_not_on_the_list_is_refused(path: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Chart.model_validate(changed(path, value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(chart())), JSON)
def test_anything_in_the_place_of_a_key_is_allowed_or_refused(key: str, value: Any) -> None:
    with suppress(ValidationError):
        assert Chart.model_validate(chart(**{key: value})).table().values


def test_the_schemas_name_the_keys_that_are_read() -> None:
    assert CHART_SCHEMA["properties"].keys() == Chart.model_fields.keys() - {"schema_address"}  # type: ignore[attr-defined]
    assert QUESTION_SCHEMA["properties"].keys() == WrittenChartQuestion.model_fields.keys()  # type: ignore[attr-defined]
