"""The English words by which one part of an answer gives away that it needs another. Patterns only."""

from __future__ import annotations

import re


def _any(*alternatives: str) -> re.Pattern[str]:
    """A pattern that finds whole words of any alternative, in either case."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.IGNORECASE)


_THING = (
    "(?:steps?|points?|items?|parts?|sections?|examples?|results?|values?|methods?|options?|answers?|questions?|"
    "paragraphs?|stages?|phases?|tips?|reasons?|ones?|two|three|four)"
)
_SINCE = "since(?! (?:ancient|then|its|the (?:early|mid|late)|[0-9]))"  # as because
_SAID = (
    "(?:mentioned|noted|described|stated|explained|discussed|shown|listed|seen|said|before|above|previously)"
)

# Anywhere in parts 2 ... n.
BACK = _any(
    rf"(?:as|like) {_SAID}",
    "(?:mentioned|described|listed|discussed|created|prepared|chosen|obtained|calculated|defined|found)"
    " (?:above|earlier|before|previously)",
    "(?:the )?above[- ](?:mentioned|step|point|example|method|result|code|formula|equation|list)",
    "aforementioned",
    "the (?:former|latter)",
    rf"(?:previous|preceding|prior|earlier|last|next|following|other|remaining) (?:\w+ )?{_THING}",
    "(?:this|that|these|those) (?:steps?|process(?:es)?|results?|values?|numbers?|amounts?|sums?|totals?|"
    "answers?|equations?|differences?|products?|figures?|balances?|scores?)",
    "(?:in|from|of|see|repeat|to|at|after|before|and|with) (?:step|point|item|part|section|stage|phase|"
    r"option|method|question|number|no\.) ?#?\d+",
    r"steps? \d+ ?(?:-|to|and|through) ?\d+",
    "from before",
    "again,? as",
    "unlike (?:the|that|this)",
    "(?:the )?same (?:as (?:above|before)|way as|procedure|steps?)",
    "what (?:you|we) (?:just|already)",
    "(?:repeat|reverse) (?:the|this|these)",
    "all (?:of )?(?:the |these )?above",
    "the opposite(?! (?:of|to|sex|sides?|directions?|ends?|effects?))",
    "(?:is|are|was|were) (?:also |yet )?another",
    "(?:something|anything|an?) (?:even|still) (?:more|less|better|worse)",
    r"if (?:you(?:'re| are)?|it|they|the \w+) still",
    "if (?:none of|nothing|all else|that fails|this fails|that does|this does)",
    "(?:once|after|when|now that) (?:you|we)(?:'ve| have|'re done| are done)",
    "(?:once|after|when|now that|because|since) (?:that|this|it|they|he|she|these|those|everything|all)"
    r"\b[^.]{0,30}\b(?:is|are|was|were|has|have|had|done|ready|finished|completed?)",
)

# At the start of parts 2 ... n, behind their marks.
CONTINUES = _any(
    "then|next|after|afterwards?|once|now|finally|last(?:ly)?|similarly|likewise|also|additionally",
    "furthermore|moreover|besides|however|therefore|thus|hence|consequently|as a result|in contrast",
    "on the other hand|conversely|instead|alternatively|otherwise|meanwhile|later|subsequently|by contrast",
    "in addition|another|other|again|so|and|but|or|for this reason|from (?:there|this|that|here)",
    "with (?:this|that|it|these|those)|at that|by then|continue|repeat|when (?:done|finished|ready)|both",
    "even so|still|yet|because of (?:this|that)|adding|subtracting|combining|given that",
    f"using (?:that|this|these|those)|{_SINCE}|others|[^,.:;]{{1,40}}, (?:yet )?another",
    r"(?:[\w'-]+ ){1,4}also",
    "nevertheless|nonetheless|ultimately|overall|in conclusion|in summary|in short|to sum up|all in all",
    "(?:most|more|equally) important(?:ly)?|above all|last but not least",
)
# Of these, what an enumeration of paragraphs may begin with.
ENUMERATES = _any("another|next|finally|last(?:ly)?|also|other")
# Of these, what counts behind a title as well.
CONTINUES_TITLE = _any(
    f"then|next|afterwards|after|once|now|therefore|thus|hence|finally|{_SINCE}",
    "similarly|likewise|also|additionally|in addition|furthermore|moreover|however|by contrast|in contrast",
    r"conversely|on the other hand|instead|alternatively|others?|another|again|(?:[\w'-]+ ){1,4}also",
)
PRONOUN = _any(
    "it|its|it's|they|their|them|he|him|his|she|her|hers|this|that|these|those|such|there|here",
    "one of (?:them|these)",
)

# Before the name of what a part is compared with.
COMPARED = re.compile(
    r"\b(?:like|unlike|as with|than|(?:similar|similarly|comparable|compared|identical)(?: \w+)? (?:to|with))"
    r" (?:the |an? )?(\w[\w'-]{2,})",
    re.IGNORECASE,
)

# Things that were spoken of before.
THESE = re.compile(r"\b(?:these|those|such)(?! as\b) (?:\w+ )?(\w{3,})s\b", re.IGNORECASE)

# --- procedures -----------------------------------------------------------------------------------

STEP = re.compile(
    r"[*_]*(?:step|phase|stage|week|day|month|round|level|chapter|act|scene)\s*#?\d+", re.IGNORECASE
)
# In the lines right before the parts.
ANNOUNCED = re.compile(
    r"\b(?:these|following|this|the|simple|basic|general|few|some|necessary|by|\d+)[- ](?:\w+ )?"
    r"(?:steps?|procedure|instructions|process|recipe|guide|timeline|sequence|chronolog\w+|order)\b|"
    r"\bstep[- ]by[- ]step\b|\bhere(?:'s| is) how\b|"
    r"\b(?:steps|instructions|directions|procedure|method|recipe|timeline|algorithm|derivation|proof|solution)\b"
    r"[^\n]{0,60}:\s*\**\s*$|\bfollow (?:these|the|this)\b|\bin (?:this|the following|chronological) order\b",
    re.IGNORECASE,
)
# In the question.
ASKED = _any(
    r"how (?:do|can|to|should|would|could|does) (?:\w+ ){0,3}?(?:make|build|cook|bake|install|create|set ?up|"
    "configure|write|solve|calculate|compute|prepare|brew|train|deploy|implement|compile|develop|plant|grow|draw|"
    "design|convert|connect|assemble|repair|fix|replace|run|program|code|host|start|launch|publish|find|factor)",
    "steps|step[- ]by[- ]step|instructions|recipe|procedure|tutorial|walk me through|timeline|itinerary",
)
# How the first part of a procedure begins, and the last.
OPENS = _any(
    "gather|prepare|choose|select|pick|decide|determine|identify|install|download|preheat|define|plan|set up",
    "start|begin|research|collect|understand|open|cut|create|mix|wash|boil|find|get|import|write|draw|measure|assess|learn",
)
CLOSES = _any(
    "test|evaluate|maintain|enjoy|serve|monitor|review|deploy|finish|repeat|launch|publish|iterate|submit|refine|run",
    "check|verify|continue|celebrate|clean|analy[sz]e|implement|optimi[sz]e|adjust|close|save|let|bake|practice",
)
THEN = _any("then|next|after (?:that|this)|once|finally")
