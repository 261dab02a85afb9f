"""How each row looks in all figures: colours that colour-blind people tell apart (Okabe, Ito)."""

from __future__ import annotations

from typing import Any

BLUE, SKY, ORANGE, RED = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
GREEN, PINK, BROWN, GREY, BLACK = "#009E73", "#CC79A7", "#7F4F24", "#8A8A8A", "#222222"

_LOOKS = {
    "codi": (BLUE, "-"),
    "codi-200": (BLUE, "--"),
    "codi-no-guard": (BLUE, "-"),
    "codi-simple": (BLUE, ":"),
    "codi-joint": (SKY, "-"),
    "codi-joint-simple": (SKY, ":"),
    "codi-indep": (RED, "-"),
    "codi-indep-no-guard": (RED, "-"),
    "cg-joint": (ORANGE, "-"),
    "cg-joint-200": (ORANGE, "--"),
    "cg-product": (PINK, "-"),
    "dpmd-joint": (GREEN, "-"),
    "sdac-joint": (BROWN, "-."),
    "expo-joint": (BLACK, "-."),
    "base": (GREY, "-"),
    "base-joint": (GREY, "--"),
    "best-of": (BLACK, "-"),
    "resampling": (BLACK, "--"),
}
"""By label, a colour and a kind of line."""


def line_of(label: str) -> dict[str, Any]:
    """What matplotlib draws a row's line with."""
    colour, line = _LOOKS.get(label, (BLACK, ":"))
    return {"color": colour, "ls": line, "lw": 2.0 if label.startswith("codi") else 1.5}


def bar_of(label: str) -> dict[str, Any]:
    """What matplotlib draws a row's bar with: broken lines become hatches."""
    colour, line = _LOOKS.get(label, (BLACK, ":"))
    hatch = {"-": "", "--": "///", ":": "...", "-.": "xx"}[line]
    return {"color": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.0}
