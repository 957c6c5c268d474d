"""Workflows that generate images from text and images."""

from tests.ordinary_graphs.builder import IMAGE_1, IMAGE_2, IMAGE_3, MASK_1, Builder, GraphRegistry
from tests.ordinary_graphs.parts import (
    SD15,
    SDXL,
    checkpoint,
    decode,
    flux,
    guided,
    image,
    parts,
    picture,
    prompts,
    qwen,
    sample,
    save,
    text,
)

IMAGES = GraphRegistry()

ESRGAN = "RealESRGAN_x4plus.pth"
LONG_PROMPT = ", ".join(
    f"night market stall number {stall} with paper lanterns, steam, wet cobblestones and (neon signs:1.{stall % 5})"
    for stall in range(1, 21)
)


# --- text to image ---------------------------------------------------------------------------------------------------


@IMAGES.register("txt2img")
def sd15_first_workflow(g: Builder) -> None:
    save(g, picture(g, checkpoint(g), g.add("EmptyLatentImage", width=512, height=512)))


@IMAGES.register("txt2img")
def sd15_batch_of_eight(g: Builder) -> None:
    latent = g.add("EmptyLatentImage", width=512, height=768, batch_size=8)
    save(g, picture(g, checkpoint(g), latent, steps=30, sampler_name="dpmpp_2m", scheduler="karras"), "portraits/run")


@IMAGES.register("txt2img")
def sd15_clip_skip_and_own_vae(g: Builder) -> None:
    loaded = checkpoint(g, "dreamshaper_8.safetensors")
    clip = g.add("CLIPSetLastLayer", clip=loaded.clip, stop_at_clip_layer=-2)
    vae = g.add("VAELoader", vae_name="vae-ft-mse-840000-ema-pruned.safetensors")
    latent = g.add("EmptyLatentImage", width=640, height=960, batch_size=4)
    save(g, picture(g, loaded._replace(clip=clip, vae=vae), latent, steps=28, sampler_name="dpmpp_sde_gpu"))


@IMAGES.register("txt2img")
def sd15_very_long_prompt(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip, LONG_PROMPT)
    latent = g.add("EmptyLatentImage", width=768, height=512)
    save(g, decode(g, sample(g, loaded.model, positive, negative, latent, steps=50), loaded.vae))


@IMAGES.register("txt2img")
def sd15_prompt_in_other_scripts(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip, "浮世絵, 富士山, 桜 🌸\n{día|noche}, Frühling, <lora:none>", "")
    latent = g.add("EmptyLatentImage")
    save(g, decode(g, sample(g, loaded.model, positive, negative, latent), loaded.vae), "%date:yyyy-MM-dd%/ukiyo-e")


@IMAGES.register("txt2img")
def sdxl_base(g: Builder) -> None:
    latent = g.add("EmptyLatentImage", width=1024, height=1024, batch_size=1)
    save(g, picture(g, checkpoint(g, SDXL), latent, steps=30, cfg=6.5, sampler_name="dpmpp_2m_sde", scheduler="karras"))


@IMAGES.register("txt2img")
def sdxl_size_conditioning(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    sizes = {"width": 4096, "height": 4096, "target_width": 1216, "target_height": 832, "clip": loaded.clip}
    positive = g.add("CLIPTextEncodeSDXL", text_g="lighthouse in a storm", text_l="oil painting", **sizes)
    negative = g.add("CLIPTextEncodeSDXL", text_g="photo", text_l="photo", **sizes)
    latent = g.add("EmptyLatentImage", width=1216, height=832, batch_size=2)
    save(g, decode(g, sample(g, loaded.model, positive, negative, latent, steps=40), loaded.vae))


@IMAGES.register("txt2img")
def sdxl_base_then_refiner(g: Builder) -> None:
    base, refiner = checkpoint(g, SDXL), checkpoint(g, "sd_xl_refiner_1.0.safetensors")
    positive, negative = prompts(g, base.clip)
    fine = g.add("CLIPTextEncodeSDXLRefiner", clip=refiner.clip, text="a lighthouse", ascore=6.0)
    coarse = g.add("CLIPTextEncodeSDXLRefiner", clip=refiner.clip, text="lowres", ascore=2.5)
    first = g.add(
        "KSamplerAdvanced", model=base.model, positive=positive, negative=negative, steps=25, end_at_step=20,
        latent_image=g.add("EmptyLatentImage", width=1024, height=1024), noise_seed=721897303308196,
        return_with_leftover_noise="enable",
    )  # fmt: skip
    second = g.add(
        "KSamplerAdvanced", model=refiner.model, positive=fine, negative=coarse, latent_image=first, steps=25,
        add_noise="disable", start_at_step=20, end_at_step=10000,
    )  # fmt: skip
    save(g, decode(g, second, refiner.vae))


@IMAGES.register("txt2img")
def sdxl_turbo_one_step(g: Builder) -> None:
    loaded = checkpoint(g, "sd_xl_turbo_1.0_fp16.safetensors")
    positive, negative = prompts(g, loaded.clip)
    result = g.add(
        "SamplerCustom", model=loaded.model, noise_seed=0, cfg=1.0, positive=positive, negative=negative,
        sampler=g.add("KSamplerSelect", sampler_name="euler_ancestral"),
        sigmas=g.add("SDTurboScheduler", model=loaded.model, steps=1), latent_image=g.add("EmptyLatentImage"),
    )  # fmt: skip
    save(g, decode(g, result, loaded.vae))


@IMAGES.register("txt2img")
def sdxl_lightning_with_unet_file(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    model = g.add("UNETLoader", unet_name="sdxl_lightning_4step_unet.safetensors")
    latent = g.add("EmptyLatentImage", width=1024, height=1024, batch_size=4)
    save(g, picture(g, loaded._replace(model=model), latent, steps=4, cfg=1.0, scheduler="sgm_uniform"))


@IMAGES.register("txt2img")
def sd3_medium(g: Builder) -> None:
    loaded = checkpoint(g, "sd3_medium_incl_clips_t5xxlfp8.safetensors")
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=3.0)
    positive, negative = prompts(g, loaded.clip)
    early = g.add("ConditioningSetTimestepRange", conditioning=negative, start=0.0, end=0.1)
    zero = g.add("ConditioningZeroOut", conditioning=negative)
    late = g.add("ConditioningSetTimestepRange", conditioning=zero, start=0.1, end=1.0)
    both = g.add("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    settings = {"steps": 28, "cfg": 4.5, "sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform"}
    save(g, decode(g, sample(g, model, positive, both, latent, **settings), loaded.vae))


@IMAGES.register("txt2img")
def sd35_large_three_text_encoders(g: Builder) -> None:
    clips = ("clip_l.safetensors", "clip_g.safetensors", "t5xxl_fp16.safetensors")
    loaded = parts(g, "sd3.5_large.safetensors", clips, "sd3", "sd3_vae.safetensors")
    words = {"clip_l": "a fox", "clip_g": "a fox in snow", "t5xxl": "A red fox walks through deep snow at dawn."}
    positive = g.add("CLIPTextEncodeSD3", clip=loaded.clip, **words, empty_padding="none")
    negative = text(g, loaded.clip, "")
    model = g.add("SkipLayerGuidanceSD3", model=loaded.model, layers="7, 8, 9")
    latent = g.add("EmptySD3LatentImage", width=1344, height=768, batch_size=2)
    save(g, decode(g, sample(g, model, positive, negative, latent, steps=40, cfg=4.5), loaded.vae))


@IMAGES.register("txt2img")
def flux_dev(g: Builder) -> None:
    loaded = flux(g)
    guidance = g.add("FluxGuidance", conditioning=text(g, loaded.clip), guidance=3.5)
    model = g.add("ModelSamplingFlux", model=loaded.model, width=1024, height=1024)
    sigmas = g.add("BasicScheduler", model=model, scheduler="simple", steps=20)
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, decode(g, guided(g, model, guidance, latent, sigmas), loaded.vae))


@IMAGES.register("txt2img")
def flux_dev_checkpoint_at_two_megapixels(g: Builder) -> None:
    loaded = checkpoint(g, "flux1-dev-fp8.safetensors")
    positive, negative = prompts(g, loaded.clip, negative="")
    guidance = g.add("FluxGuidance", conditioning=positive, guidance=3.0)
    latent = g.add("EmptySD3LatentImage", width=1920, height=1080)
    result = sample(g, loaded.model, guidance, negative, latent, steps=30, cfg=1.0, scheduler="simple")
    save(g, decode(g, result, loaded.vae), "wallpapers/flux")


@IMAGES.register("txt2img")
def flux_schnell_four_steps(g: Builder) -> None:
    loaded = flux(g, "flux1-schnell.safetensors")
    conditioning = g.add("CLIPTextEncodeFlux", clip=loaded.clip, clip_l="a cat", t5xxl="A cat that holds a sign.")
    sigmas = g.add("BasicScheduler", model=loaded.model, scheduler="simple", steps=4)
    latent = g.add("EmptyLatentImage", width=1024, height=768, batch_size=4)
    save(g, decode(g, guided(g, loaded.model, conditioning, latent, sigmas), loaded.vae))


@IMAGES.register("txt2img")
def flux2_dev(g: Builder) -> None:
    clip = "mistral_3_small_flux2_bf16.safetensors"
    loaded = parts(g, "flux2_dev_fp8mixed.safetensors", clip, "flux2", "flux2-vae.safetensors")
    guidance = g.add("FluxGuidance", conditioning=text(g, loaded.clip), guidance=4.0)
    latent = g.add("EmptyFlux2LatentImage", width=1248, height=832)
    sigmas = g.add("Flux2Scheduler", steps=20, width=1248, height=832)
    save(g, decode(g, guided(g, loaded.model, guidance, latent, sigmas), loaded.vae))


@IMAGES.register("txt2img")
def qwen_image(g: Builder) -> None:
    loaded = qwen(g)
    model = g.add("ModelSamplingAuraFlow", model=loaded.model, shift=3.1)
    latent = g.add("EmptySD3LatentImage", width=1328, height=1328)
    save(g, picture(g, loaded._replace(model=model), latent, steps=20, cfg=2.5, scheduler="simple"))


@IMAGES.register("txt2img")
def qwen_image_lightning_lora(g: Builder) -> None:
    loaded = qwen(g)
    fast = g.add("LoraLoaderModelOnly", model=loaded.model, lora_name="Qwen-Image-Lightning-8steps-V1.0.safetensors")
    model = g.add("ModelSamplingAuraFlow", model=fast, shift=3.0)
    latent = g.add("EmptySD3LatentImage", width=1664, height=928, batch_size=2)
    save(g, picture(g, loaded._replace(model=model), latent, steps=8, cfg=1.0, scheduler="simple"))


@IMAGES.register("txt2img")
def z_image_turbo(g: Builder) -> None:
    loaded = parts(g, "z_image_turbo_bf16.safetensors", "qwen_3_4b.safetensors", "lumina2", "ae.safetensors")
    positive = text(g, loaded.clip)
    negative = g.add("ConditioningZeroOut", conditioning=positive)
    model = g.add("ModelSamplingAuraFlow", model=loaded.model, shift=3.0)
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    settings = {"steps": 9, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple"}
    save(g, decode(g, sample(g, model, positive, negative, latent, **settings), loaded.vae))


@IMAGES.register("txt2img")
def hidream_four_text_encoders(g: Builder) -> None:
    clips = (
        "clip_l_hidream.safetensors", "clip_g_hidream.safetensors",
        "t5xxl_fp8_e4m3fn_scaled.safetensors", "llama_3.1_8b_instruct_fp8_scaled.safetensors",
    )  # fmt: skip
    loaded = parts(g, "hidream_i1_full_fp16.safetensors", clips, "hidream", "ae.safetensors")
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=3.0)
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, picture(g, loaded._replace(model=model), latent, steps=50, cfg=5.0, sampler_name="uni_pc"))


@IMAGES.register("txt2img")
def lumina2_with_system_prompt(g: Builder) -> None:
    loaded = checkpoint(g, "lumina_2.safetensors")
    words = {"clip": loaded.clip, "system_prompt": "superior"}
    positive = g.add("CLIPTextEncodeLumina2", user_prompt="a glass teapot on a windowsill", **words)
    negative = g.add("CLIPTextEncodeLumina2", user_prompt="blurry", **words)
    model = g.add("RenormCFG", model=g.add("ModelSamplingAuraFlow", model=loaded.model, shift=6.0))
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, model, positive, negative, latent, steps=25, cfg=4.0), loaded.vae))


@IMAGES.register("txt2img")
def chroma_with_beta_schedule(g: Builder) -> None:
    loaded = parts(g, "chroma1-hd.safetensors", "t5xxl_fp16.safetensors", "chroma", "ae.safetensors")
    clip = g.add("T5TokenizerOptions", clip=loaded.clip, min_padding=1, min_length=0)
    positive, negative = prompts(g, clip)
    result = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=7),
        guider=g.add("CFGGuider", model=loaded.model, positive=positive, negative=negative, cfg=3.8),
        sampler=g.add("KSamplerSelect", sampler_name="res_multistep"),
        sigmas=g.add("BetaSamplingScheduler", model=loaded.model, steps=26),
        latent_image=g.add("EmptySD3LatentImage", width=1152, height=896),
    )  # fmt: skip
    save(g, decode(g, result, loaded.vae))


@IMAGES.register("txt2img")
def stable_cascade_two_stages(g: Builder) -> None:
    stage_c = checkpoint(g, "stable_cascade_stage_c.safetensors")
    stage_b = checkpoint(g, "stable_cascade_stage_b.safetensors")
    latents = g.add("StableCascade_EmptyLatentImage", width=1536, height=1024)
    positive, negative = prompts(g, stage_c.clip)
    first = sample(g, stage_c.model, positive, negative, latents[0], steps=20, cfg=4.0)
    conditioning = g.add("StableCascade_StageB_Conditioning", conditioning=positive, stage_c=first)
    zero = g.add("ConditioningZeroOut", conditioning=positive)
    second = sample(g, stage_b.model, conditioning, zero, latents[1], steps=10, cfg=1.1)
    save(g, decode(g, second, stage_b.vae))


@IMAGES.register("txt2img")
def pixart_sigma(g: Builder) -> None:
    loaded = parts(g, "PixArt-Sigma-XL-2-1024-MS.pth", "t5xxl_fp16.safetensors", "pixart", "pixart_vae.safetensors")
    positive = g.add("CLIPTextEncodePixArtAlpha", clip=loaded.clip, text="isometric city block")
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, positive, text(g, loaded.clip, ""), latent, cfg=4.5), loaded.vae))


@IMAGES.register("txt2img")
def hunyuan_image_at_2048(g: Builder) -> None:
    clips = ("qwen_2.5_vl_7b.safetensors", "byt5_small_glyphxl_fp16.safetensors")
    loaded = parts(g, "hunyuanimage2.1_bf16.safetensors", clips, "hunyuan_image", "hunyuan_image_2.1_vae.safetensors")
    latent = g.add("EmptyHunyuanImageLatent", width=2048, height=2048)
    save(g, picture(g, loaded, latent, steps=50, cfg=3.5, scheduler="simple"))


@IMAGES.register("txt2img")
def cosmos_predict2_text_to_image(g: Builder) -> None:
    loaded = parts(
        g, "cosmos_predict2_2B_t2i.safetensors", "oldt5_xxl_fp8_e4m3fn_scaled.safetensors", "cosmos",
        "wan_2.1_vae.safetensors",
    )  # fmt: skip
    save(g, picture(g, loaded, g.add("EmptySD3LatentImage", width=1024, height=1024), steps=35, cfg=4.0))


@IMAGES.register("txt2img")
def many_steps_for_a_comparison(g: Builder) -> None:
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, picture(g, checkpoint(g, SDXL), latent, steps=150, cfg=8.0, sampler_name="dpmpp_3m_sde_gpu"))


@IMAGES.register("txt2img")
def preview_only(g: Builder) -> None:
    g.add("PreviewImage", images=picture(g, checkpoint(g), g.add("EmptyLatentImage")))


@IMAGES.register("txt2img")
def several_guidance_patches(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    model = g.add("FreeU_V2", model=loaded.model)
    model = g.add("PerturbedAttentionGuidance", model=model, scale=3.0)
    model = g.add("SelfAttentionGuidance", model=model)
    model = g.add("RescaleCFG", model=model)
    model = g.add("TomePatchModel", model=g.add("HyperTile", model=model))
    latent = g.add("EmptyLatentImage", width=896, height=1152)
    save(g, picture(g, loaded._replace(model=model), latent, steps=32))


# --- image to image --------------------------------------------------------------------------------------------------


@IMAGES.register("img2img")
def sd15_image_to_image(g: Builder) -> None:
    loaded = checkpoint(g)
    latent = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    save(g, picture(g, loaded, latent, denoise=0.6))


@IMAGES.register("img2img")
def sdxl_scaled_to_one_megapixel(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    fitted = g.add("ImageScaleToTotalPixels", image=image(g, IMAGE_1), upscale_method="lanczos", megapixels=1.0)
    latent = g.add("VAEEncode", pixels=fitted, vae=loaded.vae)
    save(g, picture(g, loaded, latent, steps=30, denoise=0.45))


@IMAGES.register("img2img")
def four_variations_of_one_upload(g: Builder) -> None:
    loaded = checkpoint(g)
    scaled = g.add(
        "ImageScale", image=image(g, IMAGE_1), upscale_method="lanczos", width=768, height=512, crop="center"
    )
    latent = g.add("RepeatLatentBatch", samples=g.add("VAEEncode", pixels=scaled, vae=loaded.vae), amount=4)
    save(g, picture(g, loaded, latent, denoise=0.75), "variations")


@IMAGES.register("img2img")
def flux_image_to_image(g: Builder) -> None:
    loaded = flux(g)
    small = g.add("ImageScaleToMaxDimension", image=image(g, IMAGE_1), upscale_method="lanczos", largest_size=1024)
    latent = g.add("VAEEncode", pixels=small, vae=loaded.vae)
    guidance = g.add("FluxGuidance", conditioning=text(g, loaded.clip), guidance=3.5)
    sigmas = g.add("BasicScheduler", model=loaded.model, scheduler="simple", steps=25, denoise=0.7)
    save(g, decode(g, guided(g, loaded.model, guidance, latent, sigmas), loaded.vae))


@IMAGES.register("img2img")
def instruct_pix2pix(g: Builder) -> None:
    loaded = checkpoint(g, "instruct-pix2pix-00-22000.safetensors")
    positive, negative = prompts(g, loaded.clip, "make it winter")
    wired = g.add(
        "InstructPixToPixConditioning", positive=positive, negative=negative, vae=loaded.vae, pixels=image(g, IMAGE_1)
    )
    save(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=7.5), loaded.vae))


@IMAGES.register("img2img")
def sketch_with_noise_added(g: Builder) -> None:
    loaded = checkpoint(g)
    rough = g.add("ImageAddNoise", image=image(g, IMAGE_1), seed=11, strength=0.3)
    latent = g.add("VAEEncode", pixels=rough, vae=loaded.vae)
    save(g, picture(g, loaded, latent, denoise=0.8))


# --- editing by instruction ------------------------------------------------------------------------------------------


@IMAGES.register("edit")
def flux_kontext(g: Builder) -> None:
    loaded = flux(g, "flux1-dev-kontext_fp8_scaled.safetensors")
    scaled = g.add("FluxKontextImageScale", image=image(g, IMAGE_1))
    latent = g.add("VAEEncode", pixels=scaled, vae=loaded.vae)
    positive = text(g, loaded.clip, "replace the sign with 'OPEN'")
    reference = g.add("ReferenceLatent", conditioning=positive, latent=latent)
    guidance = g.add("FluxGuidance", conditioning=reference, guidance=2.5)
    zero = g.add("ConditioningZeroOut", conditioning=positive)
    save(g, decode(g, sample(g, loaded.model, guidance, zero, latent, cfg=1.0, scheduler="simple"), loaded.vae))


@IMAGES.register("edit")
def flux_kontext_two_images_stitched(g: Builder) -> None:
    loaded = flux(g, "flux1-dev-kontext_fp8_scaled.safetensors")
    both = g.add("ImageStitch", image1=image(g, IMAGE_1), image2=image(g, IMAGE_2))
    scaled = g.add("FluxKontextImageScale", image=both)
    g.add("PreviewImage", images=scaled)
    latent = g.add("VAEEncode", pixels=scaled, vae=loaded.vae)
    positive = text(g, loaded.clip, "both characters sit at the same table")
    guidance = g.add("FluxGuidance", conditioning=g.add("ReferenceLatent", conditioning=positive, latent=latent))
    canvas = g.add("EmptySD3LatentImage", width=1248, height=832)
    zero = g.add("ConditioningZeroOut", conditioning=positive)
    save(g, decode(g, sample(g, loaded.model, guidance, zero, canvas, cfg=1.0, scheduler="simple"), loaded.vae))


@IMAGES.register("edit")
def qwen_image_edit(g: Builder) -> None:
    loaded = qwen(g, "qwen_image_edit_fp8_e4m3fn.safetensors")
    source = g.add("ImageScaleToTotalPixels", image=image(g, IMAGE_1), upscale_method="lanczos", megapixels=1.0)
    wired = {"clip": loaded.clip, "vae": loaded.vae, "image": source}
    positive = g.add("TextEncodeQwenImageEdit", prompt="remove the people in the background", **wired)
    negative = g.add("TextEncodeQwenImageEdit", prompt="", **wired)
    model = g.add("CFGNorm", model=g.add("ModelSamplingAuraFlow", model=loaded.model, shift=3.0))
    latent = g.add("VAEEncode", pixels=source, vae=loaded.vae)
    save(g, decode(g, sample(g, model, positive, negative, latent, cfg=2.5, scheduler="simple"), loaded.vae))


@IMAGES.register("edit")
def qwen_image_edit_three_references(g: Builder) -> None:
    loaded = qwen(g, "qwen_image_edit_2509_fp8_e4m3fn.safetensors")
    first = image(g, IMAGE_1)
    wired = {"clip": loaded.clip, "vae": loaded.vae, "image1": first}
    wired |= {"image2": image(g, IMAGE_2), "image3": image(g, IMAGE_3)}
    positive = g.add(
        "TextEncodeQwenImageEditPlus", prompt="the person of picture 1 wears the coat of picture 2", **wired
    )
    negative = g.add("TextEncodeQwenImageEditPlus", prompt="", **wired)
    latent = g.add("VAEEncode", pixels=first, vae=loaded.vae)
    save(g, decode(g, sample(g, loaded.model, positive, negative, latent, cfg=2.5, scheduler="simple"), loaded.vae))


@IMAGES.register("edit")
def omnigen2_reference(g: Builder) -> None:
    loaded = parts(g, "omnigen2_fp16.safetensors", "qwen_2.5_vl_fp16.safetensors", "omnigen2", "ae.safetensors")
    latent = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    positive, negative = prompts(g, loaded.clip, "put a straw hat on the dog")
    result = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=832350079790627),
        guider=g.add(
            "DualCFGGuider", model=loaded.model, negative=negative, cfg_conds=5.0, cfg_cond2_negative=2.0,
            cond1=g.add("ReferenceLatent", conditioning=positive, latent=latent),
            cond2=g.add("ReferenceLatent", conditioning=negative, latent=latent),
        ),
        sampler=g.add("KSamplerSelect", sampler_name="euler"),
        sigmas=g.add("BasicScheduler", model=loaded.model, scheduler="simple", steps=20),
        latent_image=g.add("EmptySD3LatentImage", width=1024, height=1024),
    )  # fmt: skip
    save(g, decode(g, result, loaded.vae))


# --- inpaint and outpaint --------------------------------------------------------------------------------------------


@IMAGES.register("inpaint")
def inpainting_checkpoint(g: Builder) -> None:
    loaded = checkpoint(g, "512-inpainting-ema.safetensors")
    source = image(g, IMAGE_1)
    latent = g.add("VAEEncodeForInpaint", pixels=source[0], mask=source[1], vae=loaded.vae, grow_mask_by=6)
    save(g, picture(g, loaded, latent))


@IMAGES.register("inpaint")
def noise_mask_from_its_own_file(g: Builder) -> None:
    loaded = checkpoint(g)
    mask = g.add("LoadImageMask", image=MASK_1, channel="red")
    latent = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    masked = g.add("SetLatentNoiseMask", samples=latent, mask=g.add("GrowMask", mask=mask, expand=8))
    save(g, picture(g, loaded, masked, denoise=0.85))


@IMAGES.register("inpaint")
def flux_fill(g: Builder) -> None:
    loaded = flux(g, "flux1-fill-dev.safetensors")
    source = image(g, IMAGE_1)
    positive, negative = prompts(g, loaded.clip, "a bowl of lemons", "")
    wired = g.add(
        "InpaintModelConditioning", positive=g.add("FluxGuidance", conditioning=positive, guidance=30.0),
        negative=negative, vae=loaded.vae, pixels=source[0], mask=source[1], noise_mask=False,
    )  # fmt: skip
    model = g.add("DifferentialDiffusion", model=loaded.model)
    save(g, decode(g, sample(g, model, wired[0], wired[1], wired[2], cfg=1.0), loaded.vae))


@IMAGES.register("inpaint")
def inpaint_and_paste_back(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    source, mask = image(g, IMAGE_1), g.add("LoadImageMask", image=MASK_1, channel="alpha")
    cut = g.add("ImageCrop", image=source, width=512, height=512, x=256, y=128)
    hole = g.add("CropMask", mask=mask, width=512, height=512, x=256, y=128)
    large = g.add("ImageScale", image=cut, upscale_method="lanczos", width=1024, height=1024)
    latent = g.add("VAEEncode", pixels=large, vae=loaded.vae)
    made = picture(g, loaded, g.add("SetLatentNoiseMask", samples=latent, mask=hole), denoise=0.7)
    small = g.add("ImageScale", image=made, upscale_method="area", width=512, height=512)
    edge = g.add("FeatherMask", mask=hole, left=16, top=16, right=16, bottom=16)
    save(g, g.add("ImageCompositeMasked", destination=source, source=small, x=256, y=128, mask=edge))


@IMAGES.register("inpaint")
def qwen_inpaint_by_color(g: Builder) -> None:
    loaded = qwen(g)
    source = image(g, IMAGE_1)
    mask = g.add("ImageColorToMask", image=source, color=0x00FF00)
    latent = g.add("VAEEncode", pixels=source, vae=loaded.vae)
    masked = g.add("SetLatentNoiseMask", samples=latent, mask=mask)
    save(g, picture(g, loaded, masked, cfg=2.5, denoise=0.9, scheduler="simple"))


@IMAGES.register("inpaint")
def background_replaced_by_model(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    source = image(g, IMAGE_1)
    remover = g.add("LoadBackgroundRemovalModel", bg_removal_name="BiRefNet.safetensors")
    person = g.add("RemoveBackground", bg_removal_model=remover, image=source)
    latent = g.add("VAEEncode", pixels=source, vae=loaded.vae)
    masked = g.add("SetLatentNoiseMask", samples=latent, mask=g.add("InvertMask", mask=person))
    save(g, picture(g, loaded, masked))


@IMAGES.register("outpaint")
def sd15_outpaint(g: Builder) -> None:
    loaded = checkpoint(g, "512-inpainting-ema.safetensors")
    padded = g.add("ImagePadForOutpaint", image=image(g, IMAGE_1), left=256, right=256, feathering=40)
    latent = g.add("VAEEncodeForInpaint", pixels=padded[0], mask=padded[1], vae=loaded.vae, grow_mask_by=8)
    save(g, picture(g, loaded, latent, steps=30))


@IMAGES.register("outpaint")
def flux_fill_outpaint_all_sides(g: Builder) -> None:
    loaded = flux(g, "flux1-fill-dev.safetensors")
    padded = g.add("ImagePadForOutpaint", image=image(g, IMAGE_1), left=400, top=400, right=400, bottom=400)
    positive, negative = prompts(g, loaded.clip, "a wide mountain valley", "")
    wired = g.add(
        "InpaintModelConditioning", positive=g.add("FluxGuidance", conditioning=positive, guidance=30.0),
        negative=negative, vae=loaded.vae, pixels=padded[0], mask=padded[1],
    )  # fmt: skip
    save(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=1.0), loaded.vae))


@IMAGES.register("outpaint")
def canvas_padded_to_a_size(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    wide = g.add("ResizeAndPadImage", image=image(g, IMAGE_1), target_width=1344, target_height=768)
    latent = g.add("VAEEncode", pixels=wide, vae=loaded.vae)
    save(g, picture(g, loaded, latent, denoise=0.65))


# --- ControlNet ------------------------------------------------------------------------------------------------------


@IMAGES.register("controlnet")
def canny_control(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    edges = g.add("Canny", image=image(g, IMAGE_1), low_threshold=0.3, high_threshold=0.7)
    g.add("PreviewImage", images=edges)
    net = g.add("ControlNetLoader", control_net_name="control_v11p_sd15_canny_fp16.safetensors")
    guided_by = g.add(
        "ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=net, image=edges, strength=0.9
    )
    latent = g.add("EmptyLatentImage", width=512, height=768)
    save(g, decode(g, sample(g, loaded.model, guided_by[0], guided_by[1], latent), loaded.vae))


@IMAGES.register("controlnet")
def old_style_control_apply(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    net = g.add("ControlNetLoader", control_net_name="control_v11p_sd15_scribble_fp16.safetensors")
    drawn = g.add("ControlNetApply", conditioning=positive, control_net=net, image=image(g, IMAGE_1), strength=0.8)
    save(g, decode(g, sample(g, loaded.model, drawn, negative, g.add("EmptyLatentImage")), loaded.vae))


@IMAGES.register("controlnet")
def pose_depth_and_edges_stacked(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    positive, negative = (node[0] for node in prompts(g, loaded.clip))
    controls = (
        ("OpenPoseXL2.safetensors", IMAGE_1, 0.9),
        ("diffusers_xl_depth_full.safetensors", IMAGE_2, 0.6),
        ("diffusers_xl_canny_full.safetensors", IMAGE_3, 0.35),
    )
    for name, upload, strength in controls:
        applied = g.add(
            "ControlNetApplyAdvanced", positive=positive, negative=negative, strength=strength, end_percent=0.8,
            control_net=g.add("ControlNetLoader", control_net_name=name), image=image(g, upload),
        )  # fmt: skip
        positive, negative = applied[0], applied[1]
    latent = g.add("EmptyLatentImage", width=832, height=1216)
    save(g, decode(g, sample(g, loaded.model, positive, negative, latent, steps=30), loaded.vae))


@IMAGES.register("controlnet")
def union_control_on_flux(g: Builder) -> None:
    loaded = flux(g)
    positive, negative = prompts(g, loaded.clip, negative="")
    net = g.add("ControlNetLoader", control_net_name="flux/FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors")
    union = g.add("SetUnionControlNetType", control_net=net, type="depth")
    applied = g.add(
        "ControlNetApplySD3", positive=g.add("FluxGuidance", conditioning=positive), negative=negative,
        control_net=union, vae=loaded.vae, image=image(g, IMAGE_1), strength=0.6, end_percent=0.7,
    )  # fmt: skip
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, applied[0], applied[1], latent, cfg=1.0), loaded.vae))


@IMAGES.register("controlnet")
def inpaint_control_on_flux(g: Builder) -> None:
    loaded = flux(g)
    positive, negative = prompts(g, loaded.clip)
    source = image(g, IMAGE_1)
    net = g.add("ControlNetLoader", control_net_name="flux-inpainting-beta.safetensors")
    applied = g.add(
        "ControlNetInpaintingAliMamaApply", positive=positive, negative=negative, control_net=net, vae=loaded.vae,
        image=source[0], mask=source[1], strength=0.9,
    )  # fmt: skip
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, applied[0], applied[1], latent, cfg=3.5), loaded.vae))


@IMAGES.register("controlnet")
def flux_depth_model_with_lora(g: Builder) -> None:
    loaded = flux(g)
    model = g.add("LoraLoaderModelOnly", model=loaded.model, lora_name="flux1-depth-dev-lora.safetensors")
    positive, negative = prompts(g, loaded.clip, negative="")
    wired = g.add(
        "InstructPixToPixConditioning", positive=g.add("FluxGuidance", conditioning=positive, guidance=10.0),
        negative=negative, vae=loaded.vae, pixels=image(g, IMAGE_1),
    )  # fmt: skip
    save(g, decode(g, sample(g, model, wired[0], wired[1], wired[2], cfg=1.0), loaded.vae))


@IMAGES.register("controlnet")
def qwen_model_patch_control(g: Builder) -> None:
    loaded = qwen(g)
    patch = g.add("ModelPatchLoader", name="qwen_image_canny_diffsynth_controlnet.safetensors")
    edges = g.add("Canny", image=image(g, IMAGE_1))
    model = g.add(
        "QwenImageDiffsynthControlnet", model=loaded.model, model_patch=patch, vae=loaded.vae, image=edges, strength=1.0
    )
    latent = g.add("VAEEncode", pixels=edges, vae=loaded.vae)
    save(g, picture(g, loaded._replace(model=model), latent, cfg=2.5, scheduler="simple"))


@IMAGES.register("controlnet")
def depth_estimated_then_controlled(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    estimator = g.add("LoadDA3Model", model_name="depth_anything_3_base.safetensors")
    geometry = g.add("DA3Inference", da3_model=estimator, image=image(g, IMAGE_1), mode="mono")
    depth = g.add("DA3Render", da3_geometry=geometry, output="depth", output__normalization="v2_style",
                  output__apply_sky_clip=False)  # fmt: skip
    positive, negative = prompts(g, loaded.clip)
    net = g.add("ControlNetLoader", control_net_name="diffusers_xl_depth_full.safetensors")
    applied = g.add("ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=net, image=depth)
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, applied[0], applied[1], latent), loaded.vae))


# --- LoRA and other additions to a model -----------------------------------------------------------------------------


@IMAGES.register("lora")
def one_lora(g: Builder) -> None:
    loaded = checkpoint(g)
    lora = g.add(
        "LoraLoader", model=loaded.model, clip=loaded.clip, lora_name="add_detail.safetensors", strength_model=0.7
    )
    save(g, picture(g, loaded._replace(model=lora[0], clip=lora[1]), g.add("EmptyLatentImage", width=512, height=768)))


@IMAGES.register("lora")
def five_loras_stacked(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    names = (
        "sdxl/detail-tweaker-xl",
        "sdxl/watercolor",
        "sdxl/film-grain",
        "sdxl/sailor",
        "sd_xl_offset_example-lora_1.0",
    )
    for name in names:
        lora = g.add(
            "LoraLoader", model=loaded.model, clip=loaded.clip, lora_name=f"{name}.safetensors", strength_clip=0.5
        )
        loaded = loaded._replace(model=lora[0], clip=lora[1])
    save(g, picture(g, loaded, g.add("EmptyLatentImage", width=1024, height=1024, batch_size=2)))


@IMAGES.register("lora")
def lcm_lora(g: Builder) -> None:
    loaded = checkpoint(g)
    fast = g.add("LoraLoaderModelOnly", model=loaded.model, lora_name="lcm-lora-sdv1-5.safetensors")
    model = g.add("ModelSamplingDiscrete", model=fast, sampling="lcm")
    latent = g.add("EmptyLatentImage", batch_size=4)
    save(g, picture(g, loaded._replace(model=model), latent, steps=6, cfg=1.5, sampler_name="lcm"))


@IMAGES.register("lora")
def hypernetwork(g: Builder) -> None:
    loaded = checkpoint(g)
    model = g.add("HypernetworkLoader", model=loaded.model, hypernetwork_name="anime_3.pt", strength=0.6)
    save(g, picture(g, loaded._replace(model=model), g.add("EmptyLatentImage")))


@IMAGES.register("lora")
def lora_scheduled_with_hooks(g: Builder) -> None:
    loaded = checkpoint(g)
    first = g.add("CreateHookKeyframe", strength_mult=0.0, start_percent=0.0)
    second = g.add("CreateHookKeyframe", strength_mult=1.0, start_percent=0.5, prev_hook_kf=first)
    hooks = g.add("CreateHookLora", lora_name="add_detail.safetensors", strength_model=1.0, strength_clip=1.0)
    scheduled = g.add("SetHookKeyframes", hooks=hooks, hook_kf=second)
    clip = g.add("SetClipHooks", clip=loaded.clip, hooks=scheduled)
    save(g, picture(g, loaded._replace(clip=clip), g.add("EmptyLatentImage")))


# --- hires fix and upscaling -----------------------------------------------------------------------------------------


@IMAGES.register("hires")
def latent_upscale_then_second_pass(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    first = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", width=768, height=768))
    large = g.add("LatentUpscale", samples=first, upscale_method="bislerp", width=1152, height=1152)
    second = sample(g, loaded.model, positive, negative, large, steps=14, denoise=0.5)
    save(g, decode(g, first, loaded.vae), "hires/first")
    save(g, decode(g, second, loaded.vae), "hires/second")


@IMAGES.register("hires")
def upscale_latent_by_factor(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    positive, negative = prompts(g, loaded.clip)
    first = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", width=1024, height=1024))
    large = g.add("LatentUpscaleBy", samples=first, upscale_method="bicubic", scale_by=1.5)
    second = sample(g, loaded.model, positive, negative, large, steps=20, denoise=0.55)
    save(g, g.add("VAEDecodeTiled", samples=second, vae=loaded.vae))


@IMAGES.register("hires")
def model_upscale_then_second_pass(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    first = sample(g, loaded.model, positive, negative, g.add("EmptyLatentImage", width=512, height=768), steps=25)
    upscaler = g.add("UpscaleModelLoader", model_name=ESRGAN)
    four_times = g.add("ImageUpscaleWithModel", upscale_model=upscaler, image=decode(g, first, loaded.vae))
    half = g.add("ImageScaleBy", image=four_times, upscale_method="area", scale_by=0.5)
    latent = g.add("VAEEncodeTiled", pixels=half, vae=loaded.vae)
    second = sample(g, loaded.model, positive, negative, latent, steps=20, denoise=0.4)
    save(g, g.add("VAEDecodeTiled", samples=second, vae=loaded.vae, tile_size=768))


@IMAGES.register("hires")
def patched_downscale_at_2048(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    model = g.add("PatchModelAddDownscale", model=loaded.model, block_number=3, downscale_factor=2.0)
    latent = g.add("EmptyLatentImage", width=2048, height=2048)
    save(g, picture(g, loaded._replace(model=model), latent, steps=35))


@IMAGES.register("upscale")
def upload_upscaled_four_times(g: Builder) -> None:
    upscaler = g.add("UpscaleModelLoader", model_name=ESRGAN)
    save(g, g.add("ImageUpscaleWithModel", upscale_model=upscaler, image=image(g, IMAGE_1)), "upscaled")


@IMAGES.register("upscale")
def two_k_picture_upscaled_four_times(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    made = picture(g, loaded, g.add("EmptyLatentImage", width=2048, height=2048), steps=30)
    upscaler = g.add("UpscaleModelLoader", model_name="4x-UltraSharp.pth")
    save(g, g.add("ImageUpscaleWithModel", upscale_model=upscaler, image=made))


@IMAGES.register("upscale")
def scaled_and_sharpened(g: Builder) -> None:
    large = g.add("ImageScaleBy", image=image(g, IMAGE_1), upscale_method="lanczos", scale_by=2.0)
    save(g, g.add("ImageSharpen", image=large, sharpen_radius=2, sigma=1.0, alpha=0.6))


@IMAGES.register("upscale")
def sd_x4_upscaler(g: Builder) -> None:
    loaded = checkpoint(g, "x4-upscaler-ema.safetensors")
    positive, negative = prompts(g, loaded.clip)
    wired = g.add(
        "SD_4XUpscale_Conditioning", images=image(g, IMAGE_1), positive=positive, negative=negative, scale_ratio=4.0
    )
    save(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], steps=25), loaded.vae))


@IMAGES.register("upscale")
def tiles_redrawn_one_by_one(g: Builder) -> None:
    loaded = checkpoint(g)
    upscaler = g.add("UpscaleModelLoader", model_name=ESRGAN)
    large = g.add("ImageUpscaleWithModel", upscale_model=upscaler, image=image(g, IMAGE_1))
    tiles = g.add("SplitImageToTileList", image=large, tile_width=1024, tile_height=1024, overlap=128)
    latent = g.add("VAEEncode", pixels=tiles, vae=loaded.vae)
    redrawn = picture(g, loaded, latent, denoise=0.3)
    size = g.add("GetImageSize", image=large)
    merged = g.add("ImageMergeTileList", image_list=redrawn, final_width=size[0], final_height=size[1], overlap=128)
    save(g, merged)


@IMAGES.register("upscale")
def tiled_vae_for_a_large_upload(g: Builder) -> None:
    vae = g.add("VAELoader", vae_name="ae.safetensors")
    large = g.add("ImageScale", image=image(g, IMAGE_1), upscale_method="lanczos", width=3840, height=2160)
    latent = g.add("VAEEncodeTiled", pixels=large, vae=vae, tile_size=1024)
    save(g, g.add("VAEDecodeTiled", samples=latent, vae=vae, tile_size=1024, overlap=128))


@IMAGES.register("upscale")
def supir_restoration(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    source = g.add("ImageScaleBy", image=image(g, IMAGE_1), upscale_method="lanczos", scale_by=2.0)
    patch = g.add("ModelPatchLoader", name="SUPIR-v0Q_fp16.safetensors")
    model = g.add("SUPIRApply", model=loaded.model, model_patch=patch, vae=loaded.vae, image=source)
    latent = g.add("VAEEncode", pixels=source, vae=loaded.vae)
    save(g, picture(g, loaded._replace(model=model), latent, steps=40, cfg=4.0))


# --- images as prompts -----------------------------------------------------------------------------------------------


@IMAGES.register("image_prompt")
def unclip_from_two_images(g: Builder) -> None:
    node = g.add("unCLIPCheckpointLoader", ckpt_name="sd21-unclip-h.ckpt")
    positive, negative = prompts(g, node[1])
    conditioning = positive[0]
    for upload in (IMAGE_1, IMAGE_2):
        seen = g.add("CLIPVisionEncode", clip_vision=node[3], image=image(g, upload))
        conditioning = g.add("unCLIPConditioning", conditioning=conditioning, clip_vision_output=seen, strength=0.8)[0]
    latent = g.add("EmptyLatentImage", width=768, height=768)
    save(g, decode(g, sample(g, node[0], conditioning, negative, latent), node[2]))


@IMAGES.register("image_prompt")
def flux_redux_style(g: Builder) -> None:
    loaded = flux(g)
    vision = g.add("CLIPVisionLoader", clip_name="sigclip_vision_patch14_384.safetensors")
    seen = g.add("CLIPVisionEncode", clip_vision=vision, image=image(g, IMAGE_1))
    style = g.add("StyleModelLoader", style_model_name="flux1-redux-dev.safetensors")
    guidance = g.add("FluxGuidance", conditioning=text(g, loaded.clip), guidance=3.5)
    conditioning = g.add("StyleModelApply", conditioning=guidance, style_model=style, clip_vision_output=seen)
    sigmas = g.add("BasicScheduler", model=loaded.model, scheduler="simple", steps=20)
    latent = g.add("EmptySD3LatentImage", width=1024, height=1024)
    save(g, decode(g, guided(g, loaded.model, conditioning, latent, sigmas), loaded.vae))


@IMAGES.register("image_prompt")
def sdxl_revision(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    vision = g.add("CLIPVisionLoader", clip_name="clip_vision_g.safetensors")
    seen = g.add("CLIPVisionEncode", clip_vision=vision, image=image(g, IMAGE_1))
    zero = g.add("ConditioningZeroOut", conditioning=text(g, loaded.clip, ""))
    positive = g.add("unCLIPConditioning", conditioning=zero, clip_vision_output=seen, strength=1.0)
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, positive, zero, latent), loaded.vae))


@IMAGES.register("image_prompt")
def photomaker(g: Builder) -> None:
    loaded = checkpoint(g, SDXL)
    maker = g.add("PhotoMakerLoader", photomaker_model_name="photomaker-v1.bin")
    faces = g.add("ImageBatch", image1=image(g, IMAGE_1), image2=image(g, IMAGE_2))
    positive = g.add(
        "PhotoMakerEncode", photomaker=maker, image=faces, clip=loaded.clip, text="photo of photomaker man"
    )
    latent = g.add("EmptyLatentImage", width=1024, height=1024)
    save(g, decode(g, sample(g, loaded.model, positive, text(g, loaded.clip, ""), latent), loaded.vae))


@IMAGES.register("image_prompt")
def zero123_turntable(g: Builder) -> None:
    loader = g.add("ImageOnlyCheckpointLoader", ckpt_name="stable_zero123.ckpt")
    wired = g.add(
        "StableZero123_Conditioning_Batched", clip_vision=loader[1], init_image=image(g, IMAGE_1), vae=loader[2],
        width=256, height=256, batch_size=8, azimuth=0.0, azimuth_batch_increment=45.0,
    )  # fmt: skip
    save(g, decode(g, sample(g, loader[0], wired[0], wired[1], wired[2], cfg=4.0), loader[2]))


# --- prompts for regions and in time ---------------------------------------------------------------------------------


@IMAGES.register("regional")
def two_areas(g: Builder) -> None:
    loaded = checkpoint(g)
    left = g.add("ConditioningSetArea", conditioning=text(g, loaded.clip, "a castle"), width=512, height=768, x=0)
    right = g.add("ConditioningSetArea", conditioning=text(g, loaded.clip, "a forest"), width=512, height=768, x=512)
    both = g.add("ConditioningCombine", conditioning_1=left, conditioning_2=right)
    latent = g.add("EmptyLatentImage", width=1024, height=768)
    save(g, decode(g, sample(g, loaded.model, both, text(g, loaded.clip, ""), latent), loaded.vae))


@IMAGES.register("regional")
def masked_conditioning(g: Builder) -> None:
    loaded = checkpoint(g)
    canvas = g.add("SolidMask", value=0.0, width=768, height=512)
    spot = g.add("SolidMask", value=1.0, width=256, height=256)
    mask = g.add("MaskComposite", destination=canvas, source=spot, x=64, y=64, operation="add")
    subject = g.add("ConditioningSetMask", conditioning=text(g, loaded.clip, "a knight"), mask=mask)
    scene = g.add("ConditioningSetAreaStrength", conditioning=text(g, loaded.clip, "a meadow"), strength=0.8)
    both = g.add("ConditioningCombine", conditioning_1=subject, conditioning_2=scene)
    latent = g.add("EmptyLatentImage", width=768, height=512)
    save(g, decode(g, sample(g, loaded.model, both, text(g, loaded.clip, ""), latent), loaded.vae))


@IMAGES.register("regional")
def prompt_changes_in_time(g: Builder) -> None:
    loaded = checkpoint(g)
    early = g.add("ConditioningSetTimestepRange", conditioning=text(g, loaded.clip, "a face"), start=0.0, end=0.4)
    late = g.add("ConditioningSetTimestepRange", conditioning=text(g, loaded.clip, "a mask"), start=0.4, end=1.0)
    both = g.add("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    latent = g.add("EmptyLatentImage")
    save(g, decode(g, sample(g, loaded.model, both, text(g, loaded.clip, ""), latent), loaded.vae))


@IMAGES.register("regional")
def prompts_averaged_and_joined(g: Builder) -> None:
    loaded = checkpoint(g)
    cat, dog, style = (text(g, loaded.clip, words) for words in ("a cat", "a dog", "pencil drawing"))
    mixed = g.add("ConditioningAverage", conditioning_to=cat, conditioning_from=dog, conditioning_to_strength=0.5)
    joined = g.add("ConditioningConcat", conditioning_to=mixed, conditioning_from=style)
    latent = g.add("EmptyLatentImage")
    save(g, decode(g, sample(g, loaded.model, joined, text(g, loaded.clip, ""), latent), loaded.vae))


@IMAGES.register("regional")
def gligen_boxes(g: Builder) -> None:
    loaded = checkpoint(g)
    boxes = g.add("GLIGENLoader", gligen_name="gligen_sd14_textbox_pruned.safetensors")
    conditioning = text(g, loaded.clip, "a dog and a ball on a lawn")[0]
    for words, x in (("a dog", 64), ("a ball", 320)):
        conditioning = g.add(
            "GLIGENTextBoxApply", conditioning_to=conditioning, clip=loaded.clip, gligen_textbox_model=boxes,
            text=words, width=192, height=192, x=x, y=256,
        )[0]  # fmt: skip
    latent = g.add("EmptyLatentImage")
    save(g, decode(g, sample(g, loaded.model, conditioning, text(g, loaded.clip, ""), latent), loaded.vae))


# --- other chains of samplers ----------------------------------------------------------------------------------------


@IMAGES.register("custom_sampling")
def split_sigmas_between_two_models(g: Builder) -> None:
    first, second = checkpoint(g, SDXL), checkpoint(g, "sdxl/juggernautXL_v9.safetensors")
    positive, negative = prompts(g, first.clip)
    sampler = g.add("SamplerDPMPP_2M_SDE", solver_type="midpoint", noise_device="gpu")
    sigmas = g.add("KarrasScheduler", steps=30)
    split = g.add("SplitSigmas", sigmas=sigmas, step=18)
    start = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=99), sampler=sampler, sigmas=split[0],
        guider=g.add("CFGGuider", model=first.model, positive=positive, negative=negative, cfg=7.0),
        latent_image=g.add("EmptyLatentImage", width=1024, height=1024),
    )  # fmt: skip
    end = g.add(
        "SamplerCustomAdvanced", noise=g.add("DisableNoise"), sampler=sampler, sigmas=split[1], latent_image=start,
        guider=g.add("CFGGuider", model=second.model, positive=positive, negative=negative, cfg=5.0),
    )  # fmt: skip
    save(g, decode(g, end, second.vae))


@IMAGES.register("custom_sampling")
def unsampling_with_flipped_sigmas(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    latent = g.add("VAEEncode", pixels=image(g, IMAGE_1), vae=loaded.vae)
    sigmas = g.add("BasicScheduler", model=loaded.model, scheduler="normal", steps=25)
    wired = {"model": loaded.model, "positive": positive, "negative": negative}
    sampler = g.add("KSamplerSelect", sampler_name="euler")
    back = g.add(
        "SamplerCustom", **wired, add_noise=False, cfg=1.0, sampler=sampler, latent_image=latent,
        sigmas=g.add("FlipSigmas", sigmas=sigmas),
    )  # fmt: skip
    forth = g.add("SamplerCustom", **wired, add_noise=False, cfg=7.0, sampler=sampler, sigmas=sigmas, latent_image=back)
    save(g, decode(g, forth, loaded.vae))


@IMAGES.register("custom_sampling")
def perpendicular_negative(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    guider = g.add(
        "PerpNegGuider", model=loaded.model, positive=positive, negative=negative,
        empty_conditioning=text(g, loaded.clip, ""),
    )  # fmt: skip
    result = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=2**64 - 1), guider=guider,
        sampler=g.add("SamplerEulerAncestral", eta=0.9),
        sigmas=g.add("AlignYourStepsScheduler", model_type="SD1", steps=10), latent_image=g.add("EmptyLatentImage"),
    )  # fmt: skip
    save(g, decode(g, result[1], loaded.vae))


@IMAGES.register("custom_sampling")
def noise_added_by_hand(g: Builder) -> None:
    loaded = checkpoint(g)
    positive, negative = prompts(g, loaded.clip)
    sigmas = g.add("ExponentialScheduler", steps=20)
    noisy = g.add(
        "AddNoise", model=loaded.model, noise=g.add("RandomNoise", noise_seed=5), sigmas=sigmas,
        latent_image=g.add("EmptyLatentImage"),
    )  # fmt: skip
    result = g.add(
        "SamplerCustom", model=loaded.model, add_noise=False, cfg=7.0, positive=positive, negative=negative,
        sampler=g.add("SamplerDPMPP_SDE", noise_device="cpu"), sigmas=sigmas, latent_image=noisy,
    )  # fmt: skip
    save(g, decode(g, result, loaded.vae))


@IMAGES.register("custom_sampling")
def cfg_zero_star_and_adaptive_guidance(g: Builder) -> None:
    loaded = checkpoint(g, "sd3.5_large.safetensors")
    model = g.add("EasyCache", model=g.add("APG", model=g.add("CFGZeroStar", model=loaded.model)))
    sigmas = g.add("BasicScheduler", model=model, scheduler="beta", steps=28)
    positive, negative = prompts(g, loaded.clip)
    result = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=3),
        guider=g.add("CFGGuider", model=model, positive=positive, negative=negative, cfg=4.5),
        sampler=g.add("SamplerER_SDE", solver_type="ER-SDE"),
        sigmas=g.add("SetFirstSigma", sigmas=sigmas, sigma=1.0),
        latent_image=g.add("EmptySD3LatentImage"),
    )  # fmt: skip
    save(g, decode(g, result, loaded.vae))


# --- model merging, kept in memory -----------------------------------------------------------------------------------


@IMAGES.register("merge")
def two_checkpoints_half_and_half(g: Builder) -> None:
    first, second = checkpoint(g, SD15), checkpoint(g, "dreamshaper_8.safetensors")
    model = g.add("ModelMergeSimple", model1=first.model, model2=second.model, ratio=0.5)
    clip = g.add("CLIPMergeSimple", clip1=first.clip, clip2=second.clip, ratio=0.5)
    save(g, picture(g, first._replace(model=model, clip=clip), g.add("EmptyLatentImage")))


@IMAGES.register("merge")
def blocks_merged(g: Builder) -> None:
    first, second = checkpoint(g, SDXL), checkpoint(g, "sdxl/juggernautXL_v9.safetensors")
    model = g.add("ModelMergeBlocks", model1=first.model, model2=second.model, input=0.8, middle=0.5, out=0.2)
    save(g, picture(g, first._replace(model=model), g.add("EmptyLatentImage", width=1024, height=1024)))


@IMAGES.register("merge")
def inpainting_made_by_difference(g: Builder) -> None:
    base, other, inpaint = (
        checkpoint(g, name) for name in (SD15, "dreamshaper_8.safetensors", "512-inpainting-ema.safetensors")
    )
    difference = g.add("ModelMergeSubtract", model1=other.model, model2=base.model)
    model = g.add("ModelMergeAdd", model1=inpaint.model, model2=difference)
    source = image(g, IMAGE_1)
    latent = g.add("VAEEncodeForInpaint", pixels=source[0], mask=source[1], vae=inpaint.vae)
    save(g, picture(g, other._replace(model=model), latent))
