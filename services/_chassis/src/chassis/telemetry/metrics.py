"""The metrics of one process, and the HTTP server that exposes them to Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.metadata import version
from time import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from chassis.telemetry.logs import log
from contracts import metrics as declared
from contracts.metrics import Metric

ReadValues = Callable[[], Mapping[tuple[str, ...], float]]
"""Returns values by label values. It is called in another thread."""


class _CallbackMetric(Collector):
    """A metric whose values are kept elsewhere and read at each scrape."""

    def __init__(self, metric: Metric, read: ReadValues) -> None:
        self._metric, self._read = metric, read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        metric = self._metric
        family_type = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = family_type(metric.name, metric.help, labels=metric.labels)
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        yield family


class Metrics:
    """Creates the metrics of one process in a registry of its own, and records what all services measure.

    Args:
        service: value of the label ``service``.
        clock: Unix time.
    """

    def __init__(self, service: str, clock: Callable[[], float] = time) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # no second series for each counter and histogram
        self.service, self.registry, self._clock = service, CollectorRegistry(), clock
        # Cached, because finding a series by its labels takes longer than recording a value.
        self._http = cache(partial(self.histogram(declared.HTTP_REQUEST_SECONDS).labels, service))
        self._rpc = cache(partial(self.histogram(declared.RPC_SECONDS).labels, service))
        self._loop_success = cache(partial(self.gauge(declared.LOOP_LAST_SUCCESS).labels, service))
        self._loop_interval = self.gauge(declared.LOOP_INTERVAL)
        self._dependency = self.gauge(declared.DEPENDENCY_UP)
        self._build = self.gauge(declared.BUILD_INFO)

    def counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets)

    def record_http_request(self, route: str, method: str, code: int, seconds: float) -> None:
        self._http(route, method, code).observe(seconds)

    def record_rpc(self, topic: str, outcome: str, seconds: float) -> None:
        self._rpc(topic, outcome).observe(seconds)

    def record_loop_start(self, loop: str, every_s: float) -> None:
        self._loop_interval.labels(self.service, loop).set(every_s)
        self.record_loop_success(loop)

    def record_loop_success(self, loop: str) -> None:
        self._loop_success(loop).set(self._clock())

    def record_dependency(self, dependency: str, *, is_up: bool) -> None:
        self._dependency.labels(self.service, dependency).set(is_up)

    def record_build(self, *, schema: str) -> None:
        """Record which code runs: the version of the service's package, and the newest schema that it knows."""
        self._build.labels(self.service, version(f"comfyfleet-{self.service}"), schema).set(1)

    def watch_pools(self, count: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Export the number of connections to a database. ``count`` returns it by pool and state."""
        self.read_at_scrape(declared.DB_POOL, lambda: {(self.service, *key): number for key, number in count().items()})

    def watch_expired_requests(self, expired: Mapping[str, int]) -> None:
        """Export the number of requests that were dropped after their deadline, by topic."""
        self.read_at_scrape(declared.RPC_EXPIRED, lambda: {(topic,): number for topic, number in dict(expired).items()})

    def read_at_scrape(self, metric: Metric, read: ReadValues) -> None:
        """Export values that are kept elsewhere."""
        self.registry.register(_CallbackMetric(metric, read))

    def serve(self, host: str, port: int) -> int:
        """Serve the metrics in a background thread until the process ends; returns the port.

        A thread answers while the event loop is blocked.

        Args:
            port: port to listen on; 0 takes a free one.

        Raises:
            OSError: the port is in use.
        """
        server, _ = start_http_server(port, host, self.registry)
        log.info("metrics.serving", host=host, port=server.server_port)
        return server.server_port
