"""Kinds of backgrounds and of pictures, without what those who know them import."""

KINDS = ("auto", "plain", "still")
PICTURES = ("auto", "frames", "images")
