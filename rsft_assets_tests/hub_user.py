"""A person who types `rsft` in a folder of their own, with a hub on loopback."""

import os
import subprocess
import sys


class Home:
    """A working directory with nothing in it but a study file."""

    def __init__(self, folder, hub, study):
        folder.mkdir()
        (folder / "study.toml").write_text(study)
        self.folder, self.hub = folder, hub

    def rsft(self, *words, token="", status=0, **settings):
        """What the command says; its exit status must be `status`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RSFT_", "HF_"))}
        hub = self.hub.environment(self.folder / "cache", token)
        own = {"RSFT_STUDY": "study.toml", "RSFT_HOME": "home", "OMP_NUM_THREADS": "1", "COLUMNS": "200", **settings}
        done = subprocess.run(
            [sys.executable, "-m", "rsft_assets.commands.cli", *words],
            cwd=self.folder,
            env={**kept, **hub, **own},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout + done.stderr
