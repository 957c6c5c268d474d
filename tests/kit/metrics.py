"""Scrapes the metrics of a running system."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Series(NamedTuple):
    """One series of one process."""

    process: str
    name: str
    labels: frozenset[tuple[str, str]]


class Scrape:
    """The values of all series at one moment."""

    def __init__(self, values: Mapping[Series, float], texts: Mapping[str, str]) -> None:
        self.values, self.texts = values, texts

    def find(self, name: str, **labels: str) -> Iterator[tuple[Series, float]]:
        """Yield the series of this name that have these labels."""
        wanted = labels.items()
        for series, value in self.values.items():
            if series.name == name and wanted <= series.labels:
                yield series, value

    def total(self, name: str, **labels: str) -> float:
        """Add up these series; 0 without any."""
        return sum(value for _, value in self.find(name, **labels))

    def label_values(self, name: str, label: str) -> set[str]:
        return {dict(series.labels)[label] for series, _ in self.find(name)}


async def scrape(urls: Mapping[str, str]) -> Scrape:
    """Read the metrics of these processes: URL by name."""
    values: dict[Series, float] = {}
    texts = {}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for process, url in urls.items():
            texts[process] = (await client.get(url)).raise_for_status().text
            for family in text_string_to_metric_families(texts[process]):
                for sample in family.samples:
                    values[Series(process, sample.name, frozenset(sample.labels.items()))] = sample.value
    return Scrape(values, texts)
