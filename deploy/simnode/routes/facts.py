"""Information about a node: classes, models, features, system."""

import os
import sys

from aiohttp import web

from simnode.components import NodeComponents
from simnode.failures import build_broken_device
from simnode.object_info import describe_class
from simnode.resources import MODEL_FOLDERS
from simnode.routes.registry import get_components
from simnode.wire import Document

routes = web.RouteTableDef()

GIB = 2**30


def build_feature_flags(components: NodeComponents) -> Document:
    """Return the server's features, for ``GET /features`` and in reply to a client's flags."""
    flags: Document = {"supports_preview_metadata": True, "max_upload_size": components.settings.max_upload_bytes}
    if components.settings.is_0_33:
        flags |= {
            "supports_model_type_tags": True,
            "extension": {"manager": {"supports_v4": True}},
            "node_replacements": True,
            "assets": False,
        }
    return flags


@routes.get("/features")
async def get_features(request: web.Request) -> web.Response:
    """Feature flags of the server."""
    return web.json_response(build_feature_flags(get_components(request)))


@routes.get("/object_info")
async def get_object_info(request: web.Request) -> web.Response:
    """Every node class."""
    components = get_components(request)
    classes = (components.catalog.find_class(name) for name in components.catalog.list_names())
    return web.json_response(
        {one.name: describe_class(one, components.resources) for one in classes if one is not None}
    )


@routes.get("/object_info/{name}")
async def get_one_object_info(request: web.Request) -> web.Response:
    """One node class, or ``{}``."""
    components, name = get_components(request), request.match_info["name"]
    found = components.catalog.find_class(name)
    return web.json_response({} if found is None else {name: describe_class(found, components.resources)})


@routes.get("/models")
async def get_models(_request: web.Request) -> web.Response:
    """Names of the model folders."""
    return web.json_response(list(MODEL_FOLDERS))


@routes.get("/models/{folder}")
async def get_model_folder(request: web.Request) -> web.Response:
    """File names in a model folder; 404 if there is no such folder."""
    names = get_components(request).resources.list_models(request.match_info["folder"])
    return web.Response(status=404) if names is None else web.json_response(names)


@routes.get("/experiment/models")
async def get_model_folders(request: web.Request) -> web.Response:
    """The folders of each kind of model."""
    resources = get_components(request).resources
    return web.json_response([{"name": name, "folders": resources.list_model_folders(name)} for name in MODEL_FOLDERS])


@routes.get("/experiment/models/{folder}")
async def get_model_files(request: web.Request) -> web.Response:
    """The files of a kind of model, each with the index of its folder."""
    folder = request.match_info["folder"]
    known = folder in MODEL_FOLDERS
    return (
        web.json_response(get_components(request).resources.list_model_files(folder))
        if known
        else web.Response(status=404)
    )


@routes.get("/embeddings")
async def get_embeddings(_request: web.Request) -> web.Response:
    """Names of embeddings; there are none."""
    return web.json_response([])


@routes.get("/system_stats")
async def get_system_stats(request: web.Request) -> web.Response:
    """Versions and memory in bytes. Fails on a poisoned device, so it serves as a deep health probe.

    Raises:
        Failure: the device context is broken; answered with 500.
    """
    components = get_components(request)
    if components.poisoned:
        raise build_broken_device()
    system = _build_system_stats(components)
    device = {
        "name": f"cuda:0 Simulated {components.settings.name} : native",
        "type": "cuda",
        "index": 0,
        "vram_total": components.vram_gib * GIB,
        "vram_free": components.vram_gib * GIB * 3 // 4,
        "torch_vram_total": 0,
        "torch_vram_free": 0,
    }
    return web.json_response({"system": system, "devices": [device]})


def _build_system_stats(components: NodeComponents) -> Document:
    page = os.sysconf("SC_PAGE_SIZE")
    system = {
        "os": sys.platform if components.settings.is_0_33 else os.name,
        "ram_total": page * os.sysconf("SC_PHYS_PAGES"),
        "ram_free": page * os.sysconf("SC_AVPHYS_PAGES"),
        "comfyui_version": components.settings.version,
        "required_frontend_version": "0.0.0",
        "installed_templates_version": "0.0.0",
        "required_templates_version": "0.0.0",
        "python_version": sys.version,
        "pytorch_version": "2.13.0+simulated",
        "embedded_python": False,
        "argv": list(sys.argv),
    }
    if components.settings.is_0_33:
        system |= {"comfy_package_versions": [], "deploy_environment": "simnode"}
    return system
