"""Converts one image from standard input to standard output, in a process of its own.

Images come from custom nodes, and decoders are the code most exposed to hostile bytes. So this process has no
environment, no secrets and never a second tenant's image; it cannot open files or connections, and its memory and CPU
time are limited. It starts in about 0.1 s with 17 MiB.
"""

import resource
import sys
import warnings
from contextlib import suppress
from io import BytesIO

from PIL import Image, ImageCms, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - see Image.preinit

from gateway.images.formats import ConversionOptions, ExitStatus, ImageFormat, detect_format
from gateway.images.headers import HeaderProblem, Size, read_webp_size

Image.preinit()  # load plugins (EXIF needs TIFF, a JPEG can be MPO) before opening files is forbidden
ORIENTATION_TAG = 0x0112  # the EXIF tag
TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
END_OF_IMAGE = b"\xff\xd9"
"""Appended to a truncated JPEG: the existing part is decoded and the rest is grey, as in image viewers."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def main(arguments: list[str]) -> ExitStatus:
    """Convert the image. Arguments: format, quality, width, height (0 for any), for_workflow_input, four limits."""
    format_, (quality, width, height, for_workflow_input, *limits) = arguments[0], map(int, arguments[1:])
    pixels, source_bytes, memory, seconds = limits
    limit_resources(memory, seconds)
    options = ConversionOptions(
        ImageFormat(format_), quality, width or None, height or None, for_workflow_input=bool(for_workflow_input)
    )
    try:
        source = sys.stdin.buffer.read(source_bytes + 1)
        if len(source) > source_bytes:
            return ExitStatus.NOT_CONVERTIBLE
        if detect_format(source) is ImageFormat.WEBP and not is_within_pixel_limit(read_webp_size(source), pixels):
            return ExitStatus.TOO_MANY_PIXELS
        converted = convert(source, options, pixels)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return ExitStatus.TOO_MANY_PIXELS
    except (Exception, MemoryError):  # noqa: BLE001 - decoders raise anything for damaged files
        return ExitStatus.NOT_CONVERTIBLE
    sys.stdout.buffer.write(converted)
    sys.stdout.buffer.flush()
    return ExitStatus.CONVERTED


def is_within_pixel_limit(size: Size | HeaderProblem, pixels: int) -> bool:
    """Whether an image is small enough to open. An unknown size passes here; the decoder checks it."""
    return isinstance(size, HeaderProblem) or size[0] * size[1] <= pixels


def limit_resources(memory: int, seconds: int) -> None:
    """Limit the resources of this process to what a decoder needs."""
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def convert(source: bytes, options: ConversionOptions, pixels: int) -> bytes:
    """Return the first frame of the image, upright, in sRGB, as ``options`` say, without metadata."""
    Image.MAX_IMAGE_PIXELS = pixels
    warnings.simplefilter("ignore")  # EXIF and the index of an MPO may be damaged without affecting pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    if options.for_workflow_input and detect_format(source) is ImageFormat.JPEG:
        source += END_OF_IMAGE
    image: Image.Image = Image.open(BytesIO(source), formats=["PNG", "JPEG", "WEBP"])  # reads only the header
    if options.for_workflow_input and getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError("the image is animated")
    orientation, profile = _read_exif_orientation(image), image.info.get("icc_profile")
    is_rotated = orientation >= 5
    upright_size = (image.height, image.width) if is_rotated else image.size
    box = (
        min(options.width or upright_size[0], upright_size[0]),
        min(options.height or upright_size[1], upright_size[1]),
    )
    if box != upright_size:
        image.draft(None, _rotate_box(box, is_rotated))  # a JPEG can be decoded at a smaller size
    image = _convert_to_rgb(image, profile)
    if orientation in TRANSPOSE_BY_ORIENTATION:
        image = image.transpose(TRANSPOSE_BY_ORIENTATION[orientation])
    if box != upright_size:
        image.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=2)
    if options.format is ImageFormat.JPEG and image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image.info = {}
    sink = BytesIO()
    image.save(sink, options.format.value, **_build_save_options(options))
    return sink.getvalue()


def _rotate_box(box: tuple[int, int], is_rotated: bool) -> tuple[int, int]:
    return (box[1], box[0]) if is_rotated else box


def _read_exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - ignore unreadable EXIF
        return 1


def _convert_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the image as RGB or RGBA with 8 bits per channel."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow would clip it at 255
        image = image.convert("I").point(lambda grey: grey * (1 / 256) + 0).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile:
        coloured = image if image.mode in {"CMYK", "L"} and mode == "RGB" else image.convert(mode)
        with suppress(ImageCms.PyCMSError, OSError, ValueError):  # ignore an invalid profile
            opened = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(coloured, opened, SRGB, outputMode=mode)
            if converted is not None:
                return converted
    return image.convert(mode)


def _build_save_options(options: ConversionOptions) -> dict[str, int | bool]:
    if options.format is ImageFormat.PNG:
        return {"compress_level": 1 if options.for_workflow_input else 6}
    if options.format is ImageFormat.JPEG:
        if options.for_workflow_input:  # baseline: nodes need no progressive loading, and encoding takes half as long
            return {"quality": options.quality, "subsampling": 0}
        return {"quality": options.quality, "progressive": True}
    return {"quality": options.quality, "method": 3}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
