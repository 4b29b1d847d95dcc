"""Reading server-sent events as an unmodified client does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aspd_local import End, Event, Fork, Join, Text, Unfork, fold


def chunks(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The chunks of a stream. Asserts that nothing but data lines, blank lines and one-line pings comes."""
    found = []
    done = 0
    for line in lines:
        assert line == "" or line.startswith("data: ") or line == ": ping", line
        if line == "data: [DONE]":
            done += 1
        elif line.startswith("data: "):
            assert not done, "something behind [DONE]"
            found.append(json.loads(line[6:]))
    assert done == 1
    return found


def content(found: Iterable[dict[str, Any]], index: int = 0) -> str:
    """The text that a loop over the deltas prints."""
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in found
        for choice in chunk["choices"]
        if choice["index"] == index
    )


def check_form(found: list[dict[str, Any]], n: int = 1) -> None:
    """One role chunk and one finish for each choice, in turn; one id; no list of choices but of one."""
    bare = [chunk for chunk in found if chunk["choices"]]
    assert len({chunk["id"] for chunk in found}) == 1
    assert all(len(chunk["choices"]) == 1 for chunk in bare)
    indices = [chunk["choices"][0]["index"] for chunk in bare]
    assert indices == sorted(indices)
    for index in range(n):
        own = [chunk["choices"][0] for chunk in bare if chunk["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert [c["delta"].get("role") for c in own[1:]] == [None] * (len(own) - 1)
        reasons = [choice["finish_reason"] for choice in own]
        assert reasons[:-1] == [None] * (len(own) - 1)
        assert reasons[-1] is not None


def live_events(found: Iterable[dict[str, Any]]) -> list[Event]:
    """The events of live chunks, whose numbers count."""
    events: list[Event] = []
    number = 0
    for chunk in found:
        said = chunk.get("aspd", {})
        if "events" not in said:
            continue
        number += 1
        assert said["number"] == number
        assert said["v"] == 1
        for event in said["events"]:
            assert event["t"] >= 0
            match event["type"]:
                case "text":
                    events.append(Text(event["branch"], event["offset"], event["text"]))
                case "fork":
                    events.append(Fork(event["block"], tuple(event["titles"]), event["offset"]))
                case "unfork":
                    events.append(Unfork(event["block"]))
                case "end":
                    events.append(End(event["branch"], event["reason"]))
                case "join":
                    events.append(Join(event["block"]))
                case other:
                    raise AssertionError(other)
    return events


def folded(found: Iterable[dict[str, Any]]) -> str:
    """The text that an aware client puts together from the events alone."""
    return fold(live_events(found))
