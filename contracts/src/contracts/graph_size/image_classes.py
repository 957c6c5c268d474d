"""The rule that computes upper bounds for each stock class with images, frames or latents, by class name."""

from contracts.graph_size import batches, new_images, resizing
from contracts.graph_size.node import Rule

STILL_CLASSES = (
    "EmptyLatentImage", "EmptySD3LatentImage", "EmptyImage", "SolidMask", "EmptyFlux2LatentImage",
    "EmptyHunyuanImageLatent", "EmptyChromaRadianceLatentImage", "EmptyHiDreamO1LatentImage",
    "StableCascade_EmptyLatentImage", "StableZero123_Conditioning", "StableZero123_Conditioning_Batched", "Load3D",
    "Load3DAnimation", "Painter", "CreateBoundingBoxes", "RenderMesh", "WebcamCapture", "TextEncodeMageFlowEdit",
)  # fmt: skip
VIDEO_CLASSES = (
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
SOUND_CLASSES = (
    "EmptyLatentAudio", "EmptyAceStepLatentAudio", "EmptyAceStep1.5LatentAudio", "EmptyMiniMaxMusic3LatentAudio",
    "LTXVEmptyLatentAudio",
)  # fmt: skip
FOLDER_CLASSES = (
    "LoadImageDataSetFromFolder", "LoadImageTextDataSetFromFolder", "LoadImageSetFromFolderNode",
    "LoadImageTextSetFromFolderNode", "LoadTrainingDataset", "LoadVideoDataSetFromFolder",
    "LoadVideoTextDataSetFromFolder",
)  # fmt: skip
DECODER_CLASSES = ("VAEDecode", "VAEDecodeTiled", "MaskToImage")
SOUND_DECODER_CLASSES = ("VAEDecodeAudio", "VAEDecodeAudioTiled", "LTXVAudioVAEDecode", "VAEDecodeHunyuan3D")

RULES: dict[str, Rule] = {
    **dict.fromkeys(STILL_CLASSES, new_images.bound_still_images),
    **dict.fromkeys(VIDEO_CLASSES, new_images.bound_video()),
    **dict.fromkeys(("SV3D_Conditioning", "SVD_img2vid_Conditioning"), new_images.bound_video("video_frames", 14)),
    "RenderSplat": new_images.bound_video_as_images,
    "EmptyQwenImageLayeredLatentImage": new_images.bound_layered_image,
    **dict.fromkeys(SOUND_CLASSES, new_images.bound_sound_latent),
    **dict.fromkeys(FOLDER_CLASSES, new_images.bound_unknown_folder),
    "LoadVideo": new_images.bound_unknown_video,
    **dict.fromkeys(DECODER_CLASSES, batches.bound_decoded_images),
    **dict.fromkeys(SOUND_DECODER_CLASSES, batches.bound_output_without_images),
    "Video Slice": batches.bound_unchanged_input,
    "GetVideoComponents": batches.bound_video_components,
    "RepeatImageBatch": batches.bound_repeated_images(4096),
    "RepeatLatentBatch": batches.bound_repeated_images(64),
    "FrameInterpolate": batches.bound_interpolated_frames,
    "ImageFromBatch": batches.bound_selected_images("length"),
    "LatentFromBatch": batches.bound_unchanged_input,  # it selects whole videos, and what a VAE encoded is unknown
    "LatentCut": batches.bound_unchanged_input,
    "VideoFrameSample": batches.bound_selected_images("num_frames"),
    **dict.fromkeys(("VideoRandomTemporalCrop", "VideoTemporalCrop"), batches.bound_selected_images("length")),
    "ImageBatch": batches.bound_images_joined_like("image1"),
    "LatentBatch": batches.bound_images_joined_like("samples1"),
    **dict.fromkeys(("BatchImagesNode", "BatchLatentsNode", "BatchMasksNode"), batches.bound_inputs_as_one_batch),
    **dict.fromkeys(("CreateList", "MergeImageLists"), batches.bound_inputs_as_list),
    **dict.fromkeys(
        (
            "ImageDeduplication", "ShuffleDataset", "ShuffleImageTextDataset", "ResolutionBucket",
            "MakeTrainingDataset",
        ),
        batches.bound_batch_split_into_list,
    ),
    **dict.fromkeys(("RebatchImages", "RebatchLatents"), batches.bound_rebatched_images),
    "SplitImageToTileList": batches.bound_image_tiles,
    "ImageMergeTileList": new_images.bound_merged_tiles,
    "SeedVR2TemporalChunk": batches.bound_video_chunks,
    "SeedVR2TemporalMerge": batches.bound_merged_images,
    "LatentConcat": batches.bound_concatenated_images,
    "LatentCutToBatch": batches.bound_images_cut_to_batch,
    "LTXVAddGuide": batches.bound_guided_video,
    **dict.fromkeys(
        ("ImageScale", "LatentUpscale", "HunyuanVideo15LatentUpscaleWithModel"), resizing.bound_resized_images
    ),
    **dict.fromkeys(("ImageScaleBy", "LatentUpscaleBy"), resizing.bound_images_scaled_by("scale_by")),
    "ImageUpscaleWithModel": resizing.bound_upscaled_images(resizing.UPSCALE_FACTOR),
    "LTXVLatentUpsampler": resizing.bound_upscaled_images(resizing.LATENT_UPSCALE_FACTOR),
    "SD_4XUpscale_Conditioning": resizing.bound_super_resolution,
    "ImageScaleToTotalPixels": resizing.bound_images_of_total_pixels,
    "ImageScaleToMaxDimension": resizing.bound_images_by_longer_side("largest_size"),
    "ResizeImagesByLongerEdge": resizing.bound_images_by_longer_side("longer_edge", 8192),
    "ResizeImagesByShorterEdge": resizing.bound_images_by_shorter_side("shorter_edge", 8192),
    "FluxKontextImageScale": resizing.bound_kontext_image,
    "ResizeImageMaskNode": resizing.bound_images_resized_by_choice,
    "ResizeAndPadImage": resizing.bound_images_of_exact_size("target_width", "target_height"),
    "CropByBBoxes": resizing.bound_images_of_exact_size("output_width", "output_height"),
    "ImageCropToMask": resizing.bound_images_of_exact_size("width", "height"),
    "TripoSplatPreprocessImage": resizing.bound_images_by_longer_side("size", 4096),
    **dict.fromkeys(
        ("ImageCrop", "CropMask", "LatentCrop", "CenterCropImages", "RandomCropImages", "ImageCropV2"),
        resizing.bound_cropped_images,
    ),
    "ImagePadForOutpaint": resizing.bound_padded_images,
    "ImageStitch": resizing.bound_stitched_images,
    "ImageGrid": new_images.bound_image_grid,
    **dict.fromkeys(("WanDancerPadKeyframes", "WanDancerPadKeyframesList"), new_images.bound_video_segments),
    **dict.fromkeys(
        ("BakeAmbientOcclusion", "BakeNormalMapFromMesh", "RenderUVAtlas"), new_images.bound_square_image("resolution")
    ),
    "BakeTextureFromVoxel": new_images.bound_square_image("texture_size"),
    **dict.fromkeys(
        ("ImageCompositeMasked", "LatentCompositeMasked", "MaskComposite"),
        batches.bound_images_sized_like("destination"),
    ),
    "LatentComposite": batches.bound_images_sized_like("samples_to"),
    "ImageBlend": batches.bound_images_sized_like("image1"),
    "ColorTransfer": batches.bound_images_sized_like("image_target"),
    **dict.fromkeys(
        ("LatentAdd", "LatentSubtract", "LatentInterpolate", "LatentBlend"), batches.bound_images_sized_like("samples1")
    ),
    "SetLatentNoiseMask": batches.bound_passed_through_input("samples"),
    **dict.fromkeys(
        ("VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint"), batches.bound_passed_through_input("pixels")
    ),
    **dict.fromkeys(
        ("InpaintModelConditioning", "InstructPixToPixConditioning"),
        batches.bound_passed_through_input("pixels"),
    ),
    **dict.fromkeys(("KSampler", "KSamplerAdvanced"), batches.bound_passed_through_input("latent_image")),
    **dict.fromkeys(("SamplerCustom", "SamplerCustomAdvanced"), batches.bound_passed_through_input("latent_image")),
    "LTXVImgToVideoInplace": batches.bound_passed_through_input("latent"),
}  # fmt: skip
