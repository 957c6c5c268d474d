"""Workflows that generate video and audio."""

import json
from typing import Any

from tests.ordinary_graphs.builder import AUDIO_1, AUDIO_2, IMAGE_1, IMAGE_2, VIDEO_1, Builder, GraphRegistry, Node
from tests.ordinary_graphs.parts import (
    SD15,
    checkpoint,
    decode,
    guided,
    image,
    movie,
    parts,
    picture,
    prompts,
    sample,
    save,
    text,
    wan,
)

VIDEOS_AND_AUDIO = GraphRegistry()

LYRICS = "[verse]\nHarbour lights are fading low\nTide is turning, time to go\n[chorus]\nSail, sail, sail away\n" * 6


def seen(g: Builder, upload: str, name: str = "clip_vision_h.safetensors") -> Node:
    vision = g.add("CLIPVisionLoader", clip_name=name)
    return g.add("CLIPVisionEncode", clip_vision=vision, image=image(g, upload), crop="none")


def frames(g: Builder) -> Node:
    return g.add("GetVideoComponents", video=g.add("LoadVideo", file=VIDEO_1))


# --- text to video ---------------------------------------------------------------------------------------------------


@VIDEOS_AND_AUDIO.register("txt2video")
def wan21_text_to_video(g: Builder) -> None:
    loaded = wan(g)
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=8.0)
    latent = g.add("EmptyHunyuanLatentVideo", width=832, height=480, length=33)
    made = picture(
        g, loaded._replace(model=model), latent, steps=30, cfg=6.0, sampler_name="uni_pc", scheduler="simple"
    )
    g.add("SaveAnimatedWEBP", images=made, filename_prefix="wan", fps=16.0, lossless=False, quality=90)


@VIDEOS_AND_AUDIO.register("txt2video")
def wan22_two_experts(g: Builder) -> None:
    high = wan(g, "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors")
    low = g.add("UNETLoader", unet_name="wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors")
    positive, negative = prompts(g, high.clip)
    wired = {"positive": positive, "negative": negative, "steps": 20, "cfg": 3.5, "scheduler": "simple"}
    latent = g.add("EmptyHunyuanLatentVideo", width=1280, height=720, length=81)
    first = g.add(
        "KSamplerAdvanced", **wired, model=g.add("ModelSamplingSD3", model=high.model, shift=8.0), latent_image=latent,
        end_at_step=10, return_with_leftover_noise="enable",
    )  # fmt: skip
    second = g.add(
        "KSamplerAdvanced", **wired, model=g.add("ModelSamplingSD3", model=low, shift=8.0), latent_image=first,
        add_noise="disable", start_at_step=10,
    )  # fmt: skip
    movie(g, decode(g, second, high.vae), fps=16.0, prefix="video/wan22")


@VIDEOS_AND_AUDIO.register("txt2video")
def hunyuan_video_720p_121_frames(g: Builder) -> None:
    clips = ("clip_l.safetensors", "llava_llama3_fp8_scaled.safetensors")
    loaded = parts(
        g, "hunyuan_video_t2v_720p_bf16.safetensors", clips, "hunyuan_video", "hunyuan_video_vae_bf16.safetensors"
    )
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=7.0)
    guidance = g.add("FluxGuidance", conditioning=text(g, loaded.clip), guidance=6.0)
    latent = g.add("EmptyHunyuanLatentVideo", width=1280, height=720, length=121)
    sigmas = g.add("BasicScheduler", model=model, scheduler="simple", steps=20)
    result = guided(g, model, guidance, latent, sigmas)
    movie(g, g.add("VAEDecodeTiled", samples=result, vae=loaded.vae, tile_size=256), fps=24.0)


@VIDEOS_AND_AUDIO.register("txt2video")
def ltx_video(g: Builder) -> None:
    loaded = checkpoint(g, "ltx-video-2b-v0.9.5.safetensors")
    clip = g.add("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="ltxv")
    positive, negative = prompts(g, clip)
    timed = g.add("LTXVConditioning", positive=positive, negative=negative, frame_rate=24.0)
    latent = g.add("EmptyLTXVLatentVideo", width=768, height=512, length=97)
    result = g.add(
        "SamplerCustom", model=loaded.model, noise_seed=497797676867141, cfg=3.0, positive=timed[0], negative=timed[1],
        sampler=g.add("KSamplerSelect", sampler_name="euler"),
        sigmas=g.add("LTXVScheduler", steps=30, latent=latent), latent_image=latent,
    )  # fmt: skip
    movie(g, decode(g, result, loaded.vae), prefix="video/ltx")


@VIDEOS_AND_AUDIO.register("txt2video")
def ltx2_video_with_sound(g: Builder) -> None:
    name = "ltx-2-19b-dev-fp8.safetensors"
    loaded = checkpoint(g, name)
    clip = g.add("LTXAVTextEncoderLoader", text_encoder="gemma_3_12B_it.safetensors", ckpt_name=name)
    sound = g.add("LTXVAudioVAELoader", ckpt_name=name)
    positive, negative = prompts(g, clip)
    timed = g.add("LTXVConditioning", positive=positive, negative=negative, frame_rate=24.0)
    video = g.add("EmptyLTXVLatentVideo", width=1280, height=704, length=121)
    audio = g.add("LTXVEmptyLatentAudio", frames_number=121, frame_rate=24, batch_size=1, audio_vae=sound)
    both = g.add("LTXVConcatAVLatent", video_latent=video, audio_latent=audio)
    result = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=10),
        guider=g.add("CFGGuider", model=loaded.model, positive=timed[0], negative=timed[1], cfg=4.0),
        sampler=g.add("KSamplerSelect", sampler_name="euler"),
        sigmas=g.add("LTXVScheduler", steps=20, latent=both), latent_image=both,
    )  # fmt: skip
    split = g.add("LTXVSeparateAVLatent", av_latent=result)
    voice = g.add("LTXVAudioVAEDecode", samples=split[1], audio_vae=sound)
    movie(g, decode(g, split[0], loaded.vae), prefix="video/ltx2", audio=voice)


@VIDEOS_AND_AUDIO.register("txt2video")
def cosmos_text_to_world(g: Builder) -> None:
    loaded = parts(
        g, "Cosmos-1_0-Diffusion-7B-Text2World.safetensors", "oldt5_xxl_fp8_e4m3fn_scaled.safetensors", "cosmos",
        "cosmos_cv8x8x8_1.0.safetensors",
    )  # fmt: skip
    latent = g.add("EmptyCosmosLatentVideo", width=1280, height=704, length=121)
    made = picture(g, loaded, latent, steps=20, cfg=6.5, sampler_name="res_multistep", scheduler="karras")
    g.add("SaveWEBM", images=made, filename_prefix="cosmos", codec="vp9", fps=24.0, crf=32.0)


@VIDEOS_AND_AUDIO.register("txt2video")
def mochi_preview(g: Builder) -> None:
    loaded = parts(g, "mochi_preview_bf16.safetensors", "t5xxl_fp16.safetensors", "mochi", "mochi_vae.safetensors")
    latent = g.add("EmptyMochiLatentVideo", width=848, height=480, length=37)
    made = picture(g, loaded, latent, steps=30, cfg=4.5, scheduler="simple")
    g.add("SaveAnimatedWEBP", images=made, filename_prefix="mochi", fps=24.0)


@VIDEOS_AND_AUDIO.register("txt2video")
def long_video_in_context_windows(g: Builder) -> None:
    loaded = wan(g)
    model = g.add("WanContextWindowsManual", model=loaded.model, context_length=81, context_overlap=30)
    latent = g.add("EmptyHunyuanLatentVideo", width=832, height=480, length=241)
    movie(g, picture(g, loaded._replace(model=model), latent, steps=20, cfg=6.0), fps=16.0)


@VIDEOS_AND_AUDIO.register("txt2video")
def sixteen_frames_as_animated_png(g: Builder) -> None:
    made = picture(g, checkpoint(g, SD15), g.add("EmptyLatentImage", batch_size=16))
    g.add("SaveAnimatedPNG", images=made, filename_prefix="loop", fps=8.0)


@VIDEOS_AND_AUDIO.register("txt2video")
def one_frame_of_a_video_model(g: Builder) -> None:
    loaded = wan(g, "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors")
    latent = g.add("EmptyHunyuanLatentVideo", width=1920, height=1088, length=1)
    save(g, picture(g, loaded, latent, steps=25, cfg=3.5))


# --- image to video --------------------------------------------------------------------------------------------------


@VIDEOS_AND_AUDIO.register("img2video")
def stable_video_diffusion(g: Builder) -> None:
    loader = g.add("ImageOnlyCheckpointLoader", ckpt_name="svd_xt.safetensors")
    wired = g.add(
        "SVD_img2vid_Conditioning", clip_vision=loader[1], init_image=image(g, IMAGE_1), vae=loader[2], width=1024,
        height=576, video_frames=25, motion_bucket_id=127, fps=6,
    )  # fmt: skip
    model = g.add("VideoLinearCFGGuidance", model=loader[0], min_cfg=1.0)
    result = sample(g, model, wired[0], wired[1], wired[2], cfg=2.5, scheduler="karras")
    g.add("SaveAnimatedWEBP", images=decode(g, result, loader[2]), filename_prefix="svd", fps=10.0)


@VIDEOS_AND_AUDIO.register("img2video")
def wan21_image_to_video(g: Builder) -> None:
    loaded = wan(g, "wan2.1_i2v_480p_14B_fp8_scaled.safetensors")
    positive, negative = prompts(g, loaded.clip)
    wired = g.add(
        "WanImageToVideo", positive=positive, negative=negative, vae=loaded.vae, width=480, height=832, length=81,
        clip_vision_output=seen(g, IMAGE_1), start_image=image(g, IMAGE_1),
    )  # fmt: skip
    movie(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0), loaded.vae), fps=16.0)


@VIDEOS_AND_AUDIO.register("img2video")
def wan22_five_billion(g: Builder) -> None:
    loaded = wan(g, "wan2.2_ti2v_5B_fp16.safetensors", "wan2.2_vae.safetensors")
    latent = g.add(
        "Wan22ImageToVideoLatent", vae=loaded.vae, width=1280, height=704, length=121, start_image=image(g, IMAGE_1)
    )
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=8.0)
    movie(g, picture(g, loaded._replace(model=model), latent, steps=20, cfg=5.0, sampler_name="uni_pc"), fps=24.0)


@VIDEOS_AND_AUDIO.register("img2video")
def wan_first_and_last_frame(g: Builder) -> None:
    loaded = wan(g, "wan2.1_flf2v_720p_14B_fp16.safetensors")
    positive, negative = prompts(g, loaded.clip)
    wired = g.add(
        "WanFirstLastFrameToVideo", positive=positive, negative=negative, vae=loaded.vae, width=1280, height=720,
        length=81, start_image=image(g, IMAGE_1), end_image=image(g, IMAGE_2),
        clip_vision_start_image=seen(g, IMAGE_1), clip_vision_end_image=seen(g, IMAGE_2),
    )  # fmt: skip
    movie(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=4.0), loaded.vae), fps=16.0)


@VIDEOS_AND_AUDIO.register("img2video")
def wan_camera_motion(g: Builder) -> None:
    loaded = wan(g, "wan2.1_fun_camera_v1.1_1.3B_bf16.safetensors")
    positive, negative = prompts(g, loaded.clip)
    camera = g.add("WanCameraEmbedding", camera_pose="Zoom In", width=832, height=480, length=81)
    wired = g.add(
        "WanCameraImageToVideo", positive=positive, negative=negative, vae=loaded.vae, width=camera[1],
        height=camera[2], length=camera[3], start_image=image(g, IMAGE_1), camera_conditions=camera[0],
    )  # fmt: skip
    movie(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0), loaded.vae), fps=16.0)


@VIDEOS_AND_AUDIO.register("img2video")
def wan_motion_along_drawn_tracks(g: Builder) -> None:
    loaded = wan(g, "wan2.1_i2v_480p_14B_fp8_scaled.safetensors")
    positive, negative = prompts(g, loaded.clip)
    tracks = [[{"x": 100 + 4 * frame, "y": 60 * track} for frame in range(121)] for track in range(8)]
    wired = g.add(
        "WanTrackToVideo", positive=positive, negative=negative, vae=loaded.vae, tracks=json.dumps(tracks), width=832,
        height=480, length=81, start_image=image(g, IMAGE_1), clip_vision_output=seen(g, IMAGE_1),
    )  # fmt: skip
    movie(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0), loaded.vae), fps=16.0)


@VIDEOS_AND_AUDIO.register("img2video")
def ltx_image_to_video(g: Builder) -> None:
    loaded = checkpoint(g, "ltx-video-2b-v0.9.5.safetensors")
    clip = g.add("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="ltxv")
    positive, negative = prompts(g, clip)
    start = g.add("LTXVPreprocess", image=image(g, IMAGE_1), img_compression=40)
    wired = g.add(
        "LTXVImgToVideo", positive=positive, negative=negative, vae=loaded.vae, image=start, width=768, height=512,
        length=97,
    )  # fmt: skip
    timed = g.add("LTXVConditioning", positive=wired[0], negative=wired[1], frame_rate=25.0)
    sigmas = g.add("LTXVScheduler", steps=30, latent=wired[2])
    result = g.add(
        "SamplerCustom", model=loaded.model, cfg=3.0, positive=timed[0], negative=timed[1], sigmas=sigmas,
        sampler=g.add("KSamplerSelect", sampler_name="euler"), latent_image=wired[2],
    )  # fmt: skip
    movie(g, decode(g, result, loaded.vae), fps=25.0)


@VIDEOS_AND_AUDIO.register("img2video")
def ltx_guides_at_both_ends(g: Builder) -> None:
    loaded = checkpoint(g, "ltx-video-2b-v0.9.5.safetensors")
    clip = g.add("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="ltxv")
    positive, negative = prompts(g, clip)
    link: tuple[Any, Any, Any] = (positive, negative, g.add("EmptyLTXVLatentVideo", width=768, height=512, length=97))
    for upload, at in ((IMAGE_1, 0), (IMAGE_2, -1)):
        guide = g.add(
            "LTXVAddGuide", positive=link[0], negative=link[1], latent=link[2], vae=loaded.vae, image=image(g, upload),
            frame_idx=at, strength=0.9,
        )  # fmt: skip
        link = (guide[0], guide[1], guide[2])
    result = sample(g, loaded.model, *link, steps=30, cfg=3.0)
    cut = g.add("LTXVCropGuides", positive=link[0], negative=link[1], latent=result)
    movie(g, decode(g, cut[2], loaded.vae), fps=24.0)


@VIDEOS_AND_AUDIO.register("img2video")
def hunyuan_image_to_video(g: Builder) -> None:
    clips = ("clip_l.safetensors", "llava_llama3_fp8_scaled.safetensors")
    loaded = parts(
        g, "hunyuan_video_image_to_video_720p_bf16.safetensors", clips, "hunyuan_video",
        "hunyuan_video_vae_bf16.safetensors",
    )  # fmt: skip
    positive = g.add(
        "TextEncodeHunyuanVideo_ImageToVideo", clip=loaded.clip, prompt="she turns and smiles",
        clip_vision_output=seen(g, IMAGE_1, "llava_llama3_vision.safetensors"), image_interleave=2,
    )  # fmt: skip
    wired = g.add(
        "HunyuanImageToVideo", positive=positive, vae=loaded.vae, width=720, height=720, length=53,
        guidance_type="v1 (concat)", start_image=image(g, IMAGE_1),
    )  # fmt: skip
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=7.0)
    sigmas = g.add("BasicScheduler", model=model, scheduler="simple", steps=20)
    guidance = g.add("FluxGuidance", conditioning=wired[0], guidance=6.0)
    movie(g, decode(g, guided(g, model, guidance, wired[1], sigmas), loaded.vae))


@VIDEOS_AND_AUDIO.register("img2video")
def hunyuan15_with_super_resolution(g: Builder) -> None:
    clips = ("qwen_2.5_vl_7b_fp8_scaled.safetensors", "byt5_small_glyphxl_fp16.safetensors")
    loaded = parts(
        g, "hunyuanvideo1.5_720p_i2v_fp16.safetensors", clips, "hunyuan_video_15", "hunyuanvideo15_vae_fp16.safetensors"
    )
    positive, negative = prompts(g, loaded.clip)
    start, vision = image(g, IMAGE_1), seen(g, IMAGE_1, "sigclip_vision_patch14_384.safetensors")
    wired = g.add(
        "HunyuanVideo15ImageToVideo", positive=positive, negative=negative, vae=loaded.vae, width=848, height=480,
        length=121, start_image=start, clip_vision_output=vision,
    )  # fmt: skip
    small = sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0)
    upscaler = g.add("LatentUpscaleModelLoader", model_name="hunyuanvideo15_latent_upsampler_1080p.safetensors")
    large = g.add("HunyuanVideo15LatentUpscaleWithModel", model=upscaler, samples=small, width=1920, height=1080)
    again = g.add(
        "HunyuanVideo15SuperResolution", positive=positive, negative=negative, latent=large, vae=loaded.vae,
        start_image=start, clip_vision_output=vision,
    )  # fmt: skip
    fine = g.add("UNETLoader", unet_name="hunyuanvideo1.5_1080p_sr_distilled_fp16.safetensors")
    movie(g, decode(g, sample(g, fine, again[0], again[1], again[2], steps=8, cfg=1.0), loaded.vae))


@VIDEOS_AND_AUDIO.register("img2video")
def cosmos_predict2_video(g: Builder) -> None:
    loaded = parts(
        g, "cosmos_predict2_2B_video2world_480p_16fps.safetensors", "oldt5_xxl_fp8_e4m3fn_scaled.safetensors", "cosmos",
        "wan_2.1_vae.safetensors",
    )  # fmt: skip
    latent = g.add(
        "CosmosPredict2ImageToVideoLatent",
        vae=loaded.vae,
        width=848,
        height=480,
        length=93,
        start_image=image(g, IMAGE_1),
    )
    movie(g, picture(g, loaded, latent, steps=35, cfg=4.0), fps=16.0)


@VIDEOS_AND_AUDIO.register("img2video")
def talking_head_from_speech(g: Builder) -> None:
    loaded = wan(g, "wan2.2_s2v_14B_fp8_scaled.safetensors")
    encoder = g.add("AudioEncoderLoader", audio_encoder_name="wav2vec2_large_english_fp16.safetensors")
    speech = g.add("LoadAudio", audio=AUDIO_1)
    heard = g.add("AudioEncoderEncode", audio_encoder=encoder, audio=speech)
    positive, negative = prompts(g, loaded.clip, "the woman is talking")
    wired = g.add(
        "WanSoundImageToVideo", positive=positive, negative=negative, vae=loaded.vae, width=640, height=640, length=77,
        audio_encoder_output=heard, ref_image=image(g, IMAGE_1),
    )  # fmt: skip
    result = sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0)
    movie(g, decode(g, result, loaded.vae), fps=16.0, audio=speech)


# --- video to video --------------------------------------------------------------------------------------------------


@VIDEOS_AND_AUDIO.register("video2video")
def wan_vace_restyle(g: Builder) -> None:
    loaded = wan(g, "wan2.1_vace_14B_fp16.safetensors")
    source = frames(g)
    positive, negative = prompts(g, loaded.clip)
    edges = g.add("Canny", image=source[0])
    wired = g.add(
        "WanVaceToVideo", positive=positive, negative=negative, vae=loaded.vae, width=720, height=720, length=49,
        control_video=edges, reference_image=image(g, IMAGE_1),
    )  # fmt: skip
    result = sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0)
    trimmed = g.add("TrimVideoLatent", samples=result, trim_amount=wired[3])
    movie(g, decode(g, trimmed, loaded.vae), fps=source[2], audio=source[1])


@VIDEOS_AND_AUDIO.register("video2video")
def wan_fun_control(g: Builder) -> None:
    loaded = wan(g, "wan2.1_fun_control_1.3B_bf16.safetensors")
    positive, negative = prompts(g, loaded.clip)
    wired = g.add(
        "WanFunControlToVideo", positive=positive, negative=negative, vae=loaded.vae, width=832, height=480, length=49,
        clip_vision_output=seen(g, IMAGE_1), start_image=image(g, IMAGE_1), control_video=frames(g)[0],
    )  # fmt: skip
    movie(g, decode(g, sample(g, loaded.model, wired[0], wired[1], wired[2], cfg=6.0), loaded.vae), fps=16.0)


@VIDEOS_AND_AUDIO.register("video2video")
def wan_animate_character(g: Builder) -> None:
    loaded = wan(g, "wan2.2_animate_14B_bf16.safetensors")
    source = frames(g)
    positive, negative = prompts(g, loaded.clip)
    wired = g.add(
        "WanAnimateToVideo", positive=positive, negative=negative, vae=loaded.vae, width=640, height=640, length=77,
        clip_vision_output=seen(g, IMAGE_1), reference_image=image(g, IMAGE_1), pose_video=source[0],
    )  # fmt: skip
    result = sample(g, loaded.model, wired[0], wired[1], wired[2], steps=6, cfg=1.0)
    trimmed = g.add("TrimVideoLatent", samples=result, trim_amount=wired[3])
    movie(g, decode(g, trimmed, loaded.vae), fps=16.0, audio=source[1])


@VIDEOS_AND_AUDIO.register("video2video")
def frames_restyled_one_by_one(g: Builder) -> None:
    loaded = checkpoint(g)
    source = frames(g)
    small = g.add("ImageScale", image=source[0], upscale_method="area", width=512, height=512, crop="center")
    first = g.add("ImageFromBatch", image=small, batch_index=0, length=24)
    made = picture(g, loaded, g.add("VAEEncode", pixels=first, vae=loaded.vae), denoise=0.4)
    movie(g, made, fps=source[2])


@VIDEOS_AND_AUDIO.register("video2video")
def video_upscaled_and_interpolated(g: Builder) -> None:
    source = frames(g)
    upscaler = g.add("UpscaleModelLoader", model_name="RealESRGAN_x2plus.pth")
    large = g.add("ImageUpscaleWithModel", upscale_model=upscaler, image=source[0])
    between = g.add("FrameInterpolationModelLoader", model_name="rife_v4.26.safetensors")
    smooth = g.add("FrameInterpolate", interp_model=between, images=large, multiplier=2)
    movie(g, smooth, fps=60.0, audio=source[1])


@VIDEOS_AND_AUDIO.register("video2video")
def clip_cut_and_saved_again(g: Builder) -> None:
    cut = g.add("Video Slice", video=g.add("LoadVideo", file=VIDEO_1), start_time=1.0, duration=4.0)
    g.add("SaveVideo", video=cut, filename_prefix="video/cut", format="mp4", codec="h264", format__codec="h264")


@VIDEOS_AND_AUDIO.register("video2video")
def soundtrack_taken_from_video(g: Builder) -> None:
    g.add("SaveAudioMP3", audio=frames(g)[1], filename_prefix="audio/track", quality="V0")


@VIDEOS_AND_AUDIO.register("video2video")
def slideshow_with_music(g: Builder) -> None:
    wide = [
        g.add("ImageScale", image=image(g, upload), upscale_method="lanczos", width=1920, height=1080, crop="center")
        for upload in (IMAGE_1, IMAGE_2)
    ]
    both = g.add("ImageBatch", image1=wide[0], image2=wide[1])
    still = g.add("RepeatImageBatch", image=both, amount=48)
    movie(g, still, fps=24.0, audio=g.add("LoadAudio", audio=AUDIO_1))


# --- sound -----------------------------------------------------------------------------------------------------------


def stable_audio(g: Builder, seconds: float, start: Any = None) -> Node:
    loaded = checkpoint(g, "stable-audio-open-1.0.safetensors")
    clip = g.add("CLIPLoader", clip_name="t5_base.safetensors", type="stable_audio")
    positive, negative = prompts(g, clip, "heavy rain on a tin roof, field recording", "music")
    timed = g.add("ConditioningStableAudio", positive=positive, negative=negative, seconds_total=seconds)
    if start is None:
        latent, denoise = g.add("EmptyLatentAudio", seconds=seconds), 1.0
    else:
        latent, denoise = g.add("VAEEncodeAudio", audio=start, vae=loaded.vae), 0.6
    settings = {"steps": 50, "cfg": 5.0, "sampler_name": "dpmpp_3m_sde_gpu", "scheduler": "exponential"}
    result = sample(g, loaded.model, timed[0], timed[1], latent, **settings, denoise=denoise)
    return g.add("VAEDecodeAudio", samples=result, vae=loaded.vae)


@VIDEOS_AND_AUDIO.register("audio")
def stable_audio_to_flac(g: Builder) -> None:
    g.add("SaveAudio", audio=stable_audio(g, 47.6), filename_prefix="audio/rain")


@VIDEOS_AND_AUDIO.register("audio")
def stable_audio_from_upload(g: Builder) -> None:
    g.add(
        "SaveAudioOpus", audio=stable_audio(g, 30.0, g.add("LoadAudio", audio=AUDIO_1)), filename_prefix="audio/again"
    )


@VIDEOS_AND_AUDIO.register("audio")
def ace_step_song_of_three_minutes(g: Builder) -> None:
    loaded = checkpoint(g, "ace_step_v1_3.5b.safetensors")
    positive = g.add("TextEncodeAceStepAudio", clip=loaded.clip, tags="folk, accordion, male vocals", lyrics=LYRICS)
    negative = g.add("ConditioningZeroOut", conditioning=positive)
    model = g.add("ModelSamplingSD3", model=loaded.model, shift=5.0)
    tone = g.add("LatentOperationTonemapReinhard", multiplier=1.0)
    patched = g.add("LatentApplyOperationCFG", model=model, operation=tone)
    latent = g.add("EmptyAceStepLatentAudio", seconds=180.0)
    result = sample(g, patched, positive, negative, latent, steps=50, cfg=5.0, scheduler="simple")
    song = g.add("VAEDecodeAudio", samples=result, vae=loaded.vae)
    g.add("SaveAudioMP3", audio=song, filename_prefix="audio/song", quality="320k")


@VIDEOS_AND_AUDIO.register("audio")
def ace_step_fifteen(g: Builder) -> None:
    clips = ("qwen_0.6b_ace15.safetensors", "qwen_1.7b_ace15.safetensors")
    loaded = parts(g, "acestep_v1.5_turbo.safetensors", clips, "ace", "ace_1.5_vae.safetensors")
    positive = g.add(
        "TextEncodeAceStepAudio1.5", clip=loaded.clip, tags="ambient, piano", lyrics="[instrumental]", seed=31, bpm=90,
        duration=120.0, timesignature="4", language="en", keyscale="E minor",
    )  # fmt: skip
    negative = g.add("ConditioningZeroOut", conditioning=positive)
    latent = g.add("EmptyAceStep1.5LatentAudio", seconds=120.0)
    result = sample(g, loaded.model, positive, negative, latent, steps=8, cfg=1.0, scheduler="simple")
    song = g.add("VAEDecodeAudio", samples=result, vae=loaded.vae)
    g.add("SaveAudioAdvanced", audio=song, filename_prefix="audio/piano", format="mp3", format__quality="V0")


@VIDEOS_AND_AUDIO.register("audio")
def upload_trimmed_and_previewed(g: Builder) -> None:
    short = g.add("TrimAudioDuration", audio=g.add("LoadAudio", audio=AUDIO_1), start_index=5.0, duration=30.0)
    g.add("PreviewAudio", audio=g.add("AudioAdjustVolume", audio=short, volume=-3))


@VIDEOS_AND_AUDIO.register("audio")
def two_uploads_mixed_and_joined(g: Builder) -> None:
    first, second = g.add("LoadAudio", audio=AUDIO_1), g.add("LoadAudio", audio=AUDIO_2)
    mixed = g.add("AudioMerge", audio1=first, audio2=second, merge_method="mean")
    paused = g.add("AudioConcat", audio1=first, audio2=g.add("EmptyAudio", duration=1.5))
    joined = g.add("AudioConcat", audio1=paused, audio2=mixed)
    g.add("SaveAudio", audio=joined, filename_prefix="audio/mix")


@VIDEOS_AND_AUDIO.register("audio")
def one_channel_equalized(g: Builder) -> None:
    channels = g.add("SplitAudioChannels", audio=g.add("LoadAudio", audio=AUDIO_1))
    bright = g.add("AudioEqualizer3Band", audio=channels[0], high_gain_dB=4.0, low_gain_dB=-2.0)
    g.add("SaveAudioOpus", audio=bright, filename_prefix="audio/left", quality="128k")
