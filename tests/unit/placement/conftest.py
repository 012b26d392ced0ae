"""Shapes of published models, from the headers that the zoo writes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hostler.models.gguf import read_shape
from hostler.models.shape import ModelShape
from hostler.testing.zoo import PUBLISHED

ShapeOf = Callable[..., ModelShape]


@functools.cache
def _shape(name: str, recipe: str) -> ModelShape:
    model = next(model for model in PUBLISHED if model.name == name)
    with tempfile.TemporaryDirectory() as folder:
        return read_shape([model.write(Path(folder), recipe or model.recipes[0])])


@pytest.fixture(scope="session")
def shape_of() -> ShapeOf:
    """The shape of a published model by name and quantisation (its first by default)."""

    def shape(name: str, recipe: str = "") -> ModelShape:
        return _shape(name, recipe)

    return shape
