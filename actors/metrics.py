"""What is counted, under the names ZeroUI's dashboards know. One registry per node, none global."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from persistence.records import LEDGER, Accounting

_PREFIX = "integration_adapters"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of this process, and the ledger of P9 as gauges when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.webhooks = self._counter("webhooks", "Webhook calls", "provider", "tenant", "status")
        self.normalised = self._counter(
            "events_normalised", "Deliveries normalised", "provider", "tenant"
        )
        self.forwarded = self._counter("signals_forwarded", "Signals PM-3 has", "tenant", "status")
        self.actions = self._counter(
            "actions_executed", "Actions ended", "provider", "tenant", "status"
        )
        self.requests = self._counter(
            "provider_requests", "Requests to providers", "provider", "tenant", "status"
        )
        self.rate_limited = self._counter(
            "rate_limited", "Answers 429 of providers", "provider", "tenant"
        )
        self.circuit_opens = self._counter(
            "circuit_opens", "Circuit breakers that opened", "provider", "tenant"
        )
        self.budget_exhausted = self._counter(
            "budget_exhausted",
            "Requests that a used-up budget held back",
            "provider",
            "tenant",
            "limit",
        )
        self.token_refreshes = self._counter(
            "token_refreshes", "Tokens asked for", "provider", "tenant", "result"
        )
        self.polls = self._counter("polls", "Pages polled", "provider", "tenant", "result")
        self.found = self._counter(
            "events_found", "New events that reading found", "provider", "tenant", "origin"
        )
        self.healed = self._counter(
            "events_healed", "Events that webhooks had failed to bring", "provider", "tenant", "by"
        )
        self.errors = self._counter("errors", "Errors by type", "error_type")
        self.crashes = self._counter("actor_crashes", "Actors that crashed", "kind")
        self.latency = Histogram(
            f"{_PREFIX}_latency_seconds",
            "Time of an operation",
            ("operation", "provider"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.deliveries = Gauge(
            f"{_PREFIX}_deliveries",
            "The ledger: deliveries by what became of them",
            ("provider", "tenant", "connection", "state"),
            registry=self.registry,
        )
        self.difference = Gauge(
            f"{_PREFIX}_accounting_difference",
            "Accepted deliveries the ledger can not explain; anything but 0 is a bug",
            registry=self.registry,
        )

    def exposition(self, ledger: Sequence[Accounting]) -> bytes:
        """All of it in Prometheus' text format; ``ledger`` is one snapshot of the store."""
        self.deliveries.clear()
        for entry in ledger:
            for state in LEDGER:
                self.deliveries.labels(
                    entry.provider_id, entry.tenant_id, str(entry.connection_id), state
                ).set(getattr(entry, state))
        self.difference.set(sum(abs(entry.difference) for entry in ledger))
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)
