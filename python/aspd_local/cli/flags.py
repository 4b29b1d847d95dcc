"""The options that several commands share: each is declared once, as a field of a dataclass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from aspd_local.cli.notes import note
from aspd_local.cli.shell import complete_model
from aspd_local.options import Options
from aspd_local.sources import DEFAULT_MODEL

if TYPE_CHECKING:
    from aspd_local.typing import AnswerOptions, EngineSettings

_MODEL = "Model"
_HOW = "Parallel decoding"
_SAMPLING = "Sampling"


class Plan(str, Enum):
    """Who opens a plan."""

    AUTO = "auto"
    ALWAYS = "always"


class DraftCheck(str, Enum):
    """What of a list's items stands that were written beside the first."""

    NONE = "none"
    LEAD = "lead"
    CUT = "cut"
    EXACT = "exact"


class Repack(str, Enum):
    """Whether weights are laid out anew for the processor."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Profile(str, Enum):
    """Whether steps are scheduled by their measured cost."""

    AUTO = "auto"
    OFF = "off"


LEAST_N_CTX = 64  # cells: a chat template and a few words
# Tokens of an answer, as the server's page has it: a model that does not end its answers ends nonetheless.
DEFAULT_MAX_TOKENS = 512


def check_n_ctx(n_ctx: int) -> int:
    """A size of the context that can hold an answer. Raises BadParameter for another."""
    if 0 < n_ctx < LEAST_N_CTX:
        raise typer.BadParameter(
            f"{n_ctx} cells hold no answer; at least {LEAST_N_CTX}, or 0 as the model was trained"
        )
    return n_ctx


def _check_max_tokens(most: int) -> int:
    if most == 0:
        raise typer.BadParameter("0 tokens are no answer; -1: until the context is full")
    return most


def read_grammar(file: str) -> str:
    """The text of a grammar. Where it cannot be read, a line on stderr and the exit code of bad usage."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else f"not UTF-8 text: {error}"
        note(f"aspd: --grammar {file}: {told}")
        raise typer.Exit(2) from error


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:  # noqa: A002
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    """Which model, and how it is loaded."""

    model: Annotated[
        str,
        _option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="A GGUF file, hf:owner/repo:Q4_K_M, or a name of `aspd models list`.",
            panel=_MODEL,
            autocompletion=complete_model,
        ),
    ] = DEFAULT_MODEL
    n_ctx: Annotated[
        int,
        _option(
            "--n-ctx",
            metavar="CELLS",
            help="Room for prompt and answer, all branches together.",
            panel=_MODEL,
            min=0,
            show_default="as trained, at most 8192",
            callback=check_n_ctx,
        ),
    ] = 0
    threads: Annotated[
        int, _option("--threads", help="Threads.", panel=_MODEL, min=0, show_default="physical cores")
    ] = 0
    gpu_layers: Annotated[
        int,
        _option("--gpu-layers", help="Layers on the GPU, if there is one.", panel=_MODEL, show_default="all"),
    ] = -1
    repack: Annotated[
        Repack,
        _option("--repack", help="Lay weights out anew for this CPU; auto: if that is faster.", panel=_MODEL),
    ] = Repack.AUTO
    profile: Annotated[
        Profile,
        _option(
            "--profile",
            help="auto: schedule by what steps cost here, measured once; off: fork every sound plan.",
            panel=_MODEL,
        ),
    ] = Profile.AUTO
    verbose: Annotated[
        bool, _option("--verbose", "-v", help="Show llama.cpp's log and the timings.", panel=_MODEL)
    ] = False

    def settings(self) -> EngineSettings:
        """As keyword arguments of Model."""
        return {
            "n_ctx": self.n_ctx,
            "n_threads": self.threads,
            "n_threads_batch": self.threads,
            "repack": self.repack.value,
            "profile": self.profile.value,
        }


@dataclass(frozen=True, kw_only=True)
class AnswerFlags:
    """How to answer."""

    serial: Annotated[bool, _option("--serial", help="Never fork.", panel=_HOW)] = False
    protocol: Annotated[
        str | None,
        _option(
            "--protocol",
            metavar="NAME|FILE",
            help="Force a protocol; a file of your own, too.",
            panel=_HOW,
            show_default="fits the model",
        ),
    ] = None
    plan: Annotated[
        Plan, _option("--plan", help="auto: the model decides whether it forks; always: it must.", panel=_HOW)
    ] = Plan.AUTO
    draft_check: Annotated[
        DraftCheck,
        _option(
            "--draft-check",
            help="What of a list's items stands: all; up to an implausible lead; up to implausible text; "
            "what a serial answer says.",
            panel=_HOW,
        ),
    ] = DraftCheck.NONE
    system: Annotated[
        str | None, _option("--system", metavar="TEXT", help="System message.", panel=_SAMPLING)
    ] = None
    max_tokens: Annotated[
        int,
        _option(
            "--max-tokens",
            help="Most tokens of the answer, branches included; -1: until the context is full.",
            panel=_SAMPLING,
            min=-1,
            callback=_check_max_tokens,
        ),
    ] = DEFAULT_MAX_TOKENS
    temperature: Annotated[
        float, _option("--temperature", help="0 takes the most likely token.", panel=_SAMPLING)
    ] = Options.temperature
    top_k: Annotated[int, _option("--top-k", help="0: off.", panel=_SAMPLING)] = Options.top_k
    top_p: Annotated[float, _option("--top-p", help="1: off.", panel=_SAMPLING)] = Options.top_p
    min_p: Annotated[float, _option("--min-p", help="0: off.", panel=_SAMPLING)] = Options.min_p
    repeat_penalty: Annotated[float, _option("--repeat-penalty", help="1: off.", panel=_SAMPLING)] = (
        Options.repeat_penalty
    )
    presence_penalty: Annotated[float, _option("--presence-penalty", help="-2 to 2.", panel=_SAMPLING)] = (
        Options.presence_penalty
    )
    frequency_penalty: Annotated[float, _option("--frequency-penalty", help="-2 to 2.", panel=_SAMPLING)] = (
        Options.frequency_penalty
    )
    dry_multiplier: Annotated[float, _option("--dry-multiplier", help="0: off.", panel=_SAMPLING)] = (
        Options.dry_multiplier
    )
    dry_base: Annotated[float, _option("--dry-base", help="1 or more.", panel=_SAMPLING)] = Options.dry_base
    dry_allowed_length: Annotated[
        int, _option("--dry-allowed-length", help="Tokens that DRY lets be repeated.", panel=_SAMPLING)
    ] = Options.dry_allowed_length
    dry_penalty_last_n: Annotated[
        int, _option("--dry-penalty-last-n", help="Tokens that DRY looks back on; -1: all.", panel=_SAMPLING)
    ] = Options.dry_penalty_last_n
    dry_sequence_breaker: Annotated[
        list[str] | None,
        _option(
            "--dry-sequence-breaker",
            metavar="TEXT",
            help="DRY sees no repetition over it; may be given again.",
            panel=_SAMPLING,
            show_default="newline, colon, quote, asterisk",
        ),
    ] = None
    xtc_probability: Annotated[float, _option("--xtc-probability", help="0: off.", panel=_SAMPLING)] = (
        Options.xtc_probability
    )
    xtc_threshold: Annotated[float, _option("--xtc-threshold", help="Above 0.5: off.", panel=_SAMPLING)] = (
        Options.xtc_threshold
    )
    loop_guard: Annotated[
        bool,
        _option(
            "--loop-guard/--no-loop-guard",
            help="End an answer whose last 1,024 tokens repeat the same few.",
            panel=_SAMPLING,
        ),
    ] = Options.loop_guard
    seed: Annotated[
        int | None,
        _option(
            "--seed", help="The same seed gives the same answer.", panel=_SAMPLING, show_default="random"
        ),
    ] = None
    stop: Annotated[
        list[str] | None,
        _option("--stop", metavar="TEXT", help="Ends the answer; may be given again.", panel=_SAMPLING),
    ] = None
    grammar: Annotated[
        str | None,  # the file's text: a pipe can be read but once
        _option(
            "--grammar",
            metavar="FILE",
            help="GBNF grammar; the answer is then serial.",
            panel=_SAMPLING,
            parser=read_grammar,
        ),
    ] = None

    def parallel(self) -> str:
        """As Options.parallel. Raises ValueError if the flags contradict each other."""
        if self.serial and (self.protocol is not None or self.plan is Plan.ALWAYS):
            raise ValueError("--serial goes with neither --protocol nor --plan always")
        return "off" if self.serial else self.protocol or Options.parallel

    def options(self) -> AnswerOptions:
        """As keyword arguments of Model.stream. Raises ValueError if the flags contradict each other."""
        return {
            "parallel": self.parallel(),
            "plan": "always" if self.plan is Plan.ALWAYS else "auto",
            "draft_check": self.draft_check.value,
            "max_tokens": None if self.max_tokens < 0 else self.max_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "dry_multiplier": self.dry_multiplier,
            "dry_base": self.dry_base,
            "dry_allowed_length": self.dry_allowed_length,
            "dry_penalty_last_n": self.dry_penalty_last_n,
            "dry_sequence_breakers": self.dry_sequence_breaker or Options.dry_sequence_breakers,
            "xtc_probability": self.xtc_probability,
            "xtc_threshold": self.xtc_threshold,
            "loop_guard": self.loop_guard,
            "seed": self.seed,
            "stop": self.stop or (),
            "grammar": self.grammar,
        }


@dataclass(frozen=True, kw_only=True)
class MeasuringFlags:
    """On what the commands measure that load models of their own."""

    threads: Annotated[
        int, typer.Option("--threads", help="Threads.", min=0, show_default="physical cores")
    ] = 0
    gpu_layers: Annotated[
        int, typer.Option("--gpu-layers", help="Layers on the GPU, if there is one.", show_default="all")
    ] = -1
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show llama.cpp's log.")] = False


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """The function as typer wants it: each parameter that is a dataclass becomes its fields."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint: Any = get_type_hints(function, include_extras=True)[name]
        if is_dataclass(hint):
            groups[name] = hint
            parameters += _parameters(hint)
        else:
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def spread_out(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        function(**given)

    spread_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread_out


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
