r"""From a desired twist of the hand to joint velocities: the one controller of this plugin.

The environment and the predictors use it, as a hardware driver must, so that an action means the
same everywhere. It is damped least squares with a pull towards the home posture in the null space,

.. math:: \dot q = N^2 n + J^+ v, \qquad J^+ = J^\top (J J^\top + \mu^2 I)^{-1},
          \quad N = I - J^+ J,

followed by the limits. A joint that would come too close to its position limit is held there, and
the others take over its share; what then still exceeds a velocity limit is scaled as a whole, so
that the hand slows down rather than turns aside.
"""

import attrs
import torch
from torch import Tensor

from codi_core.resources import can_branch_on
from codi_franka.geometry import constant
from codi_franka.robot.kinematics import NUM_JOINTS, jacobian
from codi_franka.robot.parameters import POSITION_LOWER, POSITION_UPPER, VELOCITY_LIMIT

HOME: tuple[float, ...] = (
    0.0, -0.5678863228092971, 0.0, -2.3079640306805747, 0.0, 1.7400777078712775, 0.785398163397448,
)  # fmt: skip
"""[rad] The hand points straight down, 0.38 m in front of its base and 0.45 m above the table: far
enough back that the other arm can stretch across the table's centre."""


@attrs.frozen
class EndEffectorController:
    """Resolves twists of the tool centre point into joint velocities within all limits."""

    linear_limit: float = 0.5
    """[m/s]"""
    angular_limit: float = 2.0
    """[rad/s]"""
    damping: float = 0.02
    """The damping mu, in the Jacobian's units."""
    home: tuple[float, ...] = HOME
    """[rad] The posture that the null space is pulled to."""
    home_gain: tuple[float, ...] = (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    """[1/s] For each joint. With joints 3 and 5 at zero the arm is planar: joint 1 turns it towards
    the target and joint 7 turns the hand, as both should."""
    period: float = 0.1
    """[s] For which a velocity is held."""
    limit_margin: float = 0.02
    """[rad] To keep from every position limit."""
    limit_gain: float = 0.5
    """The share of the remaining way to a position limit that one period may take, up to 1."""
    straightest: float = POSITION_UPPER[3]
    """[rad] Joint 4 is kept below. From -0.47 on the elbow is through straight and bends the other
    way. From there the hand would have to come back by way of straight; to go directly, joint 4's
    own limit is in its way."""
    passes: int = 3
    """Solves in all; each but the first holds the joints that the one before took to a limit."""
    thrifty: bool = True
    """Whether these further solves are made only for the arms that need them. That is faster, but
    how an arm's numbers are rounded then depends on which other arms do."""

    def joint_velocity(
        self, joint_position: Tensor, twist: Tensor, model: Tensor | None = None
    ) -> Tensor:
        """Joint velocities (..., 7) [rad/s] that best realise a twist of the TCP.

        None exceeds its velocity limit, and none takes a joint past its position limit when it is
        held for one period. A joint that is already beyond a limit is brought back.

        Args:
            joint_position: (..., 7) [rad].
            twist: (..., 6), the TCP's linear [m/s] and angular [rad/s] velocity in the arm's base
                frame; computed in the joint positions' precision.
            model: (..., 6, 7), the TCP's Jacobian at these positions, if it is known already.
        """
        if joint_position.shape[:-1] != twist.shape[:-1]:
            shape = torch.broadcast_shapes(joint_position.shape[:-1], twist.shape[:-1])
            joint_position, twist = joint_position.expand(*shape, -1), twist.expand(*shape, -1)
        position = joint_position.reshape(-1, NUM_JOINTS)
        twist = self.saturate(twist.to(position)).reshape(-1, 6)
        model = None if model is None else model.reshape(-1, 6, NUM_JOINTS)
        return self.resolve(position, twist, model).reshape(joint_position.shape)

    def resolve(self, position: Tensor, twist: Tensor, model: Tensor | None = None) -> Tensor:
        """As :meth:`joint_velocity`, for n arms and twists that are saturated already.

        Args:
            position: (n, 7), the joints' [rad].
            twist: (n, 6) [m/s, rad/s].
            model: (n, 6, 7), the TCPs' Jacobians, if they are known already.
        """
        model = jacobian(position) if model is None else model
        pull = self._home_pull(position)
        lower, upper = self.velocity_bounds(position)
        velocity = _scale_down(self._solve(model, twist, pull))
        held = (velocity < lower) | (velocity > upper)
        velocity = torch.clamp(velocity, lower, upper)
        for _ in range(self.passes - 1):
            rows: Tensor | slice = slice(None)
            if can_branch_on(held):
                somewhere = held.any(dim=-1)
                if not somewhere.any():
                    break
                rows = somewhere.nonzero().squeeze(-1) if self.thrifty else rows
            self._redistribute(velocity, held, rows, (model, twist, pull, lower, upper))
        return velocity

    def saturate(self, twist: Tensor) -> Tensor:
        """Shorten the linear and the angular part of a twist (..., 6) to their limits."""
        linear, angular = twist[..., :3], twist[..., 3:]
        return torch.cat(
            (_shorten(linear, self.linear_limit), _shorten(angular, self.angular_limit)), dim=-1
        )

    def velocity_bounds(self, joint_position: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest velocity (..., 7) [rad/s] that the limits admit.

        Args:
            joint_position: (..., 7) [rad].
        """
        speed = constant(VELOCITY_LIMIT, joint_position)
        lowest = constant(POSITION_LOWER, joint_position) + self.limit_margin
        ends = (*POSITION_UPPER[:3], min(POSITION_UPPER[3], self.straightest), *POSITION_UPPER[4:])
        highest = constant(ends, joint_position) - self.limit_margin
        rate = self.limit_gain / self.period
        below = torch.clamp(rate * (lowest - joint_position), -speed, speed)
        above = torch.clamp(rate * (highest - joint_position), -speed, speed)
        return below, above

    def _solve(self, model: Tensor, twist: Tensor, pull: Tensor) -> Tensor:
        """Damped least squares with the pull in the null space, before the limits: (..., 7)."""
        squared = self.damping**2
        gram = model @ model.mT
        gram.diagonal(dim1=-2, dim2=-1).add_(squared)
        inverse = _inverse(gram)
        # Damping leaks some of the pull into the task, and projecting twice leaks its square. As
        # J J^T = gram - squared I, that is N^2 n = n - J^T inverse (J n + squared inverse J n).
        leak = _apply(model, pull)
        task = twist - leak - squared * _apply(inverse, leak)
        return pull + _apply(model.mT, _apply(inverse, task))

    def _redistribute(
        self, velocity: Tensor, held: Tensor, rows: Tensor | slice, problem: tuple[Tensor, ...]
    ) -> None:
        """Let the joints that are free do what the held ones can't, in place, in some rows."""
        model, twist, pull, lower, upper = (value[rows] for value in problem)
        kept, stopped = velocity[rows], held[rows]
        rest = twist - _apply(model, kept * stopped)
        free = self._solve(model * ~stopped.unsqueeze(-2), rest, pull * ~stopped)
        solution = torch.where(stopped, kept, _scale_down(free))
        velocity[rows] = torch.clamp(solution, lower, upper)
        held[rows] = stopped | (solution < lower) | (solution > upper)

    def _home_pull(self, joint_position: Tensor) -> Tensor:
        home = constant(self.home, joint_position)
        return constant(self.home_gain, joint_position) * (home - joint_position)


def _inverse(gram: Tensor) -> Tensor:
    """The inverses of symmetric positive definite matrices (n, 6, 6)."""
    factor = torch.linalg.cholesky_ex(gram).L
    if factor.is_cuda:  # there, cholesky_inverse can't be recorded in a CUDA graph
        return inverse_of(factor)
    return torch.cholesky_inverse(factor)


def inverse_of(factor: Tensor) -> Tensor:
    """The inverses (n, k, k) of matrices whose lower Cholesky factors are (n, k, k)."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    half = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return half.mT @ half


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _shorten(vector: Tensor, limit: float) -> Tensor:
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    return vector * (limit * length.clamp_min(limit).reciprocal_())


def _scale_down(velocity: Tensor) -> Tensor:
    """Scale joint velocities (..., 7) as a whole until each is within its velocity limit."""
    ratio = (velocity.abs() / constant(VELOCITY_LIMIT, velocity)).amax(dim=-1, keepdim=True)
    shortest = 1.0 + 1e-6  # rounding must not make a scaled joint look as if it were at a limit
    return velocity / (ratio * shortest).clamp_min(1.0)
