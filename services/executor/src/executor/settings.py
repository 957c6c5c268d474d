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

    heartbeat_s: float = Field(default=3.0, gt=0)  # five of them fit into a lease of 15 s
    ask_wait_s: float = Field(default=5.0, ge=0, le=6)  # how long a work request waits; its timeout is 7 s
    poll_s: float = Field(default=1.0, gt=0)  # delay of completion when the websocket is silent
    probe_s: float = Field(default=1.0, gt=0)  # delay until a node's death or return is noticed
    catalog_every_s: float = Field(default=60.0, gt=0)  # reading it makes the node scan its model folders
    models_every_s: float = Field(default=5.0, gt=0)  # delay until added or removed model files are noticed

    reply_s: float = Field(
        default=5.0, gt=0
    )  # a node running a class that holds the GIL answers this late (measured: 4.5 s)
    post_s: float = Field(default=30.0, gt=0)  # validating a large graph checks every file that it names
    catalog_s: float = Field(default=60.0, gt=0)  # several MB, and model folders may be on network disks
    unreachable_s: float = Field(default=10.0, gt=0)  # longer than one slow answer, shorter than a lease

    drain_s: float = Field(default=25.0, ge=0)  # a spot instance gets 30 s: handing back takes up to 5 s
    on_stop: Literal["hand_back", "leave_running"] = "hand_back"  # leave_running: a successor with the journal adopts
    stop_within_s: float = Field(default=30.0, gt=0)  # node code without interrupt checks cannot be stopped
    dead_worker_s: float = Field(default=10.0, gt=0)  # queued while nothing runs: ComfyUI takes work within 1 ms
    behind_others_s: float = Field(default=30.0, gt=0)  # wait behind a foreign prompt before the job is withdrawn
    blocked_after_s: float = Field(default=600.0, gt=0)  # duration of one foreign prompt before operators are alerted
    storage_wait_s: float = Field(default=3600.0, gt=0)  # outputs wait for a full store before the job is given back
    stalled_s: float = Field(default=900.0, gt=0)  # loading a large model for the first time took 5 minutes

    answer_max_bytes: int = Field(
        default=64 << 20, gt=0
    )  # bytes of a JSON response; a history entry contains its whole workflow
    output_max_bytes: int = Field(default=4 << 30, gt=0)  # bytes of one output
    output_dir: Path | None = None  # the node's output folder, if this machine shares it
    output_keep_s: float = Field(default=86_400.0, gt=0)  # seconds after the last write to a job's files in it
    prefetch: bool = True  # request the next job while one runs, so that the node does not wait for it
    prefetch_hold_s: float = Field(default=3.0, gt=0)  # a prefetched job that waits this long is handed back
    uploads: int = Field(default=4, ge=1, le=64)  # concurrent uploads of outputs; more did not increase throughput
