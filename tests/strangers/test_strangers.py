"""Parts as somebody would write them who has read the documentation, and how long they are."""

from pathlib import Path

import pytest
import torch

from codi_core import experiments
from codi_core.host.plugins import load_plugins
from codi_core.resources import Resources
from codi_core.testing import check_base_policy, check_plant, check_task
from tests.core.plugin_path import install, install_example

spread = pytest.importorskip("tests.strangers.spread", exc_type=ImportError)


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    modules = ("spread", "go_there", "carts")
    entry_points = {module: f"tests.strangers.{module}" for module in modules}
    install_example(install(tmp_path / "site", "codi-strangers", entry_points))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.parametrize(("module", "most"), [("spread", 120), ("go_there", 60), ("carts", 60)])
def test_a_part_takes_a_page(module, most):
    text = Path(__file__).with_name(f"{module}.py").read_text()
    assert len(text.splitlines()) <= most


def test_the_parts_keep_their_contracts():
    policy = load_plugins().base_policies.get("go-there").factory
    check_base_policy(policy(spread.SPEC, None, Resources()))
    check_task(spread.Spread())


def test_agents_of_a_task_from_elsewhere_are_coordinated(tmp_path):
    def run(method):
        output = tmp_path / method
        return experiments.run(
            "spread", method=method, episodes=24, seed=1, output=output, progress=False
        ).metrics

    guided, alone = run("codi"), run("base")
    assert guided["success_rate"] >= 0.5
    assert alone["success_rate"] <= 0.35
    assert guided["task_metrics"]["bumped"] < 0.5 * alone["task_metrics"]["bumped"]


def test_a_plant_keeps_its_contract():
    driver = load_plugins().drivers.get("carts")
    parts = experiments.prepare("example-points").opened.parts
    still = [torch.zeros(1, 1)] * 2
    check_plant(lambda: driver.factory(parts, Resources()), still, parts.rate_hz)


def test_carts_meet_as_the_points_do(tmp_path):
    def run(method):
        return experiments.run(
            "example-points",
            driver="carts:left=-0.7,right=0.5",
            method=method,
            worker="thread",
            episodes=1,
            max_seconds=2.5,
            output=tmp_path / method,
            progress=False,
        )

    guided, alone = run("codi"), run("base")
    assert guided.episodes[0]["success"]
    assert not alone.episodes[0]["success"]
    positions = guided.traces[0]["positions"]
    assert positions[0] == pytest.approx([-0.7, 0.5], abs=1e-6)
    assert all(delay > 0 for wave in guided.folder.waves() for delay in wave["delays"])
