"""What plans works on another device, with the same numbers, and in the numbers of the chunks."""

from __future__ import annotations

import warnings
from functools import partial

import attrs
import pytest
import torch

from codi_core import experiments
from codi_core.execution.devices import to_device
from codi_core.execution.graphs import GraphedPlanner
from codi_core.planning import NoiseSource, PlanContext
from codi_core.tasks import EpisodeKey, Step
from codi_core.testing import check_device, device_waits, second_device
from codi_franka.action import actuator_targets
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import observe
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.rollouts import Commands, Followed, Rollouts
from codi_franka.prediction.kinematic import KinematicPredictor
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS, CUBE_SIZE
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.separation import SeparationGuard
from codi_franka.state import FrankaState, hands_in_base
from codi_franka.task import COSTS, HandoffTask
from franka.scenes import OPEN, random_chunks, random_states, state
from franka.stand_in import StandIn
from tests.core.planned_there import context_there, use_counter_streams, waits_of_a_replan
from tests.core.tape import tape

KEYS = [EpisodeKey(0, 0), EpisodeKey(0, 1)]
IN_MUJOCO = partial(PhysicsPredictor, make_rollouts=MujocoRollouts)


def held_and_free() -> FrankaState:
    """A world whose cube both hands hold, and one whose cube lies between open fingers."""
    at, near = (0.0, 0.0, 0.2), 0.005
    held = state(cube=at, hands=((-near, 0.0, 0.2), (near, 0.0, 0.2)), width=CUBE_SIZE)
    free = state(cube=(-0.2, 0.05, 0.025), hands=((-0.2, 0.05, 0.025), None), width=OPEN)
    return FrankaState(
        **{
            field.name: torch.cat([getattr(held, field.name), getattr(free, field.name)])
            for field in attrs.fields(FrankaState)
        }
    )


@pytest.mark.parametrize("kind", [KinematicPredictor, IN_MUJOCO])
def test_predictions_and_costs_are_where_the_chunks_are(kind) -> None:
    """Grippers that open and close at random: grasps, falls, and arms that meet."""
    start, chunks = held_and_free(), random_chunks(2, 24, 16, seed=1)
    if kind is KinematicPredictor:
        chunks = tuple(torch.cat((0.02 * c[..., :6], c[..., 6:]), -1) for c in chunks)

    def run(device: str):
        # The second time from a state that was left on the CPU.
        predictor = kind(ARMS)
        there = tuple(chunk.to(device) for chunk in chunks)
        predictor.predict(to_device(start, device), there)
        found = predictor.predict(start, there)
        path = found.trajectory
        fields = (path.hand_position, path.gripper_width, path.cube_position, path.goal)
        costs = [cost()(path) for cost in COSTS.values()]
        valid = () if found.valid is None else (found.valid,)
        return (*fields, path.hand_quaternion(), *costs, *valid)

    check_device(run)
    height = run("cpu")[2][0, :, 3, 2]
    assert height.min() < 0.1 < height.max()  # some samples drop the cube, some don't


def test_what_is_seen_and_commanded_is_where_the_state_is() -> None:
    """Wild commands, of which joints' limits stop some; hands near each other and far apart."""
    controller, states = EndEffectorController(), random_states(16)
    states.joint_position[::2, :, 3] = -0.2  # elbows that are almost straight
    twists = 2.0 * torch.randn(16, 2, 7, generator=torch.Generator().manual_seed(0))

    def run(device: str):
        here, action = to_device(states, device), twists.to(device)
        hands = hands_in_base(here)
        guard = SeparationGuard(BaseFrames.of(ARMS, device), margin=0.5)
        return (
            dict(observe(here, ARMS)),
            actuator_targets(controller, here.joint_position, action),
            guard.restrain(hands, controller.saturate(action[..., :6])),
        )

    check_device(run)
    stopped = controller.joint_velocity(states.joint_position, twists[..., :6])
    lower, upper = controller.velocity_bounds(states.joint_position)
    assert ((stopped == lower) | (stopped == upper)).any(-1).float().mean() > 0.1


def test_worlds_are_where_their_simulator_is() -> None:
    """Without noise, which is another one on another device."""

    def run(device: str):
        options = HandoffOptions(randomize=False)
        environment = FrankaEnvironment(options, partial(StandIn, device=device))
        environment.reset(KEYS)
        actions = torch.linspace(-0.2, 0.2, 28).view(2, 2, 7)
        environment.step(tuple(actions.to(device)))
        environment.reset([EpisodeKey(0, 2)], rows=[1])
        seen = environment.step(tuple(actions))  # as the loop may hand them over
        return dict(seen.observation), seen.state.cube_position, environment.state.goal

    check_device(run)


def worlds_on(device, *numbers: int) -> FrankaEnvironment:
    environment = FrankaEnvironment(HandoffOptions(), partial(StandIn, device=str(device)))
    environment.reset([EpisodeKey(0, number) for number in numbers])
    return environment


def test_a_control_step_comes_back_from_the_device_in_one_copy(monkeypatch) -> None:
    use_counter_streams(monkeypatch)
    with second_device() as device:
        environment = worlds_on(device, 0, 1, 2)
        actions = torch.linspace(-0.2, 0.2, 42).view(2, 3, 7)
        environment.step(tuple(actions))  # copies constants
        with device_waits() as waits:
            step = environment.step(tuple(actions))
            there = environment.valid
        copies = [wait.rsplit("/", 1)[1].split(":")[0] for wait in waits]
        assert copies == ["environment.py", "devices.py"]  # actions go there, events come back
        assert there.tolist() == [True] * 3
        events, hands = step.events, environment.hands
        seen = environment.state.cube_position.cpu()
        assert events["cube_position"].tolist() == seen.tolist()
        joints = environment.state.joint_position.cpu()
        assert events["joint_position"].tolist() == joints.tolist()
        apart = environment.bases.points_to_world(hands.position).cpu().diff(dim=1).norm(dim=-1)
        assert events["hand_distance_m"] == pytest.approx(apart[:, 0].numpy(), rel=1e-6)
        assert events["cube_touched"].dtype == bool
        assert events["cube_position"].dtype == events["guard_m_s"].dtype == "float32"


def test_the_noise_of_trackers_is_drawn_where_the_worlds_are(monkeypatch) -> None:
    """Each episode has its own, in any batch; its cube is the one that it has on the CPU."""
    on_cpu = worlds_on("cpu", *range(64)).simulator.masses
    use_counter_streams(monkeypatch)
    still = torch.zeros(2, 64, 7)
    with second_device() as device:
        many, alone = worlds_on(device, *range(64)), worlds_on(device, 7)
        assert many.simulator.masses.cpu().tolist() == on_cpu.tolist()
        with device_waits() as waits:
            first = noise_of(many, many.step(tuple(still)))
        assert sum("streams.py" in wait for wait in waits) == 0
        assert first.std() == pytest.approx(0.0015, rel=0.15)
        of_one = noise_of(alone, alone.step(tuple(still[:, :1])))
        torch.testing.assert_close(of_one, first[7:8], rtol=0, atol=1e-7)
        many.reset([EpisodeKey(0, 7)], rows=[3])  # the others' streams stand still
        second = noise_of(many, many.step(tuple(still)))
        torch.testing.assert_close(second[3], first[7], rtol=0, atol=1e-7)
        of_one = noise_of(alone, alone.step(tuple(still[:, :1])))
        torch.testing.assert_close(second[7], of_one[0], rtol=0, atol=1e-7)


def noise_of(environment: FrankaEnvironment, step: Step) -> torch.Tensor:
    """By how much the cubes' positions are mistaken, (B, 3)."""
    return (step.state.cube_position - environment.state.cube_position).cpu()


@pytest.mark.parametrize("predictor", ["kinematic", "mujoco"])
def test_the_task_plans_there_with_its_own_settings(predictor) -> None:
    def run(device: str):
        experiment = experiments.prepare(
            "franka-handoff", device=device, samples=4, predictor=predictor, physics_threads=1
        )
        planner = experiment.planner()
        step = experiment.environment().reset(KEYS)
        return planner.plan(context_there(planner, step, KEYS, device)).chunks

    check_device(run)


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "codi"}, {"method": "codi", "guidance": "library"}, {"method": "best-of"}],
    ids=str,
)
def test_a_replan_never_waits_for_the_device(options, monkeypatch) -> None:
    use_counter_streams(monkeypatch)
    with second_device() as device:
        experiment = experiments.prepare(
            "franka-handoff",
            device=str(device),
            samples=4,
            steps=2,
            sampler="warm-start:steps=2",
            **options,
        )
        waits, plan = waits_of_a_replan(experiment, KEYS, device)
        assert waits == []
        assert bool(torch.isfinite(plan.flat).all())


class OnDevice(Rollouts):
    """Joints that follow their commands exactly, on a device, and a cube that stays."""

    def __init__(self, device: str, arms: tuple[str, ...], copies: int) -> None:
        self.device, self.copies = device, copies

    def follow(self, state: FrankaState, actions: torch.Tensor) -> Followed:
        commands, joints, path = Commands(actions), state.joint_position, []
        for step in range(len(commands)):
            targets = commands.targets(step, joints).unflatten(-1, (-1, 8))
            joints = joints + 0.1 * targets[..., :7]
            path.append(joints)
        steps = len(path)
        return Followed(
            joint_position=torch.stack(path, 1),
            gripper_width=actions[..., 6],
            cube_position=state.cube_position.unsqueeze(1).expand(-1, steps, -1),
            valid=state.cube_position[:, 2] > 0,
            last=attrs.evolve(state, joint_position=joints),
        )


def test_a_replan_with_physics_waits_for_nothing_but_its_simulator() -> None:
    """What is around physics that are simulated there, the controller included."""
    with second_device() as device:
        predictor = PhysicsPredictor(ARMS, partial(OnDevice, str(device)))
        start = to_device(held_and_free(), str(device))
        chunks = tuple(chunk.to(device) for chunk in random_chunks(2, 3, 4))
        predictor.predict(start, chunks)  # copies constants
        with device_waits() as waits:
            found = predictor.predict(start, chunks)
            quaternions = found.trajectory.hand_quaternion()
        assert waits == []
        assert found.valid.shape == (2, 3)
        torch.testing.assert_close(quaternions.norm(dim=-1).cpu(), torch.ones(2, 3, 4, 2))


def test_plans_are_recorded_if_that_is_asked_for() -> None:
    plain = experiments.prepare("franka-handoff")
    config = attrs.evolve(plain.config, device="cuda:0", cuda_graphs=True)
    asked = attrs.evolve(plain, config=attrs.evolve(config, device="cpu"))
    assert isinstance(asked.planner(), GraphedPlanner)
    assert not isinstance(plain.planner(), GraphedPlanner)
    assert experiments.from_config(attrs.asdict(config, recurse=False)).config == config


@pytest.mark.parametrize("method", ["codi", "search"])
def test_replans_can_be_recorded_as_a_graph(method, monkeypatch) -> None:
    """The tape has a graph's rules: nothing but tensors in the same memory changes in a replay."""
    use_counter_streams(monkeypatch)
    with second_device() as device:
        experiment = experiments.prepare(
            "franka-handoff",
            device=str(device),
            method=method,
            samples=4,
            steps=1,
            sampler="ancestral",
        )
        planner, step = experiment.planner(), experiment.environment().reset(KEYS)
        graphed = GraphedPlanner(planner, tape)

        def context(number):
            noise = NoiseSource([(0, world, number) for world in range(2)], device)
            turned = torch.tensor([number % 2, 1 - number % 2])
            seen = {name: value[turned].unsqueeze(1) for name, value in step.observation.items()}
            state = step.state.of_worlds(turned)
            return PlanContext(
                noise, to_device(seen, device), planner.layout, to_device(state, device)
            )

        with warnings.catch_warnings():
            warnings.simplefilter("error")  # which say that plans can't be recorded
            graphed.plan(context(0))
        for number in (1, 2):
            found, expected = graphed.plan(context(number)), planner.plan(context(number))
            assert torch.allclose(found.flat, expected.flat, atol=1e-5)
            assert found.diagnostics.counts == expected.diagnostics.counts


def test_advance_stays_where_the_state_is() -> None:
    parts = HandoffTask().parts(HandoffOptions())
    committed = tuple(chunk[:, 0] for chunk in random_chunks(2, 1, 2))

    def run(device: str):
        there = tuple(chunk.to(device) for chunk in committed)
        later, observation = parts.advance(to_device(held_and_free(), device), there)
        return later.joint_position, later.cube_position, later.goal, dict(observation)

    check_device(run)


@pytest.mark.parametrize("kind", [KinematicPredictor, IN_MUJOCO])
def test_numbers_have_the_type_of_the_chunks(kind) -> None:
    start, single = random_states(2), random_chunks(2, 3, 8)
    expected = kind(ARMS).predict(start, single).trajectory
    precise = kind(ARMS).predict(start, tuple(c.double() for c in single)).trajectory
    for name in ("hand_position", "gripper_width", "cube_position", "goal"):
        value = getattr(precise, name)
        assert value.dtype == torch.float64
        torch.testing.assert_close(value.float(), getattr(expected, name), atol=2e-6, rtol=1e-5)
    for cost in COSTS.values():
        assert cost()(precise).dtype == torch.float64


def test_the_precision_is_that_of_the_base_policies_wherever_they_are_used() -> None:
    asked = experiments.prepare("franka-handoff", precision="bfloat16", finish=False)
    assert asked.product().precision == asked.planner().product.precision == "bfloat16"
    assert experiments.prepare("franka-handoff").product().precision == "float32"
    assert experiments.from_config(attrs.asdict(asked.config, recurse=False)).config == asked.config
