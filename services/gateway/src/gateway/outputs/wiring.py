"""Builds the routes and services for single outputs, conversions, archives and links."""

from gateway.images.converter import ImageConverter
from gateway.images.limiter import ImageLimiter
from gateway.outputs import archive_routes, link_routes, list_routes, routes
from gateway.outputs.conversion import OutputConverter
from gateway.outputs.list_service import OutputLister
from gateway.outputs.service import ResultService
from gateway.signing.link_urls import LinkUrls
from gateway.wiring import Feature, Infrastructure


def wire_outputs(infra: Infrastructure, images: ImageLimiter, links: LinkUrls) -> Feature:
    """Construct the outputs feature; ``images`` limits concurrent conversions, ``links`` makes signed links."""
    settings = infra.settings
    image_converter = ImageConverter(max_pixels=settings.picture_max_pixels, within_s=settings.picture_within_s)
    converter = OutputConverter(image_converter, infra.objects, images)
    results = ResultService(infra.bus, infra.artifacts, infra.objects)
    return Feature(
        routers=(
            routes.create_router(
                results=results, objects=infra.objects, converter=converter, public_url=settings.public_url
            ),
            archive_routes.create_router(results=results, objects=infra.objects),
            list_routes.create_router(
                lister=OutputLister(infra.bus, cursor_keys=infra.derive_keys("cursors")),
                results=results,
                objects=infra.objects,
                links=links,
            ),
            link_routes.create_router(results=results, objects=infra.objects, converter=converter, links=links),
        )
    )
