"""How does a film get a voice? From a folder of recordings, or from any program that speaks a sentence into a file.

`--voice FOLDER` takes `lora-Onto-01.wav` and so on, as the script beside the film names them. `--voice COMMAND` is run
once a sentence: {file} stands for the WAV file that it writes, {text} for the sentence, which it also finds on its
standard input. What a program has once spoken is kept. A caption stays until its sentence is heard.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import av
import numpy as np

from animations.studio.captions import Caption
from engine.errors import InputError, as_it_was
from engine.files import whole

RATE = 48_000
ENDINGS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
SECONDS = 120  # a program that takes longer for one sentence hangs


@dataclass(frozen=True)
class Voice:
    """said: the folder or the command, as it was given. kept: where what a program speaks is kept."""

    said: str
    kept: Path

    @classmethod
    def given(cls, said: str, kept: Path) -> "Voice":
        """Raises InputError for what is neither a folder nor a command that says where to write."""
        if not Path(said).is_dir() and "{file}" not in said:
            raise InputError(
                f"voice {said!r} is no folder of recordings, and as a command it lacks {{file}}, where it should write"
            )
        return cls(said, kept)

    @property
    def is_folder(self) -> bool:
        return Path(self.said).is_dir()

    def digest(self) -> str:
        """Changes with what the voice would say: the command, or the recordings' names, sizes and times."""
        files = sorted(Path(self.said).iterdir()) if self.is_folder else []
        about = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return sha256(repr((self.said, about)).encode()).hexdigest()

    def sound(self, name: str, sentence: str) -> Path:
        """The file in which a sentence is spoken. Raises InputError for a recording or a program that is not there."""
        return self._recorded(name, sentence) if self.is_folder else self._spoken(sentence)

    def _recorded(self, name: str, sentence: str) -> Path:
        for ending in ENDINGS:
            if (file := Path(self.said) / f"{name}{ending}").is_file():
                return file
        raise InputError(f"{self.said} holds no {name}{ENDINGS[0]} (or {', '.join(ENDINGS[1:])}): {sentence!r}")

    def _spoken(self, sentence: str) -> Path:
        file = self.kept / f"{sha256((self.said + chr(0) + sentence).encode()).hexdigest()[:24]}.wav"
        if file.exists():
            return file
        self.kept.mkdir(parents=True, exist_ok=True)
        # Elsewhere first, by a name that ends in .wav: some programs choose a format by it.
        with tempfile.TemporaryDirectory(prefix="glasstune-") as folder:
            made = Path(folder) / "spoken.wav"
            words = [word.replace("{file}", str(made)).replace("{text}", sentence) for word in shlex.split(self.said)]
            try:
                done = subprocess.run(
                    words,
                    input=sentence,
                    text=True,
                    encoding="utf-8",
                    capture_output=True,
                    timeout=SECONDS,
                    check=False,
                    env=as_it_was(),
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise InputError(f"the voice {words[0]} cannot be run: {error}") from None
            if done.returncode or not made.exists() or not made.stat().st_size:
                why = (done.stderr or "it wrote no sound").strip().splitlines()[-1]
                raise InputError(f"the voice {words[0]} did not speak {sentence!r}: {why}")
            with whole(file) as part:
                shutil.copyfile(made, part)
        return file


def current(kept: Path) -> Voice | None:
    """The voice that scenes speak with: what GLASSTUNE_VOICE says."""
    said = os.environ.get("GLASSTUNE_VOICE")
    return Voice.given(said, kept) if said else None


def samples(sound: Path) -> np.ndarray:
    """(samples,) float32, one channel at RATE. Raises InputError for a file that holds no sound."""
    parts = []
    try:
        with av.open(str(sound)) as source:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in source.decode(audio=0):
                parts += [made.to_ndarray()[0] for made in resampler.resample(frame)]
            parts += [made.to_ndarray()[0] for made in resampler.resample(None)]
    except (av.error.FFmpegError, IndexError):
        raise InputError(f"{sound} holds no sound that can be read") from None
    return np.concatenate(parts or [np.zeros(0, np.float32)])


def seconds_of(sound: Path) -> float:
    return len(samples(sound)) / RATE


def track(captions: Sequence[Caption], seconds: float) -> Iterator[np.ndarray]:
    """The film's whole sound, a second at a time, silent where nothing is said: (RATE,) float32."""
    line = np.zeros(round(seconds * RATE), np.float32)
    for one in captions:
        if one.sound:
            spoken = samples(Path(one.sound))
            start = round(one.start * RATE)
            end = min(len(line), start + len(spoken))
            line[start:end] += spoken[: end - start]
    for start in range(0, len(line), RATE):
        yield np.clip(line[start : start + RATE], -1, 1)
