"""The film of four bits: real weights snap to sixteen levels, what that loses, and how training goes through it.

python -m animations.render qlora           the whole film
manim render animations/qlora.py Levels     one scene, with stock Manim
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from manim import DOWN, LEFT, ORIGIN, RIGHT, UP, FadeIn, FadeOut, Mobject, Rectangle, Text, UpdateFromAlphaFunc, VGroup

from animations.studio.beside import check_alike
from animations.studio.cards import EndCard, Figure, TitleCard, learned_and_kept
from animations.studio.film import shown_run
from animations.studio.fourbits import BLOCK, TOKENS, LayerScene, QloraScene
from animations.studio.twofold import PLACES, AskedTwice
from engine.errors import InputError
from engine.measure.quantize import KINDS, SCALE_BLOCK, Kind, levels, quantization_error, quantize, quantize_scales
from engine.measure.shares import newcombe
from engine.planning.sizes import GPUS, SHAPES, largest_that_fits, memory_table
from engine.run.run import Run
from visualize.mobjects.answers import AnswerTable, answers_at, questions
from visualize.mobjects.bars import Bars, Row
from visualize.mobjects.bits import Bits, bfloat16, bits_of
from visualize.mobjects.block import BlockPlot
from visualize.mobjects.curve import LossCurve
from visualize.mobjects.histogram import Histogram
from visualize.mobjects.matrix import MatrixImage, units
from visualize.mobjects.memory import METHODS, FittingTable, MemoryBars
from visualize.mobjects.text import label, signed, sit
from visualize.naming import percent
from visualize.theme import limit_of

TIMES = "\N{MULTIPLICATION SIGN}"
WHOLE = "as it was"  # a base that was not put into four bits, where its bits are not known


def check(run: Run) -> None:
    """Raises InputError for a run whose base was not kept in four bits, or of which nobody wrote down in which."""
    if run.method != "qlora":
        raise InputError(f"run {run.name} is {run.method}; the film qlora shows a QLoRA run")
    told = run.info.method.options
    if told.get("quant_type") not in KINDS or not isinstance(told.get("double_quant"), bool):
        raise InputError(
            f"run {run.name} does not say in which four bits its base was kept, and the film qlora draws those very "
            "bits; capture it again, or write quant_type and double_quant into method in its run.json"
        )
    if run.answers.empty:
        raise InputError(f"run {run.name} was asked no questions; the film qlora shows what the model answers")


def check_beside(runs: Mapping[str, Run]) -> None:
    """Raises InputError for a run that differs from the one in four bits in more than its bits."""
    check_alike(runs, ("qlora", "lora"), {"method"}, "of two trainings only one has its base in four bits")
    if (other := runs.get("lora")) and (other.method != "lora" or other.answers.empty):
        raise InputError(
            f"run {other.name} is {other.what}; beside its own the film qlora sets one of LoRA, with answers"
        )


def bits_of_base(run: Run) -> str:
    """In how many bits a run of LoRA kept its base's weights; "" if nobody wrote it down, as in somebody else's."""
    settings = run.info.raw.get("settings")
    kept = str(settings.get("dtype")) if isinstance(settings, dict) else ""
    return {"float32": "32 bits", "bfloat16-autocast": "32 bits", "bfloat16": "16 bits"}.get(kept, "")


class Asked(AskedTwice):
    """Two models learn and answer; one has four bits for a weight. Does one hear it?"""

    title = "Which one has four bits?"
    shows = "qlora"
    others = ("lora",)
    begins = (
        "In one of these, four bits keep each weight. Which?",
        "Two models learn the same. In one of them, four bits keep each weight of its base. Which one is it?",
    )

    def pair(self) -> tuple[Run, Run]:
        return shown_run("lora"), self.run

    def ask(self, last: pd.Series) -> None:
        self.say("A or B? Decide.", "Is it A, or B? Decide.")
        self.guess(0.5)
        same = last.answer_a == last.answer_b
        self.play(*(FadeIn(self.below(run, x), shift=0.2 * UP) for run, x in zip(self.pair(), PLACES, strict=True)))
        said = f"B has four bits, and says {'the same' if same else 'something else'}."
        self.say(said, f"{said} That was one question, the first of the test; what four bits cost in all comes later.")

    def below(self, run: Run, x: float) -> Text:
        text = "4 bits a weight" if run.method == "qlora" else "as it was trained"
        return sit(label(text, 40, self.colours.method(run.method)), x, -1.4, ORIGIN)


class Named(TitleCard):
    """The film's question, over what training changed."""

    title = "Four bits"
    shows = "qlora"
    question = "Can four bits be enough?"
    name = "the film of QLoRA"


class Weights(QloraScene):
    """Weights are not spread evenly: most are near zero."""

    title = "Where the weights lie"

    def construct(self) -> None:
        # A matrix, and its weights sorted by value
        weight, limit = self.shown_weight(), float(np.abs(self.weight).max())
        self.add(self.stamp())
        self.say(f"{self.weight.size:,} real weights of one matrix.")
        counts = Histogram(self.weight, limit, 7.4, 4.0, self.colours, self.colours.W)
        counts.move_to([2.9, weight.get_bottom()[1], 0], aligned_edge=DOWN)
        ends = VGroup(
            sit(label(text, 32, self.colours.muted), 2.9 + x * 3.7, counts.get_bottom()[1] - 0.4, ORIGIN)
            for text, x in ((signed(-limit), -0.9), ("0", 0), (signed(limit), 0.9))
        )
        self.play(FadeIn(counts, target_position=weight, scale=0.3), FadeIn(ends), run_time=1.2)

        # Most are small
        near = float((np.abs(self.weight) < limit / 4).mean())
        where = "near zero" if near > 0.5 else "not near zero"
        self.say(f"Most are {where}: {percent(near)} in the middle quarter.")
        middle = round(len(counts.counts) / 4)
        first = (len(counts.counts) - middle) // 2
        self.play(counts.bars[first : first + middle].animate.set_fill(self.colours.qlora), run_time=0.6)
        self.say("Usually 16 bits keep each. Can four be enough?")
        self.finish()


class Block(QloraScene):
    """64 weights share one scale: the largest magnitude among them."""

    title = "64 weights share one scale"

    def construct(self) -> None:
        # One block of the matrix
        weight, limit = self.shown_weight(), float(np.abs(self.weight).max())
        plot = self.plot(self.block, limit, self.colours.W)
        axis, mark = plot.axis(2), self.mark(weight)
        self.add(self.stamp())
        self.say(f"W is cut into {len(self.four.scales):,} blocks; this is one.")
        self.play(FadeIn(mark), FadeIn(plot, target_position=mark, scale=0.1), FadeIn(axis), run_time=1.0)

        # Its largest weight
        top = int(np.argmax(np.abs(self.block)))
        self.say(f"Its largest weight has magnitude {self.scale:.3f}.")
        self.play(VGroup(plot.dots[top], plot.stems[top]).animate.set_color(self.colours.qlora), run_time=0.5)

        # Divided by it
        self.say("Divided by it, all lie between \N{MINUS SIGN}1 and 1.")
        self.play(FadeOut(axis), plot.animate.show(self.block / self.scale, 1.0), run_time=1.5)
        self.play(FadeIn(plot.axis(0)), run_time=0.3)
        self.say("That number is kept: it is the block's scale.")
        self.finish()

    def mark(self, weight: MatrixImage) -> Rectangle:
        """A frame around the block's pixels, which go on from the left end of the next row where a row is shorter."""
        columns, side = self.weight.shape[1], units(self.cell)
        row, column = divmod(self.number * BLOCK, columns)
        corner = weight.image.get_corner(UP + LEFT) + side * (RIGHT * column + DOWN * row)
        mark = Rectangle(width=side * min(BLOCK, columns - column) + 0.06, height=side + 0.08, stroke_width=3)
        return mark.set_color(self.colours.qlora).move_to(corner + 0.03 * LEFT + 0.04 * UP, aligned_edge=UP + LEFT)


class Levels(QloraScene):
    """Sixteen levels are all that four bits can name: each weight takes the nearest."""

    title = "Sixteen levels for all"

    def construct(self) -> None:
        # The levels
        self.scaled = self.block / self.scale
        among = levels(self.kind)
        plot = self.plot(self.scaled, 1.0, self.colours.W).move_to([-2.0, 0.1, 0])
        self.add(self.stamp(), plot, plot.axis(0))
        lines, count = plot.lines(among, self.colours.qlora), len(np.unique(among))
        self.say(f"Four bits can name 16 things: {self.kind.upper()} has {count} levels.")
        self.play(FadeIn(lines), run_time=0.8)

        # Where they lie, and where the weights lie
        exact = quantize(self.weight, self.kind, BLOCK).scales  # of which no weight exceeds its own
        every = self.weight.reshape(-1) / exact.repeat(BLOCK)[: self.weight.size]
        counts = Histogram(every, 1.0, plot.frame.height, 3.6, self.colours, self.colours.W, 41, lying=True)
        counts.move_to([2.4, plot.get_center()[1], 0], aligned_edge=LEFT)
        title = sit(label("all of W, each block scaled", 32, self.colours.muted), 2.4, plot.get_top()[1] + 0.25)
        closer = np.diff(among)[len(among) // 2] < np.diff(among)[-1]
        self.say(f"They are {'closer' if closer else 'no closer'} together near zero, where most weights are.")
        self.play_in(counts, title)

        # Each weight takes the nearest
        self.say("Each weight takes the level nearest to it.")
        self.play(plot.animate.show(among[self.codes]), run_time=1.8)
        self.say("Kept is which level it is: four bits.")
        self.play(FadeOut(counts), FadeOut(title), run_time=0.3)
        self.play_in(self.examples(plot, among))
        self.finish()

    def examples(self, plot: BlockPlot, among: np.ndarray) -> VGroup:
        """Some weights: what they were, what is kept, and what is read back."""
        rows, back = VGroup(), self.four.values().reshape(-1)[self.number * BLOCK :]
        heads = (("weight", 3.6, RIGHT), ("kept", 4.4, ORIGIN), ("read back", 6.75, RIGHT))
        for text, x, edge in heads:
            rows.add(sit(label(text, 32, self.colours.muted), x, 1.9, edge))
        for line, index in enumerate(np.linspace(4, BLOCK - 5, 4).astype(int)):
            rows.add(plot.ring(index, self.colours.foreground))
            y = 1.15 - 0.75 * line
            rows.add(sit(label(signed(self.block[index], 4), 36, self.colours.W), 3.6, y, RIGHT))
            rows.add(sit(label(f"{self.codes[index]:04b}", 36, self.colours.foreground), 4.4, y, ORIGIN))
            rows.add(sit(label(signed(back[index], 4), 36, self.colours.qlora), 6.75, y, RIGHT))
        return rows


class Errors(QloraScene):
    """The matrix in four bits looks like the matrix; the difference is small, and everywhere."""

    title = "What is lost"

    def construct(self) -> None:
        # Before and after, on one scale
        back, kind = self.four.values(), self.kind.upper()
        places = (-4.75, 0.0, 4.75)
        first = self.at_place(self.matrix(self.weight, "W", self.colours.W), places[0], "W")
        second = self.at_place(self.matrix(back, "four bits", self.colours.qlora), places[1], f"W in {kind}")
        self.add(self.stamp(), *first)
        self.say("The matrix, and the same in four bits.")
        self.play(FadeIn(second[0], target_position=first[0]), FadeIn(second[1]), run_time=1.0)

        # Their difference
        error = self.weight - back
        third = self.at_place(self.matrix(error, "error", self.colours.muted), places[2], "difference, same scale")
        size = quantization_error(self.weight, self.kind, BLOCK, self.double).relative
        self.say(f"The difference: {percent(size, 1)} of W's norm.")
        self.play_in(*third)

        # Magnified
        limit = limit_of(error)
        self.say(
            f"Its colours {self.peak / limit:.0f} times as strong: "
            f"{percent((error != 0).mean())} of the weights changed."
        )
        own = self.named(third[0], f"difference, {TIMES} {self.peak / limit:.0f}", self.colours.muted)
        self.play(FadeOut(third[1]), FadeIn(own), run_time=0.4)

        def grow(one: MatrixImage, share: float) -> None:
            one.show(error, self.peak * (limit / self.peak) ** share)

        self.play(UpdateFromAlphaFunc(third[0], grow), run_time=1.4)
        self.attend(third[0])
        self.finish()

    def at_place(self, matrix: MatrixImage, x: float, name: str) -> tuple[MatrixImage, Text]:
        matrix.move_to([x, 0.1, 0]).settle()
        return matrix, self.named(matrix, name, self.colours.foreground)


class Storage(QloraScene):
    """Storage shrinks to a quarter: the very bits of a block, before and after."""

    title = "The bits themselves"

    def construct(self) -> None:
        # Sixteen bits a weight
        self.bars: list[Row] = []
        self.add(self.stamp())
        shown = self.stage([], [bits_of(bfloat16(self.block), 16)], ["64 weights, bfloat16"], "16 bits", 16)
        self.say(f"The block in 16 bits a weight: {BLOCK * 16:,} bits.")

        # Four, and a scale
        codes, scale = bits_of(self.codes, 4), np.array([self.scale], np.float32)
        self.say(f"Four bits each, and a scale: {BLOCK * 4 + 32} bits.")
        parts = [codes, bits_of(scale).T]
        shown = self.stage(shown, parts, ["64 weights, four bits", "their scale, float32"], "4 bits", 4 + 32 / BLOCK)

        # The scale quantised too
        bits = self.four.bits
        if self.double:
            kept, _ = quantize_scales(quantize(self.weight, self.kind, BLOCK).scales)
            self.say("Scales are quantised too: double quantisation.")
            parts = [codes, bits_of(kept[[self.number]], 8).T]
            names = ["64 weights, four bits", f"their scale, 8 bits; one float32 for {SCALE_BLOCK} scales"]
            shown = self.stage(shown, parts, names, "8-bit scales", bits)
        self.say(f"{bits:.2f} bits a weight in place of 16: {16 / bits:.1f} times smaller.")
        self.finish()

    def stage(
        self, old: list[Mobject], parts: list[np.ndarray], names: list[str], name: str, bits: float
    ) -> list[Mobject]:
        """Show these bits in the place of others, and one bar more of bits a weight."""
        new, top, tint = list[Mobject](), 2.6, self.colours.qlora if self.bars else self.colours.W
        for table, text in zip(parts, names, strict=True):
            image = Bits(table, 16, tint, self.colours.grid, self.colours.background)
            image.move_to([-6.76, top, 0], aligned_edge=UP + LEFT)
            words = sit(label(text, 32, self.colours.foreground), image.get_right()[0] + 0.3, image.get_center()[1])
            new += [image, words]
            top = image.get_bottom()[1] - 0.35
        self.bars.append(Row(name, bits, f"{bits:.4g}", tint))
        new.append(Bars("bits a weight", list(self.bars), 16, 8.0, self.colours).at(-6.76, 0.2))
        if old:
            self.play(*(FadeOut(one, shift=0.2 * UP) for one in old), run_time=0.3)
            self.play_in(*new)
        else:
            self.add(*new)
        self.attend(new[0])
        return new


class Training(LayerScene):
    """The gradient goes through the frozen 4-bit W, and moves only A and B."""

    title = "Training through a frozen base"

    def construct(self) -> None:
        # The layer, as it was at the end of training
        self.layer(self.last)
        self.stamped = self.stamp(self.last)
        loss = self.run.losses
        self.curve = LossCurve(loss.index.to_numpy(), loss.to_numpy(), 3.9, 1.9, self.colours)
        for part in (self.curve.line, self.curve.dot):
            part.set_color(self.colours.qlora)
        self.curve.move_to(LEFT * 4.4 + UP * 1.5).upto(self.last)
        self.asked = questions(self.run.answers, self.run.task, 2, 0)
        self.table = self.answers(self.last)
        self.add(self.stamped, self.curve, self.table, *self.names)
        self.say(f"W in {self.found.bits} bits, {'frozen' if self.found.frozen else 'trained'}; A and B learn.")

        # A gradient arrives, and goes through
        arriving = self.side(self.found.arriving[:, :TOKENS], "arriving").next_to(self.w, RIGHT, 0.15).settle()
        passed = self.side(self.found.passed[:, :TOKENS].T, "passed").next_to(self.w, DOWN, 0.15).settle()
        self.say("The loss's gradient arrives, a column a token.")
        self.play(FadeIn(arriving, shift=LEFT * 0.6), FadeIn(self.words(0.3, "gradient", "arriving")), run_time=1.0)
        self.say("It passes through W, to the layers below.")
        words = self.words(passed.get_center()[1], "passed on")
        self.play(FadeIn(passed, shift=DOWN * 0.6), FadeIn(words), run_time=1.0)

        # It is kept for A and B only
        self.say(f"W keeps {'none of it' if self.found.frozen else 'it'}: A and B take theirs.")
        of_b = self.side(self.found.B, "gradient B").next_to(self.b, LEFT, 0.15).settle()
        of_a = self.side(self.found.A, "gradient A").next_to(self.a, UP, 0.15).settle()
        words = self.words(self.a.get_center()[1] + 0.42, "its gradient")
        self.play(FadeIn(of_b), FadeIn(of_a), FadeIn(words), run_time=0.8)
        self.hold(1.0)

        # All steps
        self.say(f"Step by step A and B move; {'W stays' if self.found.frozen else 'W does too'}.")
        self.play(*(FadeOut(one, run_time=0.3) for one in (arriving, passed, of_a, of_b, *self.said)))
        for step in self.replay(seconds=6):
            self.show_step(step)
        self.finish()

    def answers(self, step: int) -> AnswerTable:
        return AnswerTable(answers_at(self.run.answers, step, self.asked), 5.2, self.colours).at(-6.76, -0.55)

    def show_step(self, step: int) -> None:
        self.show_factors(step)
        self.curve.upto(step)
        self.stamped = self.swap(self.stamped, self.stamp(step))
        self.table = self.swap(self.table, self.answers(step))


class Cost(QloraScene):
    """How much that matters is measured: the error of each 4-bit type, and the old skills of the base itself."""

    title = "Does it matter?"
    others = ("lora",)

    def construct(self) -> None:
        # The error over all adapted matrices, by type
        lost = {kind: self.lost(kind) for kind in KINDS}
        best = min(lost, key=lambda kind: lost[kind])
        stamped = self.stamp(0)
        tints = {kind: self.colours.qlora if kind == self.kind else self.colours.muted for kind in KINDS}
        rows = [Row(kind.upper(), 100 * share, percent(share, 1), tints[kind]) for kind, share in lost.items()]
        title = "norm of the error, of the weights' norm"
        bars = Bars(title, rows, max(row.value for row in rows), 7.0, self.colours, 1.6).at(-6.4, 2.3)
        self.add(stamped, bars)
        self.say(f"Over all {len(self.run.modules)} matrices, {best.upper()} loses least.")
        self.attend(bars)

        # What the base can still do, before any training
        other = shown_run(self.others[0])
        both = [skill for skill in self.run.skills if skill in other.skills and skill != self.run.task]
        exact, four = (100 * float(run.skills.iloc[0][both].mean()) for run in (other, self.run))
        whole = bits_of_base(other)
        self.say(f"The base's skills: {exact:.1f} % right {f'in {whole}' if whole else WHOLE}, {four:.1f} % in four.")
        self.pair("skills before training", exact, four, (whole or WHOLE, "4 bits"), -6.4)

        # What it learned
        if (other.task, other.steps[-1]) == (self.run.task, self.last) and self.run.task in self.run.skills:
            lora, own = (100 * float(run.skills[self.run.task].iloc[-1]) for run in (other, self.run))
            self.say(self.compared(lora, own, other))
            self.swap(stamped, self.stamp(self.last))
            self.pair("the task, after training", lora, own, ("LoRA", "QLoRA"), 0.6)
        self.finish()

    def compared(self, lora: float, own: float, other: Run) -> str:
        """Two scores on so many questions: with the interval of their difference, and whether it leaves nought out."""
        if self.run.task not in self.run.graded or self.run.task not in other.graded:
            return f"Right on the task after {self.last} steps: LoRA {lora:.0f} %, QLoRA {own:.0f} %."
        asked, of_lora = (int(run.graded[run.task].iloc[-1]) for run in (self.run, other))
        low, high = newcombe(own / 100 * asked, asked, lora / 100 * of_lora, of_lora)
        verdict = "a difference" if low > 0 or high < 0 else "no clear difference"
        return f"On {asked} questions QLoRA minus LoRA: {100 * low:+.0f} to {100 * high:+.0f} points, {verdict}."

    def pair(self, title: str, whole: float, four: float, names: tuple[str, str], left: float) -> None:
        rows = [Row(names[0], whole, f"{whole:.1f} %", self.colours.W)]
        rows.append(Row(names[1], four, f"{four:.1f} %", self.colours.qlora))
        self.play_in(Bars(title, rows, 100, 3.0, self.colours, 1.6).at(left, -0.5))

    def lost(self, kind: Kind) -> float:
        """The norm of what all adapted matrices lose, beside theirs."""
        weights = [self.run.weight(module) for module in self.run.modules]
        sizes = np.array([np.linalg.norm(weight) for weight in weights])
        shares = [quantization_error(weight, kind, BLOCK, self.double).relative for weight in weights]
        return float(np.linalg.norm(sizes * shares) / np.linalg.norm(sizes))


class Memory(QloraScene):
    """What training takes, from 1B to 70B, beside what GPUs have."""

    title = "What fits?"

    def construct(self) -> None:
        # From the smallest to the largest: the same lines, ever shorter beside the bars
        self.table, sizes = memory_table(), list(SHAPES)
        shown = MemoryBars(self.table, sizes[0], -6.76, 2.4, 7.4, self.colours)
        self.add(self.corner(f"computed: {self.table.columns.name}"), shown)
        self.say("Memory of one training step, computed from shapes.")
        shown = self.grow(shown, sizes[1:])
        full, four = (self.table.loc[(sizes[-1], method), "total"] for method in ("full", "qlora"))
        self.say(f"At {sizes[-1]}: {full:,.0f} GiB in full, {four:,.0f} with QLoRA.")

        # What fits
        self.say("The largest of these that fits, by GPU and method.")
        self.play(FadeOut(shown, run_time=0.3))
        fitting = FittingTable(self.table, -6.4, 2.1, self.colours)
        self.play_in(fitting)
        self.attend(fitting)
        name, gib = "RTX 4090", GPUS["RTX 4090"]
        fits = {method: largest_that_fits(self.table, method, gib) or "none" for method in METHODS}
        self.say(f"On one {name}: {', '.join(f'{METHODS[method]} {size}' for method, size in fits.items())}.")
        self.finish()

    def grow(self, shown: MemoryBars, sizes: list[str]) -> MemoryBars:
        for size, each in self.in_turn(sizes, 0.8):
            new = MemoryBars(self.table, size, -6.76, 2.4, 7.4, self.colours)
            old, coming = shown.written(new), new.written(shown)
            self.remove(shown)
            self.play(*shown.growing_into(new), *map(FadeOut, old), *map(FadeIn, coming), run_time=0.8)
            self.remove(shown.bars.bars, *shown.lines.values(), *coming)
            self.add(new)
            self.hold(each)
            shown = new
        self.attend(shown)
        return shown


class End(EndCard):
    """What the film showed, in numbers."""

    shows = "qlora"
    asks = "what does it learn from?"
    follows = "data"

    def figures(self) -> list[Figure]:
        method = self.run.info.method.options
        weight = self.run.weight(self.module)
        kind, double = method["quant_type"], method["double_quant"]
        bits, lost = (
            quantize(weight, kind, BLOCK, double).bits,
            quantization_error(weight, kind, BLOCK, double).relative,
        )
        return [
            Figure(f"{bits:.2f} bits", "a weight, in place of 16"),
            Figure(percent(lost, 1), "of the matrix's norm is lost"),
            *learned_and_kept(self.run)[:1],
        ]


# The film's order; Manim itself would go by the alphabet.
SCENES = (Asked, Named, Weights, Block, Levels, Errors, Storage, Training, Cost, Memory, End)
