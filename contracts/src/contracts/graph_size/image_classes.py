"""The bounding function of each stock class that handles images, frames or latents, by class name."""

from contracts.graph_size import batches, new_images, resizing
from contracts.graph_size.node import Rule

STILLS = (
    "EmptyLatentImage", "EmptySD3LatentImage", "EmptyImage", "SolidMask", "EmptyFlux2LatentImage",
    "EmptyHunyuanImageLatent", "EmptyChromaRadianceLatentImage", "EmptyHiDreamO1LatentImage",
    "StableCascade_EmptyLatentImage", "StableZero123_Conditioning", "StableZero123_Conditioning_Batched", "Load3D",
    "Load3DAnimation", "Painter", "CreateBoundingBoxes", "RenderMesh", "WebcamCapture", "TextEncodeMageFlowEdit",
)  # fmt: skip
VIDEOS = (
    "EmptyHunyuanLatentVideo", "EmptyHunyuanVideo15Latent", "EmptyMochiLatentVideo", "EmptyLTXVLatentVideo",
    "EmptyCosmosLatentVideo", "EmptyARVideoLatent", "EmptyMiniMaxH3LatentAV", "ARVideoI2V", "BerniniConditioning",
    "CosmosImageToVideoLatent", "CosmosPredict2ImageToVideoLatent", "HunyuanImageToVideo",
    "HunyuanVideo15ImageToVideo", "Kandinsky5ImageToVideo", "LTXVImgToVideo", "MiniMaxH3ImageToVideo",
    "MiniMaxH3ReferenceToVideo", "VOIDInpaintConditioning", "VOIDWarpedNoise", "Wan22FunControlToVideo",
    "Wan22ImageToVideoLatent", "WanAnimateToVideo", "WanAnimate2ToVideo", "WanCameraImageToVideo", "WanDancerVideo",
    "WanFirstLastFrameToVideo", "WanFunControlToVideo", "WanFunInpaintToVideo", "WanHuMoImageToVideo",
    "WanImageToVideo", "WanInfiniteTalkToVideo", "WanMoveTrackToVideo", "WanPhantomSubjectToVideo", "WanSCAILToVideo",
    "WanSoundImageToVideo", "WanSoundImageToVideoExtend", "WanTrackToVideo", "WanVaceToVideo",
)  # fmt: skip
SOUNDS = (
    "EmptyLatentAudio", "EmptyAceStepLatentAudio", "EmptyAceStep1.5LatentAudio", "EmptyMiniMaxMusic3LatentAudio",
    "LTXVEmptyLatentAudio",
)  # fmt: skip
FOLDERS = (
    "LoadImageDataSetFromFolder", "LoadImageTextDataSetFromFolder", "LoadImageSetFromFolderNode",
    "LoadImageTextSetFromFolderNode", "LoadTrainingDataset", "LoadVideoDataSetFromFolder",
    "LoadVideoTextDataSetFromFolder",
)  # fmt: skip
DECODERS = ("VAEDecode", "VAEDecodeTiled", "MaskToImage")
DECODED_SOUND = ("VAEDecodeAudio", "VAEDecodeAudioTiled", "LTXVAudioVAEDecode", "VAEDecodeHunyuan3D")

RULES: dict[str, Rule] = {
    **dict.fromkeys(STILLS, new_images.still_images),
    **dict.fromkeys(VIDEOS, new_images.video()),
    **dict.fromkeys(("SV3D_Conditioning", "SVD_img2vid_Conditioning"), new_images.video("video_frames", 14)),
    "RenderSplat": new_images.video_second,
    "EmptyQwenImageLayeredLatentImage": new_images.layers,
    **dict.fromkeys(SOUNDS, new_images.sound),
    **dict.fromkeys(FOLDERS, new_images.unknown_folder),
    **dict.fromkeys(("LoadVideo", "Video Slice"), new_images.unknown_video),
    **dict.fromkeys(DECODERS, batches.decoded),
    **dict.fromkeys(DECODED_SOUND, batches.no_images),
    "Video Slice": batches.unchanged,
    "GetVideoComponents": batches.components,
    "RepeatImageBatch": batches.repeated(4096),
    "RepeatLatentBatch": batches.repeated(64),
    "FrameInterpolate": batches.interpolated,
    "ImageFromBatch": batches.selected("length"),
    "LatentFromBatch": batches.unchanged,  # it selects whole videos, and what a VAE encoded is unknown
    "LatentCut": batches.unchanged,
    "VideoFrameSample": batches.selected("num_frames"),
    **dict.fromkeys(("VideoRandomTemporalCrop", "VideoTemporalCrop"), batches.selected("length")),
    "ImageBatch": batches.joined_like("image1"),
    "LatentBatch": batches.joined_like("samples1"),
    **dict.fromkeys(("BatchImagesNode", "BatchLatentsNode", "BatchMasksNode"), batches.as_one_batch),
    **dict.fromkeys(("CreateList", "MergeImageLists"), batches.as_list),
    **dict.fromkeys(
        (
            "ImageDeduplication", "ShuffleDataset", "ShuffleImageTextDataset", "ResolutionBucket",
            "MakeTrainingDataset",
        ),
        batches.split_into_list,
    ),
    **dict.fromkeys(("RebatchImages", "RebatchLatents"), batches.rebatched),
    "SplitImageToTileList": batches.tiles,
    "ImageMergeTileList": new_images.merged_tiles,
    "SeedVR2TemporalChunk": batches.chunks,
    "SeedVR2TemporalMerge": batches.merged,
    "LatentConcat": batches.concatenated,
    "LatentCutToBatch": batches.cut_to_batch,
    "LTXVAddGuide": batches.guided,
    **dict.fromkeys(("ImageScale", "LatentUpscale", "HunyuanVideo15LatentUpscaleWithModel"), resizing.resized),
    **dict.fromkeys(("ImageScaleBy", "LatentUpscaleBy"), resizing.scaled_by("scale_by")),
    "ImageUpscaleWithModel": resizing.upscaled(resizing.UPSCALE_MODEL),
    "LTXVLatentUpsampler": resizing.upscaled(resizing.LATENT_UPSCALE_MODEL),
    "SD_4XUpscale_Conditioning": resizing.super_resolution,
    "ImageScaleToTotalPixels": resizing.total_pixels,
    "ImageScaleToMaxDimension": resizing.to_longer_side("largest_size"),
    "ResizeImagesByLongerEdge": resizing.to_longer_side("longer_edge", 8192),
    "ResizeImagesByShorterEdge": resizing.to_shorter_side("shorter_edge", 8192),
    "FluxKontextImageScale": resizing.kontext,
    "ResizeImageMaskNode": resizing.resized_by_choice,
    "ResizeAndPadImage": resizing.to_exact_size("target_width", "target_height"),
    "CropByBBoxes": resizing.to_exact_size("output_width", "output_height"),
    "ImageCropToMask": resizing.to_exact_size("width", "height"),
    "TripoSplatPreprocessImage": resizing.to_longer_side("size", 4096),
    **dict.fromkeys(
        ("ImageCrop", "CropMask", "LatentCrop", "CenterCropImages", "RandomCropImages", "ImageCropV2"), resizing.cropped
    ),
    "ImagePadForOutpaint": resizing.padded,
    "ImageStitch": resizing.stitched,
    "ImageGrid": new_images.grid,
    **dict.fromkeys(("WanDancerPadKeyframes", "WanDancerPadKeyframesList"), new_images.keyframes),
    **dict.fromkeys(
        ("BakeAmbientOcclusion", "BakeNormalMapFromMesh", "RenderUVAtlas"), new_images.square("resolution")
    ),
    "BakeTextureFromVoxel": new_images.square("texture_size"),
    **dict.fromkeys(
        ("ImageCompositeMasked", "LatentCompositeMasked", "MaskComposite"), batches.sized_like("destination")
    ),
    "LatentComposite": batches.sized_like("samples_to"),
    "ImageBlend": batches.sized_like("image1"),
    "ColorTransfer": batches.sized_like("image_target"),
    **dict.fromkeys(
        ("LatentAdd", "LatentSubtract", "LatentInterpolate", "LatentBlend"), batches.sized_like("samples1")
    ),
    "SetLatentNoiseMask": batches.passed_through("samples"),
    **dict.fromkeys(("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint"), batches.passed_through("pixels")),
    **dict.fromkeys(("InpaintModelConditioning", "InstructPixToPixConditioning"), batches.passed_through("pixels")),
    **dict.fromkeys(("KSampler", "KSamplerAdvanced"), batches.passed_through("latent_image")),
    **dict.fromkeys(("SamplerCustom", "SamplerCustomAdvanced"), batches.passed_through("latent_image")),
    "LTXVImgToVideoInplace": batches.passed_through("latent"),
}  # fmt: skip
