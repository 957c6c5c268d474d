"""Common steps of workflows: load a model, encode prompts, sample, decode, save."""

from typing import Any, NamedTuple

from tests.ordinary_graphs.builder import Builder, Node

SD15 = "v1-5-pruned-emaonly-fp16.safetensors"
SDXL = "sd_xl_base_1.0.safetensors"

PROMPT = "portrait photo of an old sailor, (weathered face:1.2), golden hour, 85mm, film grain"
NEGATIVE = "blurry, lowres, watermark, text, bad hands, embedding:EasyNegative"


class Loaded(NamedTuple):
    """The outputs of a loader; each is a link or a node."""

    model: Any
    clip: Any
    vae: Any


def checkpoint(g: Builder, name: str = SD15) -> Loaded:
    node = g.add("CheckpointLoaderSimple", ckpt_name=name)
    return Loaded(node[0], node[1], node[2])


def parts(
    g: Builder, unet: str, clips: str | tuple[str, ...], kind: str, vae: str, *, dtype: str = "default"
) -> Loaded:
    """Load diffusion model, text encoders and VAE from separate files."""
    model = g.add("UNETLoader", unet_name=unet, weight_dtype=dtype)
    names = (clips,) if isinstance(clips, str) else clips
    if len(names) == 1:
        clip = g.add("CLIPLoader", clip_name=names[0], type=kind)
    elif len(names) == 2:
        clip = g.add("DualCLIPLoader", clip_name1=names[0], clip_name2=names[1], type=kind)
    else:
        many = "TripleCLIPLoader" if len(names) == 3 else "QuadrupleCLIPLoader"
        clip = g.add(many, **{f"clip_name{number}": name for number, name in enumerate(names, 1)})
    return Loaded(model, clip, g.add("VAELoader", vae_name=vae))


def flux(g: Builder, unet: str = "flux1-dev.safetensors") -> Loaded:
    clips = ("clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors")
    return parts(g, unet, clips, "flux", "ae.safetensors", dtype="fp8_e4m3fn")


def qwen(g: Builder, unet: str = "qwen_image_fp8_e4m3fn.safetensors") -> Loaded:
    clip = "qwen_2.5_vl_7b_fp8_scaled.safetensors"
    return parts(g, unet, clip, "qwen_image", "qwen_image_vae.safetensors")


def wan(g: Builder, unet: str = "wan2.1_t2v_1.3B_fp16.safetensors", vae: str = "wan_2.1_vae.safetensors") -> Loaded:
    return parts(g, unet, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan", vae)


def text(g: Builder, clip: Any, words: Any = PROMPT) -> Node:
    return g.add("CLIPTextEncode", clip=clip, text=words)


def prompts(g: Builder, clip: Any, positive: Any = PROMPT, negative: Any = NEGATIVE) -> tuple[Node, Node]:
    return text(g, clip, positive), text(g, clip, negative)


def sample(g: Builder, model: Any, positive: Any, negative: Any, latent: Any, **settings: Any) -> Node:
    usual = {"seed": 156680208700286, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal"}
    wired = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
    return g.add("KSampler", **{**usual, **wired, **settings})


def decode(g: Builder, samples: Any, vae: Any) -> Node:
    return g.add("VAEDecode", samples=samples, vae=vae)


def image(g: Builder, upload: str) -> Node:
    return g.add("LoadImage", image=upload)


def save(g: Builder, images: Any, prefix: str = "ComfyUI") -> Node:
    return g.add("SaveImage", images=images, filename_prefix=prefix)


def picture(g: Builder, loaded: Loaded, latent: Any, **settings: Any) -> Node:
    """Add the standard chain: prompts, sampler, decoder."""
    positive, negative = prompts(g, loaded.clip)
    return decode(g, sample(g, loaded.model, positive, negative, latent, **settings), loaded.vae)


def guided(g: Builder, model: Any, conditioning: Any, latent: Any, sigmas: Any) -> Node:
    """Add SamplerCustomAdvanced without a negative prompt, as for distilled models."""
    return g.add(
        "SamplerCustomAdvanced",
        noise=g.add("RandomNoise", noise_seed=42),
        guider=g.add("BasicGuider", model=model, conditioning=conditioning),
        sampler=g.add("KSamplerSelect", sampler_name="euler"),
        sigmas=sigmas,
        latent_image=latent,
    )


def movie(g: Builder, images: Any, fps: Any = 24.0, prefix: str = "video/ComfyUI", **more: Any) -> Node:
    """Add an MP4 output with both names of the codec input, because 0.3.64 and 0.33 use different ones."""
    video = g.add("CreateVideo", images=images, fps=fps, **more)
    return g.add("SaveVideo", video=video, filename_prefix=prefix, format="auto", codec="auto", format__codec="auto")
