"""Scrapes the metrics of a running system."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.http import http_client
from tests.kit.waiting import until


class Series(NamedTuple):
    """One series of one process."""

    process: str
    name: str
    labels: frozenset[tuple[str, str]]


class Scrape:
    """The values of all series of a system at one moment, and the scraped texts by process."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    @cached_property
    def values(self) -> dict[Series, float]:
        """The value of each series."""
        return {
            Series(process, sample.name, frozenset(sample.labels.items())): sample.value
            for process, text in self.texts.items()
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def only(self, name: str) -> "Scrape":
        """Return a scrape reduced to this metric, which parses faster."""
        return Scrape(
            {
                process: "".join(line for line in text.splitlines(keepends=True) if name in line)
                for process, text in self.texts.items()
            }
        )

    def find(self, name: str, **labels: str) -> Iterator[tuple[Series, float]]:
        """Yield the series of this name that have these labels."""
        for series, value in self.values.items():
            if series.name == name and labels.items() <= series.labels:
                yield series, value

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of these series; 0 if there are none."""
        return sum(value for _, value in self.find(name, **labels))

    def label_values(self, name: str, label: str) -> set[str]:
        return {dict(series.labels)[label] for series, _ in self.find(name)}


class Scraper:
    """Scrapes the metrics of each process at the start of the block, on demand, and at its end.

    Attributes:
        first, latest: what was scraped.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._client = http_client(timeout=10)
        self.first = self.latest = Scrape({})

    async def __aenter__(self) -> Self:
        self.first = await self.scrape()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scrape()
        await self._client.aclose()

    async def scrape(self) -> Scrape:
        answers = await asyncio.gather(*map(self._client.get, self._urls.values()))
        texts = {name: answer.raise_for_status().text for name, answer in zip(self._urls, answers, strict=True)}
        self.latest = Scrape(texts)
        return self.latest

    def compute_growth(self, name: str, **labels: str) -> float:
        """Return by how much these series grew during the block."""
        return self.latest.total(name, **labels) - self.first.total(name, **labels)

    async def wait_for_total(self, name: str, total: float, *, within_s: float = 30, **labels: str) -> None:
        """Scrape until the sum of these series is ``total``; raise TimeoutError otherwise."""

        async def is_total() -> bool:
            return (await self.scrape()).only(name).total(name, **labels) == total

        await until(is_total, within_s)
