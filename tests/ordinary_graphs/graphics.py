"""Workflows without a sampler: masks, compositing, batches, latents, text, primitives, 3D."""

from tests.ordinary_graphs.builder import IMAGE_1, IMAGE_2, LATENT_1, MASK_1, SCENE_1, Builder, GraphRegistry
from tests.ordinary_graphs.parts import SDXL, checkpoint, decode, image, picture, prompts, sample, save, text

GRAPHICS = GraphRegistry()


# --- masks and compositing, no model -------------------------------------------------------------------------------


@GRAPHICS.register("compositing")
def solid_color_inverted(g: Builder) -> None:
    save(g, g.add("ImageInvert", image=g.add("EmptyImage", width=640, height=480, color=0xFF8800)))


@GRAPHICS.register("compositing")
def logo_over_photo(g: Builder) -> None:
    photo, logo = image(g, IMAGE_1), image(g, IMAGE_2)
    small = g.add("ImageScale", image=logo, upscale_method="lanczos", width=256, height=256)
    mask = g.add("InvertMask", mask=logo[1])
    save(g, g.add("ImageCompositeMasked", destination=photo, source=small, x=32, y=32, mask=mask), "branded")


@GRAPHICS.register("compositing")
def porter_duff_over(g: Builder) -> None:
    first, second = image(g, IMAGE_1), image(g, IMAGE_2)
    done = g.add(
        "PorterDuffImageComposite", source=first[0], source_alpha=first[1], destination=second[0],
        destination_alpha=second[1], mode="SRC_OVER",
    )  # fmt: skip
    save(g, g.add("JoinImageWithAlpha", image=done[0], alpha=done[1]))


@GRAPHICS.register("compositing")
def alpha_split_and_mask_shown(g: Builder) -> None:
    split = g.add("SplitImageWithAlpha", image=image(g, IMAGE_1))
    g.add("MaskPreview", mask=g.add("ThresholdMask", mask=split[1], value=0.5))
    save(g, split)


@GRAPHICS.register("compositing")
def blend_blur_and_quantize(g: Builder) -> None:
    blurred = g.add("ImageBlur", image=image(g, IMAGE_1), blur_radius=8, sigma=2.0)
    mixed = g.add("ImageBlend", image1=image(g, IMAGE_2), image2=blurred, blend_factor=0.5, blend_mode="soft_light")
    save(g, g.add("ImageQuantize", image=mixed, colors=32, dither="floyd-steinberg"))


@GRAPHICS.register("compositing")
def mask_drawn_from_image_channels(g: Builder) -> None:
    mask = g.add("ImageToMask", image=image(g, IMAGE_1), channel="blue")
    both = g.add(
        "MaskComposite", destination=mask, source=g.add("LoadImageMask", image=MASK_1, channel="green"), operation="xor"
    )
    save(g, g.add("MaskToImage", mask=g.add("GrowMask", mask=both, expand=-4)))


@GRAPHICS.register("compositing")
def edges_thickened(g: Builder) -> None:
    edges = g.add("Canny", image=image(g, IMAGE_1))
    save(g, g.add("Morphology", image=edges, operation="dilate", kernel_size=5))


@GRAPHICS.register("compositing")
def rotated_flipped_and_cropped(g: Builder) -> None:
    turned = g.add("ImageRotate", image=image(g, IMAGE_1), rotation="90 degrees")
    mirrored = g.add("ImageFlip", image=turned, flip_method="x-axis: vertically")
    save(g, g.add("ImageCrop", image=mirrored, width=512, height=512, x=100, y=100))


@GRAPHICS.register("compositing")
def caption_written_on_image(g: Builder) -> None:
    caption = g.add(
        "TextOverlay", images=image(g, IMAGE_1), text="Summer 1987", font_size=6.0, color="#ffffff", position="bottom"
    )
    g.add("SaveImageAdvanced", images=caption, filename_prefix="captioned", format="png", format__bit_depth="8-bit",
          format__input_color_space="sRGB")  # fmt: skip


@GRAPHICS.register("compositing")
def layers_composed(g: Builder) -> None:
    bottom = g.add("AddLayer", image=image(g, IMAGE_1), name="background")
    logo = image(g, IMAGE_2)
    top = g.add("AddLayer", image=logo[0], mask=logo[1], layers=bottom, name="logo", x=40, y=40, opacity=0.8)
    save(g, g.add("ImageCompositor", layers=top, compositor={}))


@GRAPHICS.register("compositing")
def color_match_and_compare(g: Builder) -> None:
    target, reference = image(g, IMAGE_1), image(g, IMAGE_2)
    matched = g.add(
        "ColorTransfer", image_target=target, image_ref=reference, method="reinhard_lab", source_stats="per_frame"
    )
    g.add("ImageCompare", image_a=target, image_b=matched, compare_view={})
    save(g, matched)


# --- batches and lists ---------------------------------------------------------------------------------------------


@GRAPHICS.register("batch")
def two_uploads_in_one_batch(g: Builder) -> None:
    loaded = checkpoint(g)
    both = g.add("ImageBatch", image1=image(g, IMAGE_1), image2=image(g, IMAGE_2))
    save(g, picture(g, loaded, g.add("VAEEncode", pixels=both, vae=loaded.vae), denoise=0.5))


@GRAPHICS.register("batch")
def batch_split_into_single_samples(g: Builder) -> None:
    latent = g.add("EmptyLatentImage", width=768, height=768, batch_size=6)
    loaded = checkpoint(g)
    single = g.add("RebatchLatents", latents=latent, batch_size=1)
    save(g, picture(g, loaded, single))


@GRAPHICS.register("batch")
def best_of_the_batch_refined(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    first = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", batch_size=8), steps=12)
    g.add("PreviewImage", images=decode(g, first, loaded.vae))
    chosen = g.add("LatentFromBatch", samples=first, batch_index=3, length=1)
    large = g.add("LatentUpscaleBy", samples=chosen, upscale_method="nearest-exact", scale_by=2.0)
    save(g, decode(g, sample(g, loaded.model, positive, negative, large, denoise=0.55), loaded.vae))


@GRAPHICS.register("batch")
def images_repeated_and_rebatched(g: Builder) -> None:
    many = g.add("RepeatImageBatch", image=image(g, IMAGE_1), amount=4)
    save(g, g.add("ImageFromBatch", image=g.add("RebatchImages", images=many, batch_size=2), batch_index=0, length=1))


@GRAPHICS.register("batch")
def same_prompt_in_three_sizes(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    positive, negative = prompts(g, loaded.clip)
    for width, height in ((1024, 1024), (1344, 768), (768, 1344)):
        latent = g.add("EmptyLatentImage", width=width, height=height)
        result = sample(g, loaded.model, positive, negative, latent, steps=25)
        save(g, decode(g, result, loaded.vae), f"sizes/{width}x{height}")


@GRAPHICS.register("batch")
def four_samplers_compared(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    latent = g.add("EmptyLatentImage", width=512, height=512)
    rows = [
        decode(g, sample(g, loaded.model, positive, negative, latent, sampler_name=name, seed=1), loaded.vae)
        for name in ("euler", "dpmpp_2m", "ddim", "uni_pc")
    ]
    sheet = rows[0]
    for row in rows[1:]:
        sheet = g.add("ImageStitch", image1=sheet, image2=row, spacing_width=8)
    save(g, sheet, "comparison")


@GRAPHICS.register("batch")
def grid_of_samplers_and_guidance(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    positive, negative = prompts(g, loaded.clip)
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    for name in ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_sde", "uni_pc"):
        for cfg in (3.0, 4.5, 6.0, 7.5, 9.0):
            settings = {"sampler_name": name, "cfg": cfg, "steps": 25, "seed": 1}
            result = sample(g, loaded.model, positive, negative, latent, **settings)
            save(g, decode(g, result, loaded.vae), f"grid/{name}-{cfg}")


@GRAPHICS.register("batch")
def list_of_images_processed(g: Builder) -> None:
    listed = g.add("CreateList", inputs__input0=image(g, IMAGE_1), inputs__input1=image(g, IMAGE_2))
    small = g.add(
        "ResizeImageMaskNode", input=listed, resize_type="scale longer dimension", resize_type__longer_size=768,
        scale_method="lanczos",
    )  # fmt: skip
    save(g, small)


@GRAPHICS.register("batch")
def batch_node_with_three_images(g: Builder) -> None:
    blank = g.add("EmptyImage", width=512, height=512, color=0)
    batch = g.add(
        "BatchImagesNode", images__image0=image(g, IMAGE_1), images__image1=image(g, IMAGE_2), images__image2=blank
    )
    save(g, batch)


@GRAPHICS.register("batch")
def contact_sheet_of_a_batch(g: Builder) -> None:
    loaded = checkpoint(g)
    made = picture(g, loaded, g.add("EmptyLatentImage", batch_size=4))
    tiles = [g.add("ImageFromBatch", image=made, batch_index=index, length=1) for index in range(4)]
    top = g.add("ImageStitch", image1=tiles[0], image2=tiles[1])
    bottom = g.add("ImageStitch", image1=tiles[2], image2=tiles[3])
    save(g, g.add("ImageStitch", image1=top, image2=bottom, direction="down"))


# --- latents -------------------------------------------------------------------------------------------------------


@GRAPHICS.register("latent")
def latent_saved(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    result = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", width=768, height=768))
    g.add("SaveLatent", samples=result, filename_prefix="latents/ComfyUI")


@GRAPHICS.register("latent")
def latent_loaded_and_refined(g: Builder) -> None:
    loaded = checkpoint(g)
    save(g, picture(g, loaded, g.add("LoadLatent", latent=LATENT_1), denoise=0.4))


@GRAPHICS.register("latent")
def latents_composed(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    scene = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", width=1024, height=576), steps=10)
    figure = sample(
        g,
        loaded.model,
        text(g, loaded.clip, "a horse"),
        negative,
        g.add("EmptyLatentImage", width=384, height=384),
        steps=10,
    )
    pasted = g.add("LatentComposite", samples_to=scene, samples_from=figure, x=320, y=128, feather=80)
    save(g, decode(g, sample(g, loaded.model, positive, negative, pasted, denoise=0.55), loaded.vae))


@GRAPHICS.register("latent")
def latents_blended_and_interpolated(g: Builder) -> None:
    vae = g.add("VAELoader", vae_name="vae-ft-mse-840000-ema-pruned.safetensors")
    first = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=vae)
    second = g.add("VAEEncode", pixels=image(g, IMAGE_2), vae=vae)
    blended = g.add("LatentBlend", samples1=first, samples2=second, blend_factor=0.5)
    between = g.add("LatentInterpolate", samples1=blended, samples2=second, ratio=0.3)
    save(g, decode(g, g.add("LatentBatch", samples1=blended, samples2=between), vae))


@GRAPHICS.register("latent")
def latent_arithmetic(g: Builder) -> None:
    vae = g.add("VAELoader", vae_name="vae-ft-mse-840000-ema-pruned.safetensors")
    first = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=vae)
    second = g.add("VAEEncode", pixels=image(g, IMAGE_2), vae=vae)
    difference = g.add("LatentSubtract", samples1=first, samples2=second)
    sharper = g.add("LatentAdd", samples1=first, samples2=g.add("LatentMultiply", samples=difference, multiplier=0.5))
    save(g, decode(g, sharper, vae))


@GRAPHICS.register("latent")
def latent_turned_flipped_and_cropped(g: Builder) -> None:
    loaded = checkpoint(g)
    turned = g.add("LatentRotate", samples=g.add("LoadLatent", latent=LATENT_1), rotation="90 degrees")
    mirrored = g.add("LatentFlip", samples=turned, flip_method="y-axis: horizontally")
    save(g, decode(g, g.add("LatentCrop", samples=mirrored, width=512, height=512), loaded.vae))


@GRAPHICS.register("latent")
def latent_operation_during_sampling(g: Builder) -> None:
    loaded = checkpoint(g)
    operation = g.add("LatentOperationSharpen", sharpen_radius=9, sigma=1.0, alpha=0.1)
    model = g.add("LatentApplyOperationCFG", model=loaded.model, operation=operation)
    latent = g.add("LatentBatchSeedBehavior", samples=g.add("EmptyLatentImage", batch_size=4), seed_behavior="fixed")
    save(g, picture(g, loaded._replace(model=model), latent))


@GRAPHICS.register("latent")
def masked_latents_joined(g: Builder) -> None:
    loaded = checkpoint(g)
    mask = g.add("SolidMask", width=512, height=512)
    first = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    second = g.add("VAEEncode", pixels=image(g, IMAGE_2), vae=loaded.vae)
    save(
        g,
        decode(g, g.add("LatentCompositeMasked", destination=first, source=second, x=64, y=64, mask=mask), loaded.vae),
    )


# --- primitives linked into widgets --------------------------------------------------------------------------------


@GRAPHICS.register("primitives")
def size_steps_and_seed_by_link(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    width, height = g.add("PrimitiveInt", value=896), g.add("PrimitiveInt", value=1152)
    latent = g.add("EmptyLatentImage", width=width, height=height, batch_size=2)
    steps, seed = g.add("PrimitiveInt", value=30), g.add("PrimitiveInt", value=8566257)
    save(g, picture(g, loaded, latent, steps=steps, seed=seed, cfg=g.add("PrimitiveFloat", value=6.5)))


@GRAPHICS.register("primitives")
def batch_size_by_link(g: Builder) -> None:
    latent = g.add("EmptyLatentImage", batch_size=g.add("PrimitiveInt", value=4))
    save(g, picture(g, checkpoint(g), latent))


@GRAPHICS.register("primitives")
def prompt_by_link(g: Builder) -> None:
    loaded = checkpoint(g)
    words = g.add("PrimitiveStringMultiline", value="a watermill\nautumn, mist\nkodak portra 400")
    positive, negative = prompts(g, loaded.clip, words, g.add("PrimitiveString", value="people"))
    save(g, decode(g, sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage")), loaded.vae))


@GRAPHICS.register("primitives")
def prompt_joined_from_pieces(g: Builder) -> None:
    loaded = checkpoint(g)
    subject = g.add("PrimitiveString", value="a violin maker")
    style = g.add("PrimitiveString", value="etching, crosshatching")
    joined = g.add("StringConcatenate", string_a=subject, string_b=style, delimiter=", ")
    clean = g.add(
        "StringTrim", string=g.add("StringReplace", string=joined, find="maker", replace="player"), mode="Both"
    )
    positive, negative = prompts(g, loaded.clip, clean)
    g.add("PreviewAny", source=clean)
    save(g, decode(g, sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage")), loaded.vae))


@GRAPHICS.register("primitives")
def canvas_with_the_size_of_an_upload(g: Builder) -> None:
    loaded = checkpoint(g)
    size = g.add("GetImageSize", image=g.add("ImageScaleToTotalPixels", image=image(g, IMAGE_1), upscale_method="area"))
    save(g, picture(g, loaded, g.add("EmptyLatentImage", width=size[0], height=size[1])))


@GRAPHICS.register("primitives")
def switch_between_two_models(g: Builder) -> None:
    first, second = checkpoint(g, SDXL), checkpoint(g, "sdxl/juggernautXL_v9.safetensors")
    fast = g.add("PrimitiveBoolean", value=False)
    model = g.add("ComfySwitchNode", switch=fast, on_false=first.model, on_true=second.model)
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, picture(g, first._replace(model=model), latent))


@GRAPHICS.register("primitives")
def switch_between_upload_and_empty_canvas(g: Builder) -> None:
    loaded = checkpoint(g)
    encoded = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    latent = g.add("ComfySwitchNode", switch=True, on_false=g.add("EmptyLatentImage"), on_true=encoded)
    save(g, picture(g, loaded, latent, denoise=0.7))


@GRAPHICS.register("primitives")
def size_computed_by_expression(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    base = g.add("PrimitiveInt", value=512)
    double = g.add("ComfyMathExpression", expression="a * 2", values__a=base)
    save(g, picture(g, loaded, g.add("EmptyLatentImage", width=double[1], height=1024)))


@GRAPHICS.register("primitives")
def aspect_ratio_and_seed_nodes(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    size = g.add("ResolutionSelector", aspect_ratio="3:4 (Portrait Standard)", megapixels=1.0)
    latent = g.add("EmptyLatentImage", width=size[0], height=size[1])
    save(g, picture(g, loaded, latent, seed=g.add("SeedNode", seed=1234567890)))


@GRAPHICS.register("primitives")
def prompt_filled_into_a_template(g: Builder) -> None:
    loaded = checkpoint(g)
    words = g.add(
        "StringFormat", f_string="{a}, {b}, masterpiece", values__a=g.add("PrimitiveString", value="a tram"),
        values__b=g.add("PrimitiveString", value="lisbon"),
    )  # fmt: skip
    positive, negative = prompts(g, loaded.clip, words)
    save(g, decode(g, sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage")), loaded.vae))


# --- text as a result ----------------------------------------------------------------------------------------------


@GRAPHICS.register("text")
def text_shown(g: Builder) -> None:
    upper = g.add("CaseConverter", string="hello world", mode="UPPERCASE")
    g.add("PreviewAny", source=upper)


@GRAPHICS.register("text")
def image_size_and_string_length_shown(g: Builder) -> None:
    size = g.add("GetImageSize", image=image(g, IMAGE_1))
    g.add("PreviewAny", source=size[0])
    g.add("PreviewAny", source=g.add("StringLength", string="sixteen letters!"))
    g.add("PreviewAny", source=g.add("StringContains", string="red, green", substring="green"))


@GRAPHICS.register("text")
def part_of_a_json_answer(g: Builder) -> None:
    answer = g.add("PrimitiveStringMultiline", value='{"title": "Harbour", "tags": ["boat", "fog"]}')
    g.add("PreviewAny", source=g.add("JsonExtractString", json_string=answer, key="title"))


@GRAPHICS.register("text")
def prompt_written_by_a_language_model(g: Builder) -> None:
    loaded = checkpoint(g)
    writer = g.add("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="lumina2")
    words = g.add(
        "TextGenerate", clip=writer, prompt="Describe a harbour in the fog as an image prompt.", max_length=256,
        sampling_mode="on", sampling_mode__temperature=0.7, sampling_mode__top_k=64, sampling_mode__top_p=0.95,
        sampling_mode__min_p=0.05, sampling_mode__repetition_penalty=1.05, sampling_mode__seed=1,
    )  # fmt: skip
    g.add("PreviewAny", source=words)
    positive, negative = prompts(g, loaded.clip, words)
    save(g, decode(g, sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage")), loaded.vae))


@GRAPHICS.register("text")
def image_described_with_long_instructions(g: Builder) -> None:
    writer = g.add("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="lumina2")
    rules = "\n".join(
        f"{number}. Name each object once, its material, its color and its place." for number in range(1, 121)
    )
    words = g.add(
        "TextGenerate", clip=writer, prompt=rules, image=image(g, IMAGE_1), max_length=1024, sampling_mode="off"
    )
    g.add("PreviewAny", source=words)


@GRAPHICS.register("text")
def caption_saved_as_file(g: Builder) -> None:
    words = g.add("StringConcatenate", string_a="a quiet harbour", string_b="fog", delimiter=", ")
    g.add("SaveText", text=words, filename_prefix="captions/harbour", format="txt")


# --- 3D ------------------------------------------------------------------------------------------------------------


@GRAPHICS.register("3d")
def hunyuan3d_mesh_from_image(g: Builder) -> None:
    loader = g.add("ImageOnlyCheckpointLoader", ckpt_name="hunyuan3d-dit-v2_fp16.safetensors")
    seen = g.add("CLIPVisionEncode", clip_vision=loader[1], image=image(g, IMAGE_1), crop="none")
    wired = g.add("Hunyuan3Dv2Conditioning", clip_vision_output=seen)
    model = g.add("ModelSamplingAuraFlow", model=loader[0], shift=1.0)
    latent = g.add("EmptyLatentHunyuan3Dv2", resolution=3072)
    result = sample(g, model, wired[0], wired[1], latent, steps=30, cfg=5.5)
    voxel = g.add("VAEDecodeHunyuan3D", samples=result, vae=loader[2], octree_resolution=256)
    g.add("SaveGLB", mesh=g.add("VoxelToMesh", voxel=voxel, algorithm="surface net"), filename_prefix="mesh/ComfyUI")


@GRAPHICS.register("3d")
def uploaded_scene_saved_again(g: Builder) -> None:
    scene = g.add("Load3DAdvanced", model_file=SCENE_1, viewport_state={}, width=1024, height=1024)
    g.add("SaveGLB", mesh=scene[0], filename_prefix="mesh/copy")


@GRAPHICS.register("3d")
def depth_to_mesh(g: Builder) -> None:
    estimator = g.add("LoadMoGeModel", model_name="moge_2_vitl_normal_fp16.safetensors")
    geometry = g.add("MoGeInference", moge_model=estimator, image=image(g, IMAGE_1))
    save(g, g.add("MoGeRender", moge_geometry=geometry, output="normal_opengl"), "normals")
    g.add("SaveGLB", mesh=g.add("MoGePointMapToMesh", moge_geometry=geometry), filename_prefix="mesh/moge")
