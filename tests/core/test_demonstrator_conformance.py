"""The kit finds what is wrong with a demonstrator; each of these breaks one promise."""

import numpy as np
import pytest

from codi_core.testing import ConformanceError, check_demonstrator
from tests.example_plugin.codi_example import Wanderer


class Shared(Wanderer):
    """One random stream for a whole batch."""

    def collect(self, episodes, writer):
        generator = np.random.default_rng(len(episodes))
        frames = {
            name: generator.random((10, 1), np.float32) for name in ("observation.state", "action")
        }
        for _ in episodes:
            writer.add_episode(frames, "go home")
        return [{"success": True, "frames": 10}] * len(episodes)


class Failing(Wanderer):
    """The first attempt gives nothing."""

    def collect(self, episodes, writer):
        records = super().collect(episodes[1:], writer)
        return [{"success": False, "frames": 0}, *records]


class Miscounting(Wanderer):
    def collect(self, episodes, writer):
        return [{**record, "frames": 9} for record in super().collect(episodes, writer)]


class Reshaping(Wanderer):
    """Writes its values in another shape."""

    shape: tuple[int, ...] = (10, 1, 1)

    def collect(self, episodes, writer):
        class Between:
            def add_episode(between, frames, task):  # noqa: N805
                changed = {name: values.reshape(self.shape) for name, values in frames.items()}
                writer.add_episode(changed, task)

        return super().collect(episodes, Between())


class Flat(Reshaping):
    """As the writer allows for single numbers."""

    shape = (10,)


class Silent(Wanderer):
    def collect(self, episodes, writer):
        return [{"success": False} for _ in episodes]


@pytest.mark.parametrize("demonstrator", [Wanderer, Failing, Flat])
def test_demonstrations_of_their_keys_pass(demonstrator):
    check_demonstrator(demonstrator)


@pytest.mark.parametrize(
    ("demonstrator", "message"),
    [
        (Shared, "Shared: demonstration 0 of a batch of two differs"),
        (Miscounting, r"\[10\] frames were written where the record says 9"),
        (Reshaping, r"'observation.state' of the shape \(1, 1\), its feature has \(1,\)"),
        (Silent, r"a record has \['success'\]; it needs"),
    ],
)
def test_broken_promises_are_named(demonstrator, message):
    with pytest.raises(ConformanceError, match=message):
        check_demonstrator(demonstrator)
