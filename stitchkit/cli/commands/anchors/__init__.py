"""``stitchkit anchors``: collect a public set, select anchors, check them, and write their card."""
