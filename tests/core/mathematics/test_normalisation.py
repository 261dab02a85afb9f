"""Normalisers: units do not matter."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.policies import Normaliser
from codi_core.policies.normalisation import varying


def spread(rows=200):
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))


@given(st.integers(-12, 12), st.sampled_from([1.0, -2.5, 7.0]))
def test_a_unit_of_measurement_scales_the_scale(exponent, factor):
    unit = factor * 10.0**exponent
    values = spread().double() + 0.5
    one, other = Normaliser.fit(values), Normaliser.fit(values * unit)
    torch.testing.assert_close(other.scale, one.scale * abs(unit), rtol=1e-5, atol=0.0)
    torch.testing.assert_close(other.encode((values * unit).float()).std(0), torch.ones(3))


@pytest.mark.parametrize("value", [0.0, 0.3, -1e9, 1e-30])
def test_a_dimension_that_never_changes_keeps_its_scale(value):
    values = spread()
    values[:, 1] = value
    fitted = Normaliser.fit(values)
    assert fitted.scale[1] == 1 and float(fitted.mean[1]) == pytest.approx(value)
    assert varying(values).tolist() == [True, False, True]
    assert torch.isfinite(fitted.encode(values)).all()


@given(st.floats(1e-3, 1e6), st.integers(0, 100))
def test_rounding_is_no_change(value, seed):
    noise = torch.randint(-1, 2, (50, 1), generator=torch.Generator().manual_seed(seed))
    values = torch.tensor(value) * (1 + noise * torch.finfo(torch.float32).eps)
    assert not varying(values).any()
    assert varying(values * (1 + 100 * noise.abs() * torch.finfo(torch.float32).eps)).all() == (
        noise.unique().numel() > 1
    )


def test_a_single_row_is_no_change():
    assert Normaliser.fit(torch.tensor([[2.0, 5.0]])).scale.tolist() == [1, 1]
