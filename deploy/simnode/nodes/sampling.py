"""Samplers: they take time per step and report progress; the decoder draws the image."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from simnode.drawing import draw_preview
from simnode.node_class import SEED_MAX, Call, Field, NodeClass, NodeResult, link_input
from simnode.values import Latent, Sampling

SAMPLERS = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "exp_heun_2_x0",
    "exp_heun_2_x0_sde", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm",
    "ipndm", "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
)  # fmt: skip
SCHEDULERS = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
)  # fmt: skip


async def _sample_latent(call: Call, *, seed: int, first: int, last: int, denoise: float) -> NodeResult:
    steps = call["steps"]
    plan = Sampling(
        seed=seed,
        done=first,
        steps=steps,
        cfg=call["cfg"],
        sampler=call["sampler_name"],
        scheduler=call["scheduler"],
        denoise=denoise,
        checkpoint=", ".join((call["model"].file, *call["model"].loras)),
        positive=call["positive"].text,
        negative=call["negative"].text,
    )
    latent: Latent = call["latent_image"]
    settings = call.resources.settings
    for step in range(first, last):
        await asyncio.sleep(settings.step_s)
        plan = replace(plan, done=step + 1)
        await call.report_progress(
            step + 1 - first, last - first, _build_previewer(replace(latent, sampling=plan), settings.preview)
        )
    return NodeResult((replace(latent, sampling=plan),))


def _build_previewer(latent: Latent, wanted: bool) -> Callable[[], bytes] | None:
    return partial(draw_preview, latent) if wanted else None


async def _run_ksampler(call: Call) -> NodeResult:
    return await _sample_latent(call, seed=call["seed"], first=0, last=call["steps"], denoise=call["denoise"])


async def _run_advanced_ksampler(call: Call) -> NodeResult:
    first = min(call["start_at_step"], call["steps"])
    last = max(first, min(call["end_at_step"], call["steps"]))
    return await _sample_latent(call, seed=call["noise_seed"], first=first, last=last, denoise=1.0)


def _build_seed_field(name: str) -> Field:
    return Field(name, "INT", {"default": 0, "min": 0, "max": SEED_MAX, "control_after_generate": True})


def _build_step_field(name: str, default: int) -> Field:
    return Field(name, "INT", {"default": default, "min": 0, "max": 10000, "advanced": True})


_STEPS = Field("steps", "INT", {"default": 20, "min": 1, "max": 10000})
_CFG = Field("cfg", "FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01})
_COMMON = (
    Field("sampler_name", SAMPLERS),
    Field("scheduler", SCHEDULERS),
    link_input("positive", "CONDITIONING"),
    link_input("negative", "CONDITIONING"),
    link_input("latent_image", "LATENT"),
)

CLASSES = (
    NodeClass(
        name="KSampler",
        run=_run_ksampler,
        inputs=(
            link_input("model", "MODEL"),
            _build_seed_field("seed"),
            _STEPS,
            _CFG,
            *_COMMON,
            Field("denoise", "FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
        ),
        outputs=("LATENT",),
        category="model/sampling",
        search_aliases=("sampler", "generate", "txt2img", "img2img"),
        output_tooltips=("The denoised latent.",),
        has_delay=False,
    ),
    NodeClass(
        name="KSamplerAdvanced",
        run=_run_advanced_ksampler,
        inputs=(
            link_input("model", "MODEL"),
            Field("add_noise", ("enable", "disable"), {"advanced": True}),
            _build_seed_field("noise_seed"),
            _STEPS,
            _CFG,
            *_COMMON,
            _build_step_field("start_at_step", 0),
            _build_step_field("end_at_step", 10000),
            Field("return_with_leftover_noise", ("disable", "enable"), {"advanced": True}),
        ),
        outputs=("LATENT",),
        category="model/sampling",
        display_name="KSampler (Advanced)",
        has_delay=False,
    ),
)
