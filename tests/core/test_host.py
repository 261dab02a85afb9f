"""The plugin host: loading, guarding, conflicts, and each hook."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from plugin_path import ROOT, environment, install, install_example

import codi_core
from codi_core.errors import PluginError, UsageError
from codi_core.host import discovery, hookspecs, records
from codi_core.host.hookspecs import hookimpl
from codi_core.host.plugins import KINDS, Host, load_plugins, register_plugin

HOOKS = [f"codi_{key}" for key in KINDS]


def factory(*args: object, **options: object) -> tuple[object, ...]:
    """Makes a tuple of what it was given."""
    return (args, options)


def plugin_of(**hooks: object) -> SimpleNamespace:
    """A plugin object; each keyword is a hook with what it yields."""

    def implementation(items: object) -> object:
        return hookimpl(lambda: items)

    return SimpleNamespace(**{name: implementation(items) for name, items in hooks.items()})


class FakeEntryPoint:
    """What the host reads of an entry point, without a distribution on disk."""

    def __init__(self, name: str, plugin: object, distribution: str) -> None:
        self.name, self.plugin, self.value = name, plugin, f"{name}_module"
        self.dist = SimpleNamespace(name=distribution, version="1.2")

    def load(self) -> object:
        if isinstance(self.plugin, BaseException):
            raise self.plugin
        return self.plugin


def load(*plugins: tuple[str, object], **settings: object) -> tuple[Host, list[str]]:
    """A host with these (distribution, plugin) pairs, and the warnings that it gave."""
    points = [FakeEntryPoint("plugin", plugin, name) for name, plugin in plugins]
    said: list[str] = []
    host = load_plugins(entry_points=points, warn=said.append, **settings)  # type: ignore[arg-type]
    return host, said


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_registers_its_records(hook: str) -> None:
    key = hook.removeprefix("codi_")
    record = KINDS[key][1]("mine", "of my own", factory)
    host, said = load(("codi-mine", plugin_of(**{hook: [record]})))
    registry = getattr(host, key)
    assert said == []
    assert registry.get("mine") is record
    assert registry.origin("mine") == "codi-mine"
    assert host.plugins[-1].registered == {key: ("mine",)}


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_specified_and_documented(hook: str) -> None:
    assert (getattr(hookspecs, hook).__doc__ or "").startswith("Yield ")
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert f"`{hook}`" in page


def test_the_documented_plugin_works() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    module = ModuleType("documented")
    exec(page.split("```python\n")[1].split("```")[0], vars(module))
    host, said = load(("codi-documented", module))
    assert said == []
    trajectory = SimpleNamespace(height=torch.tensor([[[1.0, 2.0], [1.0, 3.0]]]))
    cost = host.costs.get("high-carry").factory()
    assert cost(trajectory).tolist() == [[-2.0, -3.0]]


def test_the_hooks_are_all_of_the_specification() -> None:
    specified = [name for name in vars(hookspecs) if name.startswith("codi_")]
    assert sorted(specified) == sorted(HOOKS)


def test_built_in_parts_register_like_everybody() -> None:
    host, _ = load()
    assert host.posteriors.names() == (
        "isotropic",
        "matched",
        "correlated",
        "jacobian",
        "data-covariance",
        "denoised",
    )
    assert host.guidances.names() == (
        "monte-carlo",
        "factored",
        "library",
        "hybrid",
        "reparameterized",
    )
    assert host.samplers.names() == (
        "ancestral",
        "calibrated",
        "euler-maruyama",
        "heun",
        "dpm-solver",
        "dpm-solver-sde",
        "warm-start",
    )
    assert host.methods.names() == ("codi", "base", "best-of", "resampling", "search")
    assert host.methods.origin("codi") == "codi-core"


def test_a_broken_plugin_is_named_and_the_others_live() -> None:
    record = KINDS["costs"][1]("mine", "of my own", factory)
    host, said = load(
        ("codi-bad", ImportError("no module named 'nowhere'")),
        ("codi-good", plugin_of(codi_costs=[record])),
    )
    assert said == [
        (
            "plugin 'plugin' of distribution 'codi-bad' is left out: "
            "ImportError: no module named 'nowhere'"
        )
    ]
    assert "mine" in host.costs
    assert [plugin.distribution for plugin in host.broken] == ["codi-bad"]
    with pytest.raises(UsageError, match=r"left out, because broken: codi-bad"):
        host.tasks.get("handoff")


class Skipped(BaseException):
    """As pytest.importorskip raises it."""


@pytest.mark.parametrize("error", [SystemExit(3), Skipped("3"), KeyboardInterrupt(3)])
def test_whatever_a_plugin_raises_while_imported_does_not_end_the_host(
    error: BaseException,
) -> None:
    host, said = load(("codi-bad", error))
    assert f"{type(error).__name__}: 3" in said[0]
    assert host.methods.names() == ("codi", "base", "best-of", "resampling", "search")


def test_strict_mode_makes_a_broken_plugin_fatal() -> None:
    with pytest.raises(PluginError, match=r"'codi-bad' is broken: ImportError: gone") as raised:
        load(("codi-bad", ImportError("gone")), strict=True)
    assert isinstance(raised.value.__cause__, ImportError)


def test_a_misspelt_hook_is_an_error_that_names_the_right_one() -> None:
    host, said = load(("codi-typo", plugin_of(codi_task=[])))
    assert "unknown hook 'codi_task'; did you mean 'codi_tasks'?" in said[0]
    assert host.broken[0].distribution == "codi-typo"


def test_a_hook_with_arguments_is_refused() -> None:
    plugin = SimpleNamespace(codi_tasks=hookimpl(lambda config: []))
    _, said = load(("codi-args", plugin))
    assert "codi-args" in said[0]
    assert "config" in said[0]


def test_a_hook_that_raises_leaves_nothing_of_its_plugin_behind() -> None:
    record = KINDS["costs"][1]("mine", "of my own", factory)

    def broken() -> object:
        yield KINDS["tasks"][1]("half", "registered before the error", factory)
        raise RuntimeError("in the middle")

    plugin = SimpleNamespace(codi_costs=hookimpl(lambda: [record]), codi_tasks=hookimpl(broken))
    host, said = load(("codi-half", plugin))
    assert "RuntimeError: in the middle" in said[0]
    assert "mine" not in host.costs
    assert "half" not in host.tasks


@pytest.mark.parametrize("item", ["a string", KINDS["tasks"][1]("t", "another hook's", factory)])
def test_a_hook_must_yield_its_own_records(item: object) -> None:
    _, said = load(("codi-wrong", plugin_of(codi_costs=[item])))
    assert "codi_costs yielded" in said[0]
    assert "CostRecord" in said[0]


def test_an_entry_point_must_not_name_a_class() -> None:
    _, said = load(("codi-class", SimpleNamespace))
    assert "names the class SimpleNamespace" in said[0]


def test_a_name_registered_twice_means_nothing_and_others_are_not_affected() -> None:
    mine, other = (KINDS["costs"][1](name, "of my own", factory) for name in ("mine", "other"))
    plugins = [(name, plugin_of(codi_costs=[mine])) for name in ("codi-a", "codi-b")]
    plugins[1][1].codi_methods = plugin_of(
        codi_methods=[KINDS["methods"][1]("free", "", factory)]
    ).codi_methods
    host, said = load(*plugins, ("codi-c", plugin_of(codi_costs=[other])))
    message = r"cost 'mine' is registered by both 'codi-a' and 'codi-b'"
    assert len(said) == len(host.conflicts) == 1
    assert said[0].startswith(message)
    with pytest.raises(PluginError, match=message):
        host.costs.get("mine")
    assert host.costs.names() == ("other",)
    assert "free" in host.methods
    with pytest.raises(PluginError, match=message):
        load(*plugins, strict=True)


def test_all_who_register_one_name_are_named() -> None:
    record = KINDS["costs"][1]("mine", "of my own", factory)
    host, said = load(*((name, plugin_of(codi_costs=[record])) for name in ("a", "b", "c")))
    assert len(said) == 1
    with pytest.raises(PluginError, match="registered by 'a', 'b' and 'c'"):
        host.costs.get("mine")
    _, said = load(("a", plugin_of(codi_costs=[record, record])))
    assert "cost 'mine' is registered twice by 'a'" in said[0]


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "codi_tasks"])
def test_a_plugin_cannot_take_a_built_in_name(hook: str) -> None:
    """Whoever is loaded first: commands come from an entry point among the others."""
    key = hook.removeprefix("codi_")
    mine, theirs = (KINDS[key][1]("same", "", factory) for _ in range(2))
    ours, others = ("codi-core", plugin_of(**{hook: [mine]})), ("x", plugin_of(**{hook: [theirs]}))
    for plugins in ((ours, others), (others, ours)):
        host, said = load(*plugins)
        registry = getattr(host, key)
        assert "both" in said[0]
        assert "'codi-core'" in said[0]
        assert registry.get("same") is mine
        assert registry.origin("same") == "codi-core"


@pytest.mark.parametrize("plugin", [ModuleType("empty"), SimpleNamespace(codi_costs=factory)])
def test_a_plugin_without_a_hook_implementation_is_named(plugin: object) -> None:
    host, said = load(("codi-empty", plugin))
    assert "'codi-empty' is left out: it has no hook implementation: mark functions" in said[0]
    assert host.broken[0].distribution == "codi-empty"


def test_an_implementation_may_have_any_name_if_it_names_its_hook() -> None:
    record = KINDS["costs"][1]("mine", "of my own", factory)
    plugin = SimpleNamespace(my_costs=hookimpl(lambda: [record], specname="codi_costs"))
    host, said = load(("codi-named", plugin))
    assert said == []
    assert host.costs.get("mine") is record
    plugin = SimpleNamespace(my_costs=hookimpl(lambda: [record], specname="codi_cost"))
    assert "unknown hook 'codi_cost'; did you mean 'codi_costs'?" in load(("x", plugin))[1][0]


def test_what_a_plugin_changes_of_the_process_is_undone_and_named(monkeypatch) -> None:
    def costs() -> object:
        torch.set_default_dtype(torch.float64)
        monkeypatch.setenv("CODI_TEST_SET", "1")
        return [KINDS["costs"][1]("mine", "of my own", factory)]

    host, said = load(("codi-loud", SimpleNamespace(codi_costs=hookimpl(costs))))
    assert torch.get_default_dtype() == torch.float32
    assert "mine" in host.costs
    assert "'codi-loud' changed torch's default number type when it was loaded" in said[0]
    assert said[1].endswith("CODI_TEST_SET")


@pytest.mark.parametrize("damage", ["[codi]\nno value\n", b"\xff\xfe"])
def test_damaged_metadata_of_a_distribution_leave_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str | bytes
) -> None:
    install_example(tmp_path / "example")
    install(tmp_path / "damaged", "codi-damaged", {})
    (listed,) = (tmp_path / "damaged").glob("*/entry_points.txt")
    listed.write_bytes(damage.encode() if isinstance(damage, str) else damage)
    for folder in ("example", "damaged"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    said: list[str] = []
    host = load_plugins(warn=said.append)
    assert "example-points" in host.tasks
    assert "train" in host.commands
    assert [plugin.distribution for plugin in host.broken] == ["codi-damaged"]
    assert "its list of entry points is damaged" in said[0]


def test_a_distribution_without_a_name_has_plugins_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from codi_core import hookimpl\n@hookimpl\ndef codi_costs():\n    return []\n"
    install(tmp_path, "codi-nameless", {"p": "nameless"}, source=source, module="nameless")
    (fields,) = tmp_path.glob("*/METADATA")
    fields.write_text("Metadata-Version: 2.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    host = load_plugins(warn=pytest.fail)
    assert ("nameless", "unknown") in {(p.distribution, p.version) for p in host.plugins}
    assert any(name.startswith("nameless") for name in discovery.installed())


def test_installed_entry_points_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_example(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    host = load_plugins(warn=pytest.fail)
    example = next(plugin for plugin in host.plugins if plugin.distribution == "codi-example")
    assert example.version == "0.1.0"
    assert example.registered == {
        "tasks": ("example-points",),
        "costs": ("early-meeting",),
        "base_policies": ("example-home",),
    }


def test_the_example_installs_as_its_pyproject_says(tmp_path: Path) -> None:
    import tomllib

    content = tomllib.loads((ROOT / "tests/example_plugin/pyproject.toml").read_text())
    install_example(tmp_path)
    (distribution,) = metadata.distributions(path=[str(tmp_path)])
    points = {point.name: point.value for point in distribution.entry_points}
    assert content["project"]["name"] == distribution.name
    assert content["project"]["version"] == distribution.version
    assert content["project"]["entry-points"]["codi"] == points


def test_the_default_warning_is_a_python_warning() -> None:
    with pytest.warns(UserWarning, match="'codi-bad' is left out"):
        load_plugins(
            entry_points=[FakeEntryPoint("p", ValueError("x"), "codi-bad")]  # type: ignore[list-item]
        )


def test_public_names_resolve_and_unknown_ones_do_not() -> None:
    for name in (name for names in codi_core._EXPORTS.values() for name in names):
        assert getattr(codi_core, name) is not None
        assert name in codi_core.__dict__  # found once, kept
    assert "CostFunction" in dir(codi_core)
    with pytest.raises(AttributeError, match="'Nonsense'"):
        codi_core.Nonsense  # noqa: B018


def test_registering_a_light_plugin_needs_no_torch(tmp_path: Path) -> None:
    source = (
        "from codi_core import TaskRecord, hookimpl\n"
        "@hookimpl\n"
        "def codi_tasks():\n"
        "    yield TaskRecord('light', 'a light task', lambda: None)\n"
    )
    install(tmp_path, "codi-light", {"light": "light_plugin"}, source=source, module="light_plugin")
    code = (
        "import sys; from codi_core.host.plugins import load_plugins; host = load_plugins()\n"
        "assert 'light' in host.tasks, host.plugins\n"
        "print(*{'torch', 'numpy', 'matplotlib', 'mujoco'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_module_is_a_plugin() -> None:
    module = ModuleType("some_plugin")
    record = KINDS["tasks"][1]("mine", "of my own", factory)
    module.codi_tasks = hookimpl(lambda: [record])  # type: ignore[attr-defined]
    host, said = load(("codi-module", module))
    assert said == []
    assert "mine" in host.tasks


def test_a_script_registers_its_own_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_OWN", {})
    for summary in ("first version", "second version"):
        register_plugin(plugin_of(codi_costs=[records.CostRecord("mine", summary, factory)]))
    host, said = load(("codi-a", plugin_of(codi_costs=[])))
    assert said == []
    assert host.costs.get("mine").summary == "second version"
    assert host.costs.origin("mine") == "script"


def test_a_script_cannot_take_an_installed_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_OWN", {})
    record = records.CostRecord("mine", "of a script", factory)
    register_plugin(plugin_of(codi_costs=[record]), "notebook")
    host, _ = load(("codi-a", plugin_of(codi_costs=[record])))
    with pytest.raises(PluginError, match="both 'codi-a' and 'notebook'"):
        host.costs.get("mine")
