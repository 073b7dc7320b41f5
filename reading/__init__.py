"""People's files as frames: films, animations, pictures, arrays, benchmarks, labels.

Nothing here imports TensorFlow before a file needs it, so that a wrong one is refused
at once.
"""
