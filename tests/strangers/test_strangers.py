"""Parts as somebody would write them who has read the documentation, and how long they are."""

from pathlib import Path

import pytest

from codi_core import experiments
from codi_core.host.plugins import load_plugins
from codi_core.resources import Resources
from codi_core.testing import check_base_policy, check_task
from tests.core.plugin_path import install
from tests.strangers import go_there

spread = pytest.importorskip("tests.strangers.spread", exc_type=ImportError)


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    entry_points = {"spread": "tests.strangers.spread", "go-there": "tests.strangers.go_there"}
    install(tmp_path / "site", "codi-strangers", entry_points)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.parametrize(("module", "most"), [(spread, 120), (go_there, 60)])
def test_a_part_takes_a_page(module, most):
    assert len(Path(module.__file__).read_text().splitlines()) <= most


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
