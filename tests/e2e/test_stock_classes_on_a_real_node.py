"""Every stock class that runs without a model gives the same outputs through the whole system as directly on its node.

Start ComfyUI with ``--disable-metadata``: its files then contain no workflow and can be compared byte by byte.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath

import httpx
import pytest
from PIL import Image

from contracts.graph_policy.registry import Trait, find_stock_class
from tests.e2e.conftest import REAL
from tests.kit.fleet import Fleet
from tests.kit.http import http_client
from tests.stock_classes.graphs import GraphBuilder, NoWorkflow, Workflow, is_api, with_names
from tests.stock_classes.outputs import Failed, Outputs, StoredOutput, build_stored_output, run_on_node

pytestmark = [pytest.mark.skipif(not REAL, reason="needs a real ComfyUI (COMFYUI_URL)"), pytest.mark.timeout(3000)]

AT_ONCE = 4
LEAST = 150  # workflows to compare
POLICY = {"node_class_not_allowed", "folder_not_allowed"}
# a model in the output folder becomes an option of later workflows
LASTING = {Trait.WRITES_MODELS, Trait.WRITES_DATASETS}


@dataclass(frozen=True)
class Person:
    """A user with a graph policy. ``uploads``: upload ids by the names of the same files on the node."""

    policy: str
    key: str
    uploads: Mapping[str, str]


@dataclass
class Tally:
    """The result of each workflow, by its name."""

    compared: list[str] = field(default_factory=list)
    open_policy: list[str] = field(default_factory=list)
    random: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)

    def print(self) -> None:
        print(f"{len(self.compared)} workflows compared, of {len(classes_of(self.compared))} classes")
        print(f"{len(self.open_policy)} of them under the policy open: {sorted(classes_of(self.open_policy))}")
        print(f"{len(self.random)} random: {self.random}")
        print(f"{len(self.silent)} keep nothing: {self.silent}")
        for what, named in (("skipped", self.skipped), ("refused on purpose", self.refused)):
            print(f"{len(named)} {what}:")
            for reason, count in Counter(named.values()).most_common():
                print(f"{count:6} {reason}: {[name for name, why in named.items() if why == reason][:3]}")
        for name, why in self.different.items():
            print(f"DIFFERENT {name}: {why}")


def classes_of(names: list[str]) -> set[str]:
    return {name.partition(",")[0] for name in names}


def picture() -> bytes:
    """Return an image with many colours and levels of transparency."""
    image = Image.new("RGBA", (64, 48))
    image.putdata([(4 * x, 5 * y, (x * y) % 256, 255 - 2 * x) for y in range(48) for x in range(64)])
    sink = BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture(scope="module")
def policies(fleet: Fleet) -> dict[str, str]:
    """A user's key for each graph policy."""
    return {
        policy: fleet.create_user(f"stock{secrets.token_hex(4)}", "enterprise", graph_policy=policy)
        for policy in ("strict", "open")
    }


async def test_stock_class_outputs_equal_those_of_a_direct_run(fleet: Fleet, policies: Mapping[str, str]) -> None:
    tally = Tally()
    async with http_client(base_url=(REAL or "").split(",")[0], timeout=60) as node:
        argv = (await node.get("/system_stats")).raise_for_status().json()["system"]["argv"]
        if "--disable-metadata" not in argv:
            pytest.skip("start ComfyUI with --disable-metadata")
        name = f"stock-{secrets.token_hex(4)}.png"
        (await node.post("/upload/image", files={"image": (name, picture(), "image/png")})).raise_for_status()
        people = [Person(policy, key, {name: await upload(fleet, key)}) for policy, key in policies.items()]
        object_info = (await node.get("/object_info")).raise_for_status().json()
        workflows = make(GraphBuilder(object_info, [name]), object_info, tally)
        expected = await run_twice(node, workflows, tally)
    slots = asyncio.Semaphore(AT_ONCE)

    async def compare(name: str) -> None:
        async with slots:
            outputs = await run_through_fleet(fleet, people, workflows[name], name, tally)
        if outputs is not None:
            tally.compared.append(name)
            if outputs != expected[name]:
                tally.different[name] = difference(expected[name], outputs)

    await asyncio.gather(*map(compare, expected))
    tally.print()
    assert not tally.different
    assert len(tally.compared) >= LEAST


async def upload(fleet: Fleet, key: str) -> str:
    """Upload the image; returns the id."""
    async with fleet.client(key) as client:
        sent = await client.post("/upload", files={"file": ("a.png", picture(), "image/png")})
        return str(sent.raise_for_status().json()["id"])


def make(maker: GraphBuilder, object_info: Mapping[str, Mapping[str, object]], tally: Tally) -> dict[str, Workflow]:
    workflows: dict[str, Workflow] = {}
    for class_type, described in object_info.items():
        if is_api(described):
            tally.skipped[class_type] = "calls somebody else's service"
            continue
        reviewed = find_stock_class(class_type, str(described["python_module"]))
        if reviewed is not None and not LASTING.isdisjoint(reviewed.traits):
            tally.skipped[class_type] = "leaves models or datasets on the node"
            continue
        try:
            for variant, workflow in maker.build_variants(class_type):
                workflows[f"{class_type}, {variant}"] = workflow
        except NoWorkflow as impossible:
            tally.skipped[class_type] = impossible.reason
    return workflows


async def run_twice(node: httpx.AsyncClient, workflows: Mapping[str, Workflow], tally: Tally) -> dict[str, Outputs]:
    """Return the node's own outputs of each workflow, except of those that differ between two runs."""
    first: dict[str, Outputs] = {}
    for name, workflow in workflows.items():
        try:
            first[name] = await run_on_node(node, workflow)
        except Failed as failed:
            tally.skipped[name] = failed.reason
    (await node.post("/free", json={"free_memory": True})).raise_for_status()
    expected = {}
    for name, outputs in first.items():
        if not outputs:
            tally.silent.append(name)
        elif await run_on_node(node, workflows[name]) != outputs:
            tally.random.append(name)
        else:
            expected[name] = outputs
    return expected


async def run_through_fleet(
    fleet: Fleet, people: Sequence[Person], workflow: Workflow, name: str, tally: Tally
) -> Outputs | None:
    """Return the outputs of a job of the first user who may run it; None if both policies refuse it."""
    for person in people:
        async with fleet.client(person.key) as client:
            answer = await client.post("/jobs", json={"workflow": with_names(workflow, person.uploads)})
            if answer.status_code == 422 and {error["code"] for error in answer.json()["errors"]} <= POLICY:
                tally.refused[name] = answer.json()["errors"][0]["code"]
                continue
            if answer.status_code != 201:
                return Counter([StoredOutput("refused", "", answer.content)])
            tally.refused.pop(name, None)
            if person.policy == "open":
                tally.open_policy.append(name)
            job = await fleet.wait_until_ended(client, answer.json()["job_id"], within_s=300)
            if job["status"] != "completed":
                return Counter([StoredOutput(job["status"], "", json.dumps(job["error"]).encode())])
            outputs: Outputs = Counter()
            for output in job["outputs"]:
                content = await client.get(output["url"].removeprefix(f"{fleet.base_url}/api/v1"))
                suffix = PurePosixPath(output["name"]).suffix
                outputs[build_stored_output(output["node_id"], suffix, content.raise_for_status().content)] += 1
            return outputs
    return None


def difference(expected: Outputs, found: Outputs) -> str:
    missing, more = expected - found, found - expected
    return f"missing {[str(one) for one in missing]}, instead {[str(one) for one in more]}"
