"""The networks inside denoisers."""

import copy

import pytest
import torch

from codi_core.errors import SpecificationError
from codi_core.policies.networks import NoiseEmbedding, activation, build_network
from codi_core.policies.networks import unet as unet_module
from codi_core.policies.networks.activation import BLOCK, mish

SMALL = {"unet": {"widths": (16, 32)}, "mlp": {"width": 32, "depth": 2}}


def network(kind, horizon=8, **options):
    torch.manual_seed(0)
    return build_network(kind, horizon, 3, 5, **{**SMALL[kind], **options})


@pytest.mark.parametrize("kind", ["unet", "mlp"])
def test_rows_do_not_influence_one_another(kind):
    net = network(kind)
    noisy, noise, given = torch.randn(6, 8, 3), torch.randn(6), torch.randn(6, 5)
    together = net(noisy, noise, net.encode(given))
    rows = [slice(i, i + 1) for i in range(6)]
    alone = [net(noisy[row], noise[row], net.encode(given[row])) for row in rows]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="other libraries add otherwise")
@pytest.mark.parametrize(
    ("kind", "many", "counts"),
    [
        ("unet", 16, (1, 2, 3, 8, 15)),
        ("unet", 40, (17, 18, 31)),
        ("unet", 600, (256, 257, 599)),  # evaluated in parts
        ("mlp", 40, (1, 2, 3, 8, 15, 16, 17, 31)),
    ],
)
@pytest.mark.parametrize("one_level", [False, True])
def test_a_row_is_rounded_the_same_whatever_rows_are_beside_it(kind, many, counts, one_level):
    net = network(kind, horizon=16)
    noisy, noise, given = torch.randn(many, 16, 3), torch.randn(many), torch.randn(many, 5)

    def out(rows):
        embedding = net.encode(given[:rows])
        level = noise[:1] if one_level else noise[:rows]
        film = net.modulate(noise[:3], embedding)[2] if one_level else None
        return net(noisy[:rows], level, embedding, film)

    with torch.inference_mode():
        together = out(many)
        for rows in counts:
            assert torch.equal(out(rows), together[:rows]), rows


def test_weights_stay_in_the_order_that_rounds_rows_the_same():
    net = network("mlp")
    for made in (net, copy.deepcopy(net)):
        made.load_state_dict({name: value.clone() for name, value in net.state_dict().items()})
        assert made.enter.weight.mT.is_contiguous()


@pytest.mark.parametrize("kind", ["unet", "mlp"])
def test_one_noise_level_serves_all_rows(kind):
    net = network(kind)
    noisy, embedding = torch.randn(4, 8, 3), net.encode(torch.randn(4, 5))
    level = torch.tensor([0.3])
    torch.testing.assert_close(net(noisy, level, embedding), net(noisy, level.repeat(4), embedding))


@pytest.mark.parametrize("kind", ["unet", "mlp"])
def test_output_depends_on_every_input(kind):
    net = network(kind)
    inputs = [torch.randn(2, 8, 3), torch.randn(2), torch.randn(2, 5)]
    for value in inputs:
        value.requires_grad_()
    net(inputs[0], inputs[1], net.encode(inputs[2])).square().sum().backward()
    for value in inputs:
        assert (value.grad.abs() > 0).all()


@pytest.mark.parametrize("widths", [(16,), (16, 32), (8, 16, 32)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_products_equal_convolutions(widths, blocks, monkeypatch):
    net = network("unet", widths=widths, blocks=blocks, horizon=16)
    noisy, noise, embedding = torch.randn(2, 16, 3), torch.randn(2), net.encode(torch.randn(2, 5))
    by_products = net(noisy, noise, embedding)
    monkeypatch.setattr(unet_module, "_FEW_ROWS", 0)
    by_convolutions = net(noisy, noise, embedding)
    torch.testing.assert_close(by_products, by_convolutions, atol=2e-5, rtol=1e-4)


def test_unet_sees_the_whole_chunk():
    net = network("unet", horizon=16)
    noisy = torch.randn(1, 16, 3, requires_grad=True)
    net(noisy, torch.zeros(1), net.encode(torch.zeros(1, 5)))[0, 0].sum().backward()
    assert (noisy.grad[0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("kind", ["unet", "mlp"])
def test_options_make_the_same_network_again(kind):
    net = network(kind)
    again = build_network(kind, 8, 3, 5, **net.options)
    again.load_state_dict(net.state_dict())
    noisy, noise, given = torch.randn(2, 8, 3), torch.randn(2), torch.randn(2, 5)
    torch.testing.assert_close(
        again(noisy, noise, again.encode(given)), net(noisy, noise, net.encode(given))
    )


def test_default_unet_has_the_documented_size():
    net = build_network("unet", 16, 7, 25)
    assert 0.7e6 < sum(value.numel() for value in net.parameters()) < 0.9e6


def test_embedding_separates_noise_levels_and_is_bounded():
    embedding = NoiseEmbedding(32)
    levels = torch.tensor([0.002, 0.05, 1.0, 40.0, 80.0]).log() / 4
    values = embedding(levels)
    assert values.shape == (5, 32) and values.abs().max() <= 1
    assert torch.pdist(values).min() > 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widths": (12,)}, "8 groups"),
        ({"kernel": 4}, "odd kernel"),
        ({"horizon": 7}, "horizon of 7"),
        ({"depth": 2}, "depth"),
    ],
)
def test_options_that_do_not_fit_are_named(options, words):
    with pytest.raises(SpecificationError, match=words):
        network("unet", **options)


def test_unknown_network_lists_the_valid_ones():
    with pytest.raises(SpecificationError, match="'vit': choose unet or mlp"):
        build_network("vit", 8, 3, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_mish_in_fewer_passes_is_mish(dtype):
    """Against its definition in double precision, from where it vanishes to where it is x."""
    x = torch.cat([torch.linspace(-100, 100, 4001), torch.linspace(-5, 5, 4001)]).to(dtype)
    exact = x.double() * torch.tanh(torch.nn.functional.softplus(x.double()))
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(mish(x).double(), exact, rtol=tolerance, atol=tolerance)
    assert mish(torch.tensor(torch.nan)).isnan()


def test_mish_of_many_numbers_is_made_in_blocks(monkeypatch):
    """The result is the same to the bit, and derivatives go through."""
    generator = torch.Generator().manual_seed(0)
    x, along = torch.randn(2, 1501, 201, generator=generator)
    assert x.numel() > 2 * BLOCK
    in_blocks = mish(x)
    _, change = torch.func.jvp(mish, (x,), (along,))
    monkeypatch.setattr(activation, "BLOCK", x.numel())
    assert torch.equal(in_blocks, mish(x))
    x.requires_grad_()
    (slope,) = torch.autograd.grad(torch.nn.functional.mish(x).sum(), x)
    torch.testing.assert_close(change, slope * along, rtol=1e-5, atol=1e-5)


def test_mish_has_the_gradient_of_mish():
    x = torch.linspace(-6, 6, 25, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(mish, x)
