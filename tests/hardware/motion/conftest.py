from __future__ import annotations

import sys

import pytest


@pytest.fixture
def count_calls():
    """How many functions, of Python and of libraries, something calls: its work, on any machine."""

    def count(work):
        calls = 0

        def profile(frame, event, argument):
            nonlocal calls
            calls += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            work()
        finally:
            sys.setprofile(before)
        return calls

    return count
