"""The pictures of the architecture are of the code as it is."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
from PIL import Image

from tests.core.plugin_path import ROOT


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_layers_are_those_of_the_import_contract(pictures: ModuleType) -> None:
    with Image.open(ROOT / "docs" / "images" / "layers.png") as image:
        drawn = image.info["Description"]
    assert drawn == str(pictures.layers()), "draw them anew: python docs/pictures.py"


def test_each_layer_is_explained(pictures: ModuleType) -> None:
    names = {name for row in pictures.layers() for name in row}
    folders = {path.parent.name for path in (ROOT / "codi_core").glob("*/__init__.py")}
    assert folders <= names
    for name in names:
        assert len(pictures.first_sentence(name)) > 10
        assert pictures.colour_of(name)
    assert pictures.first_sentence("samplers") == "Samplers and noise schedules"


def test_paths_on_the_map_exist() -> None:
    """The table of where to go names files and folders of the repository."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("## I want to change") :]
    named = re.findall(r"`((?:codi_core|plugins|examples)/[^`]*)`", table)
    assert len(named) > 20
    for path in named:
        assert list(ROOT.glob(path.rstrip("/"))), f"{path} does not exist"


def test_each_layer_is_in_the_reference(pictures: ModuleType) -> None:
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    for row in pictures.layers():
        for name in set(row) - {"cli", "version"}:
            assert f"automodule:: codi_core.{name}" in reference, name
