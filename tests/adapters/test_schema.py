"""Types as shapes: what is read, what is refused and how that is said, and the JSON Schema that says the same."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import orjson
import pytest
from attrs import frozen
from hypothesis import given, strategies as st

from adapters.manifest import NoSettings
from adapters.registry import discover
from adapters.schema import ShapeError, json_schema, read

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=5, description="A short name.")]


class Colour(StrEnum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Wheel:
    """Something round."""

    spokes: Annotated[int, msgspec.Meta(ge=0, le=64)]
    name: Name | None = None


@frozen(kw_only=True)
class Vehicle:
    """Something on wheels."""

    name: Name
    colour: Colour = Colour.RED
    size: Literal["small", "large"] = "small"
    weight: float = 0.0
    wheels: Annotated[tuple[Wheel, ...], msgspec.Meta(max_length=3)] = ()
    spare: Wheel | None = None
    tags: tuple[Name, ...] = ()

    def __attrs_post_init__(self) -> None:
        """No rule of one field."""
        if self.spare is not None and not self.wheels:
            raise ValueError("a spare wheel alone goes nowhere")


def refusal(document: object) -> ShapeError:
    with pytest.raises(ShapeError) as caught:
        read(document, Vehicle)
    return caught.value


def test_a_document_becomes_its_type_with_its_defaults() -> None:
    vehicle = read({"name": "car", "wheels": [{"spokes": 4}], "colour": "blue"}, Vehicle)

    assert vehicle == Vehicle(name="car", colour=Colour.BLUE, wheels=(Wheel(spokes=4),))


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({}, "name", "is required"),
        ({"name": "car", "wheels": [{"spokes": 1}, {}]}, "wheels[1].spokes", "is required"),
        ({"name": "car", "nmae": 1}, "nmae", "is not known here"),
        ({"nmae": "car"}, "nmae", "is not known here"),
        ({"name": "car", "spare": {"spokes": 1, "x": 1}}, "spare.x", "is not known here"),
        ({"name": "car", "wheels": [{"spokes": 1, "x": 1}]}, "wheels[0].x", "is not known here"),
        ({"name": "car", "x" * 500: 1}, "x" * 200, "is not known here"),
        ({"name": 7}, "name", "expected `str`, got `int`"),
        ({"name": ""}, "name", "expected `str` of length >= 1"),
        ({"name": "car", "weight": "1"}, "weight", "expected `float`, got `str`"),
        ({"name": "car", "weight": True}, "weight", "expected `float`, got `bool`"),
        ({"name": "car", "wheels": {}}, "wheels", "expected `array`, got `object`"),
        ({"name": "car", "wheels": [7]}, "wheels[0]", "expected `object`, got `int`"),
        ({"name": "car", "wheels": [{"spokes": 1.0}]}, "wheels[0].spokes", "expected `int`, got"),
        ({"name": "car", "wheels": [{"spokes": -1}]}, "wheels[0].spokes", "expected `int` >= 0"),
        ({"name": "car", "spare": [{"spokes": 1}]}, "spare", "expected `object | null`, got"),
        ({"name": "car", "colour": "s3cret"}, "colour", "is none of the allowed values"),
        ({"name": "car", "size": "s3cret"}, "size", "is none of the allowed values"),
        ({"name": "car", "tags": ["a", "s3cret"]}, "tags[1]", "expected `str` of length <= 5"),
        ({"name": "car", "spare": {"spokes": 1}}, "", "a spare wheel alone goes nowhere"),
        ([], "", "expected `object`, got `array`"),
        ([{"name": "car", "x": 1}], "", "expected `object`, got `array`"),
        (None, "", "expected `object`, got `null`"),
    ],
)
def test_the_first_thing_that_is_wrong_is_named_without_its_value(
    document: object, path: str, message: str
) -> None:
    error = refusal(document)

    assert error.path == path
    assert error.message.startswith(message)
    assert str(error) == (f"{path}: {error.message}" if path else error.message)
    assert "s3cret" not in str(error)
    assert error.__cause__ is None


def test_a_document_deeper_than_any_type_is_refused_like_another() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]

    assert refusal({"name": deep}).path == "name"
    assert refusal({"name": "car", "wheels": deep}).path == "wheels[0]"


def test_the_schema_is_closed_whole_and_says_the_constraints() -> None:
    schema = json_schema(Vehicle)
    wheel = schema["properties"]["wheels"]["items"]

    assert "$ref" not in orjson.dumps(schema).decode()
    assert schema["additionalProperties"] is wheel["additionalProperties"] is False
    assert schema["required"] == ["name"]
    assert schema["properties"]["name"]["maxLength"] == 5
    assert schema["properties"]["name"]["description"] == "A short name."
    assert wheel["properties"]["spokes"] == {"type": "integer", "minimum": 0, "maximum": 64}
    assert json_schema(NoSettings)["additionalProperties"] is False


def test_a_field_may_be_called_as_a_word_of_json_schema() -> None:
    @frozen(kw_only=True)
    class Odd:
        type: str
        properties: Wheel

    schema = json_schema(Odd)

    assert set(schema["properties"]) == {"type", "properties"}
    assert jsonschema_rs.is_valid(schema, {"type": "a", "properties": {"spokes": 1}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70) | st.text(max_size=6) | st.just(0.5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
WHEELS = st.fixed_dictionaries(
    {},
    optional={"spokes": st.integers(-1, 65) | JSON, "name": st.text(max_size=6) | JSON, "x": JSON},
)
VEHICLES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=6) | JSON,
        "colour": st.sampled_from(["red", "blue", "green"]) | JSON,
        "size": st.sampled_from(["small", "large", ""]) | JSON,
        "weight": JSON,
        "wheels": st.lists(WHEELS, max_size=4) | JSON,
        "tags": st.lists(st.text(max_size=6), max_size=2) | JSON,
        "x": JSON,
    },
)


@given(document=VEHICLES | JSON)
def test_the_schema_allows_exactly_what_is_read(document: object) -> None:
    try:
        read(document, Vehicle)
        accepted = True
    except ShapeError:
        accepted = False

    assert jsonschema_rs.is_valid(json_schema(Vehicle), document) is accepted


NAMES = st.text(st.sampled_from("aB9-_./\n é%"), max_size=8)


@given(
    repositories=st.lists(st.tuples(NAMES, NAMES).map("/".join) | NAMES, max_size=3, unique=True),
    organization=st.none() | NAMES.map(lambda name: f"z{name}"),
)
def test_the_settings_of_github_are_what_their_schema_says(
    repositories: list[str], organization: str | None
) -> None:
    """But for the two rules that no schema can say; unlike names and another owner keep both here."""
    kind = discover().get("github").manifest.settings
    names = {name.lower() for name in repositories}
    document = {"repositories": sorted(names), "organization": organization}

    try:
        read(document, kind)
        accepted = True
    except ShapeError:
        accepted = False

    assert jsonschema_rs.is_valid(json_schema(kind), document) is accepted


@pytest.mark.parametrize("manifest", discover().manifests(), ids=lambda one: one.provider_id)
def test_every_providers_settings_have_a_valid_schema_that_takes_none(manifest: Any) -> None:
    schema = json_schema(manifest.settings)

    jsonschema_rs.meta.validate(schema)
    assert jsonschema_rs.is_valid(schema, {})
    assert isinstance(read({}, manifest.settings), manifest.settings)
