"""From messages and options to a request: which protocol is used, and what the prompt's tokens are.

A chat is rendered with the model's template; answers that the history knows stand in it as they were decoded,
and a protocol's instructions before it. Computes nothing and submits nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aspd_local import _core, chat, protocol
from aspd_local.asked import asked_parts
from aspd_local.errors import ContextFullError
from aspd_local.history import SERIAL, History
from aspd_local.layout import JoinRule, Segment, Trunk, lay_out
from aspd_local.options import Options
from aspd_local.protocol import Prompt, ProtocolFile
from aspd_local.schedule import Schedule
from aspd_local.steps import Steps
from aspd_local.translate import join_rule_of, prefix, to_core
from aspd_local.typing import AnswerOptions

_WORDS = ("auto", "off")  # what Options.parallel may be besides a protocol
_NEVER_PAYS = "on this machine no number of branches is predicted to pay (aspd profile)"
Messages = str | Sequence[chat.Message | chat.MessageInParts]


@dataclass(frozen=True)
class Prepared:
    """A question as the engine takes it: rendered, tokenised, checked. Made by any thread, asked once.

    Attributes:
        request: the core's request. protocol: the protocol's name, or "serial".
        fallback: why parallel decoding is not possible; None if it is, or was not wanted.
        instructions: the protocol's, with which the prompt begins, where their cells may be kept.
        timeout: seconds after which chat() and its kin give up; None: never. submit() knows no such thing.
    """

    request: _core.Request
    protocol: str
    fallback: str | None
    instructions: _core.Layout | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class _Choice:
    """How an answer is decoded.

    file, bound: the protocol; None: serially.
    fallback: why serially, where parallel decoding was wanted.
    """

    file: ProtocolFile | None = None
    bound: _core.Protocol | None = None
    fallback: str | None = None


@dataclass(eq=False)
class Prompting:
    """Makes the requests of one model. For any number of threads.

    Attributes:
        model: with a vocabulary and, for chats, a template.
        steps: of its engine, which is asked what its memory can do.
        schedule: tells whether a plan may pay.
        history: answers that come back into prompts as they were decoded.
        own: the protocol that parallel="auto" uses.
        keeps_instructions: find out with which tokens all prompts of a protocol begin.
    """

    model: _core.Model
    steps: Steps
    schedule: Schedule
    history: History
    own: ProtocolFile
    keeps_instructions: bool

    def __post_init__(self) -> None:
        """Raises ModelError: the model's chat template does not parse. ProtocolError: see protocol.bind()."""
        known = [protocol.choose(self.model), self.own]
        self._markers = protocol.control_ids(known, self.model)  # that a serial answer must not write
        self._template = chat.compile_template(self.model) if self.model.chat_template else None
        self._prefixes: dict[Prompt, _core.Layout] = {}  # of all prompts under a protocol

    @property
    def has_template(self) -> bool:
        """Whether there can be chats."""
        return self._template is not None

    def render(
        self,
        messages: Messages,
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None,
    ) -> str:
        """As Model.render()."""
        template = self._chat_template(Options(tools=tools))
        parts = chat.render_prompt(template, chat.normalise(messages), add_generation_prompt)
        return "".join(part.text for part in parts)

    def chat_requests(self, messages: Messages, given: AnswerOptions) -> list[Prepared]:
        """A chat's next answer, n times. Raises: as Model.prepare()."""
        return [self._chat(messages, options) for options in Options.of(given).each()]

    def chat_request(self, messages: Messages, given: AnswerOptions) -> Prepared:
        """A chat's next answer, once. Raises: as Model.prepare()."""
        return self._chat(messages, _of_one_answer(given))

    def plain_requests(self, prompt: str, given: AnswerOptions) -> list[Prepared]:
        """A plain prompt's continuation, n times. Raises: as Model.prepare_prompt()."""
        return [self._plain(prompt, options) for options in Options.of(given).each()]

    def plain_request(self, prompt: str | Sequence[int], given: AnswerOptions) -> Prepared:
        """A plain prompt's continuation, once. Raises: as Model.prepare_prompt()."""
        return self._plain(prompt, _of_one_answer(given))

    def _chat(self, messages: Messages, options: Options) -> Prepared:
        template = self._chat_template(options)
        turns = chat.normalise(messages)
        if options.tools and options.parallel == "auto":
            options = replace(options, parallel="off")
        choice = self._choose(options, for_chat=True)
        if choice.bound is None:
            return self._request(self._segments(turns, template, SERIAL), options, choice)
        if choice.file is None or choice.file.prompt is None:
            segments = self._segments(turns, template, recalled_as(choice.bound))
            return self._request(segments, options, choice)
        return self._instructed(turns, template, options, choice)

    def _plain(self, prompt: str | Sequence[int], options: Options) -> Prepared:
        if options.tools:
            raise ValueError("tools need a chat")
        choice = self._choose(options, for_chat=False)
        return self._request([Trunk(self._prompt_ids(prompt))], options, choice)

    # --- the protocol --------------------------------------------------------------------------------

    def _choose(self, options: Options, *, for_chat: bool) -> _Choice:
        named = None if options.parallel in _WORDS else self._named(options.parallel)
        if options.parallel == "off":
            return _Choice()
        engine = self.steps.engine
        if not engine.can_join:
            return _Choice(fallback=engine.cannot_join_reason)
        if named is None:
            return self._choose_own(options, for_chat=for_chat)
        if named.markers == protocol.PLAIN and options.plan == "always":
            raise ValueError(f"the protocol {named.name!r} has no plan that could be asked for")
        if named.prompt and not for_chat:
            raise ValueError(
                f"the protocol {named.name!r} needs a chat; a plain prompt has no place for its instructions"
            )
        return self._bound(named, options)

    def _choose_own(self, options: Options, *, for_chat: bool) -> _Choice:
        """Where no protocol is named."""
        never_pays = None if self.schedule.may_pay() else _NEVER_PAYS
        if self.own.markers == protocol.PLAIN and (options.plan == "always" or options.join_rule is not None):
            # Who asks for a plan, or for a way to join its branches, asks for a protocol that has plans.
            return (
                self._bound(protocol.load("prompted"), options) if for_chat else _Choice(fallback=never_pays)
            )
        if never_pays and options.plan == "auto":
            return _Choice(fallback=never_pays)
        if self.own.prompt and not for_chat:
            return _Choice(fallback=f"the protocol {self.own.name!r} needs a chat")
        return self._bound(self.own, options)

    def _named(self, name: str) -> ProtocolFile:
        if name == self.own.name and name not in protocol.names():
            return self.own
        return protocol.find(name, option="parallel", words=_WORDS)

    def _bound(self, file: ProtocolFile, options: Options) -> _Choice:
        return _Choice(file, protocol.bind(file, self.model, join_rule=options.join_rule))

    def _ban_markers(self, request: _core.Request) -> None:
        """A serial answer of a model that knows markers must not write them."""
        if not self._markers:
            return
        sampling = request.sampling
        sampling.logit_bias = [*sampling.logit_bias, *((token, float("-inf")) for token in self._markers)]
        request.sampling = sampling

    # --- the prompt ----------------------------------------------------------------------------------

    def _chat_template(self, options: Options) -> chat.Template:
        if self._template is None:
            raise ValueError("the model has no chat template; use generate()")
        return chat.TemplateWithTools(self._template, options.tools) if options.tools else self._template

    def _segments(
        self, turns: Sequence[chat.Message], template: chat.Template, name: str
    ) -> Sequence[Segment]:
        """The turns' tokens. name: under which the answers among them are remembered."""
        recall = functools.partial(self.history.recall, name)
        return chat.prompt_segments(self.model, template, turns, recall, self._check_length)

    def _instructed(
        self,
        turns: Sequence[chat.Message],
        template: chat.Template,
        options: Options,
        choice: _Choice,
    ) -> Prepared:
        """A chat's next answer under a protocol that the model is told of."""
        file = choice.file
        assert file is not None, "it is told of its protocol"
        assert file.prompt is not None, "there are instructions"
        question = turns[-1]["content"] if turns[-1]["role"] == "user" else ""
        asked = asked_parts(question)
        told = file.listing if asked and file.listing is not None else file.prompt
        examples = [(example.user, example.assistant) for example in told.examples]

        def instructed(turns: Sequence[chat.Message]) -> Sequence[Segment]:
            said = chat.with_protocol(turns, told.system, examples, template)
            return self._segments(said, template, file.name)

        prepared = self._request(instructed(turns), options, choice)
        prepared.request.asked_parts = [_core.AskedPart(part.title, part.heading) for part in asked]
        if self.keeps_instructions:
            if told not in self._prefixes:
                one, other = (lay_out(instructed(chat.normalise(text)), "linear") for text in "ab")
                n_same = _core.common_prefix(to_core(one), to_core(other))
                self._prefixes[told] = to_core(prefix(one, n_same))
            shared = self._prefixes[told]
            if _core.common_prefix(prepared.request.prompt, shared) == len(shared):
                prepared = replace(prepared, instructions=shared)
        if options.plan == "auto":
            plain = lay_out(self._segments(turns, template, SERIAL), "linear")
            prepared.request.serial_prompt = to_core(plain)
            prepared.request.question = question
            prepared.request.plan_threshold = told.plan_threshold
        return prepared

    def _prompt_ids(self, prompt: str | Sequence[int]) -> list[int]:
        if not isinstance(prompt, str):
            return _checked_ids(prompt, self.model.n_vocab)
        self._check_length(prompt)
        bos = [self.model.bos] if self.model.add_bos and self.model.bos >= 0 else []
        eos = [self.model.eos] if self.model.add_eos and self.model.eos >= 0 else []
        return [*bos, *self.model.tokenize(prompt, False), *eos]

    def _check_length(self, text: str) -> None:
        """Before a text is tokenised, which takes long for one that cannot fit. Raises ContextFullError."""
        longest, n_cells = self.model.longest_piece, self.steps.engine.n_cells
        if longest and (least := len(text) // longest) > n_cells:  # a character is a byte or more
            raise ContextFullError(least, n_cells)

    def _request(self, segments: Sequence[Segment], options: Options, choice: _Choice) -> Prepared:
        bound = choice.bound
        rule: JoinRule = "linear" if bound is None else join_rule_of(bound)
        prompt = lay_out(segments, rule, reentry=True)
        request = options.to_request(to_core(prompt), bound)
        if bound is None:
            self._ban_markers(request)
        name = SERIAL if choice.file is None else choice.file.name
        return Prepared(request, name, choice.fallback, timeout=options.timeout)


def _of_one_answer(given: AnswerOptions) -> Options:
    """Options by their names, of one answer. Raises ValueError: as Options.of(), and for n above 1."""
    options = Options.of(given)
    if options.n > 1:
        raise ValueError(
            f"n must be 1 here, not {options.n}: only chat(), generate() and achat() give several"
        )
    return options


def recalled_as(bound: _core.Protocol) -> str:
    """Under which name answers are remembered. What is ordinary text is the same for serial ones."""
    return SERIAL if bound.lists is not None else bound.name


def _checked_ids(said: object, n_vocab: int) -> list[int]:
    """A prompt of token ids, [n_tokens]. Raises ValueError."""
    ids: list[int] = []
    for token in said if isinstance(said, Sequence) else [said]:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < n_vocab:
            raise ValueError(f"the prompt must be a string or token ids below {n_vocab}, not {token!r}")
        ids.append(token)
    return ids
