"""Small networks for 32x32 images: one of each family that the paper's Table 2 finds easy or hard to quantize."""
