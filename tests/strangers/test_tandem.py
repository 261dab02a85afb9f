"""A task, a kind of policy and a driver of a lab that had only the documentation."""

from pathlib import Path

import pytest
import torch

from codi_core import experiments
from codi_core.cli.collect import main as collect
from codi_core.host.plugins import load_plugins
from codi_core.resources import Resources
from codi_core.testing import check_base_policy, check_plant, check_task
from tests.core.plugin_path import install

tandem = pytest.importorskip("tests.strangers.tandem", exc_type=ImportError)

MODULES = {"tandem": 120, "neighbours": 60, "udp_pendulum": 60}


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    entry_points = {module: f"tests.strangers.{module}" for module in MODULES}
    install(tmp_path / "site", "codi-tandem", entry_points)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.fixture
def run(tmp_path):
    def run(task, method, **options):
        return experiments.run(
            task, method=method, seed=1, output=tmp_path / method, progress=False, **options
        )

    return run


@pytest.mark.parametrize(("module", "most"), MODULES.items())
def test_a_part_takes_a_page(module, most):
    text = Path(__file__).with_name(f"{module}.py").read_text()
    assert len(text.splitlines()) <= most


def test_the_task_and_its_policy_keep_their_contracts():
    check_task(tandem.Tandem())
    check_base_policy(tandem.Habit(tandem.SPEC, None, Resources()))


def test_two_motors_stand_the_pendulum_up_together(run):
    guided, alone = (run("tandem", method, episodes=10).metrics for method in ("codi", "base"))
    assert guided["success_rate"] == 1.0
    assert guided["completion_time_s"]["median"] < 4
    assert alone["success_rate"] <= 0.3


@pytest.fixture
def data(tmp_path):
    """25 demonstrations of one robot, which is alone."""
    folder = str(tmp_path / "data")
    task = ["--task", "navigation-swap", "--episodes", "25", "--worlds", "25", "--seed", "1"]
    assert collect([*task, "--output", folder]) == 0
    return folder


def test_robots_change_places_as_their_neighbours_did_alone(run, data):
    pytest.importorskip("codi_navigation")
    policy, team = f"neighbours:data={data}", {"agents": 4}
    made = experiments.prepare("navigation-swap", policy=policy, task_options=team)
    (kind,) = {factor.policy for factor in made.product().factors}
    check_base_policy(kind)

    guided, alone = (
        run("navigation-swap", method, policy=policy, task_options=team, episodes=6)
        for method in ("codi", "base")
    )
    assert guided.metrics["success_rate"] >= 0.5
    assert guided.metrics["task_metrics"]["robot_contact_rate"] <= 1 / 6
    assert alone.metrics["success_rate"] == 0
    assert alone.metrics["task_metrics"]["robot_contact_rate"] == 1


def test_the_driver_keeps_its_contract():
    driver, parts = load_plugins().drivers.get("udp-pendulum"), tandem.Tandem().parts(None)
    pull = [torch.ones(1, 1)] * 2
    check_plant(lambda: driver.factory(parts, Resources()), pull, parts.rate_hz)


def test_a_pendulum_behind_udp_is_kept_from_falling(run):
    options = {"driver": "udp-pendulum:angle=0.25", "worker": "thread"}
    guided = run("tandem", "codi", episodes=3, max_seconds=2.0, **options)
    alone = run("tandem", "base", episodes=1, max_seconds=1.0, **options)
    assert guided.metrics["success_rate"] > 0  # all, where nothing else keeps the machine busy
    assert alone.metrics["success_rate"] == 0
    assert guided.traces[0]["angle"][0] == pytest.approx(0.25)
    assert alone.traces[0]["angle"].max() > 0.5
