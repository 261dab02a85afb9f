"""Closed-form problems to test parts of a composition against, and checks of their contracts."""

from codi_core.testing.comparison import (
    energy_distance,
    mode_shares,
    sliced_wasserstein,
    total_variation,
)
from codi_core.testing.conformance import (
    check_base_policy,
    check_cost_function,
    check_guidance,
    check_posterior,
    check_sampler,
)
from codi_core.testing.costs import (
    PassThroughPredictor,
    QuadraticCost,
    block_cost,
    coupling_cost,
    linear_cost,
    quadratic_cost,
)
from codi_core.testing.demonstrator_conformance import check_demonstrator
from codi_core.testing.devices import DeviceError, check_device, second_device
from codi_core.testing.environment_conformance import check_environment
from codi_core.testing.exact import ExactGuidance, ExactPosterior
from codi_core.testing.local import LocalQuadraticCost, chain, graph_cost, grid
from codi_core.testing.mixtures import GaussianMixture, joint_mixture
from codi_core.testing.oracle import FactoredOracle, Oracle, Tilt, gaussian_divergence, tilt
from codi_core.testing.planner_conformance import check_planner
from codi_core.testing.plant_conformance import check_plant
from codi_core.testing.policies import (
    MixturePolicy,
    action_spec,
    agent_view,
    blind,
    conditioned_parts,
    conditioned_product,
    mixture_product,
    single_gaussian,
)
from codi_core.testing.predictor_conformance import check_predictor
from codi_core.testing.problem import Problem, random_covariance
from codi_core.testing.propagation import (
    ImpulseNoise,
    Moments,
    plain_layout,
    propagate,
    reverse_sde_moments,
    sampler_moments,
)
from codi_core.testing.requirement import ConformanceError
from codi_core.testing.simulator_conformance import Agreement, Drive, check_simulator
from codi_core.testing.task_conformance import check_task
from codi_core.testing.trajectories import TrajectoryFamily, TrajectoryProblem, cosines
from codi_core.testing.waits import device_waits

__all__ = [
    "Agreement",
    "ConformanceError",
    "DeviceError",
    "Drive",
    "ExactGuidance",
    "ExactPosterior",
    "FactoredOracle",
    "GaussianMixture",
    "ImpulseNoise",
    "LocalQuadraticCost",
    "MixturePolicy",
    "Moments",
    "Oracle",
    "PassThroughPredictor",
    "Problem",
    "QuadraticCost",
    "Tilt",
    "TrajectoryFamily",
    "TrajectoryProblem",
    "action_spec",
    "agent_view",
    "blind",
    "block_cost",
    "chain",
    "check_base_policy",
    "check_cost_function",
    "check_demonstrator",
    "check_device",
    "check_environment",
    "check_guidance",
    "check_planner",
    "check_plant",
    "check_posterior",
    "check_predictor",
    "check_sampler",
    "check_simulator",
    "check_task",
    "conditioned_parts",
    "conditioned_product",
    "cosines",
    "coupling_cost",
    "device_waits",
    "energy_distance",
    "gaussian_divergence",
    "graph_cost",
    "grid",
    "joint_mixture",
    "linear_cost",
    "mixture_product",
    "mode_shares",
    "plain_layout",
    "propagate",
    "quadratic_cost",
    "random_covariance",
    "reverse_sde_moments",
    "sampler_moments",
    "second_device",
    "single_gaussian",
    "sliced_wasserstein",
    "tilt",
    "total_variation",
]
