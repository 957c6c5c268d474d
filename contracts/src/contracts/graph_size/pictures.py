"""The bounding function of each stock class that handles images, frames or latents, by class name."""

from contracts.graph_size import batches, empties, resizing
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
    **dict.fromkeys(STILLS, empties.stills),
    **dict.fromkeys(VIDEOS, empties.video()),
    **dict.fromkeys(("SV3D_Conditioning", "SVD_img2vid_Conditioning"), empties.video("video_frames", 14)),
    "RenderSplat": empties.video_second,
    "EmptyQwenImageLayeredLatentImage": empties.layers,
    **dict.fromkeys(SOUNDS, empties.sound),
    **dict.fromkeys(FOLDERS, empties.unknown_folder),
    **dict.fromkeys(("LoadVideo", "Video Slice"), empties.unknown_video),
    **dict.fromkeys(DECODERS, batches.decoded),
    **dict.fromkeys(DECODED_SOUND, batches.nothing),
    "Video Slice": batches.kept,
    "GetVideoComponents": batches.components,
    "RepeatImageBatch": batches.repeated(4096),
    "RepeatLatentBatch": batches.repeated(64),
    "FrameInterpolate": batches.interpolated,
    "ImageFromBatch": batches.selected("length"),
    "LatentFromBatch": batches.kept,  # it selects whole videos, and what a VAE encoded is unknown
    "LatentCut": batches.kept,
    "VideoFrameSample": batches.selected("num_frames"),
    **dict.fromkeys(("VideoRandomTemporalCrop", "VideoTemporalCrop"), batches.selected("length")),
    "ImageBatch": batches.joined_like("image1"),
    "LatentBatch": batches.joined_like("samples1"),
    **dict.fromkeys(("BatchImagesNode", "BatchLatentsNode", "BatchMasksNode"), batches.batched),
    **dict.fromkeys(("CreateList", "MergeImageLists"), batches.listed),
    **dict.fromkeys(
        (
            "ImageDeduplication", "ShuffleDataset", "ShuffleImageTextDataset", "ResolutionBucket",
            "MakeTrainingDataset",
        ),
        batches.taken_apart,
    ),
    **dict.fromkeys(("RebatchImages", "RebatchLatents"), batches.rebatched),
    "SplitImageToTileList": batches.tiles,
    "ImageMergeTileList": empties.merged_tiles,
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
    "ImageScaleToMaxDimension": resizing.longest("largest_size"),
    "ResizeImagesByLongerEdge": resizing.longest("longer_edge", 8192),
    "ResizeImagesByShorterEdge": resizing.shortest("shorter_edge", 8192),
    "FluxKontextImageScale": resizing.kontext,
    "ResizeImageMaskNode": resizing.resized_by_choice,
    "ResizeAndPadImage": resizing.boxed("target_width", "target_height"),
    "CropByBBoxes": resizing.boxed("output_width", "output_height"),
    "ImageCropToMask": resizing.boxed("width", "height"),
    "TripoSplatPreprocessImage": resizing.longest("size", 4096),
    **dict.fromkeys(
        ("ImageCrop", "CropMask", "LatentCrop", "CenterCropImages", "RandomCropImages", "ImageCropV2"), resizing.cropped
    ),
    "ImagePadForOutpaint": resizing.padded,
    "ImageStitch": resizing.stitched,
    "ImageGrid": empties.grid,
    **dict.fromkeys(("WanDancerPadKeyframes", "WanDancerPadKeyframesList"), empties.keyframes),
    **dict.fromkeys(("BakeAmbientOcclusion", "BakeNormalMapFromMesh", "RenderUVAtlas"), empties.square("resolution")),
    "BakeTextureFromVoxel": empties.square("texture_size"),
    **dict.fromkeys(("ImageCompositeMasked", "LatentCompositeMasked", "MaskComposite"), batches.like("destination")),
    "LatentComposite": batches.like("samples_to"),
    "ImageBlend": batches.like("image1"),
    "ColorTransfer": batches.like("image_target"),
    **dict.fromkeys(("LatentAdd", "LatentSubtract", "LatentInterpolate", "LatentBlend"), batches.like("samples1")),
    "SetLatentNoiseMask": batches.only("samples"),
    **dict.fromkeys(("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint"), batches.only("pixels")),
    **dict.fromkeys(("InpaintModelConditioning", "InstructPixToPixConditioning"), batches.only("pixels")),
    **dict.fromkeys(("KSampler", "KSamplerAdvanced"), batches.only("latent_image")),
    **dict.fromkeys(("SamplerCustom", "SamplerCustomAdvanced"), batches.only("latent_image")),
    "LTXVImgToVideoInplace": batches.only("latent"),
}  # fmt: skip
