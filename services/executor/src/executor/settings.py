from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from contracts.scheduler.nodes import NodeName


class Settings(ServiceSettings):
    """Settings of one executor. ``COMFYUI_URL`` also works without the prefix."""

    model_config = SettingsConfigDict(env_prefix="EXECUTOR_", frozen=True, extra="ignore")

    node: NodeName
    comfyui_url: str = "http://127.0.0.1:8188"
    journal_path: Path

    heartbeat_s: float = Field(
        default=3.0, gt=0, description="seconds between two heartbeats; five of them fit into a lease of 15 s"
    )
    ask_wait_s: float = Field(
        default=5.0, ge=0, le=6, description="seconds for which a work request waits; its timeout is 7 s"
    )
    poll_s: float = Field(
        default=1.0, gt=0, description="seconds between two checks of a prompt while the websocket is silent"
    )
    probe_s: float = Field(default=1.0, gt=0, description="seconds between two probes of the node")
    catalog_every_s: float = Field(
        default=60.0,
        gt=0,
        description="seconds between two reads of the catalog, for which the node scans its model folders",
    )
    models_every_s: float = Field(default=5.0, gt=0, description="seconds between two comparisons of model file names")

    reply_s: float = Field(
        default=5.0,
        gt=0,
        description="timeout of a short request to ComfyUI, seconds; a node that runs a class which holds the GIL "
        "answers late (measured: 4.5 s)",
    )
    post_s: float = Field(
        default=30.0,
        gt=0,
        description="timeout of posting a prompt, seconds; ComfyUI checks every file that a large graph names",
    )
    catalog_s: float = Field(
        default=60.0,
        gt=0,
        description="timeout of reading the catalog, seconds; it has several MB, and model folders may be on network "
        "disks",
    )
    unreachable_s: float = Field(
        default=10.0,
        gt=0,
        description="seconds without an answer after which a node is lost; longer than one slow answer, shorter than a "
        "lease",
    )

    drain_s: float = Field(
        default=25.0,
        ge=0,
        description="seconds after SIGTERM within which a running job may end; a spot instance gets 30 s, and handing "
        "back takes up to 5 s",
    )
    on_stop: Literal["hand_back", "leave_running"] = Field(
        default="hand_back",
        description="what happens to the job after SIGTERM; leave_running: a successor with the same journal adopts "
        "the prompt",
    )
    stop_within_s: float = Field(
        default=30.0,
        gt=0,
        description="seconds that an interrupted prompt may take to stop; node code that does not check for interrupts "
        "cannot be stopped",
    )
    dead_worker_s: float = Field(
        default=10.0,
        gt=0,
        description="seconds for which a prompt may be queued while nothing runs; ComfyUI starts one within 1 ms",
    )
    behind_others_s: float = Field(
        default=30.0, gt=0, description="seconds behind a foreign prompt after which the job is withdrawn"
    )
    blocked_after_s: float = Field(
        default=600.0,
        gt=0,
        description="seconds that a prompt, a full store or an unwritable journal may occupy the node before an alert",
    )
    storage_wait_s: float = Field(
        default=3600.0,
        gt=0,
        description="seconds that outputs wait for a full or unavailable artifact store before the job is handed back",
    )
    stalled_s: float = Field(
        default=900.0,
        gt=0,
        description="seconds of silence after which a prompt has stalled; loading a large model for the first time "
        "took 5 minutes",
    )

    answer_max_bytes: int = Field(
        default=64 << 20,
        gt=0,
        description="maximum bytes of a JSON response of the node; a history entry contains its whole workflow",
    )
    output_max_bytes: int = Field(default=4 << 30, gt=0, description="maximum bytes of one output")
    output_dir: Path | None = Field(default=None, description="the node's output folder, if this machine shares it")
    output_keep_s: float = Field(
        default=86_400.0,
        gt=0,
        description="seconds for which a job's files stay in output_dir after the last write to them",
    )
    prefetch: bool = Field(
        default=True,
        description="whether the next job is requested while one runs, so that the node does not wait for it",
    )
    prefetch_hold_s: float = Field(
        default=3.0, gt=0, description="seconds that a prefetched job may wait before it is handed back"
    )
    uploads: int = Field(
        default=4,
        ge=1,
        le=64,
        description="concurrent uploads of outputs; more did not increase throughput",
    )
