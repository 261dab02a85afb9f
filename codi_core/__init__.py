"""CoDi: compose single-agent diffusion policies into a multi-agent policy at test time.

The public names are imported on first use, so that ``import codi_core`` and a plugin's
registration stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codi_core.late_names import late_names
from codi_core.version import __version__ as __version__

_EXPORTS = {
    "codi_core.composition": ("BestOf", "CoordinatedPolicy", "Resampling", "Search"),
    "codi_core.costs": ("CostFunction", "CostTerm", "CostTerms", "LocalCost", "WeightedCost"),
    "codi_core.errors": (
        "CodiError",
        "CostError",
        "LocalityError",
        "SpecificationError",
        "UsageError",
    ),
    "codi_core.guidance": (
        "Chain",
        "FactoredGuidance",
        "Guidance",
        "HybridGuidance",
        "LibraryGuidance",
        "MonteCarloGuidance",
        "NoGuidance",
        "ReparameterizedGuidance",
    ),
    "codi_core.host.hookspecs": ("hookimpl",),
    "codi_core.host.plugins": ("Host", "load_plugins", "register_plugin"),
    "codi_core.host.records": (
        "BasePolicyRecord",
        "BenchmarkRecord",
        "CommandRecord",
        "CostRecord",
        "DriverRecord",
        "GuidanceRecord",
        "MethodParts",
        "MethodRecord",
        "PosteriorRecord",
        "PredictorRecord",
        "SamplerRecord",
        "SimulatorRecord",
        "TaskRecord",
    ),
    "codi_core.planning": (
        "ChunkLayout",
        "Diagnostics",
        "NoiseSource",
        "Plan",
        "PlanContext",
        "Planner",
    ),
    "codi_core.policies": (
        "ActionSpec",
        "BasePolicy",
        "Factor",
        "Normaliser",
        "PolicySpec",
        "ProductPolicy",
    ),
    "codi_core.posteriors": (
        "CorrelatedPosterior",
        "DataCovariancePosterior",
        "DenoisedPosterior",
        "IsotropicPosterior",
        "JacobianPosterior",
        "MatchedPosterior",
        "PosteriorApproximation",
        "PosteriorQuery",
        "PosteriorSamples",
    ),
    "codi_core.predictors": ("Prediction", "Predictor"),
    "codi_core.resources": ("Resources",),
    "codi_core.samplers": (
        "AncestralSampler",
        "CalibratedSampler",
        "DpmSolverSampler",
        "EulerMaruyamaSampler",
        "HeunSampler",
        "Integrator",
        "KarrasSchedule",
        "Sampler",
        "WarmStartSampler",
    ),
    "codi_core.tasks": (
        "Demonstrator",
        "Environment",
        "EpisodeKey",
        "EpisodeRecord",
        "FactorLayout",
        "Metrics",
        "PlanSettings",
        "Plant",
        "PolicyOffer",
        "Renderer",
        "Simulator",
        "Step",
        "Task",
        "TaskParts",
        "Trace",
    ),
}
__getattr__, __dir__ = late_names(__name__, _EXPORTS)

if TYPE_CHECKING:
    from codi_core.composition import BestOf as BestOf
    from codi_core.composition import CoordinatedPolicy as CoordinatedPolicy
    from codi_core.composition import Resampling as Resampling
    from codi_core.composition import Search as Search
    from codi_core.costs import CostFunction as CostFunction
    from codi_core.costs import CostTerm as CostTerm
    from codi_core.costs import CostTerms as CostTerms
    from codi_core.costs import LocalCost as LocalCost
    from codi_core.costs import WeightedCost as WeightedCost
    from codi_core.errors import CodiError as CodiError
    from codi_core.errors import CostError as CostError
    from codi_core.errors import LocalityError as LocalityError
    from codi_core.errors import SpecificationError as SpecificationError
    from codi_core.errors import UsageError as UsageError
    from codi_core.guidance import Chain as Chain
    from codi_core.guidance import FactoredGuidance as FactoredGuidance
    from codi_core.guidance import Guidance as Guidance
    from codi_core.guidance import HybridGuidance as HybridGuidance
    from codi_core.guidance import LibraryGuidance as LibraryGuidance
    from codi_core.guidance import MonteCarloGuidance as MonteCarloGuidance
    from codi_core.guidance import NoGuidance as NoGuidance
    from codi_core.guidance import ReparameterizedGuidance as ReparameterizedGuidance
    from codi_core.host.hookspecs import hookimpl as hookimpl
    from codi_core.host.plugins import Host as Host
    from codi_core.host.plugins import load_plugins as load_plugins
    from codi_core.host.plugins import register_plugin as register_plugin
    from codi_core.host.records import BasePolicyRecord as BasePolicyRecord
    from codi_core.host.records import BenchmarkRecord as BenchmarkRecord
    from codi_core.host.records import CommandRecord as CommandRecord
    from codi_core.host.records import CostRecord as CostRecord
    from codi_core.host.records import DriverRecord as DriverRecord
    from codi_core.host.records import GuidanceRecord as GuidanceRecord
    from codi_core.host.records import MethodParts as MethodParts
    from codi_core.host.records import MethodRecord as MethodRecord
    from codi_core.host.records import PosteriorRecord as PosteriorRecord
    from codi_core.host.records import PredictorRecord as PredictorRecord
    from codi_core.host.records import SamplerRecord as SamplerRecord
    from codi_core.host.records import SimulatorRecord as SimulatorRecord
    from codi_core.host.records import TaskRecord as TaskRecord
    from codi_core.planning import ChunkLayout as ChunkLayout
    from codi_core.planning import Diagnostics as Diagnostics
    from codi_core.planning import NoiseSource as NoiseSource
    from codi_core.planning import Plan as Plan
    from codi_core.planning import PlanContext as PlanContext
    from codi_core.planning import Planner as Planner
    from codi_core.policies import ActionSpec as ActionSpec
    from codi_core.policies import BasePolicy as BasePolicy
    from codi_core.policies import Factor as Factor
    from codi_core.policies import Normaliser as Normaliser
    from codi_core.policies import PolicySpec as PolicySpec
    from codi_core.policies import ProductPolicy as ProductPolicy
    from codi_core.posteriors import CorrelatedPosterior as CorrelatedPosterior
    from codi_core.posteriors import DataCovariancePosterior as DataCovariancePosterior
    from codi_core.posteriors import DenoisedPosterior as DenoisedPosterior
    from codi_core.posteriors import IsotropicPosterior as IsotropicPosterior
    from codi_core.posteriors import JacobianPosterior as JacobianPosterior
    from codi_core.posteriors import MatchedPosterior as MatchedPosterior
    from codi_core.posteriors import PosteriorApproximation as PosteriorApproximation
    from codi_core.posteriors import PosteriorQuery as PosteriorQuery
    from codi_core.posteriors import PosteriorSamples as PosteriorSamples
    from codi_core.predictors import Prediction as Prediction
    from codi_core.predictors import Predictor as Predictor
    from codi_core.resources import Resources as Resources
    from codi_core.samplers import AncestralSampler as AncestralSampler
    from codi_core.samplers import CalibratedSampler as CalibratedSampler
    from codi_core.samplers import DpmSolverSampler as DpmSolverSampler
    from codi_core.samplers import EulerMaruyamaSampler as EulerMaruyamaSampler
    from codi_core.samplers import HeunSampler as HeunSampler
    from codi_core.samplers import Integrator as Integrator
    from codi_core.samplers import KarrasSchedule as KarrasSchedule
    from codi_core.samplers import Sampler as Sampler
    from codi_core.samplers import WarmStartSampler as WarmStartSampler
    from codi_core.tasks import Demonstrator as Demonstrator
    from codi_core.tasks import Environment as Environment
    from codi_core.tasks import EpisodeKey as EpisodeKey
    from codi_core.tasks import EpisodeRecord as EpisodeRecord
    from codi_core.tasks import FactorLayout as FactorLayout
    from codi_core.tasks import Metrics as Metrics
    from codi_core.tasks import PlanSettings as PlanSettings
    from codi_core.tasks import Plant as Plant
    from codi_core.tasks import PolicyOffer as PolicyOffer
    from codi_core.tasks import Renderer as Renderer
    from codi_core.tasks import Simulator as Simulator
    from codi_core.tasks import Step as Step
    from codi_core.tasks import Task as Task
    from codi_core.tasks import TaskParts as TaskParts
    from codi_core.tasks import Trace as Trace
