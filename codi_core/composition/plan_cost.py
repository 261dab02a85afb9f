"""From flat samples to costs: decode once, predict once, and cost that one trajectory."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.composition.recombination import Recombination, recombination
from codi_core.costs import CostFunction, CostTerms, local_terms, require_locality, summands
from codi_core.errors import CostError, SpecificationError
from codi_core.planning import PlanContext
from codi_core.planning.checks import Calling, name_of
from codi_core.policies import ProductPolicy
from codi_core.predictors import Prediction, Predictor, SeparablePredictor
from codi_core.predictors.checks import check_prediction, check_trajectory
from codi_core.resources import can_branch_on


def make_evaluate(
    product: ProductPolicy, predictor: Predictor, cost: CostFunction, context: PlanContext
) -> PlanCost:
    """Build J of flat joint chunks for one plan."""
    return PlanCost(product, predictor, cost, context)


@attrs.frozen(eq=False)
class PlanCost:
    """J of flat joint chunks for one plan, and its terms where the cost is local.

    Samples whose prediction failed cost +inf, samples whose cost has no value are NaN. Both are
    counted in the plan's diagnostics.

    Attributes:
        product: decodes flat joint chunks.
        predictor: foresees what they lead to.
        cost: J(s, a) on the predicted trajectory.
        context: the plan that is being made.
    """

    product: ProductPolicy
    predictor: Predictor
    cost: CostFunction
    context: PlanContext

    def __call__(self, flat: Tensor) -> Tensor:
        """J of flat joint chunks, from (B, M, D) to (B, M)."""
        prediction = self._predict(flat)
        diagnostics = self.context.diagnostics
        with diagnostics.stage("cost"):
            values = self._judge(prediction, flat)
            diagnostics.count("nan_costs", torch.isnan(values).sum())
            failed = self._failed(prediction)
            if failed is not None:
                values = values.masked_fill(failed, torch.inf)
        return values

    def terms(self, flat: Tensor) -> CostTerms:
        """The terms of J of flat joint chunks (B, M, D), and one per agent for failed predictions.

        Raises:
            LocalityError: the cost does not declare its locality.
            CostError: its terms do not fit the samples or the agents.
        """
        require_locality(self.cost)
        prediction = self._predict(flat)
        with self.context.diagnostics.stage("cost"):
            found = self._judge_terms(self.cost, prediction.trajectory, flat)
            failed = self._failed(prediction)
            if failed is not None:
                found = _forbid(found, failed, self.product.agents)
        return found

    def recombination(self, flat: Tensor) -> Recombination | None:
        """The terms of J of flat joint chunks (B, M, D), and of others made of the agents' parts.

        None where the predictor is not separable: then each combination must be predicted.

        Raises:
            LocalityError: the cost does not declare its locality.
            CostError: its terms do not fit the samples or the agents.
            SpecificationError: a prediction failed, which a separable predictor's never do.
        """
        predictor = self.predictor
        if not isinstance(predictor, SeparablePredictor):
            return None
        require_locality(self.cost)
        prediction = self._predict(flat)
        if prediction.valid is not None:
            raise SpecificationError(
                f"{name_of(predictor)} is separable, so that its predictions never fail; it "
                "returned `valid`: make it a Predictor"
            )

        def judge(cost: CostFunction, trajectory: Any) -> CostTerms:
            with self.context.diagnostics.stage("cost"):
                return self._judge_terms(cost, trajectory, flat)

        def recombine(trajectory: Any, numbers: Tensor, moving: Tensor) -> Any:
            with self.context.diagnostics.stage("predict"), Calling(predictor, ".recombine()"):
                return predictor.recombine(trajectory, numbers, moving)

        return recombination(summands(self.cost), prediction.trajectory, judge, recombine)

    def _judge(self, prediction: Prediction, flat: Tensor) -> Tensor:
        try:
            return _checked(self.cost(prediction.trajectory), flat, self.cost)
        except CostError:
            # The cost may have been given something that no cost can judge.
            check_trajectory(prediction.trajectory, flat.shape[:2], self.predictor)
            raise

    def _judge_terms(self, cost: CostFunction, trajectory: Any, flat: Tensor) -> CostTerms:
        try:
            found = local_terms(cost, trajectory)
            self._check(found, flat)
        except CostError:
            check_trajectory(trajectory, flat.shape[:2], self.predictor)
            raise
        self._count_lost(found)
        return found

    def _check(self, found: CostTerms, flat: Tensor) -> None:
        """Check terms, unless an earlier step of the plan had others of these shapes."""
        checked = self.context.cache.setdefault("checked terms", set())
        shape = (found.values.shape, found.members.shape, found.worlds, flat.shape)
        if shape not in checked:
            _check_terms(found, flat, self.product.agents)
            checked.add(shape)

    def _predict(self, flat: Tensor) -> Prediction:
        diagnostics = self.context.diagnostics
        with diagnostics.stage("predict"):
            chunks = self.product.decode(flat)
            with Calling(self.predictor, ".predict()"):
                prediction = self.predictor.predict(self.context.state, chunks)
        diagnostics.count("rollouts", flat.shape[0] * flat.shape[1])
        return check_prediction(prediction, flat.shape[:2], self.predictor)

    def _failed(self, prediction: Prediction) -> Tensor | None:
        """Which predictions failed, counted; None if none is known to have."""
        if prediction.valid is None:
            return None
        failed = ~prediction.valid
        count = failed.sum()
        self.context.diagnostics.count("failed_predictions", count)
        return None if can_branch_on(count) and not count else failed

    def _count_lost(self, found: CostTerms) -> None:
        """Count the samples that lack the value of a term."""
        lost = torch.isnan(found.values)
        if not can_branch_on(lost) or bool(lost.any()):
            worlds = attrs.evolve(found, values=lost.float()).total()
            self.context.diagnostics.count("nan_costs", (worlds > 0).sum())


def _forbid(found: CostTerms, failed: Tensor, agents: int) -> CostTerms:
    """The terms with +inf for failed samples (B, M), also for agents that no term involves."""
    values = found.values.masked_fill(failed[found.world], torch.inf)
    each = torch.zeros_like(failed, dtype=values.dtype).masked_fill(failed, torch.inf)
    every = CostTerms.of_agents(each.unsqueeze(1).expand(-1, agents, -1))
    return CostTerms.joined([attrs.evolve(found, values=values), every])


def _checked(values: Tensor, flat: Tensor, cost: CostFunction) -> Tensor:
    if values.shape != flat.shape[:-1]:
        raise CostError(
            f"the cost {cost} returned shape {tuple(values.shape)}; it must return one value for "
            f"each of the {tuple(flat.shape[:-1])} = (worlds, samples) trajectories"
        )
    return values


def _check_terms(found: CostTerms, flat: Tensor, agents: int) -> None:
    if (found.worlds, found.samples) != flat.shape[:-1]:
        raise CostError(
            f"the cost has terms for {(found.worlds, found.samples)} (worlds, samples), but the "
            f"trajectories are {tuple(flat.shape[:-1])}"
        )
    for what, numbers, limit in (
        ("world", found.world, found.worlds),
        ("members", found.members, agents),
    ):
        if not can_branch_on(numbers):
            continue  # a check is not worth waiting for the device
        if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < limit:
            raise CostError(
                f"the {what} of the cost's terms must be from 0 to {limit - 1}; they are from "
                f"{int(numbers.min())} to {int(numbers.max())}"
            )
