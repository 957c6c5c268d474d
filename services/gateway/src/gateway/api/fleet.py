"""What the fleet can run."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from gateway.api.access import Reader
from gateway.api.problems import problems
from gateway.usecases.fleet import FleetView


class ModelsBody(BaseModel):
    """Model files by the loader input that takes them, most common in the fleet first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"models": {"CheckpointLoaderSimple.ckpt_name": ["sd15.safetensors"]}}]}
    )

    models: dict[str, list[str]]


def router(*, fleet: FleetView) -> APIRouter:
    """The routes of the fleet."""
    routes = APIRouter(prefix="/api/v1", tags=["fleet"])

    @routes.get("/models", summary="Models that the fleet has now", responses=problems())
    async def models(_tenant: Reader) -> ModelsBody:
        found = (await fleet.read()).models
        return ModelsBody(models={name: list(files) for name, files in found.items()})

    return routes
