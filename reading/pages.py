"""Which pictures of a file are frames of a clip.

    places = of_frames(image)  # an open Pillow image
    image.seek(places[0])

Formats that animate hold frames. Others hold a picture and what belongs to it: an MPO,
which phones call .jpg, its depth, gain map or other eye; a TIFF a thumbnail or a mask.
"""

ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")
KIND, OLD_KIND = 254, 255  # tags of a TIFF's page: NewSubfileType, SubfileType
REDUCED, MASK = 1, 4  # bits of the former
OLD_REDUCED = 2  # value of the latter


def of_frames(image):
    """The places, for `image.seek`, of the pictures that are frames."""
    count = getattr(image, "n_frames", 1)
    if image.format == "TIFF":
        return _of_pages(image, count)
    if image.format not in ANIMATIONS:
        return [0]
    # A separate default image of an APNG is what viewers show that cannot animate.
    return list(range(int(bool(image.info.get("default_image"))), count))


def white(image, places):
    """The value of white in pictures of more than 8 bits.

    A TIFF of signed numbers or of 32 bits (mode I) may hold values of 8 bits, of 16
    bits, or a mask of 0 and 1, and only the largest in the file tells. Unsigned numbers
    of 16 bits, and those of PNG, are what they say.
    """
    largest = 0
    for place in places if image.format == "TIFF" else ():
        image.seek(place)
        if image.mode == "I":
            largest = max(largest, image.getextrema()[1])
    return 1 if largest == 1 else 255 if 1 < largest <= 255 else 65535


def _of_pages(image, count):
    """Pages of a TIFF without masks and without smaller copies of a page.

    A copy says that it is one, or comes last and is at most half as large; any other
    page of another size is a frame, which `video.read` refuses.
    """
    sizes, marked = [], []
    for page in range(count):
        image.seek(page)
        sizes.append(image.size)
        kind, old_kind = (image.tag_v2.get(tag, 0) for tag in (KIND, OLD_KIND))
        marked.append(kind & (REDUCED | MASK) or old_kind == OLD_REDUCED)
    pages = [page for page in range(count) if not marked[page]] or list(range(count))
    while _is_thumbnail(sizes[pages[-1]], sizes[pages[0]]):
        pages.pop()
    return pages


def _is_thumbnail(size, full):
    halves = [(side + 1) // 2 for side in full]  # rounded up, as pyramids are
    return size != full and size[0] <= halves[0] and size[1] <= halves[1]
