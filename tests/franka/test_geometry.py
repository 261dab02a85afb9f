"""Laws of the rotation helpers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_franka import geometry as geo

VECTORS = st.lists(st.floats(-3.0, 3.0, allow_subnormal=False), min_size=3, max_size=3)
FAST = settings(deadline=None, max_examples=50)


def _tensor(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _quaternion(values: list[float]) -> torch.Tensor:
    return geo.quaternion_exp(_tensor(values))


def test_quarter_turn_about_z_takes_x_to_y() -> None:
    turn = geo.quaternion_exp(_tensor([0.0, 0.0, math.pi / 2]))
    torch.testing.assert_close(turn, _tensor([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]))
    turned = geo.quaternion_rotate(turn, _tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(turned, _tensor([0.0, 1.0, 0.0]))


@FAST
@given(VECTORS, VECTORS, VECTORS)
def test_product_composes_rotations(a: list[float], b: list[float], v: list[float]) -> None:
    first, second, vector = _quaternion(b), _quaternion(a), _tensor(v)
    product = geo.quaternion_multiply(second, first)
    in_turn = geo.quaternion_rotate(second, geo.quaternion_rotate(first, vector))
    torch.testing.assert_close(geo.quaternion_rotate(product, vector), in_turn)
    torch.testing.assert_close(geo.quaternion_to_matrix(product) @ vector, in_turn)


@FAST
@given(VECTORS)
def test_conjugate_is_the_inverse(a: list[float]) -> None:
    quaternion = _quaternion(a)
    product = geo.quaternion_multiply(quaternion, geo.quaternion_conjugate(quaternion))
    torch.testing.assert_close(product, _tensor([1.0, 0.0, 0.0, 0.0]))


@FAST
@given(VECTORS)
def test_representations_round_trip(a: list[float]) -> None:
    quaternion = geo.quaternion_normalize(_quaternion(a))
    matrix = geo.quaternion_to_matrix(quaternion)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64))
    back = geo.quaternion_to_matrix(geo.quaternion_from_matrix(matrix))
    torch.testing.assert_close(back, matrix)
    sixd = geo.rotation_6d_from_matrix(matrix)
    torch.testing.assert_close(sixd[:3], matrix[:, 0])
    torch.testing.assert_close(geo.rotation_6d_to_matrix(sixd), matrix)
    scaled = torch.cat((2.0 * sixd[:3], 3.0 * sixd[3:] + sixd[:3]))
    torch.testing.assert_close(geo.rotation_6d_to_matrix(scaled), matrix)


@FAST
@given(VECTORS)
def test_logarithm_inverts_the_exponential(a: list[float]) -> None:
    vector = _tensor(a)
    length = vector.norm()
    if length > 3.1:  # beyond pi the shortest rotation is another one
        vector = vector * (3.1 / length)
    torch.testing.assert_close(
        geo.quaternion_log(geo.quaternion_exp(vector)), vector, atol=1e-7, rtol=1e-7
    )


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 9e-5, 1.1e-4, 1e-2, math.pi - 1e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponential_and_logarithm_at_small_and_large_angles(
    angle: float, dtype: torch.dtype
) -> None:
    vector = torch.tensor([angle, 0.0, 0.0], dtype=dtype)
    quaternion = geo.quaternion_exp(vector)
    expected = torch.tensor([math.cos(angle / 2), math.sin(angle / 2), 0.0, 0.0], dtype=dtype)
    torch.testing.assert_close(quaternion, expected)
    torch.testing.assert_close(geo.quaternion_log(quaternion), vector)


def test_logarithm_is_the_same_for_both_signs() -> None:
    quaternion = _quaternion([0.3, -0.8, 0.4])
    torch.testing.assert_close(geo.quaternion_log(-quaternion), geo.quaternion_log(quaternion))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_convert_from_matrices(axis: int) -> None:
    matrix = -torch.eye(3, dtype=torch.float64)
    matrix[axis, axis] = 1.0
    quaternion = geo.quaternion_from_matrix(matrix)
    assert quaternion[1 + axis].abs() == pytest.approx(1.0)
    assert quaternion[0].abs() < 1e-12


def test_rotation_error_is_in_the_fixed_frame() -> None:
    current = geo.quaternion_to_matrix(_quaternion([0.5, 0.2, -0.9]))
    step = _tensor([0.1, -0.3, 0.2])
    target = geo.quaternion_to_matrix(geo.quaternion_exp(step)) @ current
    torch.testing.assert_close(geo.rotation_error(target, current), step)
