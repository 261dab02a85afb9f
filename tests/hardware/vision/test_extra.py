import pytest

from codi_core.errors import PluginError
from codi_franka.vision import extra


def test_what_is_missing_is_named_with_the_remedy(monkeypatch):
    extra.require_vision()
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "cv2" else object())
    with pytest.raises(PluginError, match=r"needs cv2, .* pip install 'codi-franka\[vision\]'"):
        extra.require_vision()
