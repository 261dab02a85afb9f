from codi_franka.vision.estimate import CubeStatus


def test_arms_move_by_what_is_seen_predicted_or_held_only():
    trusted = {status.value for status in CubeStatus if status.trusted}
    assert trusted == {"seen", "predicted", "held"}
