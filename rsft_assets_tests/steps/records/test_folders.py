"""A folder is there as a whole or not at all, also where its deletion is killed."""

import pytest

from rsft_assets.steps.records import folders


def filled(folder):
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    return folder


def test_a_killed_deletion_leaves_no_half_folder_and_can_be_repeated(tmp_path, monkeypatch):
    real = folders.shutil.rmtree

    def killed(path, **_):
        if path.exists():
            (path / "a").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(folders.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        folders.discard(filled(tmp_path / "state"))
    monkeypatch.setattr(folders.shutil, "rmtree", real)
    assert not (tmp_path / "state").exists()
    folders.discard(filled(tmp_path / "state"))
    assert list(tmp_path.iterdir()) == []
