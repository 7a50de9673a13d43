"""How do scenes become one film? Packet by packet, nothing encoded twice, with chapters, captions and a voice."""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from animations.studio import voice
from animations.studio.captions import Caption, timed
from engine.files import whole

MILLISECOND = Fraction(1, 1000)
LANGUAGES = {"en": "eng", "de": "deu", "es": "spa"}  # as containers name them (ISO 639-2)
SPEECH = {".mp4": "aac", ".webm": "libopus"}
_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,16,&Hffffff,2

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Rendered:
    """A scene's video, its title, its frames at `rate` a second, and its captions, timed by the scene.

    poster: the second whose frame was chosen to stand for the film, if one was. took: the processor's seconds that it
    was drawn and encoded in; nought where nobody measured.
    """

    video: Path
    title: str
    frames: int
    rate: int
    captions: list[Caption]
    poster: float | None = None
    took: float = 0.0

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def join(parts: list[Rendered], out: Path, title: str, language: str = "en") -> None:
    """One video from many, written beside and renamed: the whole film at `out`, or what was there before.

    Raises ValueError for scenes that were not encoded alike.
    """
    # Its index stands at the front of an mp4, so that a browser plays it before it has all of it.
    options = {"movflags": "faststart"} if out.suffix == ".mp4" else {}
    with whole(out) as part, av.open(str(part), "w", format=out.suffix[1:], options=options) as target:
        _write(parts, target, title, language)
        target.close()
        if out.suffix == ".mp4":
            switch_off_captions(part)


def _write(parts: list[Rendered], target: Any, title: str, language: str) -> None:
    target.metadata["title"] = title
    with av.open(str(parts[0].video)) as first:
        stream = target.add_stream_from_template(first.streams.video[0])
        likeness = first.streams.video[0].codec_context.extradata
    tick = Fraction(1, parts[0].rate)
    target.set_chapters(_chapters(parts))
    texts = _subtitles(parts, target, language) if target.format.name.startswith("mp4") else []
    sounds = _spoken(parts, target, language)
    heard = next(sounds, None)
    began = 0
    for part in parts:
        with av.open(str(part.video)) as source:
            video = source.streams.video[0]
            if video.codec_context.extradata != likeness or part.rate != parts[0].rate:
                raise ValueError(f"{part.video} was not encoded as {parts[0].video} was, so they cannot be joined")
            for packet in source.demux(video):
                if packet.pts is None:
                    continue
                shown = began + round(packet.pts * video.time_base / tick)
                while texts and texts[0].pts * MILLISECOND <= shown * tick:
                    target.mux(texts.pop(0))
                while heard and heard[0] <= shown * tick:
                    target.mux(heard[1])
                    heard = next(sounds, None)
                packet.pts = packet.dts = shown
                packet.time_base, packet.stream, packet.duration = (
                    tick,
                    stream,
                    1,
                )  # the next one says how long it lasts
                target.mux(packet)
        began += part.frames
    target.mux(texts)
    while heard:
        target.mux(heard[1])
        heard = next(sounds, None)


def _spoken(parts: list[Rendered], target: Any, language: str) -> Iterator[tuple[float, Any]]:
    """The voice, encoded second by second: from when on, and its packets. Nothing where nobody speaks."""
    captions = list(timed(parts))
    if not any(one.sound for one in captions):
        return iter(())
    stream = target.add_stream(SPEECH[".webm" if "webm" in target.format.name else ".mp4"], rate=voice.RATE)
    stream.layout, stream.metadata["language"] = "mono", LANGUAGES[language]
    return _encoded(stream, voice.track(captions, sum(part.seconds for part in parts)))


def _encoded(stream: Any, seconds: Iterator[np.ndarray]) -> Iterator[tuple[float, Any]]:
    resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=voice.RATE)
    for number, samples in enumerate(seconds):
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = voice.RATE, number * voice.RATE, Fraction(1, voice.RATE)
        yield float(number), [packet for made in resampler.resample(frame) for packet in stream.encode(made)]
    yield math.inf, stream.encode(None)


def switch_off_captions(film: Path) -> None:
    """Players show what an mp4's first text track says, unless its header says that it is not switched on.

    FFmpeg always switches it on (`enable_tracks` of its movenc.c), so the flag is cleared in the file: bit 0 of the
    track header's flags (ISO/IEC 14496-12, 8.3.2).
    """
    with film.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        (moov,) = _boxes(data, 0, len(data), b"moov")
        for start, end in _boxes(data, *moov, b"trak"):
            ((media, media_end),) = _boxes(data, start, end, b"mdia")
            ((handler, _),) = _boxes(data, media, media_end, b"hdlr")
            if data[handler + 8 : handler + 12] in (b"sbtl", b"text", b"subt"):
                ((header, _),) = _boxes(data, start, end, b"tkhd")
                data[header + 3] &= 0xFE


def _boxes(data: Any, start: int, end: int, kind: bytes) -> list[tuple[int, int]]:
    """Where the boxes of a kind have their contents, of those that stand between `start` and `end`."""
    found = []
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        head = 8
        if size == 1:  # it stands in eight bytes more
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if data[start + 4 : start + 8] == kind:
            found.append((start + head, start + size))
        start += size or end
    return found


def _chapters(parts: list[Rendered]) -> list[dict[str, Any]]:
    chapters, began = [], 0
    for number, part in enumerate(parts):
        ends = began + part.frames
        chapters.append(
            {"id": number, "start": began, "end": ends, "time_base": Fraction(1, part.rate),
             "metadata": {"title": part.title}}
        )  # fmt: skip
        began = ends
    return chapters


def _subtitles(parts: list[Rendered], target: Any, language: str) -> list[Any]:
    """The captions as packets of a text track, which a player can switch on: they stand in the frame already."""
    stream = target.add_stream("mov_text")
    stream.codec_context.subtitle_header = _ASS_HEADER
    stream.codec_context.time_base = MILLISECOND
    stream.metadata["language"] = LANGUAGES[language]
    stream.disposition = Disposition(0)  # not default
    packets = []
    for text, start, end, *_ in timed(parts):
        line = text.replace("\\", "").replace("{", "(").replace("}", ")")
        first, last = round(1000 * start), round(1000 * end)
        caption = SubtitleSet.create(f"0,0,Default,,0,0,0,,{line}".encode(), 0, last - first, first)
        packet = stream.codec_context.encode_subtitle(caption)
        packet.pts = packet.dts = first
        packet.duration, packet.time_base, packet.stream = last - first, MILLISECOND, stream
        packets.append(packet)
    return packets


def write_poster(film: Path, parts: list[Rendered], path: Path) -> None:
    """The frame that a scene chose, as a PNG; where none did, the end of the scene in the middle of the film."""
    began = 0.0
    for part in parts:
        if part.poster is not None:
            moment = began + part.poster
            break
        began += part.seconds
    else:
        moment = sum(part.seconds for part in parts[: len(parts) // 2 + 1]) - 1.0
    frame_at(film, moment).save(path)


def frame_at(video: Path, moment: float) -> Any:
    """The frame that stands at this second of a video (the last, if it ends before), as a PIL image."""
    with av.open(str(video)) as source:
        source.seek(int(max(0.0, moment) * av.time_base))
        for frame in source.decode(video=0):  # from the key frame before it
            if frame.time is not None and frame.time >= moment:
                break
        return frame.to_image()


def to_gif(film: Path, out: Path, width: int = 960, rate: int = 10) -> None:
    """The film as a GIF, small and slow enough for a web page: first its 256 colours, then every frame in them.

    width: in pixels, at most; a smaller film is not made larger.
    """
    with av.open(str(film)) as source:
        width = min(width, source.streams.video[0].width)
    palette = _filtered(film, f"fps=1,scale={width}:-2:flags=area,palettegen=stats_mode=full")[-1]
    with (
        whole(out) as part,
        av.open(str(film)) as source,
        av.open(str(part), "w", format="gif") as target,
    ):
        stream = target.add_stream("gif", rate=rate)
        stream.pix_fmt = "pal8"
        graph, video = av.filter.Graph(), source.streams.video[0]
        frames, colours = graph.add_buffer(template=video), graph.add_buffer(
            width=palette.width, height=palette.height, format=palette.format, time_base=Fraction(1, rate)
        )  # fmt: skip
        steps = [graph.add("fps", str(rate)), graph.add("scale", f"{width}:-2:flags=area")]
        use, sink = graph.add("paletteuse", "dither=none"), graph.add("buffersink")
        for one, other in zip([frames, *steps], [*steps, use], strict=True):
            one.link_to(other)
        colours.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        colours.push(palette)
        colours.push(None)
        for frame in source.decode(video=0):
            frames.push(frame)
            _drain(sink, stream, target)
        frames.push(None)
        _drain(sink, stream, target)
        target.mux(stream.encode())


def _drain(sink: Any, stream: Any, target: Any) -> None:
    while True:
        try:
            frame = sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if not stream.codec_context.is_open:
            stream.width, stream.height = frame.width, frame.height
        target.mux(stream.encode(frame))


def _filtered(film: Path, filters: str) -> list[Any]:
    """What comes out of a chain of filters over a whole film."""
    with av.open(str(film)) as source:
        graph = av.filter.Graph()
        chain = [graph.add_buffer(template=source.streams.video[0])]
        for step in filters.split(","):
            name, _, options = step.partition("=")
            chain.append(graph.add(name, options or None))
        chain.append(graph.add("buffersink"))
        for one, other in pairwise(chain):
            one.link_to(other)
        graph.configure()
        made = []
        for frame in source.decode(video=0):
            chain[0].push(frame)
        chain[0].push(None)
        while True:
            try:
                made.append(chain[-1].pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return made
