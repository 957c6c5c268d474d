"""Upper bounds of graphs, and their image quota."""

from collections.abc import Callable
from typing import Any

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_size.analysis import GraphSize, measure_graph
from contracts.graph_size.bounds import MAX_ERRORS, GraphBounds, check_bounds, check_unknown_counts
from contracts.graph_size.image_quota import MAX_RESERVED_IMAGES, compute_reservation
from contracts.graph_size.size import MAX_BOUND
from contracts.workflow import read_graph
from tests.kit.effort import count_calls
from tests.ordinary_graphs.catalog import catalog_for
from tests.ordinary_graphs.corpus import ordinary_graphs

Raw = dict[str, Any]

FREE = GraphBounds(
    nodes=500, text_bytes=262_144, pixels=268_435_456, steps=200, pixel_steps=20_000_000_000
)  # limits of tier "free" from auth migration 0007


def node(class_type: str, **inputs: Any) -> Raw:
    """Return a node; ``a__b`` is the nested input ``a.b``."""
    return {"class_type": class_type, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def image(batch: int = 1, width: int = 64, height: int = 64) -> Raw:
    return node("EmptyImage", width=width, height=height, batch_size=batch, color=0)


def latent(batch: Any = 1, width: Any = 64, height: Any = 64) -> Raw:
    return node("EmptyLatentImage", width=width, height=height, batch_size=batch)


def video(length: Any = 81, batch: int = 1, width: int = 64, height: int = 64) -> Raw:
    return node("EmptyHunyuanLatentVideo", width=width, height=height, length=length, batch_size=batch)


def save(source: str = "a") -> Raw:
    return node("SaveImage", images=[source, 0], filename_prefix="p")


def measured(raw: Raw, **more: Any) -> GraphSize:
    graph, errors = read_graph(raw)
    assert not errors
    return measure_graph(graph, **more)


def images(raw: Raw, **more: Any) -> int:
    return compute_reservation(measured(raw, **more)).images


def chain(first: Raw, *rest: Raw) -> Raw:
    """Return nodes a, b, c, ..., each linked to the one before by the given inputs."""
    return {"abcdefghij"[place]: one for place, one in enumerate((first, *rest))}


DECODE_A = node("VAEDecode", samples=["a", 0], vae=["a", 0])

COSTS: dict[str, tuple[Raw, int]] = {
    "one image": (chain(image(), save()), 1),
    "a batch": (chain(image(7), save()), 7),
    "a previewed batch": (chain(image(7), node("PreviewImage", images=["a", 0])), 7),
    "a preview beside a save is free": (chain(image(2), save(), node("PreviewImage", images=["a", 0])), 2),
    "two saves": (chain(image(2), save(), save()), 4),
    "more previews than saves": (
        chain(image(3), save(), node("PreviewImage", images=["a", 0]), node("PreviewImage", images=["a", 0])),
        6,
    ),
    "text": (chain(node("PrimitiveString", value="x"), node("SaveText", text=["a", 0])), 0),
    "any value as text": (chain(node("PrimitiveInt", value=1), node("PreviewAny", source=["a", 0])), 0),
    "audio": (
        chain(
            node("EmptyLatentAudio", seconds=30.0, batch_size=8),
            node("VAEDecodeAudio", samples=["a", 0]),
            node("SaveAudio", audio=["b", 0]),
        ),
        0,
    ),
    "an audio latent": (
        chain(node("EmptyLatentAudio", seconds=30.0, batch_size=8), node("SaveLatent", samples=["a", 0])),
        0,
    ),
    "an animated WebP of 16 frames": (chain(image(16), node("SaveAnimatedWEBP", images=["a", 0])), 1),
    "an animated WebP of 17 frames": (chain(image(17), node("SaveAnimatedWEBP", images=["a", 0])), 2),
    "an animated PNG of 33 frames": (chain(image(33), node("SaveAnimatedPNG", images=["a", 0])), 3),
    "a WebM of 500 frames": (chain(image(500), node("SaveWEBM", images=["a", 0], fps=24.0)), 32),
    "a video of 500 frames": (
        chain(video(500), DECODE_A, node("CreateVideo", images=["b", 0], fps=24.0), node("SaveVideo", video=["c", 0])),
        32,
    ),
    "frames of a video saved as images": (chain(video(81), DECODE_A, save("b")), 81),
    "a latent of eight images": (chain(latent(8), node("SaveLatent", samples=["a", 0])), 8),
    "a latent of a video": (chain(video(81), node("SaveLatent", samples=["a", 0])), 6),
    "a batch by a link to a number": (chain(node("PrimitiveInt", value=256), latent(["a", 0]), save("b")), 256),
    "a wrapped number": (chain(latent({"__value__": 64}), save()), 64),
    "a number as text": (chain(latent("64"), save()), 64),
    "a batch by the size of another": (
        chain(image(3, width=5), node("GetImageSize", image=["a", 0]), latent(["b", 0]), save("c")),
        5,
    ),
    "a batch by the length of a text": (
        chain(node("StringLength", string="x" * 300), latent(["a", 0]), save("b")),
        300,
    ),
    "a length by an expression": (
        chain(
            node("PrimitiveInt", value=5),
            node("ComfyMathExpression", expression="a * 16 + 1", values__a=["a", 0]),
            video(["b", 1]),
            node("VAEDecode", samples=["c", 0]),
            node("SaveAnimatedWEBP", images=["d", 0]),
        ),
        6,
    ),
    "the largest of a switch": (
        chain(image(2), image(9), node("ComfySwitchNode", switch=True, on_false=["b", 0], on_true=["a", 0]), save("c")),
        9,
    ),
    "a switch between numbers": (
        chain(
            node("PrimitiveInt", value=2),
            node("PrimitiveInt", value=9),
            node("ComfySwitchNode", switch=True, on_false=["b", 0], on_true=["a", 0]),
            latent(["c", 0]),
            save("d"),
        ),
        9,
    ),
    "a repeated image": (chain(image(2), node("RepeatImageBatch", image=["a", 0], amount=5), save("b")), 10),
    "a repeated latent": (chain(latent(2), node("RepeatLatentBatch", samples=["a", 0], amount=5), save("b")), 10),
    "images joined": (chain(image(2), image(3), node("ImageBatch", image1=["a", 0], image2=["b", 0]), save("c")), 5),
    "many images joined": (
        chain(
            image(2),
            image(3),
            node("BatchImagesNode", images__image0=["a", 0], images__image1=["b", 0], images__image2=["b", 0]),
            save("c"),
        ),
        8,
    ),
    "latents joined": (
        chain(latent(2), latent(3), node("LatentBatch", samples1=["a", 0], samples2=["b", 0]), save("c")),
        5,
    ),
    "one image chosen": (
        chain(image(9), node("ImageFromBatch", image=["a", 0], batch_index=0, length=1), save("b")),
        1,
    ),
    "a list joined with one that may be shorter": (
        chain(
            image(2),
            node("RebatchImages", images=["a", 0], batch_size=1),
            node("RebatchImages", images=["b", 0], batch_size=2),
            node("ImageBatch", image1=["b", 0], image2=["c", 0]),
            save("d"),
        ),
        6,
    ),
    "images taken apart": (chain(image(8), node("RebatchImages", images=["a", 0], batch_size=1), save("b")), 8),
    "a list of animations": (
        chain(
            image(8),
            node("RebatchImages", images=["a", 0], batch_size=1),
            node("SaveAnimatedWEBP", images=["b", 0]),
        ),
        8,
    ),
    "a list of two batches": (
        chain(image(2), image(3), node("CreateList", inputs__input0=["a", 0], inputs__input1=["b", 0]), save("c")),
        5,
    ),
    "a node that runs for each element of a list": (
        chain(
            image(10),
            node("RebatchImages", images=["a", 0], batch_size=1),
            node("GetImageSize", image=["b", 0]),
            node("EmptyImage", width=["c", 0], height=64, batch_size=10, color=0),
            save("d"),
        ),
        100,
    ),
    "tiles": (
        chain(
            image(1, 256, 256),
            node("SplitImageToTileList", image=["a", 0], tile_width=64, tile_height=64, overlap=0),
            save("b"),
        ),
        16,
    ),
    "frames interpolated": (
        chain(image(8), node("FrameInterpolate", images=["a", 0], multiplier=4), node("SaveWEBM", images=["b", 0])),
        2,
    ),
    "both pictures of a comparison": (
        chain(image(2), node("ImageCompare", image_a=["a", 0], image_b=["a", 0])),
        4,
    ),
    "layers of a picture": (
        chain(
            node("EmptyQwenImageLayeredLatentImage", width=64, height=64, layers=3, batch_size=2),
            DECODE_A,
            save("b"),
        ),
        8,
    ),
    "views of a splat": (chain(node("RenderSplat", width=64, height=64, frames=24), save()), 24),
    "frames of a conditioning": (
        chain(
            node("SVD_img2vid_Conditioning", width=64, height=64, video_frames=14),
            node("VAEDecode", samples=["a", 2]),
            save("b"),
        ),
        14,
    ),
    "a grid is one picture": (chain(image(9), node("ImageGrid", images=["a", 0], columns=3), save("b")), 1),
    "a batch from a custom class": (chain(node("MySampler", batch_size=4), save()), 4),
    "frames from a custom class": (
        chain(node("MyVideo", length=33, batch_size=2), node("SaveWEBM", images=["a", 0])),
        5,
    ),
    "a custom class that repeats": (chain(image(2), node("MyRepeat", image=["a", 0], amount=3), save("b")), 6),
    "a graph that keeps nothing": (chain(image(9)), 0),
}


@pytest.mark.parametrize(("raw", "expected"), COSTS.values(), ids=COSTS)
def test_graph_reserves_the_images_it_produces(raw: Raw, expected: int) -> None:
    assert images(raw) == expected


GENERATORS: dict[str, tuple[Raw, int]] = {
    **{
        name: (node(name, width=96, height=64, batch_size=3), 3)
        for name in (
            "EmptyLatentImage", "EmptySD3LatentImage", "EmptyFlux2LatentImage", "EmptyHunyuanImageLatent",
            "EmptyChromaRadianceLatentImage", "EmptyHiDreamO1LatentImage", "StableCascade_EmptyLatentImage",
            "StableZero123_Conditioning", "EmptyImage", "TextEncodeMageFlowEdit",
        )
    },
    **{
        name: (node(name, width=96, height=64, length=33, batch_size=3), 99)
        for name in (
            "EmptyHunyuanLatentVideo", "EmptyHunyuanVideo15Latent", "EmptyMochiLatentVideo", "EmptyLTXVLatentVideo",
            "EmptyCosmosLatentVideo", "EmptyARVideoLatent", "CosmosImageToVideoLatent", "HunyuanImageToVideo",
            "HunyuanVideo15ImageToVideo", "Kandinsky5ImageToVideo", "LTXVImgToVideo", "Wan22ImageToVideoLatent",
            "WanImageToVideo", "WanFirstLastFrameToVideo", "WanFunControlToVideo", "WanFunInpaintToVideo",
            "WanVaceToVideo", "WanCameraImageToVideo", "WanPhantomSubjectToVideo", "WanTrackToVideo",
            "WanHuMoImageToVideo", "WanSoundImageToVideo", "WanAnimateToVideo", "WanSCAILToVideo", "VOIDWarpedNoise",
            "WanMoveTrackToVideo", "CosmosPredict2ImageToVideoLatent", "Wan22FunControlToVideo", "BerniniConditioning",
        )
    },
    "SV3D_Conditioning": (node("SV3D_Conditioning", width=96, height=64, video_frames=21), 21),
    "EmptyMiniMaxH3LatentAV": (node("EmptyMiniMaxH3LatentAV", width=96, height=64, length=124), 124),
    "SolidMask": (node("SolidMask", width=96, height=64, value=1.0), 1),
    "Load3D": (node("Load3D", width=96, height=64), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", GENERATORS)
def test_size_of_every_empty_latent_class_is_known(name: str) -> None:
    raw, count = GENERATORS[name]
    made = measured({"a": raw}).largest_output("a")
    assert (made.width, made.height, made.pixels, made.total) == (96, 64, 96 * 64, count)


A = ["a", 0]
SIZES: dict[str, tuple[Raw, tuple[int, int]]] = {
    "ImageScale": (node("ImageScale", image=A, width=30, height=40), (30, 40)),
    "ImageScale keeps the ratio": (node("ImageScale", image=A, width=0, height=128), (256, 128)),
    "ImageScaleBy": (node("ImageScaleBy", image=A, scale_by=1.5), (300, 150)),
    "LatentUpscale": (node("LatentUpscale", samples=A, width=32, height=48), (32, 48)),
    "LatentUpscaleBy": (node("LatentUpscaleBy", samples=A, scale_by=2.0), (400, 200)),
    "ImageUpscaleWithModel": (node("ImageUpscaleWithModel", image=A), (800, 400)),
    "ImageScaleToMaxDimension": (node("ImageScaleToMaxDimension", image=A, largest_size=64), (64, 64)),
    "ResizeImagesByShorterEdge": (node("ResizeImagesByShorterEdge", images=A, shorter_edge=50), (100, 100)),
    "ResizeAndPadImage": (node("ResizeAndPadImage", image=A, target_width=70, target_height=80), (70, 80)),
    "ImageCrop": (node("ImageCrop", image=A, width=50, height=500, x=0, y=0), (50, 100)),
    "ImagePadForOutpaint": (node("ImagePadForOutpaint", image=A, left=1, top=2, right=3, bottom=4), (204, 106)),
    "ImageStitch beside": (
        node("ImageStitch", image1=A, image2=A, direction="right", match_image_size=True, spacing_width=10),
        (410, 100),
    ),
    "ImageStitch below, as if the second picture stood": (
        node("ImageStitch", image1=A, image2=A, direction="down", match_image_size=True, spacing_width=10),
        (200, 510),
    ),
    "ResizeImageMaskNode to a size": (
        node(
            "ResizeImageMaskNode", input=A, resize_type="scale dimensions", resize_type__width=20,
            resize_type__height=30,
        ),
        (20, 30),
    ),
    "ResizeImageMaskNode by a factor": (
        node("ResizeImageMaskNode", input=A, resize_type="scale by multiplier", resize_type__multiplier=3),
        (600, 300),
    ),
    "ResizeImageMaskNode by a factor as text": (
        node("ResizeImageMaskNode", input=A, resize_type="scale by multiplier", resize_type__multiplier="3"),
        (600, 300),
    ),
    "VAEEncode": (node("VAEEncode", pixels=A), (200, 100)),
    "a custom class": (node("MyFilter", image=A), (200, 100)),
    "a custom class with a larger size": (node("MyFilter", image=A, width=300, height=10), (300, 100)),
}  # fmt: skip


@pytest.mark.parametrize(("second", "expected"), SIZES.values(), ids=SIZES)
def test_computed_image_size_matches_the_node(second: Raw, expected: tuple[int, int]) -> None:
    made = measured(chain(image(1, 200, 100), second)).largest_output("b")
    assert (made.width, made.height) == expected


def test_scaling_a_thin_image_by_ratio_uses_the_resulting_size() -> None:
    thin = image(1, 16384, 1)
    made = measured(chain(thin, node("ImageScale", image=["a", 0], width=0, height=4096))).largest_output("b")
    assert made.pixels >= 16384 * 4096 * 4096


def test_total_pixels_bound_the_area_for_every_ratio() -> None:
    scaled = node("ImageScaleToTotalPixels", image=["a", 0], megapixels=1.0, resolution_steps=1)
    made = measured(chain(image(1, 8000, 10), scaled)).largest_output("b")
    assert 1024 * 1024 <= made.pixels <= 1.1 * 1024 * 1024


def test_uploaded_image_has_its_own_size() -> None:
    raw = chain(node("LoadImage", image="u1"), node("ImageUpscaleWithModel", image=["a", 0]))
    assert measured(raw, uploads={"u1": (300, 200)}).largest_output("b").pixels == 1200 * 800


@pytest.mark.parametrize(
    ("raw", "at_least", "at_most"),
    [
        (chain(node("PrimitiveString", value="é" * 10)), 20, 20),
        (chain(node("StringConcatenate", string_a="ab", string_b="cd", delimiter="-")), 5, 5),
        (chain(node("StringReplace", string="aaaa", find="a", replace="xyz")), 12, 16),
        (chain(node("StringReplace", string="aaaa", find="", replace="xyz")), 19, 19),
        (chain(node("StringFormat", f_string="{a:1000000000}", values__a="x")), 10**9, 1.1 * 10**9),
        (chain(node("StringFormat", f_string="{a:{b}}", values__a="x", values__b=10**9)), MAX_BOUND, MAX_BOUND),
        (chain(node("StringFormat", f_string="{{literal braces}}")), 18, 18),
        (chain(node("RegexReplace", string="aaaa", regex_pattern="a", replace=r"\g<0>\g<0>")), 8, 200),
    ],
)
def test_text_length_is_bounded_by_its_maximum(raw: Raw, at_least: int, at_most: float) -> None:
    assert at_least <= measured(raw).largest_output("a").text <= at_most


def test_chain_that_doubles_its_text_is_refused() -> None:
    raw = {"0": node("PrimitiveString", value="0123456789")}
    for n in range(1, 100):
        raw[str(n)] = node("StringConcatenate", string_a=[str(n - 1), 0], string_b=[str(n - 1), 0], delimiter="")
    size = measured(raw)
    assert size.text_bytes == MAX_BOUND
    (error,) = check_bounds(size, GraphBounds(text_bytes=262_144))
    assert (error.code, error.node_id) == ("too_much_text", size.longest_text_node)


def test_chain_that_doubles_its_images_is_bounded() -> None:
    raw = {"0": image()}
    for n in range(1, 200):
        raw[str(n)] = node("ImageBatch", image1=[str(n - 1), 0], image2=[str(n - 1), 0])
    raw["s"] = save("199")
    assert measured(raw).largest_output("199").total == MAX_BOUND
    assert images(raw) == MAX_RESERVED_IMAGES


KILLERS = {
    "pictures": (chain(latent(8, 16384, 16384), DECODE_A, save("b")), "graph_too_large", "a", "batch_size"),
    "steps": (
        chain(latent(), node("KSampler", steps=10_000, latent_image=["a", 0]), save("b")),
        "too_many_steps",
        "b",
        "steps",
    ),
    "steps by a link": (
        chain(node("CustomCombo"), latent(), node("KSampler", steps=["a", 1], latent_image=["b", 0]), save("c")),
        "too_many_steps",
        "c",
        "steps",
    ),
    "sigmas multiplied": (
        chain(
            latent(),
            node("BasicScheduler", steps=100),
            node("ExtendIntermediateSigmas", sigmas=["b", 0], steps=100),
            node("SamplerCustomAdvanced", latent_image=["a", 0], sigmas=["c", 0]),
            save("d"),
        ),
        "too_many_steps",
        "d",
        "sigmas",
    ),
    "sigmas as text": (
        chain(
            latent(),
            node("ManualSigmas", sigmas="1," * 500),
            node("SamplerCustom", latent_image=["a", 0], sigmas=["b", 0]),
            save("c"),
        ),
        "too_many_steps",
        "c",
        "sigmas",
    ),
    "a width by a link": (
        chain(node("CustomCombo"), latent(8, ["a", 1], 16384), save("b")),
        "graph_too_large",
        "b",
        "width",
    ),
    "scaled again and again": (
        chain(image(1, 4096, 4096), node("ImageScaleBy", image=["a", 0], scale_by=8.0), save("b")),
        "graph_too_large",
        "b",
        None,
    ),
    "a list that multiplies": (
        chain(
            image(4096, 16, 16),
            node("RebatchImages", images=["a", 0], batch_size=1),
            node("GetImageSize", image=["b", 0]),
            node("EmptyImage", width=512, height=["c", 0], batch_size=64, color=0),
            save("d"),
        ),
        "graph_too_large",
        "d",
        "batch_size",
    ),
    "work": (
        chain(latent(8, 4096, 4096), node("KSampler", steps=200, latent_image=["a", 0]), save("b")),
        "too_much_work",
        "b",
        "steps",
    ),
}


@pytest.mark.parametrize(("raw", "code", "node_id", "name"), KILLERS.values(), ids=KILLERS)
def test_oversized_graph_is_refused_naming_its_node_and_input(
    raw: Raw, code: str, node_id: str, name: str | None
) -> None:
    errors = [error for error in check_bounds(measured(raw), FREE) if error.code == code]
    assert errors
    assert errors[0].node_id == node_id
    assert name is None or errors[0].input in {name, "width", "height"}
    assert errors[0].message.endswith(".")


def test_pointer_of_an_oversized_node_escapes_special_characters() -> None:
    raw = {"a/b~c": latent(8, 16384, 16384), "2": node("SaveLatent", samples=["a/b~c", 0], filename_prefix="x")}
    (error,) = check_bounds(measured(raw), FREE)
    assert error.pointer.startswith("/workflow/a~1b~0c/inputs/")


def test_number_from_an_unknown_link_must_be_given_directly() -> None:
    raw = chain(node("CustomCombo"), latent(["a", 1]), save("b"))
    (error,) = check_unknown_counts(measured(raw))
    assert (error.code, error.node_id, error.input) == ("size_by_link", "b", "batch_size")
    assert "Use a number" in error.message
    assert images(raw) == 4096


def test_unknown_linked_number_counts_as_the_class_maximum() -> None:
    spec = ClassSpec(
        inputs={"batch_size": InputSpec(type="INT", required=True, max=12)}, outputs=("LATENT",), output_node=False
    )
    raw = chain(node("CustomCombo"), latent(["a", 1]), save("b"))
    assert images(raw, specs={"EmptyLatentImage": spec}) == 12


def test_custom_output_class_counts_its_input_images() -> None:
    spec = ClassSpec(inputs={}, outputs=(), output_node=True)
    specs = {"MySave": spec, "MyVideoCombine": spec, "MyText": spec}
    assert images(chain(image(5), node("MySave", images=["a", 0])), specs=specs) == 5
    assert images(chain(image(33), node("MyVideoCombine", images=["a", 0], frame_rate=8)), specs=specs) == 3
    assert images(chain(node("PrimitiveString", value="x"), node("MyText", text=["a", 0])), specs=specs) == 0


def test_frames_per_image_can_be_configured() -> None:
    size = measured(chain(image(64), node("SaveAnimatedWEBP", images=["a", 0])))
    assert [compute_reservation(size, frames).images for frames in (1, 16, 24, 100)] == [64, 4, 3, 1]


def test_number_of_size_errors_is_bounded() -> None:
    raw = {str(n): latent(8, 16384, 16384) for n in range(100)}
    assert len(check_bounds(measured(raw), FREE)) == MAX_ERRORS


def test_graph_is_not_refused_by_bounds_that_are_not_set() -> None:
    raw = chain(latent(4096, 16384, 16384), node("KSampler", steps=10_000, latent_image=["a", 0]), save("b"))
    assert check_bounds(measured(raw), GraphBounds()) == ()


@pytest.mark.parametrize("graph", ordinary_graphs(), ids=lambda graph: graph.name)
def test_ordinary_graphs_are_within_the_bounds_of_the_free_tier(graph: Any) -> None:
    size = measured(graph.workflow, specs=catalog_for([graph]), uploads=dict.fromkeys(graph.uploads, (1024, 1024)))
    assert check_bounds(size, FREE) == ()
    assert check_unknown_counts(size) == ()
    assert compute_reservation(size).images <= 50


def linked(class_type: str, nodes: int, links: int, **inputs: Any) -> Raw:
    """Return a graph in which each node has links to earlier nodes."""
    return {
        str(n): node(class_type, **inputs, **{
            f"in{link}": [str((n * 7 + link * 13) % n), 0] for link in range(links if n else 0)
        })
        for n in range(nodes)
    }  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda n: linked("Custom", n, 10, width=64, height=64, batch_size=2),
        lambda n: linked("ImageBatch", n, 10),
        lambda n: linked("CreateList", n, 10),
        lambda n: linked("StringConcatenate", n, 2, delimiter="x"),
        lambda n: linked("KSampler", n, 10, steps=20),
        lambda n: linked("SaveImage", n, 10),
        lambda n: dict(reversed(linked("Custom", n, 10).items())),
        lambda n: {str(m): save(str(m - 1)) if m else image(3) for m in range(n)},
    ],
    ids=["custom", "joins", "lists", "texts", "samplers", "outputs", "backwards", "chain"],
)
def test_effort_of_the_size_analysis_grows_linearly_with_the_graph(make: Callable[[int], Raw]) -> None:
    def calls(nodes: int) -> int:
        graph, errors = read_graph(make(nodes))
        assert not errors
        return count_calls(lambda: (check_bounds(size := measure_graph(graph), FREE), compute_reservation(size)))

    assert calls(1600) <= 2.2 * calls(800)
