"""Warp kernels of the handover. Warp reads their sources: annotations must not be postponed."""

import warp as wp


@wp.kernel
def note_contacts(
    sensordata: wp.array2d(dtype=float),  # type: ignore[valid-type]
    contact: wp.array(dtype=int),  # type: ignore[valid-type]
    distance: wp.array(dtype=int),  # type: ignore[valid-type]
    touched: wp.array(dtype=bool),  # type: ignore[valid-type]
    nearest: wp.array(dtype=float),  # type: ignore[valid-type]
) -> None:
    """Note, one thread a copy, whether arms touch and how near hands have come."""
    copy = wp.tid()
    for number in range(contact.shape[0]):
        if sensordata[copy, contact[number]] > 0.0:
            touched[copy] = True
    least = nearest[copy]
    for number in range(distance.shape[0]):
        least = wp.min(least, sensordata[copy, distance[number]])
    nearest[copy] = least


@wp.kernel
def settle(
    qpos: wp.array2d(dtype=float),  # type: ignore[valid-type]
    qvel: wp.array2d(dtype=float),  # type: ignore[valid-type]
    act: wp.array2d(dtype=float),  # type: ignore[valid-type]
    ctrl: wp.array2d(dtype=float),  # type: ignore[valid-type]
    warmstart: wp.array2d(dtype=float),  # type: ignore[valid-type]
    overflow: wp.array(dtype=int),  # type: ignore[valid-type]
    rest_qpos: wp.array(dtype=float),  # type: ignore[valid-type]
    rest_act: wp.array(dtype=float),  # type: ignore[valid-type]
    rest_ctrl: wp.array(dtype=float),  # type: ignore[valid-type]
    fastest: float,
    spoilt: int,
    valid: wp.array(dtype=bool),  # type: ignore[valid-type]
) -> None:
    """Mark copies that diverged or overflowed, and put them to rest; one thread a copy.

    All of it in one kernel: on a GPU that is asked for a prediction, launches are what takes time.
    """
    copy = wp.tid()
    sound = bool(True)  # noqa: UP018  to Warp, without bool() it is a constant
    for number in range(qpos.shape[1]):
        if not wp.isfinite(qpos[copy, number]):
            sound = False
    for number in range(qvel.shape[1]):
        if not wp.abs(qvel[copy, number]) < fastest:  # a NaN is not below any bound
            sound = False
    for number in range(act.shape[1]):
        if not wp.isfinite(act[copy, number]):
            sound = False
    if (overflow[copy] & spoilt) != 0:
        sound = False
    overflow[copy] = 0
    if sound:
        return
    valid[copy] = False
    for number in range(qpos.shape[1]):
        qpos[copy, number] = rest_qpos[number]
    for number in range(qvel.shape[1]):
        qvel[copy, number] = 0.0
        warmstart[copy, number] = 0.0
    for number in range(act.shape[1]):
        act[copy, number] = rest_act[number]
    for number in range(ctrl.shape[1]):
        ctrl[copy, number] = rest_ctrl[number]
