"""How the published checkpoints name what is ours: one table, read by `model/convert.py` (`method.md` §12)."""

from __future__ import annotations

import re


def _backbone_rules(stage: int) -> tuple[tuple[str, str], ...]:
    """Return the rules of one encoder and one decoder stage: theirs count from 1 to 4 and from 4 (blocks 5) to 7."""
    return (
        (rf"^backbone\.conv{stage + 1}p\d+s2\.kernel$", f"backbone.encoder.{stage}.down.conv.weight"),
        (rf"^backbone\.bn{stage + 1}\.", f"backbone.encoder.{stage}.down.norm."),
        (rf"^backbone\.block{stage + 1}\.", f"backbone.encoder.{stage}.blocks."),
        (rf"^backbone\.convtr{stage + 4}p\d+s2\.kernel$", f"backbone.decoder.{stage}.up.conv.weight"),
        (rf"^backbone\.bntr{stage + 4}\.", f"backbone.decoder.{stage}.up.norm."),
        (rf"^backbone\.block{stage + 5}\.", f"backbone.decoder.{stage}.blocks."),
    )


# (pattern of the published key, our key); each is applied to the result of the one before. Sections follow our modules.
_RULES = (
    # Batch normalisation is wrapped once more in the published modules.
    (r"^(.*)\.bn\.(weight|bias|running_mean|running_var|num_batches_tracked)$", r"\1.\2"),
    # Backbone
    (r"^backbone\.conv0p1s1\.kernel$", "backbone.stem.conv.weight"),
    (r"^backbone\.bn0\.", "backbone.stem.norm."),
    *(rule for stage in range(4) for rule in _backbone_rules(stage)),
    (r"^(backbone\..*\.)downsample\.0\.kernel$", r"\1skip.0.weight"),
    (r"^(backbone\..*\.)downsample\.1\.", r"\1skip.1."),
    (r"^(backbone\..*\.)conv([12])\.kernel$", r"\1conv\2.weight"),
    # Voxel memory
    (r"^memory\.conv_d1\.(\d)\.0\.kernel$", r"voxel_memory.adapters.\1.near.weight"),
    (r"^memory\.conv_d1\.(\d)\.1\.", r"voxel_memory.adapters.\1.near_norm."),
    (r"^memory\.conv_d3\.(\d)\.0\.kernel$", r"voxel_memory.adapters.\1.far.weight"),
    (r"^memory\.conv_d3\.(\d)\.1\.", r"voxel_memory.adapters.\1.far_norm."),
    (r"^memory\.conv_convert\.(\d)\.0\.kernel$", r"voxel_memory.adapters.\1.fusion.weight"),
    (r"^memory\.conv_convert\.(\d)\.1\.", r"voxel_memory.adapters.\1.fusion_norm."),
    # Pooling
    (r"^pool\.pts_proj1\.", "pooling.point_embedding."),
    (r"^pool\.pts_proj2\.0\.", "pooling.weight_hidden."),
    (r"^pool\.pts_proj2\.1\.", "pooling.weight_logit.0."),
    (r"^pool\.pts_proj2\.3\.", "pooling.weight_logit.2."),
    # Short-term memory
    (r"^muti_scale_query\.attention\.", "short_term.attention."),
    (r"^muti_scale_query\.gen_tau\.", "short_term.distance_weight."),
    # Decoder
    (r"^decoder\.input_proj\.", "decoder.superpoint_embedding."),
    (r"^decoder\.query_proj\.", "decoder.query_embedding."),
    (r"^decoder\.(cross|self)_attn_layers\.(\d+)\.attn\.", r"decoder.layers.\2.\1_attention."),
    (r"^decoder\.(cross|self)_attn_layers\.(\d+)\.norm\.", r"decoder.layers.\2.\1_norm."),
    (r"^decoder\.ffn_layers\.(\d+)\.net\.0\.", r"decoder.layers.\1.feed_forward.0."),
    (r"^decoder\.ffn_layers\.(\d+)\.net\.3\.", r"decoder.layers.\1.feed_forward.2."),  # after a dropout of 0
    (r"^decoder\.ffn_layers\.(\d+)\.norm\.", r"decoder.layers.\1.feed_forward_norm."),
    (r"^decoder\.out_norm\.", "decoder.norm."),
    (r"^decoder\.out_cls\.", "decoder.class_head."),
    (r"^decoder\.out_reg\.", "decoder.box_head."),
    (r"^decoder\.out_sem\.", "decoder.semantic_head."),
    (r"^decoder\.x_mask\.", "decoder.superpoint_mask_head."),
    (r"^decoder\.x_pts_mask\.", "decoder.point_mask_head."),
    (r"^(decoder\.(?:query_embedding|\w+_head))\.0\.", r"\1.first."),
    (r"^(decoder\.(?:query_embedding|\w+_head))\.2\.", r"\1.last."),
    # Long-term memory
    (r"^tracklet_trans\.", "long_term.track_embedding."),
    (r"^detector_trans\.", "long_term.detection_embedding."),
    (r"^box_trans\.", "long_term.box_embedding."),
    (r"^query_inter\.gen_tau\.", "long_term.distance_weight."),
    (r"^query_inter\.", "long_term.interaction."),
    (r"^rel_dist_embed\.", "long_term.iou_embedding."),
    (r"^embed_trans\.", "long_term.match_logit."),
    (r"^embed_trans2\.", "long_term.gate_logit."),
    # Fragment merging
    (r"^merge_query_inter\.", "fragment_merging.interaction."),
    (r"\.interaction\.self_attn\.", ".interaction.attention."),
    (r"\.interaction\.norm1\.", ".interaction.norm."),
    (r"\.interaction\.ffn\.", ".interaction.feed_forward."),
    (r"^merge_dist_embed\.", "fragment_merging.iou_embedding."),
    (r"^merge_fusion\.gate\.", "fragment_merging.gate."),
    (r"^merge_embed_trans\.", "fragment_merging.merge_logit."),
    # Embedding of ESAM
    (r"^merge_head\.", "merge_head."),
)

# Prefixes of published weights that never reach a result (§7.1): we have nothing to put them into.
UNUSED_BY_DESIGN = ("merge_box_trans.", "fuse_linear.")


def ours(published: str) -> str:
    """Return our name of a published key; a key that no rule knows keeps its name."""
    key = published
    for pattern, replacement in _RULES:
        key = re.sub(pattern, replacement, key)
    return key
