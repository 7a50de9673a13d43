"""How do scenes become one film? Packet by packet, nothing encoded twice, with chapters and captions inside.

Beside the film lie its captions as SubRip text, for players that want them so and for translators, and a thumbnail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet

from engine.files import whole, write_text

MILLISECOND = Fraction(1, 1000)
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
    """A scene's video, its title, its frames at `rate` a second, and its captions as (text, start, end) in seconds."""

    video: Path
    title: str
    frames: int
    rate: int
    captions: list[tuple[str, float, float]]

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def join(parts: list[Rendered], out: Path, title: str) -> None:
    """One video from many, written beside and renamed: the whole film at `out`, or what was there before.

    Raises ValueError for scenes that were not encoded alike.
    """
    # Its index stands at the front of an mp4, so that a browser plays it before it has all of it.
    options = {"movflags": "faststart"} if out.suffix == ".mp4" else {}
    with whole(out) as part, av.open(str(part), "w", format=out.suffix[1:], options=options) as target:
        _write(parts, target, title)


def _write(parts: list[Rendered], target: Any, title: str) -> None:
    target.metadata["title"] = title
    with av.open(str(parts[0].video)) as first:
        stream = target.add_stream_from_template(first.streams.video[0])
        likeness = first.streams.video[0].codec_context.extradata
    tick = Fraction(1, parts[0].rate)
    target.set_chapters(_chapters(parts))
    texts = _subtitles(parts, target) if target.format.name.startswith("mp4") else []
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
                packet.pts = packet.dts = shown
                packet.time_base, packet.stream, packet.duration = (
                    tick,
                    stream,
                    1,
                )  # the next one says how long it lasts
                target.mux(packet)
        began += part.frames
    target.mux(texts)


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


def timed(parts: list[Rendered]) -> Iterator[tuple[str, float, float]]:
    """Every caption, with its start and end in the film's seconds."""
    began = 0.0
    for part in parts:
        for text, start, end in part.captions:
            yield text, began + start, began + end
        began += part.seconds


def _subtitles(parts: list[Rendered], target: Any) -> list[Any]:
    """The captions as packets of a text track, which a player can switch on."""
    stream = target.add_stream("mov_text")
    stream.codec_context.subtitle_header = _ASS_HEADER
    stream.codec_context.time_base = MILLISECOND
    packets = []
    for text, start, end in timed(parts):
        line = text.replace("\\", "").replace("{", "(").replace("}", ")")
        first, last = round(1000 * start), round(1000 * end)
        caption = SubtitleSet.create(f"0,0,Default,,0,0,0,,{line}".encode(), 0, last - first, first)
        packet = stream.codec_context.encode_subtitle(caption)
        packet.pts = packet.dts = first
        packet.duration, packet.time_base, packet.stream = last - first, MILLISECOND, stream
        packets.append(packet)
    return packets


def write_srt(parts: list[Rendered], path: Path) -> None:
    blocks = [
        f"{number}\n{_clock(start)} --> {_clock(end)}\n{' '.join(text.split())}\n"
        for number, (text, start, end) in enumerate(timed(parts), 1)
    ]
    write_text(path, "\n".join(blocks))


def _clock(seconds: float) -> str:
    whole = round(1000 * seconds)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"


def write_thumbnail(film: Path, parts: list[Rendered], path: Path) -> None:
    """The end of the scene in the middle of the film, as a PNG."""
    frame_at(film, sum(part.seconds for part in parts[: len(parts) // 2 + 1]) - 1.0).save(path)


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
