"""Picture of the map during a training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from spisonet.api import map_previews as previews
from spisonet.api.map_previews import PREVIEW_FILE, map_previews
from spisonet.learning.previews import report_completed

DATA = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def interrupted_training(folder):
    with map_previews(folder, 2.0):
        report_completed(DATA, DATA)
        raise KeyboardInterrupt


def test_the_picture_is_updated_during_a_training_and_removed_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(previews, "SECONDS_BETWEEN_PREVIEWS", 0.0)
    drawn = []
    monkeypatch.setattr(previews, "draw_preview_slices", lambda rows, _: drawn.append(rows))
    monkeypatch.setattr(previews, "save_figure", lambda path, _: path.touch())
    with map_previews(tmp_path, 2.0):
        report_completed(DATA, 2 * DATA)
    assert list(tmp_path.iterdir()) == []
    before, now = drawn[0].values()
    mean = DATA.mean(dim=0).numpy()
    for plane, expected in zip(before, (mean[4], mean[:, 4], mean[:, :, 4]), strict=True):
        np.testing.assert_allclose(plane, expected, atol=1e-6)
    np.testing.assert_allclose(now[1], 2 * before[1], atol=1e-6)


def test_the_picture_of_an_interrupted_training_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(previews, "SECONDS_BETWEEN_PREVIEWS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        interrupted_training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PREVIEW_FILE]
    with Image.open(tmp_path / PREVIEW_FILE) as image:
        assert image.width > image.height > 500


def test_pictures_are_not_drawn_more_often_than_every_two_minutes(tmp_path):
    with map_previews(tmp_path, 2.0):
        report_completed(DATA, DATA)
        report_completed(DATA, DATA)
        assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(previews, "SECONDS_BETWEEN_PREVIEWS", 0.0)
    (tmp_path / PREVIEW_FILE).mkdir()
    with caplog.at_level("INFO", "spisonet"), pytest.raises(KeyboardInterrupt):
        interrupted_training(tmp_path)
    assert "The preview is skipped" in caplog.text
