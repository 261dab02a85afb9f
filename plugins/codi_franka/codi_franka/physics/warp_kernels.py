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
