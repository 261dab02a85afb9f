import re

import cv2
import numpy as np
import pytest

from codi_franka.vision.board import Board
from codi_franka.vision.detection import MarkerDetector
from codi_franka.vision.markers import CUBE, FACES, MARKERS, MarkedBox
from codi_franka.vision.markers_command import main
from codi_franka.vision.sheet import PAPERS, sheet_pages

DPI = 254  # ten pixels a millimetre


def pixels(page):
    page.set_dpi(DPI)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(page)
    canvas.draw()
    return cv2.cvtColor(np.asarray(canvas.buffer_rgba())[..., :3], cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("box", [CUBE, MarkedBox((0.05, 0.06, 0.04), 0.03)])
def test_the_markers_have_their_size_on_paper(box):
    found = MarkerDetector().find(pixels(sheet_pages(box, Board())[0]))
    assert sorted(found.markers) == list(MARKERS)
    edges = np.linalg.norm(found.corners - np.roll(found.corners, 1, 1), axis=-1)
    assert edges / 10 == pytest.approx(1000 * box.marker_size, abs=0.15)
    upright = found.corners[:, 0, 1] < found.corners[:, 3, 1]
    assert upright.all()


def test_the_board_has_its_size_on_paper():
    board = Board()
    picture = pixels(sheet_pages(CUBE, board)[1])
    numbers, places = board.find(picture)
    assert len(numbers) == 35
    expected = board.corners()[numbers, :2] * 10_000
    shift = (places - expected).mean(0)
    assert places - expected == pytest.approx(np.tile(shift, (35, 1)), abs=0.6)
    assert not len(MarkerDetector().find(picture).markers)  # none of the box's


def test_the_pdf_is_as_large_as_the_paper(tmp_path, capsys):
    for paper, (width, height) in PAPERS.items():
        path = tmp_path / f"{paper}.pdf"
        assert main(["--output", str(path), "--paper", paper]) == 0
        boxes = re.findall(rb"/MediaBox \[ ?([\d. ]+) ?\]", path.read_bytes())
        assert len(boxes) == 2
        for numbers in boxes:
            points = [float(number) for number in numbers.split()]
            assert points[2] * 25.4 / 72 == pytest.approx(width, abs=0.01)
            assert points[3] * 25.4 / 72 == pytest.approx(height, abs=0.01)
    assert "print it at 100 %" in capsys.readouterr().out


def test_what_does_not_fit_is_said(tmp_path, capsys):
    output = ["--output", str(tmp_path / "sheet.pdf")]
    assert main([*output, "--box", "50", "50", "50", "--marker", "48"]) == 2
    assert "at most 42.9 mm" in capsys.readouterr().err
    assert main([*output, "--box", "250", "250", "250"]) == 2
    assert "too large for a page of a4" in capsys.readouterr().err


def test_all_faces_are_on_the_sheet():
    texts = [text.get_text() for text in sheet_pages(CUBE, Board())[0].axes[0].texts]
    for face in FACES:
        assert f"face {face.name}, marker {face.marker}" in texts
