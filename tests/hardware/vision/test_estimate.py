from codi_franka.vision.estimate import CubeStatus


def test_only_what_is_lost_makes_the_arms_wait():
    assert [status for status in CubeStatus if not status.usable] == [CubeStatus.LOST]
