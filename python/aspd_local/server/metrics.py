"""What /metrics tells, in Prometheus' text form."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aspd_local.results import Answer
from aspd_local.server.pool import Pool

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Metrics:
    """Counts of one server."""

    def __init__(self, pool: Pool) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Gauges(pool))
        self.requests = Counter(
            "aspd_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._answers = Counter(
            "aspd_answers", "Finished answers.", ["reason", "forked"], registry=self._registry
        )
        self._tokens = Counter("aspd_tokens", "Tokens by kind.", ["kind"], registry=self._registry)
        self._steps = Counter("aspd_decode_steps", "Decode steps, by answer.", registry=self._registry)
        self._branches = Counter("aspd_branches", "Branches decoded.", registry=self._registry)
        self._first = Histogram(
            "aspd_first_token_seconds", "To the first token.", buckets=_SECONDS, registry=self._registry
        )
        self._total = Histogram(
            "aspd_answer_seconds", "Of whole answers.", buckets=_SECONDS, registry=self._registry
        )

    def count(self, answer: Answer) -> None:
        """Books a finished answer."""
        t = answer.timings
        self._answers.labels(answer.finish_reason, "yes" if answer.blocks else "no").inc()
        self._tokens.labels("prompt").inc(t.prompt_tokens)
        self._tokens.labels("cached").inc(t.cached_tokens)
        self._tokens.labels("trunk").inc(t.trunk_tokens)
        self._tokens.labels("plan").inc(t.plan_tokens)
        self._tokens.labels("branch").inc(t.branch_tokens)
        self._steps.inc(t.steps)
        self._branches.inc(sum(len(block.branches) for block in answer.blocks))
        self._first.observe(t.first_token_s)
        self._total.observe(t.total_s)

    def text(self) -> bytes:
        """For a scraper."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """What is so at the moment of asking."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> list[Metric]:
        """Of each loaded model: answers under way, cells."""
        under_way = GaugeMetricFamily("aspd_answers_under_way", "Not over yet.", labels=["model"])
        used = GaugeMetricFamily("aspd_cells_in_use", "Of the KV cache.", labels=["model"])
        total = GaugeMetricFamily("aspd_cells", "Of the KV cache.", labels=["model"])
        for entry in self._pool.entries.values():
            if (engine := entry.engine) is not None:
                under_way.add_metric([entry.name], engine.n_under_way)
                used.add_metric([entry.name], engine.model.engine.cells_in_use)
                total.add_metric([entry.name], engine.model.n_ctx)
        return [under_way, used, total]
