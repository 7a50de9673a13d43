"""How do scenes become one film? Their packets in a row, nothing encoded again, with chapters and captions inside."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

MILLISECOND = Fraction(1, 1000)
# What a player needs to draw plain captions; libav makes an mp4's own description of their style from it.
STYLE = """[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline,\
 StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Sans,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Rendered:
    """A scene's video, its title, its length in frames and seconds, and its captions as (text, start, end)."""

    video: Path
    title: str
    frames: int
    seconds: float
    captions: tuple[tuple[str, float, float], ...]


def join(parts: list[Rendered], out: Path, title: str) -> None:
    """One film from its scenes: mp4, webm or gif by the name of `out`. Written beside, then renamed.

    An mp4 carries a chapter a scene and the captions as a subtitle track; a webm the chapters; a gif neither.
    """
    beside = out.with_name(out.name + ".part")
    try:
        if out.suffix == ".gif":
            _join_gif(parts, beside)
        else:
            _join_video(parts, beside, out.suffix[1:], title)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def _join_video(parts: list[Rendered], path: Path, form: str, title: str) -> None:
    options = {"movflags": "+faststart"} if form == "mp4" else {}
    with av.open(str(path), "w", format=form, options=options) as target:
        target.metadata["title"] = title
        with av.open(str(parts[0].video)) as first:
            video = target.add_stream_from_template(first.streams.video[0])
            base = video.time_base = first.streams.video[0].time_base
            header = bytes(first.streams.video[0].codec_context.extradata or b"")
        captions = None
        if form == "mp4":
            captions = target.add_stream("mov_text")
            captions.codec_context.subtitle_header = STYLE.encode()
            captions.metadata["language"] = "eng"
        target.set_chapters(list(_chapters(parts)))
        began = Fraction(0)
        for part in parts:
            with av.open(str(part.video)) as source:
                stream = source.streams.video[0]
                if bytes(stream.codec_context.extradata or b"") != header:
                    raise ValueError(f"{part.video} was encoded with other settings than {parts[0].video}")
                length = Fraction(part.frames) / stream.average_rate
                if captions:  # ahead of their pictures, so that they lie beside them in the file
                    for packet in _caption_packets(part, began, captions):
                        target.mux(packet)
                offset = round(began / base)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        packet.stream = video
                        target.mux(packet)
            began += length


def _chapters(parts: list[Rendered]) -> Iterator[dict[str, Any]]:
    began = 0
    for at, part in enumerate(parts, 1):
        end = began + round(1000 * part.seconds)
        yield {"id": at, "start": began, "end": end, "time_base": MILLISECOND, "metadata": {"title": part.title}}
        began = end


def _caption_packets(part: Rendered, began: Fraction, stream: Any) -> Iterator[av.Packet]:
    """3GPP timed text: two bytes of length, then UTF-8."""
    for text, start, end in part.captions:
        words = text.encode()
        packet = av.Packet(len(words).to_bytes(2, "big") + words)
        packet.pts = packet.dts = round(1000 * (float(began) + start))
        packet.duration = round(1000 * (end - start))
        packet.time_base, packet.stream = MILLISECOND, stream
        yield packet


def _join_gif(parts: list[Rendered], path: Path, width: int = 800) -> None:
    """About ten frames a second; one palette for the film; frame by frame, so that length costs no memory."""
    with av.open(str(parts[0].video)) as source:
        rate = Fraction(source.streams.video[0].average_rate or 10)
    every = max(1, round(rate / 10))
    palette = _palette(parts, every)
    colours = np.zeros((256, 4), np.uint8)
    taken = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)
    colours[:, 0], colours[: len(taken), 1:] = 255, taken  # opacity, then red, green, blue
    stream = None
    with av.open(str(path), "w", format="gif") as target:
        for at, image in enumerate(_sampled(parts, every)):
            image.thumbnail((width, width))
            if stream is None:
                stream = target.add_stream("gif", rate=rate / every)
                stream.width, stream.height, stream.pix_fmt = *image.size, "pal8"
            cells = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE))
            frame = av.VideoFrame.from_ndarray((cells, colours), format="pal8")
            frame.pts, frame.time_base = at, every / rate
            target.mux(stream.encode(frame))
        if stream:
            target.mux(stream.encode(None))


def _palette(parts: list[Rendered], every: int) -> Image.Image:
    """The film's 255 commonest colours, by small copies of frames some two seconds apart."""
    small = [image.resize((160, 90), Image.Resampling.NEAREST) for image in _sampled(parts, 20 * every)]
    mosaic = Image.new("RGB", (160, 90 * len(small)))
    for at, image in enumerate(small):
        mosaic.paste(image, (0, 90 * at))
    return mosaic.quantize(255, dither=Image.Dither.NONE)


def _sampled(parts: list[Rendered], every: int) -> Iterator[Image.Image]:
    """Each `every`-th picture of the film."""
    at = 0
    for part in parts:
        with av.open(str(part.video)) as source:
            for frame in source.decode(video=0):
                if at % every == 0:
                    yield frame.to_image()
                at += 1


def _last_frame(part: Rendered) -> Image.Image:
    with av.open(str(part.video)) as source:
        newest = deque(source.decode(video=0), maxlen=1)
    return newest.pop().to_image()


def thumbnail(part: Rendered, path: Path) -> None:
    """The last frame of a scene as a PNG: what the film looks like in a list of films."""
    beside = path.with_name(path.name + ".part")
    _last_frame(part).save(beside, "PNG")
    beside.replace(path)


def write_srt(parts: list[Rendered], path: Path) -> None:
    """The captions as SubRip text, for players and translators."""
    blocks: list[str] = []
    began = 0.0
    for part in parts:
        for text, start, end in part.captions:
            times = " --> ".join(_clock(began + at) for at in (start, end))
            blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
        began += part.seconds
    beside = path.with_name(path.name + ".part")
    beside.write_text("\n".join(blocks), encoding="utf-8")
    beside.replace(path)


def _clock(seconds: float) -> str:
    whole = round(1000 * seconds)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"
