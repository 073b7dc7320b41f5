"""Kinds of backgrounds, without what `reading.background` imports."""

KINDS = ("auto", "plain", "still")
